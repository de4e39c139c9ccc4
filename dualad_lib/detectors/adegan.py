"""ADe-GAN: images of many patterns, generated from a pattern and noise, and judged by error and pattern together."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, one_hot, softmax

from ..losses import (
    adversarial_loss,
    code_distance,
    discriminator_loss,
    gradient_penalty,
    uniform_cross_entropy,
)
from ..networks import ConvDecoder, ConvDiscriminator, ConvEncoder, start_at_mean
from ..scoring import Scores, eq_11, precise
from ..training import Player, Turn, as_float, warmup_cosine
from .base import as_fitted, choose
from .system import System
from .trained import Trained, check_side

SCHEDULES = ("in turn", "one after the other")


@dataclass(eq=False, repr=False)
class ADeGAN(Trained):
    """ADe-GAN (Chai et al.): a generator from (pattern, noise), and an extractor that takes an image apart again.

    G(z_c, z_n) draws an image of pattern z_c, one of `patterns`, with noise z_n; a discriminator D tells images from
    drawn ones (eq. 1). The extractor E(x) gives pattern probabilities and noise. Drawn images teach it both (L_sl, eq.
    3); images between two patterns are to look like none (L_ip, eq. 6); real ones are to come back, x = G(E(x))
    (L_recon, eq. 7). Noise interpolated within a pattern is more noise of that pattern, and augments what G is judged
    on. No labels: which pattern stands for what is found in training.

    Scores: pixel, the error ||x - G(E(x))||; latent, 1 - max_c P(x in c); dual, eq. 11 of the two (`scoring.eq_11`,
    whose docstring has the reading of its signs), with the error's mean and deviation from held-out normal images.

    noise: deviation of z_n. With 1 the noise alone can say everything about an image, and G ignores the pattern.
    alpha, beta, gamma: weights of L_ip, L_sl, L_recon; (1, 1, 10) in the paper for MNIST, (1, 10, 10) for CIFAR-10.
    r1: weight of D's gradient penalty (`losses.gradient_penalty`), which is ours. Without it D wins within a few steps
    on development splits, and G draws the same black image for every pattern. For the same reason G begins with the
    mean image, and has an optimiser for each of its two turns: in a common one the far larger gradients of L_recon set
    the scale, and the game's hardly move it.
    schedule: the paper names two stages, G with D, then G with E; "one after the other" splits the training in two
    halves, "in turn" does both at every step.
    """

    FOLDS = 100

    patterns: int = 10
    noise_dim: int = 16
    noise: float = 0.1
    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 10.0
    r1: float = 1.0
    between: bool = True
    within: bool = True
    schedule: str = "in turn"
    width: int = 16
    steps: int = 500
    batch_size: int = 64
    learning_rate: float = 1e-3
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    @as_fitted
    def generate(self, z_c, z_n):
        """Images G(z_c, z_n), float32 (N, C, H, W) in [0, 1]. z_c: (N, patterns), rows that sum to 1; z_n: (N, k)."""
        with torch.no_grad():
            return self._draw(*(self._images(z) for z in (z_c, z_n))).cpu()

    @as_fitted
    def extract(self, x):
        """Pattern probabilities (N, patterns) and noise (N, noise_dim) of images, on the CPU."""
        with torch.no_grad():
            found = [self._extract(self._images(batch)) for batch in self._checked(x).split(512)]
        return tuple(
            torch.cat(part).cpu() for part in zip(*((softmax(c, 1), n) for c, n in found), strict=True)
        )

    @as_fitted
    def reconstruct(self, x):
        """G(E(x)) of images, float32 tensor (N, C, H, W) in [0, 1] on the CPU."""
        with torch.no_grad():
            found = [self._restored(self._images(batch))[1] for batch in self._checked(x).split(512)]
        return torch.cat(found).cpu()

    def _check_parameters(self):
        choose(self.schedule, SCHEDULES, "schedule")
        check_side(self.image_shape_)

    def _parts(self):
        size = self.patterns + self.noise_dim
        return {
            "G": ConvDecoder(self.image_shape_, 2 * self.width, size),
            "E": ConvEncoder(self.image_shape_, self.width, size),
            "D": ConvDiscriminator(self.image_shape_, self.width),
        }

    def _start(self, images):
        start_at_mean(self.parts_["G"], as_float(images, "cpu").mean((0, 2, 3)))

    def _game(self):
        G, E, D = self._adam("G"), self._adam("E"), self._adam("D", rate=0.2)
        again = self._adam("G", name="G, taking apart")
        return [Turn(self._deceive, G), Turn(self._discriminate, D), Turn(self._take_apart, again, E)], None

    def _adam(self, part, name=None, rate=1.0):
        parameters = self.parts_[part].parameters()
        optimiser = torch.optim.Adam(parameters, rate * self.learning_rate, betas=(0.5, 0.99), fused=True)
        return Player(name or part, self.parts_[part], optimiser, warmup_cosine(), clip=5.0)

    def _draw(self, z_c, z_n):
        return self.parts_["G"](torch.cat([z_c, z_n], 1))

    def _extract(self, x):
        return self.parts_["E"](x).split([self.patterns, self.noise_dim], 1)

    def _codes(self, count, device):
        """Random patterns (indices) and noise; half of the noise interpolated within its pattern, if asked."""
        c = torch.randint(self.patterns, (count,), device=device)
        z_n = self.noise * torch.randn(count, self.noise_dim, device=device)
        if self.within:
            share = torch.rand(count, 1, device=device)
            mixed = share * z_n + (1 - share) * self.noise * torch.randn_like(z_n)
            z_n = torch.where(torch.rand(count, 1, device=device) < 0.5, mixed, z_n)
        return c, z_n

    def _stage(self, step):
        """Which stages are played: (G with D, G with E)."""
        if self.schedule == "in turn":
            return True, True
        return step.progress < 0.5, step.progress >= 0.5

    def _deceive(self, step):
        if not self._stage(step)[0]:
            return {}
        x = step.images["train"]
        c, z_n = self._codes(len(x), x.device)
        drawn = self._draw(one_hot(c, self.patterns).float(), z_n)
        step.shared["drawn"] = drawn
        return {"adversarial": adversarial_loss(self.parts_["D"](drawn)[0])}

    def _discriminate(self, step):
        if not self._stage(step)[0]:
            return {}
        D, x = self.parts_["D"], step.images["train"].detach().requires_grad_(self.r1 > 0)
        (real, _), (fake, _) = D(x), D(step.shared["drawn"])
        terms = {"discriminator": discriminator_loss(real, fake)}
        if self.r1:
            terms["penalty"] = self.r1 / 2 * gradient_penalty(real, x)
        return terms

    def _take_apart(self, step):
        if not self._stage(step)[1]:
            return {}
        x = step.images["train"]
        count = max(1, len(x) // 2)
        c, z_n = self._codes(count, x.device)
        z_c = one_hot(c, self.patterns).float()
        logits, found = self._extract(self._draw(z_c, z_n))
        terms = {
            "pattern": self.beta * cross_entropy(logits, c),
            "noise": self.beta * code_distance(found, z_n),
            "recon": self.gamma * code_distance(*(image.flatten(1) for image in self._restored(x)[:2])),
        }
        if self.between:
            share = 0.2 + 0.6 * torch.rand(count, 1, device=x.device)
            apart = torch.randint(1, self.patterns, c.shape, device=x.device)
            other = one_hot((c + apart) % self.patterns, self.patterns)
            logits, _ = self._extract(self._draw(share * z_c + (1 - share) * other, z_n))
            terms["between"] = self.alpha * uniform_cross_entropy(logits)
        return terms

    def _restored(self, x):
        """Images, G(E(x)), and the pattern probabilities."""
        logits, z_n = self._extract(x)
        z_c = softmax(logits, 1)
        return x, self._draw(z_c, z_n), z_c

    @torch.no_grad()
    def _score(self, images):
        x, x_hat, z_c = self._restored(self._images(images))
        error = precise(x - x_hat).square().flatten(1).mean(1).sqrt()
        return {"pixel": error.cpu().numpy(), "latent": 1 - precise(z_c).amax(1).cpu().numpy()}

    def _calibrate(self, raw, images):
        self.error_ = float(raw["pixel"].mean()), float(max(raw["pixel"].std(), 1e-9))

    def _combine(self, raw):
        return Scores(**raw, dual=eq_11(raw["pixel"], 1 - raw["latent"], self.patterns, *self.error_))

    def _own_state(self):
        return {"error": torch.tensor(self.error_, dtype=torch.float64)}

    def _restore_own(self, state):
        mean, deviation = state["error"].tolist()
        self.error_ = mean, deviation


SYSTEM = System(
    "adegan",
    ADeGAN,
    small={"width": 4, "noise_dim": 4, "patterns": 4, "steps": 200, "batch_size": 16, "learning_rate": 5e-3},
    losses={
        "L_adv": "losses.adversarial_loss",
        "L_sl, L_recon": "losses.code_distance",
        "L_ip": "losses.uniform_cross_entropy",
    },
    scores={"error, pattern, dual": "scoring.eq_11"},
    lesson=("adegan", "2. The parts"),
)
