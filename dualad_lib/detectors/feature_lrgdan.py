"""LR-GDAN rebuilt on features that know images: two small autoencoders, and information about the order of channels."""

import torch
from torch.nn.functional import log_softmax

from ..losses import (
    adversarial_loss,
    code_distance,
    discriminator_loss,
    feature_matching,
    info_nce,
    squared_error,
)
from ..networks import TransformationCritic
from ..networks.backbone import DEFAULT
from ..networks.redrawing import FeatureDiscriminator, FeatureRedrawer, SectionCritic
from ..scoring import precise
from ..training import Player, Turn
from .base import choose
from .feature_neighbours import FeatureNeighbours, TrainsOnFeatures
from .rebuilt_lrgdan import ASKED, GameScore
from .system import System
from .trained import Trained

NOISE = 0.3  # deviation of the noise on what is restored, in deviations of a feature
SECTIONS = 4  # pieces of the hidden layer of D' that have to name the order each for itself


class FeatureLRGDAN(TrainsOnFeatures, GameScore, FeatureNeighbours, Trained):
    """`RebuiltLRGDAN` on pooled head features of a frozen backbone: the same players, losses and parts of the score.

    A turn of an image is an order of its pixels. A feature has no frame to turn; T_t puts its channels in one of
    `orders` fixed orders, drawn from the seed, of which the first is as they are. G restores the features x of normal
    images from noisy ones. D' sees T_t x; it has to restore x as it stood and to find G's code. D tells features from
    what both draw. The information is that of the hidden layer of D' and t: of all of it, and of each quarter.

    Score: as in `RebuiltLRGDAN`, the distances in hidden layers, that of the two codes, and -log p(t | T_t x). An image
    is judged as a whole, so there is no heat map. image_discriminator, dual, mutual_information, asked and weights: as
    there; other parameters as in `FeatureNeighbours`. Width, steps and what D' sees were chosen on training files of
    CIFAR-10 (airplanes, ships: the last fifth of a class against 300 images of each other), one seed. Source: LR-GDAN
    (Chen et al., IJCAI 2020); that transformations of vectors do where there is no image: GOAD (Bergman & Hoshen, ICLR
    2020).
    """

    AFTERWARDS = (*Trained.AFTERWARDS, "asked")
    FOLDS = 100

    def __init__(
        self,
        backbone=DEFAULT,
        image_discriminator=True,
        dual=True,
        mutual_information=True,
        orders=4,
        asked="all",
        w_adversarial=0.005,
        w_matching=0.1,
        w_zrec=0.1,
        w_global=0.1,
        w_local=0.1,
        width=256,
        latent_dim=64,
        steps=100,
        batch_size=128,
        learning_rate=1e-3,
        side=None,
        precision="auto",
        false_alarm_rate=0.05,
        seed=0,
        device="auto",
    ):
        self.backbone = backbone
        self.image_discriminator = image_discriminator
        self.dual = dual
        self.mutual_information = mutual_information
        self.orders = orders
        self.asked = asked
        self.w_adversarial = w_adversarial
        self.w_matching = w_matching
        self.w_zrec = w_zrec
        self.w_global = w_global
        self.w_local = w_local
        self.width = width
        self.latent_dim = latent_dim
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.side = side
        self.precision = precision
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed
        self.device = device

    def _check_parameters(self):
        super()._check_parameters()
        choose(self.asked, ASKED if self.dual else ("all", "G", "distances"), "asked")

    @torch.no_grad()
    def _parts(self):
        channels = self._network()(torch.zeros(1, 3, 64, 64, device=self._network().mean.device))[0].shape[1]
        width = self.width + -self.width % SECTIONS
        parts = {"G": FeatureRedrawer(channels, width, self.latent_dim)}
        if self.dual:
            parts["A"] = FeatureRedrawer(channels, width, self.latent_dim)
        if self.image_discriminator:
            parts["D"] = FeatureDiscriminator(channels)
        if self._informed:
            parts["T_g"] = TransformationCritic(width, self.orders)
            parts["T_l"] = SectionCritic(width, self.orders, SECTIONS)
        return parts

    def _fit(self, images, **options):
        self.parts_ = self._build()
        features = self._pooled(images)
        self._order(features.shape[1])
        self.parts_["G"].learn(features)
        self._end(features, self._train_on(self._game(), features, images, **options))

    def _order(self, count):
        """The orders of that many channels, (orders, count)."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = [torch.randperm(count, generator=generator) for _ in range(self.orders - 1)]
        self.orders_ = torch.stack([torch.arange(count), *drawn]).to(self._where())

    def _game(self):
        together = [name for name in ("G", "A", "T_g", "T_l") if name in self.parts_]
        turns = [Turn(self._restore_features, *map(self._player, together))]
        if self.image_discriminator:
            D = self.parts_["D"]
            optimiser = torch.optim.Adam(D.parameters(), 5e-4, betas=(0.5, 0.99), fused=True)
            turns.append(Turn(self._discriminate, Player("D", D, optimiser, clip=5.0)))
        return turns, None

    def _restore_features(self, step):
        parts, x = self.parts_, self.parts_["G"].standardise(step.images["train"])
        h, z = parts["G"].encode(x + NOISE * torch.randn_like(x))
        drawn = [parts["G"].decode(z)]
        terms = {"irec": squared_error(drawn[0], x)}
        if self.dual:
            t = torch.randint(self.orders, (len(x),), device=x.device)
            h, z_hat = parts["A"].encode(
                self._uncentred(x + NOISE * torch.randn_like(x)).gather(1, self.orders_[t])
            )
            drawn.append(parts["A"].decode(z_hat))
            known = z.detach()  # G gives the code, D' finds it
            spread = known.std(0, correction=0).mean().clamp_min(1e-3)
            terms["girec"] = squared_error(drawn[1], x)
            terms["zrec"] = self.w_zrec * code_distance(z_hat, known) / spread
        if self._informed:
            local = parts["T_l"](h)
            terms["global"] = -self.w_global * info_nce(parts["T_g"](h), t)
            everywhere = t[:, None].expand(local.shape[:2])
            terms["local"] = -self.w_local * info_nce(local.flatten(0, 1), everywhere.flatten())
        drawn = torch.cat(drawn)
        if self.image_discriminator:
            fake, f_hat = parts["D"](drawn)
            with torch.no_grad():
                _, f = parts["D"](x)
            terms["adversarial"] = self.w_adversarial * adversarial_loss(fake)
            terms["matching"] = self.w_matching * feature_matching(f_hat, f.repeat(len(drawn) // len(x), 1))
        step.shared.update(x=x, drawn=drawn)
        return terms

    def _discriminate(self, step):
        (real, _), (fake, _) = self.parts_["D"](step.shared["x"]), self.parts_["D"](step.shared["drawn"])
        return {"discriminator": discriminator_loss(real, fake)}

    def _uncentred(self, x):
        """Features with their mean, which D' sees: without it no channel would be usual, and no order known by it."""
        G = self.parts_["G"]
        return x + G.mean / G.deviation

    @torch.no_grad()
    def _looks(self, features):
        """(h, code) of G, and those of D' under each order."""
        x = self.parts_["G"].standardise(features)
        seen = self._uncentred(x)
        ordered = [self.parts_["A"].encode(seen[:, order]) for order in self.orders_] if self.dual else []
        return self.parts_["G"].encode(x), ordered

    def _learn(self, features):
        (h, z), ordered = self._looks(features)
        self._learn_from(h, z, ordered)

    @torch.no_grad()
    def _score(self, images):
        (h, z), ordered = self._looks(self._pooled(images))
        information = (
            [self._information(t, h_t) for t, (h_t, _) in enumerate(ordered)] if self._informed else None
        )
        return {n: v.cpu().numpy() for n, v in self._scores_from(h, z, ordered, information).items()}

    def _information(self, t, h):
        log_p = log_softmax(precise(self.parts_["T_g"](h)), 1)[:, t]
        pieces = log_softmax(precise(self.parts_["T_l"](h)), 2)[..., t].mean(1)
        return -(log_p + pieces) / 2

    def _restore_own(self, state):
        self._order(len(self.parts_["G"].mean))
        super()._restore_own(state)


SYSTEM = System(
    "lrgdan_features",
    FeatureLRGDAN,
    small={"side": 64, "precision": "float32", "width": 32, "latent_dim": 8, "steps": 60},
    losses={
        "L_irec, L_girec": "losses.squared_error",
        "L_adv": "losses.adversarial_loss",
        "feature matching": "losses.feature_matching",
        "L_zrec": "losses.code_distance",
        "information": "losses.info_nce",
    },
    scores={
        "Mahalanobis": "scoring.LowRank",
        "neighbours": "neighbours.Bank",
        "code": "scoring.Gaussian",
        "fused": "scoring.Fusion",
    },
    lesson=("lrgdan", "2. Four players"),
    title="LRGDAN rebuilt, on features",
)
