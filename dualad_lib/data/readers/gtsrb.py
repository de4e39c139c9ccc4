"""GTSRB, the German Traffic Sign Recognition Benchmark: images, classes, and which physical sign an image shows."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from ..folders import read_images
from .published import Published

STOP = 14
SIGNS = (
    "20 km/h", "30 km/h", "50 km/h", "60 km/h", "70 km/h", "80 km/h", "end of 80 km/h", "100 km/h", "120 km/h",
    "no passing", "no passing for trucks", "right of way at the next crossing", "priority road", "yield", "stop",
    "no vehicles", "no trucks", "no entry", "caution", "curve left", "curve right", "double curve", "bumpy road",
    "slippery road", "road narrows", "road work", "traffic lights", "pedestrians", "children", "bicycles", "ice",
    "wild animals", "end of all limits", "turn right", "turn left", "ahead only", "ahead or right", "ahead or left",
    "keep right", "keep left", "roundabout", "end of no passing", "end of no passing for trucks",
)  # fmt: skip
#: Numbers of the 30 test images that show the same physical stop sign as training track 23: no test of anything.
LEAKED = frozenset(
    (666, 726, 1282, 1423, 1533, 1766, 2060, 2291, 2909, 3546, 3550, 3594, 3891, 4548, 5001, 5112, 6779, 7062, 7366,
     8994, 9316, 9384, 9575, 10637, 11093, 11305, 11456, 11664, 11906, 11954)
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Signs:
    """Traffic signs. images: uint8 (N, 3, side, side); labels: (N,) index into SIGNS; tracks: (N,) the physical sign.

    About 30 images in a row show one sign, its track: split by track, not by image. Test images have track -1.
    """

    images: torch.Tensor
    labels: torch.Tensor
    tracks: torch.Tensor

    def __len__(self):
        return len(self.images)

    def __getitem__(self, chosen):
        return Signs(self.images[chosen], self.labels[chosen], self.tracks[chosen])


def load_signs(part: str, side: int = 32, root: str | Path | None = None, download: bool = True) -> Signs:
    """The "train" or "test" part of GTSRB as Signs, without the leaked test images; see `read_signs`.

    Looked for as gtsrb/ in $DUALAD_DATA, then in the project's data folder; then downloaded by torchvision (about
    280 MB) if `download` allows. `root` replaces these places by one folder. The result is cached and shared: copy
    before writing into it. Raises DataNotFoundError when no place holds the set, DataError for a damaged one.
    """
    return _read_once(GTSRB.find(root, download), part, side)


def read_signs(folder, part, side=32):
    """Read the "train" or "test" part from torchvision's layout, without the leaked test images.

    folder: holds GTSRB/Training/00014/TTTTT_FFFFF.ppm (track and frame; .png too), GTSRB/Final_Test/Images/NNNNN.ppm
    and GT-final_test.csv. Images are resized to side x side. Raises DataError for a part that is missing or damaged.
    """
    folder = Path(folder)
    if part not in ("train", "test"):
        raise DataError(f'GTSRB has the parts "train" and "test", not {part!r}.')
    listed = _training(folder) if part == "train" else _test(folder)
    if not listed:
        raise DataError(f"GTSRB in {folder} has no {part} images: copy it anew, or load it with a network.")
    images, _, _ = read_images([path for path, _, _ in listed], side, channels=3, strict=True)
    labels, tracks = (torch.tensor([row[place] for row in listed]) for place in (1, 2))
    return Signs(images, labels, tracks)


def split_by_track(signs, share=0.2, seed=0):
    """(rest, part): `share` of each class's tracks, drawn with `seed`, at least one where there are two."""
    rng, chosen = np.random.default_rng(seed), np.zeros(len(signs), bool)
    labels, tracks = signs.labels.numpy(), signs.tracks.numpy()
    for label in np.unique(labels):
        own = rng.permutation(np.unique(tracks[labels == label]))
        count = max(1, round(share * len(own))) if len(own) > 1 else 0
        chosen |= (labels == label) & np.isin(tracks, own[:count])
    chosen = torch.from_numpy(chosen)
    return signs[~chosen], signs[chosen]


@lru_cache(maxsize=4)
def _read_once(folder, part, side):
    return read_signs(folder, part, side)


def _training(folder):
    """(path, label, track) of every training image, in order."""
    found = []
    for place in sorted((folder / "GTSRB" / "Training").glob("[0-9]" * 5)):
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in (".ppm", ".png"):
                found.append((path, int(place.name), int(path.stem.split("_")[0])))
    return found


def _test(folder):
    table = folder / "GT-final_test.csv"
    if not table.is_file():
        return []
    found = []
    with open(table, newline="") as file:
        reader = csv.DictReader(file, delimiter=";")
        if not {"Filename", "ClassId"} <= set(reader.fieldnames or ()):
            raise DataError(f"{table} has no columns Filename and ClassId: copy it anew.")
        for row in reader:
            path = folder / "GTSRB" / "Final_Test" / "Images" / row["Filename"]
            if int(path.stem) not in LEAKED:
                found.append((path, int(row["ClassId"]), -1))
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class SignSet(Published):
    """GTSRB as torchvision lays it out."""

    contents = "GTSRB/Training, GTSRB/Final_Test and GT-final_test.csv"

    def present(self, folder):
        return (folder / "GTSRB").is_dir()

    def fetch(self, root):
        from torchvision import datasets  # where it is used: importing it takes a second

        for part in ("train", "test"):
            datasets.GTSRB(root, split=part, download=True)


GTSRB = SignSet(
    title="GTSRB",
    folder="gtsrb",
    call="load_signs(part, download=True)",
    size="about 280 MB",
)
