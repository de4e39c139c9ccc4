"""The command `dualad`: exit statuses, one-line errors, quick start."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

from dualad_lib.arguments import join_parameters, place
from dualad_lib.cli import COMMANDS, main
from dualad_lib.console import STOPS, ends_on_interrupt
from dualad_lib.course.provenance import ROOT


def test_the_whole_way(make_course, capsys):
    make_course(entries={"01_tiny": {"bands": {"value": [2.5, 3.5]}}})
    assert main(["list"]) == 0
    assert "01_tiny  01_tiny  core  not built yet" in capsys.readouterr().out
    assert main(["build", "--check"]) == 1
    assert "01_tiny: not built yet\n1 stale" in capsys.readouterr().out
    assert main(["build"]) == 0
    assert main(["build", "--check"]) == 0
    assert capsys.readouterr().out.endswith("all fresh\n")
    assert main(["run", "01", "-p", "steps", "3", "-p", "rate", "1"]) == 0
    assert "4.5    not judged (parameters)" in capsys.readouterr().out


def test_a_failed_band_is_exit_status_1(make_course, capsys):
    make_course(entries={"01_tiny": {"bands": {"value": [0, 1]}}})
    assert main(["run"]) == 1
    out = capsys.readouterr().out
    assert "lesson   metric  value  band    verdict  seconds  peak MB" in out
    assert "01_tiny  value   3      0 to 1  FAIL" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "-p", "stesp", "3"],
            "dualad: error: 01_tiny: unknown parameter 'stesp' (did you mean 'steps'?)",
        ),
        (["run", "07"], "dualad: error: no one lesson is called '07'"),
        (["run", "-p", "rate", "x"], "dualad: error: 01_tiny: parameter 'rate' is float"),
        (["bands", "01", "--seeds", "1"], "dualad: error: a spread needs at least 2 seeds"),
    ],
)
def test_wrong_use_is_one_line_and_exit_status_2(make_course, capsys, arguments, message):
    make_course()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name, *_ in COMMANDS)


def test_help_and_record_import_nothing_heavy():
    code = """
import sys
import dualad_lib.cli
from dualad_lib.course import record
try:
    dualad_lib.cli.main(["--help"])
except SystemExit:
    pass
heavy = {"torch", "numpy", "papermill", "jupytext", "nbformat", "IPython", "matplotlib", "yaml"} & set(sys.modules)
print("heavy:", sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.endswith("heavy: []\n")


FIT = ["fit", "--normal", "x", "--out", "m.safetensors"]
SCORE = ["score", "--model", "m", "--images", "x", "--out", "s.csv"]
GRADE = ["course", "grade", "x.ipynb"]
SENSELESS = [
    *[(FIT, "--seed", value) for value in ("-1", "4294967296", "1.5", "x", "")],
    *[(FIT, "--image-size", value) for value in ("0", "-3", "30000", "6e4")],
    *[(FIT, "--steps", value) for value in ("0", "-5", "99999999999999999999")],
    *[
        (command, "--rate", v)
        for command in (FIT, SCORE)
        for v in ("0", "1", "-0.1", "-1e-3", "nan", "inf", "x")
    ],
    *[
        (["reproduce"], option, v)
        for option in ("--seeds", "--workers", "--threads")
        for v in ("0", "-1", "999999")
    ],
    (["reproduce"], "--classes", "-1"),
    *[(["bands", "01"], "--seeds", value) for value in ("0", "-1")],
    *[(GRADE, "--seconds", value) for value in ("0", "-1", "nan", "inf")],
    *[(GRADE, "--memory", value) for value in ("0", "-1", "1e3", "99999999999")],
    *[(["run"], "-p", value) for value in ("", "=1", "steps", "a b=1", "1a=2")],
    *[(["run"], "--output", value) for value in ("", "a\0b")],
    (["score", "--model", "m", "--images", "x"], "--out", ""),
]


@pytest.mark.parametrize(("command", "option", "value"), SENSELESS)
def test_an_option_that_makes_no_sense_is_one_line_and_exit_status_2(command, option, value, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, f"{option}={value}" if option.startswith("--") else f"{option}{value}"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"error: argument {option}" in error


@pytest.mark.parametrize(
    ("typed", "joined"),
    [
        (["-p", "rate", "-1e-3"], ["-p", "rate=-1e-3"]),
        (["-p", "a", "b=c", "01", "-p", "d", "-"], ["-p", "a=b=c", "01", "-p", "d=-"]),
        (["-p", "a=1", "01"], ["-p", "a=1", "01"]),
        (["-p", "a", "--all"], ["-p", "a", "--all"]),
        (["-p", "a", "-p", "b", "1"], ["-p", "a", "-p", "b=1"]),
        (["-p", "a"], ["-p", "a"]),
        (["--", "-p", "a", "1"], ["--", "-p", "a", "1"]),
    ],
)
def test_a_parameter_may_be_two_words(typed, joined):
    assert join_parameters(typed) == joined


def test_a_negative_parameter_in_scientific_notation_arrives(make_course, capsys):
    make_course()
    assert main(["run", "01", "-p", "rate", "-1e-3", "-p", "steps=None"]) == 1
    assert "TypeError" in capsys.readouterr().out  # of None: the value is there
    assert main(["run", "01", "-p", "rate", "-1e-3"]) == 0


def test_a_parameter_that_is_set_twice_is_an_error(make_course, capsys):
    make_course()
    assert main(["run", "-p", "steps", "3", "-p", "steps=4"]) == 2
    assert capsys.readouterr().err == "dualad: error: -p sets steps more than once: set it once.\n"


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (MemoryError("34 GiB"), "not enough memory (34 GiB)."),
        (MemoryError(), "not enough memory (MemoryError)."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 99 bytes"), "not enough memory (Default"),
        (RecursionError(), "a file is nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "cannot be read or written"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_a_machine_may_refuse_is_said_in_words(raised, words, monkeypatch, capsys):
    monkeypatch.setattr("dualad_lib.experiments.report.report", lambda: _raise(raised))
    assert main(["report"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dualad: error: ")
    assert words in error
    assert error.count("\n") == 1


def _raise(error):
    raise error


def test_a_fault_of_this_library_is_not_hidden(monkeypatch):
    monkeypatch.setattr(
        "dualad_lib.experiments.report.report", lambda: _raise(RuntimeError("a shape is wrong"))
    )
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        main(["report"])


def test_a_warning_is_one_line(monkeypatch, capsys):
    def warn():
        warnings.warn("two\n lines", stacklevel=1)

    monkeypatch.setattr("dualad_lib.experiments.report.report", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # pytest makes records of its own of warnings
        main(["report"])
    assert capsys.readouterr().err == "dualad: warning: two lines\n"


def test_titles_that_the_terminal_lacks_are_escaped(make_course):
    course = make_course(entries={"01_tiny": {"title": "Größe"}})
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    environment = {**os.environ, **locale, "PYTHONPATH": str(ROOT), "DUALAD_COURSE": str(course.folder)}
    command = [sys.executable, "-m", "dualad_lib.cli", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Gr\\xf6\\xdfe" in done.stdout


# --- standard output that takes no more ---------------------------------------------------------------------------

TALKS = """
import sys, time
from dualad_lib import cli
from dualad_lib.progress import progress, say
def talks(arguments):
    for i in range(3):
        say("line")
        time.sleep(0.1)
    for i in progress(range(5), label="working"):
        pass
    open(sys.argv[1], "w").write("finished")
def product(arguments):
    while True:
        print("line", flush=True)
cli.COMMANDS[:] = [("fit", "", lambda parser: None, talks), ("list", "", lambda parser: None, product)]
sys.exit(cli.main([sys.argv[2]]))
"""


def test_a_reader_that_goes_ends_no_work_but_quietly_what_is_made_for_it(tmp_path):
    for command, status in (("fit", 0), ("list", 1)):
        process = subprocess.Popen(
            [sys.executable, "-c", TALKS, str(tmp_path / command), command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(60) == status
    assert (tmp_path / "fit").read_text() == "finished" and not (tmp_path / "list").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a Linux device")
def test_a_full_disk_behind_standard_output_ends_no_work(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", TALKS, str(tmp_path / "done"), "fit"], stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "done").read_text() == "finished"


def test_a_pipe_that_breaks_and_is_not_standard_output_is_an_error(monkeypatch, capsys):
    broken = BrokenPipeError(32, "Broken pipe", "s.csv")
    monkeypatch.setattr("dualad_lib.experiments.report.report", lambda: _raise(broken))
    assert main(["report"]) == 2
    assert capsys.readouterr().err == "dualad: error: s.csv: Broken pipe\n"


# --- Ctrl-C, SIGTERM, SIGHUP --------------------------------------------------------------------------------

STUBBORN = """
import sys, time
from dualad_lib import cli, console
console.ends_on_interrupt.__wrapped__.__defaults__ = (1.0,)
def stubborn(arguments):
    words = ["begun"]
    while True:
        try:
            if words:
                print(words.pop(), flush=True)  # inside: the signal may come before the sleep
            time.sleep(60)
        except KeyboardInterrupt:
            pass
cli.COMMANDS[:] = [("list", "", lambda parser: None, stubborn)]
sys.exit(cli.main(["list"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_what_does_not_heed_it(number):
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    time.sleep(0.3)  # between the line and its `try` the process would heed the signal
    start = time.monotonic()
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert error == b"dualad: interrupted\n"
    assert time.monotonic() - start >= 1  # its time to clean up was left to it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_has_its_status_also_where_a_library_makes_another_error_of_it(monkeypatch, capsys, number):
    def import_of_numpy():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            time.sleep(0.2)
            raise ImportError("numpy._core.multiarray failed to import") from None

    monkeypatch.setattr("dualad_lib.experiments.report.report", import_of_numpy)
    assert main(["report"]) == 128 + number
    assert capsys.readouterr().err == "dualad: interrupted\n"


def test_signals_are_left_as_they_were():
    before, threads = signal.set_wakeup_fd(-1), threading.active_count()
    signal.set_wakeup_fd(before)
    handlers = [signal.getsignal(number) for number in STOPS]
    with ends_on_interrupt() as stop:
        assert threading.active_count() == threads + 1
        assert [signal.getsignal(number) for number in STOPS] == [stop] * len(STOPS)
    assert stop.status == 0
    now = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    assert (now, threading.active_count()) == (before, threads)
    assert [signal.getsignal(number) for number in STOPS] == handlers


def test_a_signal_that_is_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ends_on_interrupt() as stop:
            signal.raise_signal(signal.SIGHUP)
            time.sleep(0.1)
        assert stop.status == 0 and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_ctrl_c_in_a_lesson_kills_its_kernel_and_runs_no_other(make_course, tmp_path, number):
    slow = "# %%\nimport os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    make_course({"01_a": slow, "02_b": slow}, timeout=600)
    command = [sys.executable, "-m", "dualad_lib.cli", "run", "--output", "out"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    pid, end = tmp_path / "out" / "pid", time.monotonic() + 120
    while not (pid.is_file() and pid.read_text()):
        assert time.monotonic() < end, "the lesson did not begin"
        time.sleep(0.05)
    start = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=60)[0].decode()
    assert time.monotonic() - start < 10  # 5 seconds, and a busy machine
    assert process.returncode == 128 + number
    assert said.endswith("dualad: interrupted\n")
    assert "FAILED" not in said
    assert "02_b" not in said
    assert not os.path.exists(f"/proc/{pid.read_text()}")
    assert os.listdir(tmp_path / "out") == ["pid"]


def test_a_tilde_that_no_shell_expanded_leads_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place("~/runs") == str(tmp_path / "runs") and place("./~") == "./~"
