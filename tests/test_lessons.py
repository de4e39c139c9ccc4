"""What a lesson may ask of a reader: cells, words, tables, and machinery out of sight."""

import re

import nbformat
import pytest

from dualad_lib.course import provenance
from dualad_lib.course.manifest import load_course
from dualad_lib.course.notebook import code_cells, is_folded, read_source

COURSE = load_course(provenance.ROOT / "notebooks")
CELLS, WORDS, TABLES, ROWS = 60, 2500, 4, 10
every_lesson = pytest.mark.parametrize("lesson", COURSE.lessons, ids=lambda lesson: lesson.name)


def lesson_text(nb):
    """The prose that everybody reads: without hints and solutions, which are folded, and without the references."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    return re.sub(r"<details>.*?</details>", "", text.partition("## References")[0], flags=re.DOTALL)


def rows_of_tables(nb):
    """The number of body rows of each table that a reader sees: in outputs, and written in the prose."""
    html = [
        output.data["text/html"]
        for cell in code_cells(nb)
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    rows = [
        text.count("<tr") - text.partition("</thead>")[0].count("<tr") for text in html if "<table" in text
    ]
    return rows + [
        len(body.splitlines())
        for body in re.findall(r"^\|[ :|-]+\|\n((?:\|.*\n?)+)", lesson_text(nb) + "\n", re.MULTILINE)
    ]


@every_lesson
def test_a_lesson_can_be_read_in_an_hour(lesson):
    nb = read_source(lesson)
    assert sum(not is_folded(cell) for cell in nb.cells) <= CELLS
    assert len(lesson_text(nb).split()) <= WORDS


@pytest.mark.results
@every_lesson
def test_tables_are_few_and_short(lesson):
    rows = rows_of_tables(nbformat.read(lesson.notebook, 4))
    assert len(rows) <= TABLES
    assert max(rows, default=0) <= ROWS


@every_lesson
def test_machinery_is_out_of_sight(lesson):
    """Recorded metrics and results files are for the runner; no reader meets them."""
    nb = read_source(lesson)
    recording = [cell for cell in code_cells(nb) if re.search(r"\b(record|write_results)\(", cell.source)]
    assert all(is_folded(cell) for cell in recording)


@every_lesson
def test_folded_cells_are_folded_where_they_are_read(lesson):
    for cell in filter(is_folded, read_source(lesson).cells):
        assert cell.metadata.jupyter.source_hidden
        assert cell.metadata.cellView == "form"
