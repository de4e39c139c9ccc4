"""What a command does to its process: streams that take any text, warnings in one line, an end after Ctrl-C."""

import os
import signal
import socket
import sys
import threading
import warnings
from contextlib import contextmanager

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
GRACE = 4.0  # seconds that cleaning up after Ctrl-C may take


def forgiving_streams():
    """Let standard output and error show what their encoding lacks as \\x.. and not raise."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def short_warnings():
    """Warnings as one line each: the place in the library that warned says nothing to who typed a command."""
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        yield


def _warn(message, category, filename, lineno, file=None, line=None):
    print(f"dualad: warning: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


@contextmanager
def ends_on_interrupt(grace=GRACE):
    """Inside, Ctrl-C ends the process at the latest `grace` seconds later; give an event that is set by it.

    Python raises KeyboardInterrupt between two of its own steps alone: a long call into C, a pool that waits for its
    threads, or a library that catches everything would go on. A thread is told by the signal itself, waits, and then
    ends the process. Outside of the main thread, where signals do not arrive, nothing happens.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    ended = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch():
        while word := reader.recv(1):
            if word[0] == signal.SIGINT:
                asked.set()
                if not ended.wait(grace):
                    os.write(2, b"dualad: interrupted\n")
                    os._exit(INTERRUPTED)

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=watch, name="ctrl-c", daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()
