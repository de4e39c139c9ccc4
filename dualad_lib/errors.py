"""The errors a user can meet. Each message says what was wrong and what to do."""


class DualADError(Exception):
    """Base of every error raised on purpose by this library."""


class DataError(DualADError, ValueError):
    """Images, labels or files that cannot be used as they are."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data set that no look-up place holds and that could not be downloaded."""


class RunError(DualADError, RuntimeError):
    """A notebook or table run that must not go on: bad parameter, failed cell, stale file."""
