"""LR-GDAN: an autoencoder judged by a discriminator and by a second autoencoder, with a code that knows its image."""

from dataclasses import dataclass

import torch

from ..losses import (
    absolute_error,
    adversarial_loss,
    code_distance,
    discriminator_loss,
    dual_game,
    jsd_mutual_information,
    kl_to_standard_normal,
)
from ..networks import (
    ConvAutoencoder,
    ConvDiscriminator,
    GaussianAutoencoder,
    GlobalStatistics,
    LocalStatistics,
    Standardise,
    forward_features,
    start_at_mean,
)
from ..scoring import pixel_score, precise
from ..training import Turn, as_float
from ..transforms import crop_and_flip
from .base import as_fitted, choose
from .system import System
from .trained import Trained, check_side

# How far what is drawn may leave [0, 1]. Not at all, and black and white lie at the sigmoid's ends, where an absolute
# error has no gradient that brings a pixel back; without end, and D' lowers L_dual by failing ever worse.
OVERSHOOT = 0.1
JUDGED = ("reconstruction", "image", "code")


@dataclass(eq=False, repr=False)
class LRGDAN(Trained):
    """Latent Regularized Generative Dual Adversarial Network (Chen et al., IJCAI 2020).

    G reconstructs x. A discriminator D tells images from reconstructions. The auxiliary autoencoder D' learns to
    restore images and to fail on reconstructions (eq. 5 and 6), and to find G's code in the reconstruction (eq. 4).
    With mutual information the code is drawn from N(mean(x), variance(x)); the information of image and code is
    raised, global and local, and a KL term draws codes towards N(0, I) (eq. 10 and 11). When scores are made the code
    is the mean. Score: mean |x - D'(G(x))|; without D', mean |x - G(x)|.

    judged: what D' is asked when scores are made. "reconstruction": to restore G(x), as in the paper. The others are
    ours; the study lrgdan says what they are worth. "image": to restore x itself, score mean |x - D'(x)|. "code": to
    find G's code in G(x), score the root mean square of G_e(x) - D'_e(G(x)), L_zrec of one image, as GANomaly scores.

    image_discriminator, dual, mutual_information: the rows of the paper's table 1; all off is an autoencoder on L_irec.
    literal: eq. 1 read word for word, in which G too wants D' to fail on its reconstructions (it lowers -k L_direc).
    False: the game that the text describes, in which G wants D' to restore them. w_irec, w_zrec, w_e, w_dual, k: of
    the paper, with its norms read as means over elements. w_adv: its 5 against a sum over 784 elements, which is 0.0064
    against a mean. beta and gamma weigh information and KL inside w_e.

    Three things are ours, without which the game was lost on development splits (lesson 09 shows one way). warm_up: the
    games begin after this share of the steps, and are fully played after twice as much (0: at once; then G finds that
    a black image is what D' restores best). cap: as in `losses.dual_game` (None: as printed; then D' draws negatives).
    augmented: the paper's random crop and flip is a choice, and off, because it cost 17 points on a digit.

    Images are standardised by each channel's mean and deviation over the training images, as in the paper.
    """

    AFTERWARDS = (*Trained.AFTERWARDS, "judged")

    image_discriminator: bool = True
    dual: bool = True
    mutual_information: bool = True
    judged: str = "reconstruction"
    literal: bool = False
    augmented: bool = False
    w_irec: float = 1.0
    w_adv: float = 0.0064
    w_zrec: float = 1.0
    w_e: float = 0.05
    w_dual: float = 1.0
    k: float = 0.4
    beta: float = 1.0
    gamma: float = 0.01
    warm_up: float = 0.2
    cap: float | None = 2.0
    width: int = 16
    latent_dim: int = 16
    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 2e-3
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    @as_fitted
    def score_of(self, x):
        """The pixel score of images (N, C, H, W) as a tensor (N,) with a gradient, on the images' device."""
        return pixel_score(*self._restored(x), "l1").to(x.device)

    @as_fitted
    @torch.no_grad()
    def reconstruct(self, x):
        """D'(G(x)), with judged="image" D'(x), without D' G(x). Float32 tensor (N, C, H, W) on the CPU."""
        scale = self.parts_["scale"]
        found = torch.cat([self._restored(batch)[1] for batch in self._checked(x).split(512)])
        return (found * scale.deviation + scale.mean).clamp(0, 1).cpu()

    def _check_parameters(self):
        choose(self.judged, JUDGED, "judged")
        check_side(self.image_shape_)

    def _parts(self):
        shape, width, d = self.image_shape_, self.width, self.latent_dim
        kind = GaussianAutoencoder if self.mutual_information else ConvAutoencoder
        parts = {"G": kind(shape, width, d), "scale": Standardise(shape[0])}
        if self.dual:
            parts["A"] = ConvAutoencoder(shape, width, d)
        if self.image_discriminator:
            parts["D"] = ConvDiscriminator(shape, width)
        if self.mutual_information:
            with torch.no_grad():
                channels = forward_features(parts["G"].eval(), torch.zeros(1, *shape))[0].shape[1]
            parts["G"].train()
            parts["T_g"], parts["T_l"] = GlobalStatistics(channels, d), LocalStatistics(channels, d)
        return parts

    def _start(self, images):
        x = as_float(images, "cpu")
        self.parts_["scale"].learn(x)
        for name in ("G", "A"):
            if name in self.parts_:
                start_at_mean(self.parts_[name], (x.mean((0, 2, 3)) + OVERSHOOT) / (1 + 2 * OVERSHOOT))

    def _game(self):
        helpers = [name for name in ("T_g", "T_l") if name in self.parts_]
        turns = [Turn(self._reconstruct, *map(self._player, ["G", *helpers]))]
        if self.dual:
            turns.append(Turn(self._judge, self._player("A")))
        if self.image_discriminator:
            turns.append(Turn(self._discriminate, self._player("D")))
        return turns, None

    def _reconstruct(self, step):
        """The turn of G, and of the statistics networks that help it."""
        parts, terms = self.parts_, {}
        x = step.images["train"]
        x = parts["scale"](crop_and_flip(x) if self.augmented else x)
        if self.mutual_information:
            middle, mean, log_variance = parts["G"].distribution(x)
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            pairs = [
                (
                    parts["T_g"](middle, z),
                    parts["T_g"](middle, z.roll(1, 0)),
                ),  # an image, another image's code
                (
                    parts["T_l"](middle, z),
                    parts["T_l"](middle.roll(1, 0), z),
                ),  # another image's map, the code
            ]
            information = sum(jsd_mutual_information(*pair) for pair in pairs)
            terms["information"] = -self.w_e * self.beta * information
            terms["kl"] = self.w_e * self.gamma * kl_to_standard_normal(mean, log_variance)
        else:
            z = parts["G"].encode(x)
        x_hat = self._decode("G", z)
        terms["irec"] = self.w_irec * absolute_error(x_hat, x)
        if self.image_discriminator:
            fake, _ = parts["D"](x_hat)
            terms["adversarial"] = self._grown(step) * self.w_adv * adversarial_loss(fake)
        if self.dual:
            z_hat = self.parts_["A"].encode(torch.cat([x, x_hat])).chunk(2)[1]  # in one batch, as in `_judge`
            again = self._decode("A", z_hat)
            side = self._grown(step) * (-1 if self.literal else 1)
            terms["zrec"] = self._grown(step) * self.w_zrec * code_distance(z_hat, z)
            terms["g_direc"] = side * self.w_dual * self.k * absolute_error(again, x_hat)
        step.shared.update(x=x, x_hat=x_hat, z=z)
        return terms

    def _grown(self, step):
        """How much of the games is played: nothing in the warm-up, then more, all from twice its length on."""
        return min(1.0, max(0.0, step.progress / self.warm_up - 1)) if self.warm_up else 1.0

    def _judge(self, step):
        """The turn of D': restore images, fail on reconstructions, and find G's code in them."""
        x, x_hat, z = (step.shared[name] for name in ("x", "x_hat", "z"))
        # In one batch: the statistics that batch norm takes of reconstructions alone would give them away, and the
        # mixed ones of eval mode would be a third network's.
        both, found = self._through("A", torch.cat([x, x_hat]))
        z_hat, (restored, again) = both.chunk(2)[1], found.chunk(2)
        own, other = absolute_error(restored, x), absolute_error(again, x_hat)
        step.log(girec=own.detach(), direc=other.detach())
        return {
            "dual": self.w_dual * dual_game(own, other, self._grown(step) * self.k, self.cap),
            "anchor": self.w_zrec * code_distance(z_hat, z),
        }

    def _discriminate(self, step):
        D = self.parts_["D"]
        (real, _), (fake, _) = D(step.shared["x"]), D(step.shared["x_hat"])
        return {"discriminator": discriminator_loss(real, fake)}

    def _decode(self, name, z):
        """What an autoencoder draws, standardised as images are."""
        return self.parts_["scale"](self.parts_[name].decode(z) * (1 + 2 * OVERSHOOT) - OVERSHOOT)

    def _through(self, name, x):
        """Code of standardised images, and what the autoencoder makes of it."""
        z = self.parts_[name].encode(x)
        return z, self._decode(name, z)

    def _restored(self, images):
        """Standardised images and what is compared with them."""
        x = self.parts_["scale"](self._images(images))
        seen = x if self.dual and self.judged == "image" else self._through("G", x)[1]
        return x, self._through("A", seen)[1] if self.dual else seen

    @torch.no_grad()
    def _score(self, images):
        if self.dual and self.judged == "code":
            return {"latent": precise(self._code_errors(images)).cpu().numpy()}
        return {"pixel": precise(pixel_score(*self._restored(images), "l1")).cpu().numpy()}

    @torch.no_grad()
    def _code_errors(self, images):
        z, x_hat = self._through("G", self.parts_["scale"](self._images(images)))
        return (self.parts_["A"].encode(x_hat) - z).square().mean(1).sqrt()


SYSTEM = System(
    "lrgdan",
    LRGDAN,
    small={"width": 4, "latent_dim": 8, "steps": 100, "batch_size": 16, "learning_rate": 1e-2, "k": 0.1},
    losses={
        "L_irec": "losses.absolute_error",
        "L_adv": "losses.adversarial_loss",
        "L_zrec": "losses.code_distance",
        "L_dual": "losses.dual_game",
        "mutual information": "losses.jsd_mutual_information",
        "KL": "losses.kl_to_standard_normal",
    },
    scores={"pixel, after both autoencoders": "scoring.pixel_score"},
    lesson=("lrgdan", "6. What the paper's version gives"),
)
