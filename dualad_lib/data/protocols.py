"""One-class tasks: which images train, which test, and which of those count as anomalies."""

import operator
from dataclasses import dataclass

import numpy as np
import torch

from dualad_lib.data.sources import DATASETS, Part, check_dataset, fifth_of_each_class, load_part
from dualad_lib.errors import DataError

PROTOCOLS = {
    "p2": "one class is normal: its training images train, the whole test set tests",
    "p1": "one class is normal: 80 % of all its images train, 20 % test beside as many anomalies",
    "loo": "one class is the anomaly, all others are normal: their training images train, the whole test set tests",
}
SPLITS = ("test", "development")


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
        """A short unique name, such as "fashion_mnist_sample/p2/class0/seed0"."""
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
        """The left-out class of protocol "loo"; None where there is more than one anomalous class."""
        return self.normal_class if self.protocol == "loo" else None

    @property
    def normal_classes(self):
        """The classes that count as normal."""
        return tuple(
            k for k in range(len(self.class_names)) if (k == self.normal_class) != (self.protocol == "loo")
        )

    @property
    def anomaly_classes(self):
        """The classes that count as anomalous."""
        return tuple(k for k in range(len(self.class_names)) if k not in self.normal_classes)

    @property
    def normal_name(self):
        """What is normal, in words: a class name, or "all but NAME" for protocol "loo"."""
        name = self.class_names[self.normal_class]
        return f"all but {name}" if self.protocol == "loo" else name

    @property
    def anomaly_name(self):
        """What is anomalous, in words."""
        name = self.class_names[self.normal_class]
        return name if self.protocol == "loo" else f"all but {name}"

    def __repr__(self):
        size = "x".join(map(str, self.image_shape))
        text = f"Task({self.name}: {len(self.train)} training images {size}"
        if self.test is not None:
            text += f", {len(self.test)} test images"
        if self.test_labels is not None:
            text += f" of which {int(self.test_labels.sum())} anomalous"
        return text + (f", {len(self.skipped)} unreadable files skipped)" if self.skipped else ")")


def load_one_class(dataset, normal_class=0, protocol="p2", split="test", seed=0, root=None, download=True):
    """Load a named data set as a Task with one class against the others.

    dataset: "fashion_mnist_sample", "digits", "spoken_digits" or "spoken_digits_unheard" (the same clips, divided by
    speaker), which ship with the project; "mnist", "fashion_mnist" or "cifar10", which are looked for in $DUALAD_DATA,
    in the project's data folder, in the system's packaged copy, and are then downloaded if `download` allows;
    "coil100", which is looked for and not downloaded. `root` replaces these places by one folder.

    protocol: "p2" (one-vs-rest): the training images of `normal_class` train, the whole test set tests.
    "p1": of all images of `normal_class`, training and test files together, 80 % train and 20 % test, beside
    equally many anomalies drawn from the test images of the other classes. "loo" (leave one class out, ADe-GAN):
    here `normal_class` names the ANOMALOUS class; the training images of the others train, the whole test set
    tests, and `Task.anomaly_class` is that class.

    split: "test", or "development" for choosing settings: a fifth of each class's TRAINING images, drawn with
    `seed`, takes the place of the test set, the rest that of the training set. No test file is opened then.
    seed: draws what a protocol or split draws at random; p2 and loo on the "test" split draw nothing.

    Raises DataError for an unknown name, a class out of range or a damaged file; DataNotFoundError (a DataError)
    when the set is nowhere to be had.
    """
    check_dataset(dataset)
    _check_choice("protocol", protocol, PROTOCOLS)
    _check_choice("split", split, SPLITS)
    names = DATASETS[dataset]
    normal_class = _check_class(normal_class, names, dataset)
    seed = _check_seed(seed)

    train = load_part(dataset, "train", root, download)
    if split == "test":
        test = load_part(dataset, "test", root, download)
    else:
        held_out = torch.from_numpy(fifth_of_each_class(train.labels, seed))
        train, test = _take(train, ~held_out), _take(train, held_out)

    if protocol == "p1":
        train, test = _redivide(train, test, normal_class, seed)
    anomalous = torch.eq if protocol == "loo" else torch.ne
    return Task(
        dataset=dataset,
        protocol=protocol,
        split=split,
        normal_class=normal_class,
        seed=seed,
        class_names=names,
        train=train.images[~anomalous(train.labels, normal_class)],
        test=test.images.clone(),  # a copy, because the sources keep theirs for the next task
        test_labels=anomalous(test.labels, normal_class).long(),
        test_classes=test.labels.clone(),
    )


def load_labelled_anomalies(
    dataset, normal_class, share, split="test", seed=0, kinds=None, root=None, download=True
):
    """Training images of the other classes for methods that may learn from labelled anomalies: uint8 (n, C, H, W).

    n is `share` of the number of normal training images, as evenly from the other classes as can be, drawn with
    `seed`. With split="development" none of them is among the images that then test. kinds: classes that they are
    drawn from (None: all others); what is then found of the rest are anomalies of unknown kinds. Raises DataError as
    `load_one_class`, for a share outside (0, 1] and for kinds that are not other classes.
    """
    check_dataset(dataset)
    _check_choice("split", split, SPLITS)
    normal_class = _check_class(normal_class, DATASETS[dataset], dataset)
    seed = _check_seed(seed)
    if not 0 < share <= 1:
        raise DataError(f"share must lie in (0, 1], not {share!r}.")
    train = load_part(dataset, "train", root, download)
    if split == "development":
        train = _take(train, ~torch.from_numpy(fifth_of_each_class(train.labels, seed)))
    labels, rng = train.labels.numpy(), np.random.default_rng(seed)
    count = max(1, round(share * int((labels == normal_class).sum())))
    others = [k for k in np.unique(labels) if k != normal_class]
    if kinds is not None:
        if not kinds or not set(kinds) <= set(others):
            raise DataError(
                f"kinds must be classes beside the normal one, {normal_class}; got {list(kinds)}."
            )
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

    anomalies = _take(test, others)
    test = Part(*(torch.cat(pair) for pair in zip(labelled(normal_test), anomalies, strict=True)))
    return labelled(normal_train), test


def _take(part, chosen):
    return Part(part.images[chosen], part.labels[chosen])


def _check_choice(what, value, choices):
    if value not in choices:
        raise DataError(f"Unknown {what} {value!r}; choose one of {', '.join(choices)}.")


def _check_class(normal_class, names, dataset):
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


def _check_seed(seed):
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise DataError(f"seed must be a whole number of at least 0, not {seed!r}.")
    return number
