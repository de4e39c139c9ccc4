"""Anomaly scores, their calibration on held-out normal images, and thresholds. Higher = more anomalous.

No function here sees a label. What has to be estimated (means, covariances, thresholds) comes from normal images.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from .errors import DataError

PIXEL_SCORES = {"l1": 1, "l2": 2}


@dataclass(frozen=True)
class Scores:
    """Scores of N images, each a float64 array (N,) or None where a detector has no such score.

    pixel: from image space. latent: from codes. dual: both, fused. final: the one that decides, dual if there is one.
    """

    pixel: np.ndarray | None = None
    latent: np.ndarray | None = None
    dual: np.ndarray | None = None

    @property
    def final(self):
        return next(score for score in (self.dual, self.latent, self.pixel) if score is not None)

    def items(self):
        """(name, array) pairs for tables: pixel, latent, dual, or the single name score."""
        pairs = [(n, getattr(self, n)) for n in ("pixel", "latent", "dual") if getattr(self, n) is not None]
        return pairs if len(pairs) > 1 else [("score", pairs[0][1])]


def pixel_score(x, x_hat, kind="l2"):
    """Reconstruction error of each image: mean |x - x_hat| ("l1") or mean (x - x_hat)^2 ("l2") over C, H and W.

    x, x_hat: (N, C, H, W). Returns (N,).
    """
    return (x - x_hat).abs().pow(PIXEL_SCORES[kind]).flatten(1).mean(1)


def centre_distance(z, centre):
    """Squared distance of each code to a centre, ||z - c||^2. z: (N, d), centre: (d,). Returns (N,).

    Source: Deep SVDD (Ruff et al., 2018), eq. 3; the latent score of DualAD.
    """
    return (z - centre).square().sum(1)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of codes: mean (d,) and whitening matrix (d, d), float64."""

    mean: torch.Tensor
    whitening: torch.Tensor

    @classmethod
    def fit(cls, z, shrinkage=0.1):
        """Estimate it from codes (N, d); the covariance is shrunk to a scaled identity so that it can be inverted."""
        z = z.double()
        mean = z.mean(0)
        covariance = (z - mean).T @ (z - mean) / max(1, len(z) - 1)
        scale = covariance.diagonal().mean().clamp_min(1e-12)
        covariance = (1 - shrinkage) * covariance + shrinkage * scale * torch.eye(
            len(mean), dtype=z.dtype, device=z.device
        )
        values, vectors = torch.linalg.eigh(covariance)
        return cls(mean, vectors / values.clamp_min(1e-12).sqrt())

    def whiten(self, z):
        """Codes with zero mean and (but for the shrinkage) unit covariance. (N, d) -> (N, d)."""
        return (z.double() - self.mean) @ self.whitening

    def mahalanobis(self, z):
        """Squared Mahalanobis distance of each code to the mean, (N,). Source: Mahalanobis, 1936."""
        return self.whiten(z).square().sum(1)


def nearest_distance(bank, z, k=1, chunk=2048):
    """Euclidean distance of each code to its k-th nearest neighbour in the bank. bank: (M, d), z: (N, d). Returns (N,).

    Computed in float64 from inner products: exact enough that the result does not depend on how z is cut into batches.
    """
    if not 1 <= k <= len(bank):
        raise DataError(f"k = {k} neighbours asked for, but the bank holds {len(bank)} codes.")
    bank = bank.double()
    squares = bank.square().sum(1)
    found = []
    for part in z.double().split(chunk):
        distance = squares - 2 * part @ bank.T + part.square().sum(1, keepdim=True)
        found.append(distance.topk(k, dim=1, largest=False).values[:, -1])
    return torch.cat(found).clamp_min(0).sqrt()


@dataclass(frozen=True)
class LogStandard:
    """Log scores, standardised on held-out normal images: u = (log s - mean) / deviation.

    A pixel error and a latent distance have different units; after this both say "how many deviations from usual".
    The logarithm tames the long right tail that positive scores have.
    """

    mean: float
    deviation: float

    @classmethod
    def fit(cls, scores):
        logs = np.log(np.maximum(scores, 1e-12))
        return cls(float(logs.mean()), float(max(logs.std(), 1e-6)))

    def __call__(self, scores):
        return (np.log(np.maximum(scores, 1e-12)) - self.mean) / self.deviation


def conformal_p_values(calibration, scores):
    """Chance of a score at least this high among normal images: (1 + #{c >= s}) / (n + 1). Returns (N,) in (0, 1].

    If normal test images are exchangeable with the calibration images, P(p <= a) <= a for each of them.
    Source: conformal prediction (Vovk, Gammerman & Shafer, 2005).
    """
    calibration = np.sort(calibration)
    above = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return (1 + above) / (len(calibration) + 1)


def threshold_at(calibration, rate):
    """Smallest threshold with which `score > threshold` alarms for a share of at most `rate` of the normal images.

    calibration: scores (n,) of held-out normal images; rate: in (0, 1). The promise needs n >= 1 / rate - 1 images;
    with fewer the largest score is returned, with a warning.
    """
    if not 0 < rate < 1:
        raise DataError(f"a false-alarm rate lies between 0 and 1, got {rate}.")
    n = len(calibration)
    rank = math.ceil((n + 1) * (1 - rate))
    if rank > n:
        needed = math.ceil(1 / rate - 1)
        warnings.warn(
            f"{n} calibration images cannot promise a false-alarm rate of {rate}: at least {needed} are needed. "
            "The threshold is their largest score.",
            stacklevel=2,
        )
    return float(np.sort(calibration)[min(rank, n) - 1])
