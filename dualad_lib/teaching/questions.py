"""The bank of exam questions, from the lessons' exercises: all of them, or a paper drawn from it."""

import random
from pathlib import Path

from ..course.manifest import load_course
from ..errors import RunError
from ..files import atomic_write, writable
from .assignments import MINUTES, RUBRIC
from .exercises import read_exercises


def bank(course=None):
    """All graded exercises of the lessons, in their order."""
    return [e for lesson in (course or load_course()).lessons for e in read_exercises(lesson) if e.points]


def draw(points, seed=0, course=None):
    """Questions worth `points` in all, at random, spread over lessons: no lesson gives a second before all gave one.

    Raises RunError where the bank has not as many points, or no questions with that sum were found.
    """
    questions, chooser = bank(course), random.Random(seed)
    if not 0 < points <= sum(e.points for e in questions):
        raise RunError(
            f"an exam has 1 to {sum(e.points for e in questions)} points, not {points}: so many are in the bank"
        )
    for _ in range(200):  # the last question has to fit
        chosen, rest = [], list(questions)
        while rest and (left := points - sum(e.points for e in chosen)):
            fitting = [e for e in rest if e.points <= left]
            if not fitting:
                break
            times = [sum(c.lesson == e.lesson for c in chosen) for e in fitting]
            question = chooser.choice([e for e, n in zip(fitting, times, strict=True) if n == min(times)])
            chosen.append(question)
            rest.remove(question)
        if sum(e.points for e in chosen) == points:
            return sorted(chosen, key=questions.index)
    raise RunError(f"no questions of the bank make {points} points together; try {points + 1}")


def write_exam(points, seed=0, output=None, course=None, say=print):
    """Write OUTPUT/exam.md, what students get, and OUTPUT/solutions.md; return the two paths."""
    output, questions = Path(output or Path("runs") / "exam"), draw(points, seed, course)
    minutes = sum(MINUTES[e.kind] for e in questions)
    head = f"# Exam\n\n{len(questions)} questions, {points} points, about {minutes} minutes.\n"
    paths = [writable(output / f"{name}.md") for name in ("exam", "solutions")]  # both, or none is written
    for place, with_answers in zip(paths, (False, True), strict=True):
        texts = [question(e, number, with_answers) for number, e in enumerate(questions, start=1)]
        rubric = f"\nAnswers in words: {RUBRIC}.\n" if with_answers else ""
        with atomic_write(place) as path:
            path.write_text("\n".join([head + rubric, *texts]), encoding="utf-8")
        say(f"{place}")
    return paths


def question(exercise, number, with_answers=False):
    """One question as markdown: text, what is to be filled in, and, where asked for, hints and model answer."""
    parts = [f"## {number}. ({exercise.points} points; lesson {exercise.lesson})", exercise.question]
    if exercise.stub:
        parts.append(f"```python\n{exercise.stub}\n```")
    if with_answers:
        parts += [f"*Hint {n}.* {hint}" for n, hint in enumerate(exercise.hints, start=1)]
        parts.append(f"**Answer.** {exercise.solution}")
    return "\n\n".join(parts) + "\n"
