"""The course as `course.yml` tells it: lessons in order, their profiles, time limits and bands."""

import os
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from dualad_lib.errors import RunError

PROFILES = ("smoke", "lesson", "paper")
_LIBRARY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Lesson:
    """One notebook of the course. `profiles` maps a profile to the parameters it changes; `lesson` changes none."""

    name: str
    title: str
    folder: Path
    core: bool = True
    profiles: dict = field(default_factory=dict)
    cell_timeout: dict = field(default_factory=dict)
    bands: dict = field(default_factory=dict)
    teaches: dict = field(default_factory=dict)

    @property
    def source(self):
        return self.folder / "sources" / f"{self.name}.py"

    @property
    def notebook(self):
        return self.folder / f"{self.name}.ipynb"


@dataclass(frozen=True)
class Course:
    """A folder with `course.yml`, `sources/NAME.py` and the executed `NAME.ipynb`."""

    folder: Path
    lessons: tuple

    @property
    def packaged(self):
        """True for the read-only copy inside an installed package."""
        return self.folder == _LIBRARY / "_course"

    def select(self, names=(), everything=False):
        """The lessons called `names` (a unique beginning such as `01` will do), else the core course, else all.

        Raises RunError for a name that no lesson, or more than one, begins with.
        """
        if not names:
            return [lesson for lesson in self.lessons if lesson.core or everything]
        return [self._one(name) for name in names]

    def _one(self, name):
        known = [lesson.name for lesson in self.lessons]
        name = Path(name).stem if name.endswith((".py", ".ipynb")) else name
        found = [lesson for lesson in self.lessons if lesson.name == name]
        found = found or [lesson for lesson in self.lessons if lesson.name.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise RunError(
            f"no one lesson is called {name!r}{did_you_mean(name, known)}; lessons: {', '.join(known)}"
        )


def did_you_mean(name, known):
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def course_folder():
    """Where the course is: $DUALAD_COURSE, the checkout's `notebooks/`, or the copy inside the package.

    Raises RunError when none of them holds a `course.yml`.
    """
    asked = os.environ.get("DUALAD_COURSE")
    places = [Path(asked)] if asked else [_LIBRARY.parent / "notebooks", _LIBRARY / "_course"]
    for place in places:
        if (place / "course.yml").is_file():
            return place.resolve()
    raise RunError(
        f"no course.yml in {' or '.join(map(str, places))}; set DUALAD_COURSE to the course's folder"
    )


def load_course(folder=None):
    """Read and check `course.yml` of `folder` (default: `course_folder()`).

    Raises RunError for anything the manifest may not say: unknown keys, wrong types, a lesson named twice.
    """
    import yaml

    folder = Path(folder).resolve() if folder else course_folder()
    path = folder / "course.yml"
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RunError(f"{path} is not YAML: {error}") from error
    _only_keys(path, "the manifest", manifest, {"cell_timeout", "lessons"})
    timeouts = manifest.get("cell_timeout") or {}
    lessons = tuple(_lesson(path, entry, timeouts) for entry in manifest.get("lessons") or ())
    names = [lesson.name for lesson in lessons]
    if not names or len(set(names)) < len(names):
        raise RunError(f"{path}: needs lessons, each named once; it has {names}")
    return Course(folder, lessons)


def _lesson(path, entry, timeouts):
    keys = {"name", "title", "core", "profiles", "cell_timeout", "bands", "teaches"}
    _only_keys(path, "a lesson", entry, keys)
    name = entry.get("name")
    where = f"lesson {name}"
    if not isinstance(name, str) or not isinstance(entry.get("title"), str):
        raise RunError(f"{path}: every lesson needs a name and a title; one entry has {entry}")
    parts = {key: entry.get(key) or {} for key in ("profiles", "cell_timeout", "bands", "teaches")}
    parts["cell_timeout"] = {**timeouts, **parts["cell_timeout"]}
    parts["profiles"] = {profile: values or {} for profile, values in parts["profiles"].items()}
    for key in ("profiles", "cell_timeout"):
        _only_keys(path, f"{where}, {key}", parts[key], set(PROFILES))
    missing = set(PROFILES) - set(parts["cell_timeout"])
    if missing:
        raise RunError(f"{path}: {where} has no cell_timeout for {', '.join(sorted(missing))}")
    if parts["profiles"].get("lesson"):
        raise RunError(
            f"{path}: {where} changes parameters in the lesson profile; that profile is the notebook's own"
        )
    for metric, band in parts["bands"].items():
        if not (isinstance(band, list) and len(band) == 2 and band[0] <= band[1]):
            raise RunError(f"{path}: {where}, band of {metric} must be [low, high]; it is {band}")
    return Lesson(
        name=name, title=entry["title"], folder=path.parent, core=bool(entry.get("core", True)), **parts
    )


def _only_keys(path, what, mapping, known):
    if not isinstance(mapping, dict):
        raise RunError(f"{path}: {what} must be a mapping, not {type(mapping).__name__}")
    for key in mapping:
        if key not in known:
            hint = did_you_mean(str(key), sorted(known))
            raise RunError(
                f"{path}: {what} has an unknown key {key!r}{hint}; known: {', '.join(sorted(known))}"
            )
