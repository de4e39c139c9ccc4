"""Whatever is fed to a command: no traceback, no hang, no half-written file, exit status 0, 1 or 2.

A few examples each, always the same ones. DUALAD_FUZZ_SECONDS=600 looks for that long in each test, at random.
"""

import ast
import contextlib
import io
import json
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, write_course
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dualad_lib.cli import main
from dualad_lib.course import runner
from dualad_lib.errors import RunError
from dualad_lib.experiments import grid as grid_module
from dualad_lib.experiments.grid import grid, run_cell

SECONDS = float(os.environ.get("DUALAD_FUZZ_SECONDS", 0))
LONGEST = 60  # seconds that one command may take on tiny inputs, on a busy machine
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


def fuzz(*strategies):
    """Call the decorated function with examples until there are enough or the time is over."""
    end = time.monotonic() + (SECONDS or 6)
    failed = []

    def decorate(check):
        @settings(
            max_examples=12,
            derandomize=not SECONDS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.tuples(*strategies))
        def one(example):
            if time.monotonic() > end and not failed:  # making a failure smaller takes the time it takes
                return
            try:
                check(*example)
            except BaseException:
                failed.append(example)
                raise

        def rounds():
            one()
            while time.monotonic() < end and SECONDS:
                one()

        return rounds

    return decorate


def command(*arguments):
    """Run `dualad`; return (exit status, standard output and error)."""
    out = io.StringIO()

    def hangs(number, frame):
        raise AssertionError(f"{arguments} hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LONGEST)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
            try:
                status = main(list(map(str, arguments)))
            except SystemExit as end:
                status = end.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    text = out.getvalue()
    assert status in (0, 1, 2), (status, text)
    assert "Traceback" not in text
    return status, text


def nothing_half_written(folder):
    left = [str(path) for path in folder.rglob("*") if ".tmp" in path.name]
    assert left == []


# --- what is fed --------------------------------------------------------------------------------------------------


def damaged(content):
    """Bytes that differ from `content`: cut off, with bytes changed, or with some put in."""
    place = st.integers(0, max(len(content) - 1, 0))

    def change(edits):
        changed = bytearray(content)
        for where, kind, value in edits:
            if kind == "cut":
                del changed[where:]
            elif kind == "insert":
                changed[where:where] = value
            else:
                changed[where : where + len(value)] = value
        return bytes(changed)

    kinds = st.sampled_from(("cut", "insert", "set", "set"))
    edits = st.tuples(place, kinds, st.binary(min_size=1, max_size=8))
    return st.lists(edits, min_size=1, max_size=6).map(change)


def picture(kind):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 9, 3)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


pictures = st.sampled_from(FORMATS).flatmap(
    lambda kind: st.tuples(
        st.sampled_from((kind.lower(), "png", "jpg", "tif")),
        st.one_of(st.just(picture(kind)), damaged(picture(kind)), st.binary(max_size=300)),
    )
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))


def good_images(folder, count=40):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        Image.fromarray(rng.integers(90, 160, (10, 10)).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- commands -----------------------------------------------------------------------------------------------------


def test_image_files(here):
    good = good_images(here / "good")

    @fuzz(st.lists(pictures, min_size=1, max_size=3), st.booleans())
    def check(fed, strict):
        shutil.rmtree(here / "fed", ignore_errors=True)
        shutil.copytree(good, here / "fed")
        for number, (ending, content) in enumerate(fed):
            (here / "fed" / f"fed{number}.{ending}").write_bytes(content)
        model = here / "m.safetensors"
        model.unlink(missing_ok=True)
        options = ["--strict"] if strict else []
        status, _ = command(
            "fit", "--normal", "fed", "--out", model, "--detector", "pca", "--image-size", 8, *options
        )
        assert model.exists() == (status == 0)
        nothing_half_written(here)

    check()


def test_folder_trees(here):
    """Names of any kind, folders called like files, links that lead nowhere or back."""
    kinds = st.sampled_from(("image", "image", "folder", "broken link", "link back", "empty"))
    entries = st.lists(st.tuples(st.lists(names, min_size=1, max_size=3), kinds), max_size=6)

    @fuzz(entries)
    def check(tree):
        shutil.rmtree(here / "tree", ignore_errors=True)
        good_images(here / "tree")
        for parts, kind in tree:
            path = Path("tree", *parts[:-1], f"{parts[-1]}.png")
            with contextlib.suppress(OSError):  # a name that this file system does not take, or that is taken
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind == "image":
                    path.write_bytes(picture("PNG"))
                elif kind == "folder":
                    path.mkdir()
                elif kind == "empty":
                    path.touch()
                else:
                    path.symlink_to("nowhere" if kind == "broken link" else here / "tree")
        model = here / "m.safetensors"
        status, _ = command("fit", "--normal", "tree", "--out", model, "--detector", "pca", "--image-size", 8)
        if status == 0:
            assert command("score", "--model", model, "--images", "tree", "--out", "s.csv")[0] == 0
        nothing_half_written(here)

    check()


def test_model_files(here):
    good_images(here / "good")
    model = here / "m.safetensors"
    fit = ["fit", "--normal", "good", "--out", model, "--detector", "pca", "--image-size", 8]
    assert command(*fit)[0] == 0
    whole = model.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, tensors = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    places = st.sampled_from([*header, *(f"__metadata__ {name}" for name in header["__metadata__"])])

    def written(place, value):
        changed = json.loads(json.dumps(header))
        entry, _, name = place.partition(" ")
        if name:
            changed[entry][name] = json.dumps(value)
        else:
            changed[entry] = value
        text = json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + tensors

    fed = st.one_of(damaged(whole), damaged(whole[: 8 + length]), st.builds(written, places, values))

    @fuzz(fed)
    def check(content):
        model.write_bytes(content)
        Path("s.csv").write_text("old")
        status, _ = command("score", "--model", model, "--images", "good", "--out", "s.csv")
        assert (Path("s.csv").read_text() == "old") == (status != 0)
        nothing_half_written(here)

    check()


def test_submissions(here):
    cells = st.fixed_dictionaries(
        {"cell_type": st.sampled_from(("code", "markdown", "x")), "source": values, "metadata": values},
        optional={"id": values, "outputs": values},
    )
    notebooks = st.one_of(
        values.map(lambda value: json.dumps(value).encode()),
        st.lists(cells, max_size=3).map(lambda found: json.dumps({"cells": found, "nbformat": 4}).encode()),
        st.just(b"[" * 100_000),
        st.binary(max_size=50),
        damaged(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()),
    )

    @fuzz(notebooks)
    def check(content):
        Path("fed.ipynb").write_bytes(content)
        command("course", "validate", "fed.ipynb", "--output", "repaired")
        assert Path("fed.ipynb").read_bytes() == content
        nothing_half_written(here)

    check()


DECLARED = {"steps": "2", "rate": "0.1", "label": "'a'", "free": "None", "on": "True", "many": "[1]"}


def test_parameters(here, monkeypatch):
    """What a lesson gets is the value that stands in its metrics file, or nothing runs."""
    from papermill.translators import PythonTranslator

    lines = "\n".join(f"{name} = {value}" for name, value in DECLARED.items())
    source = f'# %% tags=["parameters"]\n{lines}\n\n# %%\nprint({", ".join(DECLARED)})\n'
    write_course(here / "course", {"01_a": source})
    monkeypatch.setenv("DUALAD_COURSE", str(here / "course"))

    def execute(job, folder):
        written = ast.parse(PythonTranslator.codify(job.overrides)).body
        got = {node.targets[0].id: ast.literal_eval(node.value) for node in written}
        assert got == job.overrides
        assert {name: job.stamp["parameters"][name] for name in got} == json.loads(json.dumps(got))
        raise RunError("far enough")

    monkeypatch.setattr(runner, "execute", execute)
    texts = st.one_of(
        st.text(max_size=12), values.map(repr), st.sampled_from(("010", "12:30", "no", "-1e-3", "1e999"))
    )

    @fuzz(st.lists(st.tuples(st.sampled_from([*DECLARED, "x", ""]), texts, st.booleans()), max_size=3))
    def check(parameters):
        words = [w for n, v, one in parameters for w in (["-p", f"{n}={v}"] if one else ["-p", n, v])]
        command("run", *words, "--output", "out")
        nothing_half_written(here)

    check()


OPTIONS = {
    ("fit", "--normal", "none", "--out", "m.safetensors"): ("--seed", "--rate", "--image-size", "--steps"),
    ("score", "--model", "none", "--images", "none", "--out", "s.csv"): ("--rate", "--out"),
    ("reproduce", "--methods", "none"): (
        "--seeds",
        "--workers",
        "--threads",
        "--classes",
        "--scheduler",
        "--study",
    ),
    ("bands", "none"): ("--seeds",),
    ("course", "grade", "none.ipynb"): ("--seconds", "--memory"),
    ("run", "none"): ("--profile", "-p"),
}


def test_options(here):
    texts = st.one_of(st.integers().map(str), st.floats().map(str), st.text(max_size=6), st.just(""))

    @fuzz(st.sampled_from(list(OPTIONS)), st.data(), texts)
    def check(words, data, text):
        option = data.draw(st.sampled_from(OPTIONS[words]))
        status, said = command(*words, f"{option}={text}" if option.startswith("--") else f"{option}{text}")
        assert status == 2, said
        assert list(here.iterdir()) == []

    check()


def test_course_files(here, monkeypatch):
    course = write_course(here / "course", {"01_tiny": TINY})
    monkeypatch.setenv("DUALAD_COURSE", str(course.folder))
    files = {path: path.read_bytes() for path in (course.folder / "course.yml", course.lessons[0].source)}
    manifest = next(iter(files))

    @fuzz(
        st.sampled_from(list(files)).flatmap(lambda path: st.tuples(st.just(path), damaged(files[path]))),
        values,
    )
    def check(one, value):
        path, content = one
        for fed in (content, json.dumps(value).encode() if path == manifest else content):
            path.write_bytes(fed)
            command("list")
            command("build", "--check")
        path.write_bytes(files[path])
        nothing_half_written(here)

    check()


def test_cells_and_results_of_a_grid(here, monkeypatch):
    monkeypatch.setattr(grid_module, "_pool", lambda *rest: contextlib.nullcontext(grid_module._in_turn))
    words = ["reproduce", "--profile", "smoke", "--executor", "python", "--methods", "pca", "--classes", 0]
    words += ["--output", "out"]
    assert command(*words)[0] == 0
    (cell,), (results,) = (list(Path("out", name).iterdir()) for name in ("cells", "results"))
    files = {path: path.read_bytes() for path in (cell, results)}
    rows = run_cell(*grid(methods=["pca"], classes=[0], profile="smoke"), "out")

    @fuzz(st.sampled_from(list(files)).flatmap(lambda path: st.tuples(st.just(path), damaged(files[path]))))
    def check(one):
        path, content = one
        path.write_bytes(content)
        status, said = command(*words)
        assert (status == 0) == (f"{rows} of {rows} cells finished" in said)
        assert status == 0 or path == results, said  # a cell is measured again
        if status:
            assert path.read_bytes() == content  # what is not understood is not replaced
        path.write_bytes(files[path])
        nothing_half_written(here)

    check()
