"""The reading site: pages prepared from the committed notebooks and results, built by Sphinx."""

import json
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd

from ..detectors import SYSTEMS
from ..errors import RunError
from .home import home_page
from .manifest import load_course
from .notebook import FOLDED
from .provenance import ROOT, results_folder
from .try_page import RUNTIME, write_parts

PAGES = ROOT / "site"
FEATURES_LESSON = "features_that_know_images"  # what follows its number
MARK = ".dualad-site"  # the file that tells a site of ours from all other folders
DAY = 24 * 3600
LEFT_OUT = "This copy of the site was built without this page (`--without-try`).\n"


def build_site(output, say=print, with_try=True):
    """Build the site into a folder; return its index page.

    The site is built beside the folder and put in its place when it is whole. with_try: with the page "Try it", whose
    runtime npm fetches once; without it a line stands in its place. Raises RunError where Sphinx is missing or
    complains, and for a folder that holds something else than an earlier site of this function.
    """
    try:
        from sphinx.cmd.build import build_main
    except ImportError as error:
        raise RunError(f"the site needs Sphinx and its extensions ({error}): uv sync --group dev") from error
    if not PAGES.is_dir():
        raise RunError(
            "the site's pages are in the repository, not in the installed package: use a checkout."
        )
    output = Path(output).resolve()
    for own in (PAGES, ROOT / "figures"):
        if output.is_relative_to(own.resolve()):
            raise RunError(f"{output} lies in {own}, of which the site is made: choose another folder.")
    if output.exists() and not (output / MARK).is_file() and (output.is_file() or any(output.iterdir())):
        raise RunError(
            f"{output} holds something else than a site of this command (no {MARK}): choose a new folder, or empty it "
            "yourself."
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(output)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=output.parent) as folder:
        source, html = Path(folder) / "source", Path(folder) / "html"
        prepare(source, with_try)
        say(
            f"building {len(list(source.rglob('*.ipynb')))} lessons and {len(list(source.glob('*.md')))} pages"
        )
        if build_main(["-q", "-W", "--keep-going", "-b", "html", str(source), str(html)]):
            raise RunError("Sphinx complained (above); the site was not built.")
        (html / MARK).touch()
        _replace(output, html, Path(folder) / "old")
    return output / "index.html"


def _remove_abandoned(output):
    """Remove what killed builds left beside the site; a day old, so that no running one is touched."""
    for path in output.parent.glob(".site-*"):
        with suppress(FileNotFoundError):  # of another build that has ended meanwhile
            # killed between the old site and the new one, nothing else has the old one
            only_copy = (path / "old").exists() and not output.exists()
            if time.time() - path.stat().st_mtime > DAY and not only_copy:
                shutil.rmtree(path, ignore_errors=True)


def _replace(output, html, aside):
    """Put a new site in the place of an old one, whose domain and hidden files, such as a repository's, are kept."""
    if output.exists():
        for own in output.iterdir():
            if (own.name.startswith(".") or own.name == "CNAME") and not (html / own.name).exists():
                (shutil.copytree if own.is_dir() else shutil.copy2)(own, html / own.name)
        output.rename(aside)
    try:
        html.rename(output)
    except OSError:
        if aside.exists():
            aside.rename(output)
        raise


def prepare(source, with_try=True):
    """Write what Sphinx reads: pages of site/ and of the repository, and the lessons."""
    shutil.copytree(PAGES, source, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    course = load_course()
    (source / "lessons").mkdir()
    for lesson in course.lessons:
        text = lesson.notebook.read_text(encoding="utf-8")
        nb = json.loads(re.sub(r"\(\.\./RESULTS\.md(?:#[^)]*)?\)", "(../results.md)", text))
        (source / "lessons" / lesson.notebook.name).write_text(json.dumps(readable(nb)), encoding="utf-8")
    shutil.copytree(ROOT / "figures", source / "figures", ignore=shutil.ignore_patterns("results"))
    (source / "lessons.md").write_text(lessons_page(course), encoding="utf-8")
    api = source / "api.md"
    api.write_text(api.read_text(encoding="utf-8").replace("@DETECTORS@", detectors_page()), encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    _first_page(source, course, readme, results)
    _try_page(source, course, with_try)
    for name, text in {
        "teaching": (ROOT / "TEACHING.md").read_text(encoding="utf-8"),
        "results": results + "\n## Files\n\n" + _files(),
        "data": (ROOT / "data" / "README.md").read_text(encoding="utf-8"),
        "model_card": (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8"),
        "contributing": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    }.items():
        (source / f"{name}.md").write_text(_links(text), encoding="utf-8")


def _first_page(source, course, readme, results):
    page, ablation = source / "index.md", ROOT / "figures" / "ablation.png"
    text = page.read_text(encoding="utf-8")
    made = home_page(text, course, readme, results, ablation, source / "static" / "home")
    page.write_text(made, encoding="utf-8")


def _try_page(source, course, wanted):
    """The page "Try it" with its parts, or a line that says how to get it."""
    page, code = source / "try.md", source / "static" / "try"
    if wanted:
        write_parts(code / "parts", code)
        (lesson,) = course.select([FEATURES_LESSON])
        text = page.read_text(encoding="utf-8").replace("@RUNTIME@", RUNTIME)
        page.write_text(
            text.replace("@FEATURES_LESSON@", f"lessons/{lesson.notebook.name}"), encoding="utf-8"
        )
    else:
        page.write_text("# Try it\n\n" + LEFT_OUT, encoding="utf-8")


def detectors_page():
    """The registered detectors, as Sphinx's autodoc asks for them."""
    lines = []
    for kind in (system.kind for system in SYSTEMS.values()):
        members = ", ".join(name for name in ("encode", "reconstruct") if name in vars(kind))
        lines += [
            f".. autoclass:: {kind.__module__}.{kind.__name__}",
            *([f"   :members: {members}"] if members else ()),
        ]
    return "\n".join(lines)


def readable(nb):
    """A notebook without folded code, whose figures' alternative text stands where Sphinx looks for it: on the cell.

    A cell has one such place, so its further figures, and what follows them, go to cells of their own, whose code is
    not shown.
    """
    cells = []
    for cell in nb["cells"]:
        outputs, tags = cell.get("outputs", ()), cell["metadata"].get("tags", ())
        if not FOLDED.isdisjoint(tags):
            cell["metadata"]["tags"] = [*tags, "remove-input"]
        cells.append(cell if not outputs else {**cell, "outputs": []})
        for output in outputs:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt and "mystnb" in cells[-1]["metadata"]:
                # Sphinx would drop a cell without a source.
                hidden = {"metadata": {"tags": ["remove-input"]}, "source": "# above"}
                cells.append({**cell, **hidden, "id": f"{cell['id']}-{len(cells)}", "outputs": []})
            if alt:
                cells[-1]["metadata"]["mystnb"] = {"image": {"alt": alt}}
            cells[-1]["outputs"].append(output)
    return {**nb, "cells": cells}


def lessons_page(course):
    """Order, time and memory of the lessons, as their committed runs measured them."""
    lines = ["# Lessons", "", "| lesson | minutes | memory | last verified |", "|---|---:|---:|---|"]
    for lesson in course.lessons:
        run = json.loads(lesson.notebook.read_text(encoding="utf-8"))["metadata"]["dualad"]
        lines.append(
            f"| [{lesson.name[:2]} {lesson.title}](lessons/{lesson.notebook.name}) | {run['seconds'] / 60:.1f} | "
            f"{run['peak_memory_mb']} MB | {run.get('date', '')}, torch {run['versions']['torch']}, {run['device']} |"
        )
    lines += [
        "",
        "Minutes of computing on two cores; a reader takes half an hour to an hour and a half for each.",
        "",
    ]
    lines += [
        "```{toctree}",
        ":hidden:",
        "",
        *(f"lessons/{lesson.name}" for lesson in course.lessons),
        "```",
        "",
    ]
    return "\n".join(lines)


def _files():
    """The committed results, file by file."""
    paths = [path for path in sorted(results_folder().glob("*.csv")) if not path.name.startswith("bands_")]
    return "\n".join(f"- `{path.name}`: {len(pd.read_csv(path))} rows" for path in paths) + "\n"


def _links(text):
    """Links of the repository's own pages, as the site has them; to files that are no page, as plain text."""
    text = re.sub(r"\(notebooks/(\w+)\.ipynb(?:#[^)]*)?\)", r"(lessons/\1.ipynb)", text)
    text = re.sub(r"\[([^\]]+)\]\(dualad_lib/[^)]*\)", r"\1", text)
    text = re.sub(r"\[([^\]]+)\]\((?:README|RESULTS)\.md(?:#[^)]*)?\)", r"[\1](results.md)", text)
    text = text.replace("(data/README.md)", "(data.md)")
    return re.sub(r"\[([^\]]+)\]\(((?:data|notebooks)/[^)]*)\)", r"`\2`", text)
