"""The practitioner's path: a folder of normal images in, a model out; a folder of images in, a ranked table out."""

import csv
import re
import tempfile
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import DataError, RunError
from ..files import atomic_write, expand, file_at, readable, shown, with_ending
from ..scoring import threshold_at
from .defaults import DEFAULT_DETECTOR, DEFAULT_FEATURES

TABLE = ("rank", "file", "verdict", "score", "p_value", "pixel", "latent")
BATCH, BATCH_VALUES = 512, 2**24  # images, and values of them, that are scored at once: 64 MB as float
LEFT_OUT = {"mutual_information": False}  # of DualAD, where nobody asks what a part is worth
LONGEST_RUN = 0.2  # share of the images in one run from which on it is a recording and not a part
SAMPLE = 2000  # pixels of each heat map that the common colour scale is drawn from


def fit_folder(
    normal,
    out,
    detector=DEFAULT_DETECTOR,
    image_size=None,
    channels=None,
    strict=False,
    parameters=None,
    calibration=None,
    by=None,
    features="auto",
    say=print,
):
    """Train a detector on a folder of normal images and save it to `out`; return it.

    detector: a name that `dualad_lib.detectors.create` knows; parameters: what differs from its defaults. features: of
    `dualad` and its stages, the frozen backbone that they see images through; "auto" takes the default one, "none"
    trains from scratch on pixels, with images of 64 pixels. `dualad` goes without its mutual information here, unless
    the parameters ask for it: it costs time, and moved no table of RESULTS.md that the command is for. A training
    that is killed goes on when called again: its state stands in OUT.training.pt until the model is saved. image_size:
    the longer side of the frame that all images are resized to, its aspect ratio the median of the normal images
    (`dualad_lib.data.folders.frame_of`); None takes the detector's own `default_image_size`; (height, width) sets the
    frame. channels and strict as in `dualad_lib.data.read_images`. Files of more than 8 bits are read with the white
    of the normal images, and the model keeps it.

    calibration: a folder of further normal images that set the threshold; without it a tenth of `normal`, drawn at
    random, is held back. Copies of one picture stay on one side of that and set the threshold once; copies of normal
    images in `calibration` are left out. Where several images show the same part, its views must not stand on both
    sides: give such a folder, or `by`, a regular expression that finds the part's name in each path inside `normal`
    (its first group, or all that it finds); then whole parts are held back. Without `by` this is done where file names,
    or runs of images that are alike, tell clearly of parts. Every such choice is said in one line. Raises DataError for
    what cannot be used.
    """
    from ..data.folders import Reader, check_apart
    from ..detectors.parameters import check_numbers
    from ..detectors.trained import Trained

    out = file_at(out)
    if out.suffix != ".safetensors":
        raise DataError(f"the model file must end in .safetensors, got {shown(out)}.")
    model = _model(detector, features, parameters or {})
    check_numbers(model)  # before the seed divides parts
    if by is not None:
        by = _pattern(by)
        if calibration is not None:
            raise DataError("by divides the normal images, calibration brings others: give one of the two.")
    normal = expand(normal)
    if calibration is not None:
        check_apart(normal, calibration)
    longer = model.default_image_size if image_size is None else image_size
    reader = Reader(normal, longer, channels, keep_aspect=True)
    images, paths = _read(reader, strict, say)
    names = [_name(path, normal) for path in paths]
    if calibration is None:
        images, held, of_parts = _sides(images, names, by, model.seed, say)
    else:
        others = reader.like(calibration)
        held, others_paths = _read(others, strict, say)
        calibration = expand(calibration)
        others_names = [_name(path, calibration) for path in others_paths]
        held = _without_copies(images, held, names, others_names, say)
        of_parts = ""
    state = out.with_name(with_ending(out.name, ".training.pt"))
    out.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Trained):
        model.fit(images, calibration=held, checkpoint=state, label="training")
    else:
        model.fit(images, calibration=held)
    model.reading_ = {"white": reader.white}
    model.save(out)
    state.unlink(missing_ok=True)
    frame = (
        f"{reader.size[0]} x {reader.size[1]} (height x width), {('grey', 'colour')[reader.channels == 3]}"
    )
    count = len(model.calibration_scores_)
    seen = getattr(model, "backbone", None)
    name = f"{detector} on features of {seen}" if seen else detector
    learned = len(images) - (count if held is None else 0)
    say(
        f"{shown(out)}: {name} for images of {frame}, trained on {learned}; {count}{of_parts} held back to set the "
        f"threshold for a false-alarm rate of {model.false_alarm_rate:g}."
    )
    return model


def _model(detector, features, parameters):
    """The unfitted detector; DataError for what it does not take."""
    from ..detectors import STAGES, create

    on_features = detector in ("dualad", *STAGES)
    if on_features:
        own = LEFT_OUT if detector == "dualad" else {}
        parameters = {**own, **parameters, "features": DEFAULT_FEATURES if features == "auto" else features}
    elif features not in ("auto", "none"):
        raise DataError(f"{detector} has no choice of features: only dualad and its stages have.")
    known = create(detector, **({"features": parameters["features"]} if on_features else {})).get_params()
    for name in set(parameters) - set(known):
        raise DataError(f"{detector} has no {name!r} to set: it takes {', '.join(known)}.")
    return create(detector, **parameters)


def _read(reader, strict, say):
    """(all images, their paths) of a Reader, and in a line each what was done to them."""
    read = list(reader.pictures(strict, label="reading"))
    _tell(reader, say)
    return torch.from_numpy(np.stack([pixels for _, pixels in read])), [path for path, _ in read]


def _tell(reader, say):
    from ..data.folders import listed

    for path, reason in reader.skipped.items():
        say(f"skipped, unreadable: {shown(path)}: {reason}")
    if reader.own:
        say(f"left out, heat maps that an earlier run drew: {listed(reader.own)}")
    for line in reader.remarks():
        say(line)


def _sides(images, names, by, seed, say):
    """(images to learn from, images to hold back, the latter in words): copies and views of a part on one side.

    Where there are neither, nothing is held back here: `fit` does it.
    """
    from ..data.copies import equal_copies, first_copies

    parts = _parts_by(names, by) if by is not None else _parts_named(names, images, say)
    first = first_copies(images) if parts is None else equal_copies(images)
    own = np.flatnonzero(first == np.arange(len(first)))  # each picture once
    _tell_copies(names, first, say)
    groups = _joined(parts, first)[own] if parts is not None else _runs(images[own], say)
    if groups is None and len(own) == len(first):
        return images, None, ""
    if len(own) < 2:
        raise DataError(
            f"all {len(first)} normal images are copies of one picture: there is nothing to learn."
        )
    learn, hold = _divide(np.arange(len(own)) if groups is None else groups, seed, by)
    words = f" (all of {len(np.unique(groups[hold]))} parts)" if groups is not None else ""
    return images[np.flatnonzero(np.isin(first, own[learn]))], images[own[hold]], words


def _tell_copies(names, first, say):
    from ..data.folders import listed

    pairs = [f"{shown(names[i])} = {shown(names[j])}" for i, j in enumerate(first) if i != j]
    if pairs:
        say(
            f"{len(pairs)} of {len(first)} images are copies of others; they stay on one side of the hold-back and set "
            f"the threshold once: {listed(pairs)}."
        )


def _without_copies(images, held, names, held_names, say):
    """The calibration images (M, C, H, W) that are no copies of normal images or of one another."""
    from ..data.copies import first_copies
    from ..data.folders import listed

    first = first_copies(torch.cat([images, held]))[len(images) :]
    own = first == np.arange(len(held)) + len(images)
    if not own.any():
        raise DataError("all calibration images are copies of normal images: give others, or leave them out.")
    if not own.all():
        names = [*names, *held_names]
        pairs = [f"{shown(held_names[i])} = {shown(names[first[i]])}" for i in np.flatnonzero(~own)]
        say(
            f"left out of {len(held)} calibration images, {len(pairs)} copies of normal images or of one another: "
            f"{listed(pairs)}."
        )
    return held[np.flatnonzero(own)]


def _parts_named(names, images, say):
    """The part of each image (N,), where file names tell clearly of parts; None where they don't."""
    from ..data.copies import parts_in

    found = parts_in(names, images)
    if found is None:
        return None
    what = f"{len(set(found.parts))} parts of up to {found.views} views each"
    if found.clear:
        say(f"file names tell of {what}: each part is held back as a whole, as by --by '{found.by}'.")
        return found.parts
    say(f"file names may tell of {what}: if so, fit again with --by '{found.by}'.")
    return None


def _runs(images, say):
    """The run (N,) that each image stands in, where many of them are like the one before; None where they aren't."""
    from ..data.copies import runs_of

    runs = runs_of(images)
    if runs is None:
        return None
    largest = np.bincount(runs).max()
    alike = "images that follow each other are alike"
    if largest > LONGEST_RUN * len(images):
        say(
            f"{alike}, up to {largest} of them, as in a recording: more false alarms may come than promised. Give "
            "images of another recording with --calibration, or name the parts with --by REGEX."
        )
        return None
    say(
        f"{alike}, as views of one part are: {runs.max() + 1} runs of them are held back as wholes (or use --by)."
    )
    return runs


def _pattern(by):
    try:
        return re.compile(by)
    except re.error as error:
        raise DataError(f"{by!r} is no regular expression: {error}.") from error


def _parts_by(names, by):
    """The part that the expression finds in each name (N,)."""
    found = [by.search(name) for name in names]
    parts = [match and (match[1] if by.groups else match[0]) for match in found]
    if not all(parts):
        unnamed = next(name for name, part in zip(names, parts, strict=True) if not part)
        raise DataError(f"{by.pattern!r} finds no part in the name {shown(unnamed)}.")
    return parts


def _joined(parts, first):
    """Number the parts (N,), those that hold copies of one picture as one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    kinds, numbers = np.unique(parts, return_inverse=True)
    edges = coo_array((np.ones(len(first)), (numbers, numbers[first])), shape=(len(kinds), len(kinds)))
    return connected_components(edges, directed=False)[1][numbers]


def _divide(groups, seed, by):
    """(indices to learn from, indices to hold back) of images whose groups (N,) stay together; a tenth or one group."""
    from ..data.inspection import split_by_part

    sizes = np.unique(groups, return_counts=True)[1]
    share = 0.1 if by is not None else max(0.1, sizes.max() / len(groups))
    hold = ()
    if len(sizes) > 1:
        learn, hold = split_by_part(groups, (1 - share, share), seed)
    if not len(hold):
        raise DataError(
            f"{by.pattern if by else 'the grouping'!r} finds too few parts ({len(sizes)}) to hold a tenth back: "
            "give others as calibration."
        )
    return learn.numpy(), hold.numpy()


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
            yield row

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
        for i in range(len(images)):
            self.file.write(b"".join(part[i].tobytes() for part in parts))
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
    their heat maps and the histogram of the scores (`dualad_lib.html_report`). Unreadable files stand at the end of the
    table, without a score; strict=True makes them an error. Images are read and scored in batches, so that a folder
    may be larger than memory. Raises DataError, also where the detector makes no maps, and RunError where its scores
    are no numbers.
    """
    out, images = file_at(out), expand(images)
    if heatmaps is not None and (heatmaps := expand(heatmaps)).exists() and not heatmaps.is_dir():
        raise DataError(f"heat maps go into a folder, and {shown(heatmaps)} is a file.")
    if report is not None:
        report = file_at(report)
        if report.suffix.lower() not in (".html", ".htm"):
            raise DataError(f"the report must end in .html, got {shown(report)}.")
    maps = True if heatmaps is not None else "where there are" if report is not None else False
    judged = judge(model, images, rate, strict, maps=maps, say=say)
    rows = judged.rows()
    with atomic_write(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        _write(rows, file)
    if heatmaps is not None:
        _draw(judged, heatmaps)
    if report is not None:
        _report(judged, report)
    say(
        f"{shown(out)}: {len(judged.names)} images, {judged.anomalous.sum()} called anomalous, "
        f"{len(judged.unreadable)} unreadable."
    )
    return rows


def _report(judged, path):
    from datetime import date

    from .. import __version__
    from ..html_report import write_report

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
    from ..data.folders import Reader
    from ..detectors import Detector
    from ..scoring import conformal_p_values

    detector = Detector.load(expand(model))
    channels, *size = detector.image_shape_
    if channels not in (1, 3):
        raise DataError(f"the model was fitted on images of {channels} channels, which no image file has.")
    threshold = detector.threshold_ if rate is None else threshold_at(detector.calibration_scores_, rate)
    reading = getattr(detector, "reading_", {})
    reader = Reader(images, tuple(size), channels, reading.get("white", 65535))
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
    _tell(reader, say)
    scores = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    names = [_name(path, images) for path in paths]
    lost = np.flatnonzero(~np.isfinite(scores["final"]))
    if len(lost):
        raise RunError(
            f"{shown(model)} gives {len(lost)} of {len(names)} images a score that is no number, "
            f"{shown(names[lost[0]])} the first: the model is damaged, or its training went astray. Fit it again."
        )
    p_values = conformal_p_values(detector.calibration_scores_, scores["final"])
    unreadable = [_name(path, images) for path in reader.skipped]
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

    from ..data.image_io import save_drawing
    from ..progress import progress

    low, high = judged.pictures.scale
    for i, name in enumerate(progress(judged.names, label="heat maps")):
        image, departs, reconstruction = judged.pictures[i]
        heat = colormaps["cividis"](np.clip((departs - low) / (high - low), 0, 1))[..., :3]
        panels = [_colour(image), 0.4 * _colour(image) + 0.6 * heat]
        if reconstruction is not None:
            panels.append(_colour(reconstruction))
        path = folder / name
        path = path.with_name(with_ending(path.name, ".png"))
        with atomic_write(path) as temporary:
            save_drawing((255 * np.concatenate(panels, axis=1)).round().astype(np.uint8), temporary)


def _colour(image):
    """uint8 (C, H, W) as values in [0, 1] of shape (H, W, 3)."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0) / 255


def _name(path, folder):
    """A file's name inside the folder that was asked for, with forward slashes."""
    return path.relative_to(folder).as_posix() if folder.is_dir() else path.name
