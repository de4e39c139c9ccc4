"""Checks of the lesson on mutual information."""

import numpy as np

from ...losses import jsd_mutual_information, squared_error
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


@reports("encoder and T raise the estimate together, and of a spectator the encoder feels nothing")
def check_turn_loss(function):
    """function(E, M, x, weight, spectator) -> the gradients of E and of M, both (p, d), after one backward pass.

    The loss is error - weight * information with z = x @ E, x_hat = z @ E.T, T(x, z) = (x @ M * z).sum(1). A spectator
    sees z as a constant, and any weight above 0 is right for it. Gradients come out, for a grader hands over no graphs.
    """
    import torch

    if not callable(function):
        raise CheckFailed("Hand over the function itself, without calling it: check(my_function).")
    random, weight = np.random.default_rng(0), 0.3
    E, M, x = (
        torch.from_numpy(random.normal(0, 0.5, shape).astype(np.float32))
        for shape in ((5, 3), (5, 3), (4, 5))
    )
    for spectator in (False, True):
        found = _turn_shares(E, M, x, _turn_gradients(function, E, M, x, weight, spectator))
        kind = "With spectator=True" if spectator else "Without a spectator"
        if found is None:
            raise CheckFailed(
                f"{kind} the gradients are those of another loss. Its parts: squared_error(x_hat, x), and I_JS of T on "
                "the pairs and on strangers, each code in another image's row: z.roll(1, 0)."
            )
        for wrong, message in _turn_mistakes(weight, spectator, **found):
            if wrong:
                raise CheckFailed(f"{kind}: {message}")


def _turn_gradients(function, E, M, x, weight, spectator):
    """What the function returns, (2, p, d) in double precision; a gradient that is None counts as 0."""
    given = [part.clone().requires_grad_() for part in (E, M)]
    try:
        result = function(*given, x.clone(), weight, spectator)
    except RuntimeError as error:
        if "does not require grad" in str(error) or "not to have been used" in str(error):
            raise CheckFailed(
                "Nothing to be learned: the loss, or one of the two matrices, is cut off. no_grad and detach make "
                "constants, and whoever should learn must not be one."
            ) from error
        raise
    if result is None:
        raise NotImplementedError
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise CheckFailed(
            "Return two things: the gradient of E and the gradient of M, after loss.backward()."
        )
    gradients = [np.zeros(E.shape) if part is None else as_array(part) for part in result]
    for gradient in gradients:
        if gradient.shape != tuple(E.shape):
            raise CheckFailed(
                f"Each gradient has the shape of its matrix, {tuple(E.shape)}; one of yours has {gradient.shape}."
            )
    if not np.isfinite(gradients).all():
        raise CheckFailed("A gradient holds NaN or infinity.")
    if not np.any(gradients):
        raise CheckFailed(
            "Both gradients are 0 or None: loss.backward() fills E.grad and M.grad of the two matrices that you were "
            "given, not of copies."
        )
    return np.stack(gradients)


def _turn_shares(E, M, x, given):
    """Of which parts the gradients are made, or None: error, through the code (`redrawn`) and in the decoder alone
    (`drawing`); minus the information, at the encoder and at T; own: strangers who met their own code."""
    from itertools import permutations

    import torch

    E, M = (part.double().requires_grad_() for part in (E, M))
    x = x.double()
    z, n = x @ E, len(x)
    logits = (x @ M) @ z.T  # T of every image and every code
    parts = [
        torch.autograd.grad(loss, E, retain_graph=True)[0]
        for loss in (squared_error(z @ E.detach().T, x), squared_error(z.detach() @ E.T, x))
    ]
    apart = ~torch.eye(n, dtype=torch.bool)
    strangers = [(logits[apart], 0)]
    for order in permutations(range(n)):
        strangers.append((logits[range(n), order], sum(i == j for i, j in enumerate(order))))
    for marginal, own in strangers:
        information = jsd_mutual_information(logits.diagonal(), marginal)
        at_encoder, at_T = torch.autograd.grad(information, (E, M), retain_graph=True)
        encoder = _shares(given[0], [*parts, -at_encoder])
        player = _shares(given[1], [-at_T])
        if encoder is not None and player is not None:
            names = ("redrawn", "drawing", "encoder", "player")
            return dict(zip(names, (*encoder, *player), strict=True)) | {"own": own}
    return None


def _shares(given, parts):
    """How often each part is in a gradient; None where it is no sum of them."""
    columns = np.stack([as_array(part).ravel() for part in parts], 1)
    shares = np.linalg.lstsq(columns, given.ravel(), rcond=None)[0]
    fits = np.allclose(columns @ shares, given.ravel(), atol=1e-5 + 1e-4 * np.abs(given).max())
    return np.where(np.abs(shares) < 1e-3, 0, shares) if fits else None


def _turn_mistakes(weight, spectator, redrawn, drawing, encoder, player, own):
    """(is it so, what to say) for each typical mistake, in the order in which they are looked for."""

    def near(*pairs):
        return all(np.isclose(a, b, rtol=1e-2, atol=1e-3) for a, b in pairs)

    yield (
        player == 0,
        "T never learns: nothing of the loss reaches M. It does not if T itself is detached or stands under no_grad, "
        "or if the information has the weight 0."
        + (" Of a spectator z alone is a constant, and its weight is not 0." if spectator else ""),
    )
    if not spectator:
        yield (
            encoder < 0 and player < 0,
            "the sign is wrong: encoder and T LOWER the information. A loss goes down, so the information stands in it "
            "with a minus.",
        )
        yield encoder < 0, "the encoder plays against T. Here both raise the information: one loss for both."
        yield (
            encoder == 0,
            "the encoder feels nothing of the information: z is a constant (detach) for a spectator alone.",
        )
    yield player < 0, "the sign is wrong: T LOWERS the information. It learns by raising it."
    yield (
        spectator and encoder != 0,
        "the encoder feels the spectator: some of the information's gradient reaches E. Detach z where T looks at it, "
        "for pairs and strangers.",
    )
    yield (
        near((redrawn, 0), (drawing, 0)),
        "the reconstruction error is missing. The information comes on top of it.",
    )
    yield (
        near((redrawn, 0)),
        "z is cut off where it is redrawn, too: the encoder can't learn to reconstruct. Detach z for T alone.",
    )
    yield redrawn < 0, "the reconstruction error rises by your turn: it stands in the loss with a plus."
    yield (
        near((redrawn, weight), (drawing, weight)),
        "the weight stands before the reconstruction error, too. It belongs to the information alone.",
    )
    yield (
        not near((redrawn, 1), (drawing, 1)),
        "the reconstruction error does not count once. Take squared_error(x_hat, x), a mean, with the weight 1.",
    )
    if not spectator:
        yield (
            near((encoder, 1), (player, 1)),
            "the weight is forgotten: the information counts as much as the error.",
        )
        yield (
            not near((encoder, weight), (player, weight)),
            f"with the weight {weight} the information counts {encoder:.2f} times for E and {player:.2f} times for M.",
        )
    yield own, "some strangers are pairs: a code stayed with its own image. z.roll(1, 0) moves each one on."
