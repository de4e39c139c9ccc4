"""Folders of image files of any size and format, as tensors and as tasks."""

import operator
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from dualad_lib.data.protocols import Task
from dualad_lib.errors import DataError
from dualad_lib.progress import progress

NORMAL_NAMES = ("normal", "good", "ok")
GREY_MODES = ("1", "L", "LA", "I", "F")  # and every mode that starts with "I;16"


def load_image_folder(normal, test=None, image_size=64, strict=False, channels=None):
    """Load folders of image files as a Task.

    normal: folder of normal training images, read with all its sub-folders. test: folder of test images. Where it
    has sub-folders these are the labels: images under `normal`, `good` or `ok` are normal, every other sub-folder
    is a class of anomalies. Without sub-folders the test images have no labels. image_size, strict and
    channels as in `read_images`; the test images get the channels of the training images.

    Task.class_names is ("normal", then the anomalous sub-folders), normal_class is 0.
    Raises DataError: missing or empty folder, one folder inside the other, loose files beside sub-folders.
    """
    normal = _folder(normal)
    if test is not None:
        test = _folder(test)
        check_apart(normal, test)
    train, train_paths, skipped = read_images(normal, image_size, channels, strict, label="training images")
    images = labels = classes = None
    names, paths = ("normal",), ()
    if test is not None:
        files, classes, names = _labelled_files(test)
        images, paths, more = read_images(files, image_size, train.shape[1], strict, label="test images")
        skipped += more
        if classes is not None:
            classes = torch.tensor([classes[path] for path in paths])
            labels = (classes > 0).long()
    return Task(
        dataset=f"image_folder/{normal.resolve().name}",
        protocol="folder",
        split="test",
        normal_class=0,
        seed=0,
        class_names=names,
        train=train,
        test=images,
        test_labels=labels,
        test_classes=classes,
        skipped=skipped,
        train_paths=train_paths,
        test_paths=paths,
    )


def read_images(source, image_size=64, channels=None, strict=False, label=""):
    """Read image files into one uint8 tensor (N, C, H, W); return it with the paths read and the paths skipped.

    source: a folder, read with its sub-folders in sorted order, or a list of files. image_size: a number, or
    (height, width); images are resized to it bilinearly with antialiasing, aspect ratio not kept. channels: 1, 3,
    or None for 3 if any file is in colour. Orientation tags are obeyed, transparency is laid on white, 16-bit grey
    is brought from 0..65535 to 0..255. Of a file with several pictures the first counts.
    `label` names the work in progress reports; without it there is a report only on a terminal.

    An unreadable file is skipped, listed and named in one warning, or raises DataError with strict=True.
    Raises DataError: no image file found, none readable, missing folder, senseless image_size or channels.
    """
    size = _check_size(image_size)
    if channels not in (None, 1, 3):
        raise DataError(f"channels must be 1, 3 or None, not {channels!r}.")
    if isinstance(source, (str, os.PathLike)) and not Path(source).is_file():
        files = image_files(_folder(source))
        if not files:
            raise DataError(f"{source} holds no image file.")
    else:
        files = [Path(source)] if isinstance(source, (str, os.PathLike)) else [Path(path) for path in source]
        if not files:
            raise DataError("No image files given: the list is empty.")
    if channels is None:
        channels = 3 if any(map(_in_colour, files)) else 1

    images = np.empty((len(files), channels, *size), np.uint8)
    read, skipped = [], {}
    with ThreadPoolExecutor() as pool:  # decoding runs outside Python's lock
        results = pool.map(lambda path: _read_or_reason(path, size, channels), files)
        for path, (image, reason) in zip(files, progress(results, len(files), label), strict=True):
            if image is not None:
                images[len(read)] = image
                read.append(path)
            elif strict:
                pool.shutdown(cancel_futures=True)
                raise DataError(
                    f"{path} cannot be read as an image: {reason}. strict=False skips such files."
                )
            else:
                skipped[path] = reason
    if skipped:
        listed = "; ".join(f"{path} ({reason})" for path, reason in list(skipped.items())[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        if not read:
            raise DataError(f"None of {len(files)} image files could be read: {listed}{more}.")
        warnings.warn(f"Skipped {len(skipped)} of {len(files)} image files: {listed}{more}.", stacklevel=2)
    return torch.from_numpy(images[: len(read)]), tuple(read), tuple(skipped)


def image_files(folder):
    """Return the sorted image files under a folder: those with an ending that Pillow reads, hidden ones left out."""
    from PIL import Image

    endings = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    found, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(parent) in seen:  # a link back to a folder that was read already
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in endings
        ]
    return sorted(found)


def _labelled_files(folder):
    """Return the files under a test folder, the class number of each (or None) and the class names."""
    children = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    groups = {child: files for child in children if (files := image_files(child))}
    everything = image_files(folder)
    if not everything:
        raise DataError(f"{folder} holds no image file.")
    if not groups:
        return everything, None, ("normal",)
    loose = [path for path in everything if path.parent == folder]
    if loose:
        raise DataError(
            f"{folder} has image files beside its sub-folders ({loose[0].name}), so their label is unknown. "
            "Put every test image into a sub-folder, or none."
        )
    anomalies = [child.name for child in groups if child.name.casefold() not in NORMAL_NAMES]
    if len(anomalies) == len(groups):
        warnings.warn(
            f"{folder} has no sub-folder named {', '.join(NORMAL_NAMES)} with images: all its images count as "
            f"anomalous ({', '.join(anomalies)}).",
            stacklevel=3,
        )
    numbers = {name: number for number, name in enumerate(anomalies, start=1)}
    classes = {path: numbers.get(child.name, 0) for child, files in groups.items() for path in files}
    return list(classes), classes, ("normal", *anomalies)


def _read_or_reason(path, size, channels):
    """Return (image of shape (C, H, W), None), or (None, why the file cannot be read)."""
    try:
        return _read_image(path, size, channels), None
    except Exception as error:  # damaged files make Pillow raise almost anything
        return None, " ".join(str(error).split()) or type(error).__name__


def _read_image(path, size, channels):
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        image = _eight_bit(image).convert("L" if channels == 1 else "RGB")
        image = image.resize(
            size[::-1], Image.Resampling.BILINEAR
        )  # Pillow's resize antialiases when it shrinks
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _eight_bit(image):
    """Bring deep greys to 8 bits and lay transparent pictures on white."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float64)
        top = 1.0 if image.mode == "F" else 65535.0
        if not (values.min() >= 0 and values.max() <= top):
            raise ValueError(f"its values lie outside 0..{top:g}")
        return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _in_colour(path):
    from PIL import Image

    try:
        with Image.open(path) as image:  # reads the header only
            return image.mode not in GREY_MODES and not image.mode.startswith("I;16")
    except Exception:  # reported when the file is read
        return False


def _folder(path):
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"There is no folder {path}.")
    if not path.is_dir():
        raise DataError(f"{path} is a file; give the folder that holds the images.")
    return path


def check_apart(normal, test):
    """Raise DataError where one of two folders lies inside the other."""
    normal, test = Path(normal), Path(test)
    inner, outer = normal.resolve(), test.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise DataError(
            f"{normal} and {test} lie inside one another, so images would both train and test. "
            "Give two folders that share no file."
        )


def _check_size(image_size):
    try:
        if isinstance(image_size, (tuple, list)):
            height, width = map(operator.index, image_size)
        else:
            height = width = operator.index(image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise DataError(f"image_size must be a positive number or (height, width), not {image_size!r}.")
    return height, width
