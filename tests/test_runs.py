"""The strict runner: what it refuses before running, what it writes, what a failure or a kill leaves behind."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import nbformat
import numpy as np
import pytest
from conftest import TINY

from dualad_lib.course import record, runner
from dualad_lib.course.bands import judge, measure_bands, summary
from dualad_lib.course.manifest import load_course
from dualad_lib.course.notebook import collect
from dualad_lib.course.parameters import check, from_text
from dualad_lib.course.provenance import ROOT
from dualad_lib.course.recording import MIME
from dualad_lib.course.render import render
from dualad_lib.course.runner import Outcome, prepare, run
from dualad_lib.errors import DataError, RunError


def notebook(parameters, *cells):
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *cells)]
    nb.cells[0].metadata["tags"] = ["parameters"]
    return nb


# --- parameters ---------------------------------------------------------------------------------------------------


def test_parameters_are_read_with_annotations_and_fitted():
    nb = notebook("a: int | None = None\nb = 0.5\nc = [1, 2]", "print(a, b, c)")
    assert check(nb, {})[0] == {"a": None, "b": 0.5, "c": [1, 2]}
    values, overrides = check(nb, {"a": 3, "b": 1})
    assert values == {"a": 3, "b": 1.0, "c": [1, 2]}
    assert isinstance(overrides["b"], float)


def test_unknown_parameter_names_the_known_ones():
    nb = notebook("normal_class = 0\nsteps = 3", "print(normal_class, steps)")
    with pytest.raises(
        RunError, match=r"'normal_clas' \(did you mean 'normal_class'\?\); known: normal_class, steps"
    ):
        check(nb, {"normal_clas": 1})


@pytest.mark.parametrize(
    "cell",
    [
        "steps = 5",
        "steps += 1",
        "for steps in range(3): pass",
        "import steps",
        "from x import y as steps",
        "def steps(): pass",
        "class steps: pass",
        "with open('f') as steps: pass",
        "a, (steps, *b) = 1, (2, 3)",
        "def f():\n    global steps\n    steps = 1",
        "[(steps := i) for i in range(3)]",
        "try:\n    pass\nexcept OSError as steps:\n    pass",
        "del steps",
    ],
)
def test_overwritten_parameter(cell):
    with pytest.raises(RunError, match="'steps' is overwritten"):
        check(notebook("steps = 3", "print(steps)", cell), {})


@pytest.mark.parametrize(
    "cell",
    [
        "print('steps')  # steps",
        "def f(steps):\n    return steps",
        "lambda steps: steps",
        "x = [steps for steps in range(3)]",
        "def f():\n    steps = 1\n    return steps",
        "x.steps",
        "f(steps=1)",
    ],
)
def test_unused_parameter(cell):
    with pytest.raises(RunError, match="'steps' is unused"):
        check(notebook("steps = 3", cell), {})


@pytest.mark.parametrize(
    "cell",
    [
        "f(steps)",
        "def f():\n    return steps",
        "def f(n=steps):\n    return n",
        "class A:\n    n = steps",
        "class A:\n    def f(self):\n        return [steps for _ in range(2)]",
        "[i for i in range(steps)]",
        "f'{steps:>3}'",
        "@decorate(steps)\ndef f(): pass",
    ],
)
def test_used_parameter(cell):
    assert check(notebook("steps = 3", cell), {})[0] == {"steps": 3}


@pytest.mark.parametrize(
    "line", ["b = a * 2", "import os", "a: int", "a, b = 1, 2", "a = dict(b=1)", "print(1)"]
)
def test_only_literals_in_the_parameters_cell(line):
    with pytest.raises(RunError, match="parameters cell"):
        check(notebook(f"a = 1\n{line}", "print(a, b)"), {})


@pytest.mark.parametrize(
    ("default", "value"),
    [
        ("1", 1.5),
        ("1", True),
        ("1", "2"),
        ("True", 1),
        ("'a'", 3),
        ("0.5", "x"),
        ("[1]", 1),
        ("[1]", ["a"]),
        ("1", None),
    ],
)
def test_type_of_an_override_must_fit(default, value):
    with pytest.raises(RunError, match="does not fit"):
        check(notebook(f"a = {default}", "print(a)"), {"a": value})


def test_values_from_the_command_line():
    nb = notebook(
        "a = 1\nb = 0.1\nc = 'x'\nd: list = [1]\ne = True\nf: int | None = 3", "print(a, b, c, d, e, f)"
    )
    texts = {"a": "3", "b": "-1e-3", "c": "3", "d": "[4, 5]", "e": "False", "f": "None"}
    assert from_text(nb, texts) == {"a": 3, "b": -0.001, "c": "3", "d": [4, 5], "e": False, "f": None}
    assert check(nb, from_text(nb, texts))[0]["f"] is None


@pytest.mark.parametrize(
    "text", ["010", "12:30", "no", "yes", "null", "true", "2026-01-01", "2026-13-45", "", "1.5.2"]
)
def test_what_is_no_python_literal_is_text_and_fits_no_number(text):
    nb = notebook("a = 1\nb: int | None = None\nc = True\nd = 'x'", "print(a, b, c, d)")
    assert from_text(nb, dict.fromkeys("abcd", text)) == dict.fromkeys("abcd", text)
    for name in "ac":
        with pytest.raises(RunError, match=f"parameter '{name}' is .*does not fit"):
            check(nb, from_text(nb, {name: text}))


@pytest.mark.parametrize(
    "text", ["{[]: 1}", "[" * 300, "0x" + "f" * 5000, "9" * 5000, "2026-10-11", "f()", "\x00"]
)
def test_literals_that_python_refuses_are_text(text):
    assert from_text(notebook("a = None", "print(a)"), {"a": text}) == {"a": text}


def test_none_for_a_text_that_may_be_missing():
    nb = notebook("a: str | None = 'x'\nb = 'x'", "print(a, b)")
    assert from_text(nb, {"a": "None", "b": "None"}) == {"a": None, "b": "None"}


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        b"x",
        {1},
        1j,
        ...,
        (1, 2),
        {1: 2},
        [1, [math.nan]],
        "\udcff",
        {"a": b""},
    ],
)
def test_values_that_would_not_reach_the_notebook_as_they_are(value):
    with pytest.raises(RunError, match="parameter 'a'"):
        check(notebook("a = None", "print(a)"), {"a": value})
    if isinstance(value, float):
        with pytest.raises(RunError, match="must be finite"):
            check(notebook("a = 0.5", "print(a)"), {"a": value})


def test_a_number_too_large_for_a_float():
    with pytest.raises(RunError, match="parameter 'a' is too large"):
        check(notebook("a = 0.5", "print(a)"), {"a": 10**400})


def test_parameters_reach_the_notebook_as_they_are(make_course, tmp_path):
    """What papermill writes into the notebook, read back by the notebook."""
    values = {
        "a": "x\t'\"\\n{é}%s",
        "b": None,
        "c": [1, -2.5e-3, [True, None]],
        "d": {"k": [0.5]},
        "e": -1e-300,
    }
    declared = "a = ''\nb: int | None = 1\nc = []\nd = {}\ne = 0.5"
    names = ", ".join(f"{name}={name}" for name in values)
    asserted = f"# %%\nassert {values!r} == dict({names})\n"
    course = make_course({"01_a": f"# %% tags=['parameters']\n{declared}\n\n{asserted}"})
    texts = {name: value if isinstance(value, str) else repr(value) for name, value in values.items()}
    (outcome,) = run(texts=texts, output="out", course=course, say=lambda line: None)
    assert outcome.error == ""
    assert outcome.result["parameters"] == values
    (outcome,) = run(texts={**texts, "c": "(1, 2)"}, output="out", course=course, say=lambda line: None)
    assert outcome.error
    nb = nbformat.read(tmp_path / "out/01_a.failed.ipynb", 4)
    assert any("c = [1, 2]" in cell.source for cell in nb.cells)  # and no text "(1, 2)"


@pytest.mark.parametrize("cell", ["%time f(steps)", "print(steps"])
def test_only_plain_python(cell):
    with pytest.raises(RunError, match="not plain Python"):
        check(notebook("steps = 3", cell), {})


# --- metrics and placeholders -------------------------------------------------------------------------------------


def test_record_prints_outside_a_notebook(capsys):
    record(auroc_pixel=0.83124, steps=3, missing=None, small=np.float32(0.5))
    assert capsys.readouterr().out == "recorded: auroc_pixel 0.8312, steps 3, missing none, small 0.5\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.5", [1, 2], True])
def test_record_refuses_what_is_no_finite_number(value):
    with pytest.raises((TypeError, ValueError), match="a="):
        record(a=value)


def test_record_keeps_the_runners_names():
    with pytest.raises(ValueError, match="run_"):
        record(run_seconds=3)


def test_one_metric_with_two_values_is_an_error():
    nb = notebook("", "record(a=1)", "record(a=2)")
    for cell, value in zip(nb.cells[1:], (1, 2), strict=True):
        cell.outputs = [
            nbformat.v4.new_output("display_data", {MIME: {"metrics": {"a": value}, "device": "cpu"}})
        ]
    with pytest.raises(RunError, match="'a' was recorded twice: 1 and 2"):
        collect(nb)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ a | pct }} %", "83.1 %"),
        ("{{a|pct0}}", "83"),
        ("{{ (a - b) * 100 | f2 }}", "33.12"),
        ("{{ b - b | f1 }} {{ 0 - b / 1000 | f2 }}", "0.0 0.00"),
        ("{{ n }} {{ name }}", "7 x"),
        ("{{ gone | pct }} {{ gone + a | f1 }}", "n/a n/a"),
        ("plain {a} text", "plain {a} text"),
    ],
)
def test_placeholders(text, expected):
    values = {"a": 0.8312, "b": 0.5, "n": 7, "name": "x", "gone": None}
    assert render(text, values) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ auroc | pct }}", "unknown metric 'auroc'; known: a"),
        ("{{ a | percent }}", "unknown filter 'percent'"),
        ("{{ a }}", "needs a filter"),
        ("{{ a. | f1 }}", "not an expression"),
        ("{{ a ** 2 | f1 }}", "only names"),
        ("{{ open(a) | f1 }}", "only names"),
        ("{{ a / 0 | f1 }}", "division by zero"),
        ("$x^{{2}}$", "names no metric"),
    ],
)
def test_bad_placeholders(text, message):
    with pytest.raises(RunError, match=message):
        render(text, {"a": 0.5})


# --- the manifest -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"profile": {}}, "unknown key 'profile' \\(did you mean 'profiles'"),
        ({"profiles": {"smok": {}}}, "did you mean 'smoke'"),
        ({"profiles": {"lesson": {"steps": 1}}}, "the notebook's own"),
        ({"bands": {"value": [2, 1]}}, "band of value"),
        ({"bands": {"value": 2}}, "band of value"),
    ],
)
def test_manifest_is_checked(make_course, entry, message):
    with pytest.raises(RunError, match=message):
        make_course(entries={"01_tiny": entry})


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"\xff\xfe", "not text in UTF-8"),
        (b"lessons: [", "is not YAML"),
        (b"lessons: [2026-13-45]", "is not YAML"),
        (b"[" * 5000, "is not YAML"),
        (b"- 1", "the manifest must be a mapping"),
        (b"lessons: 5", "lessons must be a list"),
        (b"lessons: [5]", "a lesson must be a mapping"),
        (b"cell_timeout: 5", "cell_timeout must be a mapping"),
        (b"lessons: [{name: ../a, title: x}]", "no name of a file"),
        (b"lessons: [{name: a, title: x, profiles: [1]}]", "profiles must be a mapping"),
        (b"lessons: [{name: a, title: x, profiles: {smoke: [1]}}]", "profile smoke must be a mapping"),
        (b"lessons: [{name: a, title: x, profiles: {smoke: {1: 2}}}]", "must be a text"),
        (b"lessons: [{name: a, title: x, bands: {v: [a, 1]}}]", "no cell_timeout"),
        (b"cell_timeout: {smoke: x, lesson: 1, paper: 1}\nlessons: [{name: a, title: x}]", "must be seconds"),
        (
            b"cell_timeout: {smoke: 1, lesson: -1, paper: 1}\nlessons: [{name: a, title: x}]",
            "must be seconds",
        ),
        (
            b"cell_timeout: {smoke: 1, lesson: 1, paper: 1}\nlessons: [{name: a, title: x, bands: {v: [.nan, 1]}}]",
            "band of v",
        ),
        (b"lessons: [{name: a, title: x, bands: {v: [0, 1], v: [0, 9]}}]", "the key 'v' stands twice"),
        (b"lessons: [{name: a, title: x}]\nlessons: [{name: b, title: x}]", "the key 'lessons' stands twice"),
        (b"lessons: [{name: a, title: x, core: 'no'}]", "core must be true or false; it is 'no'"),
        (b"lessons: [{name: a, title: x, bands: false}]", "bands must be a mapping"),
        (b"cell_timeout: ''\nlessons: [{name: a, title: x}]", "cell_timeout must be a mapping"),
        (
            b"cell_timeout: {smoke: 1"
            + 400 * b"0"
            + b", lesson: 1, paper: 1}\nlessons: [{name: a, title: x}]",
            "seconds",
        ),
        (
            b"cell_timeout: {smoke: 1, lesson: 1, paper: 1}\nlessons: [{name: a, title: x, teaches: {f: 3}}]",
            "f must name its place, such as .*; it is 3",
        ),
    ],
)
def test_a_manifest_that_is_none(tmp_path, manifest, message):
    (tmp_path / "course.yml").write_bytes(manifest)
    with pytest.raises(RunError, match=message):
        load_course(tmp_path)


def test_files_of_the_course_may_have_a_byte_order_mark(make_course):
    course = make_course()
    for path in (course.folder / "course.yml", course.lessons[0].source):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (lesson,) = load_course().lessons
    assert prepare(lesson).stamp["parameters"] == {"steps": 2, "rate": 0.1, "label": "a", "seed": 0}


@pytest.mark.parametrize("source", [b"# %%\nx = '\xff'\n", b"# %%\nx = 1\x00\n", b"# %%\nx = (\n"])
def test_a_source_that_cannot_be_read(make_course, source):
    lesson = make_course().lessons[0]
    lesson.source.write_bytes(source)
    with pytest.raises(RunError, match="not text in UTF-8|no percent file|not plain Python"):
        prepare(lesson)


def test_names_of_lessons(make_course):
    course = make_course({"01_tiny": TINY, "01_b": TINY, "02_c": TINY}, {"02_c": {"core": False}})
    assert [lesson.name for lesson in course.select()] == ["01_tiny", "01_b"]
    assert len(course.select(everything=True)) == 3
    assert course.select(["02"])[0].name == "02_c"
    for wrong in ("01", "03", "01_tini"):
        with pytest.raises(RunError, match="no one lesson"):
            course.select([wrong])


def test_no_course_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("DUALAD_COURSE", str(tmp_path))
    with pytest.raises(RunError, match="DUALAD_COURSE"):
        load_course()


# --- running ------------------------------------------------------------------------------------------------------


def test_a_run_writes_notebook_and_metrics_and_is_not_redone(make_course, tmp_path):
    course = make_course(
        entries={"01_tiny": {"profiles": {"smoke": {"steps": 1}}, "bands": {"value": [2.5, 3.5]}}}
    )
    said = []
    (outcome,) = run(output="out", course=course, say=said.append)
    result = json.loads((tmp_path / "out/01_tiny.metrics.json").read_text())
    assert result == outcome.result
    assert result["metrics"] == {"value": 3.0}
    assert result["parameters"] == {"steps": 2, "rate": 0.1, "label": "a", "seed": 0}
    assert (result["profile"], result["seed"], result["default_parameters"]) == ("lesson", 0, True)
    assert result["seconds"] > 0
    assert result["peak_memory_mb"] > 10
    assert set(result["versions"]) == {"python", "dualad", "torch", "torchvision", "numpy", "scikit-learn"}
    nb = nbformat.read(tmp_path / "out/01_tiny.ipynb", 4)
    assert nb.cells[0].source.endswith("The value is 3.0.")
    assert nb.cells[3].outputs[0].text == "a 0.1\n"
    assert nb.cells[3].outputs[1].data["text/plain"] == ""
    assert "papermill" not in nb.metadata
    assert "3 " in summary([outcome])[0]
    assert sorted(os.listdir("out")) == ["01_tiny.ipynb", "01_tiny.metrics.json"]

    run(output="out", course=course, say=said.append)
    assert "already done" in said[-1]
    (again,) = run(texts={"label": "7"}, output="out", course=course, say=said.append)
    assert again.result["parameters"]["label"] == "7"
    assert judge(again)[0][0][2:] == ("not judged (parameters)", "-")


def test_every_lesson_is_checked_before_the_first_runs(make_course, tmp_path):
    course = make_course({"01_tiny": TINY, "02_b": "# %%\nprint(1)\n"})
    with pytest.raises(RunError, match="02_b: unknown parameter 'label'; known: none"):
        run(texts={"label": "x"}, output="out", course=course)
    assert not (tmp_path / "out").exists()


def test_where_a_run_cannot_write_is_said_before_it_begins(make_course, tmp_path):
    course = make_course({"01_a": "# %%\nx = 1\n", "02_b": "# %%\nx = 1\n"})
    with pytest.raises(RunError, match="is the course itself, .* choose another folder"):
        run(output=course.folder, course=course)
    (tmp_path / "out" / "02_b.metrics.json").mkdir(parents=True)
    with pytest.raises(DataError, match=r"02_b\.metrics\.json is a folder"):
        run(output="out", course=course)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        run(output="file", course=course)
    assert os.listdir("out") == ["02_b.metrics.json"] and not course.lessons[0].notebook.exists()


def test_a_full_disk_fails_one_lesson_and_not_the_next(make_course, tmp_path, monkeypatch):
    course, whole = make_course({"01_a": "# %%\nx = 1\n", "02_b": "# %%\nx = 1\n"}), runner.execute

    def full(job, folder):
        if job.lesson.name == "01_a":
            raise OSError(28, "No space left on device", str(folder / "01_a.ipynb"))
        return whole(job, folder)

    monkeypatch.setattr(runner, "execute", full)
    first, second = run(output="out", course=course, say=lambda line: None)
    assert "No space left" in first.error and not second.error


def test_a_lesson_named_twice_runs_once(make_course):
    course = make_course({"01_a": "# %%\nx = 1\n", "02_b": "# %%\nx = 1\n"})
    assert [lesson.name for lesson in course.select(["02", "01", "02_b"])] == ["02_b", "01_a"]


@pytest.mark.parametrize("source", ["# %% [markdown]\n# Only text.\n", "# %%\n\n"])
def test_a_notebook_without_code_is_refused(make_course, source):
    with pytest.raises(RunError, match="no code cell"):
        run(course=make_course({"01_a": source}))


@pytest.mark.slow
def test_failures_are_reported_and_the_next_lesson_runs(make_course, tmp_path):
    course = make_course(
        {
            "01_error": "# %%\nx = 1\n\n# %%\ny = x / 0\n",
            "02_slow": "# %%\nimport time\n\n# %%\ntime.sleep(60)\n",
            "03_skipped": '# %%\nx = 1\n\n# %% tags=["skip-execution"]\ny = 1\n',
            "04_prose": "# %% [markdown]\n# {{ gone | pct }}\n\n# %%\nx = 1\n",
            "05_dead": "# %%\nimport os\n\n# %%\nos._exit(1)\n",
            "06_good": "# %%\nx = 1\n",
        },
        {"02_slow": {"cell_timeout": {"lesson": 1}}},
    )
    outcomes = run(output="out", course=course, say=lambda line: None)
    errors = [outcome.error for outcome in outcomes]
    assert "cell In [2] failed" in errors[0]
    assert "y = x / 0" in errors[0]
    assert "ZeroDivisionError: division by zero" in errors[0]
    assert "code cell 2 (time.sleep(60)) took longer than the 1 s" in errors[1]
    assert "only 1 of 2 code cells were executed" in errors[2]
    assert "unknown metric 'gone'" in errors[3]
    assert "code cell 2 (os._exit(1)): the kernel died" in errors[4]
    assert errors[5] == ""
    assert not summary(outcomes)[1]
    expected = {f"{o.lesson.name}.failed.ipynb" for o in outcomes[:5]} | {
        "06_good.ipynb",
        "06_good.metrics.json",
    }
    assert set(os.listdir("out")) == expected


def test_a_failed_fresh_run_takes_the_old_metrics_away(make_course, tmp_path):
    flag = tmp_path / "fail"
    course = make_course({"01_a": f"# %%\nimport os\nassert not os.path.exists({str(flag)!r})\n"})
    run(output="out", course=course, say=lambda line: None)
    flag.touch()
    (outcome,) = run(output="out", course=course, fresh=True, say=lambda line: None)
    assert "AssertionError" in outcome.error
    assert not (tmp_path / "out/01_a.metrics.json").exists()
    flag.unlink()
    (outcome,) = run(output="out", course=course, say=lambda line: None)
    assert not outcome.error
    assert sorted(os.listdir("out")) == ["01_a.ipynb", "01_a.metrics.json"]


def test_a_run_that_does_not_end_leaves_what_another_run_wrote(make_course, tmp_path, monkeypatch):
    course = make_course({"01_a": '# %% tags=["parameters"]\nx = 1\n\n# %%\nassert x == 1\n'})
    out, quiet = tmp_path / "out", {"course": course, "say": lambda line: None}
    run(output=out, **quiet)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (outcome,) = run(texts={"x": "2"}, output=out, **quiet)
    assert "AssertionError" in outcome.error
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_papermill", lambda *job: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(output=out, fresh=True, **quiet)
    (out / "01_a.failed.ipynb").unlink()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    said = []
    run(output=out, course=course, say=said.append)
    assert "already done" in said[0]


def test_a_notebook_of_no_run_is_not_replaced(make_course, tmp_path):
    course = make_course({"01_a": "# %%\nx = 1\n", "02_b": "# %%\nx = 1\n"})
    out, quiet = tmp_path / "out", {"course": course, "say": lambda line: None}
    out.mkdir()
    nbformat.write(notebook("mine = 1"), out / "02_b.ipynb")
    for text in ((out / "02_b.ipynb").read_text(), "cut off"):
        (out / "02_b.ipynb").write_text(text)
        with pytest.raises(
            RunError, match=r"02_b\.ipynb is no notebook of an earlier run.* choose another folder"
        ):
            run(output=out, **quiet)
        assert os.listdir(out) == ["02_b.ipynb"] and (out / "02_b.ipynb").read_text() == text
    (out / "02_b.ipynb").unlink()
    run(output=out, **quiet)
    (out / "02_b.ipynb").write_text("damaged")  # of a run: its metrics stand beside it
    assert [outcome.error for outcome in run(output=out, **quiet)] == ["", ""]


def test_bands_are_judged_only_for_the_lesson_profile_itself(make_course):
    lesson = make_course(entries={"01_tiny": {"bands": {"value": [1, 2], "other": [0, 1]}}}).lessons[0]
    result = {"profile": "lesson", "default_parameters": True, "metrics": {"value": 1.5, "free": 7}}
    rows, passed = judge(Outcome(lesson, {**result, "metrics": {"value": 1.5, "other": 0.5, "free": 7}}))
    assert passed
    assert rows == [
        ("value", "1.5", "1 to 2", "pass"),
        ("other", "0.5", "0 to 1", "pass"),
        ("free", "7", "-", "-"),
    ]
    rows, passed = judge(Outcome(lesson, result))
    assert not passed  # the band of a metric that was not recorded fails
    rows, passed = judge(Outcome(lesson, {**result, "metrics": {"value": 2.5, "other": None}}))
    assert [row[3] for row in rows] == ["FAIL", "FAIL"]
    rows, passed = judge(Outcome(lesson, {**result, "profile": "smoke"}))
    assert passed
    assert rows[0][2] == "not judged (smoke)"


def test_bands_are_measured_over_seeds(make_course, tmp_path):
    course = make_course()
    (row,) = measure_bands("01", seeds=2, output=tmp_path / "bands.csv", course=course, say=lambda line: None)
    assert (row["min"], row["mean"], row["max"]) == (3.0, 3.5, 4.0)
    assert row["low"] == pytest.approx(3.5 - 4 * math.sqrt(0.5))
    assert (tmp_path / "bands.csv").read_text().splitlines()[
        0
    ] == "lesson,metric,seeds,min,mean,max,sd,low,high"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.slow
def test_kill_9_leaves_no_metrics_and_the_next_run_completes(make_course, tmp_path):
    wait, pid_file = tmp_path / "wait", tmp_path / "pid"
    wait.touch()
    course = make_course(
        {
            "01_tiny": TINY,
            "02_slow": f"""
            # %%
            import os, time
            from dualad_lib.course import record
            record(value=1)
            # %%
            with open({str(pid_file)!r}, "w") as file:
                file.write(str(os.getpid()))
            while os.path.exists({str(wait)!r}):
                time.sleep(0.1)
            """,
        }
    )
    out = tmp_path / "out"
    command = [sys.executable, "-m", "dualad_lib.cli", "run", "--output", str(out)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 90
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = ["01_tiny.ipynb", "01_tiny.metrics.json"]
    assert [name for name in sorted(os.listdir(out)) if not name.startswith(".")] == finished
    assert any(name.startswith(".02_slow.") for name in os.listdir(out))  # what papermill had written so far

    kernel = int(pid_file.read_text())
    while os.path.exists(f"/proc/{kernel}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{kernel}"), "the killed run left its kernel behind"

    wait.unlink()
    said = []
    outcomes = run(output=out, course=course, say=said.append)
    assert "01_tiny (lesson): already done" in said[0]
    assert [outcome.error for outcome in outcomes] == ["", ""]
    assert sorted(os.listdir(out)) == [*finished, "02_slow.ipynb", "02_slow.metrics.json"]


def test_a_second_run_in_the_same_folder_waits_and_finds_it_done(make_course, tmp_path):
    """The kernel of the first run waits for a file; meanwhile the second run says what it waits for."""
    go = tmp_path / "go"
    course = make_course(
        {"01_a": f"# %%\nimport os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.05)\n"}
    )
    said, outcomes = ([], []), [None, None]

    def one(number):
        outcomes[number] = run(output=tmp_path / "out", course=course, say=said[number].append)

    first = threading.Thread(target=one, args=(0,))
    first.start()
    end = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".01_a.*.tmp.ipynb")):
        assert time.monotonic() < end
        time.sleep(0.05)
    second = threading.Thread(target=one, args=(1,))
    second.start()
    while not said[1]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert said[1] == [f"01_a: another run is at it in {tmp_path / 'out'}; waiting for its end"]
    go.touch()
    first.join()
    second.join()
    assert [outcome.error for (outcome,) in outcomes] == ["", ""]
    assert "finished" in said[0][-1]
    assert "already done" in said[1][-1]
    assert sorted(os.listdir("out")) == ["01_a.ipynb", "01_a.metrics.json"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("01_a.metrics.json", lambda text: text[: len(text) // 2]),
        ("01_a.metrics.json", lambda text: "[]"),
        ("01_a.metrics.json", lambda text: "[" * 100_000),
        ("01_a.metrics.json", lambda text: text.replace('"seconds"', '"hours"')),
        ("01_a.ipynb", lambda text: text[: len(text) // 2]),
        ("01_a.ipynb", lambda text: "{}"),
        ("01_a.ipynb", lambda text: text.replace('"seconds"', '"hours"')),
    ],
)
def test_a_damaged_run_is_not_taken_for_done(make_course, tmp_path, name, damage):
    course = make_course({"01_a": "# %%\nx = 1\n"})
    (outcome,) = run(output="out", course=course, say=lambda line: None)
    job = prepare(course.lessons[0])
    assert runner._done(job, tmp_path / "out") == outcome.result
    path = tmp_path / "out" / name
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert runner._done(job, tmp_path / "out") is None


def test_prepare_names_the_lesson(make_course):
    course = make_course({"01_a": '# %% tags=["parameters"]\nsteps = 3\n\n# %%\nprint(1)\n'})
    with pytest.raises(RunError, match="01_a: parameter 'steps' is unused"):
        prepare(course.lessons[0])
