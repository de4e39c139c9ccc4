"""The autoencoder baseline: reconstruct, and score by pixel error, by the code's place in latent space, and by both."""

import hashlib
import json

import torch

from ..errors import DataError
from ..losses import squared_error
from ..networks import ConvAutoencoder, MLPAutoencoder
from ..scoring import PIXEL_SCORES, Gaussian, LogStandard, Scores, nearest_distance, pixel_score
from ..training import Player, Turn, as_float, resolve_device, seeded, train, warmup_cosine
from .base import Detector, choose

NETWORKS = ("conv", "mlp")
LATENT_SCORES = ("nearest", "mahalanobis", "centre")
SMALLEST_SIDE = 8


class Autoencoder(Detector):
    """Autoencoder x_hat = G_d(G_e(x)) trained on the squared error of normal images alone.

    scores: pixel, the mean error of each image; latent, the distance of its whitened code to those of the training
    images; dual, the mean of both after log-standardisation on held-out normal images.

    network: "conv" (any image of side 8 or more) or "mlp" (the fully connected one of DualAD's published code).
    width: channels of the first convolution; latent_dim: d of the code z. steps, batch_size, learning_rate: AdamW,
    warm-up and cosine to zero, always the last step. noise: deviation of Gaussian noise added to the input, whose
    clean image is to be restored (denoising; 0: off). pixel: "l1" or "l2". latent: "nearest" (to the nearest
    training code), "mahalanobis" or "centre" (to the mean code, not whitened).
    """

    def __init__(
        self,
        network="conv",
        width=16,
        latent_dim=64,
        steps=400,
        batch_size=64,
        learning_rate=2e-3,
        noise=0.0,
        pixel="l2",
        latent="nearest",
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
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed
        self.device = device

    def fit(self, x, calibration=None, checkpoint=None, label=""):
        """Train on normal images; return self. As `Detector.fit`, and:

        checkpoint: a path where the state of the training is kept; a killed `fit` that is called again with the same
        images and parameters goes on from there, to the same scores. label: text of the progress bar ("": none).
        """
        return self._fit_all(x, calibration, checkpoint=checkpoint, label=label)

    def reconstruct(self, x):
        """Reconstructions x_hat of images, float32 tensor (N, C, H, W) in [0, 1] on the CPU."""
        return torch.cat([self._forward(batch)[2].cpu() for batch in self._checked(x).split(512)])

    def encode(self, x):
        """Codes z of images, float32 tensor (N, d) on the CPU."""
        return torch.cat([self._forward(batch)[1].cpu() for batch in self._checked(x).split(512)])

    def _fit(self, images, checkpoint=None, label=""):
        device = resolve_device(self.device)
        network = self._build()
        optimiser = torch.optim.AdamW(network.parameters(), self.learning_rate, betas=(0.9, 0.99), fused=True)
        player = Player("G", network, optimiser, warmup_cosine(), clip=5.0)

        def reconstruction(step):
            x = step.images["train"]
            seen = x + self.noise * torch.randn_like(x) if self.noise else x
            _, x_hat = network(seen)
            return {"reconstruction": squared_error(x_hat, x)}

        self.history_ = train(
            [Turn(reconstruction, player)],
            images,
            steps=self.steps,
            batch_size=self.batch_size,
            seed=self.seed,
            device=device,
            label=label,
            checkpoint=checkpoint,
            fingerprint=self._fingerprint(images) if checkpoint else "",
        )
        self.network_ = network.eval()
        self.codes_ = torch.cat([self._forward(batch)[1] for batch in images.split(512)])
        self._prepare_latent()

    def _build(self):
        """A fresh network on the device, its weights drawn from the seed."""
        choose(self.network, NETWORKS, "network")
        choose(self.pixel, PIXEL_SCORES, "pixel")
        choose(self.latent, LATENT_SCORES, "latent")
        if min(self.image_shape_[1:]) < SMALLEST_SIDE and self.network == "conv":
            raise DataError(
                f"the convolutional network needs sides of at least {SMALLEST_SIDE} pixels, "
                f"got {self.image_shape_[1:]}: "
                'pad the images or use network="mlp".'
            )
        with seeded(self.seed):
            if self.network == "conv":
                network = ConvAutoencoder(self.image_shape_, self.width, self.latent_dim)
            else:
                network = MLPAutoencoder(self.image_shape_, latent_dim=self.latent_dim)
        return network.to(resolve_device(self.device), memory_format=torch.channels_last)

    def _prepare_latent(self):
        """Statistics of the training codes that the latent score stands on."""
        self.gaussian_ = Gaussian.fit(self.codes_)
        self.bank_ = self.gaussian_.whiten(self.codes_)

    @torch.no_grad()
    def _forward(self, images):
        device = next(self.network_.parameters()).device
        x = as_float(images, device)
        return x, *self.network_(x)

    def _latent(self, z):
        if self.latent == "nearest":
            return nearest_distance(self.bank_, self.gaussian_.whiten(z))
        if self.latent == "mahalanobis":
            return self.gaussian_.mahalanobis(z)
        return (z.double() - self.gaussian_.mean).square().sum(1)

    def _score(self, images):
        x, z, x_hat = self._forward(images)
        pixel = pixel_score(x, x_hat, self.pixel)
        return {"pixel": pixel.double().cpu().numpy(), "latent": self._latent(z).cpu().numpy()}

    def _calibrate(self, raw):
        self.scales_ = {name: LogStandard.fit(values) for name, values in raw.items()}

    def _combine(self, raw):
        standard = [self.scales_[name](values) for name, values in raw.items()]
        return Scores(**raw, dual=sum(standard) / len(standard))

    def _state(self):
        weights = {f"network.{name}": value for name, value in self.network_.state_dict().items()}
        scales = [[scale.mean, scale.deviation] for scale in (self.scales_["pixel"], self.scales_["latent"])]
        return {
            **weights,
            "codes": self.codes_,
            "scales": torch.tensor(scales, dtype=torch.float64),
            "calibration_scores": torch.from_numpy(self.calibration_scores_),
        }

    def _restore(self, state):
        weights = {
            name.removeprefix("network."): v for name, v in state.items() if name.startswith("network.")
        }
        self.network_ = self._build().eval()
        self.network_.load_state_dict(weights)
        self.codes_ = state["codes"].to(resolve_device(self.device))
        self._prepare_latent()
        rows = zip(("pixel", "latent"), state["scales"].tolist(), strict=True)
        self.scales_ = {name: LogStandard(*row) for name, row in rows}
        self._set_threshold(state["calibration_scores"].numpy())

    def _fingerprint(self, images):
        """Names a training: other images or parameters give another."""
        skip = ("device", "false_alarm_rate", "pixel", "latent")
        parameters = {k: v for k, v in self.get_params().items() if k not in skip}
        digest = hashlib.blake2b(images.cpu().numpy().tobytes(), digest_size=16)
        digest.update(json.dumps(parameters, sort_keys=True).encode())
        return digest.hexdigest()
