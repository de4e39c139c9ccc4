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
            if answer is None or answer is ... or (isinstance(answer, dict) and None in answer.values()):
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


# --- 03: the Feature Constraint --------------------------------------------------------------------------------------

SHRINKINGS = {
    "radius": (
        "changes",
        "The smallest sphere follows the codes: a tenth of the size, a tenth of the radius.",
    ),
    "absolute pull": (
        "changes",
        (
            "mean ||z - c||^2 / d becomes a hundredth. That is the loophole: codes that are only smaller say "
            "as much as before, and this loss calls them a hundred times better."
        ),
    ),
    "excess": (
        "same",
        (
            "The excess counts distances in radii. Distances and radius shrink by one factor, which cancels "
            "in ||z - c||^2 / (d R^2)."
        ),
    ),
    "share outside": (
        "same",
        "Which codes lie outside depends on distance over radius alone, and that has not changed.",
    ),
    "q95 / q50": ("same", "A ratio of two distances: a common factor cancels. It measures shape, not size."),
    "reconstruction": (
        "same",
        (
            "The decoder's first layer, ten times larger, undoes the shrinking exactly. Small codes are "
            "not codes without information."
        ),
    ),
}


@_check("shrinking is no compactness, and the sphere in radii knows it")
def check_shrinkings(answers):
    """answers: dict from each number in SHRINKINGS to "same" or "changes" when all codes become a tenth."""
    _check_answers(answers, SHRINKINGS, ("same", "changes"))


@_check("the radius that leaves just the wanted share outside")
def check_best_radius(function):
    """function(z, centre, outside) -> the R that minimises `enclosure` for codes z (N, d) and this centre (d,)."""
    import torch

    call = _numbers(function, "one number", shape=())
    random = np.random.default_rng(0)
    centre = np.array([3.0, -4.0, 2.0])
    z = centre + random.normal(size=(1001, 3)) * np.array([1.0, 2.0, 0.5])
    squares = np.square(z - centre)
    for outside in (0.1, 0.3):
        given = call(torch.from_numpy(z), torch.from_numpy(centre), outside)
        right = np.sqrt(np.quantile(squares.mean(1), 1 - outside))
        if np.isclose(given, right, rtol=0.01):
            continue
        lengths = np.sqrt(squares.mean(1))
        wrong = {
            "That is R^2. Take the square root.": right**2,
            "You sum over the coordinates. Here distances are MEANS over the d coordinates, so that R means "
            "the same for every d.": right * np.sqrt(3),
            "Both at once: you sum over the coordinates where the mean is meant, and return "
            "R^2.": 3 * right**2,
            "You leave the share 1 - outside outside: `outside` is the share of codes that the sphere may "
            "MISS.": np.sqrt(np.quantile(squares.mean(1), outside)),
            "That sphere holds every code, the strangest image included. A share `outside` may stay outside, so "
            "that single images do not decide.": lengths.max(),
            "That is a mean distance: about half of the codes are outside, whatever `outside` "
            "says.": lengths.mean(),
            "That is the root of the mean squared distance, whatever `outside` says.": np.sqrt(squares.mean()),
            "You measure from the origin. The distances are those to the "
            "centre.": np.sqrt(np.quantile(np.square(z).mean(1), 1 - outside)),
        }  # fmt: skip
        for message, value in wrong.items():
            if np.isclose(given, value, rtol=0.01):
                raise CheckFailed(message)
        share = float(np.mean(lengths > given))
        raise CheckFailed(
            f"With outside = {outside} your R = {given:.4g} leaves {share:.2f} of the codes outside, and the "
            f"minimum is at R = {right:.4g}."
        )


@_check("each copy is asked for its own transformation, and the answers are averaged for each image")
def check_transformation_score(function):
    """function(logits) -> (N,): mean over t of -log p(t | T_t x); logits[t, i] are C's K logits for T_t x_i."""
    import torch

    call = _numbers(function, "one number an image, shape (N,)", shape=(5,))
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 5, 4)) * 2)
    log_p = torch.log_softmax(logits, 2)
    own = torch.stack([log_p[t, :, t] for t in range(4)])  # (K, N)
    right, given = -own.mean(0).numpy(), call(logits)
    if np.allclose(given, right, atol=1e-4):
        return
    raw = torch.stack([logits[t, :, t] for t in range(4)])
    over_t = torch.stack([torch.log_softmax(logits, 0)[t, :, t] for t in range(4)])
    over_images = torch.stack([torch.log_softmax(logits, 1)[t, :, t] for t in range(4)])
    wrong = {
        "That is the log-probability itself: high for images whose copies the critic names, which is a "
        "normality score. Higher must mean more anomalous: put a minus before it.": own.mean(0),
        "You sum over the copies. Take the mean, which does not grow with K.": -own.sum(0),
        "Only the upright copy (t = 0) counts in yours. Average over all K copies.": -own[0],
        "You keep the least certain copy. The score is the MEAN over the copies.": -own.amin(0),
        "You average logits. A logit means nothing by itself: log_softmax over the K answers first.": -raw.mean(0),
        "You average the probabilities and then take the logarithm. Take the logarithm of each copy's "
        "probability, then the mean.": -own.exp().mean(0).log(),
        "That is one minus the mean probability. The score asked for has the logarithm: it never forgives a "
        "sure and wrong answer.": 1 - own.exp().mean(0),
        "Your softmax runs over the copies. It belongs to the last axis, the K answers that compete "
        "for one copy.": -over_t.mean(0),
        "Your softmax runs over the images, so that an image's score depends on its neighbours. It belongs to "
        "the last axis, the K answers.": -over_images.mean(0),
        "You take the answer that the critic prefers, right or wrong. Ask for the probability of the "
        "transformation t that was made.": -log_p.amax(2).mean(0),
        "You average over all answers. Pick answer t of copy t.": -log_p.mean((0, 2)),
    }  # fmt: skip
    for message, values in wrong.items():
        if np.allclose(given, values.numpy(), atol=1e-4):
            raise CheckFailed(message)
    raise CheckFailed(f"For one test batch the scores are {right.round(3)}; you give {given.round(3)}.")


# --- 05: fusing scores, and a threshold that keeps its promise -------------------------------------------------------

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


@_check("units drop out, other changes of a score do not")
def check_fusion_changes(answers):
    """answers: dict from each change in FUSION_CHANGES to "same" or "can change"."""
    _check_answers(answers, FUSION_CHANGES, ("same", "can change"))


@_check("the weights that separate best, correlation and all")
def check_fisher_weights(function):
    """function(delta, covariance) -> (K,): any positive multiple of the inverse covariance times delta."""
    delta = np.array([1.0, 2.0, 1.5])
    covariance = np.array([[1.0, 0.9, 0.2], [0.9, 4.0, 0.3], [0.2, 0.3, 0.5]])
    right = np.linalg.solve(covariance, delta)
    given = _direction(_numbers(function, "one weight a score, shape (K,)", shape=(3,))(delta, covariance))
    if np.allclose(given, _direction(right), atol=1e-4):
        small = _numbers(function, "one weight a score, shape (K,)", shape=(2,))
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


@_check("at most the promised share of new normal images raises an alarm")
def check_threshold(function):
    """function(calibration, rate): score number ceil((n + 1)(1 - rate)) from below, the largest if n is too small."""
    call = _numbers(function, "one number", shape=())
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


# --- 02: the image discriminator -------------------------------------------------------------------------------------

GAME_READINGS = {
    "L_D near 0, margin growing": (
        "D ahead",
        (
            "D tells images from reconstructions without error, and G does not catch up. A small loss of D "
            "is no sign of a good game: nothing tells G where to go but a D that it cannot please."
        ),
    ),
    "L_D = 2 log 2, a fresh D gets 0.9": (
        "D asleep",
        (
            "2 log 2 says that THIS D knows nothing. A fresh one finds a difference (0.9 is below 2 log 2 = "
            "1.386), so there was something to learn: D did not learn it."
        ),
    ),
    "L_D = 2 log 2, a fresh D gets 2 log 2 too": (
        "balance",
        (
            "Neither D nor a fresh one finds a difference: as far as such discriminators can see, "
            "reconstructions are distributed like images. That is the equilibrium."
        ),
    ),
}


@_check("2 log 2 has two reasons, and a fresh discriminator tells them apart")
def check_game_readings(answers):
    """answers: dict from each reading in GAME_READINGS to "D ahead", "D asleep" or "balance"."""
    _check_answers(answers, GAME_READINGS, ("D ahead", "D asleep", "balance"))


@_check("the best discriminator's logit is log p/q")
def check_best_logit(function):
    """function(x, mean_p, std_p, mean_q, std_q) -> (N,): log p(x) / q(x) of two normal distributions, p real."""
    x = np.linspace(-2, 3, 6)
    call = _numbers(function, "one logit an x, shape (N,)", shape=x.shape)

    def logs(mean, std, constant=True, half=0.5, square=2):
        return -half * np.abs((x - mean) / std) ** square - (np.log(std) if constant else 0)

    case = (0.0, 1.0, 1.5, 0.6)
    p, q = case[:2], case[2:]
    right, given = logs(*p) - logs(*q), call(x, *case)
    if np.allclose(given, right, atol=1e-4):
        return
    wrong = {
        "The sign is reversed: D says real with a POSITIVE logit, so it is log p - log q, with p the real "
        "images.": -right,
        "That is the probability of being real, sigmoid(log p/q). The logit is wanted, without the "
        "sigmoid.": 1 / (1 + np.exp(-right)),
        "That is the ratio p/q. Take its logarithm.": np.exp(right),
        "That is the log density of p alone. D compares: the same x can be likely under q as "
        "well.": logs(*p),
        "The factor 1/2 in the exponent is missing: log p = -(x - mean)^2 / (2 std^2) - log "
        "std.": logs(*p, half=1) - logs(*q, half=1),
        "You use the distance, not its square: the exponent of a normal density is "
        "quadratic.": logs(*p, half=0.5, square=1) - logs(*q, half=0.5, square=1),
        "You divide by std where its square, the variance, belongs: square (x - mean) / std as a "
        "whole.": -0.5 * (x - p[0]) ** 2 / p[1] - np.log(p[1]) + 0.5 * (x - q[0]) ** 2 / q[1] + np.log(q[1]),
        "The log std is missing. The constant log sqrt(2 pi) cancels; 1 / std does not, because the two "
        "deviations differ: the narrower density is the higher one.": logs(*p, constant=False)
        - logs(*q, constant=False),
    }  # fmt: skip
    for message, values in wrong.items():
        known = np.log(2 * np.pi) / 2  # a single log density may be written with its constant
        if any(np.allclose(given, values - shift, atol=1e-4) for shift in (0, known)):
            raise CheckFailed(message)
    raise CheckFailed(
        f"For N(0, 1) and N(1.5, 0.6^2) at {x.tolist()} the logits are {right.round(3)}; you give "
        f"{given.round(3)}."
    )


@_check("the saturating loss, finite at every logit")
def check_saturating_loss(function):
    """function(fake) -> one number: mean log(1 - sigmoid(D(x_hat))), the loss that G lowers. fake: (N,) logits."""
    import torch

    def finite(*args):  # infinity is for this check to explain
        result = function(*args)
        return None if result is None else np.nan_to_num(_asarray(result))

    call = _numbers(finite if callable(function) else function, "one number", shape=())
    fake = torch.tensor([-3.0, -1.0, 0.5, 2.0])
    logits = fake.numpy().astype(float)
    right, given = -np.log1p(np.exp(logits)).mean(), call(fake)
    if not np.isclose(given, right, atol=1e-4):
        wrong = {
            "The sign is reversed: G lowers its loss, and mean log(1 - sigmoid) is negative, falling as the "
            "logits of the reconstructions rise. You have D's own term.": -right,
            "That is the non-saturating loss, softplus(-D(x_hat)). The exercise asks for the other one, "
            "mean log(1 - sigmoid(D(x_hat))).": np.log1p(np.exp(-logits)).mean(),
            "That is log sigmoid(D(x_hat)), minus the non-saturating loss. You need the logarithm of ONE "
            "MINUS the sigmoid.": -np.log1p(np.exp(-logits)).mean(),
            "You add over the images. Average, so that the batch size does not change the loss.": 4 * right,
            "You take the logarithm of the mean. Take the mean of the logarithms: each image has its own "
            "term.": np.log((1 / (1 + np.exp(logits))).mean()),
        }  # fmt: skip
        for message, value in wrong.items():
            if np.isclose(given, value, atol=1e-4):
                raise CheckFailed(message)
        raise CheckFailed(f"For logits {logits.tolist()} the loss is {right:.4f}; you give {given:.4f}.")
    if not np.isclose(call(torch.tensor([200.0])), -200, rtol=1e-4):
        raise CheckFailed(
            "Right for small logits, but not at 200: 1 - sigmoid(200) is rounded to 0 and its logarithm is "
            "minus infinity (and clamped, it loses its gradient). Work on logits, with softplus."
        )


# --- 04: mutual information ------------------------------------------------------------------------------------------

INFORMATION_CHANGES = {
    "doubled": (
        "same",
        "Doubling can be undone, so nothing is lost. I does not know the scale of a code; a distance does.",
    ),
    "coordinates reordered": (
        "same",
        "A fixed order can be undone: the same numbers stand in other places.",
    ),
    "noise added": (
        "lower",
        "Noise that is independent of the image can't be taken off again: two codes that could be told apart "
        "may now look alike.",
    ),
    "rounded": (
        "lower",
        "Rounding gives many codes the same value, and what told them apart is gone. It can't be undone.",
    ),
    "random number appended": (
        "same",
        "Drop the number again and z is back, so nothing is lost; and the number says nothing about the image, "
        "so nothing is gained. A longer code need not say more.",
    ),
    "another image's code": (
        "lower",
        "That code is independent of the image: I is zero. These are the strangers that every estimator needs.",
    ),
}


@_check("what can be undone loses nothing, and nothing done to the code alone can add")
def check_information_changes(answers):
    """answers: dict from each change in INFORMATION_CHANGES to "same", "lower" or "higher"."""
    _check_answers(answers, INFORMATION_CHANGES, ("same", "lower", "higher"))


@_check("every code is used once, whole, and none stays with its own image")
def check_strangers(function):
    """function(z) -> (N, d): the codes z (N, d), each in the row of another image."""
    import torch

    for n in (5, 2, 3, 64, *range(6, 26)):
        z = torch.arange(3 * n, dtype=torch.float32).view(n, 3) + 0.5
        given = _numbers(function, f"the codes again, shape ({n}, 3)", shape=(n, 3))(z.clone())
        codes = z.numpy()
        if np.array_equal(given, codes):
            raise CheckFailed(
                "Every code is still in its own row: these are joint pairs. Give each row another image's code."
            )
        known = (given[:, None] == codes[None]).all(2)  # (rows given, codes)
        if not known.any(1).all():
            if np.array_equal(np.sort(given, axis=None), codes.ravel()):
                raise CheckFailed(
                    "The codes were broken up: some rows mix numbers of different images or have them in "
                    "another order. Move whole rows. (torch rolls the flattened tensor unless you name the "
                    "dimension: z.roll(1, 0).)"
                )
            raise CheckFailed("Some rows are no code of the batch. Move the codes, do not change them.")
        own = int(np.trace(known))
        if own and n % 2 and np.array_equal(given, codes[::-1]):
            raise CheckFailed(f"Turned round, the middle one of {n} codes stays with its own image.")
        if not known.any(0).all():
            raise CheckFailed(
                "Some codes occur twice and others never: drawn with replacement. Use each code once, so that "
                "the strangers have the same marginal distribution as the batch."
            )
        if own:
            raise CheckFailed(
                f"{own} of {n} codes stayed with their own image and would be told to T as strangers. A random "
                "shuffle leaves about one at home, whatever the size of the batch. A shift leaves none."
            )


@_check("all strangers of the batch, none of the pairs on the diagonal")
def check_jsd_all_pairs(function):
    """function(t) -> scalar: I_JS of logits t (N, N), joint pairs on the diagonal, strangers everywhere else."""
    import torch

    call = _numbers(function, "one number", shape=())
    n = 6
    logits = np.random.default_rng(0).normal(size=(n, n)) * 2 + 3 * np.eye(n)
    given = call(torch.from_numpy(logits))
    joint, others = -np.logaddexp(0, -np.diag(logits)), -np.logaddexp(0, logits)
    off = others[~np.eye(n, dtype=bool)]
    ceiling = 2 * np.log(2)
    right = joint.mean() + off.mean() + ceiling
    wrong = {
        "The diagonal is among your strangers: those pairs belong together, and T is punished for knowing it. "
        "Leave it out.": joint.mean() + others.mean() + ceiling,
        "You divide the strangers by N^2, but there are N (N - 1) of them.": joint.mean()
        + off.sum() / n**2
        + ceiling,
        "You sum over the strangers. Average joint pairs and strangers each over their own number.": joint.mean()
        + off.sum()
        + ceiling,
        "2 log 2 is missing: without it a T that knows nothing does not give 0.": right - ceiling,
        "The sign is turned: the estimate is to be raised, and a good T gives a positive one.": -right,
        "That is the loss of the classifier, to be lowered. The estimate is 2 log 2 minus it.": ceiling - right,
        "Joint pairs and strangers are exchanged: the diagonal holds the pairs that belong "
        "together.": -np.logaddexp(0, -logits[~np.eye(n, dtype=bool)]).mean()
        - np.logaddexp(0, np.diag(logits)).mean()
        + ceiling,
        "Each code meets one stranger only. Use all that stand off the diagonal.": joint.mean()
        + np.diag(np.roll(others, 1, axis=0)).mean()
        + ceiling,
    }  # fmt: skip
    if not np.isclose(given, right, atol=1e-5):
        for message, value in wrong.items():
            if np.isclose(given, value, atol=1e-5):
                raise CheckFailed(message)
        raise CheckFailed(f"For one test matrix the estimate is {right:.4f}; you give {given:.4f}.")
    for size in (-300.0, 300.0):
        extreme = _asarray(function(torch.full((3, 3), size)))
        if not np.isfinite(extreme).all():
            raise CheckFailed(
                f"For logits of {size:.0f} you give NaN or infinity: the logarithm of a sigmoid that is 0, or 1 less "
                "one that is 1. Write it with softplus: log sigmoid(t) = -softplus(-t), log(1 - sigmoid(t)) = "
                "-softplus(t)."
            )


# --- 06: intervals ---------------------------------------------------------------------------------------------------

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


@_check("each interval answers its own question")
def check_intervals(answers):
    """answers: dict from each question in INTERVALS to "seeds", "classes" or "images"."""
    _check_answers(answers, INTERVALS, ("seeds", "classes", "images"))


@_check("differences first, then Student's interval of their mean")
def check_paired_interval(function):
    """function(a, b) -> (mean, half): of the differences a - b, half of the 95 % interval (Student)."""
    from scipy.stats import t

    random = np.random.default_rng(0)
    n, level = 10, random.uniform(0.6, 0.99, 10)
    b = level + random.normal(0, 0.003, n)
    a = b + 0.004 + random.normal(0, 0.003, n)
    mean, half = _numbers(function, "two numbers, (mean, half)", shape=(2,))(a, b)
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


# --- 07: LR-GDAN -----------------------------------------------------------------------------------------------------

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


@_check("two players, one error between them, and one that is none of G's business")
def check_dual_wishes(answers):
    """answers: dict from each wish in DUAL_WISHES to "up", "down" or "nothing"."""
    _check_answers(answers, DUAL_WISHES, ("up", "down", "nothing"))


@_check("each rate over its own images")
def check_half_total_error(function):
    """function(y, scores, threshold) -> the mean of false-alarm and miss rate, an alarm being score > threshold."""
    call = _numbers(function, "one number", shape=())
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


# --- 08: AGAD --------------------------------------------------------------------------------------------------------

COMPANY = {
    "eval mode, other images in the batch": (
        "no",
        "In eval mode batch norm uses the averages it learned in training, whoever is in the batch.",
    ),
    "train mode, other images in the batch": (
        "yes",
        "In train mode mean and deviation are those of the batch: other company, other numbers.",
    ),
    "eval mode, another batch size": (
        "no",
        "The learned averages do not know how many images are scored at once.",
    ),
    "train mode, the same batch in another order": (
        "no",
        "A mean does not depend on the order of its summands. The order of the TEST SET matters because it decides "
        "who shares a batch.",
    ),
    "train mode, an image added to the batch": (
        "yes",
        "One more summand changes the mean and the deviation.",
    ),
}


@_check("in eval mode a score is the image's own")
def check_company(answers):
    """answers: dict from each change in COMPANY to "yes" (a score can move) or "no"."""
    _check_answers(answers, COMPANY, ("yes", "no"))


@_check("such a test takes three lines")
def check_depends_on_company(function):
    """function(score, x) -> bool: does an image's score depend on which other images are scored with it?"""
    import torch

    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def own(images):
        return _asarray(images.flatten(1).mean(1))

    def asked(score, about, kind="True or False"):
        answer = function(score, x.clone())
        if not isinstance(answer, (bool, np.bool_)):
            raise CheckFailed(f"Return {kind}, not {type(answer).__name__} ({about}).")
        return bool(answer)

    def company(images):
        return own(images) - own(images).mean()

    def sharp(images):
        return own(images) + (1e-9 * len(images))

    def neighbour(images):
        return own(images) + own(images.roll(1, 0))

    if asked(own, "a score that is the image's own"):
        raise CheckFailed(
            "A score that depends on its own image alone is called guilty. Do you compare images with each other?"
        )
    if not asked(company, "a score minus the mean of its batch"):
        raise CheckFailed(
            "Minus the batch's mean is not noticed. Score the images together, and then each by itself, and compare "
            "(an order alone does not show it: the mean stays the same)."
        )
    if not asked(neighbour, "a score that looks at the image before it"):
        raise CheckFailed("A score that looks at its neighbour in the batch is not noticed.")
    if asked(sharp, "a score that differs in the ninth digit"):
        raise CheckFailed(
            "Differences in the ninth digit are floating point, not company: compare with np.allclose."
        )

    def first_only(images):
        return own(images) + (torch.arange(len(images)).numpy() > 3) * own(images).mean()

    if not asked(first_only, "a score that is right for the first images"):
        raise CheckFailed("You look at the first image only. Company may show in any of them.")


# --- 09: ADe-GAN -----------------------------------------------------------------------------------------------------

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


@_check("either is enough: an error that is too large, or no pattern")
def check_eq_11(answers):
    """answers: dict from each change in EQ_11 to "up", "down" or "same"."""
    _check_answers(answers, EQ_11, ("up", "down", "same"))


@_check("the order of A, and no ties")
def check_stable_eq_11(function):
    """function(u, confidence, n) -> (N,): -log(1 - P(u)) - log(confidence - 1/n), P the normal distribution."""
    import torch
    from scipy.stats import norm

    call = _numbers(function, "one number an image", shape=(40,))
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
    far = _asarray(function(errors, sure, n))
    if not np.isfinite(far).all() or (np.diff(far) <= 0).any():
        raise CheckFailed(
            "Errors of 5 to 35 deviations tie, or are infinite: 1 - P has rounded to 0. Use log_ndtr(-u), and double "
            "precision."
        )
    order = np.argsort(right)
    if not np.array_equal(np.argsort(given), order):
        raise CheckFailed("The order is not that of A = -1/n - (1 - P)(max P - 1/n).")


# --- 10: adversarial examples ----------------------------------------------------------------------------------------

ATTACKERS = {
    "BIM with ten steps of eps / 5 may move a pixel by 2 eps": (
        "no",
        "After every step the image is brought back into the ball of radius eps around the ORIGINAL image.",
    ),
    "an attack that failed counts among the anomalies here": (
        "no",
        "The classifier still names the right class: nothing has happened that a detector should find.",
    ),
    "the classifier's doubt sees DeepFool, which stops just behind the border": (
        "yes",
        "At the border two classes are equally probable: the classifier doubts, and says so.",
    ),
    "the larger eps is, the better the classifier's doubt sees BIM": (
        "no",
        "With more room BIM goes on behind the border: the classifier is wrong, and surer and surer of it.",
    ),
    "a detector that sees this attack is safe from one who knows the detector": (
        "no",
        "Whoever knows a differentiable score puts it into the loss, and lowers it together with the true class.",
    ),
}


@_check("you know what an attack does, and what it does not")
def check_attackers(answers):
    """answers: dict from each statement in ATTACKERS to "yes" or "no"."""
    _check_answers(answers, ATTACKERS, ("yes", "no"))


@_check("one step, and back into the ball around the original")
def check_attack_step(function):
    """function(x, now, gradient, step, eps) -> the images after one step of BIM, (N, C, H, W) in [0, 1]."""
    import torch

    random = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 4, 4, generator=random)
    x[0, 0, 0], x[1, 0, 0] = 0.02, 0.98  # near black, near white
    eps, step = 0.1, 0.04
    now = (x + eps * (2 * torch.rand(x.shape, generator=random) - 1)).clamp(0, 1)
    gradient = torch.randn(x.shape, generator=random)
    kept = x.clone(), now.clone()
    given = _asarray(function(x, now, gradient, step, eps))
    if given.shape != tuple(x.shape):
        raise CheckFailed(f"Return images of the shape {tuple(x.shape)}, not {given.shape}.")
    if not (torch.equal(kept[0], x) and torch.equal(kept[1], now)):
        raise CheckFailed("You change x or now in place: the attacker needs the original in every step.")

    def ball(images, centre, radius=eps):
        return torch.minimum(torch.maximum(images, centre - radius), centre + radius)

    sign = gradient.sign()
    moved = now + step * sign
    right = ball(moved, x).clamp(0, 1)
    wrong = {
        "Nothing holds the image near the original: a ball around `now`, or none, lets every step go farther, and ten "
        "steps arrive anywhere. The ball stands around the original x.": (moved.clamp(0, 1), moved),
        "Some pixels leave [0, 1]: no image has such values.": (ball(moved, x),),
        "The direction is turned: the attacker RAISES the loss of the true class.": (
            ball(now - step * sign, x).clamp(0, 1),
        ),
        "That is the gradient itself, not its sign: pixels with small gradients would hardly move.": (
            ball(now + step * gradient, x).clamp(0, 1),
        ),
        "You begin again at x: the steps before are lost. Go on from `now`.": (
            ball(x + step * sign, x).clamp(0, 1),
        ),
        "That is FGSM, one step of eps from x. Take a step of `step` from `now`.": (
            (x + eps * sign).clamp(0, 1),
        ),
    }
    if not np.allclose(given, right.numpy(), atol=1e-6):
        for message, values in wrong.items():
            if any(np.allclose(given, value.numpy(), atol=1e-6) for value in values):
                raise CheckFailed(message)
        off = np.abs(given - right.numpy()).max()
        raise CheckFailed(f"Some pixels are {off:.3f} away from where the step leads.")


# --- 11: your own images ---------------------------------------------------------------------------------------------

PROMISES = {
    "new good parts, same camera": (
        "holds",
        "Calibration images and new images are exchangeable: that is all the promise needs.",
    ),
    "a detector that finds no defect at all": (
        "holds",
        "The promise is about good parts. It holds for every detector, also for a useless one.",
    ),
    "the calibration images were also trained on": (
        "breaks",
        "A detector knows its training images: their scores are too low, and so is the threshold.",
    ),
    "other views of the calibration parts were trained on": (
        "breaks",
        "A twin is nearly the image itself. New parts have no twin among the training images.",
    ),
    "12 calibration images": (
        "breaks",
        "The smallest p-value is 1/13 = 7.7 %, which is above 5 %: at least 19 images are needed.",
    ),
    "new parts under a brighter lamp": (
        "breaks",
        "They differ from the calibration images in more than chance: not exchangeable.",
    ),
    "calibration images and new parts under a brighter lamp, training images not": (
        "holds",
        "Training images need not resemble the others. Detection suffers, the promise does not.",
    ),
    "read as: of 100 alarms 5 are false": (
        "breaks",
        "5 % of the GOOD parts raise an alarm. How many alarms are false depends on how rare defects are.",
    ),
}


@_check("the promise needs exchangeable images and enough of them, and nothing of the detector")
def check_promises(answers):
    """answers: dict from each case in PROMISES to "holds" or "breaks"."""
    _check_answers(answers, PROMISES, ("holds", "breaks"))


@_check("the new image's place among the calibration images, ties and all")
def check_conformal_p_value(function):
    """function(calibration, score) -> p in (0, 1]: (1 + how many calibration scores are at least as high) / (n + 1)."""
    call = _numbers(function, "one number", shape=())
    calibration = np.array([1.0, 2.0, 2.0, 3.0, 5.0, 8.0, 9.0])
    n = len(calibration)
    score = 2.0
    given = call(calibration, score)
    above, equal = (calibration > score).sum(), (calibration == score).sum()
    right = (1 + above + equal) / (n + 1)
    wrong = {
        "Ties count as at least as high: compare with >=. With > a detector that gives every image one score would "
        "raise an alarm for all of them.": (1 + above) / (n + 1),
        "The new image itself is missing, above and below: it is one of n + 1. Yours can be 0, and no finite number "
        "of images proves that much.": (above + equal) / n,
        "The 1 above is missing: the new image is at least as high as itself.": (above + equal) / (n + 1),
        "Divide by n + 1: the new image is one of them. Yours can be larger than 1.": (1 + above + equal) / n,
        "The direction is reversed: count the scores that are at least as HIGH. A high score is odd and must get a "
        "small p-value.": (1 + (calibration <= score).sum()) / (n + 1),
        "That is 1 - p: a high score must get a small p-value.": 1 - right,
        "You return per cent. Give a number between 0 and 1.": 100 * right,
        "That is a number of images. Divide by n + 1.": 1 + above + equal,
    }
    if not np.isclose(given, right):
        for message, value in wrong.items():
            if np.isclose(given, value):
                raise CheckFailed(message)
        raise CheckFailed(
            f"For calibration scores {calibration} and the score 2 it is {right}; you give {given:.4f}."
        )
    for score, right in ((20.0, 1 / 8), (0.0, 1.0), (8.0, 3 / 8)):
        if not np.isclose(call(calibration, score), right):
            raise CheckFailed(
                f"For the score {score:g} it is {right}; you give {call(calibration, score):.4f}."
            )
    shuffled = np.random.default_rng(0).permutation(calibration)
    if not np.isclose(call(shuffled, 4.0), 4 / 8):
        raise CheckFailed("Calibration scores come in any order: count, or sort them first.")


# --- 12: sound -------------------------------------------------------------------------------------------------------

SOUND_CHANGES = {
    "the speaker comes nearer: each sample times two": (
        "same",
        "Every energy is four times as large, the loudest too: their ratio stays, and with it the image.",
    ),
    "the plug is turned: each sample times minus one": (
        "same",
        "The strength of a wave does not know its sign: phase was dropped in step 2.",
    ),
    "the recording is played backwards": (
        "mirrored",
        "The last frame comes first; each has the frequencies that it had.",
    ),
    "a tenth of a second of silence comes before": (
        "shifted right",
        "Time runs to the right, and silence adds black columns at the left.",
    ),
    "every frequency is a little higher, the rhythm is kept": (
        "shifted up",
        "Pitch runs upwards, and the columns stay where they are.",
    ),
}


@_check("you know what the image keeps of a sound, and what it forgets")
def check_sound_changes(answers):
    """answers: dict from each change in SOUND_CHANGES to "same", "mirrored", "shifted right" or "shifted up"."""
    _check_answers(answers, SOUND_CHANGES, ("same", "mirrored", "shifted right", "shifted up"))


@_check("decibels under the loudest point, silence below the floor")
def check_to_image(function):
    """function(energy, floor) -> max(0, 1 + 10 log10(energy / max energy) / floor), (bands, frames) in [0, 1]."""
    import torch

    call = _numbers(function, "one number a band and frame", shape=(4, 5))
    energy = 10 ** np.random.default_rng(0).uniform(-7, 2, (4, 5))
    energy[0, 0], floor = 250.0, 50.0
    ratio = energy / energy.max()

    def scaled(ratio, factor=10, log=np.log10):
        return np.clip(1 + factor * log(ratio) / floor, 0, 1)

    right, given = scaled(ratio), call(torch.from_numpy(energy), floor)
    wrong = {
        "20 log10 is for amplitudes. These are energies, squared already: 10 log10.": scaled(ratio, 20),
        "That is the natural logarithm. Decibels count powers of ten: log10.": scaled(ratio, 10, np.log),
        "Without the factor 10 these are bels, and 50 of them are silent here.": scaled(ratio, 1),
        "Silence is white and the loudest point black: add 1, so that the loudest point is 1.": np.clip(
            -10 * np.log10(ratio) / floor, 0, 1
        ),
        "Decibels under WHAT? Divide by the loudest energy of the clip, else a loud clip is white and a soft one "
        "black.": scaled(energy),
        "The result leaves [0, 1]: what is more than `floor` under the loudest point is silence, 0.": 1
        + 10 * np.log10(ratio) / floor,
        "You stretch each clip from its softest to its loudest point. The floor is fixed, else a clip without silence "
        "gets some.": (np.log10(ratio) - np.log10(ratio).min()) / -np.log10(ratio).min(),
        "That is the energy in proportion, without a logarithm.": ratio,
    }
    if not np.allclose(given, right, atol=1e-4):
        for message, value in wrong.items():
            if np.allclose(given, value, atol=1e-4):
                raise CheckFailed(message)
        raise CheckFailed(
            f"For energies up to {energy.max():.0f} and a floor of {floor:.0f} dB the mean of the image is "
            f"{right.mean():.4f}; yours is {given.mean():.4f}."
        )
    energy[1:] = 0
    silent = _asarray(function(torch.from_numpy(energy), floor))
    if not np.allclose(silent[1:], 0):
        raise CheckFailed("An energy of 0 must become 0, silence: clamp it before taking the logarithm.")
