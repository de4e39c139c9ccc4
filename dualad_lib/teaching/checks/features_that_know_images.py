"""Checks of the lesson on features that know images."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports

NEIGHBOUR_CHANGES = {
    "a pit three cells wide has grown": (
        "rises",
        "Its cells look like nothing in the bank, and the highest cells make the score.",
    ),
    "the lamp is 30 % brighter, the bank is not": (
        "rises",
        "The network was trained to know a dog in any light, and still its features move with the lamp. Section 8 "
        "measures it.",
    ),
    "more good photographs of the same place join the bank": (
        "falls",
        "The nearest of more neighbours is never farther away.",
    ),
    "the bank gets a second copy of everything it holds": (
        "stays",
        "The nearest neighbour is as near as before. (A mean over several neighbours would fall.)",
    ),
    "a photograph with this very pit was in the bank all along": (
        "falls",
        "Then the pit is normal: it has itself for a neighbour. Who trains on damage no longer sees it.",
    ),
    "the vectors of its cells are shuffled to other positions": (
        "stays",
        "The bank does not know WHERE a cell was, so neither does the score. PaDiM would notice.",
    ),
}


@reports("you know what the nearest neighbour sees, and what it can't")
def check_neighbour_changes(answers):
    """answers: dict from each change in NEIGHBOUR_CHANGES to "rises", "stays" or "falls"."""
    compare_answers(answers, NEIGHBOUR_CHANGES, ("rises", "stays", "falls"))


@reports("the distance to the nearest, in units of that neighbour's own spacing")
def check_relative_distance(function):
    """function(patches (n, c), bank (m, c), spacing (m,)) -> (n,): distance to the nearest / its spacing."""
    import torch

    call = numbers(function, "one number a patch", shape=(12,))
    random = np.random.default_rng(0)
    patches, bank = random.normal(size=(12, 5)), random.normal(size=(30, 5))
    spacing = random.uniform(0.3, 3.0, 30)
    apart = np.linalg.norm(patches[:, None] - bank[None], axis=-1)
    nearest = apart.argmin(1)
    right = apart.min(1) / spacing[nearest]
    wrong = {
        "That is the distance itself. Divide by the spacing of the neighbour that was found: at a rough place a large "
        "distance is nothing special.": apart.min(1),
        "Every patch is divided by the same number, so their order stays what it was. Take the spacing AT the nearest "
        "neighbour.": apart.min(1) / spacing.mean(),
        "You look for the smallest RATIO. Find the nearest neighbour first, by distance; then divide by its "
        "spacing.": (apart / spacing).min(1),
        "That is the farthest of the bank. Its nearest is meant.": apart.max(1) / spacing[apart.argmax(1)],
        "The distance is squared: take the root.": apart.min(1) ** 2 / spacing[nearest],
        "Divide by the spacing, do not multiply: where neighbours lie far apart, a distance counts for "
        "less.": apart.min(1) * spacing[nearest],
    }
    given = call(*(torch.from_numpy(a).float() for a in (patches, bank, spacing)))
    _compare(given, right, wrong, "the relative distances")


@reports("the mean of the hottest cells, at least one")
def check_hottest(function):
    """function(heat (n, h, w), share) -> (n,): mean of the highest `share` of the cells of each map, at least one."""
    import torch

    call = numbers(function, "one number a map", shape=(6,))
    heat = np.random.default_rng(1).gamma(2.0, size=(6, 20, 25))
    flat, share = heat.reshape(6, -1), 0.02
    ordered = np.sort(flat, 1)
    right = ordered[:, -10:].mean(1)
    wrong = {
        "That is the highest cell alone. One noisy cell of 500 would decide.": ordered[:, -1],
        "That is the mean of ALL cells: a pit of three cells drowns in 500.": flat.mean(1),
        "Those are the LOWEST cells.": ordered[:, :10].mean(1),
        "That is the border of the highest share. Average what lies above it.": ordered[:, -10],
        "That is the border of the highest share. Average what lies above.": np.quantile(
            flat, 1 - share, axis=1
        ),
        "That is their sum. A score must not depend on how many cells a photograph has.": ordered[
            :, -10:
        ].sum(1),
    }
    _compare(call(torch.from_numpy(heat).float(), share), right, wrong, "the scores")
    if not np.allclose(call(torch.from_numpy(heat).float(), 1e-4), ordered[:, -1], atol=1e-5):
        raise CheckFailed("A share of less than one cell must still look at one: max(1, ...).")
    batch = np.stack([heat[0], *([100 * heat[1]] * 5)])
    if not np.isclose(call(torch.from_numpy(batch).float(), share)[0], right[0], rtol=1e-4):
        raise CheckFailed(
            "The score of a photograph must not depend on the others: take the share map by map."
        )


def _compare(given, right, wrong, what):
    """Pass, or raise with the message of the known wrong answer that was given."""
    if np.allclose(given, right, rtol=1e-4, atol=1e-5):
        return
    for message, values in wrong.items():
        if np.allclose(given, values, rtol=1e-4, atol=1e-5):
            raise CheckFailed(message)
    raise CheckFailed(f"For one test {what} are {right.round(3)}; you give {np.asarray(given).round(3)}.")
