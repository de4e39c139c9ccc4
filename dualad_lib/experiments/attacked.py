"""Study 10: detectors that have to see that a classifier is under attack, as rows of a results file.

Normal: the clean test images of one class. Anomalous: the same images after an attack that made the classifier name
another class; a failed attack is no anomaly and does not count. `setting` names the attack, its bound, and how many of
the images that were named rightly before were lost, `attack=fgsm;eps=8/255;fooled=200/231`; "" is the other classes'
clean test images instead. A detector without some of its parts has them before it, `parts=AE;attack=...`. Every cell of
an output folder attacks the same classifier, which is kept there.
"""

import ast
import time
from importlib.util import find_spec
from pathlib import Path

import torch

from ..adversarial.classifier import adaptive, load_attacked
from ..adversarial.detectors import SCORES, AttackDetector
from ..course.provenance import digest, dump
from ..detectors import create
from ..detectors.trained import Trained
from ..training import as_float
from .results import _cell_path, _code_hash, _rows, _store, _stored

LEAST = 10  # lost images of which an AUROC is told
TINY = {"epochs": 6, "width": 6, "boundary_steps": 5}  # of the profile "smoke"


def measure(detector, dataset, normal_class, command="", label="", **options):
    """Train one detector on the normal images, score it on every attack, and return its rows.

    detector: a name that `create` knows, or one of SCORES. options, as in `results.measure`: protocol ("p2"), seed,
    profile, params, setting, output. A finished cell is read. A detector whose score has a gradient is also attacked by
    one who knows it. Attacks by which fewer than LEAST images were lost have no row.
    """
    key, cell = _cell(detector, dataset, normal_class, **options)
    stored = _stored(cell, key)
    if stored is not None:
        return stored
    size = TINY if key["profile"] == "smoke" else {}
    output = options.get("output")
    kept = (
        None if output is None else Path(output) / f"attacked-{_code_hash(load_attacked)[:8]}"
    )  # other code, another one
    attacked = load_attacked(dataset, normal_class, kept, **size)
    model = _model(detector, key, attacked.classifier)
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
        rows += _rows({**key, "setting": setting}, model, labels, scores, trained, scored, command)
    _store(cell, key, rows)
    return rows


def measured(detector, dataset, normal_class, output, **options):
    """Rows of a cell that `measure` finished with these very arguments and this code; None if there is none."""
    key, cell = _cell(detector, dataset, normal_class, output=output, **options)
    return _stored(cell, key)


def _tests(model, attacked):
    """Setting -> anomalies, float images."""
    tests = {"": as_float(attacked.others, "cpu")}
    for (attack, eps), adversarial in {**attacked.adversarial, **adaptive(model, attacked)}.items():
        fooled = attacked.fooled(adversarial)
        if fooled.sum() >= LEAST:
            bound = "" if eps is None else f";eps={eps}/255"
            tests[f"attack={attack}{bound};fooled={int(fooled.sum())}/{len(fooled)}"] = adversarial[fooled]
    return tests


def _model(detector, key, classifier=None):
    if detector in SCORES:
        return AttackDetector(detector, classifier, seed=key["seed"])
    return create(detector, **{"seed": key["seed"], **key["params"]})


def _cell(
    detector,
    dataset,
    normal_class,
    protocol="p2",
    seed=0,
    profile="lesson",
    params=None,
    setting="",
    output=None,
):
    """(what identifies the cell, the path of its file or None)."""
    key = {
        "dataset": dataset,
        "protocol": protocol,
        "split": "test",
        "normal_class": normal_class,
        "detector": detector,
        "seed": seed,
        "profile": profile,
        "setting": setting,
        "params": params or {},
        "boundary": find_spec("foolbox") is not None,  # without it a cell lacks that attack
        "code": [_own_hash(), _code_hash(load_attacked)],
    }
    model = _model(detector, key)
    key["parameters"] = {
        n: v for n, v in model.get_params(deep=False).items() if n not in ("device", "classifier")
    }
    key["code"].append(_code_hash(type(model)))
    return key, None if output is None else _cell_path(output, key)


def _own_hash():
    return digest(dump(ast.parse(Path(__file__).read_text(encoding="utf-8"))))


def attack_of(setting):
    """What a row's setting says, as texts: {"attack": "fgsm", "eps": "8/255", "fooled": "200/231"}; {} for ""."""
    return dict(part.split("=") for part in setting.split(";") if part)


def attack_table(rows, eps="8/255", scores=("score", "dual")):
    """AUROC in percent, mean over seeds: a line a detector, a column an attack at one bound (or without a bound).

    "other classes" are clean test images. Rows as `read_results` gives them; NaN where an attack has no row.
    """
    import pandas as pd

    chosen = []
    for row in rows:
        attack = attack_of(row["setting"])
        if row["score"] in scores and attack.get("eps", eps) == eps:
            name = ", ".join(filter(None, (row["detector"], attack.get("parts"))))
            kind = attack.get("attack", "other classes")
            chosen.append({"detector": name, "attack": kind, "auroc": 100 * row["auroc"]})
    frame = pd.DataFrame(chosen, columns=["detector", "attack", "auroc"])
    table = frame.pivot_table(index="detector", columns="attack", values="auroc", sort=False)
    order = ("fgsm", "bim", "deepfool", "boundary", "adaptive", "other classes")
    return table.reindex(columns=[name for name in order if name in table.columns])


def lost(rows):
    """Share of the rightly named images that each attack made the classifier lose: Series by (attack, eps or "")."""
    import pandas as pd

    found = {}
    for row in rows:
        attack = attack_of(row["setting"])
        if attack.get("attack", "adaptive") != "adaptive":  # that one differs from detector to detector
            fooled, asked = map(int, attack["fooled"].split("/"))
            found[attack["attack"], attack.get("eps", "")] = fooled / asked
    return pd.Series(found, dtype=float)
