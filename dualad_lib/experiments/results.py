"""Results files: one tidy CSV a study and data set, a row for each score of each trained model; and measures."""

import io
import math
from pathlib import Path

import pandas as pd

from ..course.provenance import results_folder
from ..data.readers.gtsrb import SIGNS
from ..data.registry import DATASETS, INSPECTIONS
from ..errors import RunError
from ..files import atomic_write

COLUMNS = (
    "dataset", "protocol", "normal_class", "detector", "score", "seed", "profile", "setting", "evaluation",
    "auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds",
    "device", "torch", "library", "command",
)  # fmt: skip
KEYS = COLUMNS[: COLUMNS.index("auroc")]  # they name a row
FRACTIONS = ("auroc", "average_precision", "fpr95", "hter")
SECONDS = ("train_seconds", "score_seconds")
FLOATS = (*FRACTIONS, *SECONDS)
INTEGERS = ("normal_class", "seed")
#: How many normal classes a data set can have.
CLASSES = {
    **{name: len(classes) for name, classes in DATASETS.items()},
    **dict.fromkeys(INSPECTIONS, 1),
    "gtsrb": len(SIGNS),
}
#: Of what has no column above, figures/results/measures/STUDY_DATASET.csv: a row a measure, split and shift.
MEASURE_COLUMNS = (
    "dataset", "detector", "setting", "seed", "profile", "shift", "measure", "value", "count", "command",
)  # fmt: skip
MEASURE_KEYS = MEASURE_COLUMNS[: MEASURE_COLUMNS.index("value")]
#: For one release: studies as they were called by their lesson's number -> their names.
OLD_NAMES = {
    "03_feature_constraint": "feature_constraint",
    "06_benchmark": "tables",
    "07_lrgdan": "lrgdan",
    "08_agad": "agad",
    "09_adegan": "adegan",
    "10_signs": "signs",
    "11_tiles": "tiles",
    "12_sound": "sound",
}
#: What the protocols are called in tables.
PROTOCOL_NAMES = {"80_20": "P1", "one_vs_rest": "P2", "leave_one_class_out": "LOO"}


def write_results(rows, path):
    """Write rows as a tidy CSV, sorted and whole. Rows of one key must not occur twice."""
    rows = sorted(rows, key=lambda row: _order(row, KEYS))
    keys = [tuple(row[n] for n in KEYS) for row in rows]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise RunError(f"results for {path} hold the same row twice: {sorted(twice, key=str)[0]}.")
    write_table(rows, path, COLUMNS, FLOATS)


def read_results(path):
    """Rows of a results file as dicts, numbers as numbers, empty cells of number columns as None.

    Raises RunError for a file that is damaged or holds something else: rows that cannot have been measured
    (`check_row`), that stand there twice, or of another data set than STUDY_DATASET.csv names.
    """
    rows, lines = read_table(path, COLUMNS, FLOATS, INTEGERS), {}
    ends = [name for name in CLASSES if Path(path).stem.endswith(f"_{name}")]
    dataset = max(ends, key=len, default=None)
    for line, row in enumerate(rows, start=2):
        try:
            check_row(row)
            if dataset not in (None, row["dataset"]):
                raise ValueError(f"it is of {row['dataset']}, and the file of {dataset}")
            first = lines.setdefault(tuple(row[n] for n in KEYS), line)
            if first != line:
                raise ValueError(f"it is of the same score and model as line {first}")
        except ValueError as error:
            raise RunError(
                f"{path} is no whole results file (line {line}: {error}): move it away or mend it."
            ) from None
    return rows


def study_rows(study, folder=None):
    """Rows of all results files of a study, FOLDER/STUDY*.csv; default: the committed ones."""
    folder = results_folder() if folder is None else Path(folder)
    return [row for path in sorted(folder.glob(f"{study}_*.csv")) for row in read_results(path)]


def merge_results(rows, path):
    """Write rows into a results file: each replaces that of the same score of the same model, all others there stay."""
    write_results(merged_results(rows, path), path)


def merged_results(rows, path):
    """The rows that `merge_results` writes."""
    there = read_results(path) if path.exists() else []
    return list({tuple(row[n] for n in KEYS): row for row in [*there, *rows]}.values())


def read_measures(study, folder=None):
    """Measures of a study as dicts, numbers as numbers; default: the committed ones."""
    folder = results_folder() / "measures" if folder is None else Path(folder)
    rows = []
    for path in sorted(folder.glob(f"{study}*.csv")):
        rows += read_table(path, MEASURE_COLUMNS, floats=("value",), integers=("count", "seed"))
    return rows


def merge_measures(rows, path):
    """Write measures into a file, whole; those of other keys that are there stay."""
    write_measures(merged_measures(rows, path), path)


def merged_measures(rows, path):
    """The measures that `merge_measures` writes, sorted."""
    there = read_measures(path.stem, path.parent) if path.exists() else []
    there = [row for row in there if row["dataset"] == rows[0]["dataset"]]  # not of a file whose name goes on
    found = {_order(row, MEASURE_KEYS): row for row in [*there, *rows]}
    return [found[key] for key in sorted(found)]


def write_measures(rows, path):
    write_table(rows, path, MEASURE_COLUMNS, ("value",))


def write_table(rows, path, columns, floats=()):
    """Write dicts as a CSV with these columns, whole or not at all; floats: names of columns with six digits."""
    table = pd.DataFrame(
        list(rows), columns=list(columns), dtype=object
    )  # None stays None, and whole numbers whole
    for name in floats:
        table[name] = table[name].map(_text)
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_texts(path, columns=None):
    """Rows of a CSV file as dicts of texts. Raises ValueError where it is cut off, or has other columns than asked."""
    text = Path(path).read_text(encoding="utf-8-sig")  # a spreadsheet may have added a byte-order mark
    if not text.endswith("\n"):
        raise ValueError("it is empty, or cut off: its last line has no end")
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, engine="python")
    if columns is not None and sorted(table.columns) != sorted(columns):
        raise ValueError(f"its first line does not name the columns {', '.join(columns)}")
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("its lines have more cells than its first line names columns")
    short = table.isna().any(axis=1)  # this engine fills up what a line lacks, the other one hides it
    if short.any():
        raise ValueError(f"line {short.idxmax() + 2}: it has not as many cells as there are columns")
    return table.to_dict("records")


def read_table(path, columns, floats, integers):
    """Rows of a CSV file with exactly these columns. Raises RunError for one that is damaged or is another."""
    try:
        rows = read_texts(path, columns)
        return [_numbered(row, line, floats, integers) for line, row in enumerate(rows, start=2)]
    except ValueError as error:  # of UnicodeError and of pandas' own too
        raise RunError(f"{path} is no whole results file ({error}): move it away or mend it.") from error


def _numbered(row, line, floats, integers):
    try:
        numbers = {name: float(row[name]) if row[name] else None for name in floats}
        numbers |= {name: int(row[name]) for name in integers}
        return {**row, **finite(numbers)}
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from None


def check_row(row):
    """Raise ValueError for a row of a results file that cannot have been measured."""
    finite({name: row[name] for name in FLOATS})
    if row["auroc"] is None:
        raise ValueError("auroc is missing")
    for name in FLOATS:
        value, most = row[name], 1 if name in FRACTIONS else math.inf
        if value is not None and not 0 <= value <= most:
            raise ValueError(
                f"{name} is {value}, not {'within [0, 1]' if name in FRACTIONS else '0 or more'}"
            )
    count = CLASSES.get(row["dataset"], math.inf)
    if not 0 <= row["normal_class"] < count:
        raise ValueError(f"normal_class is {row['normal_class']}, and {row['dataset']} has 0 to {count - 1}")


def finite(numbers):
    """The numbers, by name, None among them. Raises ValueError for one that is not finite."""
    for name, value in numbers.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name} is {value}, no finite number")
    return numbers


def _order(row, keys):
    return tuple(str(row[name]).zfill(3) for name in keys)


def _text(value):
    return "" if value is None else f"{value:.6g}"
