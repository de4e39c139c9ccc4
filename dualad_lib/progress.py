"""How far the work is: lines, and one progress bar for terminals and batch logs."""

import os
import sys
import time
from contextlib import suppress


def say(line):
    """Print a line about the work. Where nobody reads it any more, or its disk is full, the work goes on in silence.

    For commands whose product is a file: `dualad fit ... | head -1` shall still write the model.
    """
    try:
        print(line, flush=True)
    except OSError:
        with suppress(OSError, ValueError):  # a stream without a file behind it
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # takes what is still in the buffer, too
            os.close(nowhere)


def progress(iterable, total=None, label="", status=None, lines=5):
    """Yield from `iterable`, reporting how far it is on standard error or in plain printed lines.

    On a terminal this is a tqdm bar. Anywhere else (a log file, a notebook run in batch) about `lines`
    plain lines are printed over the whole run, because a redrawn bar is unreadable there and widget state
    must not end up in a committed notebook. `status` is called for a short text to stand beside the count.
    """
    total = len(iterable) if total is None else total
    if sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(iterable, total=total, desc=label, leave=False)
        for item in bar:
            yield item
            if status is not None:
                bar.set_postfix_str(status(), refresh=False)
        return
    every = max(1, -(-total // lines))
    start = time.perf_counter()
    for done, item in enumerate(iterable, start=1):
        yield item
        if label and (done % every == 0 or done == total):
            seconds = time.perf_counter() - start
            left = seconds / done * (total - done)
            text = f"  {status()}" if status is not None else ""
            say(f"{label}: {done}/{total}  {seconds:.0f} s, {left:.0f} s left{text}")
