"""The process from which kernels for grading are forked, with the libraries loaded: a kernel starts in a blink.

On Linux it reads one request a line (JSON: connection, folder, limits) and answers with the kernel's process id. It is
the reaper of all its descendants, so that none gets away from it, whatever session it makes for itself. Elsewhere,
where forking is not safe, it is started once a kernel, with the request as its argument, and becomes that kernel.

It knows no secret, no solution and no hidden test: a forked kernel holds what its parent held.
"""

import builtins
import ctypes
import json
import os
import signal
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = (
    3,
    4,
    24,
    36,
    38,
)
CAP_DAC_OVERRIDE = 1  # root keeps reading what it reads, and loses the rest, such as raising limits
LARGEST_FILE = 256 * 2**20
TASKS = 1024  # processes and threads beyond those that the user has now


def main():
    """Serve requests until the input ends, that is, until the grader has ended, however it did."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    _to_nothing()
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits: the system takes the dead away
    _prctl(PR_SET_DUMPABLE, 0)  # student code can't write into its pipes
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    print(json.dumps("ready"), file=replies, flush=True)
    for line in requests:
        kernel = os.fork()
        if kernel == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _prctl(PR_SET_DUMPABLE, 1)
            requests.close()
            replies.close()
            try:
                serve(**json.loads(line))
            finally:
                os._exit(0)
        print(kernel, file=replies, flush=True)
    end_descendants()


def serve(connection, folder, limits):
    """Become an ipykernel. connection: its connection file; folder: for all that it writes; limits: see `_limit`."""
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp

    class Alone(IPythonKernel):
        """A kernel with nobody at the keyboard: who asks is given an empty line."""

        def raw_input(self, prompt=""):
            return ""

        def getpass(self, prompt="", stream=None, **options):
            return ""

        async def do_execute(self, *arguments, **options):
            """Puts back streams that a cell has made unusable: the kernel would never answer."""
            streams = sys.stdout, sys.stderr
            try:
                return await super().do_execute(*arguments, **options)
            finally:
                for name, stream in zip(("stdout", "stderr"), streams, strict=True):
                    try:
                        getattr(sys, name).flush()
                    except Exception:
                        setattr(sys, name, stream)

    home, work = Path(folder, "home"), Path(folder, "work")
    builtins.input = lambda prompt="": ""  # also where a check calls
    for made in (home, work):
        made.mkdir()
    os.environ.update(HOME=str(home), IPYTHONDIR=str(home / "ipython"), TMPDIR=str(home))
    os.chdir(work)
    if hasattr(os, "setsid"):
        with suppress(OSError):  # started as a session of its own
            os.setsid()
    _limit(limits)
    app = IPKernelApp.instance(kernel_class=Alone)
    app.initialize(["-f", connection, "--HistoryManager.enabled=False", "--IPKernelApp.log_level=CRITICAL"])
    _limit_memory(limits["memory_mb"])
    app.start()


def _limit(limits):
    """Hard limits, which this process can't raise again. limits: cpu_seconds of each process, memory_mb."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _to_nothing()
    most = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": LARGEST_FILE,
        "RLIMIT_CPU": int(limits["cpu_seconds"]) + 1,
        "RLIMIT_NPROC": _tasks() + TASKS,
    }
    for name, value in most.items():
        with suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value))
    _drop_rights()


def _limit_memory(memory_mb):
    """At most so much beyond what the libraries take, where the system can do that."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        most = taken + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):
        pass


def _tasks():
    """How many processes and threads this user has now."""
    import psutil

    count, own = 0, os.getuid()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == own:
                count += process.num_threads()
    return count


def _drop_rights():
    """No program gives rights that this one has not (sudo); and root keeps those of reading alone."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for right in range(64):
        if right != CAP_DAC_OVERRIDE:
            _prctl(PR_CAPBSET_DROP, right)
    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    kept = 1 << CAP_DAC_OVERRIDE
    libc.capset(version, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0))


@contextmanager
def unreadable(secret):
    """Keep a secret from other processes of the same user: memory, environment, command line of this one (Linux)."""
    before = _prctl(PR_GET_DUMPABLE, 0)
    _prctl(PR_SET_DUMPABLE, 0)
    _blank(secret)
    try:
        yield
    finally:
        _prctl(PR_SET_DUMPABLE, before)


def _blank(secret):
    """Put x for each letter of a secret in what the system shows as this process's command line."""
    with suppress(OSError, ValueError, IndexError):
        line = Path("/proc/self/cmdline").read_bytes()
        start = int(
            Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45]
        )  # arg_start, see proc(5)
        place, word = 0, os.fsencode(secret)
        for argument in line.split(b"\0"):
            if word and argument in (word, b"--secret=" + word):
                ctypes.memset(start + place + len(argument) - len(word), ord("x"), len(word))
            place += len(argument) + 1


def _prctl(option, value):
    if sys.platform.startswith("linux"):
        return ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    return 0


def _to_nothing():
    """Standard input, output and error are those of nobody."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)


def _load():
    """What submissions import, so that a forked kernel has it; no thread may run before a fork."""
    import torch

    for name in ("ipykernel.kernelapp", "matplotlib.pyplot", "scipy.stats", "dualad_lib.teaching.project"):
        import_module(name)
    torch.set_num_threads(1)


def end_descendants(process=None):
    """Kill all that descends from a process (default: this one), also what is forked meanwhile."""
    import psutil

    for _ in range(1000):
        try:
            found = (process or psutil.Process()).children(recursive=True)
        except psutil.Error:
            return
        found = [one for one in found if _alive(one)]
        if not found:
            return
        for one in found:  # first all are stopped, so that none can fork while the others die
            with suppress(psutil.Error):
                one.suspend()
        for one in found:
            with suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(found, timeout=0.05)


def _alive(process):
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _load()
        serve(**json.loads(sys.argv[1]))
    else:
        main()
