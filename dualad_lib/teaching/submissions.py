"""Submissions: found damage, what can be repaired, and points from a run with a time and a memory limit.

nbgrader trusts the metadata of a submitted notebook: a graded cell that has lost it scores zero and says nothing. So a
submission is first held against the assignment, cell by cell.
"""

import ast
import copy
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..errors import DataError
from ..files import atomic_write


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
    """The notebook as a dict, cell sources as text. Raises DataError for what is no notebook."""
    path = Path(path)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
        for cell in cells:
            cell["source"] = "".join(cell["source"])
            cell.setdefault("metadata", {})
            if not isinstance(cell["metadata"], dict) or not isinstance(
                cell["metadata"].get("nbgrader", {}), dict
            ):
                raise TypeError("a cell's metadata are no table")
            if cell["cell_type"] not in ("code", "markdown", "raw"):
                raise KeyError(cell["cell_type"])
    except FileNotFoundError:
        raise DataError(f"there is no submission {path}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not a whole notebook ({error}). Ask for it again: what is lost cannot be guessed."
        ) from error
    return notebook


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
        if id(own) not in taken and own["metadata"].pop("nbgrader", {}).get("grade_id") is not None:
            findings.append(
                Finding("-", "a cell that is not of the assignment asked for points; it is plain now", True)
            )
    followers = _followers(left, placed, taken)
    cells += followers[None]
    for cell in expected["cells"]:
        cells += [chosen[grade_id(cell)], *followers[grade_id(cell)]]
    notebook = {**copy.deepcopy(submission), "cells": cells}
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
    return cell["metadata"].get("nbgrader", {})


def grade_id(cell):
    """The name that the assignment gave a cell; None for a student's own."""
    return role(cell).get("grade_id")


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
    try:
        body = ast.parse(cell["source"]).body
    except SyntaxError:
        return set()
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return {*functions, *(target.id for target in targets if isinstance(target, ast.Name))}


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
