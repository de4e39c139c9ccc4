"""Which system has which losses and scores, measured under which protocols on which data: a table of links."""

import inspect
from importlib import import_module
from pathlib import Path

from ..course.manifest import load_course
from ..course.provenance import PACKAGE, ROOT
from ..detectors import SYSTEMS
from .markdown import table
from .results import PROTOCOL_NAMES


def feature_table(rows):
    """Markdown table of SYSTEMS, each name a link to its line; protocols and data sets are those of measured rows."""
    lines = []
    for system in SYSTEMS.values():
        if not system.lesson:
            continue
        found = sorted(
            {
                (PROTOCOL_NAMES.get(row["protocol"], row["protocol"].upper()), row["dataset"])
                for row in _own(system, rows)
            }
        )
        by_protocol = {p: ", ".join(d for q, d in found if q == p) for p, _ in found}
        lesson, heading = lesson_of(system), system.lesson[1]
        named = _link(system.title or system.kind.__name__, system.kind)
        measured = "; ".join(f"{p}: {d}" for p, d in by_protocol.items())
        shown = f"[{lesson[:2]}, {heading}](notebooks/{lesson}.ipynb#{heading.replace(' ', '-')})"
        lines.append([named, _links(system.losses), _links(system.scores), measured, shown])
    return table(["system", "losses", "scores", "measured", "lesson"], lines, text=range(5))


def lesson_of(system):
    """The full name of the lesson that builds a system."""
    (lesson,) = load_course().select([system.lesson[0]])
    return lesson.name


def _own(system, rows):
    """The rows of a system. Those of FeatureDualAD are `dualad`'s, with a setting that says so."""
    on_features = system.name == "feature_dualad"
    name = "dualad" if on_features else system.name
    return [
        row
        for row in rows
        if row["detector"] == name and (name != "dualad" or on_features == ("features" in row["setting"]))
    ]


def _links(places):
    return ", ".join(_link(name, _thing(place)) for name, place in places.items())


def _thing(place):
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{PACKAGE}.{module}"), name)


def _link(name, found):
    path = Path(inspect.getsourcefile(found)).resolve().relative_to(ROOT)
    return f"[{name}]({path.as_posix()}#L{inspect.getsourcelines(found)[1]})"
