"""A Chromium for the tests that need one: the system's, or Debian's, installed here where this user may."""

import os
import shutil
import subprocess
from contextlib import suppress
from functools import cache

import pytest


def chromium():
    """Its path; skips the test, and says why, where there is none."""
    found = _found_or_installed()
    if found is None:
        pytest.skip("no Chromium: install one (Debian: apt install chromium) to run the tests in a browser")
    return found


@cache  # installing is tried once
def _found_or_installed():
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
