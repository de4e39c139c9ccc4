"""Running the course: the strict notebook runner, metrics and their bands, provenance, result tables.

Only light names are exported, each imported when first asked for, so that a notebook's
`from dualad_lib.runs import record` costs nothing.
"""

from importlib import import_module

_EXPORTS = {
    "record": "recording",
    "measure": "results",
    "measure_table": "results",
    "measured": "results",
    "read_results": "results",
    "write_results": "results",
}


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def __dir__():
    return sorted(_EXPORTS)
