"""Ball screws over time (Schlagenhauf, Landwehr & Fleischer, 2021): reading folders, reading and writing the sample."""

import io
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...errors import DataError
from .. import formats, masks, places
from ..folders import check_size, read_images
from ..inspection import Inspection, parts_of_frames

CLASSES = ("Free", "Pitting")
FRAMINGS = (1, 2)
CLONED = re.compile(r"01_(\d{12})_(\d+_\d{3})_crop_([12])\.jpg")  # data/01_200905081130_277500_315_crop_2.jpg
SORTED = re.compile(r"(\d{12})_([12])\.jpg")  # 277500_315/200905081130_2.jpg
QUARTER_TURN = 5_000  # micrometres along the thread; photographs nearer to each other show the same pit
STEP = 8  # pixels: the shorter side is a multiple of it
NAME, SAMPLE = "ball_screws", "ball_screws_sample"
MISSING = (
    "The ball screw photographs were not found, and nothing downloads them.",
    "git clone https://github.com/2Obe/BSData FOLDER/ball_screws (or unpack its ZIP there), and set DUALAD_DATA=FOLDER "
    "or give root=FOLDER\n  - or sort them as FOLDER/ball_screws/277500_315/200905081130_2.jpg (place, time, framing), "
    "masks beside them as .png",
)


def load(root=None, image_size=None, framing=2):
    """The set as an Inspection, found on this machine; as `load_inspection`."""
    folder = places.look_up(NAME, holds_photographs, MISSING, root)
    return read_ball_screws(folder, 416 if image_size is None else image_size, framing)


def load_sample(root=None, image_size=None, framing=2):
    """The sample that ships, as an Inspection; as `load_inspection`."""
    if framing != 2:
        raise DataError(f"{SAMPLE} holds framing 2 alone; framing {framing!r} needs the set {NAME}.")
    path = places.shipped(f"{SAMPLE}.npz")
    return as_inspection(*read_sample(path, 416 if image_size is None else image_size))


def read_ball_screws(folder, image_size=416, framing=2):
    """Ball screws over time (Schlagenhauf, Landwehr & Fleischer, 2021) as an Inspection, ordered by place and time.

    folder: a clone of their repository (data/01_200905081130_277500_315_crop_2.jpg, the annotation of a marked one in
    label/01_200905081130_277500_315_crop_2.json), or its photographs sorted by place (277500_315/200905081130_2.jpg,
    the mask of a marked one beside it as .png). One spindle under load is photographed at 15 places (277.5 mm along
    it, turned by 315 degrees) until pits have grown. framing: 2 (57 photographs a place) or, of the last days, the
    wider 1 (12 a place); the two differ in size. image_size: the longer side, the ratio of the first photograph kept
    to multiples of 8 pixels (168 x 416), or (height, width).

    labels: 1 where an engineer marked pitting, also where it is too small to show in masks at this size. parts: places
    less than a quarter turn of the thread apart show the same pit and are one part. Raises DataError for a name that
    does not say place, time and framing, and for an annotation without its photograph.
    """
    return as_inspection(*read(folder, image_size, framing))


def as_inspection(images, covered, place, times):
    """What `read` returns, as an Inspection."""
    names, numbers = np.unique(place, return_inverse=True)
    along = np.array([int(name.partition("_")[0]) for name in names])
    return Inspection(
        images=torch.from_numpy(images),
        masks=torch.from_numpy(covered >= masks.COVERED),
        labels=torch.from_numpy(covered.any((1, 2)).astype(np.int64)),
        parts=torch.from_numpy(parts_of_frames(along, QUARTER_TURN)[numbers]),
        class_names=CLASSES,
        places=torch.from_numpy(numbers.astype(np.int64)),
        times=torch.from_numpy(times),
        place_names=tuple(map(str, names)),
    )


class Photograph(NamedTuple):
    """A file and what its name says. time: seconds since 1970, the name's clock read as UTC; mask: a file or None."""

    place: str
    time: int
    framing: int
    path: Path
    mask: Path | None


def holds_photographs(folder):
    """Whether a folder holds the set in either of its layouts."""
    return any(_files(Path(folder)))


def photographs(folder, framing=2):
    """The photographs of one framing, ordered by place and time. folder: either layout, see `read_ball_screws`."""
    if framing not in FRAMINGS:
        raise DataError(f"framing must be 1 (the wider) or 2, not {framing!r}.")
    folder = Path(folder)
    cloned = (folder / "data").is_dir()
    if cloned and not (folder / "label").is_dir():
        raise DataError(f"{folder} holds data, but not label, the annotations: the set is incomplete.")
    there = set(folder.glob("label/01_*.json") if cloned else folder.glob("*/*.png"))
    found, expected = [], set()
    for path in _files(folder):
        mask = folder / "label" / f"{path.stem}.json" if cloned else path.with_suffix(".png")
        expected.add(mask)
        found.append(_photograph(path, mask if mask in there else None, cloned))
    if lost := sorted(there - expected):
        raise DataError(f"{lost[0]} marks a photograph that is missing: the set is incomplete.")
    found = sorted(photograph for photograph in found if photograph.framing == framing)
    if not found:
        raise DataError(f"{folder} holds no photograph of framing {framing}.")
    return found


def _files(folder):
    """The photographs of the worn spindle. Those of other screws (KGT1...), one each, are no part of the set."""
    return sorted(folder.glob("data/01_*.jpg" if (folder / "data").is_dir() else "*/*.jpg"))


def _photograph(path, mask, cloned):
    name = (CLONED if cloned else SORTED).fullmatch(path.name)
    try:
        time, *more = name.groups()
        seconds = int(datetime.strptime(time, "%y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())
    except (AttributeError, ValueError):
        example = "01_200905081130_277500_315_crop_2.jpg" if cloned else "277500_315/200905081130_2.jpg"
        raise DataError(
            f"{path} does not say its place, time (yymmddhhmmss) and framing as {example} does."
        ) from None
    place = more[0] if cloned else path.parent.name
    if not re.fullmatch(r"\d+_\d{3}", place):
        raise DataError(f"{path.parent} is not named by a place as 277500_315 is (position_angle).")
    return Photograph(place, seconds, int(more[-1]), path, mask)


def read(folder, image_size=416, framing=2):
    """(images uint8 (N, 3, H, W), coverage uint8 (N, H, W), place of each, seconds int64 (N,)) of one framing."""
    from PIL import Image

    found = photographs(folder, framing)
    try:
        with Image.open(found[0].path) as first:
            size = frame(first.size[::-1], image_size)
    except OSError as error:
        raise DataError(f"{found[0].path} cannot be read as an image: {error}.") from error
    images, _, _ = read_images([one.path for one in found], size, channels=3, strict=True)
    covered = np.zeros((len(found), *size), np.uint8)
    for own, one in zip(covered, found, strict=True):
        if one.mask is not None:
            own[:] = masks.coverage(one.mask, size)
    return (
        images.numpy(),
        covered,
        [one.place for one in found],
        np.array([one.time for one in found], np.int64),
    )


def frame(shape, image_size):
    """(height, width) of the images: (height, width) as asked, or shape's ratio with image_size as its longer side."""
    height, width = check_size(image_size)
    if isinstance(image_size, (tuple, list)):
        return height, width
    short = max(STEP, round(height * min(shape) / max(shape) / STEP) * STEP)
    return (height, short) if shape[0] > shape[1] else (short, height)


def write_sample(path, images, covered, place, time, quality=90):
    """Write what `read` returns into one .npz: pictures as JPEG, masks of marked ones as PNG, one after the other."""
    names, places = np.unique(place, return_inverse=True)
    arrays = {"place_names": names, "places": places.astype(np.uint8), "times": time}
    pictures = [_packed(image.transpose(1, 2, 0), "JPEG", quality=quality) for image in images]
    marks = [_packed(own, "PNG") if own.any() else b"" for own in covered]
    for key, streams in {"jpeg": pictures, "mask_png": marks}.items():
        arrays[key] = np.frombuffer(b"".join(streams), np.uint8)
        arrays[f"{key}_offsets"] = np.cumsum([0, *map(len, streams)], dtype=np.int64)
    with open(path, "wb") as file:
        np.savez(file, **arrays)  # its streams are compressed already


def read_sample(path, image_size=416):
    """What `read` returns, from a file that `write_sample` wrote. Raises DataError for a damaged file."""
    keys = ("jpeg", "jpeg_offsets", "mask_png", "mask_png_offsets", "places", "place_names", "times")
    jpeg, jpeg_offsets, marks, mark_offsets, places, names, times = formats.read_npz(path, *keys)
    pictures = _unpacked(jpeg, jpeg_offsets)
    size = frame(pictures[0].size[::-1], image_size)
    images = np.stack([_resized(picture, size) for picture in pictures]).transpose(0, 3, 1, 2)
    covered = np.zeros((len(images), *size), np.uint8)
    for own, mask in zip(covered, _unpacked(marks, mark_offsets), strict=True):
        if mask is not None:
            own[:] = masks.shrink(mask, size)
    return np.ascontiguousarray(images), covered, [str(names[k]) for k in places], times


def _packed(array, kind, **options):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def _unpacked(blob, offsets):
    """The pictures in a row of bytes, still packed; None where there are no bytes."""
    from PIL import Image

    return [Image.open(io.BytesIO(blob[a:b].tobytes())) if b > a else None for a, b in pairwise(offsets)]


def _resized(picture, size):
    from PIL import Image

    same = picture.size == size[::-1]
    return np.asarray(picture if same else picture.resize(size[::-1], Image.Resampling.BILINEAR))
