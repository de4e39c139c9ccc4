"""Can larger images, or another statistic of the map, lift the verdict on magnetic tiles?

    DUALAD_DATA=... python tests/benchmarks/tiles.py

The tables read 256 pixels and score an image by the mean of the highest hundredth of its map. Beside that: 320 pixels,
the maximum, and both less the median of the image's own map, which takes off what is strange about the whole image.
"development" rows lie inside the third of the parts on which settings may be chosen (three splits, two thirds of the
sound tiles train); "test" rows are the splits of the study `photographs`. Rows stay as they come, so an interrupted run
goes on. An hour or two; writes figures/results/benchmark_tiles.csv.
"""

import numpy as np
import torch
from common import write

from dualad_lib.data import load_inspection
from dualad_lib.data.inspection import split_by_part
from dualad_lib.detectors import create
from dualad_lib.detectors.features import top_mean
from dualad_lib.evaluation import auroc, pixel_auroc
from dualad_lib.experiments.photographs import development_parts, split
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark

DETECTORS = {"PatchCore": ("patchcore", {}), "DualAD": ("dualad", {"features": "efficientnet_lite0"})}
#: (split, how many, pixels, detectors); nothing helped DualAD at 256, so PatchCore alone goes on.
PLAN = (
    ("development", 3, 256, ("PatchCore", "DualAD")),
    ("development", 3, 320, ("PatchCore",)),
    ("test", 5, 320, ("PatchCore",)),
)


def deal(data, kind, seed):
    """Indices of the images that train, that calibrate and that test."""
    if kind == "test":
        return split(data, "parts", seed)
    labels, parts = data.labels.numpy(), data.parts.numpy()
    inside = np.isin(parts, development_parts(parts))
    sound = np.flatnonzero(inside & (labels == 0))
    learn, held, rest = (sound[c] for c in split_by_part(parts[sound], (0.55, 0.12, 0.33), seed))
    seen = np.isin(parts, parts[np.concatenate([learn, held])])
    defects = np.flatnonzero(inside & (labels > 0) & ~seen)
    return tuple(torch.from_numpy(np.sort(i)) for i in (learn, held, np.concatenate([rest, defects])))


def statistics(maps):
    """Scores (N,) of maps (N, H, W) by name."""
    flat = maps.reshape(len(maps), -1)
    median = np.median(flat, 1)
    found = {"highest hundredth": top_mean(torch.from_numpy(maps)).numpy(), "maximum": flat.max(1)}
    return found | {f"{name} - median": score - median for name, score in found.items()}


def main():
    for kind, splits, side, detectors in PLAN:
        data = load_inspection("magnetic_tiles", image_size=(side, side))
        for seed in range(splits):
            for detector in detectors:
                cell = {"split": kind, "side": side, "seed": seed, "detector": detector}
                rows = benchmark("tiles", RESULTS)
                if any(all(row[key] == str(value) for key, value in cell.items()) for row in rows):
                    continue
                train, held, test = deal(data, kind, seed)
                name, params = DETECTORS[detector]
                model = create(name, seed=seed, **params)
                model.fit(data.images[train], calibration=data.images[held])
                _, maps = model.scores_and_maps(data.images[test])
                y = (data.labels[test] > 0).numpy().astype(int)
                pixel = round(pixel_auroc(data.masks[test].numpy(), maps), 4)
                new = [
                    {**cell, "score": score, "image_auroc": round(auroc(y, values), 4), "pixel_auroc": pixel}
                    for score, values in statistics(maps).items()
                ]
                write([*rows, *new], "tiles")


if __name__ == "__main__":
    main()
