"""The course itself: committed notebooks are executed, fresh and tidy; every lesson runs in the smoke profile."""

import nbformat
import pytest
from taught import taught_differences

from dualad_lib.course import build, provenance
from dualad_lib.course.manifest import PROFILES, load_course
from dualad_lib.course.notebook import bootstrap_cell, bootstrap_text, code_cells, read_source, repository
from dualad_lib.course.runner import prepare, run

COURSE = load_course(provenance.ROOT / "notebooks")
every_lesson = pytest.mark.parametrize("lesson", COURSE.lessons, ids=lambda lesson: lesson.name)


@pytest.mark.results
@every_lesson
def test_committed_notebook_is_fresh(lesson):
    """Executed in the lesson profile, in sync with its source, made with this library code: else `dualad build`."""
    assert build.status(lesson)[0] == ""


@pytest.mark.results
@every_lesson
def test_committed_notebook_is_tidy(lesson):
    nb = nbformat.read(lesson.notebook, 4)
    nbformat.validate(nb)
    assert build.complaints(nb) == []
    assert set(nb.metadata) == {"dualad", "kernelspec", "language_info"}
    assert nb.metadata["dualad"]["metrics"]
    mimes = {mime for cell in code_cells(nb) for output in cell.outputs for mime in output.get("data", ())}
    assert not any("widget" in mime for mime in mimes)


@pytest.mark.results
@every_lesson
def test_committed_notebook_is_inside_its_bands(lesson):
    metrics = nbformat.read(lesson.notebook, 4).metadata["dualad"]["metrics"]
    for name, (low, high) in lesson.bands.items():
        assert low <= metrics[name] <= high, name


@pytest.mark.e2e
@every_lesson
def test_parameters_are_good_in_every_profile(lesson):
    for profile in PROFILES:
        prepare(lesson, profile)
    tags = [cell.metadata.get("tags", []) for cell in code_cells(read_source(lesson))]
    assert tags.count(["parameters"]) == 1


@every_lesson
def test_first_cells_are_title_badge_and_bootstrap(lesson):
    nb = read_source(lesson)
    assert nb.cells[0].cell_type == "markdown"
    number = lesson.name.partition("_")[0]
    assert nb.cells[0].source.startswith(f"# {number} · ")
    assert "{{ colab_badge }}" in nb.cells[0].source
    assert "Last verified: {{ run_date }}, torch {{ run_torch }}." in nb.cells[0].source
    assert bootstrap_cell(lesson) == bootstrap_text(lesson.folder)
    assert repository() in bootstrap_text(lesson.folder)


@every_lesson
def test_taught_concepts_are_the_librarys_own(lesson):
    assert taught_differences(read_source(lesson), lesson.teaches) == []


@pytest.mark.e2e
@every_lesson
def test_smoke_run(lesson, tmp_path):
    (outcome,) = run([lesson.name], "smoke", output=tmp_path, course=COURSE)
    assert outcome.error == ""
    assert outcome.result["metrics"]
    missing = set(lesson.bands) - set(outcome.result["metrics"])
    assert not missing


def test_every_source_is_in_the_manifest():
    sources = {path.stem for path in (COURSE.folder / "sources").glob("*.py")}
    assert sources == {lesson.name for lesson in COURSE.lessons}
