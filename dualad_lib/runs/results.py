"""Trained models in, rows of a results file out: one tidy CSV a study, one row for each score of each model."""

import ast
import csv
import functools
import hashlib
import json
import time
from pathlib import Path

from ..errors import RunError
from ..files import atomic_write

COLUMNS = (
    "dataset", "protocol", "normal_class", "detector", "score", "seed", "profile", "setting", "evaluation",
    "auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds",
    "device", "torch", "library", "command",
)  # fmt: skip
FLOATS = ("auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds")
INTEGERS = ("normal_class", "seed")


def measure(
    detector,
    dataset,
    normal_class,
    protocol="p2",
    split="test",
    seed=0,
    profile="lesson",
    params=None,
    setting="",
    output=None,
    command="",
    label="",
):
    """Train one detector on one task, score the test images, and return its rows, one a score (see COLUMNS).

    detector: a name that `dualad_lib.detectors.create` knows. params: parameters that differ from its defaults;
    setting: how the results file names that difference. split="development" measures on training files alone.
    output: a folder where this cell is kept as one JSON file, written whole or not at all. A finished cell is read
    instead of trained again, unless the detector's code or parameters have changed since. A training that was killed
    goes on from its last checkpoint. label: text of the progress bar. Figures lie in [0, 1], times in seconds;
    hter is that of the final score at the detector's own threshold.
    """
    from ..data import load_one_class

    model, key, cell = _cell(
        detector, dataset, normal_class, protocol, split, seed, profile, params, setting, output
    )
    stored = _stored(cell, key)
    if stored is not None:
        return stored
    task = load_one_class(dataset, normal_class, protocol=protocol, split=split, seed=seed)
    options = {}
    if "steps" in model.get_params():
        checkpoint = cell.with_suffix(f".{_short(key)}.pt") if cell is not None else None
        options = {"checkpoint": checkpoint, "label": label}
        if checkpoint is not None:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    model.fit(task.train, **options)
    trained = time.perf_counter()
    scores = model.anomaly_scores(task.test)
    scored = time.perf_counter()
    rows = _rows(key, model, task.test_labels.numpy(), scores, trained - start, scored - trained, command)
    _store(cell, key, rows)
    if options.get("checkpoint") is not None:
        options["checkpoint"].unlink(missing_ok=True)
    return rows


def measured(
    detector,
    dataset,
    normal_class,
    protocol="p2",
    split="test",
    seed=0,
    profile="lesson",
    params=None,
    setting="",
    output=None,
):
    """Rows of a cell that `measure` finished with these very arguments and this code; None if there is none."""
    _, key, cell = _cell(
        detector, dataset, normal_class, protocol, split, seed, profile, params, setting, output
    )
    return _stored(cell, key)


def _cell(detector, dataset, normal_class, protocol, split, seed, profile, params, setting, output):
    """(the untrained detector, what identifies the cell, the path of its file or None)."""
    from ..detectors import create

    model = create(detector, **{"seed": seed, **(params or {})})
    key = {
        "dataset": dataset,
        "protocol": protocol,
        "split": split,
        "normal_class": normal_class,
        "detector": detector,
        "seed": seed,
        "profile": profile,
        "setting": setting,
        "parameters": model.get_params(),
        "code": _code_hash(type(model)),
    }
    key["parameters"].pop("device", None)
    return model, key, None if output is None else _cell_path(output, key)


def _store(cell, key, rows):
    if cell is not None:
        with atomic_write(cell) as temporary:
            temporary.write_text(json.dumps({"key": key, "rows": rows}, indent=1))


def _stored(cell, key):
    if cell is None or not cell.exists():
        return None
    stored = json.loads(cell.read_text())
    return stored["rows"] if stored["key"] == json.loads(json.dumps(key)) else None


def measure_stacked(
    detector,
    dataset,
    classes,
    protocol="p2",
    split="test",
    seed=0,
    profile="lesson",
    params=None,
    setting="",
    output=None,
    command="",
    label="",
):
    """`measure` for several classes whose detectors train at once (`stacked.fit_stacked`); one cell file a class.

    Finished classes are read and not trained again. The seconds of training are shared out evenly. Arguments and
    result as in `measure`; a training that is killed starts anew.
    """
    from ..data import load_one_class
    from ..stacked import fit_stacked

    cells = {
        k: _cell(detector, dataset, k, protocol, split, seed, profile, params, setting, output)
        for k in classes
    }
    stored = {k: _stored(cell, key) for k, (_, key, cell) in cells.items()}
    todo = [k for k in classes if stored[k] is None]
    tasks = [load_one_class(dataset, k, protocol=protocol, split=split, seed=seed) for k in todo]
    start = time.perf_counter()
    if todo:
        fit_stacked([cells[k][0] for k in todo], [task.train for task in tasks], label=label)
    trained = (time.perf_counter() - start) / max(1, len(todo))
    for k, task in zip(todo, tasks, strict=True):
        model, key, cell = cells[k]
        start = time.perf_counter()
        scores = model.anomaly_scores(task.test)
        stored[k] = _rows(
            key, model, task.test_labels.numpy(), scores, trained, time.perf_counter() - start, command
        )
        _store(cell, key, stored[k])
    return [row for k in classes for row in stored[k]]


def measure_table(detectors, dataset, classes, seeds=(0,), output=None, results=None, **options):
    """`measure` each detector on each class with each seed; return all rows, and write them as CSV if asked.

    results: path of the CSV file, rewritten after each class, so that an interrupted table shows what it has.
    options: whatever else `measure` takes. One line of progress a trained model.
    """
    from ..progress import progress

    cells = [(c, d, s) for c in classes for d in detectors for s in seeds]
    rows = []
    for normal_class, detector, seed in progress(cells, label=f"{dataset} table", lines=len(cells)):
        rows += measure(detector, dataset, normal_class, seed=seed, output=output, **options)
        if results is not None:
            write_results(rows, results)
    return rows


def write_results(rows, path):
    """Write rows as a tidy CSV, sorted and whole. Rows of one key must not occur twice."""
    names = (
        "dataset",
        "protocol",
        "normal_class",
        "detector",
        "score",
        "seed",
        "profile",
        "setting",
        "evaluation",
    )
    rows = sorted(rows, key=lambda row: tuple(str(row[n]).zfill(3) for n in names))
    keys = [tuple(row[n] for n in names) for row in rows]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise RunError(f"results for {path} hold the same row twice: {sorted(twice, key=str)[0]}.")
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **{n: _text(row[n]) for n in FLOATS}} for row in rows)


def read_results(path):
    """Rows of a results file as dicts, numbers as numbers, empty cells of number columns as None."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in FLOATS:
            row[name] = float(row[name]) if row[name] else None
        for name in INTEGERS:
            row[name] = int(row[name])
    return rows


def _rows(key, model, labels, scores, train_seconds, score_seconds, command):
    import torch

    from .. import __version__
    from ..evaluation import evaluate, hter
    from ..training import resolve_device

    final = list(scores.items())[-1][0]
    rows = []
    for name, values in scores.items():
        rows.append(
            {
                **{
                    n: key[n]
                    for n in ("dataset", "protocol", "normal_class", "detector", "seed", "profile", "setting")
                },
                "score": name,
                "evaluation": "honest" if key["split"] == "test" else "development",
                **evaluate(labels, values),
                "hter": hter(labels, values, model.threshold_) if name == final else None,
                "train_seconds": train_seconds,
                "score_seconds": score_seconds,
                "device": str(resolve_device(getattr(model, "device", "cpu"))),
                "torch": torch.__version__,
                "library": __version__,
                "command": command,
            }
        )
    return rows


def _cell_path(output, key):
    names = ("dataset", "protocol", "split", "normal_class", "detector", "seed", "profile", "setting")
    parts = [str(key[n]) for n in names if key[n] != ""]
    return Path(output) / ("-".join(parts).replace("/", "_") + ".json")


def _short(key):
    return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=4).hexdigest()


@functools.cache
def _code_hash(kind):
    """Hash of the library code that this detector stands on: other code, other results."""
    from .provenance import combined, module_hashes

    if not kind.__module__.startswith("dualad_lib."):
        return ""
    return combined(module_hashes(ast.parse(f"from {kind.__module__} import {kind.__name__}")))


def _text(value):
    return "" if value is None else f"{value:.6g}"
