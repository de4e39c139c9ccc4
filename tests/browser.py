"""A Chromium for the tests that need one: the system's, or Debian's, installed here where this user may."""

import os
import shutil
import subprocess
from contextlib import suppress
from functools import cache

import pytest


@cache
def chromium():
    """Its path; skips the test, and says why, where there is none."""
    for _ in range(2):
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if found:
            return found
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            break
        install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        for command in (["apt-get", "update"], install):
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, timeout=180, check=False)
    pytest.skip("no Chromium: install one (Debian: apt install chromium) to run the tests in a browser")
