"""`dualad build`: what it writes, when it runs again, when it only renders prose, and what it calls stale."""

import base64
import io
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from conftest import TINY, write_course
from PIL import Image

from dualad_lib.course import build, environment, provenance, site
from dualad_lib.course.manifest import Course, load_course
from dualad_lib.course.notebook import bootstrap_text, colab_badge, repository
from dualad_lib.course.site import build_site
from dualad_lib.errors import RunError


@pytest.fixture(scope="module")
def built_once(tmp_path_factory):
    """The bytes of the tiny lesson's notebook, built in a folder of its own."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        course = write_course(folder / "course", {"01_tiny": TINY})
        (outcome,) = build.build(course=course, say=lambda line: None)
    assert not outcome.error
    return course.lessons[0].notebook.read_bytes()


@pytest.fixture
def built(make_course, built_once):
    """A built lesson; edit(old, new) changes its source; again() builds and returns what was said and came out."""
    course = make_course()
    lesson = course.lessons[0]
    lesson.notebook.write_bytes(built_once)

    def edit(old, new):
        text = lesson.source.read_text()
        assert old in text
        lesson.source.write_text(text.replace(old, new))

    def again():
        said = []
        (outcome,) = build.build(course=course, say=said.append)
        return said, outcome

    return lesson, edit, again


def test_a_built_notebook_is_stamped_tidy_and_fresh(built):
    lesson, _, again = built
    nb = nbformat.read(lesson.notebook, 4)
    nbformat.validate(nb)
    stamp = nb.metadata["dualad"]
    assert stamp["metrics"] == {"value": 3.0}
    assert stamp["source_hash"] == provenance.source_hash(lesson.source)
    assert list(stamp["library_modules"]) == ["dualad_lib.course.recording"]
    assert stamp["versions"]["torch"]
    assert set(nb.metadata) == {"dualad", "kernelspec", "language_info"}
    assert nb.metadata["kernelspec"]["name"] == "python3"
    assert [dict(cell.metadata) for cell in nb.cells] == [{}, {"tags": ["parameters"]}, {}, {}]
    assert nb.cells[0].source == "# Tiny\nThe value is 3.0."
    assert build.status(lesson) == ("", False)
    said, outcome = again()
    assert said == ["01_tiny: fresh"]
    assert outcome.result["metrics"] == {"value": 3.0}


def test_pictures_are_kept_in_few_bytes_and_look_the_same():
    x, y = np.meshgrid(np.arange(200), np.arange(160))
    photograph = np.stack([x, y + 40, (x + y) // 2], 2).astype(np.uint8)
    photograph += np.random.default_rng(0).integers(0, 3, photograph.shape, dtype=np.uint8)
    whole, nb = io.BytesIO(), nbformat.v4.new_notebook()
    Image.fromarray(photograph).save(whole, "PNG")
    data = {"image/png": base64.b64encode(whole.getvalue()).decode(), "text/plain": "alt"}
    nb.cells = [nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data)])]
    kept = build.small_pictures(nb).cells[0].outputs[0].data
    small = base64.b64decode(kept["image/png"])
    assert len(small) < 0.5 * len(whole.getvalue()) and kept["text/plain"] == "alt"
    found = np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int)
    assert np.abs(found - photograph).mean() < 8
    again = build.small_pictures(nb).cells[0].outputs[0].data["image/png"]
    assert len(again) <= len(kept["image/png"])


def test_prose_is_rendered_again_without_a_run(built):
    lesson, edit, again = built
    before = nbformat.read(lesson.notebook, 4)
    edit("The value is {{ value | f1 }}.", "It is {{ value | f3 }}.")
    edit("print(label, rate)", "print(label,  rate)  # both")
    assert build.status(lesson) == ("the source's prose changed", False)
    said, _ = again()
    assert "outputs kept" in said[0]
    after = nbformat.read(lesson.notebook, 4)
    assert after.cells[0].source == "# Tiny\nIt is 3.000."
    assert after.cells[3].source.startswith("print(label,  rate)  # both")
    assert after.cells[3].outputs == before.cells[3].outputs
    assert build.status(lesson) == ("", False)


def test_code_changes_run_it_again(built):
    lesson, edit, again = built
    edit("1.5 * steps", "2.5 * steps")
    assert build.status(lesson) == ("the source's code changed", True)
    assert build.check() == [(lesson, "the source's code changed")]
    _, outcome = again()
    assert outcome.result["metrics"] == {"value": 5.0}
    assert "The value is 5.0." in nbformat.read(lesson.notebook, 4).cells[0].source
    assert build.check() == []


def test_a_change_of_the_library_makes_it_stale(built, monkeypatch):
    lesson, _, _ = built
    hashes = provenance.library_hashes

    def changed(nb):
        return {**hashes(nb), "dualad_lib.course.recording": "0" * 16, "dualad_lib.losses": "1" * 16}

    monkeypatch.setattr(provenance, "library_hashes", changed)
    reason, execute = build.status(lesson)
    assert reason == "library code changed: dualad_lib.course.recording, dualad_lib.losses"
    assert execute


@pytest.mark.parametrize(
    ("damage", "reason", "execute"),
    [
        (lambda nb: nb.cells[0].update(source="Other."), "the notebook was edited; edit its source", False),
        (lambda nb: nb.cells[2].update(execution_count=None), "cells were not executed", True),
        (lambda nb: nb.cells.pop(3), "cells were not executed", True),
        (lambda nb: nb.metadata.pop("dualad"), "no stamp of dualad build", True),
        (lambda nb: nb.metadata["dualad"].update(seconds="abc"), "its stamp is damaged", True),
        (lambda nb: nb.metadata["dualad"].update(metrics=[1]), "its stamp is damaged", True),
        (lambda nb: nb.metadata["dualad"].update(versions={}), "its stamp is damaged", True),
        (lambda nb: nb.metadata["dualad"].update(library_modules=None), "its stamp is damaged", True),
        (lambda nb: nb.metadata.update(widgets={}), "it holds widget state", False),
        (lambda nb: nb.metadata["dualad"].update(profile="smoke"), "not built in the lesson profile", True),
    ],
)
def test_a_damaged_notebook_is_stale(built, damage, reason, execute):
    lesson, _, _ = built
    nb = nbformat.read(lesson.notebook, 4)
    damage(nb)
    nbformat.write(nb, lesson.notebook)
    assert build.status(lesson) == (reason, execute)


def test_a_new_site_keeps_the_repository_and_the_domain_of_the_old_one(tmp_path):
    old, new = tmp_path / "site", tmp_path / "new"
    for folder, page in ((old, "gone.html"), (new, "index.html")):
        folder.mkdir()
        (folder / page).touch()
        (folder / ".buildinfo").write_text(folder.name)
    (old / "CNAME").write_text("example.org")
    (old / ".git").mkdir()
    (old / ".git" / "HEAD").write_text("ref")
    site._replace(old, new, tmp_path / "aside")
    assert sorted(p.name for p in old.iterdir()) == [".buildinfo", ".git", "CNAME", "index.html"]
    assert (old / ".buildinfo").read_text() == "new" and (old / ".git" / "HEAD").read_text() == "ref"
    with pytest.raises(FileNotFoundError):  # what is not there cannot take its place
        site._replace(old, new, tmp_path / "aside2")
    assert (old / "index.html").exists()


def test_a_site_is_not_built_into_what_it_is_made_of():
    for folder in (site.PAGES / "html", site.ROOT / "figures" / "html"):
        with pytest.raises(RunError, match="of which the site is made: choose another folder"):
            build_site(folder)
        assert not folder.exists()


def test_a_failing_lesson_leaves_the_committed_notebook(built):
    lesson, edit, again = built
    before = lesson.notebook.read_bytes()
    edit("print(label, rate)", "print(label, rate / 0)")
    _, outcome = again()
    assert "ZeroDivisionError" in outcome.error
    assert lesson.notebook.read_bytes() == before


def test_plain_papermill_runs_a_built_notebook(built, tmp_path):
    import papermill

    lesson, _, _ = built
    nb = papermill.execute_notebook(
        lesson.notebook, tmp_path / "out.ipynb", {"steps": 4}, progress_bar=False, cwd=tmp_path
    )
    assert nb.cells[-1].outputs[-1].data["text/plain"] == ""


def test_complaints_about_outputs(built):
    lesson, _, _ = built
    nb = nbformat.read(lesson.notebook, 4)
    assert build.complaints(nb) == []
    nb.cells[0].source += " {{ value }}"
    nb.cells[2].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="Warning: x\n"),
        nbformat.v4.new_output("stream", text=f"file {provenance.ROOT}/x.py\n"),
        nbformat.v4.new_output("error", ename="KeyError", evalue="x", traceback=[]),
    ]
    text = "\n".join(build.complaints(nb))
    for complaint in (
        "cell 1 still has a placeholder",
        "standard error: Warning: x",
        "a path",
        "an error: KeyError",
    ):
        assert complaint in text


def test_the_bootstrap_cell_is_kept_in_one_place(make_course):
    course = make_course({"01_tiny": '# %% tags=["bootstrap"]\nold = 1\n' + TINY})
    lesson = course.lessons[0]
    (course.folder / "bootstrap.py").write_text('# Address.\naddress = "git+@REPOSITORY@"\n')
    build.build(course=course, say=lambda line: None)
    text = f'# Address.\naddress = "git+{repository()}"'
    assert bootstrap_text(course.folder) == text
    assert f'# %% tags=["bootstrap"]\n{text}\n\n# %% [markdown]' in lesson.source.read_text()
    assert nbformat.read(lesson.notebook, 4).cells[0].source == text
    assert build.status(lesson) == ("", False)
    (course.folder / "bootstrap.py").write_text("address = 2\n")
    assert build.status(lesson) == ("the bootstrap cell of the source changed", False)


def test_the_bootstrap_cell_installs_only_what_is_missing(monkeypatch, capsys):
    text, commands = bootstrap_text(provenance.ROOT / "notebooks"), []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    exec(text, {})
    assert commands == []
    assert "torch" in capsys.readouterr().out

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delenv("DUALAD_SOURCE", raising=False)
    exec(text, {})
    monkeypatch.setenv("DUALAD_SOURCE", "/somewhere/dualad.whl")
    exec(text, {})
    python = [sys.executable, "-m"]
    install, complete = (
        [*python, "pip", "install", "--quiet", "--no-deps"],
        [*python, "dualad_lib.course.environment"],
    )
    assert commands == [
        [*install, f"git+{repository()}"],
        complete,
        [*install, "/somewhere/dualad.whl"],
        complete,
    ]


def test_missing_packages_never_name_torch(monkeypatch):
    def version(name):
        if name not in ("numpy", "pillow"):
            raise environment.PackageNotFoundError(name)

    needs = [
        "torch>=2.6",
        "torchvision>=0.21",
        "numpy>=1.26",
        "pillow>=10",
        "seaborn>=0.13",
        "jupyterlab>=4",
        "x",
    ]
    monkeypatch.setattr(environment, "requires", lambda name: needs)
    monkeypatch.setattr(environment, "version", version)
    assert environment.missing() == ["seaborn>=0.13", "x"]


def test_the_badge_leads_to_this_lesson(make_course, monkeypatch):
    from dualad_lib.course import notebook

    lesson = make_course().lessons[0]
    monkeypatch.setattr(notebook, "repository", lambda: "https://github.com/a/b.git")
    assert "https://colab.research.google.com/github/a/b/blob/main/notebooks/01_tiny.ipynb" in colab_badge(
        lesson
    )
    monkeypatch.setattr(notebook, "repository", lambda: "https://example.org/b")
    assert colab_badge(lesson) == "[Project page](https://example.org/b)"


def test_a_packaged_course_is_not_built(make_course, monkeypatch):
    monkeypatch.setattr(Course, "packaged", True)
    with pytest.raises(RunError, match="read-only"):
        build.build(course=load_course(make_course().folder))


def test_a_folder_with_other_things_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="something else than a site"):
        build_site(tmp_path, say=lambda text: None)
    assert (tmp_path / "thesis.txt").exists()
