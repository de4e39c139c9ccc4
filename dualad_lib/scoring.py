"""Anomaly scores, their calibration on held-out normal images, and thresholds. Higher = more anomalous.

No function here sees a label. What has to be estimated (means, covariances, thresholds) comes from normal images.
"""

import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from .errors import DataError
from .evaluation import auroc
from .losses import check_alike
from .neighbours import Bank

PIXEL_SCORES = ("l1", "l2", "relative")
SMOOTH = 1e-3  # roughness of an image without any: what a relative error is divided by at the least
LOWEST_RATE = 1e-9  # a promise of less needs more images than anybody has
FEW = 5  # calibration images, of which none can be spared to look at the others


@dataclass(frozen=True)
class Scores:
    """Scores of N images, each a float64 array (N,) or None where a detector has no such score.

    pixel: from image space. latent: from codes. dual: both, fused. final: the one that decides, dual if there is one.
    """

    pixel: np.ndarray | None = None
    latent: np.ndarray | None = None
    dual: np.ndarray | None = None

    @property
    def final(self) -> np.ndarray:
        return next(score for score in (self.dual, self.latent, self.pixel) if score is not None)

    def items(self) -> list[tuple[str, np.ndarray]]:
        """(name, array) pairs for tables: pixel, latent, dual, or the single name score."""
        pairs = [(n, getattr(self, n)) for n in ("pixel", "latent", "dual") if getattr(self, n) is not None]
        return pairs if len(pairs) > 1 else [("score", pairs[0][1])]


def precise(x: Tensor) -> Tensor:
    """A tensor in float64: where it is, or on the CPU if its device has no float64 (Apple's MPS)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def finite(scores: dict[str, np.ndarray], owner: str) -> dict[str, np.ndarray]:
    """Scores of images by name, (n,) each, as they are. Raises DataError where one is NaN or infinite."""
    wrong = {name: int((~np.isfinite(values)).sum()) for name, values in scores.items()}
    if any(wrong.values()):
        worst = max(wrong, key=wrong.__getitem__)
        raise DataError(
            f"the {worst} score of this {owner} is not a finite number for {wrong[worst]} of {len(scores[worst])} "
            "images: its weights are damaged, or its training came to nothing. Fit it again, with a lower "
            "learning_rate if it has one, or load a sound model file."
        )
    return scores


def pixel_score(x: Tensor, x_hat: Tensor, kind: str = "l2") -> Tensor:
    """Reconstruction error of each image: a mean over C, H and W.

    kind: "l1", the mean of |x - x_hat|; "l2", that of (x - x_hat)^2; "relative", that of (x - x_hat)^2 divided by
    `roughness` + SMOOTH: a complicated image is allowed a larger error than a plain one (as likelihoods are corrected
    by complexity: Serra et al., ICLR 2020). x, x_hat: (N, C, H, W) in [0, 1]. Returns (N,).
    """
    if kind not in PIXEL_SCORES:
        raise DataError(f"the kind of a pixel score is one of {', '.join(PIXEL_SCORES)}; got {kind!r}.")
    check_alike(x, x_hat)
    if kind == "relative":
        return pixel_score(x, x_hat) / (roughness(x) + SMOOTH)
    difference = (x - x_hat).abs()
    return (difference if kind == "l1" else difference.square()).flatten(1).mean(1)


def roughness(x: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels of each image, down and across. x: (N, C, H, W). Returns (N,)."""
    down, across = (x.diff(dim=axis).square() for axis in (2, 3))
    return sum(d.flatten(1).mean(1) for d in (down, across) if d.numel())  # type: ignore[return-value]  # no image has one pixel


def centre_distance(z: Tensor, centre: Tensor) -> Tensor:
    """Squared distance of each code to a centre, ||z - c||^2. z: (N, d), centre: (d,). Returns (N,).

    Source: Deep SVDD (Ruff et al., 2018), eq. 3; the latent score of DualAD.
    """
    return (z - centre).square().sum(1)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of codes: mean (d,) and whitening matrix (d, d), float64."""

    mean: Tensor
    whitening: Tensor

    @classmethod
    def fit(cls, z: Tensor, shrinkage: float = 0.1) -> Self:
        """Estimate it from codes (N, d); the covariance is shrunk to a scaled identity so that it can be inverted."""
        z = precise(z)
        mean = z.mean(0)
        covariance = (z - mean).T @ (z - mean) / max(1, len(z) - 1)
        scale = covariance.diagonal().mean().clamp_min(1e-12)
        covariance = (1 - shrinkage) * covariance + shrinkage * scale * torch.eye(
            len(mean), dtype=z.dtype, device=z.device
        )
        values, vectors = torch.linalg.eigh(covariance)
        return cls(mean, vectors / values.clamp_min(1e-12).sqrt())

    def whiten(self, z: Tensor) -> Tensor:
        """Codes with zero mean and (but for the shrinkage) unit covariance. (N, d) -> (N, d)."""
        return (precise(z) - self.mean) @ self.whitening

    def mahalanobis(self, z: Tensor) -> Tensor:
        """Squared Mahalanobis distance of each code to the mean, (N,). Source: Mahalanobis, 1936."""
        return self.whiten(z).square().sum(1)


def nearest_distance(bank: Tensor, z: Tensor, k: int = 1) -> Tensor:
    """Euclidean distance of each code to its k-th nearest neighbour in the bank. bank: (M, d), z: (N, d). Returns (N,).

    For many searches in one bank, keep a `neighbours.Bank`.
    """
    return precise(Bank(bank).nearest(z, k)[0][:, k - 1])


@dataclass(frozen=True)
class LogStandard:
    """Log scores, standardised on held-out normal images: u = (log s - mean) / deviation.

    A pixel error and a latent distance have different units; after this both say "how many deviations from usual".
    The logarithm tames the long right tail that positive scores have. A ten-thousandth of the usual score is the
    least: the distance of an image that was trained on is 0 but for rounding, whose logarithm says nothing.
    """

    mean: float
    deviation: float

    @classmethod
    def fit(cls, scores: np.ndarray) -> Self:
        logs = cls._log(scores, np.median(scores))
        return cls(float(logs.mean()), float(max(logs.std(), 1e-6)))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        return (self._log(scores, math.exp(self.mean)) - self.mean) / self.deviation

    @staticmethod
    def _log(scores, usual):
        return np.log(np.maximum(scores, max(1e-4 * usual, 1e-12)))


@dataclass(frozen=True)
class Fusion:
    """One score from several: their log-standardised values, averaged with weights.

    scales: LogStandard of each score, by name. weights: a positive number for each name.
    """

    scales: dict
    weights: dict

    @classmethod
    def fit(cls, normal: Mapping[str, np.ndarray], anomalous: Mapping[str, np.ndarray] | None = None) -> Self:
        """Scales from the raw scores of held-out normal images (dict name -> (n,)).

        Without `anomalous` all weights are equal. With it (raw scores of pseudo-anomalies made from the same images)
        a score weighs more the better it tells the two apart.
        """
        scales = {name: LogStandard.fit(values) for name, values in normal.items()}
        if anomalous is None:
            return cls(scales, dict.fromkeys(scales, 1.0))
        return cls(scales, {name: separation_weight(normal[name], anomalous[name]) for name in scales})

    def __call__(self, raw: Mapping[str, np.ndarray], names: Iterable[str] | None = None) -> np.ndarray:
        """The fused score (N,) of raw scores, of all of them or of those named."""
        names = list(names or raw)
        total = sum(self.weights[name] for name in names)
        return sum(self.weights[name] / total * self.scales[name](raw[name]) for name in names)


def fusion_rows(fusion: Fusion) -> torch.Tensor:
    """A fusion as numbers, for a file: float64 (k, 3), mean, deviation and weight of each score in its order."""
    rows = [[s.mean, s.deviation, fusion.weights[name]] for name, s in fusion.scales.items()]
    return torch.tensor(rows, dtype=torch.float64)


def fusion_of(names: Iterable[str], rows: torch.Tensor) -> Fusion:
    """The fusion that `fusion_rows` wrote, of scores with these names. Raises ValueError for another number of them."""
    found = dict(zip(names, rows.tolist(), strict=True))
    scales = {name: LogStandard(mean, deviation) for name, (mean, deviation, _) in found.items()}
    return Fusion(scales, {name: row[2] for name, row in found.items()})


def separation_weight(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Weight of a score that separates normal from pseudo-anomalous images with AUROC a.

    (max(a - 0.5, 0.001) / (1.02 - a))^2: next to nothing for a coin; a score with half the errors of
    another weighs about four times as much.
    """
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    a = auroc(labels, np.concatenate([normal, anomalous]))
    return (max(a - 0.5, 0.001) / (1.02 - a)) ** 2


@dataclass(frozen=True)
class LowRank:
    """Principal components of vectors, for fast distances, all float64.

    mean (F,), components (F, r), variances (r,), noise_variance (scalar).

    noise_variance: the mean variance of the F - r directions that are left out, as in probabilistic PCA.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor
    noise_variance: Tensor

    FULL = 512  # features up to which all directions are computed, and not only those that are kept

    @classmethod
    def fit(cls, h: Tensor, rank: int = 128) -> Self:
        """Estimate it from vectors (N, F); the rank is at most min(N - 1, F)."""
        h = precise(h)
        mean = h.mean(0)
        centred = h - mean
        total = centred.square().sum() / max(1, len(h) - 1)
        rank = min(rank, len(h) - 1, h.shape[1])
        variances, components = _principal(centred, rank, full=h.shape[1] <= cls.FULL)
        count = h.shape[1] - rank
        noise = ((total - variances.sum()) / count).clamp_min(0) if count else total.new_zeros(())
        return cls(mean, components, variances.clamp_min(1e-12), noise)

    def project(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates along the components (N, r), and the squared length of what they leave out (N,)."""
        centred = precise(h) - self.mean
        along = centred @ self.components
        return along, (centred.square().sum(1) - along.square().sum(1)).clamp_min(0)

    def whiten(self, along: Tensor) -> Tensor:
        """Coordinates with unit variance on the images it was fitted on."""
        return along / self.variances.sqrt()

    def mahalanobis(self, along: Tensor, left: Tensor, shrinkage: float = 0.3) -> Tensor:
        """Squared Mahalanobis distance (N,) with the covariance shrunk to a scaled identity.

        The directions left out share one variance, `noise_variance`.
        """
        count = self.mean.numel() - len(self.variances)
        scale = (self.variances.sum() + count * self.noise_variance) / self.mean.numel()
        inside = along.square() / ((1 - shrinkage) * self.variances + shrinkage * scale)
        return inside.sum(1) + left / ((1 - shrinkage) * self.noise_variance + shrinkage * scale)


def _principal(centred, rank, full):
    """The `rank` largest variances and their directions (F, rank) of centred vectors (N, F), float64, rising."""
    if full:
        values, vectors = torch.linalg.eigh(centred.T @ centred / max(1, len(centred) - 1))
        left = len(values) - rank
        return values[left:], vectors[:, left:]
    from sklearn.utils.extmath import randomized_svd

    _, lengths, directions = randomized_svd(centred.float().cpu().numpy(), rank, n_iter=4, random_state=0)
    values = torch.from_numpy(lengths).to(centred).square() / max(1, len(centred) - 1)
    return values.flip(0), torch.from_numpy(directions).to(centred).flip(0).T.contiguous()


def conformal_p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Chance of a score at least this high among normal images: (1 + #{c >= s}) / (n + 1). Returns (N,) in (0, 1].

    If normal test images are exchangeable with the calibration images, P(p <= a) <= a for each of them.
    Source: conformal prediction (Vovk, Gammerman & Shafer, 2005).
    """
    calibration, scores = np.sort(check_calibration(calibration)), np.asarray(scores, dtype=np.float64)
    if np.isnan(scores).any():
        raise DataError(
            "scores hold NaN, which is neither high nor low: find out why before judging by them."
        )
    above = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return (1 + above) / (len(calibration) + 1)


def left_out(final: np.ndarray, refit: Callable[[np.ndarray], np.ndarray], folds: int = 100) -> np.ndarray:
    """Scores of calibration images (n,), each by weights and scales that it had no part in.

    A fused score fits its scales and weights to the calibration images. Their own scores by it lie lower than those of
    new normal images, and a threshold set on them alarms too often: of 19 images, 5.5 times in a hundred instead of 5.
    So each fold is scored by what the other images say. Only the direction may tell, in which raw scores are added up;
    offset and unit are those of the final score, matched on these other images (for a single raw score, and with fixed
    weights, this gives `final` back).

    final: (n,) final scores of the calibration images, fitted on all of them. refit: function of a boolean mask (n,) ->
    final scores (n,) of all, fitted on those of the mask. folds: groups that are left out together, at most n. Fewer
    than FEW images keep their scores. Source: cross-conformal prediction (Vovk, 2015), jackknife (Barber et al., 2021),
    here with the matching.
    """
    n, found = len(final), np.array(final, dtype=np.float64)
    if n < FEW:
        return found
    for fold in np.array_split(np.arange(n), min(n, folds)):
        kept = ~np.isin(np.arange(n), fold)
        scores = refit(kept)
        own, other = final[kept], scores[kept]
        if min(own.std(), other.std()) > 1e-9 * (1 + np.abs(own).max()):  # else all are one picture
            found[fold] = own.mean() + own.std() / other.std() * (scores[fold] - other.mean())
    return found


def check_rate(rate: float) -> None:
    """Raise DataError for a false-alarm rate that is none, or that no number of images could promise."""
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not LOWEST_RATE <= rate < 1:
        raise DataError(
            f"false_alarm_rate: a false-alarm rate lies between 0 and 1 and is at least {LOWEST_RATE:g}, got {rate!r}."
        )


def check_calibration(scores: np.ndarray) -> np.ndarray:
    """Scores of calibration images (n,), as they are. Raises DataError where there is none, or one is no number."""
    if np.ndim(scores) != 1 or not len(scores) or not np.isfinite(scores).all():
        raise DataError(
            "calibration scores must be (n,) finite numbers, of one held-out normal image at least."
        )
    return scores


def threshold_at(calibration: np.ndarray, rate: float) -> float:
    """Smallest threshold with which `score > threshold` alarms for a share of at most `rate` of the normal images.

    calibration: scores (n,) of held-out normal images; rate: in (0, 1). The promise needs n >= 1 / rate - 1 images;
    with fewer the largest score is returned, with a warning.
    """
    check_rate(rate)
    n = len(check_calibration(calibration))
    rank = max(
        1, math.ceil(round((n + 1) * (1 - rate), 9))
    )  # 150 * (1 - 0.18) is 123, and a little more in floating point
    if rank > n:
        needed = math.ceil(1 / rate - 1)
        warnings.warn(
            f"{n} calibration images cannot promise a false-alarm rate of {rate}: at least {needed} are needed. "
            "The threshold is their largest score.",
            stacklevel=2,
        )
    return float(np.sort(calibration)[min(rank, n) - 1])


def eq_11(
    error: np.ndarray, confidence: np.ndarray, patterns: int, mean: float, deviation: float
) -> np.ndarray:
    """ADe-GAN's score of reconstruction error and pattern together, in an order-preserving form without ties.

    error: (N,) ||x - G(E(x))||. confidence: (N,) max_c P(x in c), in [1 / patterns, 1]. mean, deviation: of the error
    over held-out normal images. Returns (N,), float64.

    The paper (Chai et al., eq. 9 to 11) writes A = -log p / n + (1 - log p) log q with "log p" = P_N(error) and
    "log q" = -max_c P(x in c) ("argmax" in print). A rises with the error only if P_N is the normal distribution's
    cumulative probability P in [0, 1]. Then A = -1/n - (1 - P) (max_c P - 1/n), which gets so close to -1/n for large
    errors that floating point makes ties of them. -log(1 - P) - log(max_c P - 1/n), returned here, orders images
    as A does: an anomaly has a large error, or no pattern, and either is enough.
    """
    u = torch.from_numpy((np.asarray(error, float) - mean) / deviation)
    above = np.maximum(np.asarray(confidence, float) - 1 / patterns, 1e-300)
    return -torch.special.log_ndtr(-u).numpy() - np.log(above)
