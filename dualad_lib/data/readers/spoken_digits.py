"""The Free Spoken Digit Dataset (Jackson et al., 2018) as log-mel images, which ship with the project."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import DataError
from .. import formats, places
from ..sound import read_wav
from ..task import as_part

FILE = "spoken_digits.npz"


def read(part, root=None, download=True):
    """The Part with new clips of speakers who also train. root, download: as every reader takes them."""
    return _read_heard(part, places.shipped(FILE))


def read_unheard(part, root=None, download=True):
    """The Part of the same clips divided by speaker."""
    return _read_unheard(part, places.shipped(FILE))


@lru_cache(maxsize=2)
def _read_heard(part, path):
    return as_part(*formats.read_npz(path, f"{part}_images", f"{part}_labels"))


@lru_cache(maxsize=2)
def _read_unheard(part, path):
    """Spoken digits divided by speaker: all clips of the last two in the alphabet test, none of them trains."""
    parts = [
        formats.read_npz(path, *(f"{name}_{what}" for what in ("images", "labels", "speakers")))
        for name in ("train", "test")
    ]
    images, labels, speakers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    chosen = (speakers >= speakers.max() - 1) == (part == "test")
    return as_part(images[chosen], labels[chosen])


def read_spoken_digits(folder):
    """FSDD (Free Spoken Digit Dataset): a folder of DIGIT_SPEAKER_INDEX.wav.

    Returns (clips, digits (N,), speakers (N,), is_test (N,)): recordings 0 to 4 of each speaker and digit test.
    """
    rows = []
    for path in sorted(Path(folder).glob("[0-9]_*_*.wav")):
        digit, speaker, index = path.stem.split("_")
        rows.append((path, int(digit), speaker, int(index) < 5))
    if not rows:
        raise DataError(
            f"{folder} holds no DIGIT_SPEAKER_INDEX.wav, as the Free Spoken Digit Dataset names its files."
        )
    clips = [read_wav(path)[0] for path, *_ in rows]
    return clips, *(np.array([row[place] for row in rows]) for place in (1, 2, 3))


def spoken_speakers(part="test"):
    """Who speaks in the "train" or "test" part of "spoken_digits": names (N,), in the order of `load_part`."""
    path = places.shipped("spoken_digits.npz")
    names, speakers = formats.read_npz(path, "speaker_names", f"{part}_speakers")
    return names[speakers]


def spoken_clips():
    """Ten training clips of FSDD, one a digit, 8000 samples a second: (list of float arrays in [-1, 1], speakers)."""
    path = places.shipped("spoken_digits.npz")
    samples, lengths, names, speakers = formats.read_npz(
        path, "clips", "clip_lengths", "speaker_names", "clip_speakers"
    )
    clips = np.split(samples.astype(np.float32) / 2**15, np.cumsum(lengths)[:-1])
    return clips, names[speakers]
