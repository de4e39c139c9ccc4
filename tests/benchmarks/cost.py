"""What training and scoring one class cost on this machine, on complete data: figures to read, no test.

    uv run python tests/benchmarks/cost.py [--datasets mnist cifar10] [--stages dualad]

Needs the data where `load_one_class` finds it ($DUALAD_DATA). All cores are used; keep the machine idle.
"""

import argparse
import time

import torch

from dualad_lib import load_one_class
from dualad_lib.detectors import create
from dualad_lib.experiments.settings import ABLATION, table_settings

CLASSES = {"mnist": 1, "fashion_mnist": 0, "cifar10": 3}  # of MNIST the largest


def main():
    parser = argparse.ArgumentParser(description="Seconds of fit and of scoring the test set.")
    parser.add_argument("--datasets", nargs="+", default=["mnist", "cifar10"], choices=CLASSES)
    parser.add_argument("--stages", nargs="+", default=ABLATION, choices=ABLATION)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, CUDA: {torch.cuda.is_available()}")
    print(f"{'data set':15} {'detector':12} {'trained on':>10} {'seconds':>8} {'scored':>7} {'seconds':>8}")
    for dataset in arguments.datasets:
        task = load_one_class(dataset, CLASSES[dataset], download=False)
        create("autoencoder", steps=1).fit(task.train[:200])  # what a process pays once
        for stage in arguments.stages:
            start = time.perf_counter()
            model = create(stage, **table_settings(dataset, stage)).fit(task.train)
            fitted = time.perf_counter()
            model.anomaly_scores(task.test)
            scored = time.perf_counter()
            counts = f"{len(task.train):10} {fitted - start:8.1f} {len(task.test):7} {scored - fitted:8.1f}"
            print(f"{dataset:15} {stage:12} {counts}", flush=True)


if __name__ == "__main__":
    main()
