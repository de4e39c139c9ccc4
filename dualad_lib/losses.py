"""Losses: one pure function an equation, tensors in, one scalar tensor out.

Every mean is taken over all elements of the batch, not over images alone, so that a weight means the same
at every image size. Papers that sum over pixels and average over images differ from this by a factor C * H * W.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softplus

from .errors import DataError


def check_alike(a: Tensor, b: Tensor) -> None:
    """Raise DataError where two tensors differ in shape: torch would repeat the smaller one, without a word."""
    if a.shape != b.shape:
        raise DataError(f"both must have one shape; got {tuple(a.shape)} and {tuple(b.shape)}.")


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean squared error of a reconstruction, L_rec = mean (x_hat - x)^2.

    x_hat, x: tensors of one shape, images in [0, 1]. Returns a scalar in [0, 1].
    Source: the reconstruction term of DualAD (Wan & Feng, 2024) and of every autoencoder before it.
    """
    check_alike(x_hat, x)
    return (x_hat - x).square().mean()


def absolute_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean absolute error of a reconstruction, L_irec = mean |x_hat - x|.

    x_hat, x: tensors of one shape, images in [0, 1]. Returns a scalar in [0, 1].
    Source: LR-GDAN (Chen et al., IJCAI 2020), eq. 3, as a mean over elements.
    """
    check_alike(x_hat, x)
    return (x_hat - x).abs().mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D = mean softplus(-D(x)) + mean softplus(D(x_hat)): binary cross-entropy of "real" and "reconstructed".

    real, fake: logits D(x), D(x_hat), (N,). Returns a scalar >= 0; 2 log 2 when D knows nothing.
    Source: Goodfellow et al., 2014, eq. 1 with a minus sign, on logits.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def adversarial_loss(fake: Tensor) -> Tensor:
    """L_adv = mean softplus(-D(x_hat)): the reconstruction wants to be taken for real (the non-saturating form).

    fake: logits D(x_hat), (N,). Returns a scalar >= 0. Source: Goodfellow et al., 2014,
    section 3; DualAD's BCE(D(x_hat), 1).
    """
    return softplus(-fake).mean()


def gradient_penalty(logits: Tensor, x: Tensor) -> Tensor:
    """R1: the squared norm of the gradient of D's logits in the real images, averaged over the batch; keeps D smooth.

    logits: (N,) D(x), computed from x: (N, C, H, W), which requires gradient. Returns a scalar >= 0 that D's parameters
    can lower. Source: Mescheder et al., ICML 2018, eq. 9, without its factor gamma / 2.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def feature_matching(f_hat: Tensor, f: Tensor) -> Tensor:
    """L_fm = mean (f(x_hat) - f(x))^2 on the discriminator's features: be alike where D looks.

    f_hat, f: (N, m). Returns a scalar >= 0. Source: Salimans et al., 2016, here image by image as in DualAD.
    """
    check_alike(f_hat, f)
    return (f_hat - f).square().mean()


def enclosure(z: Tensor, centre: Tensor, radius: Tensor, outside: float = 0.1) -> Tensor:
    """The constraint player's loss: the smallest sphere that leaves a share `outside` of the codes outside.

    R^2 + mean over images of max(0, ||z - c||^2 / d - R^2) / outside. z: (N, d), centre: (d,), radius: scalar.
    Distances are means over the d coordinates, so that R means the same for every d. Returns a scalar >= 0.
    Source: the soft-boundary form of Deep SVDD (Ruff et al., 2018), eq. 3, without its weight decay.
    """
    return radius**2 + (_mean_square(z, centre) - radius**2).clamp_min(0).mean() / outside


def hypersphere_penalty(z: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """The reconstruction player's side: how far codes lie outside, mean of max(0, ||z - c||^2 / (d R^2) - 1).

    z: (N, d), centre: (d,), radius: scalar. Measured in radii: the sphere follows when all codes shrink, so that
    shrinking them gains nothing. Returns a scalar >= 0. Source: as `enclosure`, there in absolute units.
    """
    return (_mean_square(z, centre) / radius**2 - 1).clamp_min(0).mean()


def _mean_square(z, centre):
    return (z - centre).square().mean(1)


def jsd_mutual_information(joint: Tensor, marginal: Tensor) -> Tensor:
    """Jensen-Shannon bound on the dependence of two variables, to be raised: in [.., 2 log 2], 0 when T knows nothing.

    I = mean -softplus(-T(joint)) - mean softplus(T(marginal)) + 2 log 2.
    joint, marginal: logits of the statistics network on pairs that belong together and pairs that do not, any shape.
    A lower bound on twice the Jensen-Shannon divergence of joint and product of marginals, tight at the best T.
    Source: Nowozin et al., 2016; Hjelm et al., 2019, eq. 4; LR-GDAN, eq. 11.
    """
    return -softplus(-joint).mean() - softplus(marginal).mean() + 2 * math.log(2)


def donsker_varadhan(joint: Tensor, marginal: Tensor) -> Tensor:
    """Donsker-Varadhan bound on mutual information in nats, to be raised: mean T(joint) - log mean exp T(marginal).

    joint, marginal: logits of any shape. Its gradient is biased in small batches and its value unbounded, which is why
    the Jensen-Shannon form is trained on and this one is read. Source: Belghazi et al. (MINE), 2018, eq. 5.
    """
    return joint.mean() - (marginal.flatten().logsumexp(0) - math.log(marginal.numel()))


def info_nce(similarity: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE bound on mutual information in nats, to be raised: log(M) + mean log softmax(similarity)[positive].

    similarity: (N, M) logits of each of N views with M candidates (-inf: not a candidate); positive: (N,) the index of
    the one that belongs to it. At most log(M), whatever the true value. Source: van den Oord et al., 2018, eq. 4.
    """
    candidates = torch.isfinite(similarity).sum(1).log().mean()
    return candidates - cross_entropy(similarity, positive)


def code_distance(z_hat: Tensor, z: Tensor) -> Tensor:
    """L_zrec: root mean square distance of two codes of each image, averaged over the batch.

    z_hat, z: (N, d). Returns a scalar >= 0. Source: LR-GDAN (Chen et al., IJCAI 2020), eq. 4, with the norm as a mean
    over the d coordinates; the tiny constant keeps the root's gradient finite where two codes are equal.
    """
    check_alike(z_hat, z)
    return ((z_hat - z).square().mean(1) + 1e-12).sqrt().mean()


def dual_game(own: Tensor, other: Tensor, k: float = 0.4, cap: float | None = None) -> Tensor:
    """L_dual = L_girec - k L_direc: an autoencoder that restores images well and reconstructions badly.

    own: L_girec, its error on images; other: L_direc, its error on what G reconstructed; scalars >= 0. cap: failing
    pays up to an error of `cap` times `own`; None, as printed: without end, and the best D' is one that inverts.
    Source: LR-GDAN (Chen et al., IJCAI 2020), eq. 6; the game of BEGAN (Berthelot et al., 2017) with a fixed k.
    """
    return own - k * (other if cap is None else torch.minimum(other, cap * own.detach()))


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)), averaged over the batch and the d coordinates of the code.

    mean, log_variance: (N, d). Returns a scalar >= 0 in nats a coordinate. Source: Kingma & Welling, 2014, appendix B;
    the prior of LR-GDAN, eq. 9, where coordinates are summed (d times as heavy).
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def contextual_adversarial(x_hat: Tensor, again: Tensor) -> Tensor:
    """L_adcon = -mean |x_hat - G(x_hat)|: a reconstruction, given to G again, should come out different.

    x_hat, again: tensors of one shape, images in [0, 1]. Returns a scalar in [-1, 0].
    Source: AGAD (Shi & Zhang, 2023), the contextual adversarial loss.
    """
    return -absolute_error(x_hat, again)


def reciprocal(loss: Tensor, least: float = 1e-3) -> Tensor:
    """1 / (loss + least): lowering it drives the loss up, the less the higher it is. loss: scalar >= 0.

    Source: AGAD (Shi & Zhang, 2023), the terms of labelled anomalies.
    """
    return 1 / (loss + least)


def uniform_cross_entropy(logits: Tensor) -> Tensor:
    """L_ip = mean -1/c sum_k log p_k: an image between patterns should look like none of them.

    logits: (N, c). Returns a scalar >= log(c), reached where all patterns are equally probable.
    Source: ADe-GAN (Chai et al.), eq. 6.
    """
    return -log_softmax(logits, 1).mean()
