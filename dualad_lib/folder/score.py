"""A folder of images and a model in; a ranked table, heat maps and a report out."""

import csv
import tempfile
import warnings
from dataclasses import dataclass
from datetime import date

import numpy as np

from .. import __version__
from ..data.folders import Reader
from ..data.image_io import save_drawing
from ..detectors import Detector
from ..errors import DataError, RunError
from ..files import atomic_write, check_places, expand, file_at, readable, shown, with_ending, writable
from ..progress import progress
from ..scoring import conformal_p_values, threshold_at
from .reading import name_in, tell
from .report import TABLE, write_report

BATCH, BATCH_VALUES = 512, 2**24  # images, and values of them, that are scored at once: 64 MB as float
SAMPLE = 2000  # pixels of each heat map that the common colour scale is drawn from


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found in a folder; entries of its arrays are the images that could be read, in the order of their names.

    detector; names: inside the folder; scores: by name ("pixel", "latent", "final"), float64 (N,); p_values: (N,);
    threshold of the final score, and the false-alarm rate that it promises; unreadable: names of files; pictures:
    images and maps, where these were asked for, else None.
    """

    detector: object
    names: list
    scores: dict
    p_values: np.ndarray
    threshold: float
    rate: float
    unreadable: list
    pictures: "Pictures | None"

    @property
    def order(self):
        """Indices from most to least anomalous, (N,)."""
        return np.argsort(-self.scores["final"], kind="stable")

    @property
    def anomalous(self):
        """Which images are called anomalous, (N,)."""
        return self.scores["final"] > self.threshold

    def rows(self):
        """The table as dictionaries: images from most to least anomalous, then what could not be read."""
        rows = [{"rank": rank, **self._row(i)} for rank, i in enumerate(self.order, start=1)]
        return rows + [{"file": name, "verdict": "unreadable"} for name in self.unreadable]

    def entries(self):
        """Yield the rows, one at a time with `image`, uint8 (H, W) or (H, W, 3), and its `heat`, float (H, W)."""
        for row, i in zip(self.rows(), [*self.order, *[None] * len(self.unreadable)], strict=True):
            if i is not None and self.pictures is not None:
                image, heat, _ = self.pictures[i]
                heat = heat if self.pictures.maps else None
                row |= {"image": image[0] if len(image) == 1 else image.transpose(1, 2, 0), "heat": heat}
            yield row | {"file": readable(row["file"])}

    def _row(self, i):
        row = {"file": self.names[i], "verdict": "anomalous" if self.anomalous[i] else "normal"}
        row |= {"score": self.scores["final"][i], "p_value": self.p_values[i]}
        return row | {k: self.scores[k][i] for k in ("pixel", "latent") if k in self.scores}


class Pictures:
    """Images, their anomaly maps and their reconstructions (where there are such), on disk: memory may not hold them.

    pictures[i] is (image uint8 (C, H, W), map float32 (H, W), reconstruction uint8 (C, H, W) or None); scale: the
    values between which all maps are coloured, their median and 0.999-quantile.
    """

    def __init__(self, detector):
        self.detector, self.count = detector, 0
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 (gone when the last who holds it lets go)
        self.reconstructs, self.sample = hasattr(detector, "reconstruct"), []

    def add(self, images, maps):
        """Append a batch of uint8 images (N, C, H, W) and what the detector says of where they depart, (N, H, W)."""
        self.maps = maps is not None
        maps = np.zeros((len(images), *images.shape[2:])) if maps is None else maps
        maps = np.nan_to_num(np.asarray(maps, np.float32))
        parts = [images.numpy(), maps]
        if self.reconstructs:
            parts.append((255 * self.detector.reconstruct(images).clamp(0, 1)).round().byte().cpu().numpy())
        try:
            for i in range(len(images)):
                self.file.write(b"".join(part[i].tobytes() for part in parts))
            self.file.flush()
        except OSError as error:
            raise RunError(
                f"images and their heat maps wait in {shown(tempfile.gettempdir())} until all are scored, and there: "
                f"{error.strerror}. Make room, or set TMPDIR to a folder on another disk."
            ) from error
        every = max(1, maps[0].size // SAMPLE)
        self.sample.append(maps.reshape(len(maps), -1)[:, ::every].ravel())
        self.shape, self.count = tuple(images.shape[1:]), self.count + len(images)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        (_, height, width), pixels = self.shape, int(np.prod(self.shape))
        size = pixels * (1 + self.reconstructs) + 4 * height * width
        self.file.seek(i * size)
        content = self.file.read(size)
        image = np.frombuffer(content, np.uint8, pixels).reshape(self.shape)
        place = np.frombuffer(content, np.float32, height * width, pixels).reshape(height, width)
        if not self.reconstructs:
            return image, place, None
        return (
            image,
            place,
            np.frombuffer(content, np.uint8, pixels, pixels + 4 * height * width).reshape(self.shape),
        )

    @property
    def scale(self):
        low, high = np.quantile(np.concatenate(self.sample), (0.5, 0.999))
        return float(low), float(max(high, low + 1e-9))


def score_folder(model, images, out, heatmaps=None, rate=None, strict=False, say=print, report=None):
    """Score a folder of images with a saved detector; write a CSV ranked from most to least anomalous; return its rows.

    model: path that `fit_folder` or `Detector.save` wrote. Columns: rank, file (inside the folder), verdict (anomalous,
    normal or unreadable), score, p_value (conformal: how many normal images score as high), and the pixel and latent
    score where there are both. rate: false-alarm rate of the verdict, if not the one the model was fitted with.
    heatmaps: a folder that gets a picture for each image: the image, the same under its anomaly map, and the
    reconstruction where the detector makes one. report: a file ending in .html that gets a page with all images,
    their heat maps and the histogram of the scores (`folder/report.py`). Unreadable files stand at the end of the
    table, without a score; strict=True makes them an error. Images are read and scored in batches, so that a folder
    may be larger than memory. The table is there only when all else is. Raises DataError, also where the detector makes
    no maps, or an output cannot be written or would replace an input or another one, before an image is read; and
    RunError where its scores are no numbers.
    """
    out, images = writable(out), expand(images)
    if heatmaps is not None and (heatmaps := expand(heatmaps)).exists() and not heatmaps.is_dir():
        raise DataError(f"heat maps go into a folder, and {shown(heatmaps)} is a file.")
    if report is not None:
        report = writable(report)
        if report.suffix.lower() not in (".html", ".htm"):
            raise DataError(f"the report must end in .html, got {shown(report)}.")
    detector = _load(model, rate)
    if heatmaps is not None and hasattr(detector, "scores_and_maps"):
        detector._check_maps()
    reader = _reader(detector, images)
    _check_outputs(expand(model), images, reader.files, out, heatmaps, report)
    maps = True if heatmaps is not None else "where there are" if report is not None else False
    judged = _judge(detector, reader, model, images, rate, strict, maps, say)
    rows = judged.rows()
    with atomic_write(out) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            _write(rows, file)
        if heatmaps is not None:
            _draw(judged, heatmaps)
        if report is not None:
            _report(judged, report)
    # the table, by which one sees that all went well, takes its place last
    say(
        f"{shown(out)}: {len(judged.names)} images, {judged.anomalous.sum()} called anomalous, "
        f"{len(judged.unreadable)} unreadable."
    )
    return rows


def _check_outputs(model, images, files, out, heatmaps, report):
    """Raise DataError where an output would replace an input or another output, or a heat map has no place."""
    outputs = [(out, "the table")] + ([(report, "the report")] if report is not None else [])
    if heatmaps is not None:
        names = [name_in(path, images) for path in files]
        drawn = {file_at(_place_of_map(heatmaps, name)): f"the heat map of {shown(name)}" for name in names}
        outputs += drawn.items()
    check_places(outputs, [(model, "the model"), *((path, "one of the images") for path in files)])
    if heatmaps is not None:
        for path in {path.parent: path for path in drawn}.values():  # one of each folder
            writable(path)


def _report(judged, path):
    detector = judged.detector
    channels, height, width = detector.image_shape_
    backbone = getattr(detector, "backbone", None)
    write_report(
        path,
        judged.entries(),
        threshold=judged.threshold,
        calibration_scores=detector.calibration_scores_,
        false_alarm_rate=judged.rate,
        model={
            "detector": type(detector).__name__ + (f" on features of {backbone}" if backbone else ""),
            "images": f"{width} x {height} pixels, {'grey' if channels == 1 else 'colour'}",
            "held-out normal images": len(detector.calibration_scores_),
            "date": date.today().isoformat(),
            "dualad": __version__,
        },
    )


def judge(model, images, rate=None, strict=False, maps=False, say=print):
    """Read and score a folder batch by batch, as `score_folder` does; return what was found as Judged."""
    detector = _load(model, rate)
    return _judge(detector, _reader(detector, images), model, images, rate, strict, maps, say)


def _load(model, rate):
    """The detector of a file. What its own rate can promise does not matter where another one is asked for."""
    with warnings.catch_warnings():
        if rate is not None:
            warnings.filterwarnings("ignore", ".*cannot promise a false-alarm rate")
        return Detector.load(model)


def _reader(detector, images):
    """A Reader of a folder that reads as the images were read that the detector learned from."""
    channels, *size = detector.image_shape_
    if channels not in (1, 3):
        raise DataError(f"the model was fitted on images of {channels} channels, which no image file has.")
    reading = getattr(detector, "reading_", {})
    return Reader(images, tuple(size), channels, reading.get("white", 65535), learned=reading.get("kinds"))


def _judge(detector, reader, model, images, rate, strict, maps, say):
    threshold = detector.threshold_ if rate is None else threshold_at(detector.calibration_scores_, rate)
    pictures, paths, found = Pictures(detector) if maps else None, [], []
    for batch, read in reader.batches(_batch_size(detector.image_shape_), strict, label="scoring"):
        try:
            scores, heat = _scores_and_maps(detector, batch, maps)
        except DataError as error:
            raise RunError(
                f"{shown(model)} cannot score {shown(read[0])} and what follows: {error}"
            ) from error
        found.append({**dict(scores.items()), "final": scores.final})
        paths += read
        if maps:
            pictures.add(batch, heat)
    tell(reader, say)
    scores = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    names = [name_in(path, images) for path in paths]
    lost = np.flatnonzero(~np.isfinite(scores["final"]))
    if len(lost):
        raise RunError(
            f"{shown(model)} gives {len(lost)} of {len(names)} images a score that is no number, "
            f"{shown(names[lost[0]])} the first: the model is damaged, or its training went astray. Fit it again."
        )
    p_values = conformal_p_values(detector.calibration_scores_, scores["final"])
    unreadable = [name_in(path, images) for path in reader.skipped]
    rate = detector.false_alarm_rate if rate is None else rate
    return Judged(detector, names, scores, p_values, threshold, rate, unreadable, pictures)


def _scores_and_maps(detector, batch, maps):
    """Scores of a batch, and its maps (N, H, W) if asked for, in one pass where the detector can.

    maps: False, True, or "where there are": None then for a detector without maps.
    """
    try:
        if maps and hasattr(detector, "scores_and_maps"):
            return detector.scores_and_maps(batch)
        return detector.anomaly_scores(batch), detector.anomaly_map(batch) if maps else None
    except DataError:
        if maps != "where there are":
            raise
        return detector.anomaly_scores(batch), None


def _batch_size(image_shape):
    return max(1, min(BATCH, BATCH_VALUES // int(np.prod(image_shape))))


def _write(rows, file):
    csv.writer(file, lineterminator="\n").writerow(TABLE)
    for row in rows:
        quoting = (
            csv.QUOTE_ALL if "\r" in row["file"] else csv.QUOTE_MINIMAL
        )  # Python 3.11 and 3.12 leave it bare
        writer = csv.writer(file, lineterminator="\n", quoting=quoting)
        writer.writerow([_cell(row.get(column, "")) for column in TABLE])


def _cell(value):
    if isinstance(value, float):
        return f"{value:.6g}"
    return readable(value) if isinstance(value, str) else value


def _draw(judged, folder):
    """A PNG an image: the image, the same under its map, its reconstruction. One colour scale for all images."""
    from matplotlib import colormaps

    low, high = judged.pictures.scale
    for i, name in enumerate(progress(judged.names, label="heat maps")):
        image, departs, reconstruction = judged.pictures[i]
        heat = colormaps["cividis"](np.clip((departs - low) / (high - low), 0, 1))[..., :3]
        panels = [_colour(image), 0.4 * _colour(image) + 0.6 * heat]
        if reconstruction is not None:
            panels.append(_colour(reconstruction))
        with atomic_write(_place_of_map(folder, name)) as temporary:
            save_drawing((255 * np.concatenate(panels, axis=1)).round().astype(np.uint8), temporary)


def _place_of_map(folder, name):
    path = folder / name
    return path.with_name(with_ending(path.name, ".png"))


def _colour(image):
    """uint8 (C, H, W) as values in [0, 1] of shape (H, W, 3)."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0) / 255
