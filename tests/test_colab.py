"""A release, away from the checkout: the bootstrap cell as on Colab and Kaggle, and the wheel alone.

Where DUALAD_NEWEST is set, as in the weekly check, the environments get the newest versions and not the pinned ones.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dualad_lib.course.manifest import load_course
from dualad_lib.course.notebook import bootstrap_text, colab_badge
from dualad_lib.course.provenance import ROOT

COURSE = load_course()

pytestmark = pytest.mark.e2e


def test_every_notebook_has_the_badge_and_the_one_bootstrap_cell():
    text = bootstrap_text(COURSE.folder)
    for lesson in COURSE.lessons:
        cells = json.loads(lesson.notebook.read_text(encoding="utf-8"))["cells"]
        assert any(colab_badge(lesson) in "".join(cell["source"]) for cell in cells), lesson.name
        found = [c for c in cells if "bootstrap" in c["metadata"].get("tags", ())]
        assert ["".join(c["source"]) for c in found] == [text], lesson.name


def run(*command, **environment):
    """Output of a command that runs away from the checkout, where this package would be found."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uv():
    found = shutil.which("uv")
    if found is None:
        pytest.skip("uv is not installed: it makes bare environments in seconds (pip install uv)")
    return found


@pytest.fixture(scope="module")
def wheel(uv, tmp_path_factory):
    """Path of a wheel built as for a release: from the source distribution, not from the checkout."""
    folder = tmp_path_factory.mktemp("release")
    run(uv, "build", "--quiet", "--out-dir", str(folder), str(ROOT))
    assert list(folder.glob("*.tar.gz"))
    (wheel,) = folder.glob("*.whl")
    return str(wheel)


def bare(uv, folder, *packages):
    """Make an environment of these packages and what they need; return the path of its Python."""
    run(uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(folder / "env"))
    python = str(folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    constraint = []
    if not os.environ.get("DUALAD_NEWEST"):
        pins = re.findall(r'^    "([\w.-]+==[\w.]+)",$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        (folder / "pins.txt").write_text("\n".join(pins))
        constraint = ["--constraint", str(folder / "pins.txt")]
    run(uv, "pip", "install", "--quiet", "--python", python, *constraint, *packages)
    return python


def test_the_wheel_alone_in_a_clean_environment_runs_a_lesson(uv, wheel, tmp_path):
    command = str(Path(bare(uv, tmp_path, wheel)).with_name("dualad"))
    run(command, "run", "00", "--profile", "smoke", "--output", str(tmp_path / "runs"), PYTHONPATH="")
    result = json.loads((tmp_path / "runs" / "00_start_here.metrics.json").read_text(encoding="utf-8"))
    assert result["parameters"]["dataset"] == "fashion_mnist_sample" and result["metrics"]
    places = {path.parent.name for path in tmp_path.rglob("tables_mnist.csv")}
    assert places == {"_results"}  # inside the package


@pytest.fixture(scope="module")
def colab(uv, wheel, tmp_path_factory):
    """(python of a bare environment, path of a wheel of this package)."""
    given = [
        "torch",
        "torchvision",
        "numpy",
        "pandas",
        "scikit-learn",
        "matplotlib",
        "jupyterlab",
        "ipykernel",
    ]
    return bare(uv, tmp_path_factory.mktemp("colab"), *given), wheel


def versions(python):
    code = "from importlib.metadata import version; print(version('torch'), version('torchvision'))"
    return run(python, "-c", code)


def test_the_cell_installs_what_is_missing_leaves_torch_alone_and_works_again(colab):
    python, wheel = colab
    before, cell = versions(python), bootstrap_text(COURSE.folder)
    for _ in ("first", "after a restart"):
        lines = run(python, "-c", cell, DUALAD_SOURCE=wheel, PYTHONPATH="").strip().splitlines()
        assert len(lines) == 1 and re.match(r"Python .*, torch .*, device \S+, dualad \d", lines[0])
    assert versions(python) == before
    code = "import dualad_lib; print(dualad_lib.__file__)"
    assert "site-packages" in run(python, "-c", code, PYTHONPATH="")


def test_the_shipped_sample_is_there(colab):
    python, wheel = colab
    run(python, "-c", bootstrap_text(COURSE.folder), DUALAD_SOURCE=wheel, PYTHONPATH="")
    code = (
        "from dualad_lib import load_one_class\n"
        "from dualad_lib.detectors import create\n"
        "from dualad_lib.evaluation import auroc\n"
        "task = load_one_class('fashion_mnist_sample', 8)\n"
        "scores = create('pca').fit(task.train).anomaly_scores(task.test).final\n"
        "print(auroc(task.test_labels.numpy(), scores))"
    )
    assert float(run(python, "-c", code, PYTHONPATH="")) > 0.8


def test_the_committed_tables_that_lessons_read_are_there(colab):
    python, wheel = colab
    run(python, "-c", bootstrap_text(COURSE.folder), DUALAD_SOURCE=wheel, PYTHONPATH="")
    code = (
        "from dualad_lib.experiments.report import committed\n"
        "from dualad_lib.experiments.results import study_rows\n"
        "print(len(committed()), len(study_rows('sound')))"
    )
    assert all(int(rows) > 100 for rows in run(python, "-c", code, PYTHONPATH="").split())
