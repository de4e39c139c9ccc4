"""Figures of merit from scores and labels alone. Nothing here is used in training.

Labels: 0 normal, 1 anomalous, shape (N,). Scores: higher = more anomalous, shape (N,). Results in [0, 1].
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics

from .errors import DataError


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that an anomaly scores above a normal image, ties counted half."""
    return float(metrics.roc_auc_score(*_checked(labels, scores)))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve as a step sum; a guess gets the share of anomalies."""
    return float(metrics.average_precision_score(*_checked(labels, scores)))


def fpr_at_tpr(labels: ArrayLike, scores: ArrayLike, tpr: float = 0.95) -> float:
    """False positive rate at the highest threshold that finds a share of `tpr` of the anomalies (lower is better).

    tpr: in (0, 1].
    """
    if not 0 < tpr <= 1:
        raise DataError(f"tpr is a share of the anomalies, in (0, 1]; got {tpr!r}.")
    false, true, _ = metrics.roc_curve(*_checked(labels, scores), drop_intermediate=False)
    return float(false[np.argmax(true >= tpr)])


def hter(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Half total error rate: the mean of false-alarm rate and miss rate when `score > threshold` raises an alarm.

    The threshold must be fixed before the labels are seen, on calibration images (LR-GDAN, section 4).
    """
    labels, scores = _checked(labels, scores)
    if not np.isfinite(threshold):
        raise DataError(f"threshold must be a number, got {threshold!r}.")
    alarm = scores > threshold
    return float((alarm[labels == 0].mean() + (~alarm[labels == 1]).mean()) / 2)


def equal_error_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The threshold at which false-alarm and miss rate are nearest to each other, of DEVELOPMENT images.

    Halfway between two neighbouring scores. With it `hter` is fixed before the test labels are seen, as face
    anti-spoofing does.
    """
    labels, scores = _checked(labels, scores)
    values = np.unique(scores)
    cuts = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    alarms = (scores[labels == 0][:, None] > cuts).mean(0)
    misses = (scores[labels == 1][:, None] <= cuts).mean(0)
    return float(cuts[np.argmin(np.abs(alarms - misses))])


def evaluate(labels: ArrayLike, scores: ArrayLike) -> dict[str, float]:
    """The three threshold-free figures as a dict: auroc, average_precision, fpr95."""
    return {
        "auroc": auroc(labels, scores),
        "average_precision": average_precision(labels, scores),
        "fpr95": fpr_at_tpr(labels, scores),
    }


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = as_array(labels), as_array(scores).astype(np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise DataError(
            f"labels and scores must be two vectors of one length; got shapes {labels.shape} and {scores.shape}."
        )
    if set(labels.tolist()) != {0, 1}:
        raise DataError("labels must hold both 0 (normal) and 1 (anomalous), and nothing else.")
    if not np.isfinite(scores).all():
        raise DataError("scores hold NaN or infinity: find out why before measuring them.")
    return labels.astype(np.int64), scores


def as_array(values: ArrayLike) -> np.ndarray:
    """What was given as an array; of a tensor its values. Raises DataError for a masked array, whose mask would be
    lost.
    """
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        raise DataError("some of the values are masked: give those that count.")
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _checked_maps(masks: ArrayLike, maps: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Masks as bool and maps as float, (N, H, W) alike."""
    masks, maps = as_array(masks), as_array(maps).astype(np.float64)
    if masks.shape != maps.shape or masks.ndim != 3:
        raise DataError(f"masks and maps must be (N, H, W) alike; got {masks.shape} and {maps.shape}.")
    if not np.isin(masks, (0, 1)).all():
        raise DataError("masks must hold 0 and 1, or false and true, and nothing else.")
    if not np.isfinite(maps).all():
        raise DataError("maps hold NaN or infinity: find out why before measuring them.")
    return masks.astype(bool), maps


def pixel_auroc(masks: ArrayLike, maps: ArrayLike) -> float:
    """AUROC over all pixels: does an anomaly map mark what a person has marked?

    masks: (N, H, W), true where something is wrong; maps: (N, H, W), higher = more anomalous. Both kinds must occur.
    """
    masks, maps = _checked_maps(masks, maps)
    return auroc(masks.reshape(-1).astype(int), maps.reshape(-1))


def per_region_overlap(masks: ArrayLike, maps: ArrayLike, limit: float = 0.3) -> float:
    """PRO: mean share of each marked region that is found, averaged over false-alarm rates of pixels from 0 to `limit`.

    masks, maps: as `pixel_auroc`. A region is a connected set of marked pixels (with diagonals); each counts the same,
    however small, which pixel AUROC does not do. 1 is perfect; maps that say nothing get about limit / 2.
    Source: Bergmann et al., 2020 (MVTec AD), section 5.
    """
    from scipy.ndimage import label

    masks, maps = _checked_maps(masks, maps)
    if not 0 < limit <= 1:
        raise DataError(f"limit is a false-alarm rate in (0, 1], got {limit!r}.")
    if not masks.any() or masks.all():
        raise DataError("the overlap needs marked and unmarked pixels.")
    regions, count = np.zeros(masks.shape, int), 0
    for place, mask in enumerate(masks):
        numbered, here = label(mask, np.ones((3, 3), int))
        regions[place] = np.where(numbered > 0, numbered + count, 0)
        count += here
    sizes = np.bincount(regions.reshape(-1), minlength=count + 1)
    order = np.argsort(-maps, axis=None, kind="stable")
    values, member = maps.reshape(-1)[order], regions.reshape(-1)[order]
    alarms = np.cumsum(member == 0) / sizes[0]
    weights = np.where(member > 0, 1 / (count * sizes[member]), 0.0)
    found = np.cumsum(weights)
    last = np.append(values[1:] != values[:-1], True)  # pixels of one value are called together
    alarms, found = np.append(0, alarms[last]), np.append(0, found[last])
    end = np.searchsorted(alarms, limit, side="right")  # the curve up to `limit`, its last piece cut there
    if end < len(alarms):
        share = (limit - alarms[end - 1]) / (alarms[end] - alarms[end - 1])
        cut = found[end - 1] + share * (found[end] - found[end - 1])
        alarms, found = np.append(alarms[:end], limit), np.append(found[:end], cut)
    area = np.sum(np.diff(alarms) * (found[1:] + found[:-1]) / 2)
    return float(area / limit)


def cross_dataset_hter(detector: Any, train: Any, development: Any, test: Any) -> tuple[float, float]:
    """HTER of a detector on another set's faces, at the threshold of equal errors on development videos.

    detector: unfitted; it learns from the real frames of `train` (`Faces`) alone. development: Faces of the
    set that it was trained on, with attacks: they set the threshold and nothing else. test: Faces of the other set.
    Returns (HTER, threshold).
    """
    detector.fit(train.images[train.labels == 0])
    threshold = equal_error_threshold(*development.by_clip(detector.anomaly_scores(development.images).final))
    labels, scores = test.by_clip(detector.anomaly_scores(test.images).final)
    return hter(labels, scores, threshold), threshold
