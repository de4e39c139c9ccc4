"""DualAD on features that know images: the four parts of the course play on a frozen map F instead of on pixels.

G restores the feature of each place from a disturbed one and from its neighbourhood
D against G        the discriminator tells features from restored ones (min-max)
sphere against G   as on pixels: centre and radius close in on the codes of images that G does not train on
C with G           the critic tells places of normal images from places where damage was drawn into them, on the
                   encoder's h: the pseudo-anomalies are made where defects are made, in the image
T with G           the statistics networks bind the code of a place to other places of its image, and to all of it
"""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from .. import defects
from ..errors import DataError
from ..losses import (
    adversarial_loss,
    enclosure,
    feature_matching,
    hypersphere_penalty,
    jsd_mutual_information,
    squared_error,
)
from ..neighbours import Bank
from ..networks import Hypersphere
from ..networks.backbone import DEFAULT
from ..networks.places import PlaceAutoencoder, PlaceCritic, PlaceDiscriminator, PlaceStatistics
from ..scoring import (
    Fusion,
    Gaussian,
    LogStandard,
    Scores,
    fusion_of,
    fusion_rows,
    precise,
    separation_weight,
)
from ..training import as_float, resolve_device, seeded
from ..transforms import PSEUDO_ANOMALIES, pseudo_anomalies
from .autoencoder import FUSIONS
from .base import choose
from .dualad import OUTSIDE, SPHERE_STARTS, SPHERE_WARMS, DualAD
from .features import SMALL, FeatureDetector
from .system import DUALAD_LOSSES, System

VIEWS = ("auto", "places", "whole")
PLACES = 200_000  # features of places that training keeps, drawn evenly from all images
A_STEP = 64  # places of an image that one step looks at
AROUND = 5  # side of the neighbourhood, in places
NOISE, HIDDEN = (
    0.3,
    0.3,
)  # of the disturbed F: deviation of its noise, share of places that are hidden altogether
BANK, DIRECTIONS, SPACING = (
    10_000,
    96,
    20,
)  # the latent score's bank: places, dimensions, neighbours of a neighbour
SAME = 0.05  # of the spacing: what lies nearer is the same place again, and rounding
PRIOR = 0.1  # weight of a distance that separates nothing; what separates well has 1 to 90


@dataclass(eq=False, repr=False)
class FeatureDualAD(FeatureDetector, DualAD):
    """DualAD on a frozen backbone; `DualAD(features=...)` makes one.

    image_discriminator, feature_constraint (of which hypersphere and critic are the two constraints) and
    mutual_information are the switches of `DualAD`. Scores of each place: "pixel", the error of its restored feature;
    "neighbours", its distance to the nearest of the bank's places, in units of how far apart these lie there (the
    idea of the local outlier factor, Breunig et al., 2000: some surfaces vary more than others); "critic", C's logit.
    An image scores the mean of its highest hundredth of each; they are fused as in `DualAD`, weighed on damage of
    kinds that C did not train on. The heat map is the fused score of each place. view: "places"; or "whole", for
    images of one object: the image is one place, its features those of the backbone's head, pooled; "neighbours" is
    the cosine distance to the two nearest, beside it "mahalanobis", the distance in their covariance, and there is no
    heat map. "auto" takes whole images where these are small (longer side under 112). copies: damaged copies of each
    image for the critic. Other parameters as in `FeatureDetector` and `DualAD`.
    """

    features: str = DEFAULT
    image_discriminator: bool = True
    feature_constraint: bool = True
    mutual_information: bool = True
    hypersphere: bool = True
    critic: bool = True
    w_adversarial: float = 0.005
    w_matching: float = 0.1
    w_sphere: float = 0.005
    w_critic: float = 0.5
    w_information: float = 0.01
    view: str = "auto"
    levels: tuple = (1, 2, 3)
    copies: int = 3
    latent_dim: int = 64
    width: int = 256
    steps: int = 300
    batch_size: int = 32
    learning_rate: float = 2e-3
    fusion: str = "separation"
    side: int | None = None
    precision: str = "float32"
    false_alarm_rate: float = 0.05
    seed: int = 0
    device: str = "auto"

    JUDGED = 60  # held-out images that are damaged once by each kind of defects.JUDGES, to weigh the scores
    padded = (
        False  # its distances have the unit of their surroundings: on development parts it needs no zeros
    )
    reconstruct = encode = property(
        doc="Features are restored, not images: there is none."
    )  # raises AttributeError

    @property
    def backbone(self):
        return self.features

    def _parts(self):
        channels = self._channels()
        parts = {"G": PlaceAutoencoder(channels, self.width, self.latent_dim)}
        if self.image_discriminator:
            parts["D"] = PlaceDiscriminator(channels)
        if self._has_sphere:
            parts["sphere"] = Hypersphere(self.latent_dim)
        if self._has_critic:
            parts["C"] = PlaceCritic(self.width)
        if self.mutual_information:
            parts["T_g"] = PlaceStatistics(channels, self.latent_dim)
            parts["T_l"] = PlaceStatistics(channels, self.latent_dim)
        return parts

    @property
    def _whole(self):
        """Whether an image is one place: its head features, pooled."""
        return self.view == "whole" or (self.view == "auto" and max(self.image_shape_[1:]) < SMALL)

    def _check_parameters(self):
        choose(self.view, VIEWS, "view")
        choose(self.fusion, FUSIONS, "fusion")
        super()._check_parameters()

    @torch.no_grad()
    def _features(self, x):
        if not self._whole:
            return super()._features(x)
        pooled = self._network()(x, ("head",))[0].mean((2, 3), keepdim=True)
        return F.normalize(pooled, dim=1)

    @torch.no_grad()
    def _channels(self):
        return self._features(torch.zeros(1, 3, 64, 64, device=resolve_device(self.device))).shape[1]

    # ------------------------------------------------------------------ training

    def _players(self):
        return [self._player("G")]

    def _mixed(self):
        return nullcontext()  # `precision` is that of the backbone

    def _fit(self, images, **options):
        self.parts_ = self._build()
        with seeded(self.seed, resolve_device(self.device)):
            self._gather(images)
        numbers = torch.arange(len(images)).float().view(-1, 1, 1, 1)
        self._end(images, self._train_on(self._game(), numbers, images, **options))
        del self.clean_, self.broken_, self.marks_

    @torch.no_grad()
    def _gather(self, images):
        """Features of places of each image, and of damaged and of sound places of its damaged copies: what trains."""
        each = max(8, PLACES // len(images))
        kinds = defects.TRAINED
        clean, broken, marks, seen = [], [], [], 0
        for batch in self._batches(images):
            x = self._seen(batch)
            clean.append(self._drawn(self._with_around(self._features(x)), each))
            if not self._has_critic:
                continue
            own, own_marks = [], []
            for copy in range(self.copies):
                y, mask = defects.damage(x, kinds[(seen + copy) % len(kinds)])
                found = self._with_around(self._features(y))
                mark = F.adaptive_max_pool2d(mask[:, None].float(), found.shape[2:]).flatten(1) > 0
                count = max(4, each // (2 * self.copies))
                rank = torch.rand(mark.shape, device=mark.device) + mark  # damaged places first ...
                first = rank.topk(min(count, mark.shape[1]), 1).indices
                rest = (
                    (rank - 2 * mark.float()).topk(min(count // 2, mark.shape[1]), 1).indices
                )  # ... some sound ones
                index = torch.cat([first, rest], 1)
                own.append(
                    found.flatten(2)
                    .transpose(1, 2)
                    .gather(1, index[..., None].expand(-1, -1, found.shape[1]))
                    .half()
                )
                own_marks.append(mark.gather(1, index))
            broken.append(torch.cat(own, 1))
            marks.append(torch.cat(own_marks, 1))
            seen += 1
        self.clean_ = torch.cat(clean)  # (N, places, 2c), half
        self.broken_, self.marks_ = (torch.cat(broken), torch.cat(marks)) if broken else (None, None)
        G, own = self.parts_["G"], self.clean_[..., : self.clean_.shape[2] // 2].float().flatten(0, 1)
        G.mean.copy_(own.mean(0))
        G.deviation.copy_(own.std(0).clamp_min(1e-3))

    def _drawn(self, features, count):
        """Some places of each map, (n, count, c) in half precision."""
        flat = features.flatten(2).transpose(1, 2)
        rank = torch.rand(flat.shape[:2], device=flat.device)
        index = rank.topk(min(count, flat.shape[1]), 1).indices
        return flat.gather(1, index[..., None].expand(-1, -1, flat.shape[2])).half()

    def _with_around(self, features):
        """(n, c, h, w) -> (n, 2c, h, w): beside the feature of each place the mean of those around it."""
        side = min(AROUND, *features.shape[2:])
        side -= 1 - side % 2
        if side < 3:
            return torch.cat([features, features], 1)
        area = side * side
        total = F.avg_pool2d(F.pad(features, [side // 2] * 4, mode="replicate"), side, 1) * area
        return torch.cat([features, (total - features) / (area - 1)], 1)

    def _look(self, kept, numbers):
        """Standardised features and neighbourhoods (n, places, c) of some places of the images of these numbers."""
        rows = numbers.flatten().long()
        index = torch.randint(kept.shape[1], (len(rows), min(A_STEP, kept.shape[1])), device=kept.device)
        found = kept[rows[:, None], index].float()
        own, around = found.chunk(2, -1)
        G = self.parts_["G"]
        return G.standardise(own), G.standardise(around), (rows[:, None], index)

    def _reconstruct(self, step):
        parts = self.parts_
        own, around, _ = self._look(self.clean_, step.images["train"])
        disturbed = own + NOISE * torch.randn_like(own)
        disturbed = disturbed * (torch.rand(*own.shape[:-1], 1, device=own.device) >= HIDDEN)
        _, z = parts["G"].encode(disturbed, around)
        x_hat = parts["G"].decode(z)
        step.shared.update(target=own, x_hat=x_hat)
        terms = {"reconstruction": squared_error(x_hat, own)}
        if self.image_discriminator:
            fake, f_hat = parts["D"](x_hat)
            with torch.no_grad():
                _, f = parts["D"](own)
            terms["adversarial"] = self.w_adversarial * adversarial_loss(fake)
            terms["matching"] = self.w_matching * feature_matching(f_hat, f)
        if self._has_critic:
            broken, near, index = self._look(self.broken_, step.images["train"])
            marks = self.marks_[index]
            both = [torch.cat([a.flatten(0, 1), b.flatten(0, 1)]) for a, b in ((own, broken), (around, near))]
            logits = parts["C"](parts["G"].encode(*both)[0])
            truth = torch.cat(
                [torch.zeros(own.shape[:2].numel(), device=own.device), marks.flatten().float()]
            )
            terms["critic"] = self.w_critic * F.binary_cross_entropy_with_logits(logits, truth)
        if self._has_sphere:
            sphere = parts["sphere"]
            warm = min(1.0, max(0.0, step.progress - SPHERE_STARTS) / SPHERE_WARMS)
            terms["sphere"] = (
                warm * self.w_sphere * hypersphere_penalty(z.flatten(0, 1), sphere.centre, sphere.radius)
            )
        if self.mutual_information:
            other, whole = (
                own.roll(1, 1),
                own.mean(1, keepdim=True).expand_as(own),
            )  # no place judges its own code
            pairs = [
                (T(seen, z), T(seen.roll(1, 0), z))
                for T, seen in ((parts["T_l"], other), (parts["T_g"], whole))
            ]
            information = sum(jsd_mutual_information(*pair) for pair in pairs)
            terms["information"] = -self.w_information * information
        return terms

    def _enclose(self, step):
        sphere = self.parts_["sphere"]
        with torch.no_grad():
            own, around, _ = self._look(self.clean_, step.images["constraint"])
            z = self.parts_["G"].encode(own, around)[1].flatten(0, 1)
        if step.progress < SPHERE_STARTS:
            sphere.start_at(z)
        step.log(radius=sphere.radius.detach())
        return {"enclosure": enclosure(z, sphere.centre, sphere.radius, OUTSIDE)}

    # ------------------------------------------------------------------ scores

    @torch.no_grad()
    def _learn(self, images):
        flat = self.clean_[..., : self.clean_.shape[2] // 2].flatten(0, 1).float()
        if self._whole:
            self.directions_ = flat.new_empty(0)
            self._prepare(flat)
            return
        draw = torch.randperm(len(flat), generator=torch.Generator().manual_seed(self.seed))[:BANK]
        chosen = self.parts_["G"].standardise(flat[draw.to(flat.device)])
        with seeded(self.seed):
            _, _, directions = torch.pca_lowrank(chosen.cpu(), min(DIRECTIONS, *chosen.shape), center=False)
        self.directions_ = directions.to(chosen.device)
        self._prepare(chosen @ self.directions_)

    def _prepare(self, bank):
        self.bank_ = Bank(bank)
        if self._whole:
            gaussian = Gaussian.fit(bank)
            self.gaussian_ = gaussian.mean.float(), gaussian.whitening.float()
        else:
            self.spacing_ = self.bank_.spacing(SPACING).clamp_min(1e-6)

    def _places(self, features):
        if torch.compiler.is_exporting():
            return self._places_of(features)
        found = [
            self._places_of(one[None]) for one in features
        ]  # one by one: a product's rounding knows its batch
        return {name: torch.cat([places[name] for places in found]) for name in found[0]}

    def _places_of(self, features):
        G = self.parts_["G"]
        found, around = self._with_around(features).permute(0, 2, 3, 1).chunk(2, -1)
        own, around = G.standardise(found), G.standardise(around)
        h, z = G.encode(own, around)
        places = {"pixel": (G.decode(z) - own).square().mean(-1)}
        if self._whole:
            flat = found.flatten(0, 2)
            distances, _ = self.bank_.nearest(flat, min(2, len(self.bank_)))
            mean, whitening = self.gaussian_
            latent = {
                "neighbours": distances.square().mean(1) / 2,  # 1 - cos, of vectors of length one
                "mahalanobis": ((flat - mean) @ whitening).square().sum(1),
            }
        else:
            distances, nearest = self.bank_.nearest(own.flatten(0, 2) @ self.directions_)
            latent = {"neighbours": (distances[:, 0] / self.spacing_[nearest[:, 0]]).clamp_min(SAME)}
        places |= {name: value.view(own.shape[:-1]) for name, value in latent.items()}
        if self._has_critic:
            places["critic"] = F.softplus(self.parts_["C"](h))
        return places

    def _check_maps(self):
        if self._whole:
            raise DataError(
                "this DualAD judges whole images, so it has no heat maps: fit it on larger ones (`dualad fit "
                f"--image-size` of {SMALL} or more), or with view='places'."
            )

    def _calibrate(self, raw, images):
        self._scale_places(images)
        self.fusion_ = self._fuse(raw, self._broken(images))

    @torch.no_grad()
    def _scale_places(self, images):
        """Scales of the places of held-out images, so that the map adds what the image score adds."""
        found = [
            self._places(self._features(self._seen(batch))) for batch in self._batches(images[: self.JUDGED])
        ]
        self.place_scales_ = {
            name: LogStandard.fit(precise(torch.cat([p[name].flatten() for p in found])).cpu().numpy())
            for name in found[0]
        }

    def _broken(self, images):
        """Raw scores of held-out images, damaged once by each kind: kind -> name -> (n,); {}: not asked."""
        if self.fusion == "equal":
            return {}
        x = as_float(images[: self.JUDGED], "cpu")
        if self._whole:
            return {kind: self._raw(pseudo_anomalies(x, kind)) for kind in PSEUDO_ANOMALIES}
        order = sorted(
            range(len(x)), key=lambda i: x[i].numpy().tobytes()
        )  # draws follow the image, not its number
        back = np.argsort(order)
        with seeded(self.seed):
            found = {kind: self._raw(defects.damage(x[order], kind)[0]) for kind in defects.JUDGES}
        return {kind: {name: v[back] for name, v in raw.items()} for kind, raw in found.items()}

    def _fuse(self, raw, broken):
        """The fusion that held-out normal images and what was broken of them ask for: a weight a score."""
        fusion = Fusion.fit(raw)
        if not broken:
            return fusion
        broken = {name: np.concatenate([kind[name] for kind in broken.values()]) for name in raw}
        weights = {name: separation_weight(raw[name], broken[name]) for name in raw}
        # where nothing tells broken images, chance would; then the distances count, and C has to show that it sees
        return Fusion(fusion.scales, {n: w + PRIOR * (n != "critic") for n, w in weights.items()})

    def _combine(self, raw):
        latent = [name for name in raw if name != "pixel"]
        return Scores(pixel=raw["pixel"], latent=self.fusion_(raw, latent), dual=self.fusion_(raw))

    def _final(self, raw):
        return self._fused(raw, self.fusion_.scales)

    def _heat(self, places):
        return self._fused(places, self.place_scales_)

    def _fused(self, values, scales):
        """`Fusion` of tensors: the weighted mean of log values, each in deviations of its scale."""
        total, fused = sum(self.fusion_.weights.values()), 0
        for name, value in values.items():
            u = (value.clamp_min(1e-12).log() - scales[name].mean) / scales[name].deviation
            fused = fused + self.fusion_.weights[name] / total * u
        return fused

    def _own_state(self):
        scales = [self.place_scales_[name] for name in self.fusion_.scales]
        places = torch.tensor([[s.mean, s.deviation] for s in scales], dtype=torch.float64)
        return {
            "bank": self.bank_.vectors,
            "directions": self.directions_,
            "fusion": torch.cat([fusion_rows(self.fusion_), places], 1),
            **self._feature_state(),
        }

    def _restore_own(self, state):
        self._restored(state)
        self.directions_ = state["directions"]
        self._prepare(state["bank"])
        names = ("pixel", "neighbours", *["mahalanobis"] * self._whole, *["critic"] * self._has_critic)
        self.fusion_ = fusion_of(names, state["fusion"][:, :3])
        places = state["fusion"][:, 3:].tolist()
        self.place_scales_ = {name: LogStandard(*row) for name, row in zip(names, places, strict=True)}


DualAD.on_features = FeatureDualAD


SYSTEM = System(
    "feature_dualad",
    FeatureDualAD,
    small={"side": 64, "precision": "float32", "view": "places", "width": 32, "steps": 60, "copies": 2},
    losses={
        **DUALAD_LOSSES,
        "critic of damage": "networks.places.PlaceCritic",
        "mutual information": "losses.jsd_mutual_information",
    },
    scores={
        "pixel (error of each place)": "detectors.feature_dualad.FeatureDualAD",
        "latent, neighbours": "neighbours.Bank",
        "dual": "scoring.Fusion",
    },
    lesson=("features_that_know_images", "5. DualAD on features: the four parts again"),
    title="DualAD on features",
)
