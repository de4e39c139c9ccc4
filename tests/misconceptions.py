"""The table of TEACHING.md: what students get wrong, what the check then says, and what guessing gives.

uv run python tests/misconceptions.py    # draws it anew
"""

import ast
import re
from pathlib import Path

from wrong_answers import WRONG

from dualad_lib.course.manifest import load_course
from dualad_lib.files import atomic_write
from dualad_lib.teaching import checks
from dualad_lib.teaching.exercises import imports, read_exercises

PAGE = Path(__file__).resolve().parent.parent / "TEACHING.md"
START, END = "<!-- misconceptions -->", "<!-- /misconceptions -->"


def table(course):
    """Markdown: a line a graded exercise that a check judges."""
    lines = ["| exercise | points | to a wrong answer the check says | by guessing |", "|---|---:|---|---:|"]
    for lesson in course.lessons:
        for exercise in (e for e in read_exercises(lesson) if e.points and e.check):
            key, guessed = predicted(exercise), 0.0
            if key is None:
                said = " · ".join(complaint(lesson, exercise, body) for body, _ in WRONG[exercise.answer])
            else:
                said = f"for each of {len(key)} statements, why it is so"
                guessed = exercise.points / len({answer for answer, _ in key.values()}) ** len(key)
            name = f"{exercise.lesson[:2]}, {exercise.number} `{called(exercise)}`"
            lines.append(f"| {name} | {exercise.points} | {said} | {guessed:.2f} |")
    return "\n".join(lines)


def complaint(lesson, exercise, body):
    """The first sentence of what the check says to a wrong body of the exercise's function."""
    head = exercise.stub.split("    raise NotImplementedError")[0]
    code = head + "\n".join("    " + line for line in body.splitlines())
    names = {}
    exec("\n".join([*imports(lesson, [exercise]), "import numpy as np, torch"]), names)
    exec(code, names)
    try:
        exec(exercise.check, names)
    except checks.CheckFailed as failed:
        return re.split(r"(?<=[.?!]) ", str(failed))[0].replace("|", "/")
    raise AssertionError(f"{exercise.name} accepts a wrong answer: {body}")


def called(exercise):
    return ast.parse(exercise.check, mode="eval").body.func.attr.removeprefix("check_")


def predicted(exercise):
    """The key of an exercise that asks for predictions, or None."""
    return getattr(checks, called(exercise).upper(), None) if exercise.kind == "Predict" else None


def drawn(text, course):
    before, rest = text.split(START)
    return f"{before}{START}\n{table(course)}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    page = drawn(PAGE.read_text(encoding="utf-8"), load_course())
    with atomic_write(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
