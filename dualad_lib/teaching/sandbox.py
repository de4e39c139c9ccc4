"""The process in which a submission's cells run; started by `grading`, one line of results.jsonl a check.

It limits time and memory. It does not keep code from reading files or the network: a container does.
"""

import json
import signal
import sys
from pathlib import Path


class TimeLimit(BaseException):
    """No Exception, so that a student's `except Exception` does not swallow it."""


def main(cells, seconds, memory_mb):
    import torch

    from dualad_lib import losses  # noqa: F401 (loaded before memory is limited)

    torch.set_num_threads(1)
    _limit_memory(memory_mb)
    with open("results.jsonl", "a", encoding="utf-8", buffering=1) as results:
        for name, why in judge(json.loads(Path(cells).read_text(encoding="utf-8")), seconds):
            results.write(json.dumps([name, why]) + "\n")


def judge(cells, seconds):
    """Run code cells (dicts with id, source and check) in one namespace; yield (id, "" or why not) of each check."""
    from dualad_lib import checks
    from dualad_lib.teaching import project

    judges = {"checks": checks, "project": project}
    originals = {name: dict(vars(module)) for name, module in judges.items()}
    before = signal.signal(signal.SIGALRM, _out_of_time)
    names = {"__name__": "__main__"}
    try:
        for cell in cells:
            if cell["check"]:
                for name, module in judges.items():
                    vars(module).update(originals[name])  # whatever student code has put in their place
                names.update(judges)
            why = _run(_plain(cell["source"]), cell["id"] or "your own cell", names, seconds)
            if cell["check"]:
                yield cell["id"], why
    finally:
        signal.signal(signal.SIGALRM, before)


def _run(source, name, names, seconds):
    """What went wrong with the code, in one line; empty if it ran."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        exec(compile(source, name, "exec"), names)
        return ""
    except TimeLimit:
        return f"stopped after {seconds} s: does a loop never end?"
    except MemoryError:
        return "stopped: it took more memory than allowed"
    except BaseException as error:  # SystemExit too: it ends a cell, not the grading
        text = " ".join(str(error).split())
        if "alloc" in text and "memory" in text:
            return "stopped: it took more memory than allowed"
        return f"{type(error).__name__}: {text}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _plain(source):
    """The cell as plain Python: IPython's magics are for notebooks."""
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return source
    return TransformerManager().transform_cell(source)


def _out_of_time(number, frame):
    raise TimeLimit


def _limit_memory(memory_mb):
    """At most so much beyond what is taken now, where the system can do that."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        most = taken + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):
        pass


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
