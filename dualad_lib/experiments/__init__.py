"""What the committed tables come from: settings, studies, the grid that measures them, results files, tables.

Names are imported when first asked for, so that a worker or a lesson loads what it uses.
"""

from importlib import import_module

_EXPORTS = {
    "measure": "measuring",
    "read_results": "results",
    "write_results": "results",
}


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def __dir__():
    return sorted(_EXPORTS)
