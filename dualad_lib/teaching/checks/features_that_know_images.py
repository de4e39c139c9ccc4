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


@reports("each cell is compared with good cells from about its own position, and the frame has edges")
def check_local_distance(function):
    """function(f (h, w, c), good (n, h, w, c), reach) -> (h, w): to the nearest good one within reach, both ways."""
    import torch

    def told(f, good, reach):
        try:
            return function(f, good, reach)
        except NotImplementedError:
            raise
        except (IndexError, RuntimeError, ValueError) as error:
            raise CheckFailed(
                f"Your code stops with: {error}. Near the edge a slice that begins below 0 counts from the END and may "
                "be empty: max(0, ...)."
            ) from error

    call = numbers(told, "one number a cell, shape (h, w)", shape=(5, 8))
    random = np.random.default_rng(1)
    f, good = random.normal(size=(5, 8, 4)), random.normal(size=(3, 5, 8, 4))
    given, reach = [torch.from_numpy(a).float() for a in (f, good)], 2

    def each(allowed, of=np.min):
        rows, columns = np.indices((5, 8))
        return np.array(
            [
                [
                    of(np.linalg.norm(good[:, allowed(rows - y, columns - x)] - f[y, x], axis=-1))
                    for x in range(8)
                ]
                for y in range(5)
            ]
        )

    def around(y, x, reach=reach):
        return (abs(y) <= reach) & (abs(x) <= reach)

    def wrapped(y, x):
        return around((y + 2) % 5 - 2, (x + 4) % 8 - 4)

    right = each(around)
    wrong = {
        "That is the distance to the nearest of ALL good cells: where it lies does not count yet.": each(
            lambda y, x: abs(y) < np.inf
        ),
        "You compare with the same position alone, as if the camera never moved by a cell. Look `reach` rows and "
        "columns around it.": each(lambda y, x: around(y, x, 0)),
        "At the edges your neighbours come from the opposite side of the photograph (`torch.roll` does that). Cut "
        "them off there.": each(wrapped),
        "The last row and column within reach are missing: a slice ends BEFORE its end.": each(
            lambda y, x: (y >= -reach) & (y < reach) & (x >= -reach) & (x < reach)
        ),
        "You look along the row and along the column, a cross. All cells of the square are meant.": each(
            lambda y, x: around(y, x) & ((y == 0) | (x == 0))
        ),
        "You reach along the rows alone.": each(lambda y, x: around(y, x) & (y == 0)),
        "You reach along the columns alone.": each(lambda y, x: around(y, x) & (x == 0)),
        "That is the MEAN distance to the good cells around. The nearest is meant: one twin is enough.": each(
            around, np.mean
        ),
        "The distance is squared: take the root.": right**2,
    }
    _compare(call(*given, reach), right, wrong, "the distances of the first row", first=True)
    for other in (0, 9):
        if not np.allclose(
            call(*given, other), each(lambda y, x, k=other: around(y, x, k)), rtol=1e-4, atol=1e-5
        ):
            raise CheckFailed(
                f"Right for a reach of 2, wrong for {other}: 0 means the same position alone, and a reach beyond the "
                "photograph means all of it. Does a slice of yours begin below 0?"
            )


def _compare(given, right, wrong, what, first=False):
    """Pass, or raise with the message of the known wrong answer that was given. first: name one row alone."""
    if np.allclose(given, right, rtol=1e-4, atol=1e-5):
        return
    for message, values in wrong.items():
        if np.allclose(given, values, rtol=1e-4, atol=1e-5):
            raise CheckFailed(message)
    right, given = (np.asarray(a)[0] if first else np.asarray(a) for a in (right, given))
    raise CheckFailed(f"For one test {what} are {right.round(3)}; you give {given.round(3)}.")
