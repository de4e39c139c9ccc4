"""Checks of the lesson on ADe-GAN."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

EQ_11 = {
    "larger error, same pattern probability": ("up", "1 - P falls, and with it what is subtracted."),
    "same usual error, surer of its pattern": (
        "down",
        "More is subtracted: an image that is surely of one pattern is less odd.",
    ),
    "same usual error, all patterns equally probable": (
        "up",
        "Then max P = 1/n and nothing is subtracted: A has its largest value, whatever the error.",
    ),
    "enormous error, surer of its pattern": (
        "same",
        "For an enormous error 1 - P is zero, and A = -1/n whatever the pattern says: either is enough.",
    ),
}


@reports("either is enough: an error that is too large, or no pattern")
def check_eq_11(answers):
    """answers: dict from each change in EQ_11 to "up", "down" or "same"."""
    compare_answers(answers, EQ_11, ("up", "down", "same"))


@reports("the order of A, and no ties")
def check_stable_eq_11(function):
    """function(u, confidence, n) -> (N,): -log(1 - P(u)) - log(confidence - 1/n), P the normal distribution."""
    import torch
    from scipy.stats import norm

    call = numbers(function, "one number an image", shape=(40,))
    n, random = 10, np.random.default_rng(0)
    u, confidence = random.normal(size=40), random.uniform(0.15, 0.99, size=40)

    def tell(u, confidence):
        return call(torch.from_numpy(u), torch.from_numpy(confidence), n)

    given = tell(u, confidence)
    right = -norm.logsf(u) - np.log(confidence - 1 / n)
    wrong = {
        "The order is reversed: a small 1 - P is a large error, so take minus its logarithm.": -right,
        "That is log P, not log(1 - P): the score would fall with the error.": -norm.logcdf(u)
        - np.log(confidence - 1 / n),
        "That is A itself: right in its order, and full of ties where errors are large.": -1 / n
        - (1 - norm.cdf(u)) * (confidence - 1 / n),
        "The sign of the pattern's term is turned: an image that is sure of its pattern is LESS odd.": -norm.logsf(
            u
        )
        + np.log(confidence - 1 / n),
        "1/n is missing: with all patterns equally probable the second factor of A is zero, and the image as odd "
        "as can be.": -norm.logsf(u) - np.log(confidence),
        "The pattern's term is missing.": -norm.logsf(u),
        "The error's term is missing.": -np.log(confidence - 1 / n),
    }
    for message, value in wrong.items():
        if np.allclose(given, value, atol=1e-5):
            raise CheckFailed(message)
    errors, sure = torch.linspace(5, 35, 40, dtype=torch.float64), torch.full((40,), 0.9, dtype=torch.float64)
    far = as_array(function(errors, sure, n))
    if not np.isfinite(far).all() or (np.diff(far) <= 0).any():
        raise CheckFailed(
            "Errors of 5 to 35 deviations tie, or are infinite: 1 - P has rounded to 0. Use log_ndtr(-u), and double "
            "precision."
        )
    order = np.argsort(right)
    if not np.array_equal(np.argsort(given), order):
        raise CheckFailed("The order is not that of A = -1/n - (1 - P)(max P - 1/n).")
