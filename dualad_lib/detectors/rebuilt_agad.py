"""AGAD rebuilt: images that a network redraws are one of several wrong contexts, in mixed batches, and a critic judges.

The paper has a generator fail on its own drawings. What it learns of them is how drawings look. Here a critic names the
context in which an image stands: upright, turned, redrawn, or told of as anomalous. None of them is the only one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..errors import DataError
from ..losses import info_nce, squared_error
from ..networks import TransformationCritic, ViewStatistics, forward_features
from ..scoring import Scores, precise
from ..training import Turn, channels_last
from ..transforms import dihedral, dihedral_elements, jitter, strong_view
from .agad import untracked
from .base import as_fitted
from .dualad import DualAD
from .system import System
from .told import Told

A_TOLD = 4  # normal images in a batch to one labelled anomaly


@dataclass(eq=False, repr=False)
class RebuiltAGAD(Told, DualAD):
    """The idea of AGAD (Shi & Zhang, arXiv 2304.04211) without the faults that its lesson found; labels where given.

    G restores normal images (L_con). Each image is seen in two views, and C names by the encoder's last feature map h
    in which context one stands. turned: a view under each of the four rotations. redrawn: x + strength (G(x) - x), the
    paper's pseudo-anomaly at a fixed share of G's own error. Labelled anomalies are one more context. contrast: two
    views of an image are to be alike in h, and unlike all else, drawings of the same image too (the paper's
    self-contrast). All contexts stand in one batch, and scores are made in eval mode.

    Score: as in `DualAD`, whose encoder and copies it shares: the distance to the nearest training image in h, and
    -log p(own context), over turned copies; with labels the second alone (labelled anomalies move together in h, and
    some of them among the normal images). Without redrawn, turned and contrast C has nothing but labels: a plain
    classifier in the same network, whose score is -log p(normal). w_critic, w_contrast: weights beside L_con. Other
    parameters as in `DualAD`.
    """

    image_discriminator = mutual_information = hypersphere = False
    feature_constraint = critic = True
    features, noise, latent = None, 0.0, "nearest"

    redrawn: bool = True
    turned: bool = True
    contrast: bool = True
    strength: float = 0.5
    w_critic: float = 5.0
    w_contrast: float = 0.05
    views: str = "auto"
    network: str = "pooled"
    width: int = 16
    latent_dim: int = 128
    steps: int = 400
    batch_size: int = 32
    learning_rate: float = 2e-3
    pixel: str = "l2"
    fusion: str = "separation"
    precision: str = "auto"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    @property
    def _symmetries(self):
        return dihedral_elements(self.image_shape_, mirrored=False) if self.turned else (0,)

    @property
    def _classifies(self):
        return not (self.redrawn or self.turned or self.contrast)

    def _parts(self):
        parts = super(DualAD, self)._parts()  # G alone; what DualAD adds is not used here
        with torch.no_grad():
            _, h, _ = forward_features(parts["G"].eval(), torch.zeros(1, *self.image_shape_))
        parts["G"].train()
        parts["C"] = TransformationCritic(h.shape[1], len(self._symmetries) + 2)  # redrawn, told of
        if self.contrast:
            parts["T_v"] = ViewStatistics(h.shape[1])
        return parts

    def _game(self):
        if self._classifies and self.anomalies_ is None:
            raise DataError(
                "without redrawn, turned and contrast it learns from labels alone: give fit some."
            )
        self.told_ = self.anomalies_ is not None
        helpers = [self._player(name) for name in ("C", "T_v") if name in self.parts_]
        return [Turn(self._play, *self._players(), *helpers)], None

    def _play(self, step):
        parts, x = self.parts_, step.images["train"]
        normal = len(x)
        if self.anomalies_ is not None:
            x = torch.cat([x, self._drawn(max(1, normal // A_TOLD))])
        view = strong_view if self._strong else jitter
        views = view(x.repeat(2, 1, 1, 1))
        seen = [dihedral(views, t) for t in self._symmetries]
        if self.redrawn:
            seen.append(self._redraw(views[:normal]))
        with self._mixed():
            _, h, z = forward_features(parts["G"], channels_last(torch.cat(seen)))
            h, z = h.float(), z[:normal].float()  # of the first views, upright
            x_hat = parts["G"].decode(z).float()
        terms = {"reconstruction": squared_error(x_hat, views[:normal])}
        terms["context"] = self.w_critic * cross_entropy(
            parts["C"](h), self._contexts(len(x), normal, h.device)
        )
        if self.contrast:
            count = len(views) * len(self._symmetries)
            other = torch.arange(count, device=h.device).view(-1, 2, len(x)).flip(1).flatten()
            terms["contrast"] = -self.w_contrast * info_nce(parts["T_v"](h)[:count], other)
        return terms

    @torch.no_grad()
    def _redraw(self, x):
        """x + strength (G(x) - x): what G makes of images, as far from them as a share of its own error."""
        G = self.parts_["G"]
        with self._mixed(), untracked(G):
            return x + self.strength * (G(x)[1].float() - x)

    def _contexts(self, count, normal, device):
        """The context of each image seen, in the order of `_play`: its turn's number, then redrawn, then told of."""
        turns = len(self._symmetries)
        t = torch.arange(turns, device=device).view(-1, 1, 1).repeat(1, 2, count)
        t[..., normal:] = turns + 1
        return torch.cat([t.flatten(), t.new_full((normal * self.redrawn,), turns)])

    @as_fitted
    def contexts(self, x):
        """C's probabilities of each context for images as they are, float64 (N, turns + 2): upright (and, where turns
        are contexts, each turn), redrawn, told of."""
        return np.concatenate([self._named(batch) for batch in self._checked(x).split(512)])

    @torch.no_grad()
    def _named(self, images):
        h, _ = self.frozen_(self._images(images))
        return precise(self.parts_["C"](h)).softmax(1).cpu().numpy()

    def _combine(self, raw):
        return Scores(latent=raw["transformation"]) if self.told_ else super()._combine(raw)

    def _own_state(self):
        return {**super()._own_state(), "told": torch.tensor(float(self.told_))}

    def _restore_own(self, state):
        super()._restore_own(state)
        self.told_ = bool(state["told"])


SYSTEM = System(
    "agad_rebuilt",
    RebuiltAGAD,
    small={"width": 4, "latent_dim": 8, "steps": 30, "batch_size": 16},
    losses={
        "l_con": "losses.squared_error",
        "context": "networks.feature_constraint.TransformationCritic",
        "contrast": "losses.info_nce",
    },
    scores={"latent, neighbours": "neighbours.Bank", "dual": "scoring.Fusion"},
    lesson=("agad", "3. Rebuilt"),
    title="AGAD rebuilt",
)
