"""Images with all their classes, for a classifier: to learn from, held out, and to test with."""

from typing import NamedTuple

import torch

from ..errors import DataError
from .signs import SIGNS, load_signs, split_by_track
from .sources import DATASETS, Part, fifth_of_each_class, load_part


class Labelled(NamedTuple):
    """Three Parts without an image (of signs: without a physical sign) in common, and the names of the classes.

    train, held: from the training files; test: the test files. Each has .images uint8 (N, C, H, W), .labels (N,).
    """

    train: Part
    held: Part
    test: Part
    class_names: tuple


def load_labelled(dataset, seed=0, root=None, download=True):
    """Load a data set for a classifier: "gtsrb", or any name that `load_one_class` takes.

    A fifth of each class's training images is held out, drawn with `seed`; of traffic signs a fifth of each class's
    tracks, so that no physical sign is on both sides. Raises DataError and DataNotFoundError as `load_one_class`.
    """
    if dataset == "gtsrb":
        train, test = (
            load_signs("train", root=root, download=download),
            load_signs("test", root=root, download=download),
        )
        parts = [Part(part.images, part.labels) for part in (*split_by_track(train, seed=seed), test)]
        return Labelled(*parts, SIGNS)
    train, test = load_part(dataset, "train", root, download), load_part(dataset, "test", root, download)
    held = torch.from_numpy(fifth_of_each_class(train.labels, seed))
    parts = [Part(train.images[chosen], train.labels[chosen]) for chosen in (~held, held)]
    return Labelled(*parts, test, DATASETS[dataset])


def of_class(part, number):
    """The images of one class of a Part. Raises DataError where there is none."""
    images = part.images[part.labels == number]
    if not len(images):
        raise DataError(
            f"there is no image of class {number} here; classes: {part.labels.unique().tolist()}."
        )
    return images
