"""DualAD now beside DualAD at an earlier commit: seconds of training and of scoring, in turns on one machine.

    DUALAD_DATA=FOLDER uv run python tests/benchmarks/faster.py --before REVISION [--rounds 3]

Each state of the code runs in a process of its own, from a worktree of git, at the settings that its own tables have:
the other state's, where that has none. Seconds are CPU seconds of one thread, which other work on the machine moves
little; the rounds alternate and the fastest of each counts. AUROC is that of the dual score, beside the seconds, so
that speed is not bought. Writes figures/results/benchmark_faster.csv, in which the rows of other machines stay: one
that computes in bfloat16 gains more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import machine, write

from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark
from dualad_lib.networks.precision import computes_bfloat16

ROOT = Path(__file__).parents[2]
MEASURE = """
import json, sys, time
import torch
from dualad_lib import DualAD, load_one_class
from dualad_lib.evaluation import auroc
try:
    from dualad_lib.experiments.settings import table_settings
except ImportError:  # where an earlier state has it
    from dualad_lib.runs.settings import table_settings

torch.set_num_threads(1)
dataset, normal_class = sys.argv[1], int(sys.argv[2])
task = load_one_class(dataset, normal_class)
settings = table_settings(dataset, "dualad")
DualAD(**{**settings, "steps": 2}).fit(task.train[:500])  # what a process pays once
def timed(work):
    start = time.process_time()
    found = work()
    return time.process_time() - start, found
model = DualAD(**settings)
fit, _ = timed(lambda: model.fit(task.train[:6000]))
few = task.test[:: max(1, len(task.test) // 2000)]
labels = task.test_labels[:: max(1, len(task.test) // 2000)].numpy()
score = min(timed(lambda: model.anomaly_scores(few))[0] for _ in range(3))
one = min(timed(lambda: model.anomaly_scores(few[:1]))[0] for _ in range(10))
dual = model.anomaly_scores(few).dual
found = {"fit": fit, "score": score, "one": one, "auroc": auroc(labels, dual), "images": len(task.train[:6000])}
print(json.dumps(found))
"""


def main():
    parser = argparse.ArgumentParser(description="DualAD now and before.")
    parser.add_argument("--before", required=True, help="a commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--datasets", nargs="+", default=["mnist:8", "fashion_mnist:4", "cifar10:4"], metavar="NAME:CLASS"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    here = f"{machine()}, {'with' if computes_bfloat16() else 'without'} bfloat16 in hardware"
    asked = {tuple(name.split(":")) for name in arguments.datasets}
    rows = benchmark("faster", RESULTS)
    rows = [row for row in rows if row["machine"] != here or (row["dataset"], row["class"]) not in asked]
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", before, arguments.before], cwd=ROOT, check=True)
        try:
            for name in arguments.datasets:
                rows += [
                    {**row, "machine": here} for row in compare(before, *name.split(":"), arguments.rounds)
                ]
                write(rows, "faster")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", before], cwd=ROOT, check=True)


def compare(before, dataset, normal_class, rounds):
    """Rows "before" and "now" of a class: the fastest of each measure over the rounds."""
    found = {"before": [], "now": []}
    for _ in range(rounds):
        for state, tree in (("before", before), ("now", ROOT)):
            found[state].append(measured(tree, dataset, normal_class))
            print(dataset, state, found[state][-1], flush=True)
    rows = []
    for state, runs in found.items():
        best = {name: min(run[name] for run in runs) for name in ("fit", "score", "one")}
        rows.append(
            {
                "dataset": dataset, "class": normal_class, "state": state, "images": runs[0]["images"],
                "fit_seconds": round(best["fit"], 2), "score_2000_seconds": round(best["score"], 3),
                "score_one_ms": round(1000 * best["one"], 2), "auroc": round(runs[0]["auroc"], 4),
            }
        )  # fmt: skip
    return rows


def measured(tree, dataset, normal_class):
    """What one process with the code of a tree measures."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, dataset, normal_class]
    process = subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise SystemExit(f"{tree}: {process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
