"""Make data/fashion_mnist_sample.npz, the sample of Fashion-MNIST that ships with this project.

    python data/make_sample.py            # after: apt install dataset-fashion-mnist
    python data/make_sample.py --check    # compare the committed sample with the original files

Reads Fashion-MNIST from wherever `load_one_class("fashion_mnist")` finds it (the original files are verified by
checksum) and draws the same number of images from each class with a fixed seed. Arrays in the file:
train_images, test_images uint8 (N, 28, 28); train_labels, test_labels uint8 (N,); train_index, test_index
int32 (N,), the position of each image in the original file, ascending.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np

from dualad_lib.data import load_part
from dualad_lib.files import atomic_write

SAMPLE = Path(__file__).resolve().parent / "fashion_mnist_sample.npz"
PER_CLASS = {"train": 1000, "test": 200}
SEED = 20170825


def make_sample():
    """Draw the sample; return its arrays by name."""
    rng = np.random.default_rng(SEED)
    arrays = {}
    for part, count in PER_CLASS.items():
        images, labels = (tensor.numpy() for tensor in load_part("fashion_mnist", part))
        chosen = [rng.permutation(np.flatnonzero(labels == k))[:count] for k in range(10)]
        index = np.sort(np.concatenate(chosen))
        arrays[f"{part}_images"] = images[index, 0]
        arrays[f"{part}_labels"] = labels[index].astype(np.uint8)
        arrays[f"{part}_index"] = index.astype(np.int32)
    return arrays


def main():
    """Write or check the sample; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare with the original files")
    if parser.parse_args().check:
        with np.load(SAMPLE, allow_pickle=False) as sample:
            for part in PER_CLASS:
                images, labels = (tensor.numpy() for tensor in load_part("fashion_mnist", part))
                index = sample[f"{part}_index"]
                same = np.array_equal(images[index, 0], sample[f"{part}_images"])
                same &= np.array_equal(labels[index], sample[f"{part}_labels"])
                print(
                    f"{part}: {len(index)} images {'equal the originals' if same else 'DIFFER from the originals'}"
                )
                if not same:
                    return 1
        return 0
    with atomic_write(SAMPLE) as temporary:
        np.savez_compressed(temporary, **make_sample())
    content = SAMPLE.read_bytes()
    print(f"{SAMPLE.name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
