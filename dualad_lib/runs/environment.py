"""The old place of `dualad_lib.course.environment`, kept for one release."""

import warnings

from ..course.environment import describe, install

__all__ = ["describe"]
warnings.warn("dualad_lib.runs.environment is now in dualad_lib.course.", FutureWarning, stacklevel=2)
if __name__ == "__main__":
    install()
