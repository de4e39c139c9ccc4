"""The kernel in which submissions run: what it may, what it can't lift, and what crosses the bridge; odd files."""

import csv
import json
import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from types import SimpleNamespace

import nbformat
import numpy as np
import psutil
import pytest
import torch
from test_teaching import FIRST, MASTERS, STUDENT, cell, judged, own_cell, solved, written

from dualad_lib import cli
from dualad_lib.teaching import bridge, desk, grading, kernels
from dualad_lib.teaching.grading import grade
from dualad_lib.teaching.kernels import Died, Kernel, Stopped
from dualad_lib.teaching.submissions import read_submission, validate

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux limits this, others can't")


@pytest.fixture
def kernel():
    with Kernel(memory_mb=512, cpu_seconds=60, seconds=60) as started:
        yield started


def soon():
    return time.monotonic() + 20


# --- what crosses -----------------------------------------------------------------------------------------------------


def there_and_back(value):
    return bridge.decode(json.loads(json.dumps(bridge.encode(value))), lambda number: number)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        10**30,
        0.1,
        float("inf"),
        "a \u00e9",
        [1, [2.5]],
        (1, "b"),
        {"a": (None, ...)},
        ...,
        {1: 2},
    ],
)
def test_plain_values_cross_the_bridge_as_they_are(value):
    assert there_and_back(value) == value and type(there_and_back(value)) is type(value)


def test_arrays_and_tensors_keep_their_type_and_their_shape():
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.array(3),
        np.array([True]),
        np.array(["a"]),
        np.zeros((0, 2)),
    ):
        found = there_and_back(array)
        assert type(found) is np.ndarray and found.dtype == array.dtype and np.array_equal(found, array)
    assert type(there_and_back(np.float32(2))) is np.float32 and type(there_and_back(np.bool_(1))) is np.bool_
    for tensor in (torch.ones(2, requires_grad=True), torch.tensor(1), torch.ones(3).to(torch.bfloat16)):
        assert torch.equal(there_and_back(tensor), tensor.detach().float().to(there_and_back(tensor).dtype))
    assert there_and_back(Fraction(1, 2)) == 0.5 and list(there_and_back(range(3))) == [0, 1, 2]
    assert there_and_back([np.array([1, None], dtype=object)]) == [[1, None]]


def test_what_is_no_data_crosses_as_nothing_but_a_name():
    class Sly:
        __eq__ = __bool__ = lambda *any: True
        __reduce__ = lambda self: (os.system, ("false",))  # noqa: E731

    class Word(str):
        __eq__ = lambda self, other: True  # noqa: E731
        __hash__ = str.__hash__

    found = there_and_back(Sly())
    assert type(found).__name__ == "Sly" and type(found) is not Sly
    with pytest.raises(TypeError, match="Sly"):
        float(found)
    assert type(there_and_back(Word("x"))) is str


@pytest.mark.parametrize(
    "content", [["pickle", "gASV"], ["array", "gASV"], [1, 2, 3], 7, ["dict", [[["list", []], 1]]]]
)
def test_what_the_bridge_does_not_write_is_refused(content):
    with pytest.raises((ValueError, TypeError, OSError, EOFError)):
        bridge.decode(content, lambda number: None)


def test_functions_run_in_the_kernel_and_their_errors_come_back(kernel):
    source = """
def double(x):
    return 2 * x

def fails(x):
    return [][1]

def kept(x):
    x[0] = 9

def twice(function, x):
    return function(function(x))

def build():
    return double
"""
    assert kernel.run(source, 20) == ""
    assert torch.equal(kernel.fetch("double", soon())(torch.ones(2)), 2 * torch.ones(2))
    assert kernel.fetch("build", soon())()(4) == 8
    assert kernel.fetch("twice", soon())(lambda x: x + 1, 1) == 3
    with pytest.raises(IndexError, match="list index"):
        kernel.fetch("fails", soon())(1)
    with pytest.raises(KeyError, match="missing"):
        kernel.fetch("missing", soon())
    array = np.zeros(2)
    kernel.fetch("kept", soon())(array)
    assert array[0] == 0
    kernel.fetch("kept", soon(), in_place=True)(array)
    assert array[0] == 9


# --- what it may not --------------------------------------------------------------------------------------------------


@linux
def test_limits_are_hard_and_nothing_lifts_them(kernel):
    code = """
import os, resource
lifted = []
for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE"):
    soft, hard = resource.getrlimit(getattr(resource, name))
    assert soft == hard != resource.RLIM_INFINITY, name
    try:
        resource.setrlimit(getattr(resource, name), (hard + 1, hard + 1))
        lifted.append(name)
    except (ValueError, OSError):
        pass
lifted += [os.system("ulimit -v unlimited 2>/dev/null") == 0]
rights = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
lifted += [name for name in ("CapEff", "CapPrm", "CapInh") if int(rights[name], 16) & ~2]  # all but reading files
lifted += ["sudo"] * (rights["NoNewPrivs"] != "1")
"""
    assert kernel.run(code, 20) == ""
    assert kernel.fetch("lifted", soon()) == [False]
    assert "File too large" in kernel.run("open('big', 'wb').truncate(10**12)", 20)
    assert "memory" in kernel.run("x = b'a' * 10**9", 20)
    assert kernel.run("fine = 1", 20) == ""


@linux
@pytest.mark.slow
def test_the_kernel_starts_in_an_empty_folder_and_knows_nothing_of_the_grader(monkeypatch):
    monkeypatch.setenv("API_KEY", "blue-whale")
    kernels._stop()  # so that a host starts from this environment
    with Kernel(memory_mb=512, cpu_seconds=60, seconds=60) as kernel:
        code = """
import os, sys
found = os.listdir(), "blue-whale" in str(dict(os.environ)), os.path.expanduser("~") in os.path.dirname(os.getcwd())
open_too = []
for process in (os.getppid(), GRADER):
    for name in ("environ", "mem", "fd/0", "fd/1", "cmdline"):
        try:
            if "blue-whale" in open(f"/proc/{process}/{name}", "rb").read(10**5).decode(errors="replace"):
                open_too.append((process, name))
        except OSError:
            pass
"""
        assert kernel.run(code.replace("GRADER", str(os.getpid())), 20) == ""
        assert kernel.fetch("found", soon())[:2] == ([], False)
        assert kernel.fetch("open_too", soon()) == []


@linux
def test_nothing_outlives_the_kernel(kernel):
    code = """
import os, subprocess, sys
subprocess.Popen(["sleep", "876.5"], start_new_session=True, env={})
subprocess.Popen(["sh", "-c", "setsid sleep 876.5 & exit"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "876.5"])
    os._exit(0)
"""
    assert kernel.run(code, 20) == ""
    time.sleep(0.5)
    assert len(sleepers()) == 3
    folder = kernel.folder
    kernel.close()
    assert sleepers() == [] and not folder.exists()


def sleepers():
    found = [process.info for process in psutil.process_iter(["cmdline", "status"])]
    return [
        one for one in found if "876.5" in (one["cmdline"] or ()) and one["status"] != psutil.STATUS_ZOMBIE
    ]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("signal_", ["SIGKILL", "SIGSTOP"])
def test_ending_its_host_saves_no_process(kernel, signal_):
    code = f"""
import os, signal, subprocess
subprocess.Popen(["sleep", "876.5"], start_new_session=True)
os.kill(os.getppid(), signal.{signal_})
"""
    kernel.run(code, 20)
    process = kernel.process
    kernel.close()
    psutil.wait_procs([process], timeout=5)
    assert not process.is_running() and sleepers() == []
    with Kernel(memory_mb=512, cpu_seconds=60, seconds=60) as after:
        assert after.run("1", 20) == ""


@linux
def test_a_flood_of_processes_is_stopped(kernel):
    with pytest.raises(Stopped, match="processes"):
        kernel.run(
            "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n        time.sleep(99)\ntime.sleep(9)",
            20,
        )
    assert not kernel.alive


def test_an_error_with_an_odd_name_is_told_without_it():
    assert kernels.in_words("=HYPERLINK(1)", "a\nb") == "an error: a b"
    assert kernels.in_words("KeyError", "x") == "KeyError: x"


def test_a_kernel_that_was_ended_says_so(kernel):
    with pytest.raises(Died, match="died"):
        kernel.run("import os\nos._exit(0)", 20)
    with pytest.raises(Died):
        kernel.run("1", 20)


@pytest.mark.slow
def test_where_forking_is_not_safe_each_kernel_has_an_interpreter_of_its_own(monkeypatch, capsys, tmp_path):
    kernels._stop()
    monkeypatch.setattr(kernels, "FORKS", False)
    paths = [written(tmp_path, solved())]
    assert desk.grade_all(paths, seconds=20) == 0
    kernels._stop()
    said = capsys.readouterr().out
    assert "8 of 11 points" in said and "not its memory" in said


# --- a class ----------------------------------------------------------------------------------------------------------


def odd_files(folder):
    """Files of a class that are no submissions, by what is odd about them."""
    (folder / "folder.ipynb").mkdir()
    whole = json.dumps(solved())
    texts = {
        "empty": "",
        "cut": whole[: len(whole) // 2],
        "deep": "[" * 200_000,
        "old": json.dumps({"nbformat": 3, "worksheets": []}),
        "number": "7",
        "strings": '{"cells": ["a"]}',
        "julia": json.dumps({**solved(), "metadata": {"kernelspec": {"name": "j", "language": "julia"}}}),
        "other": json.dumps({"cells": [own_cell("1")]}),
    }
    for name, text in texts.items():
        (folder / f"{name}.ipynb").write_text(text)
    (folder / "binary.ipynb").write_bytes(bytes(range(256)))
    pipe = ["pipe"] if hasattr(os, "mkfifo") else []
    for name in pipe:
        os.mkfifo(folder / f"{name}.ipynb")  # who reads it waits for ever
    return [str(folder / f"{name}.ipynb") for name in (*texts, "folder", "binary", *pipe, "missing")]


def test_odd_files_are_told_and_the_rest_of_the_class_is_graded(tmp_path, capsys):
    odd = odd_files(tmp_path)
    whole = written(tmp_path, solved())
    assert cli.main(["course", "grade", *odd, whole, "--output", str(tmp_path / "g.csv")]) == 2
    with open(tmp_path / "g.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["points"] for row in rows if row["submission"] == whole] == ["2", "3", "3", ""]
    told = {row["submission"]: row["why"] for row in rows if row["submission"] != whole}
    assert set(told) == set(odd) and all(why.startswith("not graded: ") for why in told.values())
    assert "julia" in told[odd[6]] and "format 3" in told[odd[3]]
    assert cli.main(["course", "validate", *odd, whole, "--output", str(tmp_path / "fixed")]) == 2
    assert (tmp_path / "fixed" / "ada.ipynb").is_file()


def test_an_unforeseen_error_stops_one_submission_and_not_the_class(tmp_path, monkeypatch):
    calls = []

    def breaks(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("of a kind nobody thought of \ud83d")
        return grade(*arguments)

    monkeypatch.setattr(desk, "grade", breaks)
    paths = [written(tmp_path, solved(), name) for name in ("ada.ipynb", "bob.ipynb")]
    assert desk.grade_all(paths, tmp_path / "g.csv", seconds=20) == 2
    with open(tmp_path / "g.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert "nobody thought of" in rows[0]["why"] and rows[1]["points"] == "2"


def test_interrupted_what_is_graded_is_kept(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    paths = [written(tmp_path, solved(), name) for name in ("ada.ipynb", "bob.ipynb")]
    real = desk.grade
    monkeypatch.setattr(
        desk, "grade", lambda *a: real(*a) if not (tmp_path / "g.csv").stat().st_size > 99 else interrupted()
    )
    with pytest.raises(KeyboardInterrupt):
        desk.grade_all(paths, tmp_path / "g.csv", seconds=20)
    with open(tmp_path / "g.csv", newline="") as file:
        assert {row["submission"] for row in csv.DictReader(file)} == {paths[0]}


def surrogate(n):
    cell(n, "00-2-answer")["source"] += "\n# \ud83d"


ODD_CELLS = {
    "a lone surrogate": surrogate,
    "ids missing": lambda n: [c.pop("id") for c in n["cells"]],
    "ids twice": lambda n: [c.update(id="same") for c in n["cells"]],
    "no outputs": lambda n: [c.pop("outputs", None) for c in n["cells"]],
    "outputs that are none": lambda n: cell(n, "00-2-answer").update(outputs=[{"output_type": "song"}, 3]),
    "outputs of a text": lambda n: cell(n, "00-4-answer").update(outputs=[], execution_count=1),
    "a negative count": lambda n: cell(n, "00-2-answer").update(execution_count=-3),
    "fields of nobody": lambda n: cell(n, "00-2-answer").update(color="red"),
    "tags that are none": lambda n: cell(n, "00-2-answer")["metadata"].update(tags="a"),
    "NaN": lambda n: n["metadata"].update(x=float("nan")),
    "an odd kernel": lambda n: n["metadata"].update(kernelspec={"name": 3}),
    "no metadata": lambda n: n.pop("metadata"),
    "grade_id a list": lambda n: cell(n, "00-2-answer")["metadata"]["nbgrader"].update(grade_id=["a"]),
    "nbgrader null": lambda n: cell(n, "00-2-answer")["metadata"].update(nbgrader=None),
    "an answer of another type": lambda n: cell(n, "00-4-answer").update(cell_type="raw"),
    "own cell that asks": lambda n: n["cells"].append(
        {**own_cell("1"), "metadata": {"nbgrader": {"grade": True}}}
    ),
    "format 4.2": lambda n: n.update(nbformat_minor=2),
}


@pytest.mark.parametrize("what", ODD_CELLS)
def test_a_repaired_copy_is_a_valid_notebook_with_all_its_points(tmp_path, what, monkeypatch):
    monkeypatch.setattr(grading, "judge", judged)
    monkeypatch.setattr(desk, "handed_out", lambda: STUDENT)  # made from the lessons anew at each call
    notebook = solved()
    ODD_CELLS[what](notebook)
    path = tmp_path / "ada.ipynb"
    path.write_bytes(json.dumps(notebook).encode("utf-8", "surrogatepass"))
    assert cli.main(["course", "validate", str(path), "--output", str(tmp_path / "fixed")]) in (0, 1)
    nbformat.validate(json.loads((tmp_path / "fixed" / "ada.ipynb").read_text(encoding="utf-8")))
    found = validate(read_submission(path), STUDENT)
    assert sum(g.points or 0 for g in grade(found, MASTERS[FIRST], seconds=20)) == 8


@linux
@pytest.mark.slow
def test_the_secret_is_nowhere_where_student_code_can_look(tmp_path):
    notebook = solved()
    seen = tmp_path / "seen.txt"
    cell(notebook, "00-2-answer")["source"] += f"""
import glob, os
seen = []
for process in glob.glob("/proc/[0-9]*"):
    for name in ("cmdline", "environ"):
        try:
            if b"violet-walrus" in open(f"{{process}}/{{name}}", "rb").read():
                seen.append(name)
        except OSError:
            pass
open({str(seen)!r}, "w").write(f"{{seen}} looked")
"""
    path = written(tmp_path, notebook)
    command = [sys.executable, "-m", "dualad_lib.cli", "course", "grade", path, "--secret", "violet-walrus"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "WORD": "violet-walrus"}
    )
    assert done.returncode == 0, done.stderr
    assert seen.read_text() == "[] looked"


def test_ctrl_c_while_the_libraries_load_leaves_no_host_and_nothing_to_wait_for(monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)
            self.stdout = SimpleNamespace(readline=self.interrupted, close=self.stdout.close)

        def interrupted(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        kernels.Forking()
    assert started[0].poll() is not None
    assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer) and not t.daemon]
