"""The practitioner's path: a folder of normal images in, a model out; a folder of images in, a ranked table out."""

import csv
import re
from pathlib import Path

import numpy as np

from ..errors import DataError, RunError
from ..files import atomic_write
from ..scoring import threshold_at

TABLE = ("rank", "file", "verdict", "score", "p_value", "pixel", "latent")


def fit_folder(
    normal,
    out,
    detector="dualad",
    image_size=64,
    channels=None,
    strict=False,
    parameters=None,
    calibration=None,
    by=None,
    say=print,
):
    """Train a detector on a folder of normal images and save it to `out`; return it.

    detector: a name that `dualad_lib.detectors.create` knows; parameters: what differs from its defaults. A training
    that is killed goes on when called again: its state stands in OUT.training.pt until the model is saved. image_size,
    channels and strict as in `dualad_lib.data.read_images`. calibration: a folder of further normal images that set the
    threshold; without it a tenth of `normal`, drawn at random, is held back. Where several images show the same part,
    its views must not stand on both sides: give such a folder, or `by`, a regular expression that finds the part's name
    in each path inside `normal` (its first group, or all that it finds); then whole parts are held back. Raises
    DataError for what cannot be used.
    """
    from ..data import read_images
    from ..data.folders import check_apart
    from ..detectors import create
    from ..detectors.parameters import check_numbers
    from ..detectors.trained import Trained

    out = Path(out)
    if out.suffix != ".safetensors":
        raise DataError(f"the model file must end in .safetensors, got {out}.")
    parameters = parameters or {}
    known = create(detector).get_params()
    for name in set(parameters) - set(known):
        raise DataError(f"{detector} has no {name!r} to set: it takes {', '.join(known)}.")
    model = create(detector, **parameters)
    check_numbers(model)  # before the seed divides parts
    if by is not None:
        by = _pattern(by)
        if calibration is not None:
            raise DataError("by divides the normal images, calibration brings others: give one of the two.")
    images, paths, skipped = read_images(normal, image_size, channels, strict, label="reading")
    held, of_parts = None, ""
    if calibration is not None:
        check_apart(normal, calibration)
        held, _, more = read_images(calibration, image_size, images.shape[1], strict, label="reading")
        skipped += more
    if by is not None:
        learn, hold, count = _divide([_name(path, normal) for path in paths], by, model.seed)
        images, held, of_parts = images[learn], images[hold], f" (all of {count} parts)"
    _list_skipped(skipped, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    state = out.with_name(f"{out.name}.training.pt")
    if isinstance(model, Trained):
        model.fit(images, calibration=held, checkpoint=state, label="training")
    else:
        model.fit(images, calibration=held)
    model.save(out)
    state.unlink(missing_ok=True)
    count = len(model.calibration_scores_)
    say(
        f"{out}: {detector} for {' x '.join(map(str, model.image_shape_))} images, "
        f"trained on {len(images) - (count if held is None else 0)}; {count}{of_parts} held back to set the threshold "
        f"for a false-alarm rate of {model.false_alarm_rate:g}."
    )
    return model


def _pattern(by):
    try:
        return re.compile(by)
    except re.error as error:
        raise DataError(f"{by!r} is no regular expression: {error}.") from error


def _divide(names, by, seed):
    """(indices of the images to learn from, of those to hold back, the parts of these): a part stays on one side."""
    from ..data.inspection import split_by_part

    found = [by.search(name) for name in names]
    parts = [match and (match[1] if by.groups else match[0]) for match in found]
    if not all(parts):
        unnamed = next(name for name, part in zip(names, parts, strict=True) if not part)
        raise DataError(f"{by.pattern!r} finds no part in the name {unnamed}.")
    count, hold = len(set(parts)), ()
    if count > 1:
        learn, hold = split_by_part(parts, (0.9, 0.1), seed)
    if not len(hold):
        raise DataError(
            f"{by.pattern!r} finds too few parts ({count}) to hold a tenth back: give others as calibration."
        )
    return learn, hold, len({parts[i] for i in hold})


def score_folder(model, images, out, heatmaps=None, rate=None, strict=False, say=print):
    """Score a folder of images with a saved detector; write a CSV ranked from most to least anomalous; return its rows.

    model: path that `fit_folder` or `Detector.save` wrote. Columns: rank, file (inside the folder), verdict (anomalous,
    normal or unreadable), score, p_value (conformal: how many normal images score as high), and the pixel and latent
    score where there are both. rate: false-alarm rate of the verdict, if not the one the model was fitted with.
    heatmaps: a folder that gets a picture for each image: image, reconstruction, squared error. Unreadable files stand
    at the end of the table, without a score; strict=True makes them an error.
    """
    from ..data import read_images
    from ..detectors import Detector
    from ..scoring import conformal_p_values

    detector = Detector.load(model)
    if heatmaps is not None and not hasattr(detector, "reconstruct"):
        raise RunError(
            f"a {type(detector).__name__} reconstructs nothing, so it has no heat maps: leave them out."
        )
    channels, *size = detector.image_shape_
    if channels not in (1, 3):
        raise DataError(f"the model was fitted on images of {channels} channels, which no image file has.")
    x, paths, skipped = read_images(images, tuple(size), channels, strict, label="reading")
    _list_skipped(skipped, say)
    threshold = detector.threshold_ if rate is None else threshold_at(detector.calibration_scores_, rate)
    scores = detector.anomaly_scores(x)
    final, parts = scores.final, dict(scores.items())
    p_values = conformal_p_values(detector.calibration_scores_, final)
    names = [_name(path, images) for path in paths]
    rows = []
    for rank, i in enumerate(np.argsort(-final, kind="stable"), start=1):
        verdict = "anomalous" if final[i] > threshold else "normal"
        row = {"rank": rank, "file": names[i], "verdict": verdict, "score": final[i], "p_value": p_values[i]}
        rows.append({**row, **{k: parts[k][i] for k in ("pixel", "latent") if k in parts}})
    rows += [{"file": _name(path, images), "verdict": "unreadable"} for path in skipped]
    with atomic_write(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, TABLE, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)
    if heatmaps is not None:
        _draw(detector, x, names, Path(heatmaps))
    found = sum(row["verdict"] == "anomalous" for row in rows)
    say(f"{out}: {len(paths)} images, {found} called anomalous, {len(skipped)} unreadable.")
    return rows


def _draw(detector, x, names, folder):
    """A PNG an image: image, reconstruction and squared error side by side. One colour scale for all images."""
    from matplotlib import colormaps
    from PIL import Image

    from ..progress import progress

    x_hat = detector.reconstruct(x).clamp(0, 1)
    error = detector.anomaly_map(x)
    top = max(float(np.quantile(error, 0.999)), 1e-9)
    for i, name in enumerate(progress(names, label="heat maps")):
        pictures = [(x[i].float() / 255).expand(3, -1, -1), x_hat[i].expand(3, -1, -1)]
        panels = [picture.permute(1, 2, 0).numpy() for picture in pictures]
        panels.append(colormaps["cividis"](np.clip(error[i] / top, 0, 1))[..., :3])
        picture = Image.fromarray((255 * np.concatenate(panels, axis=1)).round().astype(np.uint8))
        path = folder / f"{name}.png"
        with atomic_write(path) as temporary:
            picture.save(temporary, format="PNG")


def _name(path, folder):
    """A file's name inside the folder that was asked for, with forward slashes."""
    folder = Path(folder)
    return path.relative_to(folder).as_posix() if folder.is_dir() else Path(path).name


def _list_skipped(skipped, say):
    for path in skipped:
        say(f"skipped, unreadable: {path}")
