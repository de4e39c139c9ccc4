"""Face anti-spoofing across data sets: trained on one, judged on another."""

from .evaluation import equal_error_threshold, hter


def cross_dataset_hter(detector, train, development, test):
    """HTER of a detector on another set's faces, at the threshold of equal errors on development videos.

    detector: unfitted; it learns from the real frames of `train` (`data.faces.Faces`) alone. development: Faces of the
    set that it was trained on, with attacks: they set the threshold and nothing else. test: Faces of the other set.
    Returns (HTER, threshold).
    """
    detector.fit(train.images[train.labels == 0])
    threshold = equal_error_threshold(*development.by_clip(detector.anomaly_scores(development.images).final))
    return hter(*test.by_clip(detector.anomaly_scores(test.images).final), threshold), threshold
