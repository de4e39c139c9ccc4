"""What the study `features` measures on photographs of real parts: image and pixel AUROC, false alarms, by split.

A cell is a detector with a setting on one split, whose number is its seed. Test images show parts (tiles) or places
(screws) that no setting was chosen on: those of DEVELOPMENT stay out of every test, and train.

    tiles, "parts"     two thirds of the other parts train, a third tests, and all defects of parts that do not train
    screws, "time"     the first 20 photographs of each place train, the later ones of the reported places test
    screws, "places"   two of the ten reported places test, from the first photograph on; of all others the first 20
                       photographs train
"""

import functools
import time
from dataclasses import replace

import numpy as np
import torch

from ..data import load_inspection
from ..data.inspection import split_by_part, split_by_time, split_development
from ..errors import RunError
from ..evaluation import auroc, pixel_auroc
from . import cells
from .cells import own_hash, rows_of
from .results import MEASURE_KEYS

SIDE = 256  # pixels: what `dualad fit` reads photographs at
SMALL = 64  # of the profile "smoke"
FIRST = 20  # photographs of each place, none of them marked
LAST_FOLD = 5  # groups of places that are left out in turn
USED = "from dualad_lib.data import load_inspection"  # beside the detector
PROTOCOLS = {
    "magnetic_tiles": ("parts",),
    "ball_screws": ("time", "places"),
    "ball_screws_sample": ("time", "places"),
    "digits": ("parts",),  # stand-in parts
}


def measure(detector, dataset, normal_class, command="", label="", **options):
    """Measure one cell and return its rows, in the columns of `results.COLUMNS`. protocol: one of PROTOCOLS.

    normal_class: 0, the images without defects. Other options as in `measuring.measure`.
    """
    kept = identify(detector, dataset, normal_class, **options)
    if (stored := kept.rows()) is not None:
        return stored
    model, key = kept.model, kept.key
    data = _load(dataset, SIDE if key["profile"] == "paper" else SMALL)
    train, held, test = split(data, key["protocol"], key["seed"])
    start = time.perf_counter()
    model.fit(data.images[train], calibration=data.images[held])
    trained = time.perf_counter()
    images = data.images[test]
    try:
        scores, maps = model.scores_and_maps(images)
    except (AttributeError, ValueError):  # it has no maps
        scores, maps = model.anomaly_scores(images), None
    scored = time.perf_counter() - trained
    labels = (data.labels[test] > 0).numpy().astype(int)
    rows = rows_of(key, model, labels, scores, trained - start, scored, command)
    alarms = scores.final > model.threshold_
    found = {
        "false_alarms": (alarms[labels == 0].mean(), (labels == 0).sum()),
        "detected": (alarms[labels == 1].mean(), labels.sum()),
    }
    for number, name in enumerate(data.class_names[1:], start=1):
        chosen = np.isin(data.labels[test].numpy(), (0, number))
        if len(data.class_names) > 2 and labels[chosen].any():
            found[f"auroc {name}"] = (auroc(labels[chosen], scores.final[chosen]), labels[chosen].sum())
    if maps is not None:
        found["pixel_auroc"] = (pixel_auroc(data.masks[test].numpy(), maps), labels.sum())
    own = {name: key[name] for name in MEASURE_KEYS if name in key}
    measures = [
        {**own, "shift": "none", "measure": m, "value": float(v), "count": int(n), "command": command}
        for m, (v, n) in found.items()
    ]
    return kept.write(rows, measures=measures)


@functools.lru_cache(maxsize=2)
def _load(dataset, side):
    return load_inspection(dataset, image_size=(side, side) if dataset == "magnetic_tiles" else side)


def split(data, protocol, seed):
    """(images to learn from, images to calibrate with, images to test on), indices int64, of a split."""
    labels = data.labels.numpy()
    if protocol == "parts":
        parts = data.parts.numpy()
        development = np.isin(parts, development_parts(parts))
        rest = np.flatnonzero(~development & (labels == 0))
        learn, test = (rest[chosen] for chosen in split_by_part(parts[rest], (2 / 3, 1 / 3), seed))
        learn = np.concatenate([learn, np.flatnonzero(development & (labels == 0))])
        defects = np.flatnonzero(~development & (labels > 0) & ~np.isin(parts, parts[learn]))
        test = np.concatenate([test, defects])
        groups = parts[learn]
    else:
        first, later = (indices.numpy() for indices in split_by_time(data.times, data.places, FIRST))
        _, reported = (indices.numpy() for indices in split_development(data))
        places = data.places.numpy()
        if protocol == "time":
            learn, test = first, np.intersect1d(later, reported)
        else:
            parts = data.parts.numpy()
            order = np.random.default_rng(0).permutation(np.unique(parts[reported]))
            left_out = np.array_split(order, min(LAST_FOLD, len(order)))[seed % min(LAST_FOLD, len(order))]
            test = reported[np.isin(parts[reported], left_out)]
            learn = first[~np.isin(parts[first], left_out)]
        groups = np.arange(len(learn)) if len(np.unique(places[learn])) < 10 else places[learn]
        if protocol == "time":  # later photographs of the same places are judged: hold photographs back
            groups = np.arange(len(learn))
    kept, held = (learn[chosen] for chosen in split_by_part(groups, (0.8, 0.2), seed))
    return tuple(torch.from_numpy(np.sort(indices)) for indices in (kept, held, test))


def development_parts(parts):
    """The third of the tiles' parts on which settings were chosen. parts: (N,) -> their numbers."""
    numbers = np.unique(parts)
    return np.random.default_rng(20240).permutation(numbers)[: len(numbers) // 3]


def identify(detector, dataset, normal_class, protocol="parts", **options):
    """The Kept of a cell; arguments as of `measure`."""
    if normal_class != 0:
        raise RunError(
            f"the normal class of photographs of parts is 0, free of defects; got {normal_class!r}."
        )
    if protocol not in PROTOCOLS.get(dataset, ()):
        raise RunError(f"{dataset} has no protocol {protocol!r} here: choose from {PROTOCOLS}.")
    kept = cells.identify(detector, dataset, normal_class, protocol=protocol, **options)
    return replace(
        kept, key={**kept.key, "code": [kept.key["code"], own_hash(__file__, USED)]}, measured=True
    )
