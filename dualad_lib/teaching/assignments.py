"""Assignments from the lessons' exercises: nbgrader's master copy, what students get, what the lecturer reads."""

import json
from pathlib import Path

from .. import __version__
from ..errors import RunError
from ..files import atomic_write
from .exercises import imports, read_exercises

SOURCE, STUDENT, INSTRUCTOR = "source", "student", "instructor"
MINUTES = {"Predict": 10, "Code": 30, "Explain": 20}
RUBRIC = (
    "the fact (1 point), the reason for it (1 point), what follows from it for somebody who uses the method "
    "(1 point)"
)
SCHEMA = 3  # of nbgrader's cell metadata

CONFIG = '''"""nbgrader's settings for the folder that `dualad course build` wrote. Change course_id to your own."""

c = get_config()  # noqa: F821 (nbgrader defines it)
c.CourseDirectory.course_id = "dualad"
c.CourseDirectory.release_directory = "student"
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "dualad_lib.teaching.stubs.ShowStubs",  # in place of ClearSolutions: keeps signatures and dictionaries
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.ExecutePreprocessor.timeout = 60  # seconds a cell
c.ExecutePreprocessor.interrupt_on_timeout = True
'''


def build_assignments(output, course=None):
    """Write the assignments of all lessons that have graded exercises; return their names.

    output: a folder that nbgrader can work in: source/NAME/NAME.ipynb with solutions, student/NAME/NAME.ipynb with
    stubs, instructor/NAME.ipynb with solutions, model answers and rubric, and nbgrader_config.py.
    """
    from ..runs.course import load_course

    output = Path(output)
    if output.exists() and not output.is_dir():
        raise RunError(f"{output} is a file; name a folder for the assignments.")
    names = []
    for lesson in (course or load_course()).lessons:
        exercises = [e for e in read_exercises(lesson) if e.points]
        if exercises:
            master = assignment(lesson, exercises)
            _write(master, output / SOURCE / lesson.name / f"{lesson.name}.ipynb")
            _write(as_student(master), output / STUDENT / lesson.name / f"{lesson.name}.ipynb")
            _write(for_instructor(lesson, exercises), output / INSTRUCTOR / f"{lesson.name}.ipynb")
            names.append(lesson.name)
    with atomic_write(output / "nbgrader_config.py") as temporary:
        temporary.write_text(CONFIG, encoding="utf-8")
    return names


def assignment(lesson, exercises):
    """nbgrader's master copy of a lesson's graded exercises, with solutions; stubs stand in the cells' metadata."""
    cells = [_markdown("title", _title(lesson, exercises)), _code("setup", _setup(lesson, exercises))]
    for e in exercises:
        cells.append(_markdown(f"{e.name}-question", _question(e)))
        if e.code is None:
            cells.append(
                _markdown(f"{e.name}-answer", e.solution, grade=True, solution=True, points=e.points)
            )
            cells[-1]["metadata"]["dualad"] = {"stub": "*Your answer, in three to five sentences.*"}
        else:
            cells.append(_code(f"{e.name}-answer", e.code, solution=True))
            cells[-1]["metadata"]["dualad"] = {"stub": e.stub}
            check = f'assert checks.{e.check}({e.answer}), "not done yet"'
            cells.append(_code(f"{e.name}-check", check, grade=True, points=e.points))
    return _notebook(cells)


def as_student(master):
    """A copy with stubs in place of solutions."""
    notebook = json.loads(json.dumps(master))
    for cell in notebook["cells"]:
        stub = cell["metadata"].pop("dualad", {}).get("stub")
        if stub is not None:
            cell["source"] = stub
    return notebook


def for_instructor(lesson, exercises):
    """Every exercise with its solution, model answer, hints and rubric, to read or to show."""
    hours = _minutes(exercises) / 60
    notes = [
        f"# {lesson.title}: notes for the instructor",
        f"{len(exercises)} graded exercises, {sum(e.points for e in exercises)} points, about {hours:.1f} hours after "
        f"the lesson itself. Checks give all points or none; answers in words are yours to grade: {RUBRIC}.",
    ]
    cells = [_markdown("notes", "\n\n".join(notes)), _code("setup", _setup(lesson, exercises))]
    for e in exercises:
        cells.append(_markdown(f"{e.name}-question", _question(e)))
        if e.code is not None:
            check = f"checks.{e.check}({e.answer})"
            cells.append(_code(f"{e.name}-answer", f"{e.code}\n\n\n{check}"))
        cells.append(_markdown(f"{e.name}-solution", f"**Solution.**\n\n{e.solution}"))
    for cell in cells:
        del cell["metadata"]["nbgrader"]
    return _notebook(cells)


def _title(lesson, exercises):
    return (
        f"# Assignment: {lesson.title}\n\n"
        f"For lesson `{lesson.name}`. {sum(e.points for e in exercises)} points, about "
        f"{_minutes(exercises) / 60:.1f} hours. Write your answers in place of `None`, `raise NotImplementedError` or "
        "*Your answer*, add cells as you like, and leave all others as they are. Each check names the idea to look at "
        "again when an answer is not right yet. Before you hand in: *Restart kernel and run all cells*."
    )


def _minutes(exercises):
    return sum(MINUTES[e.kind] for e in exercises)


def _setup(lesson, exercises):
    return "\n".join([*imports(lesson, exercises), "", "from dualad_lib import checks"]).strip()


def _question(exercise):
    hints = [
        f"<details><summary>Hint {number}</summary>\n\n{text}\n\n</details>"
        for number, text in enumerate(exercise.hints, start=1)
    ]
    head = f"**{exercise.number}. {exercise.kind}** ({exercise.points} points). {exercise.question}"
    return "\n\n".join([head, *hints])


def _markdown(name, source, **role):
    return _cell(name, "markdown", source, **role)


def _code(name, source, **role):
    return {**_cell(name, "code", source, **role), "execution_count": None, "outputs": []}


def _cell(name, kind, source, grade=False, solution=False, points=None):
    graded = {
        "grade": grade,
        "grade_id": name,
        "locked": not solution,
        "schema_version": SCHEMA,
        "solution": solution,
        "task": False,
    }
    if grade:
        graded["points"] = points
    return {"cell_type": kind, "id": name, "metadata": {"nbgrader": graded}, "source": source}


def _notebook(cells):
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "dualad": {"library": __version__}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
