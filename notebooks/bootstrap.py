# Installs this course's library where it is missing, as on Colab. An installed torch is never touched.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("dualad_lib") is None:
    source = os.environ.get("DUALAD_SOURCE") or "git+@REPOSITORY@"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", source], check=True)
    subprocess.run(
        [sys.executable, "-m", "dualad_lib.runs.environment"], check=True
    )  # missing light packages
    importlib.invalidate_caches()

from dualad_lib.runs.environment import describe

print(describe())
