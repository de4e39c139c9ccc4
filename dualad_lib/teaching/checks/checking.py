"""Self-checks for the exercises: each takes a student's answer and names the misconception behind a wrong one.

A check prints one line and returns True when the answer is right, raises CheckFailed when it is wrong, and says
"not done yet" and returns False while the stub still raises NotImplementedError (or the answer is None), so that a
notebook with open exercises runs through.
"""

import contextlib
import functools
import random

import numpy as np

from ...errors import DualADError


class CheckFailed(DualADError, AssertionError):
    """An answer that is not right yet; the message says which idea to look at again."""


def reports(passed):
    """Turn a function that raises on wrong answers into a check that also reports success and open stubs."""

    def decorate(function):
        @functools.wraps(function)
        def run(answer):
            if answer is None or answer is ... or (isinstance(answer, dict) and None in answer.values()):
                print("not done yet: fill in your answer, then run this cell again")
                return False
            try:
                with repeatable():
                    function(answer)
            except NotImplementedError:
                print(
                    "not done yet: replace `raise NotImplementedError` by your code, then run both cells "
                    "again"
                )
                return False
            print(f"passed: {passed}")
            return True

        return run

    return decorate


@contextlib.contextmanager
def repeatable():
    """An answer that draws random numbers is judged alike each time; the generators then go on where they were."""
    import torch

    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def compare_answers(answers, key, allowed):
    if not isinstance(answers, dict) or set(answers) != set(key):
        raise CheckFailed(
            f"Keep the dictionary with the keys {', '.join(map(repr, key))}; change only the values."
        )
    if any(value is None or value is ... for value in answers.values()):
        raise NotImplementedError
    for name, (right, reason) in key.items():
        if answers[name] not in allowed:
            raise CheckFailed(
                f"{name!r}: answer with one of {', '.join(map(repr, allowed))}, not {answers[name]!r}."
            )
        if answers[name] != right:
            raise CheckFailed(f"{name!r} is not {answers[name]!r}. {reason}")


def numbers(function, wanted, shape):
    """Call a student's function and hold the result to its shape."""
    if not callable(function):
        raise CheckFailed("Hand over the function itself, without calling it: check(my_function).")

    def call(*args):
        result = function(*args)
        if result is None:
            raise NotImplementedError
        values = as_array(result)
        if values.shape != shape:
            hint = " Average over channels and pixels, not over images." if shape and not values.shape else ""
            raise CheckFailed(f"The function should return {wanted}; it returned shape {values.shape}.{hint}")
        if not np.isfinite(values).all():
            raise CheckFailed("The result holds NaN or infinity.")
        return values

    return call


def as_array(result):
    result = result.detach().cpu() if hasattr(result, "detach") else result
    return np.asarray(result, dtype=float)
