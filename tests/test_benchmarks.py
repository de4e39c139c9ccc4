"""The script for the day a GPU is at hand runs, at a toy size, wherever the tests do."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

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
        ("DualAD digits", "mean AUROC of the dual score"),
        ("DualAD, class 8", "AUROC of the dual score, bfloat16"),
        ("DualAD digits, class 4", "training"),
        ("DualAD", "scoring 28 x 28"),
    ):
        assert expected in found, done.stdout + done.stderr
    assert {p.name for p in (tmp_path / "results").iterdir()} == {"gpu_digits.csv", "gpu_large_digits.csv"}
