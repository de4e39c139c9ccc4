"""Fixtures shared by the tests of the runner: a small course in a temporary folder."""

import os
import signal
import textwrap

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

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
