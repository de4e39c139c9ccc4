"""Notebooks as data: percent file to notebook, its code, its metrics, and what is committed of it."""

import ast
import copy
import re
import tomllib
from functools import lru_cache
from pathlib import Path

from dualad_lib.course.manifest import read_text
from dualad_lib.course.recording import MIME
from dualad_lib.errors import RunError
from dualad_lib.files import atomic_write

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
#: Tags of code that a run needs and a reader does not: it is folded in JupyterLab and Colab and left out of the site.
FOLDED = {"bootstrap", "machinery"}


def read_source(lesson):
    """A lesson's percent file as a notebook without outputs; cell ids are the cells' numbers, so that they stay.

    Raises RunError when the file is missing, is no percent file or holds no code.
    """
    if not lesson.source.is_file():
        raise RunError(f"{lesson.name}: its source {lesson.source} is missing")
    text = read_text(lesson.source)
    try:
        nb = copy.deepcopy(_parsed(text))
    except Exception as error:  # whatever jupytext's own parsers of headers and cell options raise
        raise RunError(f"{lesson.name}: its source {lesson.source} is no percent file: {error}") from error
    nb.metadata = type(nb.metadata)(kernelspec=KERNELSPEC)
    nb.nbformat, nb.nbformat_minor = 4, 5
    for number, cell in enumerate(nb.cells, start=1):
        cell.id = f"cell-{number:02d}"
        if is_folded(cell):
            cell.metadata.update(jupyter={"source_hidden": True}, cellView="form")
    if not code_cells(nb):
        raise RunError(
            f"{lesson.name}: its source {lesson.source} holds no code cell, so a run would execute nothing"
        )
    return nb


@lru_cache(maxsize=64)
def _parsed(text):
    """A percent file as a notebook: the slow part of reading one, and a command may read a lesson several times."""
    import jupytext

    return jupytext.reads(text, fmt="py:percent")


def read_notebook(path):
    """A notebook file, checked. Raises RunError for what is none, and OSError where there is nothing to read."""
    import nbformat

    try:
        nb = nbformat.read(path, 4)
        nbformat.validate(nb)
    except OSError:
        raise
    except Exception as error:  # not JSON, not text, not a notebook: nbformat raises what its parts raise
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"{path} is no readable notebook: {first[0]}") from error
    return nb


def is_folded(cell):
    return not FOLDED.isdisjoint(cell.metadata.get("tags", ()))


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]


def cell_tree(cell):
    """The syntax tree of a code cell. Raises RunError for broken code and for IPython's magics, which hide code."""
    try:
        return ast.parse(cell.source)
    except (
        SyntaxError,
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:  # too deeply nested, or with a null byte
        first = cell.source.strip().splitlines()[0]
        raise RunError(f"the cell starting {first!r} is not plain Python: {error}") from error


def collect(nb):
    """What the cells recorded: (metrics, machine), machine being device and peak memory.

    Raises RunError when one name was recorded with two values.
    """
    metrics, machine = {}, {"device": None, "peak_memory_mb": None}
    for cell in code_cells(nb):
        for output in cell.outputs:
            payload = output.get("data", {}).get(MIME)
            if payload is None:
                continue
            for name, value in payload["metrics"].items():
                if metrics.setdefault(name, value) != value:
                    raise RunError(f"metric {name!r} was recorded twice: {metrics[name]} and {value}")
            machine.update(
                {key: value for key, value in payload.items() if key not in ("metrics", "seconds")}
            )
    return metrics, machine


def tidy(nb):
    """Drop what a run adds and a reader does not need: papermill's notes, timings, widget state, empty tags."""
    for key in ("papermill", "widgets", "jupytext"):
        nb.metadata.pop(key, None)
    nb.metadata["kernelspec"] = KERNELSPEC
    for cell in nb.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).pop("execution", None)
    return nb


def values_for(lesson, result):
    """What prose may name: the metrics, the run's own numbers, and the badge.

    `run_seconds`, `run_minutes`, `run_memory_mb`, `run_device`, `run_date`, `run_torch` are of this run; `colab_badge`
    are links.
    """
    return {
        **result["metrics"],
        "run_seconds": float(result["seconds"]),
        "run_minutes": result["seconds"] / 60,
        "run_memory_mb": result["peak_memory_mb"],
        "run_device": result["device"],
        "run_date": result.get("date", "not yet"),
        "run_torch": result["versions"]["torch"],
        "colab_badge": colab_badge(lesson),
    }


def repository():
    """The project's public address, from pyproject's `[project.urls]` (a checkout's, else the installed one's)."""
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if pyproject.is_file():
        return tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    from importlib.metadata import metadata

    urls = dict(line.split(", ", 1) for line in metadata("dualad").get_all("Project-URL") or ())
    return urls["Repository"]


def colab_badge(lesson):
    """Badges that open a lesson in Colab and in Kaggle."""
    address = repository().removesuffix(".git").rstrip("/")
    place = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", address)
    if place is None:  # only GitHub's notebooks open there
        return f"[Project page]({address})"
    page = f"{place[1]}/blob/main/notebooks/{lesson.name}.ipynb"
    return (
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"(https://colab.research.google.com/github/{page}) "
        "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
        f"(https://kaggle.com/kernels/welcome?src=https://github.com/{page})"
    )


def bootstrap_text(folder):
    """The one bootstrap cell of a course, address filled in; None for a course that has none."""
    path = Path(folder) / "bootstrap.py"
    if not path.is_file():
        return None
    return read_text(path).replace("@REPOSITORY@", repository()).strip()


def bootstrap_cell(lesson):
    """The text of a source's first code cell, which is the bootstrap cell; None when it is not tagged so."""
    first = code_cells(read_source(lesson))[0]
    return first.source.strip() if "bootstrap" in first.metadata.get("tags", ()) else None


def insert_bootstrap(lesson):
    """Put the canonical text into the source's cell tagged bootstrap; return True when that changed the file."""
    text, source = bootstrap_text(lesson.folder), read_text(lesson.source)
    if text is None:
        return False
    cell = re.compile(r'^(# %% tags=\["bootstrap"\][^\n]*\n).*?(?=^# %%|\Z)', re.DOTALL | re.MULTILINE)
    new, count = cell.subn(lambda match: f"{match[1]}{text}\n\n", source)
    if count != 1:
        raise RunError(f'{lesson.source} has {count} cells marked # %% tags=["bootstrap"]; it needs one')
    if new != source:
        with atomic_write(lesson.source) as path:
            path.write_text(new, encoding="utf-8")
    return new != source
