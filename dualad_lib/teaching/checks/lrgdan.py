"""Checks of the lesson on LR-GDAN."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports

DUAL_WISHES = {
    "D', its error on images": ("down", "D' is an autoencoder first: it restores images."),
    "D', its error on reconstructions": (
        "up",
        "It stands in L_dual with minus k: D' is paid for failing on what G made.",
    ),
    "G, the error of D' on reconstructions": (
        "down",
        "G wants its reconstructions to pass for images, and images are what D' restores.",
    ),
    "G, the error of D' on images": (
        "nothing",
        "D'(x) does not depend on the weights of G. What a player can't change it has no wish about.",
    ),
    "G by eq. 1 to the letter, the error of D' on reconstructions": (
        "up",
        "One sum for all, read word for word: G lowers - k L_direc, so it raises L_direc, as D' does.",
    ),
}


@reports("two players, one error between them, and one that is none of G's business")
def check_dual_wishes(answers):
    """answers: dict from each wish in DUAL_WISHES to "up", "down" or "nothing"."""
    compare_answers(answers, DUAL_WISHES, ("up", "down", "nothing"))


@reports("each rate over its own images")
def check_half_total_error(function):
    """function(y, scores, threshold) -> the mean of false-alarm and miss rate, an alarm being score > threshold."""
    call = numbers(function, "one number", shape=())
    y = np.repeat([0, 1], [10, 30])
    scores = np.concatenate([np.linspace(0.05, 0.95, 10), np.linspace(0.25, 1.7, 30)])
    threshold = 0.72
    alarm = scores > threshold
    false_alarms, misses = alarm[y == 0].mean(), (~alarm[y == 1]).mean()
    right = (false_alarms + misses) / 2
    given = call(y, scores, threshold)
    wrong = {
        "That is the share of errors among all images. With three anomalies to one normal image the misses would "
        "count three times as much: take each rate over its own images.": (alarm != (y == 1)).mean(),
        "That is the sum of the two rates. Take their mean: 0.5 is a coin.": 2 * right,
        "The alarms are turned round: a score ABOVE the threshold raises one.": 1 - right,
        "That is the share of right answers, not of errors.": (alarm == (y == 1)).mean(),
        "That is the false-alarm rate alone: a detector that never rings would be perfect.": false_alarms,
        "That is the miss rate alone: a detector that always rings would be perfect.": misses,
    }
    if not np.isclose(given, right, atol=1e-6):
        for message, value in wrong.items():
            if np.isclose(given, value, atol=1e-6):
                raise CheckFailed(message)
        raise CheckFailed(
            f"For false-alarm rate {false_alarms:.3f} and miss rate {misses:.3f} it is {right:.4f}; "
            f"you give {given:.4f}."
        )
    if not np.isclose(call(np.array([0, 1]), np.array([0.5, 0.5]), 0.5), 0.5):
        raise CheckFailed("A score that equals the threshold raises no alarm: compare with >.")
