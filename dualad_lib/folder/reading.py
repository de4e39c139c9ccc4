"""Reading a model, and a folder with a line on each thing that was done to its images."""

import os

import numpy as np
import torch

from ..data.folders import listed
from ..detectors import Detector
from ..errors import DataError
from ..files import expand, shown


def load_model(path):
    """The detector that `dualad fit` wrote to `path`."""
    path = expand(path)
    if path.is_dir():
        raise DataError(
            f"{shown(path)} is a folder: give the model file (.safetensors) that dualad fit wrote."
        )
    try:
        os.fsencode(path).decode(
            "utf-8"
        )  # the bytes of the name: a locale without UTF-8 shows them as surrogates
    except UnicodeDecodeError:
        raise DataError(
            f"{shown(path)} is no path in UTF-8, and safetensors reads no other: rename what shows as \\x there."
        ) from None
    return Detector.load(path)


def read_all(reader, strict, say):
    """(all images, their paths) of a Reader, and in a line each what was done to them."""
    read = list(reader.pictures(strict, label="reading"))
    tell(reader, say)
    return torch.from_numpy(np.stack([pixels for _, pixels in read])), [path for path, _ in read]


def tell(reader, say):
    for path, reason in reader.skipped.items():
        say(f"skipped, unreadable: {shown(path)}: {reason}")
    if reader.own:
        say(f"left out, heat maps that an earlier run drew: {listed(reader.own)}")
    for line in reader.remarks():
        say(line)


def name_in(path, folder):
    """A file's name inside the folder that was asked for, with forward slashes."""
    return path.relative_to(folder).as_posix() if folder.is_dir() else path.name
