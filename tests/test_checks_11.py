"""The checks of lesson 07: right answers pass, wrong ones fail with a message that names the misconception."""

import math

import numpy as np
import pytest
import torch
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


def by_names(parts, share, random, pick=None):
    names = np.unique(parts)
    count = max(1, round(share * len(names)))
    return np.isin(parts, random.permutation(names)[:count] if pick is None else pick(names, count))


def by_numbers(parts, share, random):
    """Of the parts in the order in which they come, as a plain loop and a list."""
    names = list(dict.fromkeys(parts.tolist()))
    random.shuffle(names)
    chosen = set(names[: max(1, math.ceil(share * len(names)))])
    return [part in chosen for part in parts.tolist()]


def by_scikit_learn(parts, share, random):
    from sklearn.model_selection import GroupShuffleSplit

    split = GroupShuffleSplit(1, test_size=share, random_state=int(random.integers(2**31)))
    held = torch.zeros(len(parts), dtype=torch.bool)
    held[next(split.split(parts, groups=parts))[1]] = True
    return held


def by_inverse(parts, share, random):
    names, of = np.unique(parts, return_inverse=True)
    return np.isin(of, random.choice(len(names), max(1, int(share * len(names))), replace=False)).astype(int)


@pytest.mark.parametrize("right", [by_names, by_numbers, by_scikit_learn, by_inverse])
def test_hold_back_is_right_in_many_ways(right):
    assert checks.check_hold_back(right)


def test_hold_back():
    check = checks.check_hold_back
    assert check(todo) is False

    def of_photographs(parts, share, random):
        return np.isin(np.arange(len(parts)), random.permutation(len(parts))[: round(share * len(parts))])

    fails(check, of_photographs, "lies on both sides", "ALL photographs")
    fails(check, lambda p, s, r: np.flatnonzero(by_names(p, s, r)), "one True or False a photograph")
    fails(check, lambda p, s, r: 2 * by_names(p, s, r), "neither positions nor names")
    fails(check, lambda p, s, r: np.full(len(p), True), "none is left to learn from")
    fails(check, lambda p, s, r: np.full(len(p), False), "you hold back 0.")
    fails(check, lambda p, s, r: ~by_names(p, s, r), "LEARN from")
    fails(check, lambda p, s, r: by_names(p, s, r, lambda n, k: n[:k]), "whatever `random` draws")
    fails(check, lambda p, s, r: by_names(p, s, np.random.default_rng(0)), "whatever `random` draws")
    fails(check, lambda p, s, r: by_names(p, s, np.random), "the second time")
    fails(check, lambda p, s, r: by_names(p, s, r, lambda n, k: r.choice(n, k)), "replace=False")
    fails(check, lambda p, s, r: by_names(p, s, r, lambda n, k: n[r.random(len(n)) < s]), "counts PARTS")
    fails(
        check,
        lambda p, s, r: by_names(p, s, r, lambda n, k: list(dict.fromkeys(r.permutation(p).tolist()))[:k]),
        "prefers the parts with many",
    )
    fails(
        check,
        lambda p, s, r: np.isin(p, r.permutation(np.unique(p))[: round(s * len(np.unique(p)))]),
        "at least one part",
    )

    def of_numbers(parts, share, random):
        names = np.unique(parts) if parts.dtype.kind == "U" else np.arange(parts.max() + 1)
        return np.isin(parts, random.permutation(names)[: max(1, round(share * len(names)))])

    fails(check, of_numbers, "have gaps")


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
