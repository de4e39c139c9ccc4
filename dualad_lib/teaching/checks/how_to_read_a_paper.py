"""Checks of the lesson on reading papers."""

import numpy as np

from .checking import CheckFailed, compare_answers, reports

PAPER_FLAGS = {
    "Scores are rescaled to [0, 1] with the minimum and maximum of the test set's batch.": (
        "batch",
        "The same image gets another score in another batch.",
    ),
    "We train for 200 epochs and report the best AUROC.": (
        "best look",
        "AUROC needs labels: the best of 200 looks at the test set was chosen by them.",
    ),
    "The number of clusters was chosen on other classes than those reported.": (
        "fine",
        "Labels were read, but those of classes that no figure is reported of.",
    ),
    "Without our module the same network is at chance; with it, it has 97.": (
        "baseline",
        "A network at chance, where PCA is far above it, is broken; the module may only have mended it.",
    ),
    "The score is the log-likelihood of the error; images above a threshold are anomalous.": (
        "formula",
        "A usual error has a HIGH likelihood: put in a normal image, and it lies above the threshold.",
    ),
    "The threshold was set for 5 % false alarms on held-out training images.": (
        "fine",
        "Held-out training images are normal and are no test images; that is what they are for.",
    ),
}


@reports("you have an eye for it")
def check_paper_flags(answers):
    """answers: dict from each sentence in PAPER_FLAGS to "baseline", "batch", "best look", "formula" or "fine"."""
    compare_answers(answers, PAPER_FLAGS, ("baseline", "batch", "best look", "formula", "fine"))


@reports("a formula can be tested before anybody trains anything")
def check_wrong_way(function):
    """function(errors, scores) -> of pairs with different errors, the share in which the larger has the lower score."""

    def share(errors, scores):
        value = function(np.array(errors, dtype=float), np.array(scores, dtype=float))
        try:
            return float(value)
        except (TypeError, ValueError):
            raise CheckFailed(f"Return one number, not {type(value).__name__}.") from None

    if share([0, 1, 2, 3], [1, 2, 3, 4]) == 1:
        raise CheckFailed(
            "A score that always rises gets 1: you count the pairs that are the RIGHT way round."
        )
    for errors, scores, wanted, idea in (
        ([0, 1, 2, 3], [1, 2, 3, 4], 0, "a score that rises with the error"),
        (
            [0, 1, 2, 3],
            [4, 3, 2, 1],
            1,
            "a score that falls; divide by the pairs with different errors, not by N^2",
        ),
        (
            [3, 0, 2, 1],
            [4, 1, 3, 2],
            0,
            "the same rising score in another order; compare all pairs, not neighbours",
        ),
        ([0, 1, 2, 3], [0, 5, 5, 5], 0, "a score that levels off; equal scores are not the wrong way"),
        ([1, 1, 2], [9, 0, 5], 0.5, "two images with the SAME error; such a pair is not counted at all"),
        ([0, 1, 2], [0, 2, 1], 1 / 3, "one pair of three"),
    ):
        found = share(errors, scores)
        if not np.isclose(found, wanted):
            raise CheckFailed(
                f"{idea}: errors {errors}, scores {scores} give {wanted:.3g}, you give {found:.3g}."
            )
