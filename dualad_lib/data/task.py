"""One-class tasks: which images train, which test, and which of those count as anomalies."""

import operator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..errors import DataError

PROTOCOLS = {
    "one_vs_rest": "one class is normal: its training images train, the whole test set tests",
    "80_20": "one class is normal: 80 % of all its images train, 20 % test beside as many anomalies",
    "leave_one_class_out": "one class is the anomaly, all others are normal: their training images train, the whole "
    "test set tests",
}
#: For one release: what protocols were called before.
OLD_PROTOCOLS = {"p1": "80_20", "p2": "one_vs_rest", "loo": "leave_one_class_out"}
SPLITS = ("test", "development")


class Part(NamedTuple):
    """The training or the test part of a set: images uint8 (N, C, H, W), labels int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor


class Labelled(NamedTuple):
    """Three Parts without an image (of signs: without a physical sign) in common, and the names of the classes.

    train, held: from the training files; test: the test files. Each has .images uint8 (N, C, H, W), .labels (N,).
    """

    train: Part
    held: Part
    test: Part
    class_names: tuple


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """One anomaly detection task in memory.

    train: uint8 (N, C, H, W), normal images only. test: uint8 (M, C, H, W). test_labels: int64 (M,), 0 normal and
    1 anomalous. test_classes: int64 (M,), the original class, an index into class_names. For image folders `test`
    is None without a test folder, and the labels and classes are None where the test folder has none; `skipped`
    lists the files that could not be read, `train_paths` and `test_paths` those that could.
    """

    dataset: str
    protocol: str
    split: str
    normal_class: int
    seed: int
    class_names: tuple
    train: torch.Tensor
    test: torch.Tensor | None
    test_labels: torch.Tensor | None
    test_classes: torch.Tensor | None
    skipped: tuple = ()
    train_paths: tuple = ()
    test_paths: tuple = ()

    @property
    def name(self):
        """A short unique name, such as "fashion_mnist_sample/one_vs_rest/class0/seed0"."""
        if self.protocol == "folder":
            return self.dataset
        name = f"{self.dataset}/{self.protocol}/class{self.normal_class}/seed{self.seed}"
        return name if self.split == "test" else f"{name}/{self.split}"

    @property
    def image_shape(self):
        """(C, H, W) of every image."""
        return tuple(self.train.shape[1:])

    @property
    def anomaly_class(self):
        """The left-out class of protocol "leave_one_class_out"; None where there is more than one anomalous class."""
        return self.normal_class if self.protocol == "leave_one_class_out" else None

    @property
    def normal_name(self):
        """What is normal, in words: a class name, or "all but NAME" for protocol "leave_one_class_out"."""
        name = self.class_names[self.normal_class]
        return f"all but {name}" if self.protocol == "leave_one_class_out" else name

    def __repr__(self):
        size = "x".join(map(str, self.image_shape))
        text = f"Task({self.name}: {len(self.train)} training images {size}"
        if self.test is not None:
            text += f", {len(self.test)} test images"
        if self.test_labels is not None:
            text += f" of which {int(self.test_labels.sum())} anomalous"
        return text + (f", {len(self.skipped)} unreadable files skipped)" if self.skipped else ")")


def one_class(train, test, normal_class, protocol, seed=0, **named):
    """The Task of two Parts. protocol: of PROTOCOLS; test: None for a development split of `train`, drawn with `seed`.

    named: `dataset` and `class_names` of the Task.
    """
    split = "test"
    if test is None:
        split, (train, test) = "development", development(train, seed)
    if protocol == "80_20":
        train, test = _redivide(train, test, normal_class, seed)
    anomalous = torch.eq if protocol == "leave_one_class_out" else torch.ne
    return Task(
        protocol=protocol,
        split=split,
        normal_class=normal_class,
        seed=seed,
        train=train.images[~anomalous(train.labels, normal_class)],
        test=test.images.clone(),  # a copy, because readers keep theirs for the next task
        test_labels=anomalous(test.labels, normal_class).long(),
        test_classes=test.labels.clone(),
        **named,
    )


def development(train, seed):
    """(rest, a fifth of each class), Parts of a training Part: settings are chosen on the second."""
    held_out = torch.from_numpy(fifth_of_each_class(train.labels, seed))
    return take(train, ~held_out), take(train, held_out)


def fifth_of_each_class(labels, seed):
    """Return a bool array (N,) that marks a fifth of each class, drawn with `seed`."""
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    marked = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        marked[members[: round(len(members) / 5)]] = True
    return marked


def labelled_anomalies(train, normal_class, share, seed=0, kinds=None):
    """Images of a training Part's other classes: uint8 (n, C, H, W); as `load_labelled_anomalies`."""
    labels, rng = train.labels.numpy(), np.random.default_rng(seed)
    count = max(1, round(share * int((labels == normal_class).sum())))
    others = [k for k in np.unique(labels) if k != normal_class]
    if kinds is not None:
        kinds = list(kinds) if np.iterable(kinds) else [kinds]
        if not kinds or not set(kinds) <= set(others):
            raise DataError(f"kinds must be classes beside the normal one, {normal_class}; got {kinds}.")
        others = [k for k in others if k in kinds]
    others = [rng.permutation(np.flatnonzero(labels == k)) for k in others]
    rng.shuffle(others)
    chosen = [
        members[place] for place in range(max(map(len, others))) for members in others if place < len(members)
    ]
    return train.images[torch.from_numpy(np.array(chosen[:count]))]


def _redivide(train, test, normal_class, seed):
    """Protocol 1: pool one class, deal it out 80 / 20, and add as many anomalies from the other classes' test part."""
    rng = np.random.default_rng(seed)
    pool = torch.cat([part.images[part.labels == normal_class] for part in (train, test)])
    order = torch.from_numpy(rng.permutation(len(pool)))
    normal_train, normal_test = order.split([len(pool) - round(len(pool) / 5), round(len(pool) / 5)])
    others = torch.from_numpy(rng.permutation(np.flatnonzero(test.labels.numpy() != normal_class)))[
        : len(normal_test)
    ]

    def labelled(chosen):
        return Part(pool[chosen], torch.full((len(chosen),), normal_class))

    anomalies = take(test, others)
    test = Part(*(torch.cat(pair) for pair in zip(labelled(normal_test), anomalies, strict=True)))
    return labelled(normal_train), test


def take(part, chosen):
    """The chosen images of a Part, with their labels."""
    return Part(part.images[chosen], part.labels[chosen])


def of_class(part, number):
    """The images of one class of a Part. Raises DataError where there is none."""
    images = part.images[part.labels == number]
    if not len(images):
        raise DataError(
            f"there is no image of class {number} here; classes: {part.labels.unique().tolist()}."
        )
    return images


def as_part(images, labels):
    """A Part of arrays: images (N, H, W) or (N, C, H, W), labels (N,) of whole numbers."""
    images = torch.from_numpy(np.array(images))  # a copy: the arrays may be views of read-only file contents
    labels = torch.from_numpy(np.asarray(labels).astype(np.int64))
    return Part(images if images.ndim == 4 else images[:, None], labels)


def check_choice(what, value, choices):
    if value not in choices:
        raise DataError(f"Unknown {what} {value!r}; choose one of {', '.join(choices)}.")


def check_class(normal_class, names, dataset):
    try:
        number = operator.index(normal_class)
    except TypeError:
        number = -1
    if not 0 <= number < len(names):
        listed = ", ".join(f"{k} = {name}" for k, name in enumerate(names) if name != str(k))
        raise DataError(
            f"normal_class must be a whole number from 0 to {len(names) - 1} for {dataset}, not {normal_class!r}."
            + (f" Its classes: {listed}." if listed else "")
        )
    return number


def check_seed(seed):
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise DataError(f"seed must be a whole number of at least 0, not {seed!r}.")
    return number
