"""Self-checks for the exercises: each takes a student's answer and names the misconception behind a wrong one.

A check prints one line and returns True when the answer is right, raises CheckFailed when it is wrong, and says
"not done yet" and returns False while the stub still raises NotImplementedError (or the answer is None), so that a
notebook with open exercises runs through.
"""

import functools
import itertools

import numpy as np

from .errors import DualADError


class CheckFailed(DualADError, AssertionError):
    """An answer that is not right yet; the message says which idea to look at again."""


def _check(passed):
    """Turn a function that raises on wrong answers into a check that also reports success and open stubs."""

    def decorate(function):
        @functools.wraps(function)
        def run(answer):
            if answer is None or answer is ...:
                print("not done yet: fill in your answer, then run this cell again")
                return False
            try:
                function(answer)
            except NotImplementedError:
                print(
                    "not done yet: replace `raise NotImplementedError` by your code, then run both cells "
                    "again"
                )
                return False
            print(f"passed: {passed}")
            return True

        return run

    return decorate


# --- 00: the metric, and honest choices ------------------------------------------------------------------------------


@_check("your function is the AUROC, ties and all")
def check_auroc(function):
    """function(labels, scores) -> AUROC in [0, 1]; arrays (N,), label 1 = anomalous, higher score = more anomalous."""
    call = _numbers(function, "one number", shape=())
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


@_check("chosen on the development split, reported on the test set")
def check_honest_choice(function):
    """function(development, test) -> the AUROC to report; lists with one AUROC a setting, in the same order."""
    call = _numbers(function, "one number", shape=())
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


@_check("AUROC sees the order of the scores and nothing else")
def check_score_changes(answers):
    """answers: dict from each change in SCORE_CHANGES to "same", "mirrored" or "can change"."""
    _check_answers(answers, SCORE_CHANGES, ("same", "mirrored", "can change"))


# --- 01: reconstruction as a detector --------------------------------------------------------------------------------

EXTREMES = {
    "copies everything": (
        "useless",
        (
            "A perfect copy has error 0 for every image, normal or not: all pairs are ties, AUROC 50. A "
            "small error is no aim in itself; the DIFFERENCE between normal and anomalous errors is."
        ),
    ),
    "mean image": (
        "can work",
        (
            "x_hat = the training mean makes the error the distance from x to that mean, which is already "
            "a detector: images unlike the average normal image score high. A poor reconstruction is not "
            "yet a poor detector."
        ),
    ),
    "noise": (
        "can work",
        (
            "If x_hat is noise that ignores x, the error still grows with the image's own contrast: dark "
            "and bright images differ. It can rank images (rightly or the wrong way round) although the "
            "network has learned nothing."
        ),
    ),
}


@_check("a good reconstruction and a good detector are two different things")
def check_extremes(answers):
    """answers: dict from each network in EXTREMES to "useless" (every score equal) or "can work"."""
    _check_answers(answers, EXTREMES, ("useless", "can work"))


@_check("each image finds its own best shift, and no border wraps round")
def check_shift_tolerant_score(function):
    """function(x, x_hat) -> (N,): smallest mean squared error over nine shifts of x_hat, -1, 0, 1 rows and columns.

    Compared without the outermost pixel on each side of x, so that every shift compares (H - 2) x (W - 2) pixels.
    """
    import torch

    call = _numbers(function, "one number an image, shape (N,)", shape=(4,))
    x = torch.from_numpy(np.random.default_rng(0).random((4, 2, 7, 8), dtype=np.float32))
    plain = (x[..., 1:-1, 1:-1] - x.flip(0)[..., 1:-1, 1:-1]).square().flatten(1).mean(1).numpy()
    if np.allclose(call(x, x.flip(0)), plain):
        raise CheckFailed(
            "That is the plain squared error of the inner pixels: try all nine shifts and keep the smallest."
        )
    each = torch.stack(
        [torch.roll(x[i], shift, (1, 2)) for i, shift in enumerate([(0, 0), (0, 1), (-1, 0), (1, -1)])]
    )
    given, shifts = call(x, each), list(itertools.product((-1, 0, 1), repeat=2))
    alone = np.concatenate([_asarray(function(x[i : i + 1], each[i : i + 1])).reshape(-1) for i in range(4)])
    if alone.shape == given.shape and not np.allclose(alone, given, atol=1e-6):
        raise CheckFailed(
            "One shift is chosen for the whole batch, so an image's score depends on its neighbours. Take "
            "the smallest error of each image on its own: minimum over the shifts, not over the batch."
        )
    if not np.isclose(given[0], 0, atol=1e-6):
        if np.isclose(call(x, torch.roll(x, 1, 3)), 0, atol=1e-6).all():
            raise CheckFailed(
                "The unshifted pair must be among the candidates too: an identical image scores 0."
            )
        errors = _shift_errors(x, each, shifts)
        if any(np.allclose(given, wrong, atol=1e-6) for wrong in (errors.mean(0), errors.max(0))):
            raise CheckFailed(
                "You average the shifts or take the worst. The score is the SMALLEST error over the shifts."
            )
        raise CheckFailed(
            "An image and its perfect reconstruction must score 0: take the smallest error, shift 0 included."
        )
    if np.allclose(given[1:3], 0, atol=1e-6) and not np.isclose(given[3], 0, atol=1e-6):
        raise CheckFailed(
            "Diagonal shifts are missing: rows and columns shift together too, nine shifts in all."
        )
    inner = torch.zeros_like(x)
    inner[..., 2:-2, 2:-2] = x[..., 2:-2, 2:-2]
    if not np.allclose(given, 0, atol=1e-6):
        moved = torch.roll(inner, (1, -1), (2, 3))
        if np.allclose(call(inner, moved), 0, atol=1e-6):
            raise CheckFailed(
                "At the border you compare pixels that wrapped round from the other side, or that were "
                "filled with zeros. Leave out the outermost pixel on each side of x: x[..., 1:-1, 1:-1]."
            )
        raise CheckFailed(
            "An image shifted by one pixel must score 0: does every shift compare the same inner pixels?"
        )
    noise = torch.from_numpy(np.random.default_rng(1).random((4, 2, 7, 8), dtype=np.float32))
    right, given = _shift_errors(x, noise, shifts).min(0), call(x, noise)
    if not np.allclose(given, right, atol=1e-5):
        ratio = given / right
        if np.allclose(ratio, ratio[0], rtol=1e-4):
            raise CheckFailed("Right but for a factor: average over channels, rows and columns, do not sum.")
        if np.allclose(given, np.sqrt(right), rtol=1e-4):
            raise CheckFailed("You take a square root; the score is the mean SQUARED error.")
        raise CheckFailed(f"For one test batch the scores are {right.round(4)}; you give {given.round(4)}.")


@_check("the distance to the nearest training code")
def check_nearest_code(function):
    """function(z, z_train) -> (N,): Euclidean distance of each code (N, d) to its nearest training code (M, d)."""
    import torch

    call = _numbers(function, "one distance a code, shape (N,)", shape=(5,))
    random = np.random.default_rng(0)
    bank = random.normal(size=(12, 3)) + 4 * random.integers(0, 2, size=(12, 1))
    z = np.concatenate([bank[:2], random.normal(size=(3, 3))])
    distances = np.linalg.norm(z[:, None] - bank[None], axis=-1)
    right, given = distances.min(1), call(torch.from_numpy(z), torch.from_numpy(bank))
    if np.allclose(given, right, atol=1e-3):
        return
    own = np.linalg.norm(z[:, None] - z[None], axis=-1) + np.where(np.eye(5), np.inf, 0)
    wrong = {
        "That is the distance to the MEAN training code. The mean of two groups lies between them, where "
        "no normal image need be; compare with each training code and keep the "
        "smallest.": np.linalg.norm(z - bank.mean(0), axis=1),
        "You keep the largest distance: an image is normal when ONE training code is near, not when all "
        "are.": distances.max(1),
        "You average over all training codes: near one group and far from another would look half "
        "anomalous.": distances.mean(1),
        "That is the squared distance: same order and so the same AUROC, but the exercise asks for the "
        "distance.": right**2,
        "You compare the codes with each other. A score may not depend on the other test images: compare "
        "with z_train.": own.min(1),
        "All zeros: each code was compared with itself. Compare with z_train.": np.zeros(5),
        "Minus the distance is a normality score; here higher means more anomalous.": -right,
    }  # fmt: skip
    for message, values in wrong.items():
        if np.allclose(given, values, atol=1e-3):
            raise CheckFailed(message)
    raise CheckFailed(f"For one test batch the distances are {right.round(3)}; you give {given.round(3)}.")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _check_answers(answers, key, allowed):
    if not isinstance(answers, dict) or set(answers) != set(key):
        raise CheckFailed(
            f"Keep the dictionary with the keys {', '.join(map(repr, key))}; change only the values."
        )
    if any(value is None or value is ... for value in answers.values()):
        raise NotImplementedError
    for name, (right, reason) in key.items():
        if answers[name] not in allowed:
            raise CheckFailed(
                f"{name!r}: answer with one of {', '.join(map(repr, allowed))}, not {answers[name]!r}."
            )
        if answers[name] != right:
            raise CheckFailed(f"{name!r} is not {answers[name]!r}. {reason}")


def _numbers(function, wanted, shape):
    """Call a student's function and hold the result to its shape."""
    if not callable(function):
        raise CheckFailed("Hand over the function itself, without calling it: check(my_function).")

    def call(*args):
        result = function(*args)
        if result is None:
            raise NotImplementedError
        values = _asarray(result)
        if values.shape != shape:
            hint = " Average over channels and pixels, not over images." if shape and not values.shape else ""
            raise CheckFailed(f"The function should return {wanted}; it returned shape {values.shape}.{hint}")
        if not np.isfinite(values).all():
            raise CheckFailed("The result holds NaN or infinity.")
        return values

    return call


def _asarray(result):
    result = result.detach().cpu() if hasattr(result, "detach") else result
    return np.asarray(result, dtype=float)


def _auroc(labels, scores):
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def _shift_errors(x, x_hat, shifts):
    """(shifts, N) mean squared errors of the inner pixels of x against the shifted x_hat."""
    height, width = x.shape[-2:]
    inner = x[..., 1:-1, 1:-1]
    windows = [x_hat[..., 1 + a : height - 1 + a, 1 + b : width - 1 + b] for a, b in shifts]
    return np.stack([(inner - window).square().flatten(1).mean(1).numpy() for window in windows])
