"""The autoencoder baseline: reconstruct, and score by pixel error, by the code's place in latent space, and by both."""

import numpy as np
import torch

from ..losses import squared_error
from ..networks import ConvAutoencoder, FrozenEncoder, MLPAutoencoder, PooledAutoencoder, start_at_mean
from ..networks.precision import PRECISIONS, dtype_of, mixed
from ..scoring import (
    PIXEL_SCORES,
    Fusion,
    Scores,
    fusion_of,
    fusion_rows,
    pixel_score,
    precise,
    separation_weight,
)
from ..training import Turn, as_float
from ..transforms import PSEUDO_ANOMALIES, made_of, pseudo_anomalies
from .base import as_fitted, choose
from .latent import CodeDistance
from .system import System
from .trained import Trained, check_side

NETWORKS = {"conv": ConvAutoencoder, "pooled": PooledAutoencoder, "mlp": MLPAutoencoder}
LATENT_SCORES = ("nearest", "mahalanobis", "centre")
FUSIONS = ("separation", "equal")
AT_ONCE = 256  # images that go through the encoder at once: more do not fit the processor's caches


class Autoencoder(Trained):
    """Autoencoder x_hat = G_d(G_e(x)) trained on the squared error of normal images alone.

    scores: pixel, the mean error of each image; latent, the distance of its whitened code to those of the training
    images; dual, both after log-standardisation on held-out normal images, fused.

    network: "conv" (any image of side 8 or more), "pooled" (`PooledEncoder`, which learns more a second; the
    tables' choice) or "mlp" (the fully connected one of DualAD's published code). precision: in which the networks
    compute, "float32", "bfloat16", or "auto", bfloat16 where the device computes in it. Weights, losses and scores
    are float32 and float64 always. width: channels of the first convolution; latent_dim: d of the code z. steps,
    batch_size, learning_rate: AdamW, warm-up and cosine to zero, always the last step. noise: deviation of Gaussian
    noise added to the input, whose clean image is to be restored (denoising; 0: off). pixel: "l1", "l2" or
    "relative" (`pixel_score`). latent: "nearest" (to the nearest training code), "mahalanobis" or "centre" (to the
    mean code, not whitened). fusion: "separation" weighs the pixel and the latent score by how well each tells
    held-out normal images from pseudo-anomalies made of them, "equal" does not.
    """

    AFTERWARDS = (*Trained.AFTERWARDS, "pixel", "latent", "fusion")
    FOLDS = 100
    #: Held-out normal images that are made into pseudo-anomalies of each kind, to weigh the scores.
    JUDGED = 200

    def __init__(
        self,
        network="conv",
        width=16,
        latent_dim=64,
        steps=250,
        batch_size=128,
        learning_rate=2e-3,
        noise=0.0,
        pixel="l2",
        latent="nearest",
        fusion="separation",
        precision="auto",
        false_alarm_rate=0.05,
        seed=0,
        device="auto",
    ):
        self.network = network
        self.width = width
        self.latent_dim = latent_dim
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.noise = noise
        self.pixel = pixel
        self.latent = latent
        self.fusion = fusion
        self.precision = precision
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed
        self.device = device

    @as_fitted
    def reconstruct(self, x):
        """Reconstructions x_hat of images, float32 tensor (N, C, H, W) in [0, 1] on the CPU."""
        return torch.cat([self._forward(batch)[2].cpu() for batch in self._checked(x).split(AT_ONCE)])

    @as_fitted
    def encode(self, x):
        """Codes z of images, float32 tensor (N, d) on the CPU."""
        return torch.cat([self._forward(batch)[1].cpu() for batch in self._checked(x).split(AT_ONCE)])

    @as_fitted
    def score_of(self, x):
        """The pixel score of images (N, C, H, W) as a tensor (N,) with a gradient, on the images' device."""
        own = self._images(x)
        return pixel_score(own, self.network_(own)[1], self.pixel).to(x.device)

    @property
    def network_(self):
        """The trained autoencoder G."""
        return self.parts_["G"]

    def _check_parameters(self):
        choose(self.network, NETWORKS, "network")
        choose(self.pixel, PIXEL_SCORES, "pixel")
        choose(self.latent, LATENT_SCORES, "latent")
        choose(self.fusion, FUSIONS, "fusion")
        choose(self.precision, PRECISIONS, "precision")
        if self.network != "mlp":
            check_side(self.image_shape_, 'pad the images or use network="mlp".')

    def _parts(self):
        """The networks by name. G comes first, so that its weights do not depend on what else there is."""
        width = {} if self.network == "mlp" else {"width": self.width}
        return {"G": NETWORKS[self.network](self.image_shape_, latent_dim=self.latent_dim, **width)}

    def _start(self, images):
        if self.network == "mlp":
            return
        some = as_float(images[:: 1 + len(images) // 1000], "cpu")
        start_at_mean(self.network_.decoder, some.mean((0, 2, 3)))
        if self.network == "pooled":
            self.network_.encoder.learn(some)

    def _game(self):
        """The turns of the training, and how each batch is cut into slices (None: it is not)."""

        def reconstruction(step):
            x = step.images["train"]
            with self._mixed():
                _, x_hat = self.network_(self._noisy(x))
            return {"reconstruction": squared_error(x_hat.float(), x)}

        return [Turn(reconstruction, *self._players())], None

    def _players(self):
        """G: one player, or with the pooled network two, of which one moves its convolution kernels by Muon."""
        if self.network != "pooled":
            return [self._player("G")]
        kernels = [p for p in self.network_.encoder.features.parameters() if p.ndim == 4 and p.requires_grad]
        return self._players_of("G", kernels)

    def _mixed(self):
        """Context in which the networks compute in the precision that was asked for, in training."""
        device = self._where()
        return mixed(dtype_of(self.precision, device), device)

    def _noisy(self, x):
        return x + self.noise * torch.randn_like(x) if self.noise else x

    def _learn(self, images):
        """What the latent score stands on: the codes of the training images."""
        self._freeze_encoder()
        self.codes_ = CodeDistance(torch.cat([self._forward(batch)[1] for batch in images.split(AT_ONCE)]))

    def _freeze_encoder(self):
        """Training is over: the encoder that scores."""
        self.frozen_ = FrozenEncoder(self.network_, dtype_of(self.precision, self._where()))

    @torch.no_grad()
    def _forward(self, images):
        x = self._images(images)
        _, z = self.frozen_(x)
        return x, z, self.network_.decode(z)

    def _latent(self, z):
        return self.codes_(z, self.latent)

    def _score(self, images):
        x, z, x_hat = self._forward(images)
        pixel = pixel_score(x, x_hat, self.pixel)
        return {"pixel": precise(pixel).cpu().numpy(), "latent": self._latent(z).cpu().numpy()}

    def _calibrate(self, raw, images):
        self.fusion_ = self._fuse(raw, self._broken(images))

    def _broken(self, images):
        """Raw scores of held-out images broken in each of PSEUDO_ANOMALIES: kind -> name -> (n,); {}: not asked."""
        if self.fusion == "equal":
            return {}
        x = as_float(images[: self.JUDGED], "cpu")
        return {kind: self._raw(pseudo_anomalies(x, kind)) for kind in PSEUDO_ANOMALIES}

    def _fuse(self, raw, broken):
        """The fusion that held-out normal images (raw scores (n,)) and what was broken of them ask for."""
        fusion = Fusion.fit(raw)
        if not broken:
            return fusion
        broken = {name: np.concatenate([kind[name] for kind in broken.values()]) for name in raw}
        pixel = separation_weight(raw["pixel"], broken["pixel"])
        latent = separation_weight(self._fused_latent(raw, fusion), self._fused_latent(broken, fusion))
        names = _latent_names(raw)
        return Fusion(fusion.scales, {"pixel": pixel, **dict.fromkeys(names, latent / len(names))})

    def _calibrated_without(self, raw, images):
        broken = self._broken(images)  # once: a fold needs other rows of it and no other scores

        def calibrated(kept):
            rest = {
                kind: {name: values[made_of(kept[: self.JUDGED], kind)] for name, values in scores.items()}
                for kind, scores in broken.items()
            }
            return self._twin({"fusion_": self._fuse({n: v[kept] for n, v in raw.items()}, rest)})

        return calibrated

    def _fused_latent(self, raw, fusion):
        """The parts of the latent score, with equal weights: what separates damaged images need not separate others."""
        names = _latent_names(raw)
        return raw[names[0]] if len(names) == 1 else fusion(raw, names)

    def _combine(self, raw):
        return Scores(
            pixel=raw["pixel"], latent=self._fused_latent(raw, self.fusion_), dual=self.fusion_(raw)
        )

    def _own_state(self):
        return {**self._latent_state(), "fusion": fusion_rows(self.fusion_)}

    def _restore_own(self, state):
        self._restore_latent(state)
        self.fusion_ = fusion_of(self._raw_names(), state["fusion"])

    def _latent_state(self):
        return self.codes_.state()

    def _restore_latent(self, state):
        self._freeze_encoder()
        self.codes_ = CodeDistance(state["codes"])

    def _raw_names(self):
        return ("pixel", "latent")


def _latent_names(raw):
    return [name for name in raw if name != "pixel"]


SYSTEM = System(
    "autoencoder",
    Autoencoder,
    small={"width": 4, "latent_dim": 8, "steps": 30, "batch_size": 16},
    losses={"L_rec": "losses.squared_error"},
    scores={"pixel": "scoring.pixel_score", "latent": "scoring.Gaussian", "dual": "scoring.Fusion"},
    lesson=("autoencoder_baseline", "2. Build it"),
)
