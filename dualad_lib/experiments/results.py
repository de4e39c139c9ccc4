"""Trained models in, rows of a results file out: one tidy CSV a study, one row for each score of each model."""

import ast
import csv
import functools
import hashlib
import inspect
import json
import math
import time
import warnings
from pathlib import Path

from ..errors import RunError
from ..files import atomic_write

COLUMNS = (
    "dataset", "protocol", "normal_class", "detector", "score", "seed", "profile", "setting", "evaluation",
    "auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds",
    "device", "torch", "library", "command",
)  # fmt: skip
KEYS = COLUMNS[: COLUMNS.index("auroc")]  # they name a row
FLOATS = ("auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds")
INTEGERS = ("normal_class", "seed")


def measure(detector, dataset, normal_class, command="", label="", **options):
    """Train one detector on one task, score the test images, and return its rows, one a score (see COLUMNS).

    detector: a name that `dualad_lib.detectors.create` knows. Of the options, protocol ("p2"), split ("test") and seed
    (0) are those of `load_one_class`; split="development" measures on training files alone. labelled (0): labelled
    anomalies that a supervised detector is given, as a share of the normal training images. flaws: names of FLAWED
    evaluations that are measured beside the honest one, each with rows of its own. profile ("lesson") stands
    in the rows. params: parameters that differ from the detector's defaults; setting: how the rows name the difference.
    output: a folder where this cell is kept as one JSON file, written whole or not at all. A finished cell is read
    instead of trained again, unless the detector's code or parameters have changed since. A training that was killed
    goes on from its last checkpoint. label: text of the progress bar. Figures lie in [0, 1], times in seconds (None
    for a training that went on); hter is that of the final score at the detector's own threshold.
    """
    import torch

    from ..data import load_labelled_anomalies, load_one_class
    from ..detectors.trained import Trained

    model, key, cell = _cell(detector, dataset, normal_class, **options)
    stored = _stored(cell, key)
    if stored is not None:
        return stored
    if key["labelled"] and key["protocol"] != "p2":
        raise RunError(f"labelled anomalies are those of protocol p2, not of {key['protocol']}.")
    if key["labelled"] and "labels" not in inspect.signature(model.fit).parameters:
        raise RunError(f"{detector} takes no labelled anomalies.")
    task = load_one_class(dataset, normal_class, **_part(key))
    watches = _watches(key["flaws"], model, task)
    resumable, resumed = {}, False
    if isinstance(model, Trained):
        kept = cell is not None and not watches  # the best step is not known of half a training
        checkpoint = cell.with_suffix(f".{_short(key)}.pt") if kept else None
        resumable = {"checkpoint": checkpoint, "label": label}
        resumed = checkpoint is not None and checkpoint.exists()
    images, labels = task.train, {}
    if key["labelled"]:
        anomalies = load_labelled_anomalies(dataset, normal_class, key["labelled"], key["split"], key["seed"])
        images = torch.cat([images, anomalies])
        labels = {"labels": torch.arange(len(images)) >= len(task.train)}
    if watches and not isinstance(model, Trained):
        raise RunError(f"{detector} has no steps to choose the best of.")
    if watches:
        resumable["after_step"] = lambda step: [watch(step) for watch in watches.values()]
    start = time.perf_counter()
    model.fit(images, **labels, **resumable)
    trained = time.perf_counter()
    scores = model.anomaly_scores(task.test)
    scored = time.perf_counter()
    seconds = None if resumed or watches else trained - start, scored - trained
    truth = task.test_labels.numpy()
    rows = _rows(key, model, truth, scores, *seconds, command)
    for flaw in key["flaws"]:
        if flaw in watches:
            watches[flaw].look()  # the last step is one of them
        found = watches[flaw].best if flaw in watches else FLAWED[flaw][0](model, task)
        rows += [
            {**row, "evaluation": flaw, "hter": None}
            for row in _rows(key, model, truth, found, *seconds, command)
        ]
    _store(cell, key, rows)
    if resumable.get("checkpoint") is not None:
        resumable["checkpoint"].unlink(missing_ok=True)
    return rows


def _scores(model, task):
    return model.anomaly_scores(task.test)


def sorted_batches(model, task, batch_size=64):
    """Scores with the statistics of each batch, over a test set sorted by class: the flaw of GANomaly's code family."""
    from ..detectors.agad import batch_statistics
    from ..scoring import Scores

    order = task.test_classes.argsort(stable=True)
    back = order.argsort()
    with batch_statistics(model):
        scores = model.anomaly_scores(task.test[order], batch_size)
    return Scores(**{n: None if v is None else v[back.numpy()] for n, v in vars(scores).items()})


#: Evaluations that no honest table may use, by the name in their rows: (how images are scored, of the best step?).
FLAWED = {
    "batch statistics": (sorted_batches, False),
    "best step": (_scores, True),
    "batch statistics, best step": (sorted_batches, True),
}


class _Watch:
    """Scores of the step at which the AUROC on the TEST set was best: a flaw, measured to show how it flatters."""

    EVERY = 200  # steps between two looks

    def __init__(self, score, model, task):
        self.score, self.model, self.task, self.reached, self.best = score, model, task, -1.0, None

    def __call__(self, step):
        if (step.number + 1) % self.EVERY == 0:
            self.model.parts_.eval()
            self.look()
            self.model.parts_.train()

    def look(self):
        from ..evaluation import auroc

        scores = self.score(self.model, self.task)
        reached = auroc(self.task.test_labels.numpy(), scores.final)
        if reached > self.reached:
            self.reached, self.best = reached, scores


def _watches(flaws, model, task):
    """A watch for each flaw that takes the best step, by name."""
    unknown = set(flaws) - set(FLAWED)
    if unknown:
        raise RunError(f"unknown flaw {min(unknown)!r}: choose from {', '.join(FLAWED)}.")
    return {name: _Watch(FLAWED[name][0], model, task) for name in flaws if FLAWED[name][1]}


def measured(detector, dataset, normal_class, output, **options):
    """Rows of a cell that `measure` finished with these very arguments and this code; None if there is none."""
    _, key, cell = _cell(detector, dataset, normal_class, output=output, **options)
    return _stored(cell, key)


def _cell(
    detector,
    dataset,
    normal_class,
    protocol="p2",
    split="test",
    seed=0,
    profile="lesson",
    params=None,
    setting="",
    labelled=0.0,
    flaws=(),
    output=None,
):
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
        "labelled": labelled,
        "flaws": list(flaws),
        "parameters": model.get_params(),
        "code": _code_hash(type(model)),
    }
    key["parameters"].pop("device", None)
    return model, key, None if output is None else _cell_path(output, key)


def _part(key):
    """Which part of the data a cell is measured on, as `load_one_class` names it."""
    return {name: key[name] for name in ("protocol", "split", "seed")}


def _store(cell, key, rows):
    if cell is not None:
        with atomic_write(cell) as temporary:
            temporary.write_text(json.dumps({"key": key, "rows": rows}, indent=1), encoding="utf-8")


def _stored(cell, key, also=()):
    """Rows of a cell file; None where there is none, where its key is another, or (with a warning) where it is damaged.

    also: names of what the file holds beside its rows.
    """
    if cell is None or not cell.exists():
        return None
    try:
        stored = json.loads(cell.read_text(encoding="utf-8"))
        if stored["key"] != json.loads(json.dumps(key)):
            return None
        rows = [_checked(row) for row in stored["rows"]]
        same = all(
            row[n] == key[n] for row in rows for n in ("dataset", "normal_class", "detector", "profile")
        )
        if not rows or not same or not set(also) <= set(stored):
            raise ValueError("it lacks rows, or has those of another cell")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        warnings.warn(f"{cell} is damaged ({_why(error)}) and is measured again.", stacklevel=2)
        return None
    return rows


def _checked(row):
    """The row, if it has each column and nothing but numbers where numbers belong. Raises ValueError, TypeError."""
    if set(row) != set(COLUMNS):
        raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
    for name in INTEGERS:
        if not isinstance(row[name], int):
            raise TypeError(f"{name} is {row[name]!r}, no whole number")
    _finite({name: row[name] for name in FLOATS})
    return row


def _finite(numbers):
    for name, value in numbers.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name} is {value}, no finite number")
    return numbers


def _why(error):
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


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
    rows = sorted(rows, key=lambda row: tuple(str(row[n]).zfill(3) for n in KEYS))
    keys = [tuple(row[n] for n in KEYS) for row in rows]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise RunError(f"results for {path} hold the same row twice: {sorted(twice, key=str)[0]}.")
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **{n: _text(row[n]) for n in FLOATS}} for row in rows)


def read_results(path):
    """Rows of a results file as dicts, numbers as numbers, empty cells of number columns as None.

    Raises RunError for a file that is damaged or holds something else.
    """
    return read_table(path, COLUMNS, FLOATS, INTEGERS)


def read_table(path, columns, floats, integers):
    """Rows of a CSV file with exactly these columns. Raises RunError for one that is damaged or is another."""
    try:
        with open(
            path, newline="", encoding="utf-8-sig"
        ) as file:  # a spreadsheet may have added a byte-order mark
            text = file.read()
        if not text.endswith("\n"):
            raise ValueError("it is empty, or cut off: its last line has no end")
        table = csv.DictReader(text.splitlines(keepends=True), strict=True)
        if sorted(table.fieldnames or ()) != sorted(columns):
            raise ValueError(f"its first line does not name the columns {', '.join(columns)}")
        return [_numbered(row, table.line_num, floats, integers) for row in table]
    except (ValueError, csv.Error) as error:  # of UnicodeError too
        raise RunError(f"{path} is no whole results file ({error}): move it away or mend it.") from error


def _numbered(row, line, floats, integers):
    try:
        if None in row or None in row.values():
            raise ValueError("it has not as many cells as there are columns")
        numbers = {name: float(row[name]) if row[name] else None for name in floats}
        numbers |= {name: int(row[name]) for name in integers}
        return {**row, **_finite(numbers)}
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from None


def study_rows(study, folder=None):
    """Rows of all results files of a study, FOLDER/STUDY*.csv; default: the committed ones."""
    from ..course.provenance import results_folder

    folder = results_folder() if folder is None else Path(folder)
    return [row for path in sorted(folder.glob(f"{study}*.csv")) for row in read_results(path)]


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
    """Hash of the library code that this detector and its data stand on: other code, other results."""
    from ..course.provenance import combined, module_hashes

    if not kind.__module__.startswith("dualad_lib."):
        return ""
    used = f"from {kind.__module__} import {kind.__name__}\nfrom dualad_lib.data import load_one_class"
    return combined(module_hashes(ast.parse(used)))


def _text(value):
    return "" if value is None else f"{value:.6g}"
