"""The old place of `dualad_lib.course.environment`."""

import runpy
import warnings

from ..course.environment import describe

__all__ = ["describe"]
warnings.warn(
    "dualad_lib.runs.environment is now dualad_lib.course.environment.", FutureWarning, stacklevel=2
)
if __name__ == "__main__":
    runpy.run_module("dualad_lib.course.environment", run_name="__main__")
