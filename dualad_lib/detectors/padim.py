"""PaDiM: a normal distribution of features at each place, for parts that lie still."""

from dataclasses import dataclass

import torch

from ..errors import DataError
from ..networks.backbone import DEFAULT
from ..scoring import precise
from .features import FeatureDetector
from .system import System


@dataclass(eq=False, repr=False)
class PaDiM(FeatureDetector):
    """PaDiM (Defard et al., 2021): Mahalanobis distance of each place's features to those of the same place.

    components: how many channels, drawn from the seed, are kept (the paper's random reduction). To the covariance of
    each place shrinkage (0.01) times the identity is added, as in the paper. It assumes parts that lie at the same
    place in every image. The grid is that of stride 8: a model keeps one matrix a place. Other parameters as in
    `FeatureDetector`.
    """

    backbone: str = DEFAULT
    levels: tuple = (1, 2, 3)
    components: int = 100
    shrinkage: float = 0.01
    side: int | None = None
    precision: str = "float32"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    def _fit(self, images):
        self._check_parameters()
        if self.components < 1 or not self.shrinkage > 0:
            raise DataError("components must be at least 1 and shrinkage above 0.")
        total = 0
        self.channels_ = None
        for batch in self._batches(images):
            features = self._features(self._seen(batch))
            if self.channels_ is None:
                draw = torch.randperm(features.shape[1], generator=torch.Generator().manual_seed(self.seed))
                self.channels_ = draw[: self.components].sort().values.to(features.device)
                self.grid_ = tuple(features.shape[2:])
                shift = self._kept(features).mean(0)  # (places, d): moments about it lose no digits
                first, second = torch.zeros_like(shift), 0
            own = self._kept(features) - shift
            first = first + own.sum(0)
            second = second + torch.bmm(own.permute(1, 2, 0), own.transpose(0, 1))  # (places, d, d)
            total += len(batch)
        mean = first / total
        covariance = (second - total * mean[:, :, None] * mean[:, None]) / max(1, total - 1)
        covariance += self.shrinkage * torch.eye(covariance.shape[1], device=covariance.device)
        self.mean_ = shift + mean
        lower = torch.linalg.cholesky(precise(covariance))
        identity = torch.eye(lower.shape[1], dtype=torch.float64, device=lower.device)
        whitening = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
        self.whitening_ = whitening.float().to(covariance.device)

    def _kept(self, features):
        """(n, c, h, w) -> (n, places, components)."""
        return features[:, self.channels_].flatten(2).transpose(1, 2)

    def _places(self, features):
        own = (self._kept(features) - self.mean_).transpose(0, 1)  # (places, n, d)
        distances = torch.bmm(own, self.whitening_.transpose(1, 2)).square().sum(2).sqrt()
        return {"latent": distances.T.unflatten(1, self.grid_)}

    def _state(self):
        return {
            "channels": self.channels_,
            "grid": torch.tensor(self.grid_),
            "mean": self.mean_,
            "whitening": self.whitening_,
            **self._feature_state(),
        }

    def _restore(self, state):
        state = self._restored(state)
        self.channels_, self.mean_, self.whitening_ = state["channels"], state["mean"], state["whitening"]
        self.grid_ = tuple(state["grid"].tolist())
        self._set_threshold(state["calibration_scores"].cpu().numpy())


SYSTEM = System("padim", PaDiM, small={"side": 64, "precision": "float32", "components": 20})
