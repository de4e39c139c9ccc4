"""The checks of lesson 05: right answers pass, each wrong one fails with a message that names its misconception."""

import math

import numpy as np
import pytest
from checking import fails, todo

from dualad_lib.teaching import checks


@pytest.mark.parametrize(
    ("check", "open_answer"),
    [
        (checks.check_fusion_changes, dict.fromkeys(checks.FUSION_CHANGES)),
        (checks.check_fisher_weights, todo),
        (checks.check_threshold, todo),
    ],
)
def test_an_open_stub_is_not_an_error(check, open_answer, capsys):
    assert check(open_answer) is False
    assert check(None) is False
    assert "not done yet" in capsys.readouterr().out


def test_fusion_changes():
    right = {name: answer for name, (answer, _) in checks.FUSION_CHANGES.items()}
    assert checks.check_fusion_changes(right)
    for name, (answer, reason) in checks.FUSION_CHANGES.items():
        other = "same" if answer == "can change" else "can change"
        fails(checks.check_fusion_changes, right | {name: other}, name, reason)
    fails(checks.check_fusion_changes, right | {"weights doubled": "no"}, "answer with one of")
    fails(checks.check_fusion_changes, {"another": "same"}, "Keep the dictionary")


def test_the_answers_on_fusion_are_true():
    """The key of the exercise, held against the library's own Fusion."""
    from dualad_lib.scoring import Fusion

    random = np.random.default_rng(0)
    held, test = ({n: np.exp(random.normal(size=200)) for n in ("pixel", "latent")} for _ in range(2))

    def order(held, test, factor=1.0):
        fusion = Fusion.fit(held)
        return Fusion(fusion.scales, {n: factor for n in held})(test).argsort()

    def changed(function):
        return order(*(of | {"pixel": function(of["pixel"])} for of in (held, test)))

    usual = order(held, test)
    assert (changed(lambda s: 1000 * s) == usual).all()
    assert (changed(np.square) == usual).all()
    assert (order(held, test, factor=2.0) == usual).all()
    assert (changed(lambda s: s + 1) != usual).any()
    raw = test["pixel"] + test["latent"]
    assert (raw.argsort() != (1000 * test["pixel"] + test["latent"]).argsort()).any()
    fewer = {name: values[1:] for name, values in test.items()}
    assert np.array_equal(Fusion.fit(held)(fewer), Fusion.fit(held)(test)[1:])


def test_fisher_weights():
    assert checks.check_fisher_weights(lambda delta, covariance: np.linalg.solve(covariance, delta))
    assert checks.check_fisher_weights(lambda delta, covariance: 7 * np.linalg.inv(covariance) @ delta)
    check = checks.check_fisher_weights
    fails(check, lambda delta, covariance: -np.linalg.solve(covariance, delta), "sign")
    fails(check, lambda delta, covariance: delta, "delta itself")
    fails(check, lambda delta, covariance: covariance @ delta, "multiply by the covariance")
    fails(check, lambda delta, covariance: delta / covariance.diagonal(), "ignore the correlation")
    fails(check, lambda delta, covariance: delta / np.sqrt(covariance.diagonal()), "deviations")
    fails(check, lambda delta, covariance: np.ones(len(delta)), "plain sum")
    fails(check, lambda delta, covariance: (1 / covariance) @ delta, "element by element")
    fails(check, lambda delta, covariance: np.linalg.solve(covariance, delta).clip(0), "NEGATIVE")
    fails(check, lambda delta, covariance: np.arange(len(delta)) - 1.0, "the direction is")
    fails(check, lambda delta, covariance: 1.0, "shape")


def ranked(calibration, rate, extra=1, shift=0):
    n = len(calibration)
    return np.sort(calibration)[min(math.ceil((n + extra) * (1 - rate) - 1e-9) + shift, n) - 1]


def test_threshold():
    from dualad_lib.scoring import threshold_at

    check = checks.check_threshold
    assert check(ranked)
    with pytest.warns(UserWarning, match="cannot promise"):
        assert check(threshold_at)
    fails(check, lambda c, rate: np.quantile(c, 1 - rate), "NEW image")
    # Right for most numbers of images.
    fails(check, lambda c, rate: np.quantile(c, 1 - rate, method="higher"), "One too low")
    fails(check, lambda c, rate: ranked(c, rate, extra=0), "One too low")
    fails(check, lambda c, rate: ranked(c, rate, shift=1), "Off by one")
    fails(check, lambda c, rate: c[min(math.ceil((len(c) + 1) * (1 - rate)), len(c)) - 1], "Sort")
    fails(check, lambda c, rate: math.ceil((len(c) + 1) * (1 - rate)), "rank")
    fails(check, lambda c, rate: np.quantile(c, rate), "lower quantile")
    fails(check, lambda c, rate: np.sort(c)[int((len(c) + 1) * rate) - 1], "lower end")
    fails(check, lambda c, rate: max(c), "SMALLEST")
    fails(check, lambda c, rate: c.mean() + 1.645 * c.std(), "normal distribution")
    fails(check, lambda c, rate: 0.0, "score number")
    fails(check, lambda c, rate: np.sort(c)[math.ceil((len(c) + 1) * (1 - rate)) - 1], "no such score")
    fails(check, lambda c, rate: 2.0 if len(c) == 3 else ranked(c, rate), "Return the largest")
