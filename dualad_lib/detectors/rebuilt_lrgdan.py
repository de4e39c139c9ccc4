"""LR-GDAN rebuilt: two autoencoders of which the second is asked for what only a known kind of image tells.

The parts are the paper's: G, D, D', and information, global and local. Three wishes of the paper's game worked against
its score, and are gone: D' fails on no reconstruction of a normal image, the score asks for nothing that training
punished, and the information is about something that not every image tells.
"""

from dataclasses import dataclass

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
from ..networks import (
    ConvAutoencoder,
    ConvDiscriminator,
    FrozenEncoder,
    LocalTurns,
    TransformationCritic,
    forward_features,
    start_at_mean,
)
from ..networks.precision import PRECISIONS, dtype_of, mixed
from ..scoring import Fusion, Gaussian, Scores, fusion_of, fusion_rows, precise
from ..training import Player, Turn, as_float, channels_last
from ..transforms import SPOILS, dihedral, dihedral_elements, jitter, spoilt
from .autoencoder import AT_ONCE
from .base import as_fitted, choose
from .dualad import ROTATIONS
from .latent import CopyGaussian
from .system import System
from .trained import Trained, check_side

#: Which parts of the score count: all, those of one autoencoder, or all but the information.
ASKED = ("all", "G", "D'", "distances")


class GameScore:
    """The score of two autoencoders, on pixels as on features: parts of equal weight, of which `asked` names some.

    "upright mahalanobis" and "upright neighbours": distances of what G's encoder makes of an image. With `dual`, each
    averaged over the T_t: the same distances of what the encoder of D' makes of T_t x, "code", that of its code from
    G's, and where there are statistics networks "information".
    """

    @property
    def _informed(self):
        return self.dual and self.mutual_information

    def _learn_from(self, h, z, turned):
        """h (N, F), z (N, d): what G's encoder makes of the training images. turned: for each t that of D', a pair."""
        self.own_ = CopyGaussian.fit([h])
        if self.dual:
            self.turned_ = CopyGaussian.fit([h for h, _ in turned])
            self.apart_ = [Gaussian.fit(z_hat - z) for _, z_hat in turned]

    def _scores_from(self, h, z, turned, information):
        """Raw scores by name, (n,) each. h, z, turned: as of `_learn_from`; information: for each t (n,), or None."""
        scores = {f"upright {name}": value for name, value in self.own_(0, h).items()}
        for number, (h_t, z_hat) in enumerate(turned):
            own = self.turned_(number, h_t) | {"code": self.apart_[number].mahalanobis(z_hat - z)}
            if self._informed:
                own["information"] = information[number]
            for name, value in own.items():
                scores[name] = scores.get(name, 0) + value / len(turned)
        return scores

    def _raw_names(self):
        turned = (*CopyGaussian.names, "code") if self.dual else ()
        informed = ("information",) if self._informed else ()
        return (*(f"upright {name}" for name in CopyGaussian.names), *turned, *informed)

    def _calibrate(self, raw, images):
        self.fusion_ = Fusion.fit(raw)

    def _combine(self, raw):
        return Scores(latent=self.fusion_(raw, [name for name in raw if self._counts(name)]))

    def _counts(self, name):
        """Whether a part of the score is asked for."""
        of_g = name.startswith("upright")
        return {"all": True, "G": of_g, "D'": not of_g, "distances": name != "information"}[self.asked]

    def _own_state(self):
        state = {f"own.{name}": value for name, value in self.own_.state().items()}
        if self.dual:
            state |= {f"turned.{name}": value for name, value in self.turned_.state().items()}
            state["apart.mean"] = torch.stack([gaussian.mean for gaussian in self.apart_])
            state["apart.whitening"] = torch.stack([gaussian.whitening for gaussian in self.apart_])
        return {**state, "fusion": fusion_rows(self.fusion_)}

    def _restore_own(self, state):
        def of(part):
            return {n.removeprefix(part): value for n, value in state.items() if n.startswith(part)}

        self.own_ = CopyGaussian.restore(of("own."))
        if self.dual:
            self.turned_ = CopyGaussian.restore(of("turned."))
            pairs = zip(state["apart.mean"], state["apart.whitening"], strict=True)
            self.apart_ = [Gaussian(*pair) for pair in pairs]
        self.fusion_ = fusion_of(self._raw_names(), state["fusion"])


@dataclass(eq=False, repr=False)
class RebuiltLRGDAN(GameScore, Trained):
    """LR-GDAN's idea (Chen et al., IJCAI 2020), rebuilt so that the score asks for what training has taught.

    G restores an image x as it stands. D', of the same structure, sees it turned: one of the symmetries T_t of its
    frame, drawn for each copy. It has to restore the upright x, and to find the code that G gave x (L_zrec, eq. 4).
    Both can be done only by who knows how this kind of image stands. D tells images from what the two autoencoders
    draw, and they play against it. The information is that of what D' sees and the turn t: of its last feature map
    (global) and of each place of a map in the middle (local), bounds by InfoNCE, log K - cross-entropy.

    The score is the mean of log-standardised parts: the distances of G's last feature map from those of normal images
    (Mahalanobis, and nearest neighbour); the same of D', the distance of its code from G's (Mahalanobis of the
    difference), and the information that the image itself gives, -log p(t | T_t x), each averaged over turned copies.

    image_discriminator, dual, mutual_information: the rows of the paper's table 1. Information needs D'; all off is
    one autoencoder with G's own distances. counterfeits: D' has to tell from images, besides, what G draws from mixed
    codes: the paper's wish that D' fail on what G made, with a bound and on pictures that are no normal images.

    spoils: share of the copies that are spoilt besides (squeezed, sheared, shifted, ...: `transforms.spoilt`). D'
    restores what was there before, and is asked for the kind; its answer "as it was" counts as information, too.

    Spoils, counterfeits and the parts of the score were chosen on development splits (training files alone) of digits 3
    and 8, T-shirts, sandals and shirts, one seed; all else is what `DualAD` has.

    asked: which parts the score is the mean of: "all"; G's distances alone ("G"), as of a single autoencoder; the parts
    of D' alone ("D'"); all but the information ("distances").

    w_adversarial, w_matching, w_zrec, w_global, w_local: weights beside reconstruction losses of weight 1. All other
    parameters as in `Autoencoder`.
    """

    AFTERWARDS = (*Trained.AFTERWARDS, "asked")
    FOLDS = 100

    image_discriminator: bool = True
    dual: bool = True
    mutual_information: bool = True
    spoils: float = 0.5
    counterfeits: bool = False
    asked: str = "all"
    w_adversarial: float = 0.005
    w_matching: float = 0.1
    w_zrec: float = 0.1
    w_global: float = 0.1
    w_local: float = 0.1
    width: int = 16
    latent_dim: int = 64
    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 2e-3
    precision: str = "auto"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    @as_fitted
    @torch.no_grad()
    def reconstruct(self, x):
        """What D' restores of images that stand upright; without D', G(x). Float32 tensor (N, C, H, W) on the CPU."""
        name = "A" if self.dual else "G"
        return torch.cat([self._drawn(name, batch).cpu() for batch in self._checked(x).split(AT_ONCE)])

    @as_fitted
    def evidence(self, x):
        """The parts of the score, each in deviations from what is usual on held-out normal images, and their mean.

        x: images (N, C, H, W). Returns name -> float64 (N,); the last is "fused".
        """
        raw = self._raw(self._checked(x))
        return {name: self.fusion_(raw, [name]) for name in raw} | {"fused": self.fusion_(raw)}

    def _drawn(self, name, images):
        return self.parts_[name].decode(self.frozen_[name](self._images(images))[1])

    def _check_parameters(self):
        choose(self.precision, PRECISIONS, "precision")
        choose(self.asked, ASKED if self.dual else ("all", "G", "distances"), "asked")
        check_side(self.image_shape_)

    @property
    def _spoiling(self):
        """Whether D' has to name what was done to an image beside turning it."""
        return self._informed and (self.spoils > 0 or self.counterfeits)

    @property
    def _symmetries(self):
        return dihedral_elements(self.image_shape_)

    @property
    def _scored(self):
        """The turns whose copies score an image: of the eight of a square its four rotations."""
        return ROTATIONS if len(self._symmetries) == 8 else self._symmetries

    def _parts(self):
        shape = self.image_shape_
        parts = {"G": ConvAutoencoder(shape, self.width, self.latent_dim)}
        if self.dual:
            parts["A"] = ConvAutoencoder(shape, self.width, self.latent_dim)
        if self.image_discriminator:
            parts["D"] = ConvDiscriminator(shape, self.width)
        if self._informed:
            with torch.no_grad():
                middle, h, _ = forward_features(parts["A"].eval(), torch.zeros(1, *shape))
            parts["A"].train()
            parts["T_g"] = TransformationCritic(h.shape[1], len(self._symmetries))
            parts["T_l"] = LocalTurns(middle.shape[1:], len(self._symmetries))
            if self._spoiling:
                kinds = 1 + len(SPOILS) + self.counterfeits  # as it was, spoilt, drawn by G
                parts["T_s"] = TransformationCritic(h.shape[1], kinds)
        return parts

    def _start(self, images):
        some = as_float(images[:: 1 + len(images) // 1000], "cpu")
        for name in ("G", "A"):
            if name in self.parts_:
                start_at_mean(self.parts_[name].decoder, some.mean((0, 2, 3)))

    def _game(self):
        together = [name for name in ("G", "A", "T_g", "T_l", "T_s") if name in self.parts_]
        turns = [Turn(self._restore_images, *map(self._player, together))]
        if self.image_discriminator:
            D = self.parts_["D"]
            optimiser = torch.optim.Adam(D.parameters(), 5e-4, betas=(0.5, 0.99), fused=True)
            turns.append(Turn(self._discriminate, Player("D", D, optimiser, clip=5.0)))
        return turns, None

    def _mixed(self):
        device = self._where()
        return mixed(dtype_of(self.precision, device), device)

    def _restore_images(self, step):
        """The turn of both autoencoders, and of the statistics networks that help D'."""
        parts, x = self.parts_, jitter(step.images["train"])
        with self._mixed():
            z = parts["G"].encode(x).float()
            x_hat = parts["G"].decode(z).float()
        terms, drawn = {"irec": squared_error(x_hat, x)}, [x_hat]
        if self.dual:
            own, restored = self._restore_turned(step.images["train"], x, z)
            terms |= own
            drawn.append(restored)
        drawn = torch.cat(drawn)
        if self.image_discriminator:
            fake, f_hat = self._judged(drawn)
            with torch.no_grad():
                _, f = self._judged(x)
            f = f.repeat(len(drawn) // len(x), 1)
            terms["adversarial"] = self.w_adversarial * adversarial_loss(fake)
            terms["matching"] = self.w_matching * feature_matching(f_hat, f)
        step.shared.update(x=x, drawn=drawn)
        return terms

    def _restore_turned(self, images, x, z):
        """Terms of D', which sees two turned copies of each image, and what it restores of the first."""
        parts, n, device = self.parts_, len(x), x.device
        copies = torch.cat([x, jitter(images)])
        kind = torch.randint(1, 1 + len(SPOILS), (2 * n,), device=device)
        kind = torch.where(torch.rand(2 * n, device=device) < self.spoils, kind, 0)
        t = torch.randint(len(self._symmetries), (2 * n,), device=device)
        t[: n // 4], kind[: n // 4] = 0, 0  # enough that are as G sees them
        if self.spoils:
            copies = spoilt(copies, kind)
        if self.counterfeits:
            fake = self._counterfeit(z)
            copies = torch.cat([copies, fake])
            kind = torch.cat([kind, kind.new_full((len(fake),), 1 + len(SPOILS))])
            t = torch.cat([t, torch.randint(len(self._symmetries), (len(fake),), device=device)])
        seen = dihedral(copies, t)
        with self._mixed():
            middle, h, z_hat = forward_features(parts["A"], channels_last(seen))
            middle, h, z_hat = middle.float(), h.float(), z_hat[:n].float()
            restored = parts["A"].decode(z_hat).float()
        known = z.detach()  # G gives the code, D' finds it: both moving, they would meet in one point
        spread = known.std(0, correction=0).mean().clamp_min(1e-3)
        terms = {
            "girec": squared_error(restored, x),
            "zrec": self.w_zrec * code_distance(z_hat, known) / spread,
        }
        if self._informed:
            places = parts["T_l"](middle)  # (N, h, w, K)
            everywhere = t[:, None, None].expand(places.shape[:3])
            terms["global"] = -self.w_global * info_nce(parts["T_g"](h), t)
            terms["local"] = -self.w_local * info_nce(places.flatten(0, 2), everywhere.flatten())
            if self._spoiling:
                terms["spoilt"] = -self.w_global * info_nce(parts["T_s"](h), kind)
        return terms, restored

    @torch.no_grad()
    def _counterfeit(self, z):
        """What G draws of codes that take each coordinate from one of two images."""
        half = z[: max(2, len(z) // 2)]
        mixed_codes = torch.where(torch.rand_like(half) < 0.5, half, half.roll(1, 0))
        with self._mixed():
            return self.parts_["G"].decode(mixed_codes).float()

    def _discriminate(self, step):
        (real, _), (fake, _) = self._judged(step.shared["x"]), self._judged(step.shared["drawn"])
        return {"discriminator": discriminator_loss(real, fake)}

    def _judged(self, x):
        """D's logits (N,) and features f (N, m) of images."""
        with self._mixed():
            logits, f = self.parts_["D"](x)
        return logits.float(), f.float()

    def _learn(self, images):
        self._freeze_encoders()
        batches = [self._seen(self._images(batch)) for batch in images.split(AT_ONCE)]

        def joined(found):
            return tuple(torch.cat(part) for part in zip(*(look[1:] for look in found), strict=True))

        h, z = joined([own for own, _ in batches])
        of_turns = zip(*(turned for _, turned in batches), strict=True)  # for each turn the batches
        self._learn_from(h, z, [joined(of_turn) for of_turn in of_turns])

    def _freeze_encoders(self):
        """Training is over: the encoders that score."""
        dtype = dtype_of(self.precision, self._where())
        self.frozen_ = {n: FrozenEncoder(self.parts_[n], dtype) for n in ("G", "A") if n in self.parts_}

    @torch.no_grad()
    def _seen(self, x):
        """(what G's encoder makes of images, what that of D' makes of each turned copy of them); none without D'."""
        turned = [self._look("A", channels_last(dihedral(x, t))) for t in self._scored] if self.dual else []
        return self._look("G", x), turned

    def _look(self, name, x):
        """A map from the middle (n, c, h, w), the last features (n, F) and the code (n, d), all float32."""
        encoder = self.frozen_[name]
        middle = encoder.features[:-1](x.to(encoder.dtype))
        h = encoder.features[-1](middle).float().flatten(1)
        return middle.float(), h, encoder.code(h)

    def _score(self, images):
        parts = [self._score_of(self._images(batch)) for batch in images.split(AT_ONCE)]
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}

    @torch.no_grad()
    def _score_of(self, x):
        (_, h, z), turned = self._seen(x)
        looks = zip(self._scored, turned, strict=bool(turned))
        information = [self._information(t, *look[:2]) for t, look in looks] if self._informed else None
        return self._scores_from(h, z, [look[1:] for look in turned], information)

    def _information(self, t, middle, h):
        log_p = log_softmax(precise(self.parts_["T_g"](h)), 1)[:, t]
        places = log_softmax(precise(self.parts_["T_l"](middle)), 3)[..., t].mean((1, 2))
        known = -(log_p + places) / 2
        if not self._spoiling:
            return known
        return known - log_softmax(precise(self.parts_["T_s"](h)), 1)[:, 0]

    def _restore_own(self, state):
        self._freeze_encoders()
        super()._restore_own(state)


SYSTEM = System(
    "lrgdan_rebuilt",
    RebuiltLRGDAN,
    small={"width": 4, "latent_dim": 8, "steps": 30, "batch_size": 16},
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
    title="LRGDAN, rebuilt",
)
