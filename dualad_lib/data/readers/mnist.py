"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017), which come in the same files."""

from .. import formats
from .published import FileSet

DIGITS = tuple(map(str, range(10)))
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip


def read_idx_pair(folder, checksums):
    """Images and labels of a part. checksums: the MD5 of each of its two files."""
    images, labels = (formats.read_idx(folder / name, md5) for name, md5 in checksums.items())
    return images, labels


MNIST = FileSet(
    call="load_one_class('mnist', download=True)",
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
    unpack=read_idx_pair,
)
FASHION_MNIST = FileSet(
    call="load_one_class('fashion_mnist', download=True)",
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
    unpack=read_idx_pair,
    system="/usr/share/datasets/fashion-mnist",
    package="on Debian or Ubuntu: apt install dataset-fashion-mnist",
)
