"""Detectors that have to see that a classifier is under attack, as rows of a results file.

Normal: the clean test images of one class. Anomalous: the same images after an attack that made the classifier name
another class; a failed attack is no anomaly and does not count. `setting` names the attack, its bound, and how many of
the images that were named rightly before were lost, `attack=fgsm;eps=8/255;fooled=200/231`; "" is the other classes'
clean test images instead. A detector without some of its parts has them before it, `parts=AE;attack=...`. Every cell of
an output folder attacks the same classifier, which is kept there.
"""

import time
from dataclasses import replace
from importlib.util import find_spec

import torch

from ..adversarial.classifier import adaptive, load_attacked
from ..adversarial.detectors import SCORES, AttackDetector
from ..detectors import create
from ..detectors.trained import Trained
from ..training import as_float
from . import cells
from .cells import code_hash, own_hash, rows_of

LEAST = 10  # lost images of which an AUROC is told
TINY = {"epochs": 6, "width": 6, "boundary_steps": 5}  # of the profile "smoke"


def measure(detector, dataset, normal_class, command="", label="", **options):
    """Train one detector on the normal images, score it on every attack, and return its rows.

    detector: a name that `create` knows, or one of SCORES. options, as in `measuring.measure`: protocol, seed, profile,
    params, setting, output. A finished cell is read. A detector whose score has a gradient is also attacked by
    one who knows it. Attacks by which fewer than LEAST images were lost have no row.
    """
    kept = identify(detector, dataset, normal_class, **options)
    if (stored := kept.rows()) is not None:
        return stored
    model, key = kept.model, kept.key
    size = TINY if key["profile"] == "smoke" else {}
    folder = None if kept.path is None else kept.path.parent / f"attacked-{code_hash(load_attacked)[:8]}"
    attacked = load_attacked(dataset, normal_class, folder, **size)
    if isinstance(model, AttackDetector):
        model.set_params(classifier=attacked.classifier)
    start = time.perf_counter()
    shown = {"label": label} if isinstance(model, Trained) else {}
    model.fit(attacked.train, calibration=attacked.held, **shown)
    trained = time.perf_counter() - start
    rows = []
    for setting, anomalies in _tests(model, attacked).items():
        images = torch.cat([as_float(attacked.clean, "cpu"), anomalies])
        labels = (torch.arange(len(images)) >= len(attacked.clean)).long().numpy()
        start = time.perf_counter()
        scores = model.anomaly_scores(images)
        scored = time.perf_counter() - start
        setting = ";".join(filter(None, (key["setting"], setting)))
        rows += rows_of({**key, "setting": setting}, model, labels, scores, trained, scored, command)
    return kept.write(rows)


def _tests(model, attacked):
    """Setting -> anomalies, float images."""
    tests = {"": as_float(attacked.others, "cpu")}
    for (attack, eps), adversarial in {**attacked.adversarial, **adaptive(model, attacked)}.items():
        fooled = attacked.fooled(adversarial)
        if fooled.sum() >= LEAST:
            bound = "" if eps is None else f";eps={eps}/255"
            tests[f"attack={attack}{bound};fooled={int(fooled.sum())}/{len(fooled)}"] = adversarial[fooled]
    return tests


def identify(detector, dataset, normal_class, **options):
    """The Kept of a cell; arguments as of `measure`."""
    kept = cells.identify(detector, dataset, normal_class, make=_make, **options)
    key = {**kept.key, "boundary": find_spec("foolbox") is not None}  # without it a cell lacks that attack
    key["parameters"].pop("classifier", None)
    key["code"] = [own_hash(__file__), code_hash(load_attacked), key["code"]]
    return replace(kept, key=key, several=True)


def _make(detector, **parameters):
    return AttackDetector(detector, **parameters) if detector in SCORES else create(detector, **parameters)
