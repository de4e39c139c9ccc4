"""Assignments from the lessons' exercises: nbgrader's master copy, what students get, what the lecturer reads."""

import json
from pathlib import Path

from .. import __version__
from ..course.manifest import Lesson, load_course
from ..errors import RunError
from ..files import atomic_write
from .exercises import imports, read_exercises
from .submissions import write_notebook

SOURCE, STUDENT, INSTRUCTOR = "source", "student", "instructor"
MINUTES = {"Predict": 10, "Code": 30, "Explain": 20}
RUBRIC = (
    "a third of the points each for the fact, the reason for it, and what follows from it for somebody who uses the "
    "method; in the project, for what its model answer says to look for"
)
SCHEMA = 3  # of nbgrader's cell metadata
BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
QUALITY = 7  # points of the project's hidden test
PROJECT_MINUTES = 480

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


def masters(course=None, secret=""):
    """nbgrader's master copy of every assignment, by name: the lessons with graded exercises, and the project.

    secret: draws the test images of the project's hidden test.
    """
    course = course or load_course()
    found = {}
    for lesson in (
        *course.lessons,
        Lesson("project", "your own class", course.folder / "project", core=False),
    ):
        exercises = [e for e in read_exercises(lesson) if e.points] if lesson.source.exists() else []
        if exercises:
            found[lesson.name] = assignment(lesson, exercises, secret)
    return found


def build_assignments(output, course=None, secret=""):
    """Write the assignments of all lessons that have graded exercises, and the project; return their names.

    output: a folder that nbgrader can work in: source/NAME/NAME.ipynb with solutions, student/NAME/NAME.ipynb with
    stubs, instructor/NAME.ipynb with solutions, model answers and rubric, and nbgrader_config.py.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise RunError(f"{output} is a file; name a folder for the assignments.")
    found = masters(course, secret)
    for name, master in found.items():
        write_notebook(master, output / SOURCE / name / f"{name}.ipynb")
        write_notebook(as_student(master), output / STUDENT / name / f"{name}.ipynb")
        write_notebook(for_instructor(master), output / INSTRUCTOR / f"{name}.ipynb")
    with atomic_write(output / "nbgrader_config.py") as temporary:
        temporary.write_text(CONFIG, encoding="utf-8")
    return list(found)


def assignment(lesson, exercises, secret=""):
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
            check = f'assert {e.check}, "not done yet"'
            cells.append(_code(f"{e.name}-check", check, grade=True, points=e.points))
        if e.name == "project-1":
            hidden = f'assert project.check_quality(build, STUDENT, {secret!r}), "not done yet"'
            text = f"# Hidden: as good as PCA on test images of your class.\n{BEGIN}\n{hidden}\n{END}"
            cells.append(_code(f"{e.name}-quality", text, grade=True, points=QUALITY))
    return _notebook(cells)


def as_student(master):
    """A copy with stubs in place of solutions and without hidden tests."""
    notebook = json.loads(json.dumps(master))
    for cell in notebook["cells"]:
        stub = cell["metadata"].pop("dualad", {}).get("stub")
        if stub is not None:
            cell["source"] = stub
        cell["source"] = cell["source"].split(f"\n{BEGIN}")[0]
    return notebook


def for_instructor(master):
    """The assignment with solutions and model answers as plain cells, under notes on points, hours and rubric."""
    notebook = json.loads(json.dumps(master))
    notes = (
        f"# Notes for the instructor\n\n{_points(master)} points. Checks give all points or none; answers in words are "
        f"yours to grade: {RUBRIC}. Model answers stand in the cells below. Students get the same notebook with stubs."
    )
    for cell in notebook["cells"]:
        del cell["metadata"]["nbgrader"]
        cell["metadata"].pop("dualad", None)
    first = {"cell_type": "markdown", "id": "notes", "metadata": {}, "source": notes}
    return {**notebook, "cells": [first, *notebook["cells"]]}


def _points(master):
    return sum(cell["metadata"]["nbgrader"].get("points", 0) for cell in master["cells"])


def _title(lesson, exercises):
    hours = _minutes(lesson, exercises) / 60
    return (
        f"# Assignment: {lesson.title}\n\n{len(exercises)} exercises, about {hours:.1f} hours. Write your answers in "
        "place of `None`, `raise NotImplementedError` or *Your answer*, add cells as you like, and leave all others as "
        "they are. Each check names the idea to look at again when an answer is not right yet. Before you hand in: "
        "*Restart kernel and run all cells*."
    )


def _minutes(lesson, exercises):
    return PROJECT_MINUTES if lesson.name == "project" else sum(MINUTES[e.kind] for e in exercises)


def _setup(lesson, exercises):
    return "\n".join(imports(lesson, exercises))


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
