"""COIL-100 (Nene, Nayar & Murase, 1996): 72 views of each of a hundred objects."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..folders import read_images
from .published import Published

CLASSES = tuple(map(str, range(1, 101)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Views(Published):
    """A folder of one picture a view, object and angle in its name. It has no official split."""

    contents = "obj1__0.png, obj1__5.png, ... obj100__355.png"

    def present(self, folder):
        return any(folder.glob("obj*__*.png"))

    def read_part(self, folder, part):
        """Images and labels; every fifth view (0, 25, 50, ... degrees) is the test part."""
        return read_views(folder, part)


def read_views(folder, part, side=32):
    """Views of COIL-100 (Nene, Nayar & Murase, 1996) as uint8 images (N, 3, side, side), and labels object - 1.

    folder: the published PNG files, obj1__0.png to obj100__355.png, of any size; they are resized. Missing views are
    left out; an object without any raises DataError.
    """
    views = []
    for path in Path(folder).glob("obj*__*.png"):
        number, angle = path.stem.removeprefix("obj").split("__")
        if number.isdigit() and angle.isdigit():
            views.append((int(number), int(angle), path))
    views.sort()
    chosen = [view for view in views if (view[1] % 25 == 0) == (part == "test")]
    missing = sorted(set(range(1, 101)) - {view[0] for view in chosen})
    if missing:
        raise DataError(f"COIL-100 in {folder} is incomplete: no {part} view of object {missing[0]}.")
    images, _, _ = read_images([path for _, _, path in chosen], side, channels=3, strict=True)
    return images.numpy(), np.array([number - 1 for number, _, _ in chosen])


COIL100 = Views(
    title="COIL-100",
    folder="coil-100",
    package="get coil-100.zip (125 MB) from Columbia University's CAVE laboratory and unpack it",
)
