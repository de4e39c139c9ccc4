"""ADe-GAN's idea rebuilt: patterns learned on real images, interpolations between them as what is not normal."""

import math
from dataclasses import dataclass

import torch
from sklearn.cluster import KMeans
from torch.nn.functional import cross_entropy, normalize, softmax

from ..errors import DataError
from ..losses import info_nce, uniform_cross_entropy
from ..neighbours import Bank, nearest_mixture
from ..networks import ConvEncoder, PatternExtractor
from ..scoring import Fusion, Scores, fusion_of, fusion_rows, pixel_score, precise
from ..training import Turn
from ..transforms import jitter
from .base import as_fitted
from .system import System
from .trained import Trained, check_side

AT_ONCE = 512
CLUSTERED = 6000  # codes of which the patterns are found
KEPT = 20_000  # training images that others are drawn from


class PatternGame:
    """ADe-GAN's game and score, on images as on features: whoever plays it has E in `parts_`, and `_view`."""

    def _start(self, images):
        self._seen = images

    def _end(self, images, history):
        del self._seen
        super()._end(images, history)

    def _game(self):
        return [Turn(self._tell_apart, self._player("E"))], None

    @property
    def _first(self):
        """The step before which the patterns are found."""
        return min(self.steps - 1, math.ceil(self.starts * self.steps))

    def _tell_apart(self, step):
        if step.number == self._first:
            self._find_patterns()
        E, x = self.parts_["E"], step.images["train"]
        n = len(x)
        z = E(torch.cat([self._view(x), self._view(x)]))
        similarity = (z @ z.T / self.temperature).fill_diagonal_(-torch.inf)
        other = torch.arange(2 * n, device=x.device).roll(n)
        if step.number < self._first:
            return {"views": -info_nce(similarity, other)}
        logits = E.patterns(z)
        of = logits.detach().unflatten(0, (2, n)).sum(0).argmax(1).repeat(2)
        terms = {}
        if self.within:
            same = of[:, None] == of
            same[torch.arange(2 * n, device=x.device), other] = False
            similarity = similarity.masked_fill(same, -torch.inf)
        if self.between and len(mixed := self._mixed(z, of)):
            similarity = torch.cat([similarity, z @ mixed.T / self.temperature], 1)
            terms["between"] = self.w_pattern / 2 * uniform_cross_entropy(E.patterns(mixed))
        terms["pattern"] = self.w_pattern * cross_entropy(logits, of)
        terms["views"] = -info_nce(similarity, other)
        return terms

    def _mixed(self, z, of):
        """Codes between two patterns, half as many as there are: mixed of two codes (rows of z) each."""
        first, second = torch.randint(len(z), (2, 2 * len(z)), device=z.device)
        apart = (of[first] != of[second]).nonzero()[: len(z) // 2, 0]
        share = 0.3 + 0.4 * torch.rand(len(apart), 1, device=z.device)
        return normalize(share * z[first[apart]] + (1 - share) * z[second[apart]], dim=1)

    def _find_patterns(self):
        """What `patterns` means from here on: k-means of the codes of some training images, as E now sees them."""
        E, few = self.parts_["E"], self._seen[:: 1 + len(self._seen) // CLUSTERED]
        E.eval()
        self._point_at(self._codes(few))
        E.train()

    def _point_at(self, z):
        means = KMeans(min(self.patterns, len(z)), n_init=1, max_iter=50, random_state=self.seed)
        self.parts_["E"].start_at(torch.from_numpy(means.fit(z.cpu().numpy()).cluster_centers_).to(z))

    @torch.no_grad()
    def _codes(self, images):
        return torch.cat([self.parts_["E"](self._images(batch)) for batch in images.split(AT_ONCE)])

    def _learn(self, images):
        z = self._codes(images)
        self._point_at(z[:: 1 + len(z) // CLUSTERED])  # once more: E has moved since
        self._keep(z, images[self._kept(len(images))])

    def _kept(self, count):
        """Which of `count` training images are kept to draw from."""
        return slice(None, None, 1 + count // KEPT)

    def _keep(self, z, images):
        """Codes of all training images, and the images to draw from, by their pattern."""
        own = z[self._kept(len(z))]
        if images.shape != (len(own), *self._drawn_shape):
            raise DataError(
                f"it holds images of shape {tuple(images.shape)} to draw from, which is not theirs."
            )
        self.bank_, self.drawn_from_ = Bank(z), images
        self.of_ = self._named(own)

    def _named(self, z, never=None):
        """The pattern of each code (n,), none of those that `never` (patterns,) marks; without `one_pattern` all 0."""
        if not self.one_pattern:
            return torch.zeros(len(z), dtype=torch.long, device=z.device)
        logits = self.parts_["E"].patterns(z)
        return (logits if never is None else logits.masked_fill(never, -torch.inf)).argmax(1)

    def _draw(self, x, z):
        """The interpolation of images of one pattern, that of x, that is nearest to x, in the shape of x."""
        empty = torch.bincount(self.of_, minlength=self.patterns) == 0
        named, flat, drawn = self._named(z, empty), x.flatten(1), torch.empty_like(x)
        for pattern in named.unique().tolist():
            rows, members = named == pattern, self.of_ == pattern
            own = self._images(self.drawn_from_[members.to(self.drawn_from_.device)]).flatten(1)
            _, index = Bank(own).nearest(flat[rows], min(self.drawn_with, len(own)))
            drawn[rows] = nearest_mixture(flat[rows], own[index]).view(-1, *x.shape[1:])
        return drawn

    @torch.no_grad()
    def _score(self, images):
        x = self._images(images)
        z, k = self._codes(images), min(self.n_neighbors, len(self.bank_))
        return {
            "pixel": precise(pixel_score(x, self._draw(x, z))).cpu().numpy(),
            "latent": precise(self.bank_.nearest(z, k)[0][:, k - 1]).square().cpu().numpy() / 2,
        }

    def _calibrate(self, raw, images):
        self.fusion_ = Fusion.fit(raw)

    def _combine(self, raw):
        return Scores(**raw, dual=self.fusion_(raw))

    def _own_state(self):
        return {
            "codes": self.bank_.vectors,
            "images": self.drawn_from_,
            "fusion": fusion_rows(self.fusion_),
        }

    @torch.no_grad()
    def _restore_own(self, state):
        self._keep(state["codes"], state["images"])
        self.fusion_ = fusion_of(("pixel", "latent"), state["fusion"])


@dataclass(eq=False, repr=False)
class RebuiltADeGAN(PatternGame, Trained):
    """ADe-GAN rebuilt, so that its extractor meets real images and its score can point one way only.

    The extractor E gives an image a code z on the unit sphere and pattern probabilities. Its pretext is played on real
    images: two slightly changed views of an image are to have one code, apart from the others (InfoNCE). After a share
    `starts` of the training k-means on these codes finds `patterns`, and the ideas of the paper begin. L_sl (eq. 3),
    cross-entropy: an image has the pattern that both its views point to. Interpolations within a pattern are normal
    (eq. 4, 5): images of one pattern are not pushed apart any more. Interpolations between two patterns (eq. 6) are
    not: mixed codes of two images are what every image must be told from, and L_ip asks that they look like no pattern.
    They are made of E's own codes and move with it: the game needs no network beside E.

    Scores, both from interpolation. pixel: the error ||x - x_hat||, where x_hat (`reconstruct`) is the nearest mixture
    of `drawn_with` training images of the one pattern that E names; what lies between two patterns cannot be drawn.
    latent: cosine distance of the code to that of the `n_neighbors`-th nearest training image. dual: the mean of both,
    log-standardised on held-out normal images. All rise with what is odd.

    pretext: how far views are changed (1: the changes of `transforms.jitter`). within, between: switches of the two
    interpolations in training; with both off and w_pattern=0 the pretext is left. w_pattern: weight of L_sl, and half
    of it that of L_ip. one_pattern: False draws from all training images, whatever their pattern. Source: the idea is
    ADe-GAN's (Chai et al.); the pretext is SimCLR's (Chen et al., ICML 2020), mixed codes as negatives are those of
    Kalantidis et al. (NeurIPS 2020).
    """

    FOLDS = 100

    patterns: int = 50
    within: bool = True
    between: bool = True
    w_pattern: float = 0.1
    one_pattern: bool = True
    pretext: float = 1.5
    temperature: float = 0.2
    starts: float = 0.4
    n_neighbors: int = 5
    drawn_with: int = 10
    latent_dim: int = 64
    width: int = 16
    steps: int = 350
    batch_size: int = 96
    learning_rate: float = 3e-3
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    @as_fitted
    def extract(self, x):
        """Pattern probabilities (N, patterns) and codes (N, latent_dim) of length 1, on the CPU."""
        z = self._codes(self._checked(x))
        return softmax(self.parts_["E"].patterns(z), 1).detach().cpu(), z.cpu()

    @as_fitted
    def reconstruct(self, x):
        """What each image is drawn as from others of its pattern: float32 tensor (N, C, H, W) in [0, 1] on the CPU."""
        drawn = []
        with torch.no_grad():
            for batch in self._checked(x).split(AT_ONCE):
                drawn.append(self._draw(self._images(batch), self._codes(batch)).clamp(0, 1).cpu())
        return torch.cat(drawn)

    def _check_parameters(self):
        check_side(self.image_shape_)

    def _parts(self):
        encoder = ConvEncoder(self.image_shape_, self.width, self.latent_dim)
        return {"E": PatternExtractor(encoder, self.latent_dim, self.patterns)}

    @property
    def _drawn_shape(self):
        return self.image_shape_

    def _view(self, x):
        """Each image a little changed: what it shows, and with it its pattern, stays."""
        return jitter(x, *(self.pretext * most for most in (0.1, 0.07, 0.08, 0.03)))


SYSTEM = System(
    "adegan_rebuilt",
    RebuiltADeGAN,
    small={"width": 4, "latent_dim": 8, "patterns": 4, "steps": 40, "batch_size": 16, "learning_rate": 5e-3},
    losses={"views": "losses.info_nce", "L_ip": "losses.uniform_cross_entropy"},
    scores={"pixel": "neighbours.nearest_mixture", "latent": "neighbours.Bank", "dual": "scoring.Fusion"},
    lesson=("adegan", "2. The parts"),
    title="ADe-GAN rebuilt",
)
