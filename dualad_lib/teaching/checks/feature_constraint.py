"""Checks of the lesson on the Feature Constraint."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports

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


@reports("shrinking is no compactness, and the sphere in radii knows it")
def check_shrinkings(answers):
    """answers: dict from each number in SHRINKINGS to "same" or "changes" when all codes become a tenth."""
    compare_answers(answers, SHRINKINGS, ("same", "changes"))


@reports("the radius that leaves just the wanted share outside")
def check_best_radius(function):
    """function(z, centre, outside) -> the R that minimises `enclosure` for codes z (N, d) and this centre (d,)."""
    import torch

    call = numbers(function, "one number", shape=())
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


@reports("each copy is asked for its own transformation, and the answers are averaged for each image")
def check_transformation_score(function):
    """function(logits) -> (N,): mean over t of -log p(t | T_t x); logits[t, i] are C's K logits for T_t x_i."""
    import torch

    call = numbers(function, "one number an image, shape (N,)", shape=(5,))
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
