"""CONTRIBUTING.md is true: its detector of twenty lines passes the contract test, its files exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dualad_lib.course.provenance import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
CODE = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]

RUN = """
import sys

import pytest

from dualad_lib import detectors

room = {"__name__": "contributed"}
exec(open(sys.argv[1], encoding="utf-8").read(), room)
detectors.SYSTEMS[room["SYSTEM"].name] = room["SYSTEM"]  # the line in the registry
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", room["SYSTEM"].name, sys.argv[2]]))
"""


@pytest.mark.slow
def test_the_detector_of_twenty_lines_passes_the_contract_test(tmp_path):
    (tmp_path / "typical.py").write_text(CODE, encoding="utf-8")
    contract = ROOT / "tests" / "test_detectors.py"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "typical.py"), str(contract)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 15


def test_twenty_lines_are_twenty_lines():
    body = CODE[CODE.index("    def __init__") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20


def test_every_file_that_is_named_exists():
    for name in re.findall(r"`((?:dualad_lib|tests|notebooks|data|figures)/[\w./]+)`", TEXT):
        assert Path(ROOT / name).exists() or "NN_name" in name, name


def test_workflows_can_be_read_and_name_tests_that_exist():
    found = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")
    }
    assert found.keys() == {"tests", "weekly", "release"}
    for text in found.values():
        assert yaml.safe_load(text)["jobs"]
        assert all((ROOT / name).is_file() for name in re.findall(r"tests/\w+\.py", text))
    oldest = next(dependency for dependency in DEPENDENCIES if dependency.startswith("torch>="))
    assert f"Torch from {oldest.removeprefix('torch>=')} on" in TEXT and "lowest-direct" in found["tests"]


def test_the_changelog_has_the_version():
    from dualad_lib import __version__

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__}" in text
