"""What the bootstrap cell of every notebook asks for: one line about the environment, and missing light packages.

`python -m dualad_lib.course.environment` installs those of the package's requirements that are missing and light
enough; torch and torchvision are never touched, and what only running notebooks needs is not asked for.
"""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from platform import python_version

BATCH = "DUALAD_BATCH"  # set for the kernels of `dualad run` and `dualad build`
NEVER = ("torch", "torchvision", "papermill", "jupytext", "jupyterlab", "ipykernel")


def missing():
    """The package's light requirements that no installed distribution answers, as pip takes them."""
    found = []
    for requirement in requires("dualad") or ():
        name = re.match(r"[\w.-]+", requirement)[0]
        if name in NEVER or "extra ==" in requirement:
            continue
        try:
            version(name)
        except PackageNotFoundError:
            found.append(requirement)
    return found


def describe():
    """One line: Python, torch, device and library version."""
    try:
        import torch
    except ImportError:
        return f"Python {python_version()}, no torch: install it as https://pytorch.org/get-started says"
    device = "cpu"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    return f"Python {python_version()}, torch {torch.__version__}, device {device}, dualad {_version()}"


def _version():
    try:
        return version("dualad")
    except PackageNotFoundError:
        return "(from its source folder)"


def install():
    """Install what `missing` names."""
    if needed := missing():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *needed], check=True)


if __name__ == "__main__":
    install()
