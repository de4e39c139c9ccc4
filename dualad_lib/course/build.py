"""The committed notebooks: executed in the lesson profile, rendered, stamped, and known to be stale when they are."""

import base64
import io
import os
import sys
from pathlib import Path

from PIL import Image

from dualad_lib.course.manifest import load_course
from dualad_lib.course.notebook import (
    bootstrap_cell,
    bootstrap_text,
    code_cells,
    insert_bootstrap,
    read_notebook,
    read_source,
    values_for,
)
from dualad_lib.course.provenance import ROOT
from dualad_lib.course.render import render_notebook
from dualad_lib.course.runner import Outcome, alone, execute, prepare
from dualad_lib.errors import RunError
from dualad_lib.files import atomic_write

STAMPED = ("metrics", "device", "seconds", "peak_memory_mb", "versions")  # what prose may be rendered from
WORK = Path("runs") / "build"  # lessons run there; a failed one is left there to look at


def status(lesson):
    """(reason, execute): why a committed notebook is stale, "" when fresh, and whether it must be executed again."""
    try:
        return _status(lesson)
    except RunError as error:
        return str(error).removeprefix(f"{lesson.name}: "), True


def _whole(stamp):
    """Whether the parts of a stamp are what prose and `status` take them for."""
    kinds = {"metrics": dict, "versions": dict, "seconds": (int, float)}
    named = isinstance(stamp.get("library_modules", {}), dict)
    return (
        named
        and all(isinstance(stamp[key], kind) for key, kind in kinds.items())
        and "torch" in stamp["versions"]
    )


def _status(lesson):
    if not lesson.notebook.is_file():
        return "not built yet", True
    try:
        nb = read_notebook(lesson.notebook)
    except (RunError, OSError) as error:
        return f"unreadable: {error}", True
    stamp = nb.metadata.get("dualad")
    if not isinstance(stamp, dict) or not set(STAMPED) <= set(stamp):
        return "no stamp of dualad build", True
    if not _whole(stamp):
        return "its stamp is damaged", True
    now = prepare(lesson).stamp
    if stamp.get("profile") != "lesson" or not stamp.get("default_parameters"):
        return "not built in the lesson profile", True
    if stamp.get("code_hash") != now["code_hash"]:
        return "the source's code changed", True
    if stamp.get("library_hash") != now["library_hash"]:
        before, after = stamp.get("library_modules", {}), now["library_modules"]
        changed = sorted(name for name in before | after if before.get(name) != after.get(name))
        return f"library code changed: {', '.join(changed)}", True
    missing = [cell for cell in code_cells(nb) if cell.execution_count is None]
    if missing or len(code_cells(nb)) != len(code_cells(read_source(lesson))):
        return "cells were not executed", True
    if bootstrap_text(lesson.folder) not in (None, bootstrap_cell(lesson)):
        return "the bootstrap cell of the source changed", False
    if stamp.get("source_hash") != now["source_hash"]:
        return "the source's prose changed", False
    if _cells(nb) != _cells(_rerendered(lesson, nb)):
        return "the notebook was edited; edit its source", False
    if "widgets" in nb.metadata:
        return "it holds widget state", False
    return "", False


def check(names=(), course=None):
    """(lesson, reason) of every stale notebook among `names` (all lessons without names)."""
    course = course or load_course()
    found = [(lesson, status(lesson)[0]) for lesson in course.select(names, everything=True)]
    return [(lesson, reason) for lesson, reason in found if reason]


def build(names=(), force=False, course=None, say=print):
    """Bring committed notebooks up to date; return an Outcome for each lesson, with complaints about its outputs.

    Fresh ones are left alone. Where only prose changed, outputs stay and only markdown is rendered again.
    """
    course = course or load_course()
    if course.packaged:
        raise RunError(
            "the course inside an installed package is read-only; build in a checkout, or set DUALAD_COURSE"
        )
    outcomes = []
    for lesson in course.select(names, everything=True):
        try:
            with alone(WORK, lesson.name, say):
                outcomes.append(_build_one(lesson, force, say))
        except RunError as error:
            say(f"{lesson.name}: FAILED\n{error}")
            outcomes.append(Outcome(lesson, error=str(error)))
    return outcomes


def _build_one(lesson, force, say):
    import nbformat

    if insert_bootstrap(lesson):
        say(f"{lesson.name}: wrote the bootstrap cell into its source")
    reason, must_run = ("forced", True) if force else status(lesson)
    if not reason:
        say(f"{lesson.name}: fresh")
        nb = read_notebook(lesson.notebook)
    elif must_run:
        say(f"{lesson.name}: {reason}; running")
        nb, result = execute(prepare(lesson), WORK)
        say(f"{lesson.name}: finished in {result['seconds']:.0f} s")
    else:
        say(f"{lesson.name}: {reason}; outputs kept")
        nb = _rerendered(lesson, read_notebook(lesson.notebook))
    if reason:
        with atomic_write(lesson.notebook) as path:
            nbformat.write(small_pictures(nb), path)
    outcome = Outcome(lesson, dict(nb.metadata["dualad"]), complaints=complaints(nb))
    for complaint in outcome.complaints:
        say(f"{lesson.name}: {complaint}")
    return outcome


def small_pictures(nb):
    """A notebook's PNG outputs with a palette of 256 colours where that is smaller, in place. Returns it.

    A figure has few colours, and photographs in it are shown small: a third of the bytes looks the same.
    """
    for output in (output for cell in nb.cells for output in cell.get("outputs", ())):
        data = output.get("data", {})
        if "image/png" in data:
            whole, buffer = base64.b64decode(data["image/png"]), io.BytesIO()
            with Image.open(io.BytesIO(whole)) as picture:
                picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                    buffer, "PNG", optimize=True
                )
            if len(buffer.getvalue()) < len(whole):
                data["image/png"] = base64.b64encode(buffer.getvalue()).decode("ascii")
    return nb


def complaints(nb):
    """What a committed notebook's outputs must not hold: errors, warnings, placeholders, this machine's paths."""
    found = []
    paths = {str(ROOT), sys.prefix, str(Path.home()) + os.sep, "ipykernel_"}
    for number, cell in enumerate(nb.cells, start=1):
        if cell.cell_type == "markdown" and "{{" in cell.source:
            found.append(f"cell {number} still has a placeholder")
        for output in cell.get("outputs", ()):
            text = output.get("text", "") or str(output.get("data", {}).get("text/plain", ""))
            if output.output_type == "error":
                found.append(f"cell {number} shows an error: {output.ename}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} wrote to standard error: {text.strip()[:80]}")
            if any(path in text for path in paths):
                found.append(f"cell {number} shows a path of this machine")
    return found


def _rerendered(lesson, old):
    """The source's cells with the old notebook's outputs and numbers."""
    nb, job = read_source(lesson), prepare(lesson)
    for new_cell, old_cell in zip(code_cells(nb), code_cells(old), strict=True):
        new_cell.outputs, new_cell.execution_count = old_cell.outputs, old_cell.execution_count
    kept = ("metrics", "device", "seconds", "date", "peak_memory_mb", "peak_gpu_memory_mb", "versions")
    stamp = {
        **job.stamp,
        **{key: old.metadata["dualad"][key] for key in kept if key in old.metadata["dualad"]},
    }
    nb.metadata = type(nb.metadata)({**old.metadata, "dualad": stamp})
    nb.metadata.pop("widgets", None)
    return render_notebook(nb, values_for(lesson, stamp))


def _cells(nb):
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in nb.cells]
