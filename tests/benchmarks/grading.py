"""How long grading a class takes: submissions that are right, that are stubs, and two with a cell that never ends.

    uv run python tests/benchmarks/grading.py [ASSIGNMENT] [NUMBER]

Prints seconds for the first (assignments read, libraries loaded) and for one submission of each kind.
"""

import copy
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from dualad_lib.teaching import desk
from dualad_lib.teaching.assignments import as_student, masters

ENDLESS = "\nwhile True:\n    pass\n"


def main(name="00_start_here", number=30):
    master = masters()[name]
    kinds = {"right": solved(master), "stubs": as_student(master), "endless": solved(master)}
    answers = [
        c for c in kinds["endless"]["cells"] if c["id"].endswith("-answer") and c["cell_type"] == "code"
    ]
    answers[0]["source"] += ENDLESS
    for kind in ("right", "stubs", "endless"):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{kind}{i}.ipynb") for i in range(2 if kind == "endless" else int(number))]
            for path in paths:
                path.write_text(json.dumps(kinds[kind]), encoding="utf-8")
            report(kind, paths)


def solved(master):
    notebook = copy.deepcopy(as_student(master))
    for mine, cell in zip(notebook["cells"], master["cells"], strict=True):
        if cell["metadata"]["nbgrader"]["solution"]:
            mine["source"] = cell["source"]
    return notebook


def report(kind, paths):
    ends = [time.perf_counter()]
    desk.grade_all(paths, Path(paths[0].parent, "grades.csv"), say=lambda line: note(line, ends))
    first, *rest = (after - before for before, after in pairwise(ends))
    print(
        f"{kind}: first {first:.1f} s, then {median(rest):.2f} s each (median), {ends[-1] - ends[0]:.0f} s in all"
    )


def note(line, ends):
    if " points" in line and line.startswith("  "):
        ends.append(time.perf_counter())


if __name__ == "__main__":
    main(*sys.argv[1:])
