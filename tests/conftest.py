"""How the tests are shared out among processes, and a small course in a temporary folder for those of the runner."""

import os
import re
import signal
import textwrap

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; each worker has one core

MOST_WORKERS = 8  # each takes about a gigabyte
#: Files whose fixtures belong to one parameter, so that workers may share them out by it: its pattern in a test's name.
PARTED = {
    "test_detectors.py": r"\[(\w+)",
    "test_contract.py": r"\[(\w+)",
    "test_notebooks.py": r"\[(\d\d)",
}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Unless files or tests are named, or -n says otherwise, as many workers as there are processors.

    Not in pyproject.toml: there, the option would be an unknown one to whoever switches pytest-xdist off.
    """
    if "PYTEST_XDIST_WORKER" in os.environ or hasattr(config, "workerinput"):
        return  # a worker runs this hook too, and a test may start a pytest: neither has workers of its own
    if not config.pluginmanager.hasplugin("xdist") or config.option.numprocesses is not None:
        return
    alone = config.option.collectonly or config.option.usepdb or config.option.dist != "no"
    # pytest-cov has decided before this that there are no workers
    alone = alone or config.pluginmanager.hasplugin("_cov")
    if all(os.path.isdir(name) for name in config.args) and not alone:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        config.option.numprocesses = min(cores, MOST_WORKERS) if cores > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of a file go to one worker, so that no fixture is made twice."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            part = re.search(PARTED.get(os.path.basename(file), "$^"), test)
            return f"{file} {part[1]}" if part else file

    return Sharing(config, log)


TINY = """
# %% [markdown]
# # Tiny
# The value is {{ value | f1 }}.

# %% tags=["parameters"]
steps: int | None = 2
rate = 0.1
label = "a"
seed = 0

# %%
from dualad_lib.course import record

# %%
print(label, rate)
record(value=1.5 * steps + seed)
"""

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # of tests in the background: their commands would not heed Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def write_course(folder, sources, entries=None, timeout=60):
    """Write a course of these sources, with `entries` added to its manifest, and return it, loaded."""
    import yaml

    from dualad_lib.course.manifest import load_course

    (folder / "sources").mkdir(parents=True, exist_ok=True)
    for name, text in sources.items():
        (folder / "sources" / f"{name}.py").write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    lessons = [{"name": name, "title": name, **(entries or {}).get(name, {})} for name in sources]
    limits = dict.fromkeys(("smoke", "lesson", "paper"), timeout)
    (folder / "course.yml").write_text(yaml.safe_dump({"cell_timeout": limits, "lessons": lessons}))
    return load_course(folder)


@pytest.fixture
def make_course(tmp_path, monkeypatch):
    """make_course(sources, entries) writes a course (a tiny one without arguments) that `dualad` then finds."""
    folder = tmp_path / "course"
    monkeypatch.setenv("DUALAD_COURSE", str(folder))
    monkeypatch.chdir(tmp_path)

    def make(sources=None, entries=None, timeout=60):
        return write_course(folder, sources or {"01_tiny": TINY}, entries, timeout)

    return make
