"""Reading a folder, with a line on each thing that was done to its images."""

import numpy as np
import torch

from ..data.folders import listed
from ..files import shown


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
