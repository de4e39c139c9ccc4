"""A cell: one detector on one class, measured once and kept as one JSON file, which is written whole or not at all.

A module that measures cells of its own kind has two functions: `identify(detector, dataset, normal_class, **options)`,
which returns a Kept, and `measure(..., command, label)`, which returns the rows, read where `identify` finds them.
"""

import ast
import functools
import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import __version__
from ..course.provenance import combined, digest, dump, module_hashes
from ..detectors import create
from ..evaluation import evaluate, hter
from ..files import atomic_write
from ..training import resolve_device
from .results import COLUMNS, INTEGERS, check_row
from .settings import check_profile


@dataclass(frozen=True, eq=False)
class Kept:
    """What a cell is. model: the untrained detector; key: what identifies it; path: of its file, None for none.

    measured: whether measures are kept beside the rows. several: whether the rows may add something to the setting.
    """

    model: object
    key: dict
    path: Path | None
    measured: bool = False
    several: bool = False

    def rows(self):
        """Rows of the finished cell; None for none, for one of another key and, with a warning, for a damaged one."""
        found = self._read()
        return None if found is None else found["rows"]

    def measures(self):
        """Measures of the finished cell; [] where there are none."""
        return (self._read() or {}).get("measures", [])

    def write(self, rows, **more):
        """Keep the rows, if there is a file; return them."""
        if self.path is not None:
            text = json.dumps({"key": self.key, "rows": rows, **more}, indent=1)
            with atomic_write(self.path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return rows

    def _read(self):
        if self.path is None or not self.path.exists():
            return None
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["key"] != json.loads(json.dumps(self.key)):
                return None
            for row in stored["rows"]:
                _check(row)
            if (
                not stored["rows"]
                or not all(map(self._own, stored["rows"]))
                or (self.measured and "measures" not in stored)
            ):
                raise ValueError("it lacks rows, or has those of another cell")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            warnings.warn(f"{self.path} is damaged ({why}) and is measured again.", stacklevel=3)
            return None
        return stored

    def _own(self, row):
        """Is a row of this cell? Each of several splits has a seed of its own."""
        names = ("dataset", "normal_class", "detector", "profile")
        setting, seed = self.key["setting"], row["seed"] // self.key.get("splits", 1)
        same = row["setting"].startswith(setting) if self.several else row["setting"] == setting
        return same and seed == self.key["seed"] and all(row[n] == self.key[n] for n in names)


def identify(
    detector,
    dataset,
    normal_class,
    protocol="one_vs_rest",
    split="test",
    seed=0,
    profile="lesson",
    params=None,
    setting="",
    labelled=0.0,
    kinds="",
    flaws=(),
    output=None,
    make=create,
    study="",
):
    """The Kept of a cell; arguments as of `measuring.measure`. make: the detector from its name and its parameters.

    study: whose cell it is, for the name of its file ("": of the main tables, or of nothing): studies with a cell in
    common each keep their own.
    """
    check_profile(profile)
    model = make(detector, **{"seed": seed, **(params or {})})
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
        "code": code_hash(type(model)),
    }
    key["parameters"].pop("device", None)
    if kinds:  # cells that name none keep their keys
        key["kinds"] = kinds
    return Kept(model, key, None if output is None else _path(output, study, key))


def rows_of(key, model, labels, scores, train_seconds, score_seconds, command):
    """The rows of one model's Scores, in the columns of a results file. labels: (N,), 1 for anomalies."""
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


def _check(row):
    """Raise ValueError or TypeError unless the row has each column and nothing but numbers where numbers belong."""
    if set(row) != set(COLUMNS):
        raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
    for name in INTEGERS:
        if not isinstance(row[name], int):
            raise TypeError(f"{name} is {row[name]!r}, no whole number")
    check_row(row)


def _path(output, study, key):
    names = ("dataset", "protocol", "split", "normal_class", "detector", "seed", "profile", "setting")
    parts = [*filter(None, [study]), *(str(key[n]) for n in names if key[n] != "")]
    return Path(output) / ("-".join(parts).replace("/", "_") + ".json")


def short_name(key):
    """Eight letters that tell a key from others."""
    return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=4).hexdigest()


@functools.cache
def code_hash(kind):
    """Hash of the library code that this detector and its data stand on: other code, other results."""
    if not kind.__module__.startswith("dualad_lib."):
        return ""
    used = f"from {kind.__module__} import {kind.__name__}\nfrom dualad_lib.data import load_one_class"
    return combined(module_hashes(ast.parse(used)))


def own_hash(file, used=""):
    """Hashes of a measuring module, its `__file__`, and of the library code that the import statements `used` need."""
    own = digest(dump(ast.parse(Path(file).read_text(encoding="utf-8"))))
    return [own, combined(module_hashes(ast.parse(used)))]
