"""CONTRIBUTING's table of what goes wrong names tests that exist, and says for each kind what happens."""

import ast
import re
from functools import cache

import pytest

from dualad_lib.course.provenance import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def rows(text):
    """(what goes wrong, what happens, names of tests) of each row of the marked table."""
    table = re.search(r"<!-- reliability -->\n(.*?)<!-- /reliability -->", text, re.DOTALL)[1]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    assert all(len(row) == 3 for row in cells)
    return [(wrong, happens, re.findall(r"`([^`]+)`", tests)) for wrong, happens, tests in cells]


@cache
def names_in(name):
    """Names of the test functions of a file in tests/."""
    tree = ast.parse((ROOT / "tests" / name).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def missing(names):
    """Those of the names FILE.py::TEST that are no test."""
    found = []
    for name in names:
        file, _, test = name.partition("::")
        there = re.fullmatch(r"test_\w+\.py", file) and (ROOT / "tests" / file).is_file()
        if not (there and test.startswith("test_") and test in names_in(file)):
            found.append(name)
    return found


@pytest.mark.parametrize(("wrong", "happens", "tests"), rows(TEXT), ids=lambda value: str(value)[:40])
def test_every_kind_says_what_happens_and_names_tests_that_exist(wrong, happens, tests):
    assert wrong and happens and tests
    assert missing(tests) == []


def test_kinds_stand_there_once():
    kinds = [wrong for wrong, _, _ in rows(TEXT)]
    assert len(set(kinds)) == len(kinds) > 30


@pytest.mark.parametrize(
    "name",
    [
        "test_files.py::test_that_is_not_there",
        "test_nowhere.py::test_x",
        "browser.py::chromium",
        "test_files.py",
        "test_fuzz.py::damaged",
    ],
)
def test_a_name_that_is_no_test_is_noticed(name):
    assert missing([name]) == [name]
