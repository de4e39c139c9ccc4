"""What `dualad course` does: build assignments, validate and grade submissions.

A class of 30 takes about 40 s to grade: 14 s to read the assignments and to load the libraries, then 0.9 s a submission
(median; measured with tests/benchmarks/grading.py on two cores that other programs used as well). A cell that never
ends adds its limit, 30 s. Two halves of a class can be graded at a time, by two commands.
"""

import csv
import os
from pathlib import Path

from ..course.manifest import course_folder
from ..errors import DataError, DualADError
from ..files import atomic_write, expand, shown
from .assignments import as_student, build_assignments, masters
from .grading import grade
from .host import unreadable
from .kernels import limits_missing
from .submissions import read_submission, validate, write_notebook

COLUMNS = ("submission", "assignment", "exercise", "points", "most", "why")


def build(output=None, secret="", say=print):
    """Write all assignments; returns the exit status. secret: see `assignments.masters`."""
    output = Path(output) if output else course_folder() / "assignments"
    names = build_assignments(output, secret=secret)
    say(f"{len(names)} assignments in {output}: {', '.join(names)}")
    return 0


def handed_out():
    """Every assignment as students get it, by name."""
    return {name: as_student(master) for name, master in masters().items()}


def validate_all(paths, output=None, say=print):
    """Validate submissions; status 0: whole, 1: repaired, 2: something a person must decide.

    output: a folder for repaired copies, each under its submission's own name. The submissions stay as they are.
    """
    assignments, status = handed_out(), 0
    targets = _targets(paths, output)
    for path, target in zip(paths, targets, strict=True):
        try:
            found = validate(read_submission(path), assignments)
            if target is not None:
                write_notebook(found.notebook, target)
        except Exception as error:  # whatever it is: the rest of the class is validated
            say(_line(f"{path}: {_why(error)}"))
            status = 2
            continue
        _tell(path, found, say)
        status = max(status, 0 if not found.findings else 1 if found.gradable else 2)
    return status


def grade_all(paths, output=None, seconds=30, memory_mb=1024, secret="", say=print):
    """Validate and grade submissions; status 0, or 2 where something was not graded.

    output: a CSV file, written anew after each submission, so that what is graded stays where grading is interrupted.
    Rows of submissions that are there and are not graded now, or not yet, stay too. Raises DataError where the file is
    no table of grades, and for a submission that is named twice, by whatever path: its points would add up.
    """
    _check_named_once(paths)
    before = [] if output is None else [(os.path.realpath(row[0]), row) for row in _rows_of(output)]
    originals, rows, status = masters(secret=secret), [], 0
    assignments = {name: as_student(master) for name, master in originals.items()}
    say_missing = limits_missing()
    if say_missing:
        say(f"note: {say_missing}")

    def keep():
        if output is not None:
            now = {os.path.realpath(row[0]) for row in rows}
            _write(output, [*(row for real, row in before if real not in now), *rows])

    with unreadable(secret):
        for path in paths:
            try:
                found = validate(read_submission(path), assignments)
                grades = grade(found, originals[found.name], seconds, memory_mb)
            except Exception as error:  # whatever it is: the rest of the class is graded
                why = _line(_why(error))
                rows.append((path, "", "", "", "", f"not graded: {why}"))
                keep()
                say(_line(f"{path}: not graded: {why}"))
                status = 2
                continue
            rows += [
                (path, found.name, g.exercise, "" if g.points is None else g.points, g.most, _line(g.why))
                for g in grades
            ]
            keep()
            status = status if found.gradable else 2
            _tell(path, found, say)
            _tell_grades(grades, say)
    return status


def _rows_of(output):
    """Rows of a table of grades that is there, without its head. Raises DataError for another file."""
    path = expand(output)
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head, *rows = csv.reader(file) or [()]
    except (ValueError, csv.Error):  # an empty file, or none of text
        head, rows = (), []
    if path.stat().st_size and tuple(head) != COLUMNS:
        raise DataError(f"{shown(path)} is there and is no table of grades: give another name.")
    return [row for row in rows if row]


def _write(output, rows):
    with (
        atomic_write(output) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def _tell_grades(grades, say):
    for g in grades:
        say(f"  {g.exercise}: {'-' if g.points is None else g.points} of {g.most}: {_line(g.why)}")
    known = sum(g.points for g in grades if g.points is not None)
    open_points = sum(g.most for g in grades if g.points is None)
    say(
        f"  {known} of {sum(g.most for g in grades)} points"
        + (f", {open_points} still open" * bool(open_points))
    )


def _why(error):
    return str(error) if isinstance(error, DualADError) else f"{type(error).__name__}: {error}"


def _line(text, longest=600):
    """One line that can be printed and written anywhere."""
    text = " ".join(str(text).split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= longest else text[:longest] + " ..."


def _tell(path, found, say):
    say(_line(path) + f": {found.name}" + ("" if found.findings else ", whole"))
    for finding in found.findings:
        say(f"  {_line(finding.cell)}: {finding.what}" + ("" if finding.repaired else " (NOT repaired)"))


def _targets(paths, output):
    """Where each repaired copy goes: OUTPUT/NAME.ipynb, or from nbgrader's layout OUTPUT/STUDENT/ASSIGNMENT/NAME.ipynb.

    Raises DataError where two would be one file, or one a submission itself.
    """
    if output is None:
        return [None] * len(paths)
    targets = [Path(output, *Path(path).absolute().parts[-3 if _layout(path) else -1 :]) for path in paths]
    _check_named_once(paths)
    if len(set(targets)) < len(targets):
        raise DataError(
            "two submissions have one file name: keep them as STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb, as nbgrader does."
        )
    if any(target.resolve() == Path(path).resolve() for path, target in zip(paths, targets, strict=True)):
        raise DataError("the repaired copy would replace the submission: choose another folder.")
    return targets


def _check_named_once(paths):
    """Raise DataError where two paths lead to one file."""
    seen = {}
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise DataError(
                f"one submission is named twice, as {shown(seen[real])} and {shown(path)}: name each once."
            )
        seen[real] = path


def _layout(path):
    """Does it lie as nbgrader keeps submissions, in a folder of its own name?"""
    return Path(path).stem == Path(path).absolute().parent.name
