"""Checks of the lesson on adversarial examples."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, reports

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


@reports("you know what an attack does, and what it does not")
def check_attackers(answers):
    """answers: dict from each statement in ATTACKERS to "yes" or "no"."""
    compare_answers(answers, ATTACKERS, ("yes", "no"))


@reports("one step, and back into the ball around the original")
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
    given = as_array(function(x, now, gradient, step, eps))
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
