"""A folder's scores as one HTML file that opens anywhere: photographs, heat maps over them, histogram, table.

The page needs no network and no other file, and also reads without scripts. Its frame, styles and script stand in
`report.html`; everything in it that comes from outside (file names above all) is escaped here, and a content security
policy lets no script run but the page's own.
"""

import base64
import csv
import hashlib
import html
import io
import json
import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

import numpy as np

from ..errors import DataError
from ..files import atomic_write

VERDICTS = ("anomalous", "normal", "unreadable")
TABLE = ("rank", "file", "verdict", "score", "p_value", "pixel", "latent")  # as `dualad score` writes it
PHOTO_SIDE = 256  # pixels of a photograph's longer side
HEAT_SIDE = 64  # of a heat map's, which the browser stretches smoothly over the photograph
QUALITIES = (
    80,
    65,
    50,
)  # of the photographs as WebP: the first that stays within PHOTO_BYTES, or else the last
PHOTO_BYTES = 6500  # 2,000 images make a page of at most 25 MB
HEAT_QUANTILES = (0.5, 0.999)  # of all heat values; a colour scale goes from the one to the other


def write_report(
    path,
    entries,
    *,
    threshold,
    calibration_scores,
    false_alarm_rate,
    model,
    title=None,
):
    """Write the report of a scored folder to `path`, one HTML file, and return the path.

    entries: an iterable of dicts in any order, read once and one at a time: `file` (its name), `verdict` ("anomalous",
    "normal" or "unreadable"); unless unreadable `score` and `p_value`; and where there are any `image` (uint8, (H, W)
    or (H, W, 3); shrunk to 256 pixels of the longer side), `heat` (float, (h, w), higher = more anomalous, of any size:
    it is stretched over the image) and the parts of the score, `pixel` and `latent`. A missing key means None.
    threshold: scores above it are called anomalous. calibration_scores: (n,), of the held-out normal images behind
    the threshold. false_alarm_rate: in (0, 1), what the threshold promises. model: dict of what stands at the top, in
    its order, such as {"detector": "dualad", "normal images": 1000}.

    All images share one colour scale: transparent at the median of all heat in `entries` and below, brightest at its
    99.9 % quantile and above, so that a few glaring pixels do not dim the rest; a folder without a defect shows its
    own noise.

    Holds some 25 kB an image in memory, and the file is whole or absent. Raises DataError for an entry that cannot be
    shown as it is, with its file's name.
    """
    calibration = np.sort(np.asarray(calibration_scores, dtype=float).ravel())
    if not len(calibration) or not np.isfinite(calibration).all() or not math.isfinite(threshold):
        raise DataError("a report needs the scores of the calibration images and a threshold, all finite.")
    if not 0 < false_alarm_rate < 1:
        raise DataError(f"a false-alarm rate lies between 0 and 1, got {false_alarm_rate}.")
    if Path(path).is_dir():
        raise DataError(f"{path} is a folder: give the report a file name, such as report.html.")
    images = sorted(map(_encoded, entries), key=lambda image: image.order)
    if not images:
        raise DataError("there are no images to report on.")
    low, high = _heat_range(images)
    before, after = _frame().split("%%sections")
    values = {
        "title": _escape(title or "Anomaly report"),
        "policy": _policy(),
        "aspect": _aspect(images),
        "verdict": _summary(images),
        "model": _facts(model),
        "promise": _promise(images, calibration, false_alarm_rate),
        "histogram": _histogram([i.score for i in images if i.readable], calibration, threshold),
        "scale": _scale(low, high) if any(i.heat is not None for i in images) else "",
        "heats": "" if any(i.heat is not None for i in images) else "hidden",
        "choices": _choices(images),
        "data": _safe_json({"csv": _csv(images)}),
    }
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(_Page(before).substitute(values))
        for piece in _sections(images, calibration, threshold, (low, high)):
            file.write(piece)
        file.write(_Page(after).substitute(values))
    return Path(path)


class _Page(Template):
    """A template that leaves the dollar signs and per cents of scripts and styles alone."""

    delimiter = "%%"


@cache
def _frame():
    return Path(__file__).with_name("report.html").read_text(encoding="utf-8")


# --- reading the entries ---------------------------------------------------------------------------------------------


@dataclass
class _Image:
    """An entry, made small: `photo` as WebP, `heat` shrunk to HEAT_SIDE."""

    file: str
    verdict: str
    score: float | None = None
    p_value: float | None = None
    pixel: float | None = None
    latent: float | None = None
    photo: bytes | None = None
    size: tuple = (1, 1)  # width, height
    heat: np.ndarray | None = None

    @property
    def readable(self):
        return self.verdict != "unreadable"

    @property
    def order(self):
        return (not self.readable, -self.score if self.readable else 0, self.file)


def _encoded(entry):
    file, verdict = str(entry["file"]), entry["verdict"]
    if verdict not in VERDICTS:
        raise DataError(f"{file}: a verdict is one of {', '.join(VERDICTS)}, got {verdict!r}.")
    if verdict == "unreadable":
        return _Image(file, verdict)
    numbers = {name: entry.get(name) for name in ("score", "p_value", "pixel", "latent")}
    numbers = {name: None if value is None else float(value) for name, value in numbers.items()}
    for name in ("score", "p_value"):
        if numbers[name] is None or not math.isfinite(numbers[name]):
            raise DataError(f"{file}: a readable image needs a finite {name}, got {numbers[name]}.")
    if not 0 <= numbers["p_value"] <= 1:
        raise DataError(f"{file}: a p_value lies between 0 and 1, got {numbers['p_value']}.")
    photo, size = _photo(file, entry.get("image"))
    return _Image(file, verdict, **numbers, photo=photo, size=size, heat=_small_heat(file, entry.get("heat")))


def _photo(file, image):
    """(WebP bytes, (width, height)) of an image array."""
    from PIL import Image

    if image is None:
        return None, (1, 1)
    image = np.asarray(image)
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)) or not image.size:
        raise DataError(
            f"{file}: an image is a uint8 array (H, W) or (H, W, 3), got {image.dtype} {image.shape}."
        )
    picture = Image.fromarray(image)
    picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    for quality in QUALITIES:
        photo = _webp(picture, quality=quality)
        if len(photo) <= PHOTO_BYTES:
            break
    return photo, picture.size


def _small_heat(file, heat):
    """The heat map as float32, averaged down to HEAT_SIDE where it is larger."""
    from PIL import Image

    if heat is None:
        return None
    heat = np.asarray(heat, dtype=np.float32)
    if heat.ndim != 2 or not heat.size or not np.isfinite(heat).all():
        raise DataError(f"{file}: heat is an array (h, w) of finite numbers, got shape {heat.shape}.")
    shrink = HEAT_SIDE / max(heat.shape)
    if shrink >= 1:
        return heat.copy()  # not a view that keeps the whole batch of maps alive
    height, width = (max(1, round(side * shrink)) for side in heat.shape)
    return np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BOX))


def _webp(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", **options)
    return buffer.getvalue()


# --- heat ------------------------------------------------------------------------------------------------------------


def _heat_range(images):
    heat = [image.heat.ravel() for image in images if image.heat is not None]
    if not heat:
        return 0.0, 1.0
    heat = np.concatenate(heat)
    low, high = (float(q) for q in np.quantile(heat, HEAT_QUANTILES))
    high = high if high > low else float(heat.max())  # hardly any heat at all
    return (low, high) if high > low else (low, low + 1)


@cache
def _palette():
    """(256, 4) uint8: plasma, transparent at its low end, so that the photograph shows where nothing is amiss.

    Plasma is as safe for colour-blind readers as the course's cividis, whose middle is grey like most photographs.
    """
    from matplotlib import colormaps

    colours = colormaps["plasma"](np.arange(256))
    colours[:, 3] = np.minimum(1, 1.3 * np.arange(256) / 255)
    return (255 * colours).round().astype(np.uint8)


def _heat_picture(heat, low, high):
    """The heat map as WebP with transparency. 64 levels: the eye sees no more, and the file is half as large."""
    from PIL import Image

    levels = np.clip((heat - low) / (high - low) * 63, 0, 63).round().astype(np.uint8)
    colours = _palette()[np.linspace(0, 255, 64).round().astype(int)]
    return _webp(Image.fromarray(colours[levels]), lossless=True)


# --- text that is safe in a page -------------------------------------------------------------------------------------


def _escape(value):
    return html.escape(_visible(str(value)))


def _visible(text):
    """Control characters, lone surrogates and marks that turn the direction of text, as escapes that can be seen."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        c.encode("unicode_escape").decode("ascii") if unicodedata.category(c) in hidden else c for c in text
    )


def _safe_json(value):
    """JSON in ASCII that no HTML parser can take for the end of its script element."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy():
    """A content security policy under which nothing is fetched and only the page's own script runs."""
    script = re.search(r"<script>(.*?)</script>", _frame(), re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _csv(images):
    """The table as `dualad score` writes it, unreadable files last."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TABLE)
    for rank, i in enumerate(images, start=1):
        numbers = (i.score, i.p_value, i.pixel, i.latent)
        row = (rank if i.readable else "", _csv_name(i.file), i.verdict)
        writer.writerow((*row, *("" if v is None else f"{v:.6g}" for v in numbers)))
    return text.getvalue()


def _csv_name(name):
    """A name that UTF-8 can hold and that a spreadsheet does not take for a formula: `./=1+1.png` is the same file."""
    name = name.encode("utf-8", "backslashreplace").decode()
    return f"./{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


# --- parts of the page -----------------------------------------------------------------------------------------------


def _count(number, of="image"):
    return f"{number:,} {of}" if number == 1 else f"{number:,} {of}s"


def _per_cent(share):
    return f"{100 * share:.3g}\u202f%"


def _counts(images):
    return {verdict: sum(image.verdict == verdict for image in images) for verdict in VERDICTS}


def _summary(images):
    counts = _counts(images)
    readable = counts["anomalous"] + counts["normal"]
    text = f"<strong>{counts['anomalous']:,}</strong> of {_count(readable)} called anomalous"
    if counts["unreadable"]:
        text += f"; {_count(counts['unreadable'], 'file')} could not be read"
    return f"{text}."


def _aspect(images):
    """Width through height of the cards' pictures: that of the middle image, within reason."""
    sizes = [image.size for image in images if image.photo is not None] or [(1, 1)]
    return f"{np.clip(np.median([w / h for w, h in sizes]), 0.75, 2):.3f}"


def _facts(model):
    return "".join(f"<div><dt>{_escape(k)}</dt><dd>{_escape(_plain(v))}</dd></div>" for k, v in model.items())


def _plain(value):
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, (float, np.floating)) else value


def _promise(images, calibration, rate):
    readable, n = sum(image.readable for image in images), len(calibration)
    needed = math.ceil(1 / rate - 1)
    if n < needed:
        return (
            f"<p class=warning><strong>No promise can be made.</strong> A false-alarm rate of {_per_cent(rate)} needs "
            f"at least {_count(needed, 'held-out normal image')}, there were {n:,}. The threshold is their highest "
            "score.</p>"
        )
    return (
        f"<p><strong>Of normal images like those it learned from, at most {_per_cent(rate)} are called "
        f"anomalous</strong>, on average. If all {_count(readable)} here were normal, up to about "
        f"{math.ceil(rate * readable):,} would be called anomalous all the same. The value p of an image is the share "
        "of normal images that score as high: with k of n held-out ones, (k + 1) / (n + 1).</p>"
    )


def _choices(images):
    counts = {"all": len(images), **_counts(images)}
    return "".join(
        f'<label><input type="radio" name="verdict" value="{name}"{" checked" if name == "all" else ""}>'
        f"<span>{_mark(name)}{name.capitalize()} <b>{count:,}</b></span></label>"
        for name, count in counts.items()
        if name in ("all", "anomalous", "normal") or count
    )


def _mark(verdict):
    mark = {"anomalous": "▲", "normal": "●", "unreadable": "✕"}.get(verdict)
    return f'<i class="mark {verdict}" aria-hidden="true">{mark}</i>' if mark else ""


def _scale(low, high):
    stops = ", ".join("#{:02x}{:02x}{:02x}{:02x}".format(*c) for c in _palette()[::15])
    source = "its ends are the median and the 99.9\u202f% quantile of the heat in this folder"
    return (
        f'<div class="scale"><span>{low:.3g}</span><i style="background-image:linear-gradient(90deg, {stops})"></i>'
        f"<span>{high:.3g}</span></div>"
        f"<p>One colour scale for all images; {source}.</p>"
    )


def _sections(images, calibration, threshold, heat_range):
    """The pieces of the page that grow with the number of images."""
    heads = {
        "anomalous": ("Called anomalous", f"score above {threshold:.4g}, highest first"),
        "normal": ("Called normal", f"score of at most {threshold:.4g}"),
        "unreadable": ("Unreadable", "these files could not be read as images and have no score"),
    }
    ranked = {verdict: [] for verdict in VERDICTS}
    for rank, image in enumerate(images, start=1):
        ranked[image.verdict].append((rank, image))
    for verdict, (head, note) in heads.items():
        found = ranked[verdict]
        if not found and verdict == "unreadable":
            continue
        yield f'<section class="group" id="{verdict}" aria-labelledby="head-{verdict}">'
        yield f'<h2 id="head-{verdict}">{_mark(verdict)}{head} <b>{len(found):,}</b> <small>{note}</small></h2>'
        yield (
            "<p class=none>No image.</p>"
            if not found
            else f'<ul class="{"list" if verdict == "unreadable" else "cards"}">'
        )
        for rank, image in found:
            yield _card(rank, image, calibration, heat_range) if image.readable else _line(image)
        yield "</ul></section>\n" if found else "</section>\n"


def _line(image):
    return f'<li data-verdict="unreadable"><bdi class="file">{_escape(image.file)}</bdi></li>\n'


def _card(rank, image, calibration, heat_range):
    file, (width, height) = _escape(image.file), image.size
    folder, slash, name = file.rpartition("/")
    above = int(len(calibration) - np.searchsorted(calibration, image.score, side="left"))
    parts = "".join(
        f"<div><dt>{part}</dt><dd>{value:.4g}</dd></div>"
        for part in ("pixel", "latent")
        if (value := getattr(image, part)) is not None and None not in (image.pixel, image.latent)
    )
    shape = f"--w:{width};--h:{height};aspect-ratio:{width}/{height}"
    picture = '<span class="nothing">no picture</span>'
    if image.photo is not None:
        picture = f'<img src="{_data_uri(image.photo)}" alt="" loading="lazy" decoding="async">'
    if image.heat is not None:
        heat = _data_uri(_heat_picture(image.heat, *heat_range))
        picture += f'<img class="heat" src="{heat}" alt="" loading="lazy" decoding="async">'
    return (
        f'<li class="card {image.verdict}" data-verdict="{image.verdict}">'
        f'<button type="button" aria-label="Open {file}, rank {rank}, {image.verdict}">'
        f'<span class="frame" style="{shape}">{picture}</span></button>'
        f'<div class="text"><p class="head"><span class="rank" title="rank">{rank:,}</span>'
        f'<span class="badge {image.verdict}">{_mark(image.verdict)}{image.verdict}</span></p>'
        f'<p class="file" title="{file}"><bdi><span class="folder">{folder}{slash}</span>{name}</bdi></p>'
        f"<dl><div><dt>score</dt><dd>{image.score:.4g}</dd></div>"
        f"<div><dt>p</dt><dd>{image.p_value:.2g}</dd></div>{parts}</dl>"
        f'<p class="words">{above:,} of {len(calibration):,} held-out normal images score as high</p></div></li>\n'
    )


def _data_uri(webp):
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


# --- histogram -------------------------------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT = 720, 12, 708
PANELS = ((34, 196), (244, 330))  # top and foot: this folder, held-out normal images


def _histogram(scores, calibration, threshold):
    """Two histograms over one axis as SVG. A bin ends at the threshold; what lies far off stands in the end bins."""
    scores = np.asarray(scores, dtype=float)
    low, high = _axis(np.concatenate([scores, calibration]), calibration, threshold)
    step = (high - low) / 54
    first, last = math.floor((low - threshold) / step), math.ceil((high - threshold) / step)
    low, high = threshold + first * step, threshold + last * step

    def x(value):
        return LEFT + (value - low) / (high - low) * (RIGHT - LEFT)

    texts = (
        f"This folder, {_count(len(scores))}",
        f"Held-out normal images, {len(calibration):,}",
    )
    pieces, labels = [], []
    for (top, foot), values, text in zip(PANELS, (scores, calibration), texts, strict=True):
        # Bins (a, b]: a score equal to the threshold is normal.
        places = np.clip(np.ceil((values - threshold) / step) - 1, first, last - 1).astype(int)
        bins, counts = np.unique(places, return_counts=True)
        tallest = max(counts, default=1)
        for place, count in zip(bins, counts, strict=True):
            height = (foot - top) * count / tallest
            a, b = threshold + place * step, threshold + (place + 1) * step
            kind = "held" if values is calibration else "over" if place >= 0 else "under"
            pieces.append(
                f'<rect class="{kind}" x="{x(a) + 0.6:.1f}" y="{foot - height:.1f}" width="{x(b) - x(a) - 1.2:.1f}" '
                f'height="{height:.1f}"><title>{_bin(place, a, b, first, last, values)}: {_count(count)}</title></rect>'
            )
        pieces.append(f'<path class="axis" d="M{LEFT} {foot}H{RIGHT}"/>')
        labels.append(f'<text x="{LEFT}" y="{top - 10}">{text}</text>')
    pieces += _ticks(low, high, x)
    at, end = x(threshold), "end" if x(threshold) > WIDTH / 2 else "start"
    pieces.append(f'<path class="threshold" d="M{at:.1f} 8V{PANELS[-1][1]}"/>')
    labels.append(
        f'<text class="label" x="{at + (-8 if end == "end" else 8):.1f}" y="{PANELS[0][0] + 12}" '
        f'text-anchor="{end}">threshold {threshold:.4g}</text>'
    )
    over, held = int((scores > threshold).sum()), int((calibration > threshold).sum())
    alt = (
        f"Histograms of the anomaly scores. Of {_count(len(scores))} in this folder {over:,} lie above the threshold "
        f"of {threshold:.4g}; of {_count(len(calibration), 'held-out normal image')}, {held:,}."
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {PANELS[-1][1] + 36}" role="img" aria-label="{alt}">'
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="ground" width="6" height="6"/><path class="stroke" d="M0 0V6"/></pattern></defs>'
        f"{''.join(pieces + labels)}</svg>"
    )


def _axis(everything, calibration, threshold):
    """(low, high) of the axis, around the threshold: a few extreme scores must not squeeze all others together."""
    span = threshold - calibration[0] or float(np.ptp(everything)) or abs(threshold) or 1.0
    span = abs(span)
    low = max(everything.min(), threshold - 2 * span)
    high = min(everything.max(), threshold + 3 * span)
    margin = 0.1 * span
    return min(low, threshold - margin), max(high, threshold + margin)


def _bin(place, a, b, first, last, values):
    if place == first and len(values) and values.min() < a:
        return f"{b:.4g} and below"
    if place == last - 1 and values.max() > b:
        return f"above {a:.4g}, up to {values.max():.4g}"
    return f"{a:.4g} to {b:.4g}"


def _ticks(low, high, x):
    """About five round numbers on the axis."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough)
    foot = PANELS[-1][1]
    for k in range(math.ceil(low / step), math.floor(high / step) + 1):
        at = x(k * step)
        if LEFT + 15 < at < RIGHT - 15:
            yield f'<path class="axis" d="M{at:.1f} {foot}v5"/>'
            yield f'<text class="tick" x="{at:.1f}" y="{foot + 24}" text-anchor="middle">{k * step:.6g}</text>'
