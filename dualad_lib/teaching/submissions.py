"""Submissions: what of their damage is found, and what can be repaired.

nbgrader trusts the metadata of a submitted notebook: a graded cell that has lost it scores zero and says nothing. So a
submission is first held against the assignment, cell by cell.
"""

import ast
import copy
import json
import re
from dataclasses import dataclass
from itertools import count, pairwise
from math import isfinite
from pathlib import Path

from ..errors import DataError
from ..files import atomic_write

LARGEST = 200 * 2**20  # bytes of a submission
LONGEST = 100_000  # characters of a cell that is read as Python
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class Finding:
    """Something wrong with a submission. cell: the grade_id; repaired: it can be graded as if nothing had been."""

    cell: str
    what: str
    repaired: bool


@dataclass(frozen=True)
class Validated:
    """A submission brought into the assignment's order, and what was found on the way."""

    name: str
    notebook: dict
    findings: tuple

    @property
    def gradable(self):
        """Nothing was found that a person must decide."""
        return all(finding.repaired for finding in self.findings)


def read_submission(path):
    """The notebook as a dict that nbformat accepts, cell sources as text.

    Raises DataError for what is no notebook, is in an old format, or is written for another language than Python.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no submission {path}.")
    if not path.is_file():
        raise DataError(f"{path} is not a file; hand over the notebooks themselves.")
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(
                f"{path} is larger than {LARGEST >> 20} MB. Ask for a copy with its outputs cleared."
            )
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
        _refuse_other_kinds(path, notebook)
        return well_formed(notebook)
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        text = _clean(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path} is not a whole notebook ({text}). Ask for it again: what is lost cannot be guessed."
        ) from error


def _refuse_other_kinds(path, notebook):
    version = notebook.get("nbformat", 4)
    if version != 4:
        raise DataError(
            f"{path} is a notebook of format {version!r}, not 4: open it in Jupyter, save it, and hand that in."
        )
    metadata = _table(notebook.get("metadata"))
    for place, key in (("kernelspec", "language"), ("language_info", "name")):
        language = _table(metadata.get(place)).get(key)
        if isinstance(language, str) and language.lower() not in ("python", "ipython", "python3", ""):
            raise DataError(
                f"{path} is a notebook for {language}, not for Python: ask for a Python notebook."
            )


def well_formed(notebook):
    """A copy of a notebook (dict) as format 4.5 wants it: each cell with an id of its own and the fields of its type.

    What can't be kept is left out: outputs that are none, metadata that are no table, characters that UTF-8 has not.
    Raises KeyError, TypeError or ValueError for what is no notebook.
    """
    cells, taken = [], set()
    for number, cell in enumerate(notebook["cells"]):
        cells.append(_well_formed_cell(cell, number, taken))
    made = {
        "cells": cells,
        "metadata": _clean(_table(notebook.get("metadata"))),
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    if not _valid({**made, "cells": []}):
        made["metadata"] = {"dualad": made["metadata"].get("dualad", {})}
    return made


def _well_formed_cell(cell, number, taken):
    kind, source = cell["cell_type"], cell["source"]
    if kind not in ("code", "markdown", "raw"):
        raise KeyError(kind)
    if not isinstance(source, str | list):
        raise TypeError("the source of a cell is no text")
    name = cell.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name) or name in taken:
        name = next(name for name in _names(number) if name not in taken)
    taken.add(name)
    metadata = _clean(_table(cell.get("metadata")))
    if not isinstance(metadata.get("nbgrader", {}), dict):
        del metadata["nbgrader"]
    made = {"cell_type": kind, "id": name, "metadata": metadata, "source": _clean("".join(source))}
    if kind == "code":
        run, outputs = cell.get("execution_count"), cell.get("outputs")
        made["execution_count"] = run if type(run) is int and run >= 0 else None
        made["outputs"] = _clean(outputs) if isinstance(outputs, list) else []
    elif isinstance(cell.get("attachments"), dict):
        made["attachments"] = _clean(cell["attachments"])
    if not _valid(made, f"{kind}_cell"):
        made.pop("attachments", None)
        made["metadata"] = {key: value for key, value in metadata.items() if key in ("nbgrader", "dualad")}
        if kind == "code":
            made["outputs"] = [output for output in made["outputs"] if _valid(output, "output")]
    return made


def _names(number):
    """Ids for a cell that has none, the same for the same notebook."""
    yield f"cell-{number}"
    yield from (f"cell-{number}-{more}" for more in count(1))


def _table(value):
    return value if isinstance(value, dict) else {}


def _clean(value):
    """A value of JSON without lone surrogates, which UTF-8 has not, and without NaN, which JSON has not."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


def _valid(value, what=None):
    """Does nbformat's schema accept it as a notebook, or as such a part of one?"""
    from nbformat import ValidationError
    from nbformat import validate as validate_format

    try:
        validate_format(value, ref=what, version=4, version_minor=5)
    except ValidationError:
        return False
    return True


def validate(submission, assignments):
    """Hold a submission (dict) against the assignments (dict name -> student's notebook); return `Validated`.

    Its assignment is the one whose cells it holds most of. Raises DataError where there is none.
    """
    name, expected = _belongs_to(submission, assignments)
    known = {grade_id(cell) for cell in expected["cells"]}
    left = [copy.deepcopy(cell) for cell in submission["cells"]]
    findings, placed = [], {}
    for cell in expected["cells"]:
        placed[grade_id(cell)] = [found for found in left if grade_id(found) == grade_id(cell)]
    for number, cell in enumerate(expected["cells"]):
        if not placed[grade_id(cell)]:
            above = placed[grade_id(expected["cells"][number - 1])] if number else []
            stray = _stray(cell, above, left, known)
            if stray is not None:
                placed[grade_id(cell)] = [stray]
                findings.append(
                    Finding(grade_id(cell), "its metadata was lost; it was known by its text", True)
                )
    chosen = {grade_id(cell): _one(cell, placed[grade_id(cell)], findings) for cell in expected["cells"]}
    _report_order(expected["cells"], placed, left, findings)
    cells, taken = [], {id(found) for many in placed.values() for found in many}
    for own in left:
        if id(own) not in taken and _asks(own["metadata"].pop("nbgrader", {})):
            findings.append(
                Finding("-", "a cell that is not of the assignment asked for points; it is plain now", True)
            )
    followers = _followers(left, placed, taken)
    cells += followers[None]
    for cell in expected["cells"]:
        cells += [chosen[grade_id(cell)], *followers[grade_id(cell)]]
    notebook = well_formed({**submission, "cells": cells})
    return Validated(name, notebook, tuple(findings))


def write_notebook(notebook, path):
    """Write a notebook, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _belongs_to(submission, assignments):
    found = {grade_id(cell) for cell in submission["cells"]}
    texts = {_text(cell) for cell in submission["cells"]}
    held = {
        name: sum(
            grade_id(cell) in found or (_locked(cell) and _text(cell) in texts) for cell in expected["cells"]
        )
        for name, expected in assignments.items()
    }
    # the cells "title" and "setup" are in every assignment, and one of them may be all that two have in common
    name = max(held, key=held.get)
    if held[name] <= 2:
        raise DataError(
            "this notebook holds no cell of any assignment. Known: " + ", ".join(sorted(assignments)) + "."
        )
    return name, assignments[name]


def role(cell):
    """What nbgrader's metadata say of a cell; empty for a student's own."""
    return _table(cell["metadata"].get("nbgrader"))


def grade_id(cell):
    """The name that the assignment gave a cell; None for a student's own."""
    name = role(cell).get("grade_id")
    return name if isinstance(name, str) else None


def _asks(role):
    """Do nbgrader's metadata ask for points, or for a name?"""
    return any(role.get(key) for key in ("grade", "points", "grade_id"))


def _locked(cell):
    return role(cell)["locked"]


def _text(cell):
    return "\n".join(line.rstrip() for line in cell["source"].strip().splitlines())


def _stray(cell, above, left, known):
    """A cell without valid metadata that must be the one expected: same text, same definition, or same place."""
    nameless = [
        found for found in left if grade_id(found) not in known and found["cell_type"] == cell["cell_type"]
    ]
    same = [found for found in nameless if _text(found) == _text(cell)]
    if same or _locked(cell):
        return same[0] if same else None
    if cell["cell_type"] == "code":
        same = [found for found in nameless if _defines(cell) <= _defines(found)]
        return same[0] if len(same) == 1 else None
    position = next((p for p, found in enumerate(left) if any(found is one for one in above)), len(left))
    follows = left[position + 1 : position + 2]  # an answer in words stands under its question
    return follows[0] if any(found is one for found in follows for one in nameless) else None


def _defines(cell):
    """Names that a code cell binds at its top level; none where it is no Python."""
    if len(cell["source"]) > LONGEST:
        return set()
    try:
        body = ast.parse(_without_magics(cell["source"])).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return {*functions, *(target.id for target in targets if isinstance(target, ast.Name))}


def _without_magics(source):
    """A cell whose lines for IPython (%, !, ?) are comments."""
    return re.sub(r"^([ \t]*)([%!?].*|.*\?)[ \t]*$", r"\1pass", source, flags=re.MULTILINE)


def _one(cell, found, findings):
    """The cell to grade, of those that claim to be it."""
    name = grade_id(cell)
    if not found:
        if _locked(cell):
            findings.append(Finding(name, "it was deleted; put back", True))
        else:
            findings.append(Finding(name, "the answer is missing: ask for it, or grade it as nothing", False))
        return copy.deepcopy(cell)
    if _locked(cell):
        if len(found) > 1:
            findings.append(Finding(name, f"it was there {len(found)} times; one is left", True))
        if all(_text(one) != _text(cell) for one in found):
            findings.append(Finding(name, "its text was altered; restored", True))
        elif any(role(one) != role(cell) for one in found if role(one)):
            findings.append(Finding(name, "its metadata was altered; restored", True))
        return copy.deepcopy(cell)
    answered = [one for one in found if _text(one) != _text(cell)]
    texts = {_text(one) for one in answered}
    if len(texts) > 1:
        findings.append(Finding(name, f"there are {len(texts)} different answers: which one counts?", False))
    elif len(found) > 1:
        findings.append(
            Finding(name, f"it was there {len(found)} times; the one with an answer is left", True)
        )
    one = answered[-1] if answered else found[-1]
    one["cell_type"] = cell["cell_type"]
    one["metadata"]["nbgrader"] = copy.deepcopy(role(cell))
    return one


def _report_order(expected, placed, left, findings):
    """An answer below its check would be judged before it exists."""
    position = {id(cell): number for number, cell in enumerate(left)}
    places = [(cell, position[id(placed[grade_id(cell)][-1])]) for cell in expected if placed[grade_id(cell)]]
    for (_, before), (cell, here) in pairwise(places):
        if here < before:
            findings.append(Finding(grade_id(cell), "it was moved; put back in its place", True))


def _followers(left, placed, taken):
    """The student's own cells by the expected cell that they stood behind (None: before all)."""
    owner = {id(found): name for name, many in placed.items() for found in many}
    followers, last = {None: [], **{name: [] for name in placed}}, None
    for cell in left:
        if id(cell) in taken:
            last = owner[id(cell)]
        else:
            followers[last].append(cell)
    return followers
