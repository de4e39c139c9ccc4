"""The benchmark scripts: the one for a GPU runs at a toy size, and a peer that stands in the frontier works."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dualad_lib import load_one_class
from dualad_lib.evaluation import auroc

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_gpu_script_runs_at_a_toy_size_and_writes_each_part(tmp_path):
    parts = ["tables", "precision", "cifar10", "speed"]
    command = [sys.executable, "-W", "ignore", "tests/benchmarks/gpu.py", "--toy", "--output", tmp_path]
    done = subprocess.run(
        [*command, "--parts", *parts], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "benchmark_gpu.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["what"], row["measure"]) for row in rows}
    for expected in (
        ("dualad digits", "mean AUROC of the dual score"),
        ("DualAD, class 8", "AUROC of the dual score, bfloat16"),
        ("DualAD digits, class 4", "AUROC of the dual score"),
        ("DualAD", "scoring 28 x 28"),
    ):
        assert expected in found, done.stdout + done.stderr
    assert {p.name for p in (tmp_path / "results").iterdir()} == {"gpu_digits.csv", "gpu_large_digits.csv"}


def test_the_frontiers_geom_has_72_transformations_and_learns(monkeypatch):
    """A peer that does not work would flatter what stands beside it."""
    monkeypatch.syspath_prepend(ROOT / "tests/benchmarks")
    import frontier

    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen = {tuple(frontier.geometric(x, number).flatten().tolist()) for number in range(len(frontier.GEOM))}
    assert len(seen) == 72
    task = load_one_class("fashion_mnist_sample", 8)
    score = frontier.geom(60, "fashion_mnist")(task.train)
    chosen = slice(0, 2000, 20)
    assert auroc(task.test_labels[chosen].numpy(), score(task.test[chosen])) > 0.85


def test_a_table_that_grows_keeps_the_machine_of_each_row(monkeypatch, tmp_path):
    """A run that goes on elsewhere must not say that it measured what stood there."""
    monkeypatch.syspath_prepend(ROOT / "tests/benchmarks")
    import common

    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(common, "machine", lambda: "this one")
    common.write([{"a": "1", "machine": "another"}, {"a": 2}], "grown")
    rows = list(csv.DictReader((tmp_path / "benchmark_grown.csv").read_text().splitlines()))
    assert [row["machine"] for row in rows] == ["another", "this one"]
