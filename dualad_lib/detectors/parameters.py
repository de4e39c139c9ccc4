"""What numbers the parameters of detectors may be: a rule for some names, and one for all that have none."""

import inspect
import math
import numbers

from ..errors import DataError

#: name -> (lowest, highest, whole). Seeds are what numpy and torch both take.
RANGES = {
    "seed": (0, 2**32 - 1, True),
    "patterns": (2, math.inf, True),  # one pattern tells nothing apart
    "n_components": (1, math.inf, True),
    "nu": (1e-6, 1, False),
    "warm_up": (0, 1, False),
    "spoils": (0, 1, False),  # a share
}


def check_numbers(detector):
    """Raise DataError for a number among the parameters that makes no sense, say a negative seed or a width of 0.

    Of a name without an entry in RANGES the default says what is meant: a whole number of 1 or more (0 or more where
    that is the default), or a finite number of 0 or more. None is left alone where it is a choice: where the default
    is None, or the parameter's own code says what it means.
    """
    for name, parameter in inspect.signature(type(detector).__init__).parameters.items():
        rule = RANGES.get(name) or _rule(parameter.default)
        value = getattr(detector, name, None)
        if rule is not None and not (value is None and name in OPTIONAL.union(_none(parameter))):
            _check(name, value, *rule)


#: Parameters that may be None although their default is a number.
OPTIONAL = frozenset({"cap", "score_weight"})


def _none(parameter):
    return {parameter.name} if parameter.default is None else set()


def _rule(default):
    if isinstance(default, bool) or not isinstance(default, int | float):
        return None
    if isinstance(default, int):
        return min(1, default), math.inf, True
    return 0, math.inf, False


def _check(name, value, lowest, highest, whole):
    kind = numbers.Integral if whole else numbers.Real
    sound = isinstance(value, kind) and not isinstance(value, bool) and lowest <= value <= highest
    if not sound or not math.isfinite(value):
        words = "a whole number" if whole else "a finite number"
        upto = f"of {lowest} or more" if highest == math.inf else f"from {lowest} to {highest}"
        raise DataError(f"{name} must be {words} {upto}, got {value!r}.")
