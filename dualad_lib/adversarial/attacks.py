"""Adversarial examples: images changed so little that a person sees no difference and a classifier another class.

A classifier is a function from images (N, C, H, W) in [0, 1] to logits (N, K), in eval mode. Images, their classes and
the classifier are on one device. Every attack returns images in [0, 1] of the same shape there, and leaves the
classifier's parameters and gradients alone.
"""

import torch
from torch.nn.functional import cross_entropy

from ..errors import DataError
from ..training import seeded


def loss_gradient(classifier, x, y, penalty=None):
    """Gradient, by the images x, of what an attack raises: the cross-entropy of the true classes y, less a penalty.

    Summed over images, so that no image's gradient depends on the others. penalty: function of images -> (N,), or None.
    """
    x = x.detach().requires_grad_()
    loss = cross_entropy(classifier(x), y, reduction="sum")
    if penalty is not None:
        loss = loss - penalty(x).sum()
    return torch.autograd.grad(loss, x)[0]


def fgsm(classifier, x, y, eps):
    """Fast gradient sign method: x + eps sign(grad_x CE), within [0, 1]. y: (N,) true classes; eps: L-infinity bound.

    Source: Goodfellow, Shlens & Szegedy, 2015.
    """
    return (x + eps * loss_gradient(classifier, x, y).sign()).clamp(0, 1).detach()


def bim(classifier, x, y, eps, steps=10, step=None, penalty=None):
    """Basic iterative method: FGSM in small steps, each brought back into the L-infinity ball of radius eps around x.

    step: size of a step (None: eps / 5, which reaches the border of the ball twice over in ten). penalty: function of
    images -> (N,), a detector's differentiable score that the attack keeps low as well, weighted by the caller: an
    attack that knows the detector. Source: Kurakin, Goodfellow & Bengio, 2017.
    """
    step = eps / 5 if step is None else step
    adversarial = x.clone()
    for _ in range(steps):
        gradient = loss_gradient(classifier, adversarial, y, penalty)
        adversarial = adversarial + step * gradient.sign()
        adversarial = torch.minimum(torch.maximum(adversarial, x - eps), x + eps).clamp(0, 1).detach()
    return adversarial


def deepfool(classifier, x, steps=50, candidates=10, overshoot=0.02, norm="linf", eps=None):
    """DeepFool: step to the nearest of the linearised class borders until the class changes.

    candidates: how many of the likeliest classes are looked at. overshoot: how far beyond the border, as a share of the
    way. norm: "linf" or "l2", in which the nearest border is sought. eps: bound of the change in that norm (None: no
    bound). The class that is left is the one the classifier names. Source: Moosavi-Dezfooli et al., 2016.
    """
    if norm not in ("linf", "l2"):
        raise DataError(f"norm must be linf or l2, got {norm!r}.")
    with torch.no_grad():
        order = classifier(x).argsort(1, descending=True)[:, :candidates]
    first, whole = order[:, 0], torch.zeros_like(x)
    adversarial = x.clone()
    for _ in range(steps):
        logits, slopes = _borders(classifier, adversarial, order)
        still = logits.argmax(1) == first
        if not still.any():
            break
        gap = logits.gather(1, order[:, 1:]) - logits.gather(1, order[:, :1])  # (N, k), negative
        slope = slopes[:, 1:] - slopes[:, :1]  # (N, k, C, H, W)
        flat = slope.flatten(2)
        length = flat.abs().sum(2) if norm == "linf" else flat.norm(dim=2)
        distance = gap.abs() / length.clamp_min(1e-12)
        nearest = distance.argmin(1)
        rows = torch.arange(len(x), device=x.device)
        way = distance[rows, nearest].view(-1, 1, 1, 1)
        direction = slope[rows, nearest]
        if norm == "linf":
            move = (way + 1e-4) * direction.sign()
        else:
            move = (way + 1e-4) * direction / length[rows, nearest].clamp_min(1e-12).view(-1, 1, 1, 1)
        whole = torch.where(still.view(-1, 1, 1, 1), whole + move, whole)
        adversarial = (x + (1 + overshoot) * whole).clamp(0, 1)
    if eps is not None:
        adversarial = _bounded(x, adversarial, eps, norm)
    return adversarial.detach()


def boundary(classifier, x, y, starts, steps=2000, seed=0):
    """Boundary attack: along the border of class y towards x, asking the classifier for nothing but its class.

    It needs no gradient and has no bound; it ends where `steps` end. starts: (N, C, H, W), an image for each x that
    the classifier gives another class than y; the attack begins where the straight way from x to it leaves y.
    Through foolbox, an optional package: ImportError says so where it is missing. Raises DataError for a start of class
    y. Deterministic for a seed. Source: Brendel, Rauber & Bethge, 2018.
    """
    try:
        import foolbox
    except ImportError:
        raise ImportError("the boundary attack needs foolbox: pip install foolbox") from None
    import numpy as np

    begun = _at_border(classifier, x, y, starts)
    model = foolbox.PyTorchModel(_AsModule(classifier).eval(), bounds=(0, 1), device=x.device)
    with seeded(seed, x.device):
        state = np.random.get_state()
        np.random.seed(seed)  # foolbox draws from numpy too
        try:
            # Its steps adapt when thirty have been counted; by default it counts every tenth.
            attack = foolbox.attacks.BoundaryAttack(steps=steps, update_stats_every_k=1)
            found = attack.run(model, x, foolbox.criteria.Misclassification(y), starting_points=begun)
        finally:
            np.random.set_state(state)
    return found.clamp(0, 1).detach()


def success_rate(classifier, x, adversarial, y):
    """Share of the images that were classified rightly and no longer are. y: (N,) true classes."""
    with torch.no_grad():
        before, after = classifier(x).argmax(1), classifier(adversarial).argmax(1)
    right = before == y
    return float((right & (after != y)).sum() / right.sum().clamp_min(1))


def _borders(classifier, x, order):
    """Logits, and the gradient of each candidate's logit: (N, k, C, H, W)."""
    x = x.detach().requires_grad_()
    logits = classifier(x)
    slopes = [
        torch.autograd.grad(logits.gather(1, order[:, k : k + 1]).sum(), x, retain_graph=True)[0]
        for k in range(order.shape[1])
    ]
    return logits.detach(), torch.stack(slopes, 1)


class _AsModule(torch.nn.Module):
    """Any function of images as the module that foolbox asks for."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@torch.no_grad()
def _at_border(classifier, x, y, starts, halvings=12):
    """The images just beyond the border of y on the straight way from x to its start, by bisection."""
    if (classifier(starts).argmax(1) == y).any():
        raise DataError(
            "a start of the boundary attack must be an image that the classifier gives another class."
        )
    near, far = torch.zeros(len(x), device=x.device), torch.ones(len(x), device=x.device)
    for _ in range(halvings):
        middle = (near + far) / 2
        left = classifier(torch.lerp(x, starts, middle.view(-1, 1, 1, 1))).argmax(1) != y
        near, far = torch.where(left, near, middle), torch.where(left, middle, far)
    return torch.lerp(x, starts, far.view(-1, 1, 1, 1))


def _bounded(x, adversarial, eps, norm):
    change = adversarial - x
    if norm == "linf":
        return (x + change.clamp(-eps, eps)).clamp(0, 1)
    length = change.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    return (x + change * (eps / length).clamp_max(1)).clamp(0, 1)
