"""What the detectors on frozen ImageNet features share: from images to the features of each place, and maps back."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import DataError
from ..networks.backbone import load_backbone
from ..networks.precision import PRECISIONS, dtype_of
from ..scoring import precise
from ..training import as_float, resolve_device
from .base import Detector, as_fitted, check_blur

SMALL, ENLARGED = 112, 224  # images whose longer side is under the first are enlarged to the second
PIXELS = 16 * 256 * 256  # of a batch that goes through the backbone at once
SHARE = 0.01  # of the places, the highest, whose mean is the score of the image


class FeatureDetector(Detector):
    """Base of the detectors that see images through a frozen network. Images have 1 or 3 channels.

    Among its parameters are backbone and precision (see `load_backbone`), levels (stages whose maps are used), side
    (the longer side to which images are resized before the network, aspect ratio kept; None: as they are, but
    enlarged to 224 where the longer side is under 112), seed, device and false_alarm_rate. A subclass writes `_fit`,
    `_state`, `_restore`, and

        _places(features) -> dict    scores of each place by name, (n, h, w), of features (n, c, h, w)
        _heat(places) -> (n, h, w)   what the heat map shows of them (default: the only one)

    The score of an image is the mean of the highest hundredth of its places.
    """

    default_image_size = 256
    #: Whether places beyond the border count as zeros where neighbours are averaged, as in PatchCore: it keeps the
    #: border of a part, where views differ most, from being the most anomalous place of every image.
    padded = True
    exports = True  # whether `dualad export` can write it

    def _freeze(self, image_shape):
        super()._freeze(image_shape)
        #: The precision of this fit, also where a file takes it: scores of another are not those behind the threshold.
        self.precision_ = str(dtype_of(self.precision, resolve_device(self.device))).removeprefix("torch.")

    def _network(self):
        precision = getattr(self, "precision_", self.precision)
        return load_backbone(self.backbone, resolve_device(self.device), precision)

    def _check_parameters(self):
        if self.image_shape_[0] not in (1, 3):
            raise DataError(f"the backbone sees 1 or 3 channels, got {self.image_shape_[0]}.")
        if not self.levels:
            raise DataError("levels must name at least one stage of the backbone.")
        if self.side is not None and not 32 <= self.side <= 4096:
            raise DataError(f"side must lie between 32 and 4096 pixels, got {self.side!r}.")

    @property
    def _size(self):
        """(H, W) at which the network sees the images."""
        height, width = self.image_shape_[1:]
        longer = max(height, width)
        side = self.side or (ENLARGED if longer < SMALL else longer)
        return tuple(max(32, round(s * side / longer)) for s in (height, width))

    def _seen(self, images):
        """Images as the network sees them, float on its device: (n, 1 or 3, H, W)."""
        x = as_float(images, resolve_device(self.device))
        if tuple(x.shape[2:]) == self._size:
            return x
        return F.interpolate(x, self._size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

    def _batches(self, images):
        """Batches that fit through the network."""
        return images.split(max(1, PIXELS // math.prod(self._size)))

    @torch.no_grad()
    def _features(self, x):
        """Features of each place (n, c, h, w) of images `_seen`: the levels, each averaged over 3 x 3 places, side by
        side.

        All are brought to the grid of the finest level of stride 8 or more. Source: PatchCore (Roth et al., 2022),
        eq. 2.
        """
        maps = self._network()(x, self.levels)
        grid = max(
            (m.shape[2:] for m in maps if 8 * m.shape[2] <= x.shape[2] + 8), default=maps[-1].shape[2:]
        )
        return torch.cat([_on_grid(smooth(m, self.padded), grid) for m in maps], 1)

    @torch.no_grad()
    def _score(self, images):
        found = [self._places(self._features(self._seen(batch))) for batch in self._batches(images)]
        return {name: self._image_scores([part[name] for part in found]) for name in found[0]}

    def _image_scores(self, maps):
        return np.concatenate([precise(top_mean(m)).cpu().numpy() for m in maps])

    def _final(self, raw):
        """The final score (n,) of raw ones, as tensors: what `_combine` makes of arrays."""
        (only,) = raw.values()
        return only

    def _heat(self, places):
        (only,) = places.values()
        return only

    @as_fitted
    def anomaly_map(self, x, blur=0.0):
        """How anomalous each place is, float64 (N, H, W); what the score of the image is made of.

        blur: deviation in pixels of a Gaussian over the map. Raises DataError for a detector that judges whole images.
        """
        return self.scores_and_maps(x, blur)[1]

    @as_fitted
    def scores_and_maps(self, x, blur=0.0):
        """(Scores, maps float64 (N, H, W)) in one pass: `anomaly_scores` and `anomaly_map` of the same images."""
        self._check_maps()
        images = self._checked(x)
        check_blur(blur, images)
        raw, maps = self._maps_of(images)
        return self._combine(raw), self._enlarged(maps, blur)

    def _check_maps(self):
        """Raise DataError where there are no maps."""

    @torch.no_grad()
    def _maps_of(self, images):
        parts, maps = [], []
        for batch in self._batches(images):
            places = self._places(self._features(self._seen(batch)))
            parts.append({name: self._image_scores([m]) for name, m in places.items()})
            maps.append(precise(self._heat(places)).cpu())
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}, torch.cat(maps)

    def _enlarged(self, maps, blur):
        from scipy.ndimage import gaussian_filter

        size = self.image_shape_[1:]
        maps = F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].numpy()
        return gaussian_filter(maps, (0, blur, blur)) if blur else maps

    def _all_places(self, images, most, count_seed):
        """Features (m, c) of at most `most` places, drawn evenly from all images, and the images' numbers (m,)."""
        generator = torch.Generator().manual_seed(count_seed)
        found, owner, first = [], [], 0
        for batch in self._batches(images):
            features = self._features(self._seen(batch)).flatten(2).transpose(1, 2)  # (n, places, c)
            each = min(features.shape[1], max(1, most // len(images)))
            for number, own in enumerate(features):
                found.append(own[torch.randperm(len(own), generator=generator)[:each].to(own.device)])
                owner.append(torch.full((each,), first + number))
            first += len(batch)
        return torch.cat(found), torch.cat(owner)

    def _restored(self, state):
        """State on the device; DataError where it was learned with other weights of the backbone."""
        device = resolve_device(self.device)
        self.precision_ = PRECISIONS[int(state["precision"])]
        own, then = self._network().fingerprint, bytes(state["backbone"].tolist()).decode()
        if own != then:
            raise DataError(
                f"it was fitted with other weights of {self.backbone} ({then}) than those here ({own}): fit it again."
            )
        if tuple(state["shape"].tolist()) != self.image_shape_:
            raise DataError(
                f"it was fitted on images of {state['shape'].tolist()}, not of {self.image_shape_}."
            )
        return {name: value.to(device) for name, value in state.items()}

    def _feature_state(self):
        return {
            "backbone": torch.tensor(list(self._network().fingerprint.encode()), dtype=torch.uint8),
            "precision": torch.tensor(PRECISIONS.index(self.precision_)),
            "shape": torch.tensor(self.image_shape_),
            "calibration_scores": torch.from_numpy(self.calibration_scores_),
        }


def smooth(features, padded=True):
    """Mean over the 3 x 3 places around each place; beyond the border zeros, or, not padded, nothing."""
    return F.avg_pool2d(features, 3, 1, 1, count_include_pad=padded)


def _on_grid(features, grid):
    if tuple(features.shape[2:]) == tuple(grid):
        return features
    if features.shape[2] > grid[0]:
        return F.adaptive_avg_pool2d(features, grid)
    return F.interpolate(features, size=tuple(grid), mode="bilinear", align_corners=False)


def top_mean(maps, share=SHARE):
    """Mean of the highest share of the places of each map, at least one. maps: (n, h, w) -> (n,)."""
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), 1).values.mean(1)
