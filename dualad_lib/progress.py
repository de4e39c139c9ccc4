"""One progress bar for terminals and batch logs."""

import sys
import time


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
            print(f"{label}: {done}/{total}  {seconds:.0f} s, {left:.0f} s left{text}", flush=True)
