"""Inspection sets: images of parts, the masks of their defects, and which physical part an image shows."""

from dataclasses import dataclass, fields

import numpy as np
import torch

from ..errors import DataError
from .task import check_seed

JUMP = 300  # frames: the views of one tile follow each other more closely
#: Places of the ball screw on which settings may be chosen; results are reported on the others. Fixed beforehand:
#: a third of the set, the two places that see the same pit on one side, two of the five places of the sample.
DEVELOPMENT_PLACES = ("277500_315", "395000_270", "397500_315", "517500_315", "635000_270")
DEFECTS = ("scratch", "spot", "missing corner")


@dataclass(frozen=True, eq=False, repr=False)
class Inspection:
    """Inspected parts.

    images: uint8 (N, C, H, W), C 1 or 3; masks: bool (N, H, W), the marked pixels; labels: int64 (N,), 0 free of
    defects, else an index into class_names; parts: int64 (N,), the physical part: images of one part belong on one side
    of any split. Where the set knows them: places int64 (N,), what the camera looked at, an index into place_names;
    times int64 (N,), seconds since 1970 of the clock on site. Else None.
    """

    images: torch.Tensor
    masks: torch.Tensor
    labels: torch.Tensor
    parts: torch.Tensor
    class_names: tuple
    places: torch.Tensor | None = None
    times: torch.Tensor | None = None
    place_names: tuple = ()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, chosen):
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Inspection(**{n: v[chosen] if isinstance(v, torch.Tensor) else v for n, v in own.items()})

    def __repr__(self):
        counts = [
            f"{int((self.labels == k).sum())} {name.lower()}" for k, name in enumerate(self.class_names)
        ]
        at = "" if self.places is None else f" at {len(self.places.unique())} places"
        return f"Inspection({len(self)} images of {len(self.parts.unique())} parts{at}: {', '.join(counts)})"


def parts_of_frames(frames, jump=JUMP):
    """Number the parts of a recording: a new one begins where the frame number jumps by more than `jump`. (N,) -> (N,).

    Too large a jump puts several parts into one, which does no harm to a split; too small a one tears a part apart.
    """
    frames = np.asarray(frames, dtype=np.int64)
    order = np.argsort(frames, kind="stable")
    numbers = np.empty(len(frames), np.int64)
    numbers[order] = np.cumsum(np.diff(frames[order], prepend=frames[order[:1]]) > jump)
    return numbers


def stand_in(train, test, normal_class=1, damaged=40, alike=0.7, seed=0):
    """Parts made of one class of two Parts of images, with `damaged` parts of each kind of DEFECTS drawn anew.

    alike: share of the class that is taken, the images nearest to its median image: a factory makes parts alike. Its
    training images and the rest of its test images are free of defects. Each image is a part of its own. Where there
    are few test images, fewer are damaged. Returns an Inspection.
    """
    good, more = (part.images[part.labels == normal_class] for part in (train, test))
    everything = torch.cat([good, more]).double()
    median = np.median(everything.numpy(), axis=0)
    apart = (everything - torch.from_numpy(median)).square().flatten(1).mean(1)
    near = apart <= apart.quantile(alike)
    good, more = good[near[: len(good)]], more[near[len(good) :]]
    count = min(damaged, len(more) // (1 + len(DEFECTS)))
    rest = more[count * len(DEFECTS) :]
    images, masks = [good, rest], [torch.zeros(len(good) + len(rest), *good.shape[2:], dtype=torch.bool)]
    labels = [0] * (len(good) + len(rest))
    for number, kind in enumerate(DEFECTS):
        own, marked = damage(more[number * count :][:count], kind, seed)
        images.append(own)
        masks.append(marked)
        labels += [number + 1] * count
    labels = torch.tensor(labels)
    return Inspection(
        torch.cat(images), torch.cat(masks), labels, torch.arange(len(labels)), ("Free", *DEFECTS)
    )


def damage(images, kind, seed=0):
    """Draw a defect on each image: (damaged uint8 (N, C, H, W), masks bool (N, H, W) of the pixels drawn on).

    images: uint8 (N, C, H, W), a part brighter than its background; kind: one of DEFECTS. A scratch is a thin line,
    a spot a small disc, both dark or bright, whichever shows; of the missing corner the background is left. Place,
    length and direction are drawn from the seed, on the part and not beside it.
    """
    if kind not in DEFECTS:
        raise DataError(f"kind must be one of {', '.join(DEFECTS)}; got {kind!r}.")
    _check_bytes(images)
    rng, (height, width) = np.random.default_rng([seed, DEFECTS.index(kind)]), images.shape[2:]
    y, x = np.mgrid[:height, :width]
    side = min(height, width)
    damaged, masks = images.clone(), torch.zeros(len(images), height, width, dtype=torch.bool)
    for i, image in enumerate(images.float().mean(1).numpy()):
        part = image > 32
        places = np.argwhere(part) if part.any() else np.argwhere(np.ones_like(part))
        centre = places[rng.integers(len(places))]
        if kind == "missing corner":
            corner = rng.choice([-1, 1], 2)
            depth = corner[0] * y + corner[1] * x
            marked = depth > np.quantile(depth[part] if part.any() else depth, rng.uniform(0.85, 0.95))
            value = 0.0
        elif kind == "spot":
            marked = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= (rng.uniform(0.05, 0.08) * side) ** 2
            value = 0.0 if image[marked].mean() > 110 else 255.0
        else:
            angle, reach = rng.uniform(0, np.pi), rng.uniform(0.15, 0.3) * side
            along = (y - centre[0]) * np.sin(angle) + (x - centre[1]) * np.cos(angle)
            across = (x - centre[1]) * np.sin(angle) - (y - centre[0]) * np.cos(angle)
            marked = (np.abs(along) <= reach) & (np.abs(across) <= 0.6)
            value = 0.0 if image[marked].mean() > 110 else 255.0
        marked &= part if part.any() else True
        masks[i] = torch.from_numpy(marked)
        damaged[i][:, masks[i]] = int(value)
    return damaged, masks


#: What a camera may do to the images, one thing at a time and each in two strengths, fixed before any was measured.
SHIFTS = {
    "brightness +10 %": {"brightness": 1.1},
    "brightness +30 %": {"brightness": 1.3},
    "blur 0.5 px": {"blur": 0.5},
    "blur 1 px": {"blur": 1.0},
    "noise 2 %": {"noise": 0.02},
    "noise 5 %": {"noise": 0.05},
}


def camera(images, brightness=1.0, blur=0.0, noise=0.0, seed=0):
    """The same parts under another camera. images: uint8 (N, C, H, W); so is the result.

    brightness: factor of every value, cut at white. blur: deviation of a Gaussian, in pixels. noise: deviation of
    Gaussian noise, as a share of white, drawn from the seed.
    """
    from scipy.ndimage import gaussian_filter

    _check_bytes(images)
    for name, value in {"brightness": brightness, "blur": blur, "noise": noise}.items():
        if not np.isfinite(value) or value < 0:
            raise DataError(f"{name} must be a number of 0 or more, got {value!r}.")
    x = images.numpy() / 255 * brightness
    if blur:
        x = gaussian_filter(x, (0, 0, blur, blur), mode="nearest")
    if noise:
        x = x + np.random.default_rng(seed).normal(0, noise, x.shape)
    return torch.from_numpy((255 * x.clip(0, 1)).round().astype(np.uint8))


def _check_bytes(images):
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise DataError(f"images must be uint8 (N, C, H, W), got {images.dtype} {tuple(images.shape)}.")


def split_by_part(parts, shares=(0.6, 0.2, 0.2), seed=0):
    """Deal the parts out at random: for each share the index (n_k,) of its images, all views of a part together.

    parts: (N,) as in Inspection. Shares are of images and met as nearly as whole parts allow; each side gets at least
    one part. Raises DataError for shares that do not sum to 1, or fewer parts than sides.
    """
    if len(shares) < 2 or not min(shares) > 0 or not abs(sum(shares) - 1) <= 1e-9:
        raise DataError(f"shares must be positive and sum to 1, got {shares}.")
    parts, seed = np.asarray(parts), check_seed(seed)
    if parts.ndim != 1:
        raise DataError(f"parts must be (N,), the part of each image; got {parts.shape}.")
    if len(np.unique(parts)) < len(shares):
        raise DataError(f"{len(np.unique(parts))} parts cannot be dealt out to {len(shares)} sides.")
    order = np.random.default_rng(seed).permutation(np.unique(parts))
    sizes = np.array([(parts == part).sum() for part in order])
    middle = (np.cumsum(sizes) - sizes / 2) / len(parts)  # where the middle of each part stands in the deal
    side, before = np.searchsorted(np.cumsum(shares)[:-1], middle), -1
    for i in range(
        len(side)
    ):  # no side is left out, and the parts that follow suffice for all sides that follow
        side[i] = before = min(max(side[i], len(shares) - (len(side) - i)), before + 1)
    return [torch.from_numpy(np.flatnonzero(np.isin(parts, order[side == k]))) for k in range(len(shares))]


def split_by_time(times, places, first=20):
    """Divide each place's images in time: (index of its `first` earliest, index of all later ones), int64 each.

    times, places: (N,) as in Inspection. What is trained on is then older than what is tested, at every place. Raises
    DataError where they are None or differ in length, and for a place of `first` images or fewer.
    """
    if times is None or places is None:
        raise DataError("a split by time needs times and places, and this set does not know them.")
    times, places = np.asarray(times), np.asarray(places)
    if times.ndim != 1 or times.shape != places.shape:
        raise DataError(f"times and places must be (N,) of one length, got {times.shape} and {places.shape}.")
    if times.dtype.kind == "f" and np.isnan(times).any():
        raise DataError(
            "times hold NaN: a photograph without a time is neither early nor late. Leave it out."
        )
    smallest = min(np.unique(places, return_counts=True)[1], default=0)
    if not isinstance(first, int | np.integer) or not 0 < first < smallest:
        raise DataError(
            f"first must be a whole number from 1 to {smallest - 1}, for a place has {smallest} images; got {first!r}."
        )
    order = np.lexsort((times, places))
    own = places[order]
    early = np.empty(len(own), bool)
    early[order] = np.arange(len(own)) - np.searchsorted(own, own) < first
    return torch.from_numpy(np.flatnonzero(early)), torch.from_numpy(np.flatnonzero(~early))


def split_development(data):
    """(index of the images at DEVELOPMENT_PLACES, index of those at all others), int64 each. data: an Inspection.

    Settings are chosen on the first and results reported on the second. Raises DataError where either is empty.
    """
    if data.places is None:
        raise DataError("a development split needs places, and this set does not know them.")
    chosen = np.isin(np.array(data.place_names)[data.places], DEVELOPMENT_PLACES)
    if chosen.all() or not chosen.any():
        known = ", ".join(DEVELOPMENT_PLACES)
        raise DataError(f"a development split needs places of these and others beside them: {known}.")
    return torch.from_numpy(np.flatnonzero(chosen)), torch.from_numpy(np.flatnonzero(~chosen))
