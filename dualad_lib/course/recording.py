"""`record`: how a lesson hands a measured number to whoever runs it."""

import math
import sys
import time
from pathlib import Path

MIME = "application/vnd.dualad.metrics+json"
_start = time.perf_counter()


def record(**metrics):
    """Record named numbers of this run for the runner; a reader sees nothing of it in a notebook, else one plain line.

    Values are finite numbers (Python, NumPy or one-element tensors), or None for "could not be measured".
    May be called many times; a name may come again only with the same value. In a notebook the values travel in
    the cell's output under the MIME type `MIME`; elsewhere the line is printed and nothing else happens.

    Raises TypeError for a value that is no number, ValueError for one that is not finite or for a name starting
    with `run_` (kept for the runner).
    """
    values = {name: _number(name, value) for name, value in metrics.items()}
    if not _in_notebook():
        print("recorded: " + ", ".join(f"{name} {_text(value)}" for name, value in values.items()))
        return
    from IPython.display import display

    payload = {"metrics": values, "seconds": round(time.perf_counter() - _start, 2), **_machine()}
    display({MIME: payload, "text/plain": ""}, raw=True)


def _number(name, value):
    if name.startswith("run_"):
        raise ValueError(f"record({name}=...): names starting with run_ are kept for the runner; rename it")
    if value is None:
        return None
    if isinstance(value, (str, bytes, bool)):
        raise TypeError(f"record({name}={value!r}): a metric is a number, not {type(value).__name__}")
    try:
        number = int(value) if isinstance(value, int) else float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"record({name}=...): a metric is one number, got {type(value).__name__}") from error
    if not math.isfinite(number):
        raise ValueError(f"record({name}={number}): not finite; record None if it cannot be measured")
    return number


def _text(value):
    return "none" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def _in_notebook():
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _machine():
    machine = {"peak_memory_mb": _peak_memory_mb(), "device": None}
    torch = sys.modules.get("torch")
    if torch is not None:
        machine["device"] = "cpu"
        if torch.cuda.is_available():
            machine["device"] = torch.cuda.get_device_name()
            machine["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return machine


def _peak_memory_mb():
    """The largest resident size of this process so far, in MiB, or None where the system does not tell."""
    try:  # Linux: getrusage would count the parent's size before exec as well
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024)
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 1024))
