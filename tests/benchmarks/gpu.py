"""What a GPU changes: the library's tests on it, MNIST's table, its precisions, a larger CIFAR-10, images a second.

    python tests/benchmarks/gpu.py --output runs/gpu [--parts tests tables precision cifar10 speed] [--toy]

Each part is a process of its own with a time limit, and writes its results as it ends: rows of the usual columns into
OUTPUT/results, measures into OUTPUT/benchmark_gpu.csv, what the tests print into OUTPUT/tests.txt. At most eight
minutes in all. --toy runs every part at a size for a CPU. MNIST and CIFAR-10 are looked for where `load_one_class`
looks.
"""

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # a machine without an installation
LIMITS = {"tests": 120, "tables": 120, "precision": 60, "cifar10": 140, "speed": 30}  # seconds
#: Twice as wide and longer than the tables' setting for two cores; not chosen on any test file.
LARGE = {
    "network": "pooled",
    "width": 32,
    "latent_dim": 128,
    "batch_size": 64,
    "steps": 4000,
    "w_critic": 5.0,
}
#: Tests of what computes on the device; notebooks, grids and pages do not.
TESTED = (
    *("detectors", "dualad", "autoencoder", "adegan", "agad", "lrgdan", "training", "scoring"),
    *("losses", "networks", "mutual_information", "attacks", "contract", "on_gpu", "features", "transforms"),
    *("signs", "evaluation"),
)


def tests(output, toy):
    """Run the library's tests here; `device="auto"` takes the GPU."""
    files = [ROOT / "tests" / f"test_{name}.py" for name in (TESTED[-3:-1] if toy else TESTED)]
    command = [sys.executable, "-m", "pytest", "-q", "-x" if toy else "-rf", "-p", "no:cacheprovider"]
    if not toy:
        command += ["-n", "8"]  # one GPU carries several small test processes
    with open(output / "tests.txt", "w") as log:
        start = time.perf_counter()
        subprocess.run(
            [*command, *map(str, files)], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, check=False
        )
    last = (output / "tests.txt").read_text().strip().splitlines()[-1]
    print(last)
    write(output, [("tests", last, time.perf_counter() - start, "s")])


def tables(output, toy):
    """DualAD on every class of MNIST."""
    from dualad_lib.experiments.measuring import measure
    from dualad_lib.experiments.results import write_results
    from dualad_lib.experiments.settings import SMOKE

    classes = range(2 if toy else 10)
    options = {"params": SMOKE if toy else {}, "profile": "smoke" if toy else "paper", "setting": "gpu"}
    dataset = "digits" if toy else "mnist"
    rows, start = [], time.perf_counter()
    for k in classes:
        rows += measure("dualad", dataset, k, command=COMMAND, **options)
        write_results(rows, output / "results" / f"gpu_{dataset}.csv")
    wall = time.perf_counter() - start
    dual = [row["auroc"] for row in rows if row["score"] == "dual"]
    train = sum({row["normal_class"]: row["train_seconds"] or 0 for row in rows}.values())
    write(
        output,
        [
            (f"DualAD {dataset}", "mean AUROC of the dual score", sum(dual) / len(dual), ""),
            (f"DualAD {dataset}", "training, all classes", train, "s"),
            (f"DualAD {dataset}", "everything, all classes", wall, "s"),
        ],
    )


def precision(output, toy):
    """DualAD in float32 and in bfloat16: seconds of training, and AUROC."""
    from dualad_lib.experiments.measuring import measure
    from dualad_lib.experiments.settings import SMOKE

    for kind in ("float32", "bfloat16"):
        params = {**(SMOKE if toy else {}), "precision": kind}
        profile = "smoke" if toy else "paper"
        rows = measure(
            "dualad", "digits" if toy else "mnist", 8, params=params, profile=profile, setting=kind
        )
        dual = next(row for row in rows if row["score"] == "dual")
        write(
            output,
            [
                ("DualAD, class 8", f"AUROC of the dual score, {kind}", dual["auroc"], ""),
                ("DualAD, class 8", f"training, {kind}", dual["train_seconds"], "s"),
            ],
        )


def cifar10(output, toy):
    """DualAD on CIFAR-10 at a size that a GPU affords; as many classes as the time allows, 0, 4 and 8 first."""
    from dualad_lib.experiments.measuring import measure
    from dualad_lib.experiments.results import write_results
    from dualad_lib.experiments.settings import SMOKE

    dataset, rows = "digits" if toy else "cifar10", []
    options = {"params": SMOKE if toy else LARGE, "profile": "smoke" if toy else "paper", "setting": "large"}
    for k in (0, 4) if toy else (0, 4, 8, 1, 2, 3, 5, 6, 7, 9):
        rows += measure("dualad", dataset, k, command=COMMAND, **options)
        write_results(rows, output / "results" / f"gpu_large_{dataset}.csv")
        dual = next(row for row in rows if row["score"] == "dual" and row["normal_class"] == k)
        measured = ("AUROC of the dual score", "auroc", ""), ("training", "train_seconds", "s")
        write(
            output,
            [(f"DualAD {dataset}, class {k}", what, dual[name], unit) for what, name, unit in measured],
        )


def speed(output, toy):
    """Images a second that DualAD and the autoencoder score."""
    import torch
    from common import seconds

    from dualad_lib import Autoencoder, DualAD

    images = torch.randint(256, (200 if toy else 6000, 1, 28, 28), dtype=torch.uint8)
    for kind in (Autoencoder, DualAD):
        model = kind(steps=4).fit(images[: 200 if toy else 2000])
        model.anomaly_scores(images[:600])
        took = seconds(lambda model=model: model.anomaly_scores(images))
        write(output, [(kind.__name__, "scoring 28 x 28", len(images) / took, "images/s")])


COMMAND = "python tests/benchmarks/gpu.py"
PARTS = {"tests": tests, "tables": tables, "precision": precision, "cifar10": cifar10, "speed": speed}
COLUMNS = ("what", "measure", "value", "unit", "machine")


def write(output, rows):
    """Append measures; a machine that is taken away leaves what was measured before."""
    from common import machine

    path = output / "benchmark_gpu.csv"
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        writer.writerows([*row, machine()] for row in rows)
    for row in rows:
        print(*row, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--toy", action="store_true", help="sizes for a CPU")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # in the part's own process
    a = parser.parse_args()
    (a.output / "results").mkdir(parents=True, exist_ok=True)
    if a.inside:
        return PARTS[a.parts[0]](a.output, a.toy)
    for part in a.parts:
        own = [sys.executable, __file__, "--inside", "--parts", part, "--output", str(a.output)]
        try:
            subprocess.run(own + ["--toy"] * a.toy, timeout=LIMITS[part], check=False, cwd=ROOT)
        except subprocess.TimeoutExpired:
            print(f"{part}: cut off after {LIMITS[part]} s", flush=True)


if __name__ == "__main__":
    main()
