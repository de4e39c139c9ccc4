"""Masks of defects: pictures or polygons, brought to the size of the images beside them."""

import json
from pathlib import Path

import numpy as np

from ..errors import DataError

COVERED = 64  # of 255: a pixel counts as marked where the mask covers a quarter of it
FINE = 4  # polygons are drawn so many times larger: Pillow colours every pixel that an edge touches


def coverage(path, size):
    """How much of each pixel a mask covers: uint8 (H, W), 0 not at all to 255 wholly. size: (H, W).

    path: a picture, white where it marks, or a .json of the annotation tool labelme, whose polygons are drawn. Raises
    DataError for a file that cannot be read, or a shape that is no polygon.
    """
    from PIL import Image

    path = Path(path)
    try:
        if path.suffix == ".json":
            return shrink(_polygons(json.loads(path.read_text(encoding="utf-8"))), size)
        with Image.open(path) as mask:
            return shrink(mask.convert("L"), size)
    except Exception as error:  # Pillow and a damaged annotation raise many kinds
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a mask ({type(error).__name__}: {reason}).") from error


def shrink(mask, size):
    """The mean of a grey picture over each pixel of an image of this size: uint8 (H, W)."""
    from PIL import Image

    return np.array(mask if mask.size == size[::-1] else mask.resize(size[::-1], Image.Resampling.BOX))


def _polygons(annotation):
    from PIL import Image, ImageDraw

    mask = Image.new("L", (FINE * annotation["imageWidth"], FINE * annotation["imageHeight"]))
    for shape in annotation["shapes"]:
        if shape["shape_type"] != "polygon":
            raise ValueError(f"it marks a {shape['shape_type']}, not a polygon")
        points = [
            (FINE * x - 0.5, FINE * y - 0.5) for x, y in shape["points"]
        ]  # Pillow counts from pixel centres
        ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask
