"""AGAD: a generator that must fail to reconstruct its own reconstructions, with or without labelled anomalies."""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from ..losses import (
    absolute_error,
    adversarial_loss,
    code_distance,
    contextual_adversarial,
    discriminator_loss,
    reciprocal,
)
from ..networks import ConvAutoencoder, ConvDiscriminator, UNet
from ..scoring import pixel_score, precise
from ..training import Player, Turn
from .base import as_fitted, choose
from .system import System
from .told import Told
from .trained import Trained, check_side

GENERATORS = ("plain", "unet", "unet++")
LABELLED = 32  # anomalies in a batch at least


@dataclass(eq=False, repr=False)
class AGAD(Told, Trained):
    """Adversarial Generative Anomaly Detection (Shi & Zhang, arXiv 2304.04211).

    G reconstructs x as x_hat, D tells images from reconstructions and embeds both. x_hat also serves as a
    pseudo-anomaly: it is given to G again, and G is to fail on it (L_adcon, the contextual adversarial loss). With
    labelled anomalies their terms are reciprocals, so that errors on them are driven up. D starts anew whenever its
    loss falls under `restart_below`: a D that has won teaches nothing. Score: mean (x - G(x))^2.

    generator: "plain" (a narrow code), "unet" or "unet++" (skip connections, no narrow code). w_adv, w_con, w_adcon,
    w_lat: weights of the terms; the paper's 1, 50, 15, 5, divided by 50.

    mixed: anomalies go through G together with normal images, and so do reconstructions when G is to fail on them.
    False: each kind in a batch of its own, as in the paper's algorithm; G then tells kinds by the statistics of a
    batch, which one image has not, and labels take AUROC away (development splits of Fashion-MNIST 3 and 8; lesson 10).

    The paper resizes images to 32 x 32 and, as the code family it grew from does, may score with the statistics of
    the test batch: see `batch_statistics`. Here scores are made in eval mode, as everywhere in this library.
    """

    generator: str = "unet"
    w_adv: float = 0.02
    w_con: float = 1.0
    w_adcon: float = 0.3
    w_lat: float = 0.1
    restart_below: float = 1e-5
    mixed: bool = True
    width: int = 16
    latent_dim: int = 64
    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 2e-3
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    @as_fitted
    def reconstruct(self, x):
        """Reconstructions x_hat = G(x), float32 tensor (N, C, H, W) in [0, 1] on the CPU."""
        with torch.no_grad():
            return torch.cat(
                [self._generate(self._images(batch)).cpu() for batch in self._checked(x).split(512)]
            )

    def _check_parameters(self):
        choose(self.generator, GENERATORS, "generator")
        check_side(self.image_shape_)

    def _parts(self):
        if self.generator == "plain":
            G = ConvAutoencoder(self.image_shape_, self.width, self.latent_dim)
        else:
            G = UNet(self.image_shape_, self.width, nested=self.generator == "unet++")
        return {"G": G, "D": ConvDiscriminator(self.image_shape_, self.width)}

    def _generate(self, x):
        out = self.parts_["G"](x)
        return out[1] if self.generator == "plain" else out

    def _game(self):
        D = self.parts_["D"]
        optimiser = torch.optim.Adam(D.parameters(), 5e-4, betas=(0.5, 0.99), fused=True)
        return [
            Turn(self._reconstruct, self._player("G")),
            Turn(self._discriminate, Player("D", D, optimiser, clip=5.0)),
        ], None

    def _reconstruct(self, step):
        x, a = step.images["train"], None
        if self.anomalies_ is not None:
            count = max(LABELLED, len(x) // 2)
            a = self._drawn(count)
        x_hat, a_hat = self._both(x, a, tracked=True)
        again, _ = self._both(x_hat.detach(), x)
        if a is not None and not self.mixed:
            a_hat, _ = self._both(a)
        step.shared.update(x=x, x_hat=x_hat)
        terms = self._terms(x, x_hat)
        terms["adcon"] = self.w_adcon * contextual_adversarial(x_hat.detach(), again)
        if a is not None:
            for name, value in self._terms(a, a_hat, reciprocal).items():
                terms[f"anomalous_{name}"] = value
        return terms

    def _both(self, x, other=None, tracked=False):
        """G of a batch and, where batches are mixed, of other images that stand in the same one (else None)."""
        with nullcontext() if tracked else untracked(self.parts_["G"]):
            if other is None or not self.mixed:
                return self._generate(x), None
            return self._generate(torch.cat([x, other])).split([len(x), len(other)])

    def _terms(self, x, x_hat, form=lambda loss: loss):
        """w_adv l_adv + w_con l_con + w_lat l_lat, each loss in the given form."""
        fake, e_hat = self.parts_["D"](x_hat)
        with torch.no_grad():
            _, e = self.parts_["D"](x)
        return {
            "adversarial": self.w_adv * form(adversarial_loss(fake)),
            "context": self.w_con * form(absolute_error(x_hat, x)),
            "latent": self.w_lat * form(code_distance(e_hat, e)),
        }

    def _discriminate(self, step):
        D = self.parts_["D"]
        (real, _), (fake, _) = D(step.shared["x"]), D(step.shared["x_hat"])
        loss = discriminator_loss(real, fake)
        restart = bool(loss < self.restart_below)
        step.log(restarts=float(restart))
        if restart:
            for layer in D.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    layer.reset_parameters()
            (real, _), (fake, _) = D(step.shared["x"]), D(step.shared["x_hat"])
            loss = discriminator_loss(real, fake)
        return {"discriminator": loss}

    @torch.no_grad()
    def _score(self, images):
        x = self._images(images)
        return {"pixel": precise(pixel_score(x, self._generate(x))).cpu().numpy()}


@contextmanager
def untracked(network):
    """Inside, batch norm normalises by the batch as in training, but learns no averages from it.

    With batches apart the averages of eval mode are then those of normal images alone. Mixed up with those of batches
    of reconstructions and anomalies they would fit no image, and AGAD would look worse than it is.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


@contextmanager
def batch_statistics(detector):
    """A flaw to measure, not to use: inside, batch norm takes mean and variance of the images scored together.

    The code family of GANomaly scores so. A test set sorted by class then has batches of one class, each normalised
    by itself, and a score depends on its company. The detector is as before afterwards.
    """
    kept = {name: value.clone() for name, value in detector.parts_.state_dict().items()}
    detector.parts_.train()
    try:
        yield detector
    finally:
        detector.parts_.eval()
        detector.parts_.load_state_dict(kept)


SYSTEM = System(
    "agad",
    AGAD,
    small={"width": 4, "latent_dim": 8, "steps": 30, "batch_size": 16},
    losses={
        "l_con": "losses.absolute_error",
        "l_adv": "losses.adversarial_loss",
        "l_lat": "losses.code_distance",
        "l_adcon": "losses.contextual_adversarial",
        "labelled": "losses.reciprocal",
    },
    scores={"pixel": "scoring.pixel_score"},
    lesson=("agad", "1. A generator that must fail"),
)
