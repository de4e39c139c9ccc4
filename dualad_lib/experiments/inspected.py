"""What lesson 11 measures on an inspection set: split by part, false alarms against the promise, shifts, heat maps.

A cell is a detector with a setting, over several random splits, whose number stands in the column `seed`. Its rows are
those of `results`, for all anomalies together and for each kind. What has no column there goes into a file of its own,
figures/results/measures/STUDY_DATASET.csv: a row a measure (see MEASURES), split and shift.
"""

import ast
import csv
import functools
import json
import time
from pathlib import Path

import numpy as np
import torch

from ..course.provenance import combined, digest, dump, module_hashes, results_folder
from ..data import load_inspection
from ..data.inspection import SHIFTS, camera, split_by_part
from ..data.patches import cut, image_scores, join, per_image
from ..errors import RunError
from ..evaluation import per_region_overlap, pixel_auroc
from ..files import atomic_write
from ..scoring import Scores, threshold_at
from .results import _cell, _rows, _stored, read_table

RATE = 0.05  # the false-alarm rate that is promised
BLUR = 1.0  # pixels, of the heat maps; fixed beforehand
#: How images are divided. "part": no part on two sides; a defect of a part whose other views train or calibrate is left
#: out. "calibrated by image": so too for the test, but `fit` holds calibration images back one by one. "image": views
#: of one part anywhere, a flawed evaluation.
SPLITS = ("part", "calibrated by image", "image")
FLAW = "split by image"
#: false_alarms, detected: shares of the normal and of the anomalous test images above the threshold. ks_p: p-value of a
#: two-sample Kolmogorov-Smirnov test, calibration scores against those of normal test images; no label enters it.
MEASURES = ("false_alarms", "detected", "ks_p", "pixel_auroc", "pro")
COLUMNS = (
    "dataset",
    "detector",
    "setting",
    "seed",
    "profile",
    "shift",
    "measure",
    "value",
    "count",
    "command",
)
KEYS = COLUMNS[: COLUMNS.index("value")]


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
    those of `results.measure`; splits (1): how many random splits; maps (0): of how many of them the heat maps are
    measured; shifts (False): whether alarms are measured again under each of SHIFTS, and recalibrate (True) once more
    after recalibration; split: one of SPLITS; patch: side of the patches (None: whole images).
    """
    model, key, cell = _identity(detector, dataset, normal_class, **options)
    stored = _stored(cell, key, also=("measures",))
    if stored is not None:
        return stored
    data = load_inspection(dataset)
    rows, measures = [], []
    for number in range(key["splits"]):
        part = {**key, "seed": key["seed"] * key["splits"] + number}
        inspector = Inspector(model.set_params(seed=part["seed"]), key["patch"])
        more, values = _one_split(inspector, data, part, number < key["maps"], command)
        rows += more
        measures += [{**{n: part[n] for n in KEYS if n in part}, **v, "command": command} for v in values]
    if cell is not None:
        with atomic_write(cell) as temporary:
            temporary.write_text(
                json.dumps({"key": key, "rows": rows, "measures": measures}, indent=1), encoding="utf-8"
            )
    return rows


def measured(detector, dataset, normal_class, output, **options):
    """Rows of a cell that `measure` finished with these very arguments and this code; None if there is none."""
    _, key, cell = _identity(detector, dataset, normal_class, output=output, **options)
    return _stored(cell, key, also=("measures",))


def finish(cells, output):
    """Write the measures of finished cells into OUTPUT/measures/STUDY_DATASET.csv; those of other cells there stay."""
    finish_measures(cells, output, _identity)


def finish_measures(cells, output, identity):
    """`finish` for any module whose cells keep measures; identity: its (model, key, cell file) of a cell's options."""
    for study, dataset in dict.fromkeys((cell.study, cell.dataset) for cell in cells):
        rows = []
        for one in cells:
            if (one.study, one.dataset) == (study, dataset):
                options = {k: v for k, v in one.arguments().items() if k not in ("detector", "dataset")}
                _, key, cell = identity(
                    one.method, dataset, one.normal_class, output=Path(output) / "cells", **options
                )
                if _stored(cell, key, also=("measures",)) is not None:
                    rows += json.loads(cell.read_text(encoding="utf-8"))["measures"]
        if rows:
            merge_measures(rows, Path(output) / "measures" / f"{study}_{dataset}.csv")


def read_measures(study, folder=None):
    """Measures of a study as dicts, numbers as numbers; default: the committed ones."""
    folder = results_folder() / "measures" if folder is None else Path(folder)
    rows = []
    for path in sorted(folder.glob(f"{study}*.csv")):
        rows += read_table(path, COLUMNS, floats=("value",), integers=("count", "seed"))
    return rows


def merge_measures(rows, path):
    """Write measures into a file, whole; those of other keys that are there stay."""
    there = read_measures(path.stem, path.parent) if path.exists() else []
    there = [row for row in there if row["dataset"] == rows[0]["dataset"]]  # not of a file whose name goes on
    found = {tuple(str(row[n]) for n in KEYS): row for row in [*there, *rows]}
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for key in sorted(found, key=lambda key: [text.zfill(3) for text in key]):
            writer.writerow({**found[key], "value": f"{found[key]['value']:.6g}"})


def _identity(
    detector,
    dataset,
    normal_class,
    splits=1,
    maps=0,
    shifts=False,
    recalibrate=True,
    split="part",
    patch=None,
    output=None,
    **options,
):
    if split not in SPLITS:
        raise RunError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}.")
    if normal_class != 0:
        raise RunError(f"the normal class of an inspection set is 0, free of defects; got {normal_class!r}.")
    model, key, cell = _cell(detector, dataset, normal_class, protocol="parts", output=output, **options)
    own = {"splits": splits, "maps": maps, "shifts": shifts, "split_by": split, "patch": patch}
    return model, {**key, **own, "recalibrate": recalibrate, "code": [key["code"], _own_hash()]}, cell


@functools.cache
def _own_hash():
    """Hash of what a cell stands on beside its detector: this module, the set and its patches."""
    used = "from dualad_lib.data import load_inspection\nfrom dualad_lib.data.patches import cut"
    own = digest(dump(ast.parse(Path(__file__).read_text(encoding="utf-8"))))
    return [own, combined(module_hashes(ast.parse(used)))]


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
        more = _rows({**key, "setting": setting}, inspector, labels, Scores(**own), *seconds, command)
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
    from scipy.stats import ks_2samp

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
