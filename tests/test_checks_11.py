"""The checks of lesson 07: right answers pass, wrong ones fail with a message that names the misconception."""

import math

import numpy as np
import pytest
from checking import fails, todo

from dualad_lib.scoring import conformal_p_values, threshold_at
from dualad_lib.teaching import checks


def test_promises():
    check, table = checks.check_promises, checks.PROMISES
    assert check(dict.fromkeys(table)) is False and check(None) is False
    right = {key: answer for key, (answer, _) in table.items()}
    assert check(right)
    for key, (answer, reason) in table.items():
        fails(check, right | {key: "breaks" if answer == "holds" else "holds"}, key, reason)


def test_conformal_p_value():
    check = checks.check_conformal_p_value
    assert check(todo) is False
    assert check(lambda c, s: float(conformal_p_values(c, np.array([s]))[0]))
    fails(check, lambda c, s: (c >= s).sum() / (len(c) + 1), "1 above is missing")
    fails(check, lambda c, s: (1 + (c >= s).sum()) / len(c), "larger than 1")
    fails(check, lambda c, s: 1 - (1 + (c >= s).sum()) / (len(c) + 1), "1 - p")
    fails(check, lambda c, s: 100 * (1 + (c >= s).sum()) / (len(c) + 1), "per cent")
    fails(check, lambda c, s: 1 + (c >= s).sum(), "number of images")
    fails(check, lambda c, s: 0.3, "you give 0.3000")
    fails(check, lambda c, s: min(0.875, (1 + (c >= s).sum()) / (len(c) + 1)), "For the score 0")
    fails(
        check,
        lambda c, s: (1 + len(c) - np.searchsorted(c, s)) / (len(c) + 1),
        "any order",
    )


def test_images_needed():
    check = checks.check_images_needed
    assert check(todo) is False
    assert check(lambda rate: math.ceil(1 / rate - 1)) and check(lambda rate: math.ceil(1 / rate) - 1)
    fails(check, lambda rate: math.ceil(1 / rate), "One image fewer")
    fails(check, lambda rate: round(1 / rate - 1), "Round up")
    fails(check, lambda rate: 1 / rate - 1, "come whole")
    fails(check, lambda rate: 1 / (rate + 1), "solve")
    fails(check, lambda rate: 19, "For the rate 0.1 it is 9")


def test_the_answers_on_promises_are_true():
    """The keys of the exercise, held against the library: 1,000 draws of calibration and new scores."""
    random = np.random.default_rng(0)

    def rate(n, shift=0.0, trained=0.0, useless=False):
        scores = random.normal(size=(1000, n + 1))
        scores[:, -1] += shift
        scores[:, :-1] -= trained
        scores = np.round(scores, 1) if useless else scores
        return np.mean([s[-1] > threshold_at(s[:-1], 0.05) for s in scores])

    assert rate(99) == pytest.approx(0.05, abs=0.02) and rate(99, useless=True) < 0.07
    assert rate(99, shift=1) > 0.15 and rate(99, trained=1) > 0.15
    with pytest.warns(UserWarning, match="at least 19"):
        assert rate(12) > 0.06
