"""What lesson 07 measures on an inspection set: split by part, false alarms against the promise, shifts, heat maps.

A cell is a detector with a setting, over several random splits, whose number stands in the column `seed`. Its rows are
those of `results`, for all anomalies together and for each kind. What has no column there goes into a file of its own,
figures/results/measures/STUDY_DATASET.csv: a row a measure (see MEASURES), split and shift.
"""

import time
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import ks_2samp

from ..data import load_inspection
from ..data.inspection import SHIFTS, camera, split_by_part
from ..data.patches import cut, image_scores, join, per_image
from ..errors import RunError
from ..evaluation import per_region_overlap, pixel_auroc
from ..scoring import Scores, threshold_at
from . import cells
from .cells import own_hash, rows_of
from .results import MEASURE_KEYS

RATE = 0.05  # the false-alarm rate that is promised
BLUR = 1.0  # pixels, of the heat maps; fixed beforehand
#: How images are divided. "part": no part on two sides; a defect of a part whose other views train or calibrate is left
#: out. "calibrated by image": so too for the test, but `fit` holds calibration images back one by one. "image": views
#: of one part anywhere, a flawed evaluation.
SPLITS = ("part", "calibrated by image", "image")
FLAW = "split by image"
USED = "from dualad_lib.data import load_inspection\nfrom dualad_lib.data.patches import cut"  # beside the detector
#: false_alarms, detected: shares of the normal and of the anomalous test images above the threshold. ks_p: p-value of a
#: two-sample Kolmogorov-Smirnov test, calibration scores against those of normal test images; no label enters it.
MEASURES = ("false_alarms", "detected", "ks_p", "pixel_auroc", "pro")


class Inspector:
    """A detector of whole images or, with `patch`, of half-overlapping patches, of which the highest score counts.

    Its threshold is set on image scores of calibration images, whichever it is.
    """

    def __init__(self, model, patch=None, rate=RATE):
        self.model, self.patch, self.rate = model, patch, rate
        self.device = getattr(model, "device", "cpu")

    def fit(self, images, calibration=None):
        """calibration: images (M, C, H, W); None: the detector holds back a tenth itself (whole images alone)."""
        if self.patch and calibration is None:
            raise RunError("patches need calibration images: a patch is not held back without its image.")
        self.model.fit(self._cut(images), calibration=None if calibration is None else self._cut(calibration))
        own = self.model.calibration_scores_ if calibration is None else self.scores(calibration).final
        return self._set(own)

    def recalibrate(self, calibration):
        """New scales and a new threshold; what was learned stays."""
        self.model.recalibrate(self._cut(calibration))
        return self._set(self.scores(calibration).final)

    def _set(self, scores):
        self.calibration_scores_, self.threshold_ = scores, threshold_at(scores, self.rate)
        return self

    def scores(self, images):
        """Scores of the images, (N,) each."""
        scores = self.model.anomaly_scores(self._cut(images))
        if not self.patch:
            return scores
        count = per_image(images.shape[2:], self.patch)
        own = {name: values for name, values in vars(scores).items() if values is not None}
        return Scores(**{name: image_scores(values, count) for name, values in own.items()})

    def maps(self, images):
        """Heat maps float64 (N, H, W); None for a detector that reconstructs nothing."""
        if not hasattr(self.model, "reconstruct"):
            return None
        maps = self.model.anomaly_map(self._cut(images), BLUR)
        return join(maps, images.shape[2:]) if self.patch else maps

    def _cut(self, images):
        return cut(images, self.patch) if self.patch else images


def measure(detector, dataset, normal_class, command="", label="", **options):
    """Measure one cell and return its rows, in the columns of `results.COLUMNS`.

    normal_class: 0, the parts without defects. Of the options, seed (0) and profile, params, setting and output are
    those of `measuring.measure`; splits (1): how many random splits; maps (0): of how many of them the heat maps are
    measured; shifts (False): whether alarms are measured again under each of SHIFTS, and recalibrate (True) once more
    after recalibration; split: one of SPLITS; patch: side of the patches (None: whole images).
    """
    kept = identify(detector, dataset, normal_class, **options)
    if (stored := kept.rows()) is not None:
        return stored
    model, key = kept.model, kept.key
    data = load_inspection(dataset)
    rows, measures = [], []
    for number in range(key["splits"]):
        part = {**key, "seed": key["seed"] * key["splits"] + number}
        inspector = Inspector(model.set_params(seed=part["seed"]), key["patch"])
        more, values = _one_split(inspector, data, part, number < key["maps"], command)
        rows += more
        measures += [
            {**{n: part[n] for n in MEASURE_KEYS if n in part}, **v, "command": command} for v in values
        ]
    return kept.write(rows, measures=measures)


def identify(
    detector,
    dataset,
    normal_class,
    splits=1,
    maps=0,
    shifts=False,
    recalibrate=True,
    split="part",
    patch=None,
    **options,
):
    """The Kept of a cell; arguments as of `measure`."""
    if split not in SPLITS:
        raise RunError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}.")
    if normal_class != 0:
        raise RunError(f"the normal class of an inspection set is 0, free of defects; got {normal_class!r}.")
    kept = cells.identify(detector, dataset, normal_class, protocol="parts", **options)
    own = {"splits": splits, "maps": maps, "shifts": shifts, "split_by": split, "patch": patch}
    code = [kept.key["code"], own_hash(__file__, USED)]
    key = {**kept.key, **own, "recalibrate": recalibrate, "code": code}
    return replace(kept, key=key, measured=True, several=True)


def _one_split(inspector, data, key, with_maps, command):
    """(rows, measures without the columns that name the cell) of one split."""
    good, bad = data[data.labels == 0], data[data.labels > 0]
    parts = torch.arange(len(good)) if key["split_by"] == "image" else good.parts
    train, held, test = (good[chosen] for chosen in split_by_part(parts, seed=key["seed"]))
    if key["split_by"] != "image":
        bad = bad[~torch.isin(bad.parts, torch.cat([train.parts, held.parts]))]
    start = time.perf_counter()
    if key["split_by"] == "calibrated by image":
        inspector.fit(torch.cat([train.images, held.images]))
    else:
        inspector.fit(train.images, held.images)
    trained = time.perf_counter()
    normal, anomalous = (inspector.scores(part.images) for part in (test, bad))
    seconds = trained - start, time.perf_counter() - trained
    rows = []
    for number, name in enumerate(("", *data.class_names[1:])):
        chosen = (bad.labels > 0 if not name else bad.labels == number).numpy()
        if not chosen.any():
            continue
        labels = np.repeat([0, 1], [len(test), chosen.sum()])
        own = {
            n: np.concatenate([v, getattr(anomalous, n)[chosen]])
            for n, v in vars(normal).items()
            if v is not None
        }
        setting = ", ".join(filter(None, (key["setting"], name)))
        more = rows_of({**key, "setting": setting}, inspector, labels, Scores(**own), *seconds, command)
        flawed = {"evaluation": FLAW} if key["split_by"] == "image" else {}
        rows += [{**row, **flawed} for row in more]
    measures = _alarms(inspector, "none", normal.final, anomalous.final)
    if with_maps:
        measures += _pixels(inspector, test, bad)
    if key["shifts"]:
        changed = {n: [camera(p.images, **how) for p in (held, test, bad)] for n, how in SHIFTS.items()}
        for name, (_, *both) in changed.items():
            measures += _alarms(inspector, name, *(inspector.scores(x).final for x in both))
        for name, (calibration, *both) in changed.items() if key["recalibrate"] else ():
            inspector.recalibrate(calibration)
            measures += _alarms(
                inspector, f"{name}, recalibrated", *(inspector.scores(x).final for x in both)
            )
    return rows, measures


def _alarms(inspector, shift, normal, anomalous):
    found = {
        "false_alarms": ((normal > inspector.threshold_).mean(), len(normal)),
        "detected": ((anomalous > inspector.threshold_).mean(), len(anomalous)),
        "ks_p": (ks_2samp(inspector.calibration_scores_, normal).pvalue, len(normal)),
    }
    return [{"shift": shift, "measure": m, "value": float(v), "count": n} for m, (v, n) in found.items()]


def _pixels(inspector, test, bad):
    images = torch.cat([test.images, bad.images])
    masks, maps = torch.cat([test.masks, bad.masks]).numpy(), inspector.maps(images)
    if maps is None:
        return []
    found = {"pixel_auroc": pixel_auroc(masks, maps), "pro": per_region_overlap(masks, maps)}
    return [
        {"shift": "none", "measure": m, "value": v, "count": int(masks.any((1, 2)).sum())}
        for m, v in found.items()
    ]
