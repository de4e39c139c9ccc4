"""Nearest neighbours of a frozen network's features: two lines that anything learned has to beat."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import normalize

from ..errors import DataError
from ..neighbours import Bank
from ..networks.backbone import DEFAULT
from ..scoring import precise
from .features import FeatureDetector
from .system import System


@dataclass(eq=False, repr=False)
class FeatureNeighbours(FeatureDetector):
    """DN2 (Bergman, Cohen & Hoshen, 2020) with the cosine: mean distance to the nearest normal images in features.

    The last map of the backbone, averaged over its places, is the feature of an image; the score is the mean of 1 - cos
    to the n_neighbors nearest normal images. For images of whole objects; it has no heat map. Other parameters as in
    `FeatureDetector`.
    """

    backbone: str = DEFAULT
    n_neighbors: int = 2
    side: int | None = None
    precision: str = "auto"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    levels = ("head",)
    remembered = (
        None  # studies set a function (compute, network, size, images) that remembers features of images
    )

    def _fit(self, images):
        self._check_parameters()
        if not isinstance(self.n_neighbors, int) or not 1 <= self.n_neighbors <= len(images):
            raise DataError(
                f"n_neighbors must lie between 1 and the {len(images)} images, got {self.n_neighbors!r}."
            )
        self.bank_ = Bank(self._pooled(images))

    def _pooled(self, images):
        """Features of length one, (N, c)."""
        if self.remembered is None:
            return self._computed(images)
        return type(self).remembered(self._computed, self._network(), self._size, images)

    @torch.no_grad()
    def _computed(self, images):
        return torch.cat([self._pooled_of(self._seen(batch)) for batch in self._batches(images)])

    def _pooled_of(self, x):
        return normalize(self._network()(x, ("head",))[0].mean((2, 3)))

    def _distances(self, features):
        """Mean of 1 - cos to the nearest, (n,): half the squared distance of vectors of length one."""
        return (self.bank_.nearest(features, self.n_neighbors)[0].square() / 2).mean(1)

    def _score(self, images):
        return {"latent": precise(self._distances(self._pooled(images))).cpu().numpy()}

    def _check_maps(self):
        raise DataError(
            f"a {type(self).__name__} judges whole images, so it has no heat maps: use PatchCore or DualAD."
        )

    def _state(self):
        return {"bank": self.bank_.vectors, **self._feature_state()}

    def _restore(self, state):
        state = self._restored(state)
        self.bank_ = Bank(state["bank"])
        self._set_threshold(np.asarray(state["calibration_scores"].cpu()))


class TrainsOnFeatures:
    """First base of a `FeatureNeighbours` that is `Trained`: its file holds the networks, and names the backbone."""

    exports = False

    def _state(self):
        return super(FeatureDetector, self)._state()  # that of Trained: with the networks

    def _own_state(self):
        return {**super()._own_state(), **self._feature_state()}

    def _restore(self, state):
        super(FeatureDetector, self)._restore(self._restored(state))


SYSTEM = System("feature_neighbours", FeatureNeighbours, small={"side": 64, "precision": "float32"})
