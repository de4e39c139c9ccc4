"""PatchCore: the distance of each patch to the nearest of a few typical patches of normal images."""

from dataclasses import dataclass

import torch

from ..errors import DataError
from ..neighbours import Bank, greedy_coreset
from ..networks.backbone import DEFAULT
from .features import FeatureDetector
from .system import System

PROJECTION = 128  # dimensions in which the coreset is chosen: distances keep within about a tenth
CANDIDATES = 50_000  # patches, drawn evenly from all images, from which the coreset is chosen


@dataclass(eq=False, repr=False)
class PatchCore(FeatureDetector):
    """PatchCore (Roth et al., CVPR 2022) on a frozen backbone.

    Features of two levels describe each patch; a greedy coreset of the patches of all normal images, chosen in a random
    projection, is the bank. A patch scores its distance to the nearest in the bank, an image the mean of its highest
    hundredth (steadier than the paper's maximum). coreset: size of the bank as a share of all patches; the candidates
    are at most 50,000 patches, drawn evenly from the images. Other parameters as in `FeatureDetector`.
    """

    backbone: str = DEFAULT
    levels: tuple = (2, 3)
    coreset: float = 0.01
    side: int | None = None
    precision: str = "float32"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    def _fit(self, images):
        self._check_parameters()
        if not 0 < self.coreset <= 1:
            raise DataError(f"coreset is a share of the patches in (0, 1], got {self.coreset!r}.")
        patches, _ = self._all_places(images, CANDIDATES, self.seed)
        per_image = len(patches) // len(images)
        everything = self._count_places() * len(images) if per_image else len(patches)
        count = min(len(patches), max(1, round(self.coreset * everything)))
        self.bank_ = Bank(patches[greedy_coreset(patches, count, self.seed, PROJECTION)])

    def _count_places(self):
        with torch.no_grad():
            shape = self._features(torch.zeros(1, 3, *self._size, device=self._network().mean.device)).shape
        return shape[2] * shape[3]

    def _places(self, features):
        n, _, h, w = features.shape
        distances, _ = self.bank_.nearest(features.permute(0, 2, 3, 1).flatten(0, 2))
        return {"latent": distances.view(n, h, w)}

    def _state(self):
        return {"bank": self.bank_.vectors, **self._feature_state()}

    def _restore(self, state):
        state = self._restored(state)
        self.bank_ = Bank(state["bank"])
        self._set_threshold(state["calibration_scores"].cpu().numpy())


SYSTEM = System(
    "patchcore",
    PatchCore,
    small={"side": 64, "precision": "float32"},
    scores={"latent, neighbours": "neighbours.Bank"},
    lesson=("features_that_know_images", "3. What to keep: the coreset"),
)
