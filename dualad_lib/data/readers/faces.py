"""Face anti-spoofing: CASIA-MFSD and Replay-Attack as they are laid out, their videos as folders of frames.

Neither set may be passed on, so none is here: ask their owners, then write the frames of each video into a folder of
its name (`ffmpeg -i VIDEO FOLDER/%05d.png`). Real faces are the normal images, attacks the anomalies.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from ..folders import image_files, read_images

CASIA_REAL = (
    "1",
    "2",
    "HR_1",
)  # of the twelve clips of a subject; the others are photographs, cut photographs, videos
CASIA_CLIPS = (*map(str, range(1, 9)), *(f"HR_{number}" for number in range(1, 5)))
CASIA_PARTS = {"train": "train_release", "test": "test_release"}
REPLAY_PARTS = {"train": "train", "development": "devel", "test": "test"}


@dataclass(frozen=True, eq=False, repr=False)
class Faces:
    """Frames. images: uint8 (N, 3, side, side); labels: (N,) 0 real, 1 attack; clips: (N,) the video of each frame."""

    images: torch.Tensor
    labels: torch.Tensor
    clips: tuple

    def __len__(self):
        return len(self.images)

    def by_clip(self, scores):
        """(labels, scores) of the videos: the mean score of each one's frames. scores: (N,)."""
        names = np.array(self.clips)
        found = list(dict.fromkeys(self.clips))
        labels = np.array([int(self.labels[names == name][0]) for name in found])
        return labels, np.array([np.asarray(scores)[names == name].mean() for name in found])


def read_casia(folder, part, side=64, frames=10):
    """CASIA-MFSD: FOLDER/train_release/SUBJECT/CLIP/*.png and test_release. It has no development part.

    frames: how many of each video, evenly spread. Raises DataError for a part without a known clip.
    """
    root = _part(folder, part, CASIA_PARTS, "CASIA-MFSD")
    clips = [
        (clip, int(clip.name not in CASIA_REAL))
        for subject in _folders(root)
        for clip in _folders(subject)
        if clip.name in CASIA_CLIPS
    ]
    return _read(root, clips, side, frames)


def read_replay(folder, part, side=64, frames=10):
    """Replay-Attack: FOLDER/{train,devel,test}/real/CLIP/*.png and attack/{fixed,hand}/CLIP/*.png. As `read_casia`."""
    root = _part(folder, part, REPLAY_PARTS, "Replay-Attack")
    clips = [(clip, 0) for clip in _folders(root / "real")]
    clips += [(clip, 1) for kind in ("fixed", "hand") for clip in _folders(root / "attack" / kind)]
    return _read(root, clips, side, frames)


def _part(folder, part, parts, title):
    if part not in parts:
        raise DataError(f"{title} has no part {part!r}; choose one of {', '.join(parts)}.")
    return Path(folder) / parts[part]


def _folders(path):
    return sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def _read(root, clips, side, frames):
    files, labels, names = [], [], []
    for clip, label in clips:
        found = image_files(clip)
        chosen = np.linspace(0, len(found) - 1, min(frames, len(found))).round().astype(int)
        files += [found[place] for place in chosen]
        labels += [label] * len(chosen)
        names += [str(clip.relative_to(root))] * len(chosen)
    if not files:
        raise DataError(f"{root} holds no video as a folder of frames.")
    images, _, _ = read_images(files, side, channels=3, strict=True)
    return Faces(images, torch.tensor(labels), tuple(names))
