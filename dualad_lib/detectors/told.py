"""Networks that may be told of anomalies: some of the images that `fit` is given are labelled anomalous."""

import torch

from ..data.images import as_images
from ..errors import DataError


class Told:
    """Mixin before `Trained`: `fit(X, labels=...)`, and the labelled images in `anomalies_` (None: nothing was told).

    Calibration is on normal images alone. The rows of a detector that was told are called supervised.
    """

    def fit(self, X, y=None, *, calibration=None, labels=None, checkpoint=None, label="", after_step=None):
        """As `Trained.fit`, and labels: (N,) 0 normal, 1 anomalous, where some of the images are known
        anomalies; None: all are normal. Raises DataError for labels that are no such list or name one kind alone.
        """
        self.anomalies_ = None
        if labels is not None:
            X = as_images(X)
            anomalous = self._anomalous(labels, len(X))
            X, self.anomalies_ = X[~anomalous], X[anomalous]
        return super().fit(
            X, y, calibration=calibration, checkpoint=checkpoint, label=label, after_step=after_step
        )

    def _check_variety(self, images):
        if self.anomalies_ is None:  # else there is a difference to learn
            super()._check_variety(images)

    @staticmethod
    def _anomalous(labels, count):
        """Labels as a boolean mask. Raises DataError where they are not one 0 or 1 an image, or all are alike."""
        try:
            labels = torch.as_tensor(labels)
        except (TypeError, ValueError, RuntimeError):
            labels = torch.empty(0)  # words, or lists of several lengths
        if labels.shape != (count,) or not set(labels.unique().tolist()) <= {0, 1}:
            raise DataError(f"labels must be one 0 (normal) or 1 (anomalous) for each of the {count} images.")
        if len(labels.unique()) < 2:
            raise DataError("labels name no anomaly, or nothing else: without any, fit takes no labels.")
        return labels.bool()

    def _drawn(self, count):
        """`count` labelled anomalies, as the networks take them, drawn with replacement."""
        return self._images(self.anomalies_[torch.randint(len(self.anomalies_), (count,))])

    def _fingerprint(self, images):
        known = "" if self.anomalies_ is None else super()._fingerprint(self.anomalies_)
        return super()._fingerprint(images) + known
