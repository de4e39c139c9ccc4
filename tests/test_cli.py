"""The command `dualad`: exit statuses, one-line errors, quick start."""

import subprocess
import sys

import pytest

from dualad_lib.cli import COMMANDS, main
from dualad_lib.runs.provenance import ROOT


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
from dualad_lib.runs import record
try:
    dualad_lib.cli.main(["--help"])
except SystemExit:
    pass
heavy = {"torch", "numpy", "papermill", "jupytext", "nbformat", "IPython", "matplotlib", "yaml"} & set(sys.modules)
print("heavy:", sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.endswith("heavy: []\n")
