"""The files around the library agree with one another, and importing it costs next to nothing."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import dualad_lib

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONDA_NAMES = {
    "torch": "pytorch",
    "jupyter-client": "jupyter_client",
}  # where conda-forge calls a package otherwise
HEAVY = {
    "IPython", "PIL", "ipykernel", "jupytext", "matplotlib", "nbclient", "nbformat", "pandas", "papermill",
    "safetensors", "seaborn", "torchvision", "yaml",
}  # fmt: skip


def bounds(lines):
    """Map the name of each requirement to its version bounds."""
    parsed = [Requirement(line) for line in lines]
    assert len({requirement.name for requirement in parsed}) == len(parsed), (
        "a requirement stands there twice"
    )
    return {requirement.name: str(requirement.specifier) for requirement in parsed}


def declared():
    return bounds(PROJECT["dependencies"] + PYPROJECT["dependency-groups"]["dev"])


def test_environment_and_pyproject_name_the_same_packages_and_bounds():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "conda-forge" in environment["channels"]
    conda = bounds(line for line in environment["dependencies"] if isinstance(line, str) and line != "pip")
    assert conda.pop("python") == PROJECT["requires-python"]
    (*by_pip, own) = next(line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    assert own == "-e ."
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in declared().items()}
    assert conda | bounds(by_pip) == wanted and not set(conda) & set(bounds(by_pip))


def test_every_dependency_has_a_lower_bound():
    assert all(bound.startswith(">=") for bound in declared().values())


def test_pins_are_exact_complete_and_within_the_bounds():
    pins = [Requirement(line) for line in PYPROJECT["tool"]["uv"]["constraint-dependencies"]]
    if not pins:
        pytest.skip("nothing is pinned yet")
    limits = {Requirement(line).name: Requirement(line).specifier for line in PROJECT["dependencies"]}
    assert limits.keys() <= {pin.name for pin in pins}
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "==", pin
        assert pin.name not in limits or limits[pin.name].contains(exact.version), pin


def test_citation_agrees_with_pyproject_and_library():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    assert citation["version"] == PROJECT["version"] == dualad_lib.__version__
    # A list in this format means "or"; ours is "and", so the code's licence alone stands there.
    assert citation["license"] == PROJECT["license"].split(" AND ")[0] == "MIT"
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]


def test_licences_are_there_and_go_into_the_package():
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in (ROOT / "LICENSE-CC-BY-4.0").read_text()
    assert PROJECT["license-files"] == ["LICENSE", "LICENSE-CC-BY-4.0", "LICENSE-CC-BY-SA-4.0"]


def test_wheel_carries_the_sample():
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for name in ("fashion_mnist_sample.npz", "spoken_digits.npz", "ball_screws_sample.npz", "README.md"):
        assert included[f"data/{name}"] == f"dualad_lib/data/_shipped/{name}"
        assert (ROOT / "data" / name).is_file()
    assert set(included.values()) >= {"dualad_lib/_course", "dualad_lib/_results"}
    assert all(place.startswith("dualad_lib/") for place in included.values())


REST = 'uv run pytest -m "slow or e2e or results"'


def test_ci_runs_both_commands_of_the_readme_and_fails_where_one_does(tmp_path):
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "uv run pytest  " in text and REST in text, name
    asked, uv = tmp_path / "asked", tmp_path / "uv"
    for failing, expected in (("none", 0), ("run pytest", 3), (REST.removeprefix("uv ").replace('"', ""), 3)):
        asked.write_text("")
        uv.write_text(f"""#!/bin/sh\necho "$*" >> {asked}\n[ "$*" != "{failing}" ] || exit 3\n""")
        uv.chmod(0o755)
        path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
        done = subprocess.run([ROOT / ".ci" / "run"], env={**os.environ, "PATH": path}, check=False)
        assert done.returncode == expected, failing
        assert asked.read_text().splitlines() == ["run pytest", REST.removeprefix("uv ").replace('"', "")]


def test_what_the_first_command_leaves_out_is_what_the_second_runs():
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    names = [marker.partition(":")[0] for marker in options["markers"]]
    assert options["addopts"][-2:] == ["-m", " and ".join(f"not {name}" for name in names)]
    assert REST.endswith(f'"{" or ".join(names)}"')


def run_python(code):
    """Run code in a fresh interpreter; return the JSON value that it prints last."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def test_import_is_cheap_and_pulls_in_nothing_heavy_nor_does_using_every_public_name():
    # What a bare training node needs: no plotting, no notebooks.
    # Processor time, so that a busy machine does not fail the test; an import hardly waits for anything else.
    # What torch and scikit-learn import by themselves (pandas, where it is installed) does not count.
    code = """
import json, sys, time
import torch, numpy, sklearn
before, start = set(sys.modules), time.process_time()
import dualad_lib
seconds = time.process_time() - start
at_once = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
import sklearn.datasets, sklearn.ensemble
before = set(sys.modules)
for name in dualad_lib.__all__:
    getattr(dualad_lib, name)
used = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
print(json.dumps([seconds, at_once, used]))
"""
    seconds, at_once, used = run_python(code)
    assert seconds <= 0.3
    assert heavy(at_once) == [] and heavy(used) == []


def heavy(modules):
    return [name for name in modules if name in HEAVY or name.startswith("jupyter")]


def test_old_places_are_found_with_a_warning():
    """What notebooks and assignments that were handed out ask for."""
    code = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from dualad_lib import checks
    from dualad_lib.runs.environment import describe
said = [str(warning.message) for warning in caught if warning.category is FutureWarning]
print(json.dumps([describe(), checks.check_auroc.__name__, said]))
"""
    line, name, said = run_python(code)
    assert line.startswith("Python ") and name == "check_auroc"
    assert [text.split(" ")[0] for text in said] == ["dualad_lib.checks", "dualad_lib.runs.environment"]
