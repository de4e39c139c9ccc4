"""ADe-GAN rebuilt on features that know images: patterns of whole images, interpolations within and between them."""

from dataclasses import dataclass

import torch

from ..networks import PatternExtractor
from ..networks.backbone import DEFAULT
from ..networks.redrawing import FeatureEncoder
from .feature_neighbours import FeatureNeighbours, TrainsOnFeatures
from .rebuilt_adegan import PatternGame
from .system import System
from .trained import Trained


@dataclass(eq=False, repr=False)
class FeatureADeGAN(TrainsOnFeatures, PatternGame, FeatureNeighbours, Trained):
    """`RebuiltADeGAN` on the pooled head features of a frozen backbone: the same game, and the same scores.

    A view of a feature is the feature with noise of `pretext` deviations on it. What is drawn is a feature: the nearest
    mixture of features of the one pattern that E names. An image is judged as a whole, so there is no heat map.
    Parameters as in `RebuiltADeGAN` and `FeatureNeighbours`; n_neighbors: which neighbour in codes. The learning rate
    was chosen on training images of CIFAR-10, 450 a class of seven, with class 1, 3 or 4 left out: at ten times that
    rate E forgets what the features know. Source: the idea is ADe-GAN's (Chai et al.).
    """

    backbone: str = DEFAULT
    patterns: int = 50
    within: bool = True
    between: bool = True
    w_pattern: float = 0.1
    one_pattern: bool = True
    pretext: float = 0.5
    temperature: float = 0.2
    starts: float = 0.4
    n_neighbors: int = 5
    drawn_with: int = 10
    width: int = 512
    latent_dim: int = 128
    steps: int = 200
    batch_size: int = 256
    learning_rate: float = 1e-4
    side: int | None = None
    precision: str = "auto"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    FOLDS = 100

    @torch.no_grad()
    def _parts(self):
        channels = self._network()(torch.zeros(1, 3, 64, 64, device=self._network().mean.device))[0].shape[1]
        encoder = FeatureEncoder(channels, self.width, self.latent_dim)
        return {"E": PatternExtractor(encoder, self.latent_dim, self.patterns)}

    @property
    def _drawn_shape(self):
        return self.parts_["E"].encoder.mean.shape

    def _fit(self, images, **options):
        self.parts_ = self._build()  # first: it refuses parameters that make no sense
        features = self._pooled(images)
        self.parts_["E"].encoder.learn(features)
        self._start(features)
        self._end(features, self._train_on(self._game(), features, images, **options))

    def _view(self, x):
        """Each feature a little changed: what it shows, and with it its pattern, stays."""
        return x + self.pretext * self.parts_["E"].encoder.deviation * torch.randn_like(x)

    def _score(self, images):
        return super()._score(self._pooled(images))


SYSTEM = System(
    "adegan_features",
    FeatureADeGAN,
    small={"side": 64, "precision": "float32", "width": 256, "latent_dim": 16, "patterns": 4, "steps": 60},
    losses={"views": "losses.info_nce", "L_ip": "losses.uniform_cross_entropy"},
    scores={"pixel": "neighbours.nearest_mixture", "latent": "neighbours.Bank", "dual": "scoring.Fusion"},
    lesson=("adegan", "2. The parts"),
    title="ADe-GAN rebuilt, on features",
)
