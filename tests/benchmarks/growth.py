"""How cost grows with the number of images and with their side.

    uv run python tests/benchmarks/growth.py [--axes images side]

Writes figures/results/benchmark_growth.csv: a row a point, seconds of fit, and seconds of scoring 1,000 images. The
images are those of the shipped sample, repeated with a little noise up to the number, and resized: what they cost does
not depend on what they show. Points of another call on this machine stay. Keep the machine idle.
"""

import argparse

import torch
from common import machine, seconds, write
from torch.nn.functional import interpolate

from dualad_lib import load_one_class
from dualad_lib.detectors import create
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark

AXES = {"images": (1000, 4000, 16000, 60000), "side": (32, 64, 128)}
SHORT = {"steps": 25}  # on the side axis, a tenth of the default: read them against each other


def main():
    parser = argparse.ArgumentParser(description="Growth of cost.")
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--detectors", nargs="+", default=["autoencoder", "dualad"])
    arguments = parser.parse_args()
    print(machine())
    sample = load_one_class("fashion_mnist_sample", 8).train.float() / 255
    there = [row for row in benchmark("growth", RESULTS) if row.pop("machine") == machine()]
    rows = {(row["axis"], row["detector"], int(row["value"])): row for row in there}
    for axis in arguments.axes:
        for name in arguments.detectors:
            for value in AXES[axis]:
                row = {"axis": axis, "detector": name, "value": value, **POINTS[axis](name, value, sample)}
                rows[axis, name, value] = row
                print(" ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    write(list(rows.values()), "growth")


def images_point(name, count, sample):
    torch.manual_seed(0)
    x = sample.repeat(-(-count // len(sample)), 1, 1, 1)[:count]
    return fit_and_score(create(name), (x + 0.02 * torch.randn_like(x)).clamp(0, 1))


def side_point(name, side, sample):
    x = interpolate(sample, size=(side, side), mode="bilinear", antialias=True).clamp(0, 1)
    return fit_and_score(create(name, **SHORT), x)


def fit_and_score(model, x):
    fitted = seconds(lambda: model.fit(x))
    scored = seconds(lambda: model.anomaly_scores(x[:1000]))
    return {
        "fit_seconds": round(fitted, 2),
        "score_seconds_1000": round(scored, 2),
    }


POINTS = {"images": images_point, "side": side_point}

if __name__ == "__main__":
    main()
