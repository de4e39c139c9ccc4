"""The path of a class through the real nbgrader: build, release, submit, autograde, feedback."""

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_teaching import EXERCISES, FIRST, SECRET, STUDENT, cell, remove, repeat, solved, strip, wrong_answer

from dualad_lib.teaching.assignments import build_assignments
from dualad_lib.teaching.submissions import read_submission, validate, write_notebook

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        find_spec("nbgrader") is None, reason="nbgrader is not installed: uv sync --group dev"
    ),
]


def nbgrader(folder, *arguments):
    """Run nbgrader in a folder; return its log. Fails with the log where nbgrader fails."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )  # nbgrader calls alembic by name
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def submit(folder, student, notebook):
    write_notebook(notebook, folder / "submitted" / student / FIRST / f"{FIRST}.ipynb")


def points(folder):
    """{student: points that nbgrader's gradebook has given by itself}."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        return {s.student.id: s.score for s in book.assignment_submissions(FIRST)}


def wrong():
    notebook = solved()
    for e in EXERCISES[FIRST]:
        if e.code:
            cell(notebook, f"{e.name}-answer")["source"], _ = wrong_answer(e, 0)
    return notebook


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder with the first assignment released and autograded for a small class."""
    folder = tmp_path_factory.mktemp("course")
    build_assignments(folder, secret=SECRET)
    nbgrader(folder, "generate_assignment", FIRST, "--create", "--force")
    released = read_submission(folder / "student" / FIRST / f"{FIRST}.ipynb")
    submit(folder, "ada", fill(released))
    submit(folder, "bob", released)
    submit(folder, "cy", wrong())
    submit(folder, "dora", validate(strip(solved()), STUDENT).notebook)
    spoilt = repeat(remove(fill(released), "00-2-check"), "00-3-answer")
    submit(folder, "eve", validate(spoilt, STUDENT).notebook)
    nbgrader(folder, "autograde", FIRST, "--create")
    nbgrader(folder, "generate_feedback", FIRST)
    return folder


def fill(released):
    """What a diligent student makes of the released notebook."""
    notebook = json.loads(json.dumps(released))
    for c in notebook["cells"]:
        c["source"] = cell(solved(), c["metadata"]["nbgrader"]["grade_id"])["source"]
    return notebook


def test_nbgrader_releases_what_course_build_writes_for_students(course):
    released = read_submission(course / "student" / FIRST / f"{FIRST}.ipynb")
    assert [c["source"] for c in released["cells"]] == [c["source"] for c in STUDENT[FIRST]["cells"]]


def test_full_marks_none_and_what_repair_saves(course):
    # 8 points are given by checks, 3 more by a person
    assert points(course) == {"ada": 8, "bob": 0, "cy": 0, "dora": 8, "eve": 8}


def test_feedback_names_the_misconception(course):
    page = (course / "feedback" / "cy" / FIRST / f"{FIRST}.html").read_text(encoding="utf-8")
    assert "The direction is reversed" in page


def test_the_grades_are_exported(course):
    nbgrader(course, "export")
    with open(course / "grades.csv", newline="") as file:
        rows = {(row["student_id"], row["assignment"]): row for row in csv.DictReader(file)}
    assert {student: float(rows[student, FIRST]["score"]) for student in ("ada", "bob")} == {
        "ada": 8,
        "bob": 0,
    }
    assert float(rows["ada", FIRST]["max_score"]) == 11


def test_without_repair_a_lost_check_would_score_zero_in_silence(tmp_path, course):
    """Why validation comes first."""
    submit(course, "frank", remove(fill(STUDENT[FIRST]), "00-2-check"))
    nbgrader(course, "autograde", FIRST, "--create", "--student", "frank")
    assert points(course)["frank"] < 8
