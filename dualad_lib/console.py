"""What a command does to its process: streams that take any text, warnings in one line, an end when it is stopped."""

import os
import signal
import socket
import sys
import threading
import warnings
from contextlib import contextmanager

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
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


class Stop:
    """Whether a signal has asked the process to end, and the exit status for that, as shells have it: 130 of Ctrl-C."""

    status = 0

    def __call__(self, number, frame):
        self.status = 128 + number
        raise KeyboardInterrupt


@contextmanager
def ends_on_interrupt(grace=GRACE):
    """Inside, Ctrl-C ends the process at the latest `grace` seconds later; give a Stop, which tells whether it came.

    So do SIGTERM, which `timeout`, batch systems and shutdowns send, and SIGHUP of a terminal that closes; a signal
    that somebody handles or, like nohup, ignores is left to them. Python raises KeyboardInterrupt between two of its
    own steps alone: a long call into C, a pool that waits for its threads, or a library that catches everything would
    go on. A thread is told by the signal itself, waits, and then ends the process. Outside of the main thread, where
    signals do not arrive, nothing happens.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    ended = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    own = (signal.SIG_DFL, signal.default_int_handler)
    replaced = {number: signal.getsignal(number) for number in STOPS if signal.getsignal(number) in own}

    def watch():
        while word := reader.recv(1):
            if word[0] in replaced and not ended.wait(grace):
                os.write(2, b"dualad: interrupted\n")
                os._exit(128 + word[0])

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    for number in replaced:
        signal.signal(number, stop)
    try:
        yield stop
    finally:
        ended.set()
        for number, handler in replaced.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()
