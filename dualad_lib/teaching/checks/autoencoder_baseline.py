"""Checks of the lesson on reconstruction as a detector."""

import itertools

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

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


@reports("a good reconstruction and a good detector are two different things")
def check_extremes(answers):
    """answers: dict from each network in EXTREMES to "useless" (every score equal) or "can work"."""
    compare_answers(answers, EXTREMES, ("useless", "can work"))


@reports("each image finds its own best shift, and no border wraps round")
def check_shift_tolerant_score(function):
    """function(x, x_hat) -> (N,): smallest mean squared error over nine shifts of x_hat, -1, 0, 1 rows and columns.

    Compared without the outermost pixel on each side of x, so that every shift compares (H - 2) x (W - 2) pixels.
    """
    import torch

    call = numbers(function, "one number an image, shape (N,)", shape=(4,))
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
    alone = np.concatenate([as_array(function(x[i : i + 1], each[i : i + 1])).reshape(-1) for i in range(4)])
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


@reports("noise goes in, the clean image has to come back, and the step goes downhill")
def check_denoising_step(function):
    """function(W, x, noise, rate) -> (p, p): the weights after one step that rebuilds x from x + noise.

    The network is one layer, x_hat = x @ W; x, noise: (N, p). Compared with the step of the check. Numbers go in and
    come out, for a grader hands over no networks.
    """
    import torch

    random = np.random.default_rng(0)
    W, x, noise = (
        torch.from_numpy(random.normal(0, 0.5, shape).astype(np.float32)) for shape in ((4, 4), *[(6, 4)] * 2)
    )
    given = numbers(function, "the weights after the step, shape (4, 4)", shape=(4, 4))(
        W.clone(), x, noise, 0.5
    )
    change = given - W.numpy()
    if not np.abs(change).max() > 1e-6:
        raise CheckFailed(
            "The weights are as they were: backward() fills W.grad, and the step is yours to take: W - rate * W.grad."
        )
    mistakes = {
        "right": {},
        "You rebuild the clean image from itself: the network has to see x + noise.": {"noisy_input": 0},
        "You ask for the noise back as well: compare x_hat with x, the clean image.": {"noisy_target": 1},
        "The loss rises by your step: the gradient points uphill, so subtract it.": {"downhill": -1},
        "You add up the squared errors; L_rec is their mean over images and pixels.": {"scale": x.numel()},
        "The step has a length of its own: multiply the gradient by rate.": {"scale": 2},
    }
    for message, mistake in mistakes.items():
        if np.allclose(change, _denoising_change(W, x, noise, 0.5, **mistake), atol=1e-5):
            if message == "right":
                return
            raise CheckFailed(message)
    raise CheckFailed("The weights are not those after one step on L_rec between x_hat and the clean x.")


def _denoising_change(W, x, noise, rate, noisy_input=1, noisy_target=0, downhill=1, scale=1):
    """What a step adds to W, by hand: -rate times the gradient of the mean squared error."""
    seen = x + noisy_input * noise
    error = seen @ W - x - noisy_target * noise
    return (-downhill * scale * rate * 2 * seen.T @ error / x.numel()).numpy()


def _shift_errors(x, x_hat, shifts):
    """(shifts, N) mean squared errors of the inner pixels of x against the shifted x_hat."""
    height, width = x.shape[-2:]
    inner = x[..., 1:-1, 1:-1]
    windows = [x_hat[..., 1 + a : height - 1 + a, 1 + b : width - 1 + b] for a, b in shifts]
    return np.stack([(inner - window).square().flatten(1).mean(1).numpy() for window in windows])
