"""Where data sets lie on this machine, and how a missing one gets there."""

import os
import shutil
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataNotFoundError

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parents[1]
SECONDS_WITHOUT_ANSWER = 30
DAY = 24 * 3600


def shipped(name):
    """Path of a file that ships with the project: in the installed package, or in the checkout's data folder."""
    installed = PACKAGE / "_shipped" / name
    return installed if installed.exists() else CHECKOUT / "data" / name


def own_folder():
    """The folder that downloads go to: data/ of the checkout, or the user's cache for an installed package."""
    if (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "data").is_dir():
        return CHECKOUT / "data"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "dualad"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualad"


def places(folder, system=None, root=None):
    """List (path, what it is) of the folders that may hold a set, in order of preference.

    folder: the set's own folder inside a data folder, such as "MNIST/raw"; system: absolute path of a packaged
    copy; root: when given, the only data folder looked into.
    """
    if root is not None:
        return [(Path(root) / folder, "the root asked for")]
    found = []
    if os.environ.get("DUALAD_DATA"):
        found.append((Path(os.environ["DUALAD_DATA"]).expanduser() / folder, "$DUALAD_DATA"))
    found.append((own_folder() / folder, "this project's data folder"))
    if system is not None:
        found.append((Path(system), "the system's packaged copy"))
    return found


def look_up(name, holds, missing, root=None):
    """The folder of a set that nothing downloads. holds: function of a folder; missing: (what, ways to get it).

    Raises DataNotFoundError, which says both and where the set was looked for.
    """
    looked = places(name, root=root)
    for folder, _ in looked:
        if holds(folder):
            return folder
    what, ways = missing
    listed = "".join(f"  {folder} ({why})\n" for folder, why in looked)
    raise DataNotFoundError(
        f"{what}\nLooked in:\n{listed}Ways to get them:\n  - {ways}\n  - or use what needs no download: "
        "ball_screws_sample (photographs of five places), fashion_mnist_sample (stand-in parts)"
    )


@contextmanager
def download_into(root, folder):
    """Give an empty temporary folder; on success move its sub-folder `folder` to `root`/`folder`, whole.

    Whatever happens in between, the target is either complete or absent and the temporary folder is removed.
    When another process has put the target there first, its copy is kept.
    """
    root, target = Path(root), Path(root) / folder
    root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root, ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(Path(temporary) / folder, target)
        except OSError:
            if not target.is_dir() or not any(target.iterdir()):
                raise


@contextmanager
def network_timeout(seconds=SECONDS_WITHOUT_ANSWER):
    """Let connections inside the block fail after some silence, so that a machine without network gets an error."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _remove_abandoned(folder):
    """Remove what a killed process left behind; a day old, so that no running download is touched."""
    for path in folder.glob(".download-*"):
        if time.time() - path.stat().st_mtime > DAY:
            shutil.rmtree(path, ignore_errors=True)
