"""Checks of the lesson on AGAD."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, reports

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


@reports("in eval mode a score is the image's own")
def check_company(answers):
    """answers: dict from each change in COMPANY to "yes" (a score can move) or "no"."""
    compare_answers(answers, COMPANY, ("yes", "no"))


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
