"""Checks of the lesson on AGAD."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

PSEUDO_ANOMALIES = {
    "bags that a network redrew": (
        "strokes",
        "Bag and redrawn bag show the same thing. They differ in sharpness and noise, and nothing else can be learned.",
    ),
    "bags upside down": (
        "content",
        "Turning leaves every stroke as sharp as it was; only what is above and what is below tells.",
    ),
    "bags upside down and redrawn, against upright ones that nobody redrew": (
        "strokes",
        "The critic may look at what is easier. Redrawn or not decides here as well, and is seen at a glance.",
    ),
    "bags upside down, against upright ones, half of either redrawn": (
        "content",
        "Who drew an image says nothing here, because it is the same on both sides.",
    ),
    "other bags from the same training files": (
        "nothing",
        "Both sides come from one distribution: no critic can do better than a coin.",
    ),
}


@reports("a critic learns whatever tells its two sides apart, and nothing else")
def check_pseudo_anomalies(answers):
    """answers: dict from each kind in PSEUDO_ANOMALIES to "strokes", "content" or "nothing"."""
    compare_answers(answers, PSEUDO_ANOMALIES, ("strokes", "content", "nothing"))


@reports("each pseudo-anomaly is as strong as you say")
def check_at_strength(function):
    """function(x, x_hat, size) -> images moved from x towards x_hat, each by a root mean square of `size`."""
    import torch

    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    far = torch.tensor([0.1, 0.2, 0.4, 0.8, 0.0])[:, None, None, None]
    x_hat = x + far * torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    call = numbers(function, "images of the shape of x", tuple(x.shape))
    for size in (0.05, 0.3):
        got = torch.from_numpy(call(x.clone(), x_hat.clone(), size))[:4]
        moved, wanted = got - x[:4].double(), (x_hat - x)[:4].double()
        cosine = torch.nn.functional.cosine_similarity(moved.flatten(1), wanted.flatten(1))
        if (cosine < -0.99).all():
            raise CheckFailed("They move AWAY from their drawing. Which way does x_hat - x point?")
        if (cosine < 0.99).any():
            raise CheckFailed("They do not move straight towards their drawing x_hat.")
        lengths = moved.square().flatten(1).mean(1).sqrt()
        if torch.allclose(lengths, size * wanted.square().flatten(1).mean(1).sqrt(), rtol=1e-3):
            raise CheckFailed("That is a SHARE of each image's own error; `size` is the change itself.")
        if torch.allclose(lengths.square().mean().sqrt(), torch.tensor(size).double(), rtol=0.15) and (
            lengths.max() > 1.5 * lengths.min()
        ):
            raise CheckFailed(
                "The batch as a whole has moved by `size`, but not each image: measure each by itself."
            )
        if not torch.allclose(lengths, torch.full((4,), size).double(), rtol=1e-3):
            raise CheckFailed(
                f"The first image has moved by {lengths[0]:.3f} (root mean square), not by {size}."
            )


@reports("such a test takes three lines")
def check_depends_on_company(function):
    """function(score, x) -> bool: does an image's score depend on which other images are scored with it?"""
    import torch

    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def own(images):
        return as_array(images.flatten(1).mean(1))

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
