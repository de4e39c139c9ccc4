"""DualAD as its published code trains and scores it, each of its flaws a switch: to measure what a flaw is worth."""

from dataclasses import dataclass

import torch

from ..losses import adversarial_loss, discriminator_loss, feature_matching, squared_error
from ..networks import Hypersphere, MLPDiscriminator
from ..scoring import Scores, centre_distance, precise
from ..training import Player, Turn, as_float, seeded
from .autoencoder import Autoencoder
from .system import System

W_RECONSTRUCTION, W_ADVERSARIAL, W_MATCHING = 0.01, 0.96, 0.03
STARTS = 10  # random networks over which Gamma is averaged


@dataclass(eq=False, repr=False)
class PublishedDualAD(Autoencoder):
    """The reference configuration of DualAD (Wan & Feng, 2024, official code): networks, losses, schedule and score.

    Fully connected networks; 0.01 MSE + Gamma ||z - c||^2 + 0.96 adversarial + 0.03 feature matching; Adam at a
    constant rate; the centre c follows the codes of a tenth of each batch (Adagrad, rate 1, decay 0.01); there is no
    radius. Score: MSE + score_weight * ||z - c||^2. Images stay in [0, 1] (the published code contrast-normalises
    colour images).

    first_sample: ||z - c||^2 of the first image of a batch stands for the batch, in the loss and in Gamma (published);
    False: the mean. score_weight: 50 (published), or None: both scores standardised on held-out normals, equal weights.
    epochs: 5 is what the published trainer runs; it names 300. Its best epoch on the test set can be watched through
    `fit(..., after_step=...)`: scores can be asked for at any step. Its step on labelled anomalies is not built.
    """

    network, noise, pixel, latent, fusion, precision = "mlp", 0.0, "l2", "centre", "equal", "float32"

    first_sample: bool = True
    score_weight: float | None = 50.0
    epochs: int = 5
    latent_dim: int = 256
    batch_size: int = 64
    learning_rate: float = 1e-5
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    def _steps(self, images):
        return self.epochs * max(1, len(images) // self.batch_size)

    def _parts(self):
        D, sphere = MLPDiscriminator(self.image_shape_), Hypersphere(self.latent_dim)
        return {**super()._parts(), "D": D, "sphere": sphere}

    def _fit(self, images, **options):
        self.gamma_ = self._balance(images[: 10 * self.batch_size])
        super()._fit(images, **options)

    def _balance(self, images):
        """Gamma: mean over random networks of mean reconstruction error / mean ||z||^2."""
        ratios = []
        for start in range(STARTS):
            with seeded(self.seed + 1 + start), torch.no_grad():
                network, x = super()._parts()["G"], as_float(images, "cpu")
                z, x_hat = network(x)
            ratios.append(squared_error(x_hat, x) / self._length(z, torch.zeros(self.latent_dim)))
        return float(torch.stack(ratios).mean())

    def _length(self, z, centre):
        """||z - c||^2 of the batch: its mean, or as published that of its first image."""
        lengths = centre_distance(z, centre)
        return lengths[0] if self.first_sample else lengths.mean()

    def _game(self):
        G, D, sphere = (self.parts_[name] for name in ("G", "D", "sphere"))

        def reconstruct(step):
            x = step.images["train"]
            z, x_hat = G(x)
            fake, f_hat = D(x_hat)
            with torch.no_grad():
                _, f = D(x)
            step.shared.update(x_hat=x_hat)
            return {
                "reconstruction": W_RECONSTRUCTION * squared_error(x_hat, x),
                "compactness": self.gamma_ * self._length(z, sphere.centre),
                "adversarial": W_ADVERSARIAL * adversarial_loss(fake),
                "matching": W_MATCHING * feature_matching(f_hat, f),
            }

        def discriminate(step):
            (real, _), (fake, _) = D(step.images["train"]), D(step.shared["x_hat"])
            return {"discriminator": discriminator_loss(real, fake)}

        def follow(step):
            with torch.no_grad():
                z = G.encode(step.images["constraint"])
            return {"centre": self._length(z, sphere.centre)}

        def adam(part):
            return torch.optim.Adam(part.parameters(), self.learning_rate)

        centre = torch.optim.Adagrad([sphere.centre], lr=1.0, lr_decay=0.01)
        players = Player("G", G, adam(G)), Player("D", D, adam(D)), Player("sphere", sphere, centre)
        turns = map(Turn, (reconstruct, discriminate, follow), players)
        return list(turns), {"train": 0.9, "constraint": 0.1}

    def _learn(self, images):
        """Nothing: the centre is all."""

    @torch.no_grad()
    def _forward(self, images):
        x = self._images(images)
        return x, *self.network_(x)

    def _latent(self, z):
        return centre_distance(precise(z), precise(self.parts_["sphere"].centre.detach()))

    def _combine(self, raw):
        if self.score_weight is None:
            return super()._combine(raw)
        return Scores(**raw, dual=raw["pixel"] + self.score_weight * raw["latent"])

    def _held_out(self, raw, images):
        if self.score_weight is None:
            return super()._held_out(raw, images)
        return self._combine(
            raw
        ).final  # a sum with a fixed weight: the calibration images have no part in it

    def _latent_state(self):
        return {}

    def _restore_latent(self, state):
        """Nothing, as above."""


SYSTEM = System(
    "dualad_published",
    PublishedDualAD,
    small={"first_sample": False, "latent_dim": 8, "epochs": 30, "batch_size": 16, "learning_rate": 3e-4},
)
