"""Slides of a lesson, made from its committed notebook: what a room can read, and the whole prose in the notes."""

import copy
import re
from html import escape
from pathlib import Path

from ..course.manifest import load_course
from ..course.notebook import is_folded, read_notebook
from ..errors import RunError
from ..files import atomic_write

NO_ALT = (
    "No description has been provided for this image"  # what nbconvert's template writes for every figure
)
CODE_LINES = 14  # a longer cell shows what it gives, not how
_WHOLE = re.compile(r"(\||[-*] |\d+\. |\$\$|#|!\[|\*\*(Predict|Ask|After))")  # blocks that stay whole
_SENTENCE = re.compile(r".+?[.?!](?=\s|$)", re.DOTALL)


def write_slides(names=(), output=None, course=None, say=print):
    """Write OUTPUT/NAME.slides.html for the lessons `names` (default: the core course); return the paths.

    The pages are nbconvert's; a browser fetches reveal.js and MathJax when it opens them. Key S opens the notes.
    Raises RunError where a lesson has not been built.
    """
    from nbconvert import SlidesExporter
    from traitlets.config import Config

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {"slides-output-only"}
    exporter = SlidesExporter(config=config, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.reveal_scroll = True
    output, paths = Path(output or Path("runs") / "slides"), []
    for lesson in (course or load_course()).select(names):
        try:
            nb = as_slides(read_notebook(lesson.notebook))
        except OSError as error:
            raise RunError(
                f"{lesson.name}: {lesson.notebook} is not there; run dualad build first"
            ) from error
        nb.metadata["title"] = lesson.title
        output.mkdir(parents=True, exist_ok=True)
        paths.append(output / f"{lesson.name}.slides.html")
        with atomic_write(paths[-1]) as path:
            path.write_text(_described(exporter.from_notebook_node(nb)[0], nb), encoding="utf-8")
        say(f"{paths[-1]}")
    return paths


def as_slides(nb):
    """A notebook whose cells say which slide they stand on: one for each section, below it one for each output.

    On the screen: headings, lists, tables, formulas, predictions, short code, figures without theirs, and the first
    sentences of paragraphs. In the notes: all prose. Left out: set-up, machinery, and what begins with the exercises.
    """
    slides = copy.copy(nb)
    slides.cells, shown, full = [], 0, False
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            text, ended = _until_exercises(cell.source)
            for part in re.split(r"(?m)^(?=#{1,3} )", text):
                if part.strip():
                    below = full or part.startswith("#")
                    kind = "slide" if re.match(r"##? ", part) else "subslide" if below else "-"
                    full = False
                    slides.cells += [
                        _cell(nb, "markdown", on_screen(part), kind),
                        _cell(nb, "markdown", part, "notes"),
                    ]
            if ended:
                break
        elif set(cell.metadata.get("tags", ())) & {"bootstrap", "parameters"} or not (
            shown or _has_picture(cell)
        ):
            shown += "parameters" in cell.metadata.get("tags", ())  # what stands above them are imports
        else:
            found = _code(cell, "subslide" if full else "-")
            slides.cells += found
            full = full or bool(found)
    for number, cell in enumerate(slides.cells):
        cell.id = f"slide-{number}"
    return slides


def on_screen(text):
    """What of a piece of prose is shown: blocks that are made to be looked at, and first sentences."""
    text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    blocks = [block for block in re.split(r"\n\s*\n", text) if not block.startswith(("[![", "**It takes**"))]
    first = (block if _WHOLE.match(block) else _SENTENCE.match(block) for block in blocks)
    return "\n\n".join(found if isinstance(found, str) else found[0] for found in first if found)


def _code(cell, kind):
    """The cell's slide, or none where a room would see nothing."""
    cell = copy.deepcopy(cell)
    pictures = _has_picture(cell)
    visible = pictures or any(
        output.get("text") or output.get("data", {}).get("text/plain") for output in cell.outputs
    )
    hidden = pictures or is_folded(cell) or len(cell.source.splitlines()) > CODE_LINES
    if hidden and not visible:
        return []
    cell.metadata = type(cell.metadata)(slideshow={"slide_type": kind})
    if hidden:
        cell.metadata["tags"] = ["slides-output-only"]
    return [cell]


def _has_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def _described(page, nb):
    """The page with the figures' alternative text."""
    outputs = (output for cell in nb.cells for output in cell.get("outputs", ()))
    pictures = (o["metadata"].get("image/png", {}) for o in outputs if "image/png" in o.get("data", {}))
    alts = (escape(picture.get("alt", NO_ALT)) for picture in pictures)
    return re.sub(re.escape(NO_ALT), lambda _: next(alts, NO_ALT), page)


def _until_exercises(source):
    before, heading, _ = source.partition("## Exercises")
    return before, bool(heading)


def _cell(nb, kind, source, slide):
    return type(nb)(cell_type=kind, source=source, metadata=type(nb)(slideshow={"slide_type": slide}))
