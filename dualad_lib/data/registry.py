"""A data set by its name: from here to its reader, and from what that returns to a task."""

import numbers
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..errors import DataError
from .inspection import Inspection, stand_in
from .readers import (
    ball_screws,
    cifar10,
    coil100,
    digits,
    fashion_mnist_sample,
    gtsrb,
    magnetic_tiles,
    mnist,
    spoken_digits,
)
from .task import (
    OLD_PROTOCOLS,
    PROTOCOLS,
    SPLITS,
    Labelled,
    Part,
    Task,
    check_choice,
    check_class,
    check_seed,
    development,
    labelled_anomalies,
    one_class,
)


class Entry(NamedTuple):
    """A named set: its classes, and the function of (part, root, download) that reads its "train" or "test" Part."""

    classes: tuple[str, ...]
    read: Callable[..., Part]


#: Names that `load_one_class` takes.
SETS = {
    "fashion_mnist_sample": Entry(mnist.CLOTHES, fashion_mnist_sample.read),
    "digits": Entry(mnist.DIGITS, digits.read),
    "mnist": Entry(mnist.DIGITS, mnist.MNIST.read),
    "fashion_mnist": Entry(mnist.CLOTHES, mnist.FASHION_MNIST.read),
    "cifar10": Entry(cifar10.CLASSES, cifar10.CIFAR10.read),
    "coil100": Entry(coil100.CLASSES, coil100.COIL100.read),
    "spoken_digits": Entry(mnist.DIGITS, spoken_digits.read),
    "spoken_digits_unheard": Entry(mnist.DIGITS, spoken_digits.read_unheard),
}
#: The same names with the names of their classes.
DATASETS = {name: entry.classes for name, entry in SETS.items()}
#: Inspection sets: functions of (root, image_size, framing) that return an Inspection.
INSPECTIONS = {
    magnetic_tiles.NAME: magnetic_tiles.load,
    ball_screws.NAME: ball_screws.load,
    ball_screws.SAMPLE: ball_screws.load_sample,
}


def load_part(dataset: str, part: str, root: str | Path | None = None, download: bool = True) -> Part:
    """Return the "train" or "test" Part of a data set, touching no file of the other part.

    The result is cached for the whole process and shared: copy before writing into it. `root` and `download` say
    where a set that does not ship with the project may come from; see `load_one_class`.
    Raises DataError for an unknown name or a damaged file, DataNotFoundError when no place holds the set.
    """
    check_dataset(dataset)
    if part not in ("train", "test"):
        raise DataError(f'a data set has the parts "train" and "test", not {part!r}.')
    return SETS[dataset].read(part, root, download)


def check_dataset(dataset: str) -> None:
    """Raise DataError, naming the choices, unless `dataset` is a known name."""
    if dataset not in DATASETS:
        raise DataError(
            f"Unknown data set {dataset!r}; choose one of {', '.join(DATASETS)}. "
            "For a folder of your own images use load_image_folder."
        )


def load_one_class(
    dataset: str,
    normal_class: int = 0,
    protocol: str = "one_vs_rest",
    split: str = "test",
    seed: int = 0,
    root: str | Path | None = None,
    download: bool = True,
    *,
    anomaly_class: int | None = None,
) -> Task:
    """Load a named data set as a Task with one class against the others.

    dataset: "fashion_mnist_sample", "digits", "spoken_digits" or "spoken_digits_unheard" (the same clips, divided by
    speaker), which ship with the project; "mnist", "fashion_mnist" or "cifar10", which are looked for in $DUALAD_DATA,
    in the project's data folder, in the system's packaged copy, and are then downloaded if `download` allows;
    "coil100", which is looked for and not downloaded. `root` replaces these places by one folder.

    protocol: "one_vs_rest" (P2): the training images of `normal_class` train, the whole test set tests. "80_20" (P1):
    of all images of `normal_class`, training and test files together, 80 % train and 20 % test, beside equally many
    anomalies drawn from the test images of the other classes. "leave_one_class_out" (ADe-GAN), which `anomaly_class`
    alone asks for: that class is the anomaly, the training images of the others train, the whole test set tests. Tables
    count its tasks by `normal_class`, which may name the anomalous class there instead.

    split: "test", or "development" for choosing settings: a fifth of each class's TRAINING images, drawn with
    `seed`, takes the place of the test set, the rest that of the training set. No test file is opened then.
    seed: draws what a protocol or split draws at random; only "80_20" does on the "test" split.

    Raises DataError for an unknown name, a class out of range or a damaged file; DataNotFoundError (a DataError)
    when the set is nowhere to be had.
    """
    if protocol in OLD_PROTOCOLS:
        now = OLD_PROTOCOLS[protocol]
        warnings.warn(f"the protocol {protocol!r} is now called {now!r}.", FutureWarning, stacklevel=2)
        protocol = now
    if anomaly_class is not None:
        if protocol == "80_20":
            raise DataError("anomaly_class is for the protocol leave_one_class_out, not for 80_20.")
        if normal_class not in (0, anomaly_class):
            raise DataError(
                f"normal_class={normal_class!r} and anomaly_class={anomaly_class!r}: where a class is the anomaly, all "
                "others are normal. Give one of the two."
            )
        normal_class, protocol = anomaly_class, "leave_one_class_out"
    normal_class, seed = _checked(dataset, normal_class, split, seed)
    check_choice("protocol", protocol, PROTOCOLS)
    train = load_part(dataset, "train", root, download)
    test = load_part(dataset, "test", root, download) if split == "test" else None
    return one_class(
        train, test, normal_class, protocol, seed, dataset=dataset, class_names=DATASETS[dataset]
    )


def load_labelled_anomalies(
    dataset: str,
    normal_class: int,
    share: float,
    split: str = "test",
    seed: int = 0,
    kinds: Collection[int] | None = None,
    root: str | Path | None = None,
    download: bool = True,
) -> Tensor:
    """Training images of the other classes for methods that may learn from labelled anomalies: uint8 (n, C, H, W).

    n is `share` of the number of normal training images, as evenly from the other classes as can be, drawn with
    `seed`. With split="development" none of them is among the images that then test. kinds: classes that they are
    drawn from (None: all others); what is then found of the rest are anomalies of unknown kinds. Raises DataError as
    `load_one_class`, for a share outside (0, 1] and for kinds that are not other classes.
    """
    normal_class, seed = _checked(dataset, normal_class, split, seed)
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 < share <= 1:
        raise DataError(f"share must lie in (0, 1], not {share!r}.")
    train = load_part(dataset, "train", root, download)
    if split == "development":
        train, _ = development(train, seed)
    return labelled_anomalies(train, normal_class, share, seed, kinds)


def _checked(dataset, normal_class, split, seed):
    check_dataset(dataset)
    check_choice("split", split, SPLITS)
    return check_class(normal_class, DATASETS[dataset], dataset), check_seed(seed)


def load_labelled(
    dataset: str, seed: int = 0, root: str | Path | None = None, download: bool = True
) -> Labelled:
    """Load a data set for a classifier: "gtsrb", or any name that `load_one_class` takes.

    A fifth of each class's training images is held out, drawn with `seed`; of traffic signs a fifth of each class's
    tracks, so that no physical sign is on both sides. Raises DataError and DataNotFoundError as `load_one_class`.
    """
    if dataset == "gtsrb":
        signs, last = (gtsrb.load_signs(part, root=root, download=download) for part in ("train", "test"))
        parts = (*gtsrb.split_by_track(signs, seed=seed), last)
        train, held, test = (Part(part.images, part.labels) for part in parts)
        return Labelled(train, held, test, gtsrb.SIGNS)
    train, test = (load_part(dataset, part, root, download) for part in ("train", "test"))
    train, held = development(train, seed)
    return Labelled(train, held, test, DATASETS[dataset])


def load_inspection(
    dataset: str = "magnetic_tiles",
    root: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    framing: int = 2,
) -> Inspection:
    """An Inspection by name.

    "magnetic_tiles" and "ball_screws" are looked for in FOLDER/magnetic_tiles and FOLDER/ball_screws; FOLDER is `root`,
    $DUALAD_DATA or the project's data folder. They do not ship. "ball_screws_sample" does: five of the 15 places, in
    framing 2, stored at 168 x 416. Any other name is that of a shipped set of images, of which stand-in parts are made
    (`stand_in`). image_size: for tiles a number (64; both sides) or (height, width); for screws a number (416; the
    longer side) or (height, width); stand-in parts keep the size of their set. framing (1 or 2) is for screws alone.

    Raises DataNotFoundError with what to do where a set is missing, DataError for an unknown name.
    """
    if dataset in INSPECTIONS:
        return INSPECTIONS[dataset](root, image_size, framing)
    if dataset not in DATASETS:
        known = ", ".join((*INSPECTIONS, *DATASETS))
        raise DataError(f"Unknown inspection set {dataset!r}; choose one of {known}.")
    return stand_in(*(load_part(dataset, part, root) for part in ("train", "test")))
