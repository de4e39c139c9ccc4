"""The grid behind the tables: cells of data set, method, class and seed, each finished once, on any number of workers.

A cell is one call of `measure`, which writes its rows whole or not at all. A lock a cell keeps two workers off the same
one, also across runners: whoever comes second finds it finished. Dask distributes the cells: over the cores of this
machine, over its GPUs, or over any running scheduler, whose workers need this package and the output folder.
"""

import logging
import os
import shlex
import signal
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from ..console import short_warnings
from ..course.manifest import load_course
from ..course.runner import execute, prepare
from ..data import DATASETS as CLASSES
from ..errors import DualADError, RunError
from ..files import atomic_write, writable
from ..progress import progress
from .results import merge_measures, merge_results, read_measures, read_results
from .settings import ABLATION, BASELINES, DATASETS, profile_settings

MAIN = "tables"  # the study of the main tables; a cell of it is a run of the lesson LESSON
LESSON = "benchmark"
EXECUTORS = ("papermill", "python")
PROTOCOLS = ("tcp", "tls", "ucx", "ucxx", "ws", "wss")
PATIENCE = 30  # seconds that a grid waits for a worker when there is none
LOOK_EVERY = 2  # seconds between two looks whether there is one
UNSEEN = "a worker finished it, but its rows are not in the output folder: all workers must share that folder"


@dataclass(frozen=True)
class Cell:
    """What is measured: a method on a class of a data set with a seed.

    options: of a study, what else `measure` takes. The main table has the settings of its profile. module: of the
    functions `measure` and `identify` that the cell calls (see `cells`).
    """

    dataset: str
    method: str
    normal_class: int
    seed: int
    profile: str
    study: str = MAIN
    options: dict | None = None
    module: str = "dualad_lib.experiments.measuring"

    @property
    def name(self):
        name = f"{self.dataset}-{self.method}-{self.normal_class}-{self.seed}-{self.profile}"
        if self.options is None:
            return name
        own = [self.options.get("protocol", ""), self.options.get("setting", "")]
        return "-".join([self.study, name, *filter(None, own)]).replace(" ", "_").replace("/", "_")

    def arguments(self):
        """What `measure` takes besides the class and the output folder."""
        own = {"params": profile_settings(self.profile, self.dataset, self.method)}
        return {
            "detector": self.method,
            "dataset": self.dataset,
            "seed": self.seed,
            "profile": self.profile,
            **(own if self.options is None else {**self.options, "study": self.study}),
        }

    def kept(self, output):
        """What of the cell is kept in a grid's folder."""
        identify = import_module(self.module).identify
        return identify(normal_class=self.normal_class, output=Path(output) / "cells", **self.arguments())

    def rows(self, output):
        """Rows of the finished cell, or None."""
        return self.kept(output).rows()

    def command(self):
        what = f"--methods {self.method}"
        if self.options is not None:
            setting = shlex.quote(self.options.get("setting", ""))
            what = f"--study {self.study} --methods {self.method} --settings {setting}"
        return (
            f"dualad reproduce --profile {self.profile} --datasets {self.dataset} {what} "
            f"--classes {self.normal_class} --seeds {self.seed + 1}"
        )


def grid(datasets=None, methods=None, classes=None, seeds=1, profile="paper"):
    """The cells of a grid, cheap methods first; what is named twice counts once. classes: None, all of each data set.

    Raises RunError for unknown names.
    """
    if profile not in DATASETS:
        raise RunError(f"a grid has no profile {profile!r}: choose from {', '.join(DATASETS)}.")
    datasets = tuple(dict.fromkeys(DATASETS[profile] if datasets is None else datasets))
    methods = tuple(dict.fromkeys((*BASELINES, *ABLATION) if methods is None else methods))
    classes = None if classes is None else tuple(dict.fromkeys(classes))
    for method in methods:
        if method not in (*BASELINES, *ABLATION):
            raise RunError(f"unknown method {method!r}: choose from {', '.join((*BASELINES, *ABLATION))}.")
    for dataset in datasets:
        if dataset not in CLASSES:
            raise RunError(f"unknown data set {dataset!r}: choose from {', '.join(CLASSES)}.")
        for k in classes or ():
            if not 0 <= k < len(CLASSES[dataset]):
                raise RunError(
                    f"{dataset} has the classes 0 to {len(CLASSES[dataset]) - 1}, and none called {k}."
                )
    cells = [
        Cell(dataset, method, k, seed, profile)
        for method, seed, dataset in product(methods, range(seeds), datasets)
        for k in (range(len(CLASSES[dataset])) if classes is None else classes)
    ]
    if not cells:
        raise RunError("a grid needs a data set, a method, a class and a seed: there is nothing to measure.")
    return cells


def run_cell(cell, output, executor="python", threads=1):
    """Finish one cell and return the number of its rows; a finished one is read. Runs in a worker.

    An error is kept as `output/failed/NAME.txt` until the cell succeeds, and raised.
    """
    import torch
    from filelock import FileLock

    output = Path(output)
    failed = output / "failed" / f"{cell.name}.txt"
    lock = _lock_path(cell, output)
    lock.parent.mkdir(parents=True, exist_ok=True)
    _take_own_gpu()
    torch.set_num_threads(threads)
    with FileLock(lock), short_warnings():
        rows = cell.rows(output)
        if rows is None:
            try:
                rows = _finish(cell, output, executor)
            except Exception:
                _keep_failure(failed)
                raise
            with open(
                output / "finished.log", "a", encoding="utf-8"
            ) as log:  # one line a cell, whoever finished it
                log.write(f"{cell.name} {os.getpid()}\n")
        failed.unlink(missing_ok=True)
    return len(rows)


def _lock_path(cell, output):
    return output / "locks" / f"{cell.name}.lock"


def _await_cut_off(cells, output, reasons):
    """Wait, PATIENCE seconds in all, for workers that lost their scheduler and are still at a cell: they hold its lock.

    What they finish then counts; who needs longer is named.
    """
    from filelock import FileLock, Timeout

    end = time.monotonic() + PATIENCE
    for cell in cells:
        path = _lock_path(cell, output)
        try:
            if path.exists():
                FileLock(path).acquire(timeout=max(0.0, end - time.monotonic())).lock.release()
        except Timeout:
            reasons[cell.name] = "not finished: a worker without a scheduler is still at it"


def _keep_failure(path):
    """Write the traceback of the error that is being handled, if the disk takes it: it must not hide the error."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")


def _finish(cell, output, executor):
    cells, arguments = output / "cells", cell.arguments()
    if executor == "python" or cell.options is not None:  # the notebook's cells are the main table's
        measure = import_module(cell.module).measure
        return measure(normal_class=cell.normal_class, output=cells, command=cell.command(), **arguments)
    (lesson,) = load_course().select([LESSON])
    values = {
        "dataset": cell.dataset,
        "detector": cell.method,
        "normal_class": cell.normal_class,
        "seed": cell.seed,
        "profile": cell.profile,
        "cells_folder": str(cells.resolve()),
    }
    job = prepare(
        lesson, "smoke" if cell.profile == "smoke" else "paper", {k: str(v) for k, v in values.items()}
    )
    import nbformat

    folder = output / "notebooks"
    nb, _ = execute(job, folder / cell.name)
    with atomic_write(folder / cell.name / f"{lesson.name}.ipynb") as path:
        nbformat.write(nb, path)
    return cell.rows(output)


def reproduce(cells, output, executor="papermill", scheduler=None, workers=None, threads=1, say=print):
    """Finish a grid's cells and write them into `output/results/STUDY_DATASET.csv`; return (rows, {cell name: why}).

    executor: "papermill" runs the benchmark notebook once a cell, "python" calls `measure` in the worker. scheduler:
    address of a running Dask scheduler (None: workers on this machine, one a GPU or one for each `threads` cores).
    Interrupted, or killed, it loses nothing finished: call it again. A cell is finished when its rows stand on disk,
    whatever a worker says; each other one is listed with the reason, and tried again by the next call. Raises RunError
    for what is wrong from the start: an executor, number or address that is none, a results file that is damaged.
    """
    if executor not in EXECUTORS:
        raise RunError(f"unknown executor {executor!r}: choose from {', '.join(EXECUTORS)}.")
    for name, count in {"workers": workers, "threads": threads}.items():
        if count is not None and count < 1:
            raise RunError(f"{name} must be a whole number of 1 or more, not {count}.")
    cells = list({cell.name: cell for cell in cells}.values())  # on "smoke" several data sets are one
    output, address = Path(output), None if scheduler is None else scheduler_address(scheduler)
    files = {
        (study, dataset): output / "results" / f"{study}_{dataset}.csv"
        for study, dataset in dict.fromkeys((cell.study, cell.dataset) for cell in cells)
    }
    for path in files.values():  # before hours are spent, and not after them
        beside = output / "measures" / path.name
        if path.exists():
            read_results(path)
        if beside.exists():
            read_measures(path.stem, beside.parent)
        writable(path)
    writable(output / "cells" / "rows.json")
    todo = [cell for cell in cells if cell.rows(output) is None]
    say(f"{len(cells)} cells, {len(cells) - len(todo)} of them finished before")
    reasons = {}
    if todo:
        with _pool(address, workers, threads, say) as finish:
            ended = finish(todo, output, executor, threads)
            for cell, reason in progress(
                ended, total=len(todo), label="cells", lines=max(5, min(len(todo), 50))
            ):
                reasons[cell.name] = reason or UNSEEN
        _await_cut_off([cell for cell in todo if cell.rows(output) is None], output, reasons)
    found = [(cell, cell.rows(output)) for cell in cells]
    with _merging(output):
        for key, path in files.items():
            own = [(cell, rows) for cell, rows in found if (cell.study, cell.dataset) == key and rows]
            if own:
                merge_results([row for _, rows in own for row in rows], path)
            measures = [one for cell, _ in own for one in cell.kept(output).measures()]
            if measures:
                merge_measures(measures, output / "measures" / path.name)
    errors = {cell.name: reasons.get(cell.name, UNSEEN) for cell, rows in found if rows is None}
    for name, reason in errors.items():
        say(f"FAILED {name}: {reason}")
    say(f"{len(cells) - len(errors)} of {len(cells)} cells finished; results in {output / 'results'}")
    if errors:
        say("the same command goes on with the others.")
    return [row for _, rows in found for row in rows or ()], errors


def _merging(output):
    """Held while results files are read, added to and written: of another runner's rows none are lost."""
    from filelock import FileLock

    path = output / "locks" / "results.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def scheduler_address(text):
    """The address of a Dask scheduler, PROTOCOL://HOST:PORT; without a protocol tcp. Raises RunError."""
    address = text if "://" in text else f"tcp://{text}"
    try:
        parts = urlsplit(address)
        whole = bool(parts.hostname and parts.port)
    except ValueError:  # of a port that is no number
        whole = False
    if not whole or parts.scheme not in PROTOCOLS:
        raise RunError(
            f"{text!r} is no address of a Dask scheduler: give one such as tcp://host:8786, with its port; known "
            f"protocols are {', '.join(PROTOCOLS)}."
        )
    return address


@contextmanager
def _pool(scheduler, workers, threads, say):
    """A function that finishes cells and yields (cell, error in words or None) as they end, if they end."""
    try:
        import distributed
    except ImportError:
        if scheduler is not None or workers not in (None, 1):
            raise RunError("several workers need Dask: install `distributed`.") from None
        say("Dask is not installed: one cell after the other")
        yield _in_turn
        return
    logging.getLogger("distributed").setLevel(
        logging.CRITICAL
    )  # what it would say is said here, cell by cell
    cluster = None
    if scheduler is None:
        cluster = _local_cluster(workers or _workers(threads), threads)
    try:
        with _client(distributed.Client, cluster or scheduler) as client:

            def finish(cells, output, executor, threads):
                futures = _submit(client, cells, output.resolve(), executor, threads)
                yield from _ended(client, futures, say)

            yield finish
    except KeyboardInterrupt:
        _kill_workers(cluster)  # closing waits for the cells that they are at
        raise
    finally:
        if cluster is not None:
            cluster.close()


def _submit(client, cells, *arguments):
    """Future -> its cell, for each of them."""
    # Dask groups tasks by the words before the first number of their key, and hands the first tasks of each group out
    # at once, whatever their priority: one group keeps the cells in their order.
    how = {"pure": False, "fifo_timeout": "0ms"}
    return {
        client.submit(run_cell, cell, *arguments, key=f"cell-0-{cell.name}", priority=-place, **how): cell
        for place, cell in enumerate(cells)
    }


def _ended(client, futures, say):
    """Yield (cell, why it failed or None) as they end; give up when there has been no worker for PATIENCE seconds."""
    from distributed import as_completed

    ended, left = as_completed(futures), dict(futures)
    seen = looked = time.monotonic()
    while left:
        for future in ended.next_batch(block=False):
            yield left.pop(future), _reason(future)
        now = time.monotonic()
        if now - looked > LOOK_EVERY:
            if _has_workers(client):
                seen = now
            elif looked == seen:
                say(f"no Dask worker is there: waiting for one, at most {PATIENCE} s")
            looked = now
            if now - seen > PATIENCE:
                break
        time.sleep(0.05)
    for cell in left.values():
        yield cell, f"not measured: no Dask worker was there for {PATIENCE} s"


def _has_workers(client):
    with suppress(OSError, ValueError, AttributeError):  # of a client that has lost its scheduler
        # the scheduler itself is asked: what `scheduler_info` gives, the client refreshes beside, without the workers
        return bool(client.nthreads())
    return False


def _reason(future):
    """Why a future that ended is no finished cell, in words; None for a finished one."""
    if future.status == "finished":
        return None
    if future.status == "error":
        return _words(future.exception())
    return "not measured: the Dask scheduler was lost, or gave the cell up"


def _client(kind, address):
    try:
        return kind(address, timeout=30)
    except (OSError, ValueError) as error:
        where = getattr(address, "scheduler_address", address)
        raise RunError(f"no Dask scheduler answers at {where}: {error}") from error


def _local_cluster(workers, threads):
    import dask.config
    from distributed import LocalCluster

    # Dask's own environment makes malloc give each batch's memory back to the system at once: half of the time
    environment = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with dask.config.set({"distributed.nanny.pre-spawn-environ": environment}):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            scheduler_kwargs={
                "dashboard_address": ":0"
            },  # any free port, where another grid has the usual one
            silence_logs=logging.CRITICAL,
            preload=[__name__],
        )


def dask_setup(worker):
    """Called in each local worker: Ctrl-C in a terminal reaches it too, but the runner ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _kill_workers(cluster):
    for nanny in [] if cluster is None else cluster.workers.values():
        nanny.auto_restart = False
        with suppress(OSError, TypeError, AttributeError):  # it has ended, or not yet begun, or is a thread
            os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def _in_turn(cells, output, executor, threads):
    for cell in cells:
        try:
            run_cell(cell, output, executor, threads)
            yield cell, None
        except Exception as error:
            yield cell, _words(error)


def _words(error):
    """One line: an error of this library's own says it all, another one needs its kind."""
    text = str(error) if isinstance(error, DualADError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if text else type(error).__name__


def _workers(threads):
    """One a GPU; without one, as many as the cores that this process may use carry."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return torch.cuda.device_count() or max(1, cores // threads)


def _take_own_gpu():
    """On a machine with several GPUs each local worker takes the one of its number, before CUDA is first used."""
    import torch

    if torch.cuda.device_count() < 2 or torch.cuda.is_initialized():
        return
    try:
        from distributed import get_worker

        number = int(get_worker().name)
    except (ImportError, ValueError, TypeError):
        return
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
        map(str, range(count))
    )  # a cluster may preset them
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number % count]
