"""DualAD: an autoencoder, an image discriminator, a Feature Constraint adversary and mutual information, scored twice.

Each part is a switch; with all of them off this is `Autoencoder`, bit for bit. Two adversarial games and two
cooperative terms are played at once:

    D against G        the discriminator tells images from reconstructions, the reconstruction hides (min-max)
    sphere against G   centre and radius close in on the codes of images that G does not train on, G brings its codes
                       inside while it still has to reconstruct (each side has its own loss: no zero-sum game)
    C with G           the critic names the transformation that made an image, and the encoder helps it
    T with G           the statistics networks raise a bound on the mutual information, and the encoder helps them
"""

import warnings
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax

from ..losses import (
    adversarial_loss,
    discriminator_loss,
    enclosure,
    feature_matching,
    info_nce,
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
    ViewStatistics,
    look,
)
from ..scoring import LowRank, nearest_distance, pixel_score, precise
from ..training import Player, Turn, channels_last
from ..transforms import jitter, strong_view, symmetries, transform
from .autoencoder import Autoencoder
from .base import choose

VIEWS = ("auto", "gentle", "strong")
OUTSIDE = 0.1  # share of the constraint player's images that its sphere may leave outside
SPHERE_STARTS, SPHERE_WARMS = 0.2, 0.2  # shares of the training: around untrained codes it has nothing to say
COLLAPSED = 0.9  # reconstruction loss, as a share of the mean image's, above which codes carry nothing
WON = 0.2  # loss of a discriminator that has won; one that cannot tell has 2 log 2


class DualAD(Autoencoder):
    """DualAD (Wan & Feng, IET Computer Vision 2024) with a mutual-information term, each part a switch.

    image_discriminator: D with adversarial loss and feature matching. feature_constraint: the FC module, of which
    `hypersphere` and `critic` are the two constraints. mutual_information: global and local statistics networks, and
    with strong views a contrastive one. w_adversarial, w_matching, w_sphere, w_critic, w_information, w_views: weights
    beside a reconstruction loss of weight 1.

    With the critic each image is seen in copies, each under one of K symmetries T_t of its frame, and the decoder
    restores the upright image. views: "gentle" makes two slightly jittered copies, each under one of all symmetries;
    "strong" makes two views that differ in crop, side and colour, each in all rotations; "auto" takes strong views for
    colour images. Then the latent score is the mean of standardised parts, each averaged over all K transformed copies
    of an image: Mahalanobis distance and nearest neighbour of the last feature map h, and -log p(t | T_t x). With
    strong views, in which things change their place, h is averaged over its places and the nearest neighbour stands
    alone beside -log p. Without the critic the latent score is the autoencoder's. Other parameters as in `Autoencoder`.

    features: None or "none", and the parts play on pixels; or the name of a frozen backbone, and they play on its
    features: then `DualAD(...)` makes a `FeatureDualAD`, whose parameters it takes.
    """

    on_features = (
        None  # the class that plays on features; it is defined on top of this one and says so itself
    )

    def __new__(cls, *args, features=None, **parameters):
        return object.__new__(cls if features in (None, "none") or cls is not DualAD else cls.on_features)

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
        w_views=0.05,
        views="auto",
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
        false_alarm_rate=0.05,
        seed=0,
        device="auto",
        features=None,
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
            fusion=fusion,
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
        self.w_views = w_views
        self.views = views
        self.features = features

    @property
    def _has_sphere(self):
        return self.feature_constraint and self.hypersphere

    @property
    def _has_critic(self):
        return self.feature_constraint and self.critic

    @property
    def _strong(self):
        """Strong views, and with them rotations alone: a view is mirrored half the time."""
        return self.views == "strong" or (self.views == "auto" and self.image_shape_[0] == 3)

    @property
    def _symmetries(self):
        return symmetries(self.image_shape_, mirrored=not self._strong)

    def _parts(self):
        choose(self.features, (None, "none"), "features of a DualAD that was made without them")
        choose(self.views, VIEWS, "views")
        parts = super()._parts()
        with _in_eval_mode(parts["G"]), torch.no_grad():
            middle, h, _ = look(parts["G"], torch.zeros(1, *self.image_shape_))
        if self.image_discriminator:
            conv = self.network == "conv"
            shape = self.image_shape_
            parts["D"] = ConvDiscriminator(shape, self.width) if conv else MLPDiscriminator(shape)
        if self._has_sphere:
            parts["sphere"] = Hypersphere(self.latent_dim)
        if self._has_critic:
            parts["C"] = TransformationCritic(h.shape[1], len(self._symmetries))
        if self.mutual_information:
            parts["T_g"] = GlobalStatistics(middle.shape[1], self.latent_dim)
            parts["T_l"] = LocalStatistics(middle.shape[1], self.latent_dim)
            if self._has_critic and self._strong:
                parts["T_v"] = ViewStatistics(h.shape[1])
        return parts

    def _game(self):
        helpers = [name for name in ("C", "T_g", "T_l", "T_v") if name in self.parts_]
        turns = [Turn(self._reconstruct, *map(self._player, ["G", *helpers]))]
        if self.image_discriminator:
            D = self.parts_["D"]
            optimiser = torch.optim.Adam(D.parameters(), 5e-4, betas=(0.5, 0.99), fused=True)
            turns.append(Turn(self._discriminate, Player("D", D, optimiser, clip=5.0)))
        if not self._has_sphere:
            return turns, None
        sphere = self.parts_["sphere"]
        player = Player("sphere", sphere, torch.optim.Adam(sphere.parameters(), 5e-2))
        return [*turns, Turn(self._enclose, player)], {"train": 0.9, "constraint": 0.1}

    def _reconstruct(self, step):
        """The turn of the autoencoder and of those that help it."""
        parts = self.parts_
        target, seen, t = self._copies(step.images["train"])
        middle, h, z = look(parts["G"], self._noisy(seen))
        middle, z = middle[: len(target)], z[: len(target)]  # the other copies are there for their h
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
            warm = min(1.0, max(0.0, step.progress - SPHERE_STARTS) / SPHERE_WARMS)
            upright = z if t is None else z[t[: len(z)] == 0]
            terms["sphere"] = warm * self.w_sphere * sphere_excess(upright, sphere.centre, sphere.radius)
            step.log(code_spread=z.detach().std(0).mean(), blind=target.var(0, correction=0).mean())
        if self.mutual_information:
            pairs = [(T(middle, z), T(middle.roll(1, 0), z)) for T in (parts["T_g"], parts["T_l"])]
            information = sum(jsd_mutual_information(*pair) for pair in pairs)
            terms["information"] = -self.w_information * information
        if "T_v" in parts:
            other = torch.arange(len(h), device=h.device).view(-1, 2, len(target) // 2).flip(1).flatten()
            terms["views"] = -self.w_views * info_nce(parts["T_v"](h), other)
        return terms

    def _copies(self, x):
        """(what to restore, what the encoder sees, index of the T_t that made it). Without the critic: x, x, None.

        The copies that are to be restored come first; of strong views all K rotations, one after the other.
        """
        if not self._has_critic:
            return x, x, None
        twice, count = x.repeat(2, 1, 1, 1), len(self._symmetries)
        if self._strong:
            views = strong_view(twice)
            seen = torch.cat([transform(views, t) for t in self._symmetries])
            t = torch.arange(count, device=x.device).repeat_interleave(len(views))
            return views, channels_last(seen), t
        upright = jitter(twice)
        t = torch.randint(count, (len(upright),), device=x.device)
        t[: (len(x) + 1) // 2] = 0
        return upright[: len(x)], transform(upright, t), t

    def _discriminate(self, step):
        D = self.parts_["D"]
        (real, _), (fake, _) = D(step.shared["target"]), D(step.shared["x_hat"])
        return {"discriminator": discriminator_loss(real, fake)}

    def _enclose(self, step):
        """The constraint player: the smallest sphere that leaves a share OUTSIDE of its own images' codes outside."""
        sphere = self.parts_["sphere"]
        with _in_eval_mode(self.network_), torch.no_grad():
            z = self.network_.encode(step.images["constraint"])
        if step.progress < SPHERE_STARTS:
            sphere.start_at(z)
        step.log(radius=sphere.radius.detach())
        return {"enclosure": enclosure(z, sphere.centre, sphere.radius, OUTSIDE)}

    def _learn(self, images):
        self._report_collapse()
        if not self._has_critic:
            return super()._learn(images)
        self.directions_, banks = [], []
        for t in self._symmetries:
            h = torch.cat([self._placeless(self._feature(batch, t)) for batch in images.split(512)])
            directions = LowRank.fit(h)
            self.directions_.append(directions)
            banks.append(directions.whiten(directions.project(h)[0]).float())
        self.bank_ = torch.stack(banks)

    def _report_collapse(self):
        """All codes in one place satisfy the sphere and say nothing: then no reconstruction beats the mean image.

        The same is seen where D has won: what the reconstruction then follows is no longer the image.
        """
        if not self._has_sphere:
            return
        last = {name: np.mean(losses[-20:]) for name, losses in self.history_.items()}
        if last["reconstruction"] > COLLAPSED * last["blind"]:
            won = last.get("discriminator", WON) < WON
            cause, advice = (
                ("the discriminator won", "w_adversarial") if won else ("the codes collapsed", "w_sphere")
            )
            warnings.warn(
                f"{cause}: reconstructions (loss {last['reconstruction']:.3g}) are no better than the mean image "
                f"({last['blind']:.3g}). Lower {advice}, or train longer.",
                stacklevel=2,
            )

    @torch.no_grad()
    def _feature(self, images, t):
        return look(self.network_, transform(self._images(images), t))[1]

    def _placeless(self, h):
        """h (N, F) as distances see it: with strong views its mean over the places of the map, (N, channels)."""
        if not self._strong or self.network != "conv":
            return h
        channels = self.network_.encoder.feature_shape[0]
        return h.unflatten(1, (channels, -1)).mean(2)

    @torch.no_grad()
    def _score(self, images):
        if not self._has_critic:
            return super()._score(images)
        x = self._images(images)
        sides = (x, x.flip(3)) if self._strong else (x,)  # all symmetries hold the mirrored image already
        found = dict.fromkeys(self._raw_names()[1:], 0)
        for number, t in enumerate(self._symmetries):
            directions = self.directions_[number]
            for side in sides:
                _, h, z = look(self.network_, transform(side, t))
                if side is x and t == 0:
                    pixel = pixel_score(x, self.network_.decode(z), self.pixel)
                along, left = directions.project(self._placeless(h))
                if "mahalanobis" in found:
                    found["mahalanobis"] += directions.mahalanobis(along, left)
                found["neighbours"] += nearest_distance(self.bank_[number], directions.whiten(along))
                found["transformation"] -= log_softmax(precise(self.parts_["C"](h)), 1)[:, number]
        count = len(self.directions_) * len(sides)
        averages = {name: (value / count).cpu().numpy() for name, value in found.items()}
        return {"pixel": precise(pixel).cpu().numpy(), **averages}

    def _raw_names(self):
        if not self._has_critic:
            return super()._raw_names()
        distances = ("neighbours",) if self._strong else ("mahalanobis", "neighbours")
        return ("pixel", *distances, "transformation")

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


@contextmanager
def _in_eval_mode(network):
    """Look through a network without leaving a trace in its running statistics."""
    network.eval()
    try:
        yield
    finally:
        network.train()
