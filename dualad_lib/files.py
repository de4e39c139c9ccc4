"""Paths as people type them, names as they can be shown, and files that are either whole or absent."""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import DataError

READER_COMES = 10  # seconds that a named pipe waits for somebody to read it
LONGEST = 255  # bytes in a file name, on nearly every file system


def expand(path: str | Path) -> Path:
    """A path as a Path, with a leading ~ or ~user replaced by that home folder where there is one."""
    return Path(os.path.expanduser(path))


def readable(name):
    """A file name as valid Unicode: its bytes read as UTF-8, those that are none as \\xNN. For tables and web pages."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def shown(name):
    """A file name for a printed line: as `readable`, with line breaks and the like escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable(str(name)))


def with_ending(name, ending):
    """name + ending; a name too long for that is cut and told from others by a digest of the whole."""
    if len(os.fsencode(name + ending)) <= LONGEST:
        return name + ending
    ending = f"-{hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()}{ending}"
    while len(os.fsencode(name + ending)) > LONGEST:
        name = name[:-1]
    return name + ending


def file_at(path):
    """The file that writing to `path` means: ~ expanded, and of a link what it leads to.

    Raises DataError where that is no file, where a file stands in the place of a folder, or for what can be no path.
    """
    path = expand(path)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # a name that is too long, or holds a null character
        raise DataError(f"{shown(path)} cannot be written: {getattr(error, 'strerror', error)}.") from error
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.is_dir() or path.is_symlink():  # a link that is still one leads back to itself
        raise DataError(f"{shown(path)} is a {'folder' if path.is_dir() else 'circle of links'}, not a file.")
    lowest = next((folder for folder in path.parents if os.path.exists(folder)), path.parent)
    if lowest.is_file():
        why = os.strerror(errno.ENOTDIR)
        raise DataError(f"{shown(path)} cannot be written: {why}. {shown(lowest)} is a file.")
    return path


def writable(path):
    """`file_at(path)`, once it is known that a file can be written there: asked before the work, and nothing is left.

    Raises DataError, with the reason, where it cannot.
    """
    try:
        path = file_at(path)
        if _special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return path
        # what is missing is made in the first folder that is there
        folder = next(folder for folder in path.parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            return path
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be written: {error.strerror or error}.") from error


def check_places(outputs, inputs):
    """Raise DataError where an output would replace an input, or two outputs would stand in one place.

    Both are pairs of a path and what stands there in words, such as "the table". Links count as what they lead to.
    """
    places, there = {}, {}
    for path, what in outputs:
        real = Path(os.path.realpath(path))
        if real in places:
            raise DataError(
                f"{places[real]} and {what} would both be {shown(path)}: give each its own place."
            )
        places[real] = what
        with suppress(OSError):
            there[_identity(path)] = what
    for real, what in places.items():
        for folder in places.keys() & set(real.parents):
            raise DataError(
                f"{shown(folder)} would be {places[folder]} and also a folder, for {what}: give one of the two "
                "another name."
            )
    if not there:
        return
    for path, what in inputs:
        with suppress(OSError):  # an input that is missing is no concern of this check
            if (by := there.get(_identity(path))) is not None:
                raise DataError(
                    f"{shown(path)} is {what}, and {by} would replace it: give {by} another place."
                )


def _identity(path):
    """What tells a file from all others, by whatever name it is reached."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


@contextmanager
def locked(path, taken):
    """Inside, nobody else is `locked` at `path`, a lock file, which is gone afterwards.

    taken(): called where somebody is, before waiting for their end; unless it raises.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        taken()
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows, where FileLock itself removes it
            os.unlink(path)  # while it is held: who has opened it already finds it unlinked and begins anew
        lock.release()


@contextmanager
def only_writer(path):
    """Inside, nobody else is `only_writer` of `path`; a second one gets a DataError. Folders are made for it.

    What it needed, a lock file beside `path` and folders that stayed empty, is gone afterwards.
    """

    def taken():
        raise DataError(
            f"{shown(path)} is being made by another command: wait for its end, or give another name."
        ) from None

    path = file_at(path)
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locked(path.with_name(with_ending(f".{path.name}", ".lock")), taken):
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # it holds something
                folder.rmdir()


@contextmanager
def atomic_write(path):
    """Give a temporary path; on success it takes the place of `path`, on any error it is removed.

    A reader therefore sees the old file, or the complete new one, and never a part of it. A link stays: the file that
    it leads to is replaced. What is no regular file, such as a named pipe, gets the content written into it. Raises
    DataError where `path` is a folder or lies in a file, and for a pipe that nobody opens to read within READER_COMES
    seconds; what the system refuses, such as a full disk, is an OSError that names `path`.
    """
    path, temporary = file_at(path), None
    try:
        with _replacing(path) as temporary:
            yield temporary
    except OSError as error:
        hidden = error.filename is None or str(error.filename) == str(temporary) or temporary is None
        if error.errno is None or not hidden:  # another file's
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _replacing(path):
    special = _special(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        prefix=f".{path.name[:20]}.",
        suffix=f".tmp{path.suffix[:12]}",
        dir=None
        if special
        else path.parent,  # in one folder with the old file, so that renaming is all it takes
    )
    os.close(handle)
    try:
        yield Path(temporary)
        if special:
            with open(temporary, "rb") as content, _into(path) as target:
                shutil.copyfileobj(content, target)
            os.unlink(temporary)
        else:
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _special(path):
    return path.exists() and not path.is_file()


def _into(path):
    """A special file, opened to be written to as it stands. To open a pipe without a reader would wait for ever."""
    if not path.is_fifo():
        return open(path, "wb")
    until = time.monotonic() + READER_COMES
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > until:
                raise DataError(
                    f"{path} is a named pipe that nobody reads: start its reader first."
                ) from None
            time.sleep(0.05)
        else:
            os.set_blocking(handle, True)
            return os.fdopen(handle, "wb")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
