"""Images a second in training and in scoring: our detectors and what a user would pick instead, on the same images.

    uv run --with pyod==3.6.7 --with anomalib==2.7.0 python tests/benchmarks/throughput.py

Peers: the published configuration of DualAD, which scores one image at a time; PyOD's AutoEncoder and DeepSVDD;
anomalib's Ganomaly through its engine, from image files. Each at its own defaults, and beside it with network and
batch size made equal to one of ours, where it lets us. "images": passes of an image through a training step. Ours are
timed by `fit` and `anomaly_scores` as a user calls them. Writes figures/results/benchmark_throughput.csv, in which the
rows of another call on this machine stay; a peer that is not installed is left out and named. Keep the machine idle.
"""

import argparse
import contextlib
import logging
import os
import tempfile
import warnings
from pathlib import Path

import torch
from common import machine, seconds, write

from dualad_lib import Autoencoder, DualAD, PublishedDualAD, load_one_class
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark
from dualad_lib.networks import MLPAutoencoder

CLASS = 8


def main():
    parser = argparse.ArgumentParser(description="Throughput beside peers.")
    parser.add_argument("--dataset", default="fashion_mnist_sample")
    parser.add_argument("--only", nargs="+", choices=[name for name, _ in ENTRIES], default=None)
    arguments = parser.parse_args()
    task = load_one_class(arguments.dataset, CLASS)
    print(f"{machine()}\ntrained on {len(task.train)} images of {arguments.dataset}, {len(task.test)} scored")
    rows = {row["method"]: row for row in benchmark("throughput", RESULTS) if row.pop("machine") == machine()}
    for name, entry in ENTRIES:
        if arguments.only and name not in arguments.only:
            continue
        try:
            trained, scored = entry(task.train, task.test)
        except ImportError as error:
            print(f"{name}: left out, {error}")
            continue
        rows[name] = {"method": name, "trained_a_second": round(trained), "scored_a_second": round(scored)}
        print(f"{name:44} trains {trained:9.0f} images/s, scores {scored:9.0f} images/s", flush=True)
        write([rows[name] for name, _ in ENTRIES if name in rows], "throughput")


def ours(kind, **parameters):
    def entry(train, test):
        kind(**{**parameters, "steps": 2}).fit(train)  # what a process pays once
        model = kind(**parameters)
        spent = seconds(lambda: model.fit(train))
        images = model.steps * min(model.batch_size, len(train))
        return images / spent, len(test) / seconds(lambda: model.anomaly_scores(test))

    return entry


def published(count, batch_size):
    def entry(train, test):
        model = PublishedDualAD()
        spent = seconds(lambda: model.fit(train))
        some = test[:count]
        scored = seconds(lambda: model.anomaly_scores(some, batch_size=batch_size))
        return model._steps(train) * model.batch_size / spent, len(some) / scored

    return entry


def pyod(kind, epochs, **parameters):
    def entry(train, test):
        module, _, name = kind.partition(".")
        found = __import__(f"pyod.models.{module}", fromlist=[name])
        x, y = (images.flatten(1).float().numpy() / 255 for images in (train, test))
        features = {"n_features": x.shape[1]} if name == "DeepSVDD" else {}
        count = {"epochs" if features else "epoch_num": epochs}
        model = getattr(found, name)(verbose=0, **features, **count, **parameters)
        spent = seconds(lambda: model.fit(x))
        return epochs * len(x) / spent, len(y) / seconds(lambda: model.decision_function(y))

    return entry


def ganomaly(side, count):
    def entry(train, test):
        from anomalib.data import Folder, PredictDataset
        from anomalib.engine import Engine
        from anomalib.models import Ganomaly
        from PIL import Image

        logging.disable(logging.WARNING)
        with tempfile.TemporaryDirectory() as folder:
            for name, images in (("good", train[:count]), ("bad", test[:4]), ("new", test[:count])):
                (Path(folder) / name).mkdir()
                for i, image in enumerate(images):
                    Image.fromarray(image[0].numpy()).convert("RGB").save(Path(folder) / name / f"{i:04}.png")
            data = Folder("bags", root=folder, normal_dir="good", abnormal_dir="bad", num_workers=0)
            model = Ganomaly(pre_processor=Ganomaly.configure_pre_processor((side, side)))
            common = {"accelerator": "auto", "logger": False}
            engine = Engine(max_epochs=1, default_root_dir=folder, limit_val_batches=0, **common)
            spent = seconds(lambda: engine.fit(model, datamodule=data))
            new = PredictDataset(path=Path(folder) / "new")
            scored = seconds(lambda: engine.predict(model, dataset=new))
        return len(data.train_data) / spent, count / scored

    return entry


@contextlib.contextmanager
def quiet():
    """Peers talk; what they say is not what is measured."""
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


class Small(Autoencoder):
    """Autoencoder on the network that PyOD's detectors have by default: 784-64-32 and back."""

    def _parts(self):
        return {"G": MLPAutoencoder(self.image_shape_, hidden=(64,), latent_dim=32)}


BARE = {"dropout_rate": 0.0, "batch_norm": False}
MLP = {"hidden_neuron_list": [1024, 256, 64], **BARE}
SMALL = {"network": "mlp", "latent_dim": 32, "steps": 2000}
ENTRIES = (
    ("ours: Autoencoder", ours(Autoencoder)),
    ("ours: DualAD", ours(DualAD)),
    ("ours: Autoencoder, 784-64-32, batch 1,000", ours(Small, **SMALL, batch_size=1000)),
    ("published DualAD, scores one at a time", published(500, 1)),
    ("published DualAD, scored by us in batches", published(2000, 512)),
    ("PyOD AutoEncoder", pyod("auto_encoder.AutoEncoder", 10)),
    ("PyOD DeepSVDD", pyod("deep_svdd.DeepSVDD", 20)),
    ("anomalib Ganomaly, side 256", ganomaly(256, 128)),
    ("ours: Autoencoder, 784-1024-256-64, batch 128", ours(Autoencoder, network="mlp")),
    (
        "PyOD AutoEncoder, 784-1024-256-64, batch 128",
        pyod("auto_encoder.AutoEncoder", 10, batch_size=128, **MLP),
    ),
    ("ours: Autoencoder, 784-64-32, batch 32", ours(Small, **SMALL, batch_size=32)),
    (
        "PyOD AutoEncoder, 784-64-32, batch 32",
        pyod("auto_encoder.AutoEncoder", 10, batch_size=32, hidden_neuron_list=[64, 32], **BARE),
    ),
    ("anomalib Ganomaly, side 32", ganomaly(32, 512)),
)

if __name__ == "__main__":
    torch.manual_seed(0)
    with quiet():
        main()
