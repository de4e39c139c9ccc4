"""CIFAR-10 (Krizhevsky, 2009)."""

import numpy as np

from .. import formats
from .published import FileSet

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_batches(folder, checksums):
    """Images and labels of some batch files. checksums: the MD5 of each."""
    batches = [formats.read_cifar_batch(folder / name, md5) for name, md5 in checksums.items()]
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


CIFAR10 = FileSet(
    call="load_one_class('cifar10', download=True)",
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
    unpack=read_batches,
)
