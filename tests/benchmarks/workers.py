"""How best to divide two cores: one worker of two threads, or two of one? Seconds of one small grid either way.

    uv run python tests/benchmarks/workers.py

Writes figures/results/benchmark_workers.csv. The cells are `dualad` on four classes of the shipped sample. Keep the
machine idle.
"""

import tempfile

from common import machine, seconds, write

from dualad_lib.experiments.grid import grid, reproduce

WAYS = ((1, 2), (2, 1))


def main():
    print(machine())
    rows = []
    for workers, threads in WAYS:
        cells = grid(["fashion_mnist_sample"], ["dualad"], range(4))
        with tempfile.TemporaryDirectory() as folder:
            spent = seconds(
                lambda to=folder, w=workers, t=threads, c=cells: reproduce(
                    c, to, "python", workers=w, threads=t
                )
            )
        rows.append({"workers": workers, "threads": threads, "cells": len(cells), "seconds": round(spent, 1)})
        print(rows[-1], flush=True)
    write(rows, "workers")


if __name__ == "__main__":
    main()
