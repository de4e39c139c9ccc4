"""What the benchmark scripts share: a description of the machine, a clock, tables as CSV beside the results."""

import csv
import os
import platform
import time
from pathlib import Path

import torch

from dualad_lib.experiments.report import RESULTS
from dualad_lib.files import atomic_write
from dualad_lib.training import train


def machine():
    """One line: processor or GPU, threads, torch."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def seconds(work):
    """Wall-clock seconds of work(), the device's own work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def game(detector, images):
    """A function that trains the detector's fresh networks for some steps and does nothing else."""
    normal, _ = detector._split(images)
    turns, slices = detector._begin(normal)

    def play(steps):
        train(
            turns,
            normal,
            steps=steps,
            batch_size=detector.batch_size,
            slices=slices,
            seed=detector.seed,
            device=detector.device,
        )

    return play


def write(rows, name):
    """Write rows as figures/results/benchmark_NAME.csv, whole, and say so. Rows that had a machine keep it."""
    path = RESULTS / f"benchmark_{name}.csv"
    rows = [{**row, "machine": row.get("machine") or machine()} for row in rows]
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows in {os.path.relpath(path)}")
