"""Checks of the lesson on intervals."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports

INTERVALS = {
    "would another first draw of weights move this mean?": (
        "seeds",
        "Only trainings with other seeds show how far a mean moves from run to run.",
    ),
    "does A beat B on other kinds of objects?": (
        "classes",
        "The classes are the sample then: differences class by class.",
    ),
    "does this AUROC hold for 200 other photographs of the same class?": (
        "images",
        "Draw the test images again, as the bootstrap of lesson 00 does; detector and class stay.",
    ),
    "was the best of three runs shown?": ("seeds", "The other two runs are what is missing."),
    "is a gain on ten classes, each won by a little, more than luck?": (
        "classes",
        "Paired differences over classes: many small gains of one sign are evidence that no single class gives.",
    ),
}


@reports("each interval answers its own question")
def check_intervals(answers):
    """answers: dict from each question in INTERVALS to "seeds", "classes" or "images"."""
    compare_answers(answers, INTERVALS, ("seeds", "classes", "images"))


@reports("differences first, then Student's interval of their mean")
def check_paired_interval(function):
    """function(a, b) -> (mean, half): of the differences a - b, half of the 95 % interval (Student)."""
    from scipy.stats import t

    random = np.random.default_rng(0)
    n, level = 10, random.uniform(0.6, 0.99, 10)
    b = level + random.normal(0, 0.003, n)
    a = b + 0.004 + random.normal(0, 0.003, n)
    mean, half = numbers(function, "two numbers, (mean, half)", shape=(2,))(a, b)
    d, quantile = a - b, t.ppf(0.975, n - 1)
    right = quantile * d.std(ddof=1) / np.sqrt(n)
    if np.isclose(mean, -d.mean()):
        raise CheckFailed("The sign is turned: a minus b, so that a positive mean says that a is better.")
    if not np.isclose(mean, d.mean()):
        raise CheckFailed(f"The mean difference of the test pairs is {d.mean():.5f}; you give {mean:.5f}.")
    apart = np.sqrt(a.var(ddof=1) / n + b.var(ddof=1) / n)
    wrong = {
        "You treat a and b as two samples. Their classes are the same: take the differences first, and the difficulty "
        "of a class cancels out.": (quantile * apart, t.ppf(0.975, 2 * n - 2) * apart, 1.96 * apart),
        "Without the root of n that is how far single classes scatter, not their mean.": (
            quantile * d.std(ddof=1),
        ),
        "1.96 is for many classes. With ten, Student's quantile with n - 1 degrees of freedom is larger.": (
            1.96 * d.std(ddof=1) / np.sqrt(n),
        ),
        "Divide by n - 1 in the deviation (ddof=1): the mean was estimated from the same ten numbers.": (
            quantile * d.std() / np.sqrt(n),
        ),
        "0.95 leaves 5 % on ONE side. For 2.5 % on each take the quantile 0.975.": (
            t.ppf(0.95, n - 1) * d.std(ddof=1) / np.sqrt(n),
        ),
        "That is the whole interval; give half of it.": (2 * right,),
    }
    if not np.isclose(half, right, rtol=1e-3):
        for message, values in wrong.items():
            if np.isclose(half, values, rtol=1e-3).any():
                raise CheckFailed(message)
        raise CheckFailed(f"Half of the interval is {right:.5f} for the test pairs; you give {half:.5f}.")
