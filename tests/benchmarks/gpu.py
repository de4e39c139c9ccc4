"""What a GPU changes: the library's tests on it, MNIST's table, its precisions, a larger CIFAR-10, images a second.

    python tests/benchmarks/gpu.py --output runs/gpu [--parts tests tables precision cifar10 speed] [--toy]

Each part is a process of its own with a time limit, and writes its results as it ends: rows of the usual columns into
OUTPUT/results, measures into OUTPUT/benchmark_gpu.csv, what the tests print into OUTPUT/tests.txt. At most eight
minutes in all. The classes of a table train at the same time, each in a process of its own: one network of this size
leaves most of a large GPU idle. --toy runs every part at a size for a CPU. MNIST and CIFAR-10 are looked for where
`load_one_class` looks; the tests on features need the package of the weights.
"""

import argparse
import csv
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # a machine without an installation
LIMITS = {"tests": 120, "tables": 90, "precision": 30, "cifar10": 210, "speed": 30}  # seconds
#: Four times as wide as the tables' setting for two cores, on four times as many images a step. Development splits of
#: classes 0 and 3 (1,000 steps: 83.1, 85.9) chose it over contrastive weights of 1 (83.1, 85.5) and 5 (83.1, 83.1) and
#: over the one-class target of UniCon-HA at weights 1 (82.3, 85.6) and 5 (82.4, 85.0).
LARGE = {
    "network": "pooled",
    "width": 64,
    "latent_dim": 128,
    "batch_size": 128,
    "steps": 1200,
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
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x" if toy else "-rfE",
        "--tb=line",
        "-p",
        "no:cacheprovider",
    ]
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
    """The four stages of DualAD on every class of MNIST."""
    dataset = "digits" if toy else "mnist"
    stages = ("dualad",) if toy else ("autoencoder", "dualad_d", "dualad_d_fc", "dualad")
    start = time.perf_counter()
    cells = [(stage, dataset, k, {}, "gpu") for stage in stages for k in range(2 if toy else 10)]
    rows = together(cells, toy, output / "results" / f"gpu_{dataset}.csv")
    wall = time.perf_counter() - start
    for stage in stages:
        dual = [row["auroc"] for row in rows if row["detector"] == stage and row["score"] == "dual"]
        write(output, [(f"{stage} {dataset}", "mean AUROC of the dual score", sum(dual) / len(dual), "")])
    write(output, [(f"all stages {dataset}", "everything, all classes, ten at once", wall, "s")])


def together(cells, toy, path):
    """Rows of cells (detector, data set, class, parameters, setting), ten at a time; `path` has those that ended."""
    from dualad_lib.experiments.results import write_results

    rows = []
    with ProcessPoolExecutor(1 if toy else 10, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(cell, toy, *each) for each in cells]):
            rows += done.result()
            write_results(rows, path)
    return rows


def cell(toy, detector, dataset, k, params, setting):
    from dualad_lib.experiments.measuring import measure
    from dualad_lib.experiments.settings import SMOKE

    options = {"params": SMOKE if toy else params, "profile": "smoke" if toy else "paper", "setting": setting}
    return measure(detector, dataset, k, command=COMMAND, **options)


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
    """DualAD on CIFAR-10 at a size that a GPU affords."""
    dataset = "digits" if toy else "cifar10"
    start = time.perf_counter()
    cells = [("dualad", dataset, k, LARGE, "large") for k in ((0, 4) if toy else range(10))]
    rows = together(cells, toy, output / "results" / f"gpu_large_{dataset}.csv")
    wall = time.perf_counter() - start
    dual = sorted((row["normal_class"], row["auroc"]) for row in rows if row["score"] == "dual")
    for k, auroc in dual:
        write(output, [(f"DualAD {dataset}, class {k}", "AUROC of the dual score", auroc, "")])
    mean = sum(auroc for _, auroc in dual) / len(dual)
    write(output, [(f"DualAD {dataset}", "mean AUROC of the dual score", mean, "")])
    write(output, [(f"DualAD {dataset}", "everything, all classes, ten at once", wall, "s")])


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
            subprocess.run(
                own + ["--toy"] * a.toy, timeout=None if a.toy else LIMITS[part], check=False, cwd=ROOT
            )
        except subprocess.TimeoutExpired:
            print(f"{part}: cut off after {LIMITS[part]} s", flush=True)


if __name__ == "__main__":
    main()
