"""Checks of the lesson on the metric, and honest choices."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports


@reports("your function is the AUROC, ties and all")
def check_auroc(function):
    """function(labels, scores) -> AUROC in [0, 1]; arrays (N,), label 1 = anomalous, higher score = more anomalous."""
    call = numbers(function, "one number", shape=())
    separated = call(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.2, 0.8, 0.9]))
    if np.isclose(separated, 100):
        raise CheckFailed("You return per cent. Give the share of pairs, between 0 and 1.")
    if np.isclose(separated, 0):
        raise CheckFailed(
            "The direction is reversed: every anomaly here scores above every normal image, which is AUROC "
            "1, and you give 0. Count the pairs in which the ANOMALY (label 1) has the higher score."
        )
    if np.isclose(separated, 6):
        raise CheckFailed("You return the number of pairs. Divide by how many pairs there are.")
    if np.isclose(separated, 6 / 25) or np.isclose(separated, 6 / 10):
        raise CheckFailed(
            "You divide by too many pairs. Only pairs of one normal and one anomalous image count: 2 "
            "anomalies x 3 normal images = 6 pairs here."
        )
    if not np.isclose(separated, 1):
        raise CheckFailed(
            f"Every anomaly scores above every normal image here: AUROC 1. You give {separated:.4g}."
        )
    tied = call(np.array([0, 0, 1, 1, 1]), np.full(5, 0.3))
    if not np.isclose(tied, 0.5):
        raise CheckFailed(
            "Ties: when all scores are equal the detector knows nothing, which is AUROC 0.5; you give "
            f"{tied:.4g}. A pair with equal scores is a coin toss and counts one half."
        )
    labels, scores = np.array([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), np.array([5, 1, 2, 2, 7, 2, 0, 1, 0, 3.0])
    right, given = _auroc(labels, scores), call(labels, scores)
    accuracies = [np.mean((scores > t) == labels) for t in (*scores, 0.5, scores.mean(), np.median(scores))]
    if not np.isclose(given, right) and np.isclose(given, accuracies).any():
        raise CheckFailed(
            f"That is an accuracy at one threshold ({given:.2f}). AUROC uses no threshold: it compares "
            f"pairs, and is {right:.4g} for labels {labels.tolist()} and scores {scores.tolist()}."
        )
    in_order = np.argsort(labels, kind="stable")
    if not np.isclose(given, right) and np.isclose(call(labels[in_order], scores[in_order]), right):
        raise CheckFailed(
            "You are right only when the normal images come first. Select by label: scores[labels == 1] "
            "are the anomalies."
        )
    if not np.isclose(given, call(labels, np.exp(scores))):
        raise CheckFailed(
            "Your result changes when all scores go through exp(), which keeps their order. AUROC depends "
            "on the order alone: compare scores, do not subtract or average them."
        )
    if not np.isclose(given, right):
        raise CheckFailed(
            f"For labels {labels.tolist()} and scores {scores.tolist()} the AUROC is {right:.4g}; you give "
            f"{given:.4g}."
        )


@reports("chosen on the development split, reported on the test set")
def check_honest_choice(function):
    """function(development, test) -> the AUROC to report; lists with one AUROC a setting, in the same order."""
    call = numbers(function, "one number", shape=())
    cases = [([0.70, 0.92, 0.85], [0.81, 0.78, 0.90]), ([0.60, 0.64, 0.95, 0.61], [0.99, 0.62, 0.88, 0.70])]
    for development, test in cases:
        given, best = call(list(development), list(test)), int(np.argmax(development))
        if np.isclose(given, test[best]):
            continue
        if np.isclose(given, max(test)):
            raise CheckFailed(
                "You report the best test result: the test labels have chosen the setting, so the number "
                "flatters. Let `development` choose, then look up that one setting in `test`."
            )
        if np.isclose(given, max(development)):
            raise CheckFailed(
                "You report the development result by which the setting was chosen. It is the best of "
                "several and so too good on average: report what that setting reaches on `test`."
            )
        if np.isclose(given, best):
            raise CheckFailed("You return the position of the chosen setting. Return its AUROC on `test`.")
        if np.isclose(given, np.mean(test)):
            raise CheckFailed("You report the mean over all settings, but only one setting would be used.")
        raise CheckFailed(
            f"For development {development} and test {test} report {test[best]}; you give {given:.4g}."
        )


SCORE_CHANGES = {
    "times ten": (
        "same",
        "Multiplying by a positive number keeps the order of the scores, so no pair changes.",
    ),
    "logarithm": ("same", "The logarithm rises with its argument, so it keeps the order of positive scores."),
    "minus": ("mirrored", "Minus turns every pair round: an AUROC of a becomes 1 - a, and ties stay ties."),
    "rounded": (
        "can change",
        "Rounding makes ties, and a tied pair counts one half where it counted 0 or 1.",
    ),
    "batch mean": (
        "can change",
        (
            "Subtracting the mean of the image's own batch moves images of different batches by different "
            "amounts: pairs across batches can turn round. A score that looks at its neighbours is no "
            "score of the image."
        ),
    ),
}


@reports("AUROC sees the order of the scores and nothing else")
def check_score_changes(answers):
    """answers: dict from each change in SCORE_CHANGES to "same", "mirrored" or "can change"."""
    compare_answers(answers, SCORE_CHANGES, ("same", "mirrored", "can change"))


def _auroc(labels, scores):
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
