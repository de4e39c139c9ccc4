"""What a division by the roughness of the image does for PCA, and for a network that trains ten times as long.

    DUALAD_DATA=... python tests/benchmarks/divided.py [--parts pca long]

pca: PCA with 32 components on all classes of MNIST and Fashion-MNIST (protocol P2), which lesson 05 sets beside DualAD;
two minutes. long: the autoencoder of lesson 01 on the shipped bags with 3,000 steps instead of 300, five seeds, beside
PCA; twenty minutes. Nothing is chosen on these test images. Each part writes its rows of
figures/results/benchmark_divided.csv and leaves those of the other.
"""

import argparse

from common import write

from dualad_lib import Autoencoder, load_one_class
from dualad_lib.detectors import create
from dualad_lib.evaluation import auroc
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark
from dualad_lib.scoring import SMOOTH, roughness


def rows_of(part, dataset, k, seed, task, **scores):
    """A row for each named pixel score: its AUROC as it is and divided."""
    y, rough = task.test_labels.numpy(), roughness(task.test.float() / 255).numpy() + SMOOTH
    named = {"part": part, "dataset": dataset, "normal_class": k, "seed": seed}
    return [
        {**named, "score": name, "auroc": round(auroc(y, s), 6), "divided": round(auroc(y, s / rough), 6)}
        for name, s in scores.items()
    ]


def pca():
    for dataset in ("mnist", "fashion_mnist"):
        for k in range(10):
            task = load_one_class(dataset, k)
            score = create("pca").fit(task.train).anomaly_scores(task.test).final
            yield from rows_of("pca", dataset, k, 0, task, pca=score)


def long():
    for seed in range(5):
        task = load_one_class("fashion_mnist_sample", 8, seed=seed)
        options = {"width": 8, "batch_size": 64, "latent_dim": 32, "seed": seed}
        found = Autoencoder(steps=3000, **options).fit(task.train).anomaly_scores(task.test)
        linear = {
            f"pca_{n}": create("pca", n_components=n, seed=seed)
            .fit(task.train)
            .anomaly_scores(task.test)
            .final
            for n in (32, 128)
        }
        scores = {"pixel": found.pixel, "latent": found.latent, **linear}
        yield from rows_of("long", "fashion_mnist_sample", 8, seed, task, **scores)


PARTS = {"pca": pca, "long": long}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parts = parser.parse_args().parts
    for part in parts:
        kept = [row for row in benchmark("divided", RESULTS) if row["part"] != part]
        write([*kept, *PARTS[part]()], "divided")


if __name__ == "__main__":
    main()
