"""Jupyter kernels for student code: started with limits, watched while they run, and ended with all they started."""

import atexit
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from ..errors import RunError
from . import bridge
from .host import end_descendants

LOADING = 300  # seconds in which the libraries must be loaded
POLL = 0.2  # seconds between two looks at a kernel that runs
GRACE = 1.5  # seconds in which an interrupted cell must have stopped
PROCESSES = 48  # that a kernel may have started at a time
FORKS = sys.platform.startswith("linux")
MARK = "DUALAD_RUN"  # in the environment of all that descends from a host
KEPT = (  # of the grader's environment: what programs need, and nothing that may be secret
    *(
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
        "SYSTEMROOT",
        "PATHEXT",
    ),
    *("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "LD_LIBRARY_PATH", "MPLCONFIGDIR", "DUALAD_DATA"),
)
CALL = "__import__('dualad_lib.teaching.bridge', fromlist=['call'])"


class Stopped(BaseException):
    """Student code was stopped, or its kernel has died; says why. No Exception: no check may take it for one."""


class Died(Stopped):
    """The kernel has ended by itself."""


class Kernel:
    """A kernel of its own for one submission; a context manager.

    memory_mb: what it may take beyond the libraries. cpu_seconds: limit of each of its processes. seconds: in which it
    must have started. Raises RunError where no kernel starts.
    """

    def __init__(self, memory_mb, cpu_seconds, seconds):
        from jupyter_client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        self.folder = Path(tempfile.mkdtemp(prefix="dualad-"))
        self.process = self.client = None
        try:
            connection = str(self.folder / "connection.json")
            sockets = {"transport": "ipc", "ip": str(self.folder / "socket")} if self._short() else {}
            write_connection_file(connection, key=secrets.token_hex(32).encode(), **sockets)
            limits = {"memory_mb": memory_mb, "cpu_seconds": cpu_seconds}
            self.host, self.process = _start(
                {"connection": connection, "folder": str(self.folder), "limits": limits}
            )
            self.client = BlockingKernelClient(connection_file=connection)
            self.client.load_connection_file()
            self.client.start_channels(iopub=False, stdin=False, hb=False, control=False)
            self._wait(self.client.kernel_info(), seconds)
        except Stopped as error:
            self.close()
            raise RunError(f"no kernel has started within {seconds:.0f} s ({error})") from None
        except BaseException:
            self.close()
            raise

    def _short(self):
        """Can sockets be files in the folder? Their paths may be 107 characters long."""
        return os.name == "posix" and len(str(self.folder)) < 90

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def run(self, source, seconds):
        """Run a cell; "" or what went wrong, in one line. Raises Stopped where it does not end, or ends the kernel."""
        reply = self._ask(source, seconds, store_history=True)
        return "" if reply["status"] == "ok" else in_words(reply["ename"], reply["evalue"])

    def fetch(self, name, ends, in_place=False):
        """The value of a name as data; functions as callables that run in the kernel, until the time `ends`.

        in_place: what a function does to its arguments is done to the caller's; else these stay as they are. Raises
        KeyError where the notebook has no such name.
        """
        found = self._evaluate(f"{CALL}.fetch({name!r})", ends)
        if "missing" in found:
            raise KeyError(name)
        return bridge.decode(found["value"], lambda number: self._function(number, ends, in_place))

    def _function(self, number, ends, in_place):
        def function(*arguments):
            found = self._evaluate(f"{CALL}.call({int(number)}, '{bridge.pack(arguments)}')", ends)
            for place, value in found.get("changed", {}).items() if in_place else ():
                _change(arguments[int(place)], bridge.decode(value, lambda number: None))
            return bridge.decode(found["value"], lambda number: self._function(number, ends, in_place))

        return function

    def _evaluate(self, expression, ends):
        reply = self._ask("", ends - time.monotonic(), user_expressions={"a": expression})
        if reply["status"] != "ok":
            raise bridge.raised([reply["ename"]], reply["evalue"])
        answer = reply["user_expressions"]["a"]
        if answer["status"] != "ok":
            raise bridge.raised([answer["ename"]], answer["evalue"])
        found = json.loads(answer["data"][bridge.MIME])
        if "error" in found:
            raise bridge.raised(found["error"], found["text"])
        return found

    def _ask(self, source, seconds, store_history=False, **more):
        self._look()
        message = self.client.execute(
            source, store_history=store_history, allow_stdin=False, stop_on_error=False, **more
        )
        try:
            return self._wait(message, seconds)
        except TimeoutError:
            if not self._interrupt(message):
                self.close()
            raise Stopped(f"stopped after {seconds:.2g} s: does a loop never end?") from None

    def _wait(self, message, seconds):
        """The content of the reply to a message. Raises TimeoutError, or Stopped where the kernel has died."""
        ends = time.monotonic() + seconds
        while True:
            left = ends - time.monotonic()
            try:
                reply = self.client.get_shell_msg(timeout=max(0, min(POLL, left)))
                if reply["parent_header"].get("msg_id") == message:
                    return reply["content"]
                continue
            except queue.Empty:
                pass
            except Exception as error:  # a message that student code has forged, badly
                self.close()
                raise Stopped(f"stopped: the kernel answers nonsense ({type(error).__name__})") from None
            self._look()
            if left <= 0:
                raise TimeoutError

    def _look(self):
        """Raises Stopped, and ends the kernel, where it has died or started too many processes."""
        if not self.alive:
            self.close()
            raise Died("stopped: the run died, as it does when memory runs out, or at an exit()")
        with suppress(psutil.Error):
            if len(self.process.children(recursive=True)) > PROCESSES:
                self.close()
                raise Stopped(f"stopped: it started more than {PROCESSES} processes")

    @property
    def alive(self):
        try:
            return self.process is not None and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def _interrupt(self, message):
        """Did it stop when asked to?"""
        if os.name != "posix":
            return False
        with suppress(TimeoutError, Stopped, psutil.Error):
            self.process.send_signal(signal.SIGINT)
            self._wait(message, GRACE)
            return True
        return False

    def close(self):
        """End the kernel and all that it started, and remove its folder."""
        if self.client is not None:
            self.client.stop_channels()
            self.client = None
        if self.process is not None:
            self.host.end(self.process)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)


def in_words(kind, text):
    """An error in one line."""
    text = " ".join(str(text).split())
    if kind in ("MemoryError", "_ArrayMemoryError") or ("alloc" in text and "memory" in text):
        return "stopped: it took more memory than allowed"
    return (
        f"{kind if str(kind).isidentifier() else 'an error'}: {text}"  # a table may take "=..." for a formula
    )


def limits_missing():
    """What this system can't limit, in words; empty where it limits all."""
    if FORKS:
        return ""
    if os.name == "posix":
        return "this system limits the time of student code, and not its memory; Linux, or a container, limits both"
    return "this system limits the time of student code, and neither its memory nor its files; use WSL, or a container"


def _change(argument, value):
    """What student code did to its argument is done to the check's."""
    if isinstance(argument, list):
        argument[:] = value
    else:
        with suppress(TypeError, ValueError, RuntimeError, IndexError):  # another shape than it may have
            argument[...] = value


# --- where kernels come from ------------------------------------------------------------------------------------------


class Forking:
    """A host with the libraries loaded, which forks kernels, one at a time (see `host`)."""

    def __init__(self):
        self.token = secrets.token_hex(16)
        command = [sys.executable, "-m", "dualad_lib.teaching.host"]
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(self.token),
            start_new_session=True,
        )
        self.process = psutil.Process(self.popen.pid)
        late = threading.Timer(LOADING, self.popen.kill)
        late.daemon = True
        late.start()
        try:
            ready = self.popen.stdout.readline().strip() == '"ready"'
        except BaseException:  # Ctrl-C: nobody else knows of this host yet
            self.stop()
            raise
        finally:
            late.cancel()
        if not ready:
            said = self.popen.stderr.read().strip().splitlines()
            self.stop()
            raise RunError(f"no kernel can be started: {said[-1] if said else 'the host ended'}")
        threading.Thread(target=self.popen.stderr.read, daemon=True).start()

    def start(self, request):
        """The kernel, a psutil.Process. Raises OSError where the host has gone."""
        self.popen.stdin.write(json.dumps(request) + "\n")
        self.popen.stdin.flush()
        answer = self.popen.stdout.readline()
        if not answer:
            raise BrokenPipeError("the host has ended")
        return psutil.Process(int(answer))

    def end(self, kernel):
        """End a kernel and all that descends from the host; student code may have ended or stopped the host itself."""
        end_descendants(self.process)
        with suppress(psutil.Error):
            if self.process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                return
        end_descendants(kernel)
        with suppress(psutil.Error):
            kernel.kill()
        self.stop()

    def stop(self):
        end_descendants(self.process)
        with suppress(OSError):
            self.popen.stdin.close()
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()
        for process in psutil.process_iter():  # what an ended host no longer reaps
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.token:
                    process.kill()


class Starting:
    """Where forking is not safe: an interpreter of its own for each kernel."""

    def start(self, request):
        command = [sys.executable, "-m", "dualad_lib.teaching.host", json.dumps(request)]
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        environment = _environment(secrets.token_hex(16))
        return psutil.Popen(command, **streams, env=environment, start_new_session=True)

    def end(self, kernel):
        mark = None
        with suppress(psutil.Error, OSError):
            mark = kernel.environ().get(MARK)
        end_descendants(kernel)
        with suppress(psutil.Error):
            kernel.kill()
            kernel.wait(5)
        for process in psutil.process_iter() if mark else ():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark:
                    process.kill()

    def stop(self):
        pass


_lock = threading.Lock()
_hosts = []


def _start(request):
    """(host, kernel): of a host that no kernel uses now; a gone one is replaced."""
    with _lock:
        if not _hosts:
            _hosts.append(Forking() if FORKS else Starting())
        try:
            return _hosts[0], _hosts[0].start(request)
        except (OSError, ValueError, psutil.Error):
            _hosts.pop().stop()
            _hosts.append(Forking())
            return _hosts[0], _hosts[0].start(request)
        except BaseException:  # interrupted between question and answer
            _hosts.pop().stop()
            raise


@atexit.register
def _stop():
    while _hosts:
        _hosts.pop().stop()


def _environment(token):
    """The environment of a host and its kernels: this process's as far as it can hold no secret."""
    package = str(Path(__file__).resolve().parents[2])
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        **kept,
        **threads,
        MARK: token,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "JUPYTER_PLATFORM_DIRS": "1",
    }
