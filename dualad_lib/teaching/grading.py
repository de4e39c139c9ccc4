"""Points for a submission: its cells run in a process of their own, with a limit on time and memory."""

import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import RunError
from .submissions import grade_id, role

START = 60  # seconds in which the child must have imported what it needs
OVERHEAD = 10  # seconds beyond the sum of the cells' limits
TO_READ = "to be graded by a person"


@dataclass(frozen=True)
class Grade:
    """Points of one exercise. points: None where a person grades. why: what the student is told."""

    exercise: str
    points: float | None
    most: float
    why: str


def grade(validated, master, seconds=30, memory_mb=1024):
    """Grades of a validated submission, one a check or answer in words; master: its assignment, with hidden tests.

    seconds: limit of each cell. memory_mb: what student code may take beyond the libraries (where the system can
    limit it: Linux). An answer that a person must decide about gets no points and says so. Code runs with the rights
    of this process: run it in a container for people you do not know (see the README).
    """
    open_questions = {f.cell: f.what for f in validated.findings if not f.repaired}
    originals = {grade_id(cell): cell for cell in master["cells"]}
    notebook = copy.deepcopy(validated.notebook)
    for cell in notebook["cells"]:
        if grade_id(cell) in originals and role(cell)["grade"] and not role(cell)["solution"]:
            cell["source"] = originals[grade_id(cell)]["source"]
    results = _run(notebook, seconds, memory_mb)
    grades = []
    for cell in notebook["cells"]:
        asked, found = role(cell), grade_id(cell)
        if not asked.get("grade"):
            continue
        exercise, most = found.rsplit("-", 1)[0], asked["points"]
        name = exercise if found.endswith(("-check", "-answer")) else found
        question = open_questions.get(f"{exercise}-answer")
        if question is not None:
            grades.append(Grade(name, None, most, f"not graded: {question}"))
        elif asked["solution"]:
            empty = cell["source"].strip() == originals[found]["metadata"]["dualad"]["stub"].strip()
            grades.append(Grade(name, 0 if empty else None, most, "not answered" if empty else TO_READ))
        else:
            why = results[found]
            grades.append(Grade(name, 0 if why else most, most, why or "right"))
    return grades


def code_cells(notebook):
    """Code cells as the sandbox takes them: dicts with id (None for a student's own cell), source and check."""
    return [
        {"id": grade_id(cell), "source": cell["source"], "check": bool(role(cell).get("grade"))}
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def _run(notebook, seconds, memory_mb):
    """{grade_id of each check: "" if it passed, else why not, also where the run did not get there}."""
    if not hasattr(os, "killpg"):
        raise RunError(
            "grading limits time by signals, which Windows has not: use WSL, Linux, macOS or a container."
        )
    cells = code_cells(notebook)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "cells.json").write_text(json.dumps(cells))
        results = work / "results.jsonl"
        results.touch()
        command = [
            sys.executable,
            "-m",
            "dualad_lib.teaching.sandbox",
            "cells.json",
            str(seconds),
            str(memory_mb),
        ]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stopped = ""
        try:
            status = process.wait(START + seconds * len(cells) + OVERHEAD)
            if status:
                stopped = f"stopped: the run died (status {status}), as it does when memory runs out"
        except subprocess.TimeoutExpired:
            stopped = f"stopped: no end after {seconds} s a cell"
        finally:
            _kill(process)
        found = dict(filter(None, map(_result, results.read_text(errors="replace").splitlines())))
        missing = [cell["id"] for cell in cells if cell["check"] and cell["id"] not in found]
        return {**found, **dict.fromkeys(missing, stopped or "stopped: the run ended before it")}


def _result(line):
    """(id, why) of a line of results; None for what student code may have written there."""
    try:
        name, why = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (name, why) if isinstance(name, str) and isinstance(why, str) else None


def _kill(process):
    """The process and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
