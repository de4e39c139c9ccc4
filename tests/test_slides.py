"""Slides and exams, made from lessons."""

import re

import nbformat
import pytest

from dualad_lib.course import provenance
from dualad_lib.course.manifest import load_course
from dualad_lib.errors import DataError, RunError
from dualad_lib.teaching import questions, slides

COURSE = load_course(provenance.ROOT / "notebooks")
CORE = [lesson for lesson in COURSE.lessons if lesson.core]


def visible(nb):
    return [cell for cell in nb.cells if cell.metadata["slideshow"]["slide_type"] != "notes"]


def test_first_sentences_formulas_and_predictions_are_shown():
    text = "# Title\n\nOne idea of 3.5 words. And its long story.\n\n$$x$$\n\n- a\n- b\n\n**Predict** this. All of it."
    shown = slides.on_screen(text)
    assert shown == "# Title\n\nOne idea of 3.5 words.\n\n$$x$$\n\n- a\n- b\n\n**Predict** this. All of it."
    assert "secret" not in slides.on_screen("A.\n\n<details><summary>Hint</summary>\n\nsecret\n\n</details>")


@pytest.mark.results
@pytest.mark.parametrize("lesson", CORE, ids=lambda lesson: lesson.name)
def test_a_room_can_read_the_slides(lesson):
    nb = nbformat.read(lesson.notebook, 4)
    made = slides.as_slides(nb)
    pages = [[]]
    for cell in visible(made):
        if cell.metadata["slideshow"]["slide_type"] in ("slide", "subslide"):
            pages.append([])
        pages[-1].append(cell)
    prose = [
        [re.sub(r"(?m)^\|.*$", "", c.source) for c in page if c.cell_type == "markdown"] for page in pages
    ]
    assert max(sum(len(text.split()) for text in page) for page in prose) <= 160  # beside its tables
    assert all(sum(c.cell_type == "code" for c in page) <= 1 for page in pages)
    assert not any(
        "record(" in c.source or "pip" in c.source for c in visible(made) if not c.metadata.get("tags")
    )
    assert not any("Exercises" in c.source for c in made.cells)
    pictures = [c for c in nb.cells if any("image/png" in o.get("data", {}) for o in c.get("outputs", ()))]
    kept = [c for c in made.cells if any("image/png" in o.get("data", {}) for o in c.get("outputs", ()))]
    assert len(kept) == len(pictures) > 0


@pytest.mark.e2e
def test_slides_are_pages_of_their_own(tmp_path):
    (path,) = slides.write_slides(["01"], tmp_path, COURSE)
    page = path.read_text(encoding="utf-8")
    assert "reveal" in page and slides.NO_ALT not in page and "data:image/png" in page


def test_an_exam_and_its_solutions_are_written_both_or_not_at_all(tmp_path):
    (tmp_path / "solutions.md").mkdir()
    with pytest.raises(DataError, match=r"solutions\.md is a folder"):
        questions.write_exam(30, output=tmp_path, course=COURSE)
    assert not (tmp_path / "exam.md").exists()


def test_an_exam_has_its_points_and_spreads_over_lessons():
    drawn = questions.draw(30, seed=1, course=COURSE)
    assert sum(e.points for e in drawn) == 30
    assert len({e.lesson for e in drawn}) == len(drawn)
    assert drawn == questions.draw(30, seed=1, course=COURSE) != questions.draw(30, seed=2, course=COURSE)
    everything = sum(e.points for e in questions.bank(COURSE))
    assert len(questions.draw(everything, course=COURSE)) == len(questions.bank(COURSE))
    with pytest.raises(RunError, match="are in the bank"):
        questions.draw(everything + 1, course=COURSE)
    with pytest.raises(RunError, match="no questions of the bank make 1 points"):
        questions.draw(1, course=COURSE)


def test_students_get_no_answers(tmp_path):
    exam, solutions = questions.write_exam(20, 0, tmp_path, COURSE, say=lambda line: None)
    drawn = questions.draw(20, 0, COURSE)
    for e in drawn:
        assert e.question in exam.read_text(encoding="utf-8")
        assert e.solution in solutions.read_text(encoding="utf-8")
        assert e.solution not in exam.read_text(encoding="utf-8")
