"""Exercises, assignments, submissions: full marks for solutions, none for stubs, and no damage scored in silence."""

import ast
import copy
import csv
import json
import os
from types import SimpleNamespace

import misconceptions
import pytest
import torch
from wrong_answers import WRONG

from dualad_lib import DataError, RunError, cli
from dualad_lib.course.manifest import load_course
from dualad_lib.detectors import create
from dualad_lib.teaching import desk, grading, project
from dualad_lib.teaching.assignments import MINUTES, as_student, build_assignments, masters
from dualad_lib.teaching.checks import CheckFailed
from dualad_lib.teaching.desk import handed_out
from dualad_lib.teaching.exercises import answer_tables, read_exercises
from dualad_lib.teaching.grading import grade, judge
from dualad_lib.teaching.submissions import read_submission, validate

LESSONS = {lesson.name: lesson for lesson in load_course().lessons}
EXERCISES = {name: [e for e in read_exercises(lesson) if e.points] for name, lesson in LESSONS.items()}
CODED = [e for found in EXERCISES.values() for e in found if e.code]
PROJECT, SECRET = "project", "blue"
MASTERS = masters(secret=SECRET)
STUDENT = {name: as_student(master) for name, master in MASTERS.items()}
FIRST = "00_start_here"


def cell(notebook, name):
    return next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == name)


def own_cell(source):
    """A cell that a student has added."""
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}


def solved(name=FIRST):
    """A perfect submission."""
    notebook = copy.deepcopy(STUDENT[name])
    for mine, master in zip(notebook["cells"], MASTERS[name]["cells"], strict=True):
        if master["metadata"]["nbgrader"]["solution"]:
            mine["source"] = master["source"]
    return notebook


VERDICTS = {}


def judged(notebook, master, *limits, **named):
    """`judge`, once for the same cells: all that it sees of a notebook."""
    key = json.dumps([grading._code_cells(notebook, master), limits, named], sort_keys=True)
    if key not in VERDICTS:
        VERDICTS[key] = judge(notebook, master, *limits, **named)
    return VERDICTS[key]


def without_limits(notebook):
    """Check -> why it failed ("": it did not), whether a person must decide something or not."""
    names = {
        c["metadata"]["nbgrader"]["grade_id"] for c in notebook["cells"] if c["metadata"].get("nbgrader")
    }
    master = max(
        MASTERS.values(),
        key=lambda m: len(names & {c["metadata"]["nbgrader"]["grade_id"] for c in m["cells"]}),
    )
    return judged(notebook, master, seconds=60)


# --- reading the exercises --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, lesson in LESSONS.items() if lesson.core])
def test_every_core_lesson_has_one_to_predict_one_to_code_one_to_explain(name):
    assert {"Predict", "Code", "Explain"} <= {e.kind for e in EXERCISES[name]}


def read(tmp_path, exercises, teaches=()):
    source = f"# %% [markdown]\n# ## Exercises\n#\n{exercises}"
    path = tmp_path / "07_new.py"
    path.write_text(f"# %%\nimport math\n\n{source}", encoding="utf-8")
    return read_exercises(SimpleNamespace(name="07_new", source=path, teaches=dict(teaches)))


GOOD = """# **1. Code.** Write it.

# %%
def f(x):
    \"\"\"Twice x.\"\"\"
    raise NotImplementedError


checks.check_f(f)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Add.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def helper(x):
#     return x
#
#
# def f(x):
#     return helper(x) + x
#
#
# print(f(1))
# ```
#
# </details>
#
# **2. Try.** Again.
#
# ## References
#
# - **3. Code.** is no exercise
"""


def test_an_exercise_is_read_with_stub_hints_solution_and_check(tmp_path):
    first, second = read(tmp_path, GOOD)
    assert (first.name, first.kind, first.points) == ("07-1", "Code", 3)
    assert first.question == "Write it." and first.hints == ["Add."]
    assert (first.answer, first.check) == ("f", "checks.check_f(f)")
    assert first.stub.startswith("def f(x):") and first.stub.endswith("raise NotImplementedError")
    namespace = {}
    exec(first.code, namespace)
    assert namespace["f"](4) == 8 and namespace["f"].__doc__ == "Twice x."
    assert "print" not in first.code
    assert (second.kind, second.points, second.question) == ("Try", 0, "Again.")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("**1. Code.**", "**1. Sing.**", "known: Predict"),
        ("**1. Code.**", "**2. Code.**", "stands where 1 should"),
        ("checks.check_f(f)", "f(1)", "does not end in a check"),
        ("```python", "```", "no ```python block"),
        ("# def f(x):", "# def g(x):", "does not define f"),
        ("<details><summary>Solution</summary>", "<details><summary>Hint</summary>", "has no solution"),
        ("Write it.", "", "has no question"),
    ],
)
def test_what_is_not_written_as_it_should_be_is_named(tmp_path, before, after, message):
    with pytest.raises(RunError, match="07_new.*" + message):
        read(tmp_path, GOOD.replace(before, after))


# --- the assignments --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_solutions_get_full_marks_stubs_none_and_wrong_answers_the_check_meant_for_them(capsys):
    right = stubs = wrong = 0
    for name in EXERCISES.keys() & MASTERS.keys():
        right += sum(why == "" for why in without_limits(solved(name)).values())
        stubs += sum("not done yet" in why for why in without_limits(STUDENT[name]).values())
        for number in range(3):
            notebook, expected = solved(name), {}
            for e in EXERCISES[name]:
                if e.code:
                    cell(notebook, f"{e.name}-answer")["source"], expected[e.name] = wrong_answer(e, number)
            found = without_limits(notebook)
            for exercise, words in expected.items():
                assert "CheckFailed" in found[f"{exercise}-check"], (exercise, number)
                assert words in found[f"{exercise}-check"], (exercise, number)
                wrong += 1
    assert right == stubs == len(CODED) and wrong == 3 * len(CODED)
    with capsys.disabled():
        print(
            f"\n{len(CODED)} checked exercises: {right} solutions full marks, {stubs} stubs none, "
            f"{wrong} wrong answers failed as meant"
        )


def wrong_answer(exercise, number):
    """(code, what the check must say): the solution's head over a wrong body, or one prediction turned round."""
    if exercise.kind == "Code":
        body, words = WRONG[exercise.answer][number]
        head = exercise.stub.split("    raise NotImplementedError")[0]
        return head + "\n".join("    " + line for line in body.splitlines()), words
    answers = ast.literal_eval(exercise.code.split("=", 1)[1].strip())
    key = list(answers)[number]
    (table,) = answer_tables(answers)
    other = next(a for a, _ in table.values() if a != answers[key])
    return f"answers = {answers | {key: other}!r}", key


@pytest.mark.results
def test_what_teaching_says_of_wrong_answers_is_what_the_checks_say():
    text = misconceptions.PAGE.read_text(encoding="utf-8")
    assert misconceptions.drawn(text, load_course()) == text, "uv run python tests/misconceptions.py"


def test_a_student_gets_no_solution_and_no_hidden_test():
    for name, notebook in STUDENT.items():
        text = json.dumps(notebook)
        for e in EXERCISES.get(name, ()):
            assert json.dumps(e.code or e.solution)[1:-1] not in text
        assert "stub" not in text and "check_quality" not in text and SECRET not in text
    assert SECRET in json.dumps(MASTERS[PROJECT])


def test_the_folder_is_nbgraders_and_says_what_it_costs(tmp_path):
    names = build_assignments(tmp_path)
    assert names == list(MASTERS)
    for name in names:
        for part in ("source", "student"):
            assert (tmp_path / part / name / f"{name}.ipynb").is_file()
        notes = read_submission(tmp_path / "instructor" / f"{name}.ipynb")
        assert (
            "points" in notes["cells"][0]["source"] and "a third of the points" in notes["cells"][0]["source"]
        )
        minutes = sum(MINUTES[e.kind] for e in EXERCISES[name]) if name in EXERCISES else 480
        assert f"{minutes / 60:.1f} hours" in cell(read_student(tmp_path, name), "title")["source"]
    assert "student" in (tmp_path / "nbgrader_config.py").read_text()


def read_student(folder, name):
    return read_submission(folder / "student" / name / f"{name}.ipynb")


def test_building_twice_changes_nothing(tmp_path):
    build_assignments(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    build_assignments(tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_file_is_no_folder_to_build_in(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(RunError, match="is a file"):
        build_assignments(tmp_path / "x")


# --- damaged submissions ----------------------------------------------------------------------------------------------


def strip(notebook, *names):
    for c in notebook["cells"]:
        if not names or c["metadata"].get("nbgrader", {}).get("grade_id") in names:
            c["metadata"] = {}
    return notebook


def remove(notebook, name):
    notebook["cells"] = [c for c in notebook["cells"] if c is not cell(notebook, name)]
    return notebook


def repeat(notebook, name, source=None):
    place = notebook["cells"].index(cell(notebook, name))
    twin = copy.deepcopy(notebook["cells"][place])
    twin["source"] = twin["source"] if source is None else source
    notebook["cells"].insert(place, twin)
    return notebook


def test_a_whole_submission_is_left_as_it_is():
    found = validate(solved(), STUDENT)
    assert found.name == FIRST and found.findings == () and found.gradable
    assert found.notebook == solved()


DAMAGE = {
    "all metadata lost": (strip, "metadata was lost"),
    "a check's metadata lost": (lambda n: strip(n, "00-2-check"), "metadata was lost"),
    "an answer's metadata lost": (lambda n: strip(n, "00-2-answer"), "metadata was lost"),
    "words' metadata lost": (lambda n: strip(n, "00-4-answer"), "metadata was lost"),
    "a check deleted": (lambda n: remove(n, "00-2-check"), "deleted; put back"),
    "the imports deleted": (lambda n: remove(n, "setup"), "deleted; put back"),
    "a check twice": (lambda n: repeat(n, "00-2-check"), "2 times"),
    "an answer twice": (lambda n: repeat(n, "00-2-answer"), "2 times"),
    "answer and stub": (
        lambda n: repeat(n, "00-2-answer", cell(STUDENT[FIRST], "00-2-answer")["source"]),
        "2 times",
    ),
    "a check altered": (lambda n: cell(n, "00-2-check").update(source="assert True") or n, "altered"),
    "an import altered": (lambda n: cell(n, "setup").update(source="import math") or n, "altered"),
    "points altered": (
        lambda n: cell(n, "00-2-check")["metadata"]["nbgrader"].update(points=99) or n,
        "metadata was altered",
    ),
    "a check moved up": (
        lambda n: n["cells"].insert(2, n["cells"].pop(n["cells"].index(cell(n, "00-3-check")))) or n,
        "moved",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_that_can_be_repaired_is_told_and_costs_nothing(damage):
    spoil, words = DAMAGE[damage]
    found = validate(spoil(solved()), STUDENT)
    assert any(words in f.what for f in found.findings) and found.gradable
    ids = [c["metadata"]["nbgrader"]["grade_id"] for c in found.notebook["cells"]]
    assert ids == [c["metadata"]["nbgrader"]["grade_id"] for c in STUDENT[FIRST]["cells"]]
    assert set(without_limits(found.notebook).values()) == {""}
    assert cell(found.notebook, "00-2-check")["metadata"]["nbgrader"]["points"] == 3
    assert cell(found.notebook, "00-4-answer")["source"] == cell(solved(), "00-4-answer")["source"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda n: remove(n, "00-2-answer"), "answer is missing"),
        (lambda n: repeat(n, "00-2-answer", "def my_auroc(labels, scores):\n    return 0.5"), "which one"),
    ],
)
def test_what_a_person_must_decide_is_not_graded(spoil, words):
    found = validate(spoil(solved()), STUDENT)
    assert not found.gradable and any(words in f.what for f in found.findings)
    grades = {g.exercise: g for g in grade(found, MASTERS[FIRST], seconds=10)}
    assert grades["00-2"].points is None and words in grades["00-2"].why
    assert grades["00-1"].points == 2 and grades["00-3"].points == 3


def test_a_students_own_cells_stay_where_they_are():
    notebook = solved()
    own = own_cell("mine = 1")
    place = notebook["cells"].index(cell(notebook, "00-2-answer"))
    notebook["cells"].insert(place, own)
    found = validate(notebook, STUDENT)
    assert found.findings == () and found.notebook["cells"][place]["source"] == "mine = 1"


def test_an_altered_check_does_not_save_a_stub():
    notebook = copy.deepcopy(STUDENT[FIRST])
    cell(notebook, "00-2-check")["source"] = "assert True"
    found = validate(notebook, STUDENT)
    assert "not done yet" in without_limits(found.notebook)["00-2-check"]


def test_checks_that_student_code_replaced_are_back_before_they_judge():
    notebook = copy.deepcopy(STUDENT[FIRST])
    cell(notebook, "00-1-answer")["source"] += "\nchecks.check_auroc = lambda answer: True"
    assert "not done yet" in without_limits(notebook)["00-2-check"]


def test_the_projects_checks_that_student_code_replaced_are_back_before_they_judge():
    notebook = copy.deepcopy(MASTERS[PROJECT])
    answer = cell(notebook, "project-1-answer")
    answer["source"] = cell(STUDENT[PROJECT], "project-1-answer")["source"]
    answer["source"] += "\nproject.check_quality = project.check_detector = lambda *any: True"
    assert "" not in without_limits(notebook).values()


def test_a_cell_that_asks_for_points_without_being_of_the_assignment_gets_none():
    notebook = copy.deepcopy(STUDENT[FIRST])
    forged = copy.deepcopy(cell(notebook, "00-2-check"))
    forged["metadata"]["nbgrader"] |= {"grade_id": "00-9-check", "points": 50}
    forged["source"] = "True"
    notebook["cells"].append(forged)
    found = validate(notebook, STUDENT)
    assert [f.what for f in found.findings] == [
        "a cell that is not of the assignment asked for points; it is plain now"
    ]
    grades = grade(found, MASTERS[FIRST], seconds=10)
    assert {g.exercise for g in grades} == {e.name for e in EXERCISES[FIRST]}
    assert sum(g.points or 0 for g in grades) == 0


def test_a_notebook_of_something_else_is_refused():
    other = {"cells": [{"cell_type": "code", "metadata": {}, "source": "1 + 1"}]}
    with pytest.raises(DataError, match="no cell of any assignment"):
        validate(other, STUDENT)


@pytest.mark.parametrize("text", ['{"cells": [', "{}", '{"cells": [{"cell_type": "sound", "source": ""}]}'])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "s.ipynb").write_text(text)
    with pytest.raises(DataError, match=r"s\.ipynb is not a whole notebook"):
        read_submission(tmp_path / "s.ipynb")


# --- running untrusted code -------------------------------------------------------------------------------------------


def graded(code, **limits):
    """Grades of a perfect submission whose second exercise is replaced."""
    notebook = solved()
    cell(notebook, "00-2-answer")["source"] = code
    return {g.exercise: g for g in grade(validate(notebook, STUDENT), MASTERS[FIRST], **limits)}


def test_a_loop_without_end_costs_its_own_exercise():
    loop = "while True:\n        try:\n            pass\n        except Exception:\n            pass"
    code = f"def my_auroc(labels, scores):\n    {loop}"
    grades = graded(code, seconds=2)
    assert grades["00-2"].points == 0 and "loop never end" in grades["00-2"].why
    assert grades["00-1"].points == 2 and grades["00-3"].points == 3


def only_its_own(grades, words):
    """The second exercise lost its points, with these words, and no other did."""
    assert grades["00-2"].points == 0 and words in grades["00-2"].why, grades["00-2"].why
    assert grades["00-1"].points == 2 and grades["00-3"].points == 3


SWALLOWS = """
def my_auroc(labels, scores):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""
ENDLESS = {
    "swallows the interrupt, in the check": (SWALLOWS, "loop never end"),
    "swallows the interrupt, in its cell": (SWALLOWS + "my_auroc(0, 0)", "loop never end"),
    "C code that hears nothing": (
        "def my_auroc(labels, scores):\n    return sum(iter(int, 1))",
        "loop never end",
    ),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "loop never end"),
    "ends its process": ("import os\nos._exit(3)", "died"),
    "ends its process in the check": (
        "import os\n\ndef my_auroc(labels, scores):\n    os._exit(3)",
        "died",
    ),
    "a crash": ("import ctypes\nctypes.string_at(0)", "died"),
    "asks somebody": ("def my_auroc(labels, scores):\n    return float(input())", "ValueError"),
}


FORGERIES = {
    "at exit": """
import atexit, json
for name in ("results.jsonl", "../results.jsonl"):
    atexit.register(lambda name=name: open(name, "a").write(json.dumps(["00-2-check", ""])))
""",
    "all check functions": """
import dualad_lib, sys
for module in [m for name, m in sys.modules.items() if name.startswith("dualad_lib")]:
    for name in [n for n in vars(module) if n.startswith(("check", "_check", "CheckFailed"))]:
        setattr(module, name, lambda *any, **more: True)
""",
    "the bridge": """
from dualad_lib.teaching import bridge
class Forged:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {bridge.MIME: '{"value": true, "passed": true, "changed": {}}'}
bridge.fetch = bridge.call = lambda *any: Forged()
""",
    "an answer equal to everything": """
class Yes(float):
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = lambda self, other: True
    __hash__ = float.__hash__
    __array__ = lambda self, *any, **more: Yes(1)
class Word(str):
    __eq__ = lambda self, other: True
    __hash__ = str.__hash__
answers = {name: Word("same") for name in checks.SCORE_CHANGES}
my_auroc = honest_report = lambda *any: Yes(1)
""",
    "the solution of the caller": """
import sys
def my_auroc(labels, scores):
    frame = sys._getframe()
    while frame:
        for name in ("right", "expected"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back
    return 0
""",
    "messages of its own": """
import json, threading
from dualad_lib.teaching import bridge
kernel = get_ipython().kernel
def flood():
    while True:
        for ident in [None]:
            kernel.session.send(kernel.iopub_socket, "execute_reply", {"status": "ok", "user_expressions": {}})
threading.Thread(target=flood, daemon=True).start()
""",
}

SLOW_WAYS = {*ENDLESS, *FORGERIES} - {
    "swallows the interrupt, in the check",
    "ends its process in the check",
    "asks somebody",
    "all check functions",
    "the solution of the caller",
}


def ways(all_of_them):
    """Parameters: one of each kind runs by default."""
    return [pytest.param(way, marks=pytest.mark.slow) if way in SLOW_WAYS else way for way in all_of_them]


@pytest.mark.parametrize("way", ways(ENDLESS))
def test_a_cell_that_does_not_end_or_ends_all_costs_its_own_exercise(way):
    code, words = ENDLESS[way]
    only_its_own(graded(code, seconds=2), words)


def test_memory_filled_bit_by_bit_costs_its_own_exercise():
    code = "kept = []\nwhile True:\n    kept.append(bytearray(10**6))"
    only_its_own(graded(code, memory_mb=256), "memory")


def test_a_timer_that_ends_the_kernel_later_costs_its_own_exercise():
    notebook = solved()
    late = "import os, threading\nthreading.Timer(0.3, os._exit, (1,)).start()"
    cell(notebook, "00-1-answer")["source"] = late
    for name in ("00-2-answer", "00-3-answer"):
        cell(notebook, name)["source"] += "\nimport time\ntime.sleep(0.5)"
    grades = {g.exercise: g.points for g in grade(validate(notebook, STUDENT), MASTERS[FIRST], seconds=5)}
    assert grades == {"00-1": 0, "00-2": 3, "00-3": 3, "00-4": None}


def test_what_an_earlier_cell_defined_is_there_again_after_a_kernel_was_lost():
    notebook = solved()
    own = {
        "cell_type": "code",
        "metadata": {},
        "source": "pick = max",
        "outputs": [],
        "execution_count": None,
    }
    notebook["cells"].insert(1, own)
    cell(notebook, "00-2-answer")["source"] = "import os\nos._exit(0)"
    cell(notebook, "00-3-answer")["source"] = (
        "def honest_report(development, test):\n    return test[development.index(pick(development))]"
    )
    grades = {g.exercise: g.points for g in grade(validate(notebook, STUDENT), MASTERS[FIRST], seconds=5)}
    assert grades["00-3"] == 3 and grades["00-2"] == 0


@pytest.mark.slow
def test_all_cells_together_have_a_limit(monkeypatch):
    monkeypatch.setattr("dualad_lib.teaching.grading.START", 60)
    monkeypatch.setattr("dualad_lib.teaching.grading.OVERHEAD", -60 - 2 * 11 + 5)  # 5 s for 11 cells
    notebook = solved()
    for _ in range(4):
        notebook["cells"].insert(1, own_cell(SWALLOWS + "my_auroc(0, 0)"))
    why = judge(notebook, MASTERS[FIRST], seconds=2)["00-2-check"]
    assert "no end after 2 s" in why


def test_leaving_early_ends_a_cell_and_not_the_grading():
    grades = graded("raise SystemExit")
    assert grades["00-2"].points == 0 and grades["00-3"].points == 3
    last = copy.deepcopy(solved())
    cell(last, "00-3-answer")["source"] += "\nexit()"
    grades = {g.exercise: g.points for g in grade(validate(last, STUDENT), MASTERS[FIRST], seconds=5)}
    assert grades["00-1"] == 2 and grades["00-2"] == 3


def test_what_works_in_jupyter_costs_nothing():
    lines = [
        "%matplotlib inline\n%load_ext autoreload",
        "!echo hello",
        "import asyncio\nfound = await asyncio.sleep(0, 7)",
        "display(found)\nlen?",
        "import matplotlib.pyplot as plt\nplt.plot([found]); plt.show()",
        "who = input('Who? ')",
        "get_ipython().run_line_magic('time', '1 + 1')",
        "import os, sys, tempfile\ngone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)",
        "sys.stdout = None",
    ]
    notebook = solved()
    answer = cell(notebook, "00-2-answer")
    answer["source"] = "%%time\n" + answer["source"]
    cell(notebook, "00-3-answer")["source"] += "\n%timeit -n1 -r1 1 + 1"
    place = notebook["cells"].index(answer)
    for line in reversed(lines):
        notebook["cells"].insert(place, own_cell(line))
    notebook["cells"].insert(place + len(lines) + 1, own_cell("if (found, who) != (7, ''): my_auroc = None"))
    assert set(judge(notebook, MASTERS[FIRST]).values()) == {""}


@pytest.mark.slow
@pytest.mark.parametrize(
    "exercise",
    [e for e in CODED if e.kind == "Code"],
    ids=lambda e: e.name,
)
def test_a_function_that_empties_its_arguments_gets_no_points(exercise):
    """A check that works its answer out afterwards, from the same arrays, must not be led astray."""
    lesson = next(name for name in EXERCISES if exercise in EXERCISES[name])
    notebook = solved(lesson)
    cell(notebook, f"{exercise.name}-answer")["source"] += f"""
def emptied(function):
    def emptying(*arguments):
        for one in arguments:
            if isinstance(one, list):
                one[:] = [0.0] * len(one)
            elif hasattr(one, "shape"):
                one[...] = 0
        return function(*arguments)
    return emptying

{exercise.answer} = emptied({exercise.answer})
"""
    assert judge(notebook, MASTERS[lesson])[f"{exercise.name}-check"]


def test_sorting_an_argument_in_place_is_no_fault():
    lesson = "07_your_own_images"
    exercise = next(e for e in EXERCISES[lesson] if e.check == f"checks.check_conformal_p_value({e.answer})")
    notebook = solved(lesson)
    cell(notebook, f"{exercise.name}-answer")["source"] = (
        f"def {exercise.answer}(calibration, score):\n    calibration.sort()\n"
        "    return (1 + (calibration >= score).sum()) / (len(calibration) + 1)"
    )
    assert judge(notebook, MASTERS[lesson])[f"{exercise.name}-check"] == ""


@pytest.mark.parametrize("way", ways(FORGERIES))
def test_student_code_gives_itself_no_points(way):
    notebook = copy.deepcopy(STUDENT[FIRST])
    cell(notebook, "00-1-answer")["source"] += FORGERIES[way]
    grades = grade(validate(notebook, STUDENT), MASTERS[FIRST], seconds=10)
    assert [g.points for g in grades] == [0, 0, 0, 0]


def test_words_are_left_to_a_person_unless_there_are_none():
    assert graded("x = 1")["00-4"].points is None
    notebook = solved()
    for nothing in (cell(STUDENT[FIRST], "00-4-answer")["source"], " \n"):
        cell(notebook, "00-4-answer")["source"] = nothing
        last = grade(validate(notebook, STUDENT), MASTERS[FIRST], seconds=10)[-1]
        assert last.points == 0 and last.why == "not answered"


# --- the command ------------------------------------------------------------------------------------------------------


def written(folder, notebook, name="ada.ipynb"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(notebook))
    return str(folder / name)


def test_validate_writes_a_repaired_copy_and_tells_by_its_status(tmp_path, capsys):
    whole = written(tmp_path, solved())
    assert cli.main(["course", "validate", whole]) == 0
    spoilt = written(tmp_path, strip(solved()), "bob.ipynb")
    assert cli.main(["course", "validate", spoilt, "--output", str(tmp_path / "fixed")]) == 1
    assert validate(read_submission(tmp_path / "fixed" / "bob.ipynb"), STUDENT).findings == ()
    missing = written(tmp_path, remove(solved(), "00-2-answer"), "cy.ipynb")
    assert cli.main(["course", "validate", missing]) == 2
    assert "NOT repaired" in capsys.readouterr().out
    assert cli.main(["course", "validate", spoilt, "--output", str(tmp_path)]) == 2  # would replace it
    assert "would replace" in capsys.readouterr().err


def test_validate_keeps_nbgraders_layout(tmp_path):
    paths = []
    for student in ("ada", "bob"):
        (tmp_path / "inbox" / student).mkdir(parents=True)
        paths.append(written(tmp_path / "inbox" / student / FIRST, strip(solved()), f"{FIRST}.ipynb"))
    assert cli.main(["course", "validate", *paths, "--output", str(tmp_path / "submitted")]) == 1
    for student in ("ada", "bob"):
        repaired = read_submission(tmp_path / "submitted" / student / FIRST / f"{FIRST}.ipynb")
        assert validate(repaired, STUDENT).findings == ()


def test_two_submissions_are_not_written_into_one_file(tmp_path, capsys):
    paths = [written(tmp_path / student, solved(), "mine.ipynb") for student in ("ada", "bob")]
    assert cli.main(["course", "validate", *paths, "--output", str(tmp_path / "fixed")]) == 2
    assert "one file name" in capsys.readouterr().err and not (tmp_path / "fixed").exists()


def test_grade_writes_a_table(tmp_path, capsys):
    paths = [written(tmp_path, solved()), written(tmp_path, {"cells": []}, "bob.ipynb")]
    assert cli.main(["course", "grade", *paths, "--output", str(tmp_path / "g.csv")]) == 2
    assert "8 of 11 points, 3 still open" in capsys.readouterr().out
    with open(tmp_path / "g.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["points"] for row in rows] == ["2", "3", "3", "", ""]
    assert "not graded" in rows[-1]["why"]


def test_a_table_of_grades_replaces_nothing_but_what_it_grades(tmp_path, monkeypatch, capsys):
    mine = written(tmp_path, solved())
    before = (tmp_path / "ada.ipynb").read_bytes()
    assert cli.main(["course", "grade", mine, "--output", mine]) == 2
    assert "is a submission, and the table of grades would replace it" in capsys.readouterr().err
    assert (tmp_path / "ada.ipynb").read_bytes() == before
    other = tmp_path / "points.csv"
    other.write_text("name,points\nada,9\n")
    assert cli.main(["course", "grade", mine, "--output", str(other)]) == 2
    assert "is no table of grades" in capsys.readouterr().err and "ada,9" in other.read_text()

    table = tmp_path / "g.csv"
    head, by_hand = ",".join(desk.COLUMNS), "bob.ipynb,00,1,3,3,by hand"
    table.write_text(
        f"{head}\n{by_hand}\n{mine},00,1,1,3,before\n", encoding="utf-8-sig"
    )  # as spreadsheets do
    monkeypatch.setattr(desk, "grade", lambda *rest: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        desk.grade_all([mine], str(table), say=lambda text: None)
    assert table.read_text(encoding="utf-8-sig") == f"{head}\n{by_hand}\n{mine},00,1,1,3,before\n"
    monkeypatch.setattr(desk, "grade", lambda *rest: [])
    written(tmp_path, {"cells": []}, "cy.ipynb")
    assert desk.grade_all([mine, str(tmp_path / "cy.ipynb")], str(table), say=lambda text: None) == 2
    found = table.read_text().splitlines()
    assert found[:2] == [head, by_hand] and "cy.ipynb" in found[-1]


def test_a_submission_counts_once_whatever_its_path(tmp_path, monkeypatch, capsys):
    written(tmp_path, solved())
    monkeypatch.chdir(tmp_path)
    absolute = str(tmp_path / "ada.ipynb")
    for paths in (["ada.ipynb", "ada.ipynb"], ["ada.ipynb", "./ada.ipynb"], ["ada.ipynb", absolute]):
        for what in ("grade", "validate"):
            assert cli.main(["course", what, *paths, "--output", str(tmp_path / f"{what}.out")]) == 2
            assert "one submission is named twice" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["ada.ipynb"]
    table = tmp_path / "g.csv"
    table.write_text(f"{','.join(desk.COLUMNS)}\n./ada.ipynb,00,1,1,3,before\nbob.ipynb,00,1,3,3,by hand\n")
    written(tmp_path, {"cells": []})  # nothing to grade, which is a row too
    assert desk.grade_all([absolute], str(table), say=lambda text: None) == 2
    assert [line.split(",")[0] for line in table.read_text().splitlines()[1:]] == ["bob.ipynb", absolute]


def test_what_student_code_says_cannot_steer_a_terminal():
    assert desk._line("a\x00\x1b[31m\u202eb \n c \ud800") == "a\\x00\\x1b[31m\\u202eb c \\ud800"


def test_a_copy_is_called_as_the_submission_that_was_named(tmp_path, capsys):
    written(tmp_path / "kept", strip(solved()), "good.ipynb")
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "kept" / "good.ipynb")
    fixed, link = tmp_path / "fixed", str(tmp_path / "link.ipynb")
    assert cli.main(["course", "validate", link, "--output", str(fixed)]) == 1
    assert os.listdir(fixed) == ["link.ipynb"]
    assert cli.main(["course", "validate", link, link, "--output", str(fixed)]) == 2
    assert "named twice" in capsys.readouterr().err


def test_a_copy_that_cannot_be_written_does_not_end_the_class(tmp_path, capsys):
    paths = [written(tmp_path, strip(solved()), name) for name in ("ada.ipynb", "bob.ipynb")]
    (tmp_path / "fixed" / "ada.ipynb").mkdir(parents=True)
    assert cli.main(["course", "validate", *paths, "--output", str(tmp_path / "fixed")]) == 2
    assert "ada.ipynb is a folder" in capsys.readouterr().out and (tmp_path / "fixed" / "bob.ipynb").is_file()


@pytest.mark.parametrize("what", [["exam"], ["slides", "00"], ["build"], ["validate", "ada.ipynb"]])
def test_a_file_in_the_place_of_a_folder_is_said_at_once(what, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["course", *what, "--output", str(tmp_path / "file")]) == 2
    assert "no file can be written into" in capsys.readouterr().err


def test_build_names_its_assignments(tmp_path, capsys):
    assert cli.main(["course", "build", "--output", str(tmp_path / "a")]) == 0
    assert f"{len(MASTERS)} assignments" in capsys.readouterr().out
    assert (tmp_path / "a" / "student" / FIRST / f"{FIRST}.ipynb").is_file()


def test_handed_out_is_what_students_get():
    assert handed_out() == STUDENT


# --- the project ------------------------------------------------------------------------------------------------------


def test_every_student_has_a_task_of_their_own():
    tasks = [project.task_of(f"student{number}") for number in range(400)]
    assert len(set(tasks)) == 20 and max(tasks.count(task) for task in set(tasks)) < 50
    assert project.task_of(" Ada ") == project.task_of("ada")


def test_the_projects_solution_gets_all_that_a_machine_gives_and_the_stub_nothing():
    found = validate(solved(PROJECT), STUDENT)
    assert found.findings == ()
    grades = {g.exercise: g.points for g in grade(found, MASTERS[PROJECT], seconds=30)}
    assert grades == {"project-1": 3, "project-1-quality": 7, "project-2": None, "project-3": None}
    stub = grade(validate(STUDENT[PROJECT], STUDENT), MASTERS[PROJECT], seconds=30)
    assert [g.points for g in stub] == [0, 0, 0, 0]


def brightness(x):
    return (x.float() / 255).flatten(1).mean(1)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (lambda x: brightness(x) - brightness(x).mean(), "which other images"),
        (lambda x: brightness(x) + torch.arange(len(x)), "order of the images"),
        (lambda x: brightness(x) * float("nan"), "NaN"),
        (lambda x: brightness(x).mean(), "one finite number an image"),
        (lambda x: torch.zeros(len(x)), "coin"),
    ],
)
def test_a_detector_that_does_not_keep_the_contract_is_told(score, words):
    with pytest.raises(CheckFailed, match=words):
        project.check_detector(lambda train: score, "ada")


def reference(train):
    model = create("knn").fit(train)
    return lambda x: model.anomaly_scores(x).final


def test_a_score_that_falls_with_anomaly_is_told():
    with pytest.raises(CheckFailed, match="MORE anomalous"):
        project.check_detector(lambda train: lambda x: -reference(train)(x), "ada")


def test_a_detector_that_changes_its_images_or_takes_too_long_is_told(monkeypatch):
    with pytest.raises(CheckFailed, match="changed the images"):
        project.check_detector(lambda train: train.zero_() is None or brightness, "ada")
    with pytest.raises(CheckFailed, match="without calling"):
        project.check_detector(lambda train: 1, "ada")
    monkeypatch.setattr(project, "SECONDS", -1)
    with pytest.raises(CheckFailed, match="Training took"):
        project.check_detector(reference, "ada")


def test_quality_is_judged_against_pca_on_images_that_a_secret_draws():
    assert project.check_quality(reference, "ada", "a word")
    with pytest.raises(CheckFailed, match="what PCA reaches there"):
        project.check_quality(lambda train: brightness, "ada", "a word")
    assert project.check_quality(reference, None) is False


def test_the_committed_assignments_are_those_of_the_lessons(tmp_path):
    """Stale? `dualad course build`."""
    build_assignments(tmp_path)
    made, there = (folder / "student" for folder in (tmp_path, load_course().folder / "assignments"))
    made, there = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.ipynb")} for f in (made, there))
    assert made == there
