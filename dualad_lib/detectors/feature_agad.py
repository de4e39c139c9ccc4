"""AGAD rebuilt on features that know images: what is redrawn and judged is the feature of a whole image."""

from dataclasses import dataclass

import torch
from torch.nn.functional import softplus

from ..losses import discriminator_loss, squared_error
from ..neighbours import Bank
from ..networks.backbone import DEFAULT
from ..networks.redrawing import FeatureCritic, FeatureRedrawer
from ..scoring import Fusion, Gaussian, Scores, fusion_of, fusion_rows, precise
from ..training import Turn
from .feature_neighbours import FeatureNeighbours, TrainsOnFeatures
from .system import System
from .told import Told
from .trained import Trained

NOISE = 0.3  # deviation of the noise on what G restores, in deviations of a feature


@dataclass(eq=False, repr=False)
class FeatureAGAD(TrainsOnFeatures, Told, FeatureNeighbours, Trained):
    """The idea of AGAD (Shi & Zhang, 2023) on the pooled head features of a frozen backbone. With or without labels.

    G restores features of normal images from noisy ones, through a code of latent_dim numbers. C tells features of
    normal images from anomalies: from labelled ones, and with `drawn` also from the paper's pseudo-anomalies, what G
    redraws: x + strength (G(x) - x). (They do harm here: C learns what drawings look like.)

    Scores: "error", that of G; "neighbours" and "mahalanobis", distances to the training images; where C had anything
    to learn, "critic", its -log p(normal). They are fused with equal weights. distances=False leaves C alone: of
    labels, a plain classifier. An image is judged as a whole, so there is no heat map. Other parameters as in
    `FeatureNeighbours`.
    """

    backbone: str = DEFAULT
    drawn: bool = False
    strength: float = 1.0
    distances: bool = True
    width: int = 512
    latent_dim: int = 64
    steps: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    n_neighbors: int = 2
    side: int | None = None
    precision: str = "auto"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    FOLDS = 100

    @property
    def _names(self):
        distances = ("error", "neighbours", "mahalanobis") if self.distances or not self.judges_ else ()
        return (*distances, *["critic"] * self.judges_)

    @torch.no_grad()
    def _parts(self):
        channels = self._network()(torch.zeros(1, 3, 64, 64, device=self._network().mean.device))[0].shape[1]
        return {
            "G": FeatureRedrawer(channels, self.width, self.latent_dim),
            **({"C": FeatureCritic(channels)} if self.judges_ else {}),
        }

    def _fit(self, images, **options):
        self.judges_ = self.drawn or self.anomalies_ is not None  # whether there is anything for C to learn
        self.parts_ = self._build()
        features = self._pooled(images)
        self.told_ = None if self.anomalies_ is None else self._pooled(self.anomalies_)
        self.parts_["G"].learn(features)
        self._end(features, self._train_on(self._game(), features, images, **options))
        del self.told_

    def _game(self):
        turns = [Turn(self._redraw, self._player("G"))]
        if self.judges_:
            turns.append(Turn(self._judge, self._player("C")))
        return turns, None

    def _redraw(self, step):
        G = self.parts_["G"]
        x = G.standardise(step.images["train"])
        x_hat = G(x + NOISE * torch.randn_like(x))
        step.shared.update(x=x, x_hat=x_hat)
        return {"reconstruction": squared_error(x_hat, x)}

    def _judge(self, step):
        x, C = step.shared["x"], self.parts_["C"]
        anomalies = []
        if self.drawn:
            anomalies.append(x + self.strength * (step.shared["x_hat"] - x))
        if self.told_ is not None:
            count = max(1, len(x) // 2)
            told = self.told_[torch.randint(len(self.told_), (count,), device=self.told_.device)]
            anomalies.append(self.parts_["G"].standardise(told))
        logits = C(torch.cat([x, *anomalies]))  # all in one batch
        return {"critic": discriminator_loss(-logits[: len(x)], -logits[len(x) :])}

    @torch.no_grad()
    def _learn(self, features):
        self.bank_ = Bank(features)
        self.gaussian_ = Gaussian.fit(self.parts_["G"].standardise(features))

    @torch.no_grad()
    def _score(self, images):
        features = self._pooled(images)
        G = self.parts_["G"]
        x = G.standardise(features)
        found = {}
        if "error" in self._names:
            found["error"] = precise((G(x) - x).square().mean(1))
            found["neighbours"] = precise(self._distances(features))
            found["mahalanobis"] = self.gaussian_.mahalanobis(x)
        if "critic" in self._names:
            found["critic"] = softplus(precise(self.parts_["C"](x)))
        return {name: values.cpu().numpy() for name, values in found.items()}

    def _calibrate(self, raw, images):
        self.fusion_ = Fusion.fit(raw)

    def _combine(self, raw):
        return Scores(latent=self.fusion_(raw))

    def _own_state(self):
        return {"bank": self.bank_.vectors, "fusion": fusion_rows(self.fusion_), **self._feature_state()}

    def _restore(self, state):
        self.judges_ = len(state["fusion"]) != 3  # 3: the distances alone
        super()._restore(state)

    def _restore_own(self, state):
        self._learn(state["bank"])
        self.fusion_ = fusion_of(self._names, state["fusion"])


SYSTEM = System(
    "agad_features",
    FeatureAGAD,
    small={"side": 64, "precision": "float32", "width": 32, "latent_dim": 8, "steps": 60},
    losses={"l_con": "losses.squared_error", "critic": "losses.discriminator_loss"},
    scores={
        "latent, neighbours": "neighbours.Bank",
        "latent, Mahalanobis": "scoring.Gaussian",
        "dual": "scoring.Fusion",
    },
    lesson=("agad", "5. What the paper's version gives"),
    title="AGAD rebuilt, on features",
)
