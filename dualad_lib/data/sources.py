"""The named data sets: what they consist of, where they are found, how they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dualad_lib.data import formats, places
from dualad_lib.errors import DataError, DataNotFoundError

DIGITS = tuple(map(str, range(10)))
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

DATASETS = {
    "fashion_mnist_sample": CLOTHES,
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion_mnist": CLOTHES,
    "cifar10": THINGS,
    "coil100": tuple(map(str, range(1, 101))),
    "spoken_digits": DIGITS,
    "spoken_digits_unheard": DIGITS,
}
"""Names that `load_one_class` takes, with the names of their classes."""


class Part(NamedTuple):
    """The training or the test part of a set: images uint8 (N, C, H, W), labels int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor


def load_part(dataset, part, root=None, download=True):
    """Return the "train" or "test" Part of a data set, touching no file of the other part.

    The result is cached for the whole process and shared: copy before writing into it. `root` and `download` say
    where a set that does not ship with the project may come from; see `load_one_class`.
    Raises DataError for an unknown name or a damaged file, DataNotFoundError when no place holds the set.
    """
    check_dataset(dataset)
    if part not in ("train", "test"):
        raise DataError(f'a data set has the parts "train" and "test", not {part!r}.')
    if dataset == "fashion_mnist_sample":
        return _read_sample(part, places.shipped("fashion_mnist_sample.npz"))
    if dataset == "digits":
        return _read_digits(part)
    if dataset in ("spoken_digits", "spoken_digits_unheard"):
        path = places.shipped("spoken_digits.npz")
        return _read_sample(part, path) if dataset == "spoken_digits" else _read_unheard(part, path)
    return _read_files(dataset, part, find(dataset, root, download))


def check_dataset(dataset):
    """Raise DataError, naming the choices, unless `dataset` is a known name."""
    if dataset not in DATASETS:
        raise DataError(
            f"Unknown data set {dataset!r}; choose one of {', '.join(DATASETS)}. "
            "For a folder of your own images use load_image_folder."
        )


def find(dataset, root=None, download=True):
    """Return the folder that holds a set's files, downloading them first when that is allowed and needed."""
    files = FILES[dataset]
    candidates = places.places(files.folder, files.system, root)
    for folder, _ in candidates:
        if files.present(folder):
            return folder
    failure = "downloading was not allowed (download=False)" if files.loader else "nothing downloads it"
    if download and files.loader:
        try:
            return _download(files, places.own_folder() if root is None else Path(root))
        except (OSError, RuntimeError, DataError) as error:  # no network, permission or space; wrong contents
            failure = " ".join(f"the download failed: {error}".split())
    raise DataNotFoundError(_not_found(dataset, candidates, failure))


# ---------------------------------------------------------------- sets that ship with the project


@lru_cache(maxsize=4)
def _read_sample(part, path):
    return _part(*formats.read_npz(path, f"{part}_images", f"{part}_labels"))


@lru_cache(maxsize=2)
def _read_unheard(part, path):
    """Spoken digits divided by speaker: all clips of the last two in the alphabet test, none of them trains."""
    parts = [
        formats.read_npz(path, *(f"{name}_{what}" for what in ("images", "labels", "speakers")))
        for name in ("train", "test")
    ]
    images, labels, speakers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    chosen = (speakers >= speakers.max() - 1) == (part == "test")
    return _part(images[chosen], labels[chosen])


@lru_cache(maxsize=2)
def _read_digits(part):
    """Scikit-learn's 1797 digits, 0..16 brought to 0..255, a fixed fifth of each class as test part."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    test = fifth_of_each_class(digits.target, seed=0)
    chosen = test if part == "test" else ~test
    return _part(images[chosen], digits.target[chosen])


def fifth_of_each_class(labels, seed):
    """Return a bool array (N,) that marks a fifth of each class, drawn with `seed`."""
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    marked = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        marked[members[: round(len(members) / 5)]] = True
    return marked


def _part(images, labels):
    images = torch.from_numpy(np.array(images))  # a copy: the arrays may be views of read-only file contents
    labels = torch.from_numpy(np.asarray(labels).astype(np.int64))
    return Part(images if images.ndim == 4 else images[:, None], labels)


# ---------------------------------------------------------------- sets kept as files, in torchvision's layout


@dataclass(frozen=True)
class FileSet:
    """A published set: its folder, the files of each part with the MD5 of their unpacked bytes, and its reader."""

    title: str
    loader: str  # the class of torchvision.datasets that downloads it
    size: str  # of the download
    folder: str
    train: dict
    test: dict
    read: Callable
    system: str | None = None  # a copy packaged by the operating system
    package: str = ""  # how to install that copy

    def present(self, folder):
        """Tell whether a folder holds any file of the set, packed or not."""
        names = [*self.train, *self.test]
        return any((folder / name).exists() or (folder / f"{name}.gz").exists() for name in names)

    @property
    def contents(self):
        """What the set's folder must hold, in words."""
        return ", ".join(self.train | self.test)

    def read_part(self, folder, part):
        """Images and labels of the "train" or "test" part."""
        return self.read(folder, getattr(self, part))


@dataclass(frozen=True)
class ViewSet:
    """COIL-100: a folder of one picture a view, object and angle in its name. It has no official split."""

    title: str
    folder: str
    package: str
    loader: str | None = None
    system: str | None = None
    contents: str = "obj1__0.png, obj1__5.png, ... obj100__355.png"

    def present(self, folder):
        """Tell whether a folder holds any view."""
        return any(folder.glob("obj*__*.png"))

    def read_part(self, folder, part):
        """Images and labels; every fifth view (0, 25, 50, ... degrees) is the test part."""
        return read_views(folder, part)


@lru_cache(maxsize=8)
def _read_files(dataset, part, folder):
    return _part(*FILES[dataset].read_part(folder, part))


def read_views(folder, part, side=32):
    """Views of COIL-100 (Nene, Nayar & Murase, 1996) as uint8 images (N, 3, side, side), and labels object - 1.

    folder: the published PNG files, obj1__0.png to obj100__355.png, of any size; they are resized. Missing views are
    left out; an object without any raises DataError.
    """
    from dualad_lib.data.folders import read_images

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


def _read_idx_pair(folder, checksums):
    images, labels = (formats.read_idx(folder / name, md5) for name, md5 in checksums.items())
    return images, labels


def _read_cifar(folder, checksums):
    batches = [formats.read_cifar_batch(folder / name, md5) for name, md5 in checksums.items()]
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def _download(files, root):
    """Fetch a set with torchvision, which checks the archives; check the contents; then put it in place, whole."""
    from torchvision import datasets

    print(f"Downloading {files.title} ({files.size}) to {root} ...", flush=True)
    with places.download_into(root, files.folder) as temporary:
        with places.network_timeout():
            getattr(datasets, files.loader)(temporary, download=True)
        for name, md5 in (files.train | files.test).items():
            formats.read_checked(temporary / files.folder / name, md5)
            (temporary / files.folder / f"{name}.gz").unlink(missing_ok=True)
    return root / files.folder


def _not_found(dataset, candidates, failure):
    files = FILES[dataset]
    looked = "\n".join(f"  {folder} ({what})" for folder, what in candidates)
    ways = [files.package] if files.package else []
    if files.loader:
        ways.insert(0, f"with a network: load_one_class({dataset!r}, download=True) fetches {files.size}")
    before = "without: " if files.loader else ""
    ways.insert(1, f"{before}copy {files.contents} to FOLDER/{files.folder} and set DUALAD_DATA=FOLDER")
    ways.append("or use fashion_mnist_sample or digits, which need no download")
    ways = "\n".join(f"  - {way}" for way in ways)
    return f"{files.title} was not found, and {failure}.\nLooked in:\n{looked}\nWays to get it:\n{ways}"


FILES = {
    "mnist": FileSet(
        title="MNIST",
        loader="MNIST",
        size="11 MB",
        folder="MNIST/raw",
        train={
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        },
        test={
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        read=_read_idx_pair,
    ),
    "fashion_mnist": FileSet(
        title="Fashion-MNIST",
        loader="FashionMNIST",
        size="30 MB",
        folder="FashionMNIST/raw",
        train={
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        },
        test={
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        read=_read_idx_pair,
        system="/usr/share/datasets/fashion-mnist",
        package="on Debian or Ubuntu: apt install dataset-fashion-mnist",
    ),
    "cifar10": FileSet(
        title="CIFAR-10",
        loader="CIFAR10",
        size="170 MB",
        folder="cifar-10-batches-py",
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
        read=_read_cifar,
    ),
    "coil100": ViewSet(
        title="COIL-100",
        folder="coil-100",
        package="get coil-100.zip (125 MB) from Columbia University's CAVE laboratory and unpack it",
    ),
}
