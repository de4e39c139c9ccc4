"""Folders of image files of any size and format, as tensors and as tasks."""

import operator
import os
import statistics
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from ..files import expand, shown
from ..progress import progress
from . import image_io
from .copies import equal_copies
from .task import Task

NORMAL_NAMES = ("normal", "good", "ok")
MULTIPLE, SHORTEST = 8, 32  # pixels: what the shorter side of a frame is a multiple of, and at least
STRETCH = 1.25  # ratio of aspect ratios from which it is worth a line that an image is stretched
AHEAD = 64  # files read in advance of who asks for them
DEEPEST = 65535


def load_image_folder(
    normal: str | Path,
    test: str | Path | None = None,
    image_size: int | tuple[int, int] = 64,
    strict: bool = False,
    channels: int | None = None,
    keep_aspect: bool = False,
) -> Task:
    """Load folders of image files as a Task.

    normal: folder of normal training images, read with all its sub-folders. test: folder of test images. Where it
    has sub-folders these are the labels: images under `normal`, `good` or `ok` are normal, every other sub-folder
    is a class of anomalies. Without sub-folders the test images have no labels. image_size, strict, channels and
    keep_aspect as in `read_images`; the test images get the size, the channels and the white of the training images.

    Task.class_names is ("normal", then the anomalous sub-folders), normal_class is 0.
    Raises DataError: missing or empty folder, one folder inside the other, loose files beside sub-folders.
    """
    normal = _folder(normal)
    if test is not None:
        test = _folder(test)
        check_apart(normal, test)
    plan = Reader(normal, image_size, channels, keep_aspect=keep_aspect)
    train, train_paths, skipped = plan.read(strict, label="training images")
    images = labels = classes = None
    names, paths = ("normal",), ()
    if test is not None:
        files, classes, names = _labelled_files(test)
        images, paths, more = plan.like(files).read(strict, label="test images")
        skipped += more
        twice = equal_copies((*train, *images))[len(train) :] < len(train)
        if twice.any():
            copies = [path for path, again in zip(paths, twice, strict=True) if again]
            warnings.warn(
                f"{len(copies)} of {len(paths)} test images are also trained on, pixel by pixel: {listed(copies)}. "
                "Their scores say nothing of new images; leave them out of one folder.",
                stacklevel=2,
            )
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


def read_images(source, image_size=64, channels=None, strict=False, label="", keep_aspect=False, white=None):
    """Read image files into one uint8 tensor (N, C, H, W); return it with the paths read and the paths skipped.

    source: a folder, read with its sub-folders in sorted order, or a list of files. image_size: a number, or
    (height, width); images are resized to it bilinearly with antialiasing. A number means a square, or with keep_aspect
    the longer side of the `frame_of` these images. channels: 1, 3, or None for 3 if any file is in colour. Orientation
    tags are obeyed, transparency is laid on white. Of a file with several pictures the first counts.
    white: the value that counts as white where a file has more than 8 bits, brought to 255; None takes the fewest bits
    of a camera that hold all values of these files (1023, 4095, ...) and warns where that is not 65535.
    `label` names the work in progress reports; without it there is a report only on a terminal.

    An unreadable file is skipped, listed and named in one warning, or raises DataError with strict=True. Files that
    look like pictures, by ending or content, but are of a kind that Pillow lacks count among them.
    Raises DataError: no image file found, none readable, missing folder, senseless image_size or channels.
    """
    return Reader(source, image_size, channels, white, keep_aspect).read(strict, label)


def frame_of(source, longer):
    """(height, width) of a frame for these images: their median aspect ratio, upright; the longer side as given.

    source as in `read_images`. The shorter side is a multiple of 8 and at least 32, if `longer` allows that; what is
    nearly square becomes square. Raises DataError where no file can be read.
    """
    return _frame(
        [header.shape for header in _headers(_files_of(source)[0]) if header], check_size(longer)[0]
    )


def _frame(shapes, longer):
    if not shapes:
        return longer, longer
    ratio = statistics.median(width / height for height, width in shapes)
    exact = longer * min(ratio, 1 / ratio)
    shorter = max(min(SHORTEST, longer), MULTIPLE * round(exact / MULTIPLE))
    if longer - exact < MULTIPLE / 2:
        shorter = longer
    return (shorter, longer) if ratio > 1 else (longer, shorter)


class Reader:
    """The image files of one source, and how they are read: one size, one number of channels, one white.

    Arguments as in `read_images`. files: what is there, sorted; own: drawings of this library, left out; size: (height,
    width); channels; white: of deep files, 65535 where there are none. Filled while `batches` runs: skipped, a dict
    of path and reason; stretched and cut, lists of the paths of images that were distorted, and cut at white; kinds,
    lists of the paths of grey, coloured and deep files. learned: the kinds that a model learned from, as such a dict or
    names; then there is a remark on files of others.
    """

    def __init__(self, source, image_size=64, channels=None, white=None, keep_aspect=False, learned=None):
        self.size = check_size(image_size)
        if channels not in (None, 1, 3):
            raise DataError(f"channels must be 1, 3 or None, not {channels!r}.")
        self.files, self.own = _files_of(source)
        headers = _headers(self.files) if None in (channels, white) or keep_aspect else ()
        known = [header for header in headers if header]
        if channels is None:
            channels = 3 if any(header.colour for header in known) else 1
        if white is None:
            deep = [path for path, header in zip(self.files, headers, strict=True) if header and header.deep]
            white = max(_each(image_io.white_of, deep), default=0) or DEEPEST
        if keep_aspect and not isinstance(image_size, (tuple, list)):
            self.size = _frame([header.shape for header in known], self.size[0])
        self.channels, self.white = channels, white
        self.skipped, self.stretched, self.cut = {}, [], []
        self.learned, self.kinds = learned, {}

    def like(self, source):
        """A Reader of another source that reads as this one does."""
        return Reader(source, self.size, self.channels, self.white, learned=self.kinds)

    def read(self, strict=False, label=""):
        """All images at once, as `read_images` returns them, with a warning where that is due."""
        images, read = np.empty((len(self.files), self.channels, *self.size), np.uint8), []
        for path, pixels in self.pictures(strict, label):
            images[len(read)] = pixels
            read.append(path)
        if self.skipped:
            warnings.warn(
                f"Skipped {len(self.skipped)} of {len(self.files)} image files: {self._reasons()}.",
                stacklevel=3,
            )
        for line in self._on_depth() + self._on_kinds():
            warnings.warn(line, stacklevel=3)
        return torch.from_numpy(images[: len(read)]), tuple(read), tuple(self.skipped)

    def batches(self, count, strict=False, label=""):
        """Yield (uint8 tensor (n, C, H, W), their paths), `count` images at a time, while threads read ahead."""
        images, paths = [], []
        for path, pixels in self.pictures(strict, label):
            images.append(pixels)
            paths.append(path)
            if len(paths) == count:
                yield torch.from_numpy(np.stack(images)), paths
                images, paths = [], []
        if paths:
            yield torch.from_numpy(np.stack(images)), paths

    def pictures(self, strict=False, label=""):
        """Yield (path, uint8 pixels (C, H, W)) of each readable file. Raises DataError where there is none."""
        outcomes = _each(self._read_or_reason, self.files)
        for path, (picture, reason) in zip(
            self.files, progress(outcomes, len(self.files), label), strict=True
        ):
            if reason is None:
                self._note(path, picture)
                yield path, picture.pixels
            elif strict:
                raise DataError(
                    f"{shown(path)} cannot be read as an image: {reason}. Without strict it would be skipped."
                )
            else:
                self.skipped[path] = reason
        if len(self.skipped) == len(self.files):
            raise DataError(f"None of {len(self.files)} image files could be read: {self._reasons()}.")

    def remarks(self):
        """Lines on what was done to the images that their owner may not expect."""
        lines = self._on_depth() + self._on_kinds()
        if self.cut:
            lines.append(f"cut at the value {self.white}, the white of the model: {listed(self.cut)}.")
        if self.stretched:
            frame = f"{self.size[0]} x {self.size[1]} (height x width)"
            lines.append(f"stretched to the model's frame, {frame}: {listed(self.stretched)}.")
        return lines

    def _on_depth(self):
        if self.white == DEEPEST:
            return []
        return [f"files of more than 8 bits: the value {self.white} counts as white."]

    def _on_kinds(self):
        """Lines on files of a kind that the model did not learn from."""
        words = {
            "deep": f"of more than 8 bits, and the model learned from 8: the value {self.white} counts as white",
            "grey": "grey, and the model learned from colour",
            "colour": "in colour, and the model learned from grey: read without it",
        }
        learned = words if self.learned is None else self.learned
        foreign = {kind: self.kinds.get(kind) for kind in words if kind not in learned}
        return [f"{words[kind]}: {listed(paths)}." for kind, paths in foreign.items() if paths]

    def _read_or_reason(self, path):
        """(the Picture, None), or (None, why the file cannot be read)."""
        try:
            return image_io.read_picture(path, self.size, self.channels, self.white), None
        except Exception as error:  # damaged files make Pillow raise almost anything
            return None, shown(" ".join(str(error).split()) or type(error).__name__)

    def _note(self, path, picture):
        (height, width), (frame_height, frame_width) = picture.shape, self.size
        ratio = (width * frame_height) / (height * frame_width)
        if max(ratio, 1 / ratio) > STRETCH:
            self.stretched.append(path)
        if picture.cut:
            self.cut.append(path)
        for kind in picture.kinds:
            self.kinds.setdefault(kind, []).append(path)

    def _reasons(self):
        return listed([f"{shown(path)} ({reason})" for path, reason in self.skipped.items()], separator="; ")


def listed(items, most=3, separator=", "):
    """The first items, as text, and how many more there are."""
    text = separator.join(item if isinstance(item, str) else shown(item) for item in items[:most])
    return text + (f"{separator}and {len(items) - most} more" if len(items) > most else "")


def _each(work, files):
    """Yield work(path) of each file in order. Threads run ahead: decoding runs outside Python's lock."""
    pool, waiting = ThreadPoolExecutor(), deque()
    try:
        for path in files:
            waiting.append(pool.submit(work, path))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _headers(files):
    return list(_each(image_io.read_header, files))


def _files_of(source):
    """(the image files of a folder, file or list of files; drawings of this library among them, left out)."""
    if isinstance(source, (str, os.PathLike)):
        source = expand(source)
        if source.is_file():
            return [source], []
        files, own = find_images(_folder(source))
        if not files:
            only = f", only {len(own)} drawings of this library" if own else ""
            raise DataError(f"{shown(source)} holds no image file{only}.")
        return files, own
    files = [expand(path) for path in source]
    if not files:
        raise DataError("No image files given: the list is empty.")
    return files, []


def image_files(folder):
    """Return the sorted image files under a folder: `find_images` without the drawings."""
    return find_images(folder)[0]


def find_images(folder):
    """(the sorted image files under a folder and its sub-folders, the pictures there that this library drew itself).

    An image file has an ending that Pillow reads, that of a photograph in another format, or begins as a picture does.
    Hidden files and folders are left out. A sub-folder that can't be opened is named in a warning.
    """
    from PIL import Image

    endings = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    others = (image_io.RAW, image_io.OTHER)
    found, own, seen = [], [], set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_closed):
        if os.path.realpath(parent) in seen:  # a link back to a folder that was read already
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        # sorted: of two links to one folder the first counts, on any disk
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path, ending = Path(parent, name), os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            known = ending in endings or any(pattern.search(ending) for pattern in others)
            start = b"" if known and ending != ".png" else image_io.beginning(path)
            if image_io.is_own_drawing(start):
                own.append(path)
            elif known or image_io.is_picture(start):
                found.append(path)
    return sorted(found), sorted(own)


def _closed(error):
    warnings.warn(
        f"{shown(error.filename)} cannot be opened, so its images are left out: {error}", stacklevel=3
    )


def _labelled_files(folder):
    """Return the files under a test folder, the class number of each (or None) and the class names."""
    everything = image_files(folder)  # once: of links to one folder, and to this one, only the first counts
    if not everything:
        raise DataError(f"{folder} holds no image file.")
    loose = [path for path in everything if path.parent == folder]
    groups = {}
    for path in everything:
        if path.parent != folder:
            groups.setdefault(folder / path.relative_to(folder).parts[0], []).append(path)
    if not groups:
        return everything, None, ("normal",)
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


def _folder(path: str | Path) -> Path:
    path = expand(path)
    if not path.exists():
        raise DataError(f"There is no folder {shown(path)}.")
    if not path.is_dir():
        raise DataError(f"{shown(path)} is a file; give the folder that holds the images.")
    return path


def check_apart(normal, test):
    """Raise DataError where one of two folders lies inside the other."""
    normal, test = expand(normal), expand(test)
    inner, outer = normal.resolve(), test.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise DataError(
            f"{normal} and {test} lie inside one another, so images would both train and test. "
            "Give two folders that share no file."
        )


def check_size(image_size):
    """(height, width) of a number or a pair. Raises DataError for what makes no sense."""
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
