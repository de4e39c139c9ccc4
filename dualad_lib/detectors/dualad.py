"""DualAD: an autoencoder, an image discriminator, a Feature Constraint adversary and mutual information, scored twice.

Each part is a switch; with all of them off this is `Autoencoder`, bit for bit. Two adversarial games and two
cooperative terms are played at once:

    D against G        the discriminator tells images from reconstructions, the reconstruction hides (a min-max)
    sphere against G   centre and radius close in on the codes of images that G does not train on, G brings its codes
                       inside while it still has to reconstruct (each side has its own loss: no zero-sum game)
    C with G           the critic names the transformation that made an image, and the encoder helps it
    T with G           the statistics networks raise a bound on the mutual information, and the encoder helps them
"""

import warnings

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax

from ..losses import (
    adversarial_loss,
    discriminator_loss,
    feature_matching,
    jsd_mutual_information,
    sphere_excess,
    squared_error,
)
from ..networks import (
    ConvDiscriminator,
    GlobalStatistics,
    Hypersphere,
    LocalStatistics,
    MLPDiscriminator,
    TransformationCritic,
)
from ..scoring import Fusion, LowRank, nearest_distance, pixel_score
from ..training import Player, Turn, as_float
from ..transforms import PSEUDO_ANOMALIES, jitter, pseudo_anomalies, transform, transformation_count
from .autoencoder import Autoencoder
from .base import choose

FUSIONS = ("separation", "equal")
JUDGES = 200  # held-out normal images that are made into pseudo-anomalies of each kind to weigh the scores
OUTSIDE = 0.1  # share of the constraint player's images that its sphere may leave outside
COLLAPSED = (
    0.9  # a reconstruction loss above this share of the mean image's says that the codes carry nothing
)


class DualAD(Autoencoder):
    """DualAD (Wan & Feng, IET Computer Vision 2024) with a mutual-information term, each part a switch.

    image_discriminator: D with adversarial loss and feature matching. feature_constraint: the FC module, of which
    `hypersphere` and `critic` are the two constraints. mutual_information: global and local statistics networks.
    w_adversarial, w_matching, w_sphere, w_critic, w_information: weights beside a reconstruction loss of weight 1.

    With the critic each image is seen as two jittered copies, each under one of the K symmetries T_t of its frame; the
    decoder restores the upright copy. Then the latent score has three parts, averaged over all K transformed copies of
    an image: Mahalanobis distance and nearest neighbour of the last feature map h, and -log p(t | T_t x). Without it
    the latent score is the autoencoder's. fusion: "separation" weighs the scores by how well each tells held-out normal
    images from pseudo-anomalies made of them, "equal" does not. Other parameters as in `Autoencoder`.
    """

    def __init__(
        self,
        image_discriminator=True,
        feature_constraint=True,
        mutual_information=True,
        hypersphere=True,
        critic=True,
        w_adversarial=0.005,
        w_matching=0.1,
        w_sphere=0.005,
        w_critic=0.1,
        w_information=0.01,
        fusion="separation",
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
        super().__init__(
            network=network,
            width=width,
            latent_dim=latent_dim,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            noise=noise,
            pixel=pixel,
            latent=latent,
            false_alarm_rate=false_alarm_rate,
            seed=seed,
            device=device,
        )
        self.image_discriminator = image_discriminator
        self.feature_constraint = feature_constraint
        self.mutual_information = mutual_information
        self.hypersphere = hypersphere
        self.critic = critic
        self.w_adversarial = w_adversarial
        self.w_matching = w_matching
        self.w_sphere = w_sphere
        self.w_critic = w_critic
        self.w_information = w_information
        self.fusion = fusion

    @property
    def _has_sphere(self):
        return self.feature_constraint and self.hypersphere

    @property
    def _has_critic(self):
        return self.feature_constraint and self.critic

    def _parts(self):
        choose(self.fusion, FUSIONS, "fusion")
        parts = super()._parts()
        with torch.no_grad():
            middle, h, _ = _look(parts["G"], torch.zeros(1, *self.image_shape_))
        if self.image_discriminator:
            conv = self.network == "conv"
            shape = self.image_shape_
            parts["D"] = ConvDiscriminator(shape, self.width) if conv else MLPDiscriminator(shape)
        if self._has_sphere:
            parts["sphere"] = Hypersphere(self.latent_dim)
        if self._has_critic:
            parts["C"] = TransformationCritic(h.shape[1], transformation_count(self.image_shape_))
        if self.mutual_information:
            parts["T_g"] = GlobalStatistics(middle.shape[1], self.latent_dim)
            parts["T_l"] = LocalStatistics(middle.shape[1], self.latent_dim)
        return parts

    def _game(self):
        helpers = [name for name in ("C", "T_g", "T_l") if name in self.parts_]
        turns = [Turn(self._reconstruct, *map(self._player, ["G", *helpers]))]
        if self.image_discriminator:
            D = self.parts_["D"]
            optimiser = torch.optim.Adam(D.parameters(), 5e-4, betas=(0.5, 0.99), fused=True)
            turns.append(Turn(self._discriminate, Player("D", D, optimiser, clip=5.0)))
        if not self._has_sphere:
            return turns, None
        sphere = self.parts_["sphere"]
        player = Player("sphere", sphere, torch.optim.Adam(sphere.parameters(), 1e-2))
        return [*turns, Turn(self._enclose, player)], {"train": 0.9, "constraint": 0.1}

    def _reconstruct(self, step):
        """The turn of the autoencoder and of those that help it."""
        parts = self.parts_
        target, seen, t = self._copies(step.images["train"])
        middle, h, z = _look(parts["G"], self._noisy(seen))
        x_hat = parts["G"].decode(z)
        step.shared.update(target=target, x_hat=x_hat)
        terms = {"reconstruction": squared_error(x_hat, target)}
        if self.image_discriminator:
            fake, f_hat = parts["D"](x_hat)
            with torch.no_grad():
                _, f = parts["D"](target)
            terms["adversarial"] = self.w_adversarial * adversarial_loss(fake)
            terms["matching"] = self.w_matching * feature_matching(f_hat, f)
        if self._has_critic:
            terms["transformation"] = self.w_critic * cross_entropy(parts["C"](h), t)
        if self._has_sphere:
            sphere = parts["sphere"]
            warm = min(1.0, step.progress / 0.2)  # a sphere around untrained codes has nothing to say
            terms["sphere"] = warm * self.w_sphere * sphere_excess(z, sphere.centre, sphere.radius)
            step.log(code_spread=z.detach().std(0).mean())
        if self.mutual_information:
            pairs = [(T(middle, z), T(middle.roll(1, 0), z)) for T in (parts["T_g"], parts["T_l"])]
            information = sum(jsd_mutual_information(*pair) for pair in pairs)
            terms["information"] = -self.w_information * information
        return terms

    def _copies(self, x):
        """(what to restore, what the encoder sees, which T_t made it). Without the critic: x, x, None."""
        if not self._has_critic:
            return x, x, None
        upright = jitter(x.repeat(2, 1, 1, 1))
        t = torch.randint(transformation_count(x.shape[1:]), (len(upright),), device=x.device)
        t[: len(x)] *= torch.randint(2, (len(x),), device=x.device)  # half of the first copies stay upright
        return upright, transform(upright, t), t

    def _discriminate(self, step):
        D = self.parts_["D"]
        (real, _), (fake, _) = D(step.shared["target"]), D(step.shared["x_hat"])
        return {"discriminator": discriminator_loss(real, fake)}

    def _enclose(self, step):
        """The constraint player: the smallest sphere that leaves a share OUTSIDE of its own images' codes outside."""
        sphere = self.parts_["sphere"]
        with torch.no_grad():
            z = self.network_.encode(step.images["constraint"])
        step.log(radius=sphere.radius.detach())
        excess = sphere_excess(z, sphere.centre, sphere.radius)
        return {"enclosure": sphere.radius**2 + excess / OUTSIDE}

    def _learn_latent(self, images):
        self._report_collapse(images)
        if not self._has_critic:
            return super()._learn_latent(images)
        self.directions_, banks = [], []
        for t in range(transformation_count(self.image_shape_)):
            h = torch.cat([self._feature(batch, t) for batch in images.split(512)])
            self.directions_.append(LowRank.fit(h))
            banks.append(self.directions_[t].whiten(self.directions_[t].project(h)[0]))
        self.bank_ = torch.stack(banks)

    def _report_collapse(self, images):
        """All codes in one place satisfy the sphere and say nothing: then no reconstruction beats the mean image."""
        if not self._has_sphere:
            return
        last = self.history_["reconstruction"][-20:]
        loss, blind = sum(last) / len(last), as_float(images[:1000], "cpu").var(0, correction=0).mean().item()
        if loss > COLLAPSED * blind:
            warnings.warn(
                f"the codes collapsed: reconstructions (loss {loss:.3g}) are no better than the mean image "
                f"({blind:.3g}). Lower w_sphere, or train longer.",
                stacklevel=2,
            )

    @torch.no_grad()
    def _feature(self, images, t):
        device = next(self.network_.parameters()).device
        return _look(self.network_, transform(as_float(images, device), t))[1]

    @torch.no_grad()
    def _score(self, images):
        if not self._has_critic:
            return super()._score(images)
        x = as_float(images, self.bank_.device)
        found = {"mahalanobis": 0, "neighbours": 0, "transformation": 0}
        for t, directions in enumerate(self.directions_):
            _, h, z = _look(self.network_, transform(x, t))
            if t == 0:
                pixel = pixel_score(x, self.network_.decode(z), self.pixel)
            along, left = directions.project(h)
            found["mahalanobis"] += directions.mahalanobis(along, left).double()
            found["neighbours"] += nearest_distance(self.bank_[t], directions.whiten(along))
            found["transformation"] -= log_softmax(self.parts_["C"](h).double(), 1)[:, t]
        averages = {name: (value / len(self.directions_)).cpu().numpy() for name, value in found.items()}
        return {"pixel": pixel.double().cpu().numpy(), **averages}

    def _calibrate(self, raw, images):
        if not self._has_critic or self.fusion == "equal":
            return super()._calibrate(raw, images)
        x = as_float(images[:JUDGES], "cpu")
        kinds = [self._raw(pseudo_anomalies(x, kind)) for kind in PSEUDO_ANOMALIES]
        self.fusion_ = Fusion.fit(raw, {n: np.concatenate([kind[n] for kind in kinds]) for n in raw})

    def _raw_names(self):
        if not self._has_critic:
            return super()._raw_names()
        return ("pixel", "mahalanobis", "neighbours", "transformation")

    def _latent_state(self):
        if not self._has_critic:
            return super()._latent_state()
        fields = {name: torch.stack([getattr(d, name) for d in self.directions_]) for name in LOW_RANK}
        return {"bank": self.bank_, **fields}

    def _restore_latent(self, state):
        if not self._has_critic:
            return super()._restore_latent(state)
        self.bank_ = state["bank"]
        self.directions_ = [LowRank(*row) for row in zip(*(state[name] for name in LOW_RANK), strict=True)]


LOW_RANK = ("mean", "directions", "variances", "rest")


def _look(network, x):
    """What the encoder sees on its way: (a feature map in the middle, the last features h as vectors, the code z)."""
    encoder = network.encoder
    if hasattr(encoder, "features"):
        middle = encoder.features[:-1](x)
        h = encoder.features[-1](middle).flatten(1)
        return middle, h, encoder.code(h)
    h = encoder[:-1](x.flatten(1))
    return h[:, :, None, None], h, encoder[-1](h)
