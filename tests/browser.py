"""A Chromium for the tests that need one: the system's, or Debian's, installed here where this user may."""

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock


def chromium():
    """Its path; skips the test, and says why, where there is none."""
    found = _found_or_installed()
    if found is None:
        pytest.skip("no Chromium: install one (Debian: apt install chromium) to run the tests in a browser")
    return found


@cache  # installing is tried once, and by one process at a time
def _found_or_installed():
    if _found() is None:
        with FileLock(Path(tempfile.gettempdir()) / "dualad-tests-chromium.lock"):
            return _installed()
    return _found()


def _installed():
    found = _found()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        for command in (["apt-get", "update"], install):
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, timeout=180, check=False)
        found = _found()
    return found


def _found():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
