"""Readers of data files that either return what was published or say which file is damaged."""

import gzip
import hashlib
import math
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError

ADVICE = "Delete it and load again with a network, or copy it anew."


def read_checked(path, md5):
    """Return the bytes of `path`, or of `path`.gz unpacked, after comparing their MD5 with the published one.

    Only the unpacked bytes are compared: packed copies differ (Debian strips the time from gzip headers).
    Raises DataError naming the file when it is missing, unreadable, truncated or altered.
    """
    path = Path(path)
    packed = path.with_name(path.name + ".gz")
    if not path.exists() and packed.exists():
        path = packed
    try:
        content = gzip.decompress(path.read_bytes()) if path == packed else path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"The data set in {path.parent} is incomplete: {path.name} is missing there."
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({error}). {ADVICE}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{path} is truncated or damaged (its checksum is not the published one). {ADVICE}")
    return content


def read_idx(path, md5):
    """Return the uint8 array of an IDX file (the format of MNIST; http://yann.lecun.com/exdb/mnist)."""
    content = read_checked(path, md5)
    ndim = content[3]
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    return np.frombuffer(content, np.uint8, math.prod(shape), 4 + 4 * ndim).reshape(shape)


def read_cifar_batch(path, md5):
    """Return uint8 images (N, 3, 32, 32) and uint8 labels (N,) of one batch file of CIFAR-10.

    These files are pickles, which can run code: they are unpickled only after their checksum was found right.
    """
    batch = pickle.loads(read_checked(path, md5), encoding="latin1")
    return batch["data"].reshape(-1, 3, 32, 32), np.array(batch["labels"], np.uint8)


def read_npz(path, *keys):
    """Return the named arrays of an .npz file. Raises DataError naming the file when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(arrays[key] for key in keys)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path} is missing, truncated or damaged ({error}). Restore it from the repository, or install again."
        ) from error
