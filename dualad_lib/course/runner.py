"""The strict notebook runner: a lesson runs whole, in time and with the parameters it names, or fails clearly."""

import datetime
import json
import os
import re
import secrets
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from dualad_lib.course import environment, provenance
from dualad_lib.course import parameters as strict
from dualad_lib.course.manifest import Lesson, load_course
from dualad_lib.course.notebook import code_cells, collect, read_notebook, read_source, tidy, values_for
from dualad_lib.course.render import render_notebook
from dualad_lib.errors import DualADError, RunError
from dualad_lib.files import atomic_write, locked, writable

DISTRIBUTIONS = ("dualad", "torch", "torchvision", "numpy", "scikit-learn")
_KEY = ("lesson", "profile", "parameters", "source_hash", "library_hash")


@dataclass
class Job:
    """A lesson ready to run: its checked notebook, what to override, and what identifies the run."""

    lesson: Lesson
    nb: object
    overrides: dict
    timeout: float
    stamp: dict


@dataclass
class Outcome:
    """What became of a lesson: `result` as in its metrics file, or `error` in words."""

    lesson: Lesson
    result: dict | None = None
    error: str = ""
    complaints: list = field(default_factory=list)


def prepare(lesson, profile="lesson", texts=None):
    """Read and strictly check a lesson for a profile, `texts` being overrides as written on a command line.

    Raises RunError, naming the lesson, for anything that must not run.
    """
    nb = read_source(lesson)
    try:
        asked = {**lesson.profiles.get(profile, {}), **strict.from_text(nb, texts or {})}
        values, overrides = strict.check(nb, asked)
        given = {"given": overrides.values()} if overrides else {}
        modules = provenance.library_hashes(nb, **given)
        code = provenance.code_hash(nb)
    except RunError as error:
        raise RunError(f"{lesson.name}: {error}") from error
    stamp = {
        "lesson": lesson.name,
        "profile": profile,
        "parameters": json.loads(json.dumps(values)),
        "default_parameters": _same(strict.check(nb, {})[0], values),
        "seed": values.get("seed"),
        "source_hash": provenance.source_hash(lesson.source),
        "code_hash": code,
        "library_hash": provenance.combined(modules),
        "library_modules": modules,
        "versions": {"python": python_version(), **{name: _version(name) for name in DISTRIBUTIONS}},
    }
    return Job(lesson, nb, overrides, lesson.cell_timeout[profile], stamp)


@contextmanager
def alone(folder, name, say=print):
    """Inside, no other run is at this lesson in this folder: a second one says that it waits, and waits."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(
        folder / f".{name}.lock",
        lambda: say(f"{name}: another run is at it in {folder}; waiting for its end"),
    ):
        yield


def execute(job, folder):
    """Run a job in `folder`; return (the executed, rendered, tidied notebook, its result).

    No other run may be at the lesson in this folder (`alone`). On failure the notebook as far as it came is kept as
    NAME.failed.ipynb, and RunError says what happened where.
    """
    import nbformat

    name, folder = job.lesson.name, Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{name}.*.tmp*"):  # of a killed run
        left.unlink(missing_ok=True)
    failed = folder / f"{name}.failed.ipynb"
    running = folder / f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp.ipynb"
    start = time.perf_counter()
    try:
        nbformat.write(job.nb, running)
        nb = _papermill(job, running)
        seconds = time.perf_counter() - start
        metrics, machine = collect(nb)
        today = datetime.date.today().isoformat()
        result = {**job.stamp, "metrics": metrics, **machine, "seconds": round(seconds, 1), "date": today}
        render_notebook(nb, values_for(job.lesson, result))
    except RunError as error:
        os.replace(running, failed)
        raise RunError(f"{name}: {error}\n  kept as {failed}") from error
    finally:
        running.unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    nb = tidy(nb)
    nb.metadata["dualad"] = result
    return nb, result


def run(
    names=(), profile="lesson", texts=None, output=None, everything=False, fresh=False, course=None, say=print
):
    """Run lessons, write NAME.ipynb and NAME.metrics.json for each into `output`; return a list of Outcome.

    Every lesson is checked before the first one runs. A lesson whose metrics file is of the same source, library,
    parameters and profile is not run again, unless `fresh`. A failed lesson does not stop the next. What an earlier run
    wrote stays until the new one is whole; but where the same run then fails, its metrics go: it is no longer done.

    Raises RunError when a lesson's name or parameters are wrong, or a notebook there is of no run; DataError where a
    file cannot be written.
    """
    course = course or load_course()
    output = Path(output or Path("runs") / profile)
    jobs = [prepare(lesson, profile, texts) for lesson in course.select(names, everything)]
    for job in jobs:
        notebook, _ = (writable(path) for path in _paths(job.lesson, output))
        if notebook.resolve() == job.lesson.notebook.resolve():
            raise RunError(
                f"{output} is the course itself, whose notebooks `dualad build` writes: choose another folder."
            )
        if _foreign(job.lesson, output):
            raise RunError(
                f"{notebook} is no notebook of an earlier run, and this one would replace it: choose another folder, "
                "or move it away."
            )
    outcomes = []
    for job in jobs:
        with alone(output, job.lesson.name, say):
            outcomes.append(_run_unless_done(job, output, fresh, say))
    return outcomes


def _run_unless_done(job, output, fresh, say):
    name = f"{job.lesson.name} ({job.stamp['profile']})"
    done = None if fresh else _done(job, output)
    if done:
        say(f"{name}: already done, {done['seconds']:.0f} s then; --fresh runs it again")
        return Outcome(job.lesson, done)
    say(f"{name}: running, at most {job.timeout:g} s a cell")
    start = time.perf_counter()
    try:
        outcome = Outcome(job.lesson, _run_one(job, output))
    except (DualADError, OSError) as error:
        say(f"{name}: FAILED after {time.perf_counter() - start:.0f} s\n{error}")
        return Outcome(job.lesson, error=str(error))
    say(f"{name}: finished in {outcome.result['seconds']:.0f} s")
    return outcome


def _run_one(job, output):
    import nbformat

    notebook, metrics = _paths(job.lesson, output)
    try:
        nb, result = execute(job, output)
    except RunError:
        if _done(job, output):  # of the very run that fails now
            metrics.unlink(missing_ok=True)
        raise
    metrics.unlink(missing_ok=True)  # it speaks of an older notebook from here on
    with atomic_write(notebook) as path:
        nbformat.write(nb, path)
    with atomic_write(metrics) as path:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _paths(lesson, output):
    return output / f"{lesson.name}.ipynb", output / f"{lesson.name}.metrics.json"


def _done(job, output):
    """The result of an earlier run of the same thing, or None; of a damaged one too, and of two runs' mixed files."""
    notebook, metrics = _paths(job.lesson, output)
    try:
        result = json.loads(metrics.read_text(encoding="utf-8"))
        stamp = read_notebook(notebook).metadata.get("dualad")
    except (OSError, ValueError, RecursionError, RunError):
        return None
    whole = isinstance(result, dict) and _same(result, stamp)
    return result if whole and all(_same(result.get(key), job.stamp[key]) for key in _KEY) else None


def _foreign(lesson, output):
    """Is there a notebook that no run wrote? A run's own has its stamp, or, where it is damaged, metrics beside it."""
    notebook, metrics = _paths(lesson, output)
    if not notebook.exists():
        return False
    try:
        return not read_notebook(notebook).metadata.get("dualad")
    except (OSError, RunError, RecursionError):
        return not metrics.exists()


def _papermill(job, path):
    """Execute the notebook file at `path` in place; return it. Raises RunError for every way to fail."""
    import logging

    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would say stands in the error below
    try:
        nb = papermill.execute_notebook(
            path,
            path,
            parameters=job.overrides,
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
            execution_timeout=job.timeout,
            cwd=path.parent,
            kernel_manager_class=_kernel_manager(),
            coalesce_streams=True,
            record_timing=False,
        )
    except PapermillExecutionError as error:
        raise RunError(_cell_error(error)) from error
    except CellTimeoutError as error:
        raise RunError(
            f"{_last_started(nbformat.read(path, 4))} took longer than the {job.timeout:g} s a cell may take "
            f"in the {job.stamp['profile']} profile (cell_timeout in course.yml)"
        ) from error
    except DeadKernelError as error:
        cell = _last_started(nbformat.read(path, 4))
        raise RunError(f"{cell}: the kernel died; the usual reason is too little memory") from error
    except Exception as error:  # of papermill, the kernel's client or its sockets: nothing of this is ours
        raise RunError(f"the notebook could not be run: {type(error).__name__}: {error}") from error
    ran = [cell for cell in code_cells(nb) if cell.execution_count is not None]
    if len(ran) < len(code_cells(nb)):
        raise RunError(f"only {len(ran)} of {len(code_cells(nb))} code cells were executed")
    return nb


def _kernel_manager():
    """A kernel of this very interpreter and this library, whatever kernels are installed under the name python3."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    here = [str(provenance.ROOT)] if (provenance.ROOT / "pyproject.toml").is_file() else []
    search = os.pathsep.join([*here, *filter(None, [os.environ.get("PYTHONPATH")])])

    launch = [sys.executable, "-m", "ipykernel_launcher"]

    class ThisInterpreter(AsyncKernelManager):
        @property
        def kernel_spec(self):
            return KernelSpec(
                argv=[*launch, "-f", "{connection_file}", "--log-level=CRITICAL"],
                display_name="Python 3 (ipykernel)",
                language="python",
                env={"PYTHONPATH": search, "PYDEVD_DISABLE_FILE_VALIDATION": "1", environment.BATCH: "1"},
            )

    return ThisInterpreter


def _cell_error(error):
    colours = re.compile(r"\x1b\[[0-9;]*m")
    trace = colours.sub("", "\n".join(error.traceback or ()))
    arrows = [line.strip() for line in trace.splitlines() if re.match(r"\s*-+> ?\d+", line)]
    message = "\n    ".join([*arrows[:1], *f"{error.ename}: {error.evalue}".strip().splitlines()[-8:]])
    return f"cell In [{error.exec_count}] failed\n    {message}"


def _last_started(nb):
    """The cell that was running when the notebook was last saved, in words."""
    code = code_cells(nb)
    waiting = [cell.metadata.get("papermill", {}).get("status") != "completed" for cell in code]
    started = [i for i, cell in enumerate(code) if cell.metadata.get("papermill", {}).get("start_time")]
    place = started[-1] if started else waiting.index(True) if any(waiting) else 0
    return f"code cell {place + 1} ({code[place].source.strip().splitlines()[0]})"


def _same(one, other):
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
