"""Magnetic tile defects (Huang, Qiu & Yuan, 2020)."""

import re
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from .. import places
from ..folders import read_images
from ..inspection import Inspection, parts_of_frames
from ..masks import COVERED, coverage

CLASSES = ("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")
NAME = "magnetic_tiles"
IMAGES = (".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # beside a mask of the same name that ends in .png
MISSING = (
    "The magnetic tile defects were not found, and nothing downloads them.",
    "git clone https://github.com/abin24/Magnetic-tile-defect-datasets. FOLDER/magnetic_tiles (or unpack its ZIP "
    "there), and set DUALAD_DATA=FOLDER or give root=FOLDER",
)


def load(root=None, image_size=None, framing=2):
    """The set as an Inspection, found on this machine; as `load_inspection`. framing: of other sets."""
    folder = places.look_up(NAME, lambda folder: (folder / "MT_Free").is_dir(), MISSING, root)
    return read_tiles(folder, 64 if image_size is None else image_size)


def read_tiles(folder, image_size=64):
    """The magnetic tile defects (Huang, Qiu & Yuan, 2020) from the layout of their repository, as an Inspection.

    folder: holds MT_Free/Imgs/exp1_num_743.jpg and a mask of the same name, .png, beside it; so too MT_Blowhole,
    MT_Break, MT_Crack, MT_Fray and MT_Uneven. Images may also be .bmp or .tif, which lose nothing; a .png is always a
    mask. Tiles differ in size and shape, so both are stretched to one frame, image_size (a number or (height, width)),
    aspect ratio not kept; a pixel is marked where the mask covers a quarter of it or more.

    The set does not name its parts, but its numbers are those of the frames of a recording, in which one tile is seen
    under up to six exposures (exp1 to exp6), one after the other. See `parts_of_frames`. Raises DataError for a
    missing class, mask, or number in a file name.
    """
    files, labels, frames = [], [], []
    for label, name in enumerate(CLASSES):
        own = Path(folder) / f"MT_{name}" / "Imgs"
        found = sorted(p for p in own.glob("*") if p.suffix.lower() in IMAGES) if own.is_dir() else []
        if not found:
            raise DataError(f"{own} holds no image ({', '.join(IMAGES)}): the tile set is incomplete.")
        for path in found:
            number = re.search(r"num_(\d+)", path.stem)
            if number is None or not path.with_suffix(".png").is_file():
                what = "its number (exp1_num_743)" if number is None else f"its mask {path.stem}.png"
                raise DataError(f"{path} lacks {what}.")
            frames.append(int(number[1]))
        files += found
        labels += [label] * len(found)
    images, _, _ = read_images(files, image_size, channels=1, strict=True)
    masks = [coverage(path.with_suffix(".png"), tuple(images.shape[2:])) >= COVERED for path in files]
    parts = torch.from_numpy(parts_of_frames(frames))
    return Inspection(images, torch.from_numpy(np.stack(masks)), torch.tensor(labels), parts, CLASSES)
