"""Checks of the lesson on ADe-GAN."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

PATTERN_CHANGES = {
    "the two views of an image come closer: the contrast": (
        "down",
        "Their similarity stands above the fraction: that is what the contrast asks for.",
    ),
    "mixed codes join the others: the contrast": (
        "up",
        "Each adds a positive term below the fraction: there is more to be told from.",
    ),
    "images of its pattern are no longer among the others: the contrast": (
        "down",
        "Terms below the fraction go: within a pattern nothing has to be told apart any more.",
    ),
    "a mixed code becomes sure of one pattern: L_ip": (
        "up",
        "L_ip is lowest where all patterns are equally probable: between two patterns there is none.",
    ),
    "a mixed code becomes sure of one pattern: the contrast": (
        "same",
        "The contrast knows similarities of codes; pattern probabilities do not occur in it.",
    ),
}


@reports("what each loss asks for is clear to you")
def check_pattern_changes(answers):
    """answers: dict from each change in PATTERN_CHANGES to "up", "down" or "same": what the loss does."""
    compare_answers(answers, PATTERN_CHANGES, ("up", "down", "same"))


@reports("codes between two patterns, as long as all others")
def check_between_codes(function):
    """function(first, second, of_first, of_second, share) -> (k, d): mixed codes of the pairs of different patterns."""
    import torch
    from torch.nn.functional import normalize

    if not callable(function):
        raise CheckFailed("Hand over the function itself, without calling it: check(my_function).")
    generator = torch.Generator().manual_seed(0)
    first, second = normalize(torch.randn(2, 20, 6, generator=generator), dim=2)
    of_first, of_second = torch.randint(3, (2, 20), generator=generator)
    share = 0.3 + 0.4 * torch.rand(20, generator=generator)
    result = function(first, second, of_first, of_second, share)
    if result is None:
        raise NotImplementedError
    given, apart = as_array(result), of_first != of_second
    if given.shape == (20, 6):
        raise CheckFailed("Pairs of one pattern are still among them: what lies within a pattern is normal.")
    if given.shape == (20 - int(apart.sum()), 6) and given.shape != (int(apart.sum()), 6):
        raise CheckFailed("You kept the pairs of ONE pattern: it is the others that are wanted.")
    if given.shape != (int(apart.sum()), 6):
        raise CheckFailed(
            f"{int(apart.sum())} pairs have different patterns, so the shape is ({int(apart.sum())}, 6)."
        )
    a, b, w = first[apart], second[apart], share[apart][:, None]
    if np.allclose(given, w * a + (1 - w) * b, atol=1e-5):
        raise CheckFailed(
            "These mixed codes are shorter than 1: all codes lie on the sphere, so bring them back to it."
        )
    if np.allclose(given, normalize((1 - w) * a + w * b, dim=1), atol=1e-5):
        raise CheckFailed("The share is that of the FIRST code; here it belongs to the second.")
    if not np.allclose(given, normalize(w * a + (1 - w) * b, dim=1), atol=1e-5):
        raise CheckFailed("The codes are not share * first + (1 - share) * second, brought back to length 1.")


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
