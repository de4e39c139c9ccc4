"""The course as `course.yml` tells it: lessons in order, their profiles, time limits and bands."""

import math
import os
import re
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
        """The lessons called `names` (a unique beginning, or what follows the number), each once, else the core course,
        else all.

        Raises RunError for a name that no lesson, or more than one, begins with.
        """
        if not names:
            return [lesson for lesson in self.lessons if lesson.core or everything]
        return list({lesson.name: lesson for lesson in map(self._one, names)}.values())  # each once

    def _one(self, name):
        known = [lesson.name for lesson in self.lessons]
        name = Path(name).stem if name.endswith((".py", ".ipynb")) else name
        found = [lesson for lesson in self.lessons if lesson.name == name]
        found = found or [lesson for lesson in self.lessons if lesson.name.startswith(name)]
        found = found or [lesson for lesson in self.lessons if lesson.name.partition("_")[2] == name]
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


def read_text(path):
    """A text file of the course, without the byte-order mark that some editors write. Raises RunError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeError as error:
        raise RunError(f"{path} is not text in UTF-8 ({error}): save it in that encoding") from error


def load_course(folder=None):
    """Read and check `course.yml` of `folder` (default: `course_folder()`).

    Raises RunError for anything the manifest may not say: unknown keys, wrong types, a lesson named twice.
    """
    import yaml

    folder = Path(folder).resolve() if folder else course_folder()
    path = folder / "course.yml"
    try:
        manifest = _yaml(read_text(path)) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: of a date that is none
        raise RunError(f"{path} is not YAML: {error}") from error
    _only_keys(path, "the manifest", manifest, {"cell_timeout", "lessons"})
    timeouts = _part(manifest, "cell_timeout")
    _only_keys(path, "cell_timeout", timeouts, PROFILES)
    entries = manifest.get("lessons") or []
    if not isinstance(entries, list):
        raise RunError(f"{path}: lessons must be a list, not {type(entries).__name__}")
    lessons = tuple(_lesson(path, entry, timeouts) for entry in entries)
    names = [lesson.name for lesson in lessons]
    if not names or len(set(names)) < len(names):
        raise RunError(f"{path}: needs lessons, each named once; it has {names}")
    return Course(folder, lessons)


def _yaml(text):
    """What YAML says, none of it code. Raises YAMLError for a key that stands twice, of which YAML keeps the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"the key {key.value!r} stands twice", key.start_mark
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)


def _part(mapping, key):
    """What stands under the key; nothing, as after a bare `key:`, is an empty mapping."""
    return {} if mapping.get(key) is None else mapping[key]


def _lesson(path, entry, timeouts):
    keys = {"name", "title", "core", "profiles", "cell_timeout", "bands", "teaches"}
    _only_keys(path, "a lesson", entry, keys)
    name = entry.get("name")
    where = f"lesson {name}"
    if not isinstance(name, str) or not isinstance(entry.get("title"), str):
        raise RunError(f"{path}: every lesson needs a name and a title; one entry has {entry}")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise RunError(f"{path}: {name!r} is no name of a file: letters, digits, _, - and . alone")
    core = entry.get("core", True)
    if not isinstance(core, bool):
        raise RunError(f"{path}: {where}, core must be true or false; it is {core!r}")
    parts = {key: _part(entry, key) for key in ("profiles", "cell_timeout", "bands", "teaches")}
    for key, known in {
        "profiles": PROFILES,
        "cell_timeout": PROFILES,
        "bands": None,
        "teaches": None,
    }.items():
        _only_keys(path, f"{where}, {key}", parts[key], known)
    parts["cell_timeout"] = {**timeouts, **parts["cell_timeout"]}
    parts["profiles"] = {profile: _part(parts["profiles"], profile) for profile in parts["profiles"]}
    for profile, values in parts["profiles"].items():
        _only_keys(path, f"{where}, profile {profile}", values)
    missing = set(PROFILES) - set(parts["cell_timeout"])
    if missing:
        raise RunError(f"{path}: {where} has no cell_timeout for {', '.join(sorted(missing))}")
    if parts["profiles"].get("lesson"):
        raise RunError(
            f"{path}: {where} changes parameters in the lesson profile; that profile is the notebook's own"
        )
    for profile, limit in parts["cell_timeout"].items():
        if not (_number(limit) and limit > 0):
            raise RunError(f"{path}: {where}, cell_timeout of {profile} must be seconds; it is {limit!r}")
    for metric, band in parts["bands"].items():
        if not (isinstance(band, list) and len(band) == 2 and all(map(_number, band)) and band[0] <= band[1]):
            raise RunError(f"{path}: {where}, band of {metric} must be [low, high]; it is {band}")
    for taught, place in parts["teaches"].items():
        if not (isinstance(place, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", place)):
            raise RunError(
                f"{path}: {where}, teaches: {taught} must name its place, such as dualad_lib.losses.squared_error; "
                f"it is {place!r}"
            )
    return Lesson(name=name, title=entry["title"], folder=path.parent, core=core, **parts)


def _number(value):
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number that no float can hold
        return False


def _only_keys(path, what, mapping, known=None):
    """Raise RunError where `mapping` is none, or has a key that is no text or, with `known`, not one of these."""
    if not isinstance(mapping, dict):
        raise RunError(f"{path}: {what} must be a mapping, not {type(mapping).__name__}")
    for key in mapping:
        if not isinstance(key, str):
            raise RunError(f"{path}: {what} has the key {key!r}, which must be a text")
        if known is not None and key not in known:
            hint = did_you_mean(key, sorted(known))
            raise RunError(
                f"{path}: {what} has an unknown key {key!r}{hint}; known: {', '.join(sorted(known))}"
            )
