"""The site's first page: a real part under its heat map, four doors, a figure of each lesson; made at build time."""

import base64
import html
import json
import re
import shutil
from datetime import UTC, datetime

import numpy as np

from ..data import load_inspection
from ..detectors import PatchCore

PLACE, SHOWN = "635000_270", 48  # where on the spindle, and the photograph that is shown
LEARN = 20  # photographs that the detector learns from, the first
STRIP = (0, 24, 46, 50, 53, 55)  # of the same place, for the door to one's own parts
COVER = 0.75  # of the photograph that the hottest heat hides


def home_page(text, course, readme, results, ablation, pictures):
    """The page's text with what stands in @marks@ filled in; its pictures go into the folder `pictures`.

    course: Course; readme, results: the repository's pages, which the commands and the frontier's words come from;
    ablation: that figure's file.
    """
    pictures.mkdir(parents=True)
    screws = load_inspection("ball_screws_sample")
    own = screws[screws.places == screws.place_names.index(PLACE)]
    _draw_parts(own, pictures)
    figures = _gallery(course, pictures)
    first = course.lessons[0]
    shutil.copy(ablation, pictures / "ablation.png")
    doors = (
        ("Learn", f"lessons/{first.name}.html", figures[0][0], f"A figure of {first.name[:2]} {first.title}",
         "From a first score to DualAD, in notebooks that run on two CPU cores. Each has exercises."),
        ("Teach", "teaching.html", "../teach.svg", "A sheet with an exercise: code to be written, and ticked answers",
         "Assignments, tests that grade and solutions come out of the lessons themselves, for nbgrader or without."),
        ("Reproduce", "results.html", "ablation.png", "The stages from the autoencoder to DualAD, a panel a data set",
         "Every number stands beside the command that measured it. What could not be reproduced is said too."),
        ("Inspect your parts", "try.html", "strip.jpg", "Six photographs of a thread under heat maps, ever hotter",
         "Try a detector here in the browser, on a part that wears out or on your own photographs."),
    )  # fmt: skip
    alt = re.search(r"!\[([^\]]+)\]\(figures/frontier\.png\)", f"{results}\n{readme}")
    marks = {
        "COMMANDS": re.search(r"^```bash\n.*?^```$", readme, re.DOTALL | re.MULTILINE)[0],
        "FRONTIER": alt[1].replace("\n", " ")
        if alt
        else "AUROC against seconds of computing, detector by detector",
        "DOORS": "\n".join(_door(*door) for door in doors),
        "GALLERY": "\n".join(_figure(*figure) for figure in figures),
        "FIRST": f"lessons/{first.notebook.name}",
        "WHEN": _when(own),
    }
    return re.sub(r"@([A-Z]+)@", lambda mark: marks[mark[1]], text)


def _draw_parts(own, pictures):
    """Of the photographs of one place: a late photograph bare and under its heat map, and a strip of six."""
    from PIL import Image

    model = PatchCore(seed=0, device="cpu", false_alarm_rate=0.2)  # its threshold is where the heat begins
    model.fit(own.images[:LEARN], calibration=own.images[LEARN : LEARN + 5])
    shown = [SHOWN, *STRIP]
    warm = [
        _warm(image, heat, model.threshold_)
        for image, heat in zip(own.images[shown].numpy(), model.anomaly_map(own.images[shown]), strict=True)
    ]
    save = {"quality": 88, "optimize": True}
    Image.fromarray(own.images[SHOWN].permute(1, 2, 0).numpy()).save(pictures / "part.jpg", **save)
    Image.fromarray(warm[0]).save(pictures / "heat.jpg", **save)
    rows = [np.concatenate(warm[k : k + 2], 1) for k in (1, 3, 5)]
    Image.fromarray(np.concatenate(rows)).resize((624, 378)).save(pictures / "strip.jpg", **save)


def _when(own):
    moment = datetime.fromtimestamp(int(own.times[SHOWN]), UTC)
    return f"on {moment.day} {moment:%B %Y}, photograph {SHOWN + 1} of {len(own)}"


def _warm(image, heat, threshold):
    """uint8 (H, W, 3): a photograph (3, H, W) under its heat map (H, W), which begins at the threshold."""
    from matplotlib import colormaps

    share = np.clip((heat / threshold - 1) / 0.6, 0, 1)[..., None]
    colour = 255 * colormaps["inferno"](0.35 + 0.65 * share[..., 0])[..., :3]
    cover = COVER * np.sqrt(share)
    return ((1 - cover) * image.transpose(1, 2, 0) + cover * colour).round().astype(np.uint8)


def _gallery(course, pictures):
    """(file, alternative text, lesson) of one committed figure of each lesson: the one with the most to see."""
    found = []
    for lesson in course.lessons:
        nb = json.loads(lesson.notebook.read_text(encoding="utf-8"))
        outputs = [output for cell in nb["cells"] for output in cell.get("outputs", ())]
        figures = [output for output in outputs if "image/png" in output.get("data", {})]
        if not figures:
            continue
        richest = max(figures, key=lambda output: len("".join(output["data"]["image/png"])))
        name = f"{lesson.name}.png"
        content = base64.b64decode("".join(richest["data"]["image/png"]))
        (pictures / name).write_bytes(content)
        alt = richest["metadata"].get("image/png", {}).get("alt", f"A figure of {lesson.title}")
        found.append((name, " ".join(alt.split()), lesson))
    return found


def _door(name, link, picture, alt, text):
    image = f'<img src="_static/home/{picture}" alt="{html.escape(alt)}" loading="lazy">'
    return f'<a class="home-door" href="{link}">{image}<strong>{name}</strong><span>{text}</span></a>'


def _figure(picture, alt, lesson):
    image = f'<img src="_static/home/{picture}" alt="{html.escape(alt)}" loading="lazy">'
    title = f"{lesson.name[:2]} {html.escape(lesson.title)}"
    return f'<a href="lessons/{lesson.name}.html">{image}<span>{title}</span></a>'
