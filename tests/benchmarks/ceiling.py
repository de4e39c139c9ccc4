"""How much of this machine's arithmetic a training step uses, and where the rest goes: figures to read, no test.

    uv run python tests/benchmarks/ceiling.py [--steps 20]

The ceiling is measured: the fastest matrix product and the fastest 3 x 3 convolution of a few sizes. A step's
operations are counted by torch (matrix products and convolutions, forward and backward) and divided by its seconds.
Writes figures/results/benchmark_ceiling.csv. Keep the machine idle.
"""

import argparse

import torch
from common import game, machine, seconds, write
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from dualad_lib import load_one_class
from dualad_lib.detectors import create
from dualad_lib.experiments.settings import ABLATION, table_settings

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main():
    parser = argparse.ArgumentParser(description="Training steps against the machine's arithmetic ceiling.")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--datasets", nargs="+", default=["fashion_mnist_sample"])
    arguments = parser.parse_args()
    print(machine())
    product = max(matmul(side) for side in (512, 1024, 2048))
    convolution = max(conv(channels, side) for channels, side in ((32, 28), (64, 14), (128, 14)))
    print(f"ceiling, GFLOP/s: matrix product {product:.0f}, convolution {convolution:.0f}")
    rows = []
    for dataset in arguments.datasets:
        images = load_one_class(dataset, 8).train
        for stage in ABLATION:
            rows.append(
                {"dataset": dataset, "detector": stage, **step(dataset, stage, images, arguments.steps)}
            )
            row = rows[-1]
            row["of_matmul"] = round(row["gflop_a_second"] / product, 3)
            row["of_convolution"] = round(row["gflop_a_second"] / convolution, 3)
            print(" ".join(f"{name} {value}" for name, value in row.items()))
    write(rows, "ceiling")


def matmul(side):
    a, b = torch.randn(side, side, device=DEVICE), torch.randn(side, side, device=DEVICE)
    return 2 * side**3 / fastest(lambda: a @ b) / 1e9


def conv(channels, side, n=128):
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(DEVICE, memory_format=torch.channels_last)
    x = torch.randn(n, channels, side, side, device=DEVICE).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * n * side**2 * 9 * channels**2 / fastest(lambda: layer(x)) / 1e9


def fastest(work, times=10):
    work()
    return min(seconds(work) for _ in range(times))


def step(dataset, stage, images, steps):
    """Milliseconds and operations of a training step, and the kinds of work that take longest."""
    play = game(create(stage, **table_settings(dataset, stage)), images)
    play(3)
    with FlopCounterMode(display=False) as counter:
        play(1)
    a_step = seconds(lambda: play(steps)) / steps
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if DEVICE == "cuda" else [])]
    with profile(activities=kinds) as profiled:
        play(3)
    own = f"self_{'device' if DEVICE == 'cuda' else 'cpu'}_time_total"
    events = sorted(profiled.key_averages(), key=lambda event: -getattr(event, own))
    total = sum(getattr(event, own) for event in events)
    top = "; ".join(f"{event.key} {100 * getattr(event, own) / total:.0f} %" for event in events[:6])
    gflop = counter.get_total_flops() / 1e9
    return {
        "milliseconds_a_step": round(1000 * a_step, 2),
        "gflop_a_step": round(gflop, 3),
        "gflop_a_second": round(gflop / a_step, 1),
        "most_time": top,
    }


if __name__ == "__main__":
    main()
