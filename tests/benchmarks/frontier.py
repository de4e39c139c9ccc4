"""AUROC against seconds of training and scoring: every detector here and what a user would pick instead.

    DUALAD_DATA=FOLDER uv run --with pyod==3.6.7 python tests/benchmarks/frontier.py [--datasets mnist ...]

Each method at several lengths of training, each length trained for itself. Seconds are CPU seconds of one thread, for
the fit and for scoring 2,000 test images of classes 0 and 8; a batch elsewhere on the machine hardly moves them.
DualAD has the settings of the tables without mutual information, as `dualad fit` has. Peers: PyOD's AutoEncoder and
DeepSVDD at their defaults, and GEOM (Golan & El-Yaniv, NeurIPS 2018): a network names which of 72 transformations an
image went through, here with the encoder of our DualAD, so that the seconds compare ideas and not frameworks. On
CIFAR-10 also the detectors on features of a frozen ImageNet network, which have seen other photographs.

Writes figures/results/benchmark_frontier.csv, a row a model, as it is measured; models that stand there are left out.
"""

import argparse
import csv
import itertools
import time
import warnings

import torch
from common import write
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax

from dualad_lib import load_one_class
from dualad_lib.detectors import create
from dualad_lib.detectors.autoencoder import NETWORKS
from dualad_lib.evaluation import auroc
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.settings import table_settings
from dualad_lib.training import as_float
from dualad_lib.transforms import affine, dihedral

CLASSES = (0, 8)
SCORED = 2000
STEPS = (10, 30, 100, 300, 1000)
LONG = 7000  # of CIFAR-10: about twenty minutes
FIELDS = ("dataset", "normal_class", "method", "setting", "seconds", "auroc")


def main():
    parser = argparse.ArgumentParser(description="AUROC against seconds.")
    parser.add_argument("--datasets", nargs="+", default=["mnist", "fashion_mnist", "cifar10"])
    parser.add_argument("--methods", nargs="+", default=None)
    parser.add_argument("--classes", nargs="+", type=int, default=CLASSES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path = RESULTS / "benchmark_frontier.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    done = {tuple(str(row[name]) for name in FIELDS[:4]) for row in rows}
    for dataset, (method, setting, fit), normal_class in wanted(arguments.datasets, arguments.classes):
        key = (dataset, str(normal_class), method, setting)
        if key in done or (arguments.methods and method not in arguments.methods):
            continue
        task = load_one_class(dataset, normal_class)
        chosen = torch.randperm(len(task.test), generator=torch.Generator().manual_seed(0))[:SCORED]
        start = time.process_time()
        scores = fit(task.train)(task.test[chosen])
        spent = time.process_time() - start
        reached = auroc(task.test_labels[chosen].numpy(), scores)
        own = (*key, round(spent, 2), round(reached, 4))
        rows.append(dict(zip(FIELDS, own, strict=True)))
        write(rows, "frontier")
        print(f"{dataset} {normal_class} {method} {setting}: {spent:.1f} s, {100 * reached:.1f}", flush=True)


def wanted(datasets, classes):
    """(data set, entry, class), the quick ones of all classes first."""
    for dataset in datasets:
        yield from ((dataset, entry, k) for entry, k in itertools.product(entries(dataset), classes))
    if "cifar10" in datasets:
        for normal_class in classes:
            yield "cifar10", ours("dualad", LONG, "cifar10"), normal_class


def entries(dataset):
    """(method, setting, function of training images -> function of images -> scores (n,)) in their order."""
    for name in ("pca", "knn", "isolation_forest", "ocsvm", "kde", "dualad_published"):
        yield name, "default", fitted(create(name))
    for steps in STEPS:
        yield ours("autoencoder", steps, dataset)
        yield ours("dualad", steps, dataset)
    for steps in (10, 100, 1000):
        yield "GEOM", f"steps={steps}", geom(steps, dataset)
    for epochs in (1, 4, 16):
        yield "PyOD AutoEncoder", f"epochs={epochs}", pyod("auto_encoder.AutoEncoder", epochs)
    for epochs in (1, 10, 100):
        yield "PyOD DeepSVDD", f"epochs={epochs}", pyod("deep_svdd.DeepSVDD", epochs)
    if dataset == "cifar10":
        yield "feature_neighbours", "ImageNet", fitted(create("feature_neighbours"))


def ours(name, steps, dataset):
    settings = {**table_settings(dataset, name), "steps": steps, "device": "cpu"}
    if name == "dualad":
        settings["mutual_information"] = False
    return name, f"steps={steps}", fitted(create(name, **settings))


def fitted(detector):
    def fit(images):
        model = detector.fit(images)
        return lambda test: model.anomaly_scores(test).final

    return fit


def pyod(kind, epochs):
    def fit(images):
        module, _, name = kind.partition(".")
        found = getattr(__import__(f"pyod.models.{module}", fromlist=[name]), name)
        x = images.flatten(1).float().numpy() / 255
        own = {"n_features": x.shape[1], "epochs": epochs} if name == "DeepSVDD" else {"epoch_num": epochs}
        model = found(verbose=0, **own)
        model.fit(x)
        return lambda test: model.decision_function(test.flatten(1).float().numpy() / 255)

    return fit


#: GEOM's 72 transformations: mirrored or not, shifted by a quarter or not in each direction, turned.
GEOM = tuple(itertools.product((0, 1), (-0.25, 0, 0.25), (-0.25, 0, 0.25), (0, 3, 5, 6)))


def geometric(x, number):
    """Transformation `number` of GEOM's 72 of images (N, C, H, W)."""
    mirrored, down, right, turned = GEOM[number]
    x = x.flip(3) if mirrored else x
    x = affine(x, shift_x=right, shift_y=down) if down or right else x
    return dihedral(x, turned)


def geom(steps, dataset):
    """GEOM in its simple form: the score is minus the mean log-probability of the true transformation."""

    def fit(images):
        torch.manual_seed(0)
        settings = {
            "network": "conv",
            "latent_dim": 64,
            "batch_size": 128,
            **table_settings(dataset, "dualad"),
        }
        network = NETWORKS[settings["network"]](tuple(images.shape[1:]), latent_dim=settings["latent_dim"])
        head = nn.Linear(settings["latent_dim"], len(GEOM))
        parameters = [p for p in (*network.encoder.parameters(), *head.parameters()) if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, 2e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        each = max(1, settings["batch_size"] // 8)
        if settings["network"] == "pooled":
            network.encoder.learn(as_float(images[:1000], "cpu"))
        for _ in range(steps):
            chosen = torch.randperm(len(GEOM))[:8].tolist()
            batch = as_float(images[torch.randint(len(images), (each,))], "cpu")
            x = torch.cat([geometric(batch, number) for number in chosen])
            told = torch.tensor(chosen).repeat_interleave(len(batch))
            loss = cross_entropy(head(network.encode(x)), told)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()

        @torch.no_grad()
        def score(test):
            total = torch.zeros(len(test))
            for number in range(len(GEOM)):
                for rows in torch.arange(len(test)).split(256):
                    x = geometric(as_float(test[rows], "cpu"), number)
                    total[rows] -= log_softmax(head(network.encode(x)), 1)[:, number]
            return (total / len(GEOM)).numpy()

        return score

    return fit


if __name__ == "__main__":
    main()
