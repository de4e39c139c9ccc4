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

from ..errors import DataError
from ..losses import (
    adversarial_loss,
    discriminator_loss,
    enclosure,
    feature_matching,
    hypersphere_penalty,
    info_nce,
    jsd_mutual_information,
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
    forward_features,
)
from ..scoring import pixel_score, precise
from ..training import Player, Turn, channels_last
from ..transforms import dihedral, dihedral_elements, jitter, strong_view
from .autoencoder import AT_ONCE, Autoencoder
from .base import choose
from .latent import CopyCosine, CopyGaussian
from .system import DUALAD_LOSSES, System

VIEWS = ("auto", "weak", "strong")
OUTSIDE = 0.1  # share of the constraint player's images that its sphere may leave outside
SPHERE_STARTS, SPHERE_WARMS = 0.2, 0.2  # shares of the training: around untrained codes it has nothing to say
ROTATIONS = (0, 3, 5, 6)  # the values of t that turn an image and do not mirror it
COLLAPSED = 0.9  # reconstruction loss, as a share of the mean image's, above which codes carry nothing
WON = 0.2  # loss of a discriminator that has won; one that cannot tell has 2 log 2


class DualAD(Autoencoder):
    """DualAD (Wan & Feng, IET Computer Vision 2024) with a mutual-information term, each part a switch.

    image_discriminator: D with adversarial loss and feature matching. feature_constraint: the FC module, of which
    `hypersphere` and `critic` are the two constraints. mutual_information: global and local statistics networks, and
    with strong views a contrastive one. w_adversarial, w_matching, w_sphere, w_critic, w_information, w_views: weights
    beside a reconstruction loss of weight 1. w_critic=0 leaves the copies and takes away what the critic brings, its
    score included.

    With the critic each image is seen in copies, each under one of K symmetries T_t of its frame, and the decoder
    restores the upright image. views: "weak" makes two slightly jittered copies, each under one of all symmetries;
    "strong" makes two views that differ in crop, side and colour, each in all rotations; "auto" takes strong views for
    colour images. Then the latent score is the mean of standardised parts, each averaged over transformed copies of an
    image, those of its rotations: Mahalanobis distance and nearest neighbour of the last feature map h, and -log p(t |
    T_t x). With strong views, in which things change their place, h is averaged over its places, and the neighbour is
    the nearest by cosine, alone beside -log p; mirrored copies count as well. Without the critic the latent score is
    the autoencoder's. Other parameters as in `Autoencoder`.

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
        precision="auto",
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
            precision=precision,
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
    def _distance(self):
        return CopyCosine if self._strong else CopyGaussian

    @property
    def _symmetries(self):
        return dihedral_elements(self.image_shape_, mirrored=not self._strong)

    def _parts(self):
        choose(self.features, (None, "none"), "features of a DualAD that was made without them")
        if self.views == "gentle":
            warnings.warn('views="gentle" is now called "weak".', FutureWarning, stacklevel=2)
        else:
            choose(self.views, VIEWS, "views")
        parts = super()._parts()
        with _in_eval_mode(parts["G"]), torch.no_grad():
            middle, h, _ = forward_features(parts["G"], torch.zeros(1, *self.image_shape_))
        if self.image_discriminator:
            shape, mlp = self.image_shape_, self.network == "mlp"
            parts["D"] = MLPDiscriminator(shape) if mlp else ConvDiscriminator(shape, self.width)
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
        turns = [Turn(self._reconstruct, *self._players(), *map(self._player, helpers))]
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
        with self._mixed():
            middle, h, z = forward_features(parts["G"], self._noisy(seen))
            # the copies that are not restored are there for their h
            h, middle, z = h.float(), middle[: len(target)], z[: len(target)].float()
            x_hat = parts["G"].decode(z).float()
        step.shared.update(target=target, x_hat=x_hat)
        terms = {"reconstruction": squared_error(x_hat, target)}
        if self.image_discriminator:
            fake, f_hat = self._judged(x_hat)
            with torch.no_grad():
                _, f = self._judged(target)
            terms["adversarial"] = self.w_adversarial * adversarial_loss(fake)
            terms["matching"] = self.w_matching * feature_matching(f_hat, f)
        if self._has_critic:
            terms["transformation"] = self.w_critic * cross_entropy(parts["C"](h), t)
        if self._has_sphere:
            sphere = parts["sphere"]
            warm = min(1.0, max(0.0, step.progress - SPHERE_STARTS) / SPHERE_WARMS)
            upright = z if t is None else z[t[: len(z)] == 0]
            terms["sphere"] = (
                warm * self.w_sphere * hypersphere_penalty(upright, sphere.centre, sphere.radius)
            )
            step.log(code_spread=z.detach().std(0).mean(), blind=target.var(0, correction=0).mean())
        if self.mutual_information:
            with self._mixed():
                pairs = [(T(middle, z), T(middle.roll(1, 0), z)) for T in (parts["T_g"], parts["T_l"])]
            information = sum(jsd_mutual_information(a.float(), b.float()) for a, b in pairs)
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
            seen = torch.cat([dihedral(views, t) for t in self._symmetries])
            t = torch.arange(count, device=x.device).repeat_interleave(len(views))
            return views, channels_last(seen), t
        upright = jitter(twice)
        t = torch.randint(count, (len(upright),), device=x.device)
        t[: (len(x) + 1) // 2] = 0
        return upright[: len(x)], dihedral(upright, t), t

    def _discriminate(self, step):
        (real, _), (fake, _) = self._judged(step.shared["target"]), self._judged(step.shared["x_hat"])
        return {"discriminator": discriminator_loss(real, fake)}

    def _judged(self, x):
        """D's logits (N,) and features f (N, m) of images."""
        with self._mixed():
            logits, f = self.parts_["D"](x)
        return logits.float(), f.float()

    def _enclose(self, step):
        """The constraint player: the smallest sphere that leaves a share OUTSIDE of its own images' codes outside."""
        sphere = self.parts_["sphere"]
        with _in_eval_mode(self.network_), torch.no_grad(), self._mixed():
            z = self.network_.encode(step.images["constraint"]).float()
        if step.progress < SPHERE_STARTS:
            sphere.start_at(z)
        step.log(radius=sphere.radius.detach())
        return {"enclosure": enclosure(z, sphere.centre, sphere.radius, OUTSIDE)}

    def _learn(self, images):
        self._report_collapse()
        if not self._has_critic:
            return super()._learn(images)
        self._freeze_encoder()
        self.copies_ = self._distance.fit([self._features_under(images, t) for t in self._scored])

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

    @property
    def _scored(self):
        """The symmetries whose copies score an image: all, but of the eight of a square its four rotations alone.

        The mirrored four cost as much again and add nothing measurable.
        """
        return ROTATIONS if len(self._symmetries) == 8 else self._symmetries

    @torch.no_grad()
    def _features_under(self, images, t):
        parts = [self.frozen_(dihedral(self._images(batch), t))[0] for batch in images.split(AT_ONCE)]
        return self._placeless(torch.cat(parts))

    def _placeless(self, h):
        """h (N, F) as distances see it: with strong views its mean over the places of the map, (N, channels)."""
        if not self._strong or self.network == "mlp":
            return h
        channels = self.network_.encoder.feature_shape[0]
        return h.unflatten(1, (channels, -1)).mean(2)

    def _score(self, images):
        if not self._has_critic:
            return super()._score(images)
        sides = 2 if self._strong else 1
        together = max(1, AT_ONCE // (sides * len(self._scored)))
        parts = [self._score_of_copies(self._images(batch)) for batch in images.split(together)]
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}

    @torch.no_grad()
    def _score_of_copies(self, x):
        n, scored = len(x), self._scored
        sides = (x, x.flip(3)) if self._strong else (x,)  # strong views were mirrored half the time
        h, z = self.frozen_(channels_last(torch.cat([dihedral(side, t) for t in scored for side in sides])))
        log_p = log_softmax(precise(self.parts_["C"](h)), 1)
        found = {"pixel": precise(pixel_score(x, self.network_.decode(z[:n]), self.pixel))}
        averages = dict.fromkeys(self._raw_names()[1:], 0)
        for number, t in enumerate(scored):
            rows = slice(number * n * len(sides), (number + 1) * n * len(sides))
            own = self.copies_(number, self._placeless(h[rows]))
            own["transformation"] = -log_p[rows, self._symmetries.index(t)]
            for name in averages:
                averages[name] = averages[name] + own[name].view(len(sides), n).mean(0) / len(scored)
        return {**found, **averages}

    def _raw_names(self):
        if not self._has_critic:
            return super()._raw_names()
        # a critic of weight 0 has learned nothing, and its answers are noise
        answers = ("transformation",) if self.w_critic > 0 else ()
        return ("pixel", *self._distance.names, *answers)

    def _latent_state(self):
        return self.copies_.state() if self._has_critic else super()._latent_state()

    def _restore_latent(self, state):
        if not self._has_critic:
            return super()._restore_latent(state)
        if len(state["bank"]) != len(self._scored):
            raise DataError(
                f"it scores by {len(state['bank'])} copies of an image and not by {len(self._scored)}: it was written "
                "by another version of the library. Fit it again."
            )
        self._freeze_encoder()
        self.copies_ = self._distance.restore(state)


@contextmanager
def _in_eval_mode(network):
    """Look through a network without leaving a trace in its running statistics."""
    network.eval()
    try:
        yield
    finally:
        network.train()


SYSTEM = System(
    "dualad",
    DualAD,
    small={"width": 4, "latent_dim": 8, "steps": 30, "batch_size": 16},
    losses={
        **DUALAD_LOSSES,
        "critic": "networks.feature_constraint.TransformationCritic",
        "mutual information": "losses.jsd_mutual_information",
        "contrastive": "losses.info_nce",
    },
    scores={
        "pixel": "scoring.pixel_score",
        "latent, Mahalanobis": "scoring.LowRank",
        "latent, neighbours": "neighbours.Bank",
        "dual": "scoring.Fusion",
    },
    lesson=("dual_scoring", "5. What each part was worth"),
)
