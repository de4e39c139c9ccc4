"""Checks of the lesson on fusing scores, and a threshold that keeps its promise."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports

FUSION_CHANGES = {
    "x1000, raw sum": (
        "can change",
        "In a raw sum the part with the larger unit decides the order; a factor of 1000 changes which part that is.",
    ),
    "x1000, standardised": (
        "same",
        "log(1000 s) = log s + log 1000 is a shift, and subtracting the mean takes every shift away.",
    ),
    "squared, standardised": (
        "same",
        "log(s^2) = 2 log s is a factor, and dividing by the deviation takes every factor away.",
    ),
    "plus 1, standardised": (
        "can change",
        (
            "log(1 + s) is neither a shift nor a multiple of log s: alone it keeps the order, in a sum it has "
            "another say."
        ),
    ),
    "weights doubled": ("same", "Fusion divides the weights by their sum, so only their ratio counts."),
    "one image removed": (
        "same",
        (
            "Scales and weights come from held-out normal images. A score that changes with the other test "
            "images would be a leak (lesson 00)."
        ),
    ),
}


@reports("units drop out, other changes of a score do not")
def check_fusion_changes(answers):
    """answers: dict from each change in FUSION_CHANGES to "same" or "can change"."""
    compare_answers(answers, FUSION_CHANGES, ("same", "can change"))


@reports("the weights that separate best, correlation and all")
def check_fisher_weights(function):
    """function(delta, covariance) -> (K,): any positive multiple of the inverse covariance times delta."""
    delta = np.array([1.0, 2.0, 1.5])
    covariance = np.array([[1.0, 0.9, 0.2], [0.9, 4.0, 0.3], [0.2, 0.3, 0.5]])
    right = np.linalg.solve(covariance, delta)
    given = _direction(numbers(function, "one weight a score, shape (K,)", shape=(3,))(delta, covariance))
    if np.allclose(given, _direction(right), atol=1e-4):
        small = numbers(function, "one weight a score, shape (K,)", shape=(2,))
        pair = small(np.array([1.0, 2.0]), np.array([[1.0, 0.75], [0.75, 1.0]]))
        if np.allclose(_direction(pair), _direction(np.array([-0.5, 1.25])), atol=1e-4):
            return
        raise CheckFailed(
            "Right for three scores, wrong for two with correlation 0.75: there the weak score's weight is NEGATIVE. "
            "Do not cut weights off at zero."
        )
    spread = np.sqrt(covariance.diagonal())
    wrong = {
        "The sign is turned round: anomalies would score low. Higher means more anomalous.": -right,
        "That is delta itself: a score with a large spread, or one that repeats another, weighs too much. Use the "
        "covariance.": delta,
        "You multiply by the covariance. Scores that vary together must weigh LESS: solve covariance @ w = "
        "delta.": covariance @ delta,
        "You divide by the variances alone and so ignore the correlation: two copies of one score would count "
        "twice.": delta / spread**2,
        "You divide by the deviations: that is d' of each score on its own. Fisher needs the inverse of the whole "
        "covariance matrix.": delta / spread,
        "All weights are equal: that is the plain sum.": np.ones(3),
        "You invert the matrix element by element (1 / covariance). Use the matrix inverse, or "
        "np.linalg.solve.": (1 / covariance) @ delta,
        "Negative weights are cut off or turned round. In Fisher's solution a score may count against "
        "itself.": np.abs(right),
    }  # fmt: skip
    for message, values in wrong.items():
        if np.allclose(given, _direction(values), atol=1e-4):
            raise CheckFailed(message)
    raise CheckFailed(
        f"For delta {delta.tolist()} and covariance {covariance.tolist()} the direction is "
        f"{_direction(right).round(3)}; yours is {given.round(3)}."
    )


@reports("at most the promised share of new normal images raises an alarm")
def check_threshold(function):
    """function(calibration, rate): score number ceil((n + 1)(1 - rate)) from below, the largest if n is too small."""
    call = numbers(function, "one number", shape=())
    random = np.random.default_rng(0)
    for n, rate in ((30, 0.1), (99, 0.05), (40, 0.25), (25, 0.1), (110, 0.05)):
        scores = np.cumsum(random.uniform(0.1, 1.0, n))
        shuffled = random.permutation(scores)
        rank = int(np.ceil((n + 1) * (1 - rate) - 1e-9))
        right, given = scores[rank - 1], call(shuffled.copy(), rate)
        if np.isclose(given, right):
            continue
        below = int(np.floor((n + 1) * rate))
        wrong = {
            "The scores come in no order. Sort them first.": shuffled[rank - 1],
            "You return the rank. Return the calibration SCORE at that rank.": rank,
            "That is the plain quantile of the calibration scores. The promise is about one NEW image, which makes "
            "n + 1 in all: rank ceil((n + 1)(1 - rate)), without interpolation.": np.quantile(scores, 1 - rate),
            "One too low: n (1 - rate) in place of (n + 1)(1 - rate). The new image counts as "
            "well.": scores[int(np.ceil(n * (1 - rate) - 1e-9)) - 1],
            "Off by one: Python counts from 0, so score number r stands at index r - 1.": scores[min(rank, n - 1)],
            "That is the lower end: nearly all normal images would raise the alarm.": scores[max(below, 1) - 1],
            "That is the lower quantile: nearly all normal images would raise the alarm.": np.quantile(scores, rate),
            "The largest calibration score keeps the promise, but it is not the SMALLEST threshold that does: it "
            "misses anomalies for nothing.": scores[-1],
            "Mean plus some deviations assumes a normal distribution. Count ranks, and no assumption is "
            "needed.": scores.mean() + 1.645 * scores.std(),
        }  # fmt: skip
        for message, value in wrong.items():
            if np.isclose(given, value):
                raise CheckFailed(message)
        raise CheckFailed(f"For {n} scores and a rate of {rate} take score number {rank} from below.")
    few = np.array([3.0, 1.0, 2.0])
    try:
        given = call(few, 0.05)
    except IndexError as error:
        raise CheckFailed(
            "With 3 images and a rate of 0.05 the rank is 4: there is no such score. Return the largest then."
        ) from error
    if not np.isclose(given, 3):
        raise CheckFailed(
            f"With 3 images no threshold among the scores keeps 0.05. Return the largest, 3; you give {given:.4g}."
        )


def _direction(weights):
    """A vector at length one, so that positive multiples of it are equal."""
    return weights / max(np.linalg.norm(weights), 1e-12)
