"""Checks of the lesson on mutual information."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

INFORMATION_CHANGES = {
    "doubled": (
        "same",
        "Doubling can be undone, so nothing is lost. I does not know the geometry of a code.",
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


@reports("what can be undone loses nothing, and nothing done to the code alone can add")
def check_information_changes(answers):
    """answers: dict from each change in INFORMATION_CHANGES to "same", "lower" or "higher"."""
    compare_answers(answers, INFORMATION_CHANGES, ("same", "lower", "higher"))


@reports("every code is used once, whole, and none stays with its own image")
def check_strangers(function):
    """function(z) -> (N, d): the codes z (N, d), each in the row of another image."""
    import torch

    stayed = None  # said last: what is drawn with replacement may leave codes at home, too
    for n in (
        64,
        5,
        2,
        3,
        *range(6, 26),
    ):  # 64 first: by chance, two or three codes may look turned round or untouched
        z = torch.arange(3 * n, dtype=torch.float32).view(n, 3) + 0.5
        given = numbers(function, f"the codes again, shape ({n}, 3)", shape=(n, 3))(z.clone())
        codes = z.numpy()
        if n > 3 and np.array_equal(given, codes):
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
        if own and n > 3 and np.array_equal(given, codes[::-1]):
            raise CheckFailed(f"Turned round, the middle one of {n} codes stays with its own image.")
        if not known.any(0).all():
            raise CheckFailed(
                "Some codes occur twice and others never: drawn with replacement. Use each code once, so that "
                "the strangers have the same marginal distribution as the batch."
            )
        if own and stayed is None:
            stayed = f"{own} of {n}"
    if stayed:
        raise CheckFailed(
            f"{stayed} codes stayed with their own image and would be told to T as strangers. A random shuffle "
            "leaves about one at home, whatever the size of the batch. A shift leaves none."
        )


@reports("all strangers of the batch, none of the pairs on the diagonal")
def check_jsd_all_pairs(function):
    """function(t) -> scalar: I_JS of logits t (N, N), joint pairs on the diagonal, strangers everywhere else."""
    import torch

    call = numbers(function, "one number", shape=())
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
        extreme = as_array(function(torch.full((3, 3), size)))
        if not np.isfinite(extreme).all():
            raise CheckFailed(
                f"For logits of {size:.0f} you give NaN or infinity: the logarithm of a sigmoid that is 0, or 1 less "
                "one that is 1. Write it with softplus: log sigmoid(t) = -softplus(-t), log(1 - sigmoid(t)) = "
                "-softplus(t)."
            )
