"""Type hints of the public API: complete, true for a type checker, and of use to who calls it."""

import ast
import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import dualad_lib

ROOT = Path(__file__).resolve().parents[1]
FILES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
#: Of these all public functions have hints; of the other files those that are named here.
WHOLE = ("losses.py", "evaluation.py", "scoring.py", "data/registry.py", "detectors/base.py")
NAMED = {
    "data/folders.py": "load_image_folder",
    "data/readers/gtsrb.py": "load_signs",
    "data/images.py": "as_images",
}


def functions(body, public):
    """The functions of a module or class whose names say that they are public, methods of public classes among them."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and public(node.name):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body, public)


def lacking(function):
    """What has no hint: parameters (but self and cls), or the result."""
    arguments = function.args
    own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    without = [a.arg for a in own if a.annotation is None and a.arg not in ("self", "cls")]
    return without + (["return"] if function.returns is None else [])


@pytest.mark.parametrize("file", [*WHOLE, *NAMED])
def test_public_functions_have_hints(file):
    tree = ast.parse((ROOT / "dualad_lib" / file).read_text(encoding="utf-8"))
    names = NAMED.get(file)
    found = list(functions(tree.body, lambda name: name == names if names else not name.startswith("_")))
    assert found and f"dualad_lib/{file}" in FILES
    assert {function.name: lacking(function) for function in found if lacking(function)} == {}


def test_the_stub_names_what_the_package_exports():
    tree = ast.parse((ROOT / "dualad_lib" / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    stub = {
        alias.asname: node.module for node in imports for alias in node.names if alias.asname == alias.name
    }
    assert stub == dualad_lib._EXPORTS and (ROOT / "dualad_lib" / "py.typed").is_file()


def mypy(folder, *arguments):
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *arguments]
    command += ["--cache-dir", str(folder / "cache")]
    options = {"capture_output": True, "text": True, "env": {**os.environ, "MYPYPATH": str(ROOT)}}
    return subprocess.run(command, cwd=ROOT if not arguments else folder, check=False, **options)


@pytest.mark.slow
def test_hints_are_true_and_calls_are_held_to_them(tmp_path):
    done = mypy(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    right = """
    from dualad_lib import PCA, Detector, load_one_class
    from dualad_lib.evaluation import auroc

    task = load_one_class("digits")
    model: PCA = PCA().fit(task.train, calibration=task.train.numpy())
    Detector.load("model.safetensors", device="cpu").p_values(task.train).min()
    auroc([0, 1], model.anomaly_scores(task.train).final)
    """
    wrong = """
    load_one_class(3)
    model.fit(5)
    model.anomaly_scores(task.train).finale
    auroc([0, 1], [0.0, 1.0]).mean()
    """
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(right))
    done = mypy(tmp_path, str(program))
    assert done.returncode == 0, done.stdout + done.stderr
    program.write_text(textwrap.dedent(right) + textwrap.dedent(wrong))
    done = mypy(tmp_path, str(program))
    found = [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line]
    first = len(program.read_text().splitlines()) - 3
    assert done.returncode == 1 and found == [str(first + line) for line in range(4)], done.stdout
