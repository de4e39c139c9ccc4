"""Inspection sets: images of parts, the masks of their defects, and which physical part an image shows."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError, DataNotFoundError
from . import places

TILES = ("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")
TILE_FOLDER = "magnetic_tiles"
IMAGES = (".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # beside a mask of the same name that ends in .png
COVERED = 64  # of 255: a pixel counts as marked where the mask covers a quarter of it
JUMP = 300  # frames: the views of one tile follow each other more closely
DEFECTS = ("scratch", "spot", "missing corner")


@dataclass(frozen=True, eq=False, repr=False)
class Inspection:
    """Inspected parts.

    images: uint8 (N, 1, H, W); masks: bool (N, H, W), the marked pixels; labels: int64 (N,), 0 free of defects, else an
    index into class_names; parts: int64 (N,), the physical part: images of one part belong on one side of any split.
    """

    images: torch.Tensor
    masks: torch.Tensor
    labels: torch.Tensor
    parts: torch.Tensor
    class_names: tuple

    def __len__(self):
        return len(self.images)

    def __getitem__(self, chosen):
        own = (self.images, self.masks, self.labels, self.parts)
        return Inspection(*(values[chosen] for values in own), self.class_names)

    def __repr__(self):
        counts = [
            f"{int((self.labels == k).sum())} {name.lower()}" for k, name in enumerate(self.class_names)
        ]
        return f"Inspection({len(self)} images of {len(self.parts.unique())} parts: {', '.join(counts)})"


def read_tiles(folder, image_size=64):
    """The magnetic tile defects (Huang, Qiu & Yuan, 2020) from the layout of their repository, as an Inspection.

    folder: holds MT_Free/Imgs/exp1_num_743.jpg and a mask of the same name, .png, beside it; so too MT_Blowhole,
    MT_Break, MT_Crack, MT_Fray and MT_Uneven. Images may also be .bmp or .tif, which lose nothing; a .png is always a
    mask. Both are resized to image_size (a number or (height, width)), aspect ratio not kept; a pixel is marked where
    the mask covers a quarter of it or more.

    The set does not name its parts, but its numbers are those of the frames of a recording, in which one tile is seen
    under up to six exposures (exp1 to exp6), one after the other. See `parts_of_frames`. Raises DataError for a
    missing class, mask, or number in a file name.
    """
    from .folders import read_images

    files, labels, frames = [], [], []
    for label, name in enumerate(TILES):
        own = Path(folder) / f"MT_{name}" / "Imgs"
        found = sorted(p for p in own.glob("*") if p.suffix.lower() in IMAGES) if own.is_dir() else []
        if not found:
            raise DataError(f"{own} holds no image ({', '.join(IMAGES)}): the tile set is incomplete.")
        for path in found:
            number = re.search(r"num_(\d+)", path.stem)
            if number is None or not path.with_suffix(".png").is_file():
                what = "its number (exp1_num_743)" if number is None else f"its mask {path.stem}.png"
                raise DataError(f"{path} lacks {what}.")
            frames.append(int(number[1]))
        files += found
        labels += [label] * len(found)
    images, _, _ = read_images(files, image_size, channels=1, strict=True)
    masks = _read_masks([path.with_suffix(".png") for path in files], tuple(images.shape[2:]))
    parts = torch.from_numpy(parts_of_frames(frames))
    return Inspection(images, masks, torch.tensor(labels), parts, TILES)


def _read_masks(paths, size):
    from PIL import Image

    masks = []
    for path in paths:
        with Image.open(path) as mask:
            small = mask.convert("L").resize(size[::-1], Image.Resampling.BOX)
        masks.append(np.asarray(small) >= COVERED)
    return torch.from_numpy(np.stack(masks))


def parts_of_frames(frames, jump=JUMP):
    """Number the parts of a recording: a new one begins where the frame number jumps by more than `jump`. (N,) -> (N,).

    Too large a jump puts several parts into one, which does no harm to a split; too small a one tears a part apart.
    """
    frames = np.asarray(frames, dtype=np.int64)
    order = np.argsort(frames, kind="stable")
    numbers = np.empty(len(frames), np.int64)
    numbers[order] = np.cumsum(np.diff(frames[order], prepend=frames[order[:1]]) > jump)
    return numbers


def load_inspection(dataset="magnetic_tiles", root=None, image_size=64):
    """An Inspection by name: "magnetic_tiles", or stand-in parts made of a shipped set's images (`stand_in`).

    The tiles are looked for in FOLDER/magnetic_tiles; FOLDER is `root`, $DUALAD_DATA or the project's data folder.
    They do not ship. image_size and root are theirs; stand-in parts keep the size of their set. Raises
    DataNotFoundError with what to do where the tiles are missing.
    """
    if dataset != TILE_FOLDER:
        return stand_in(dataset)
    looked = places.places(TILE_FOLDER, root=root)
    for folder, _ in looked:
        if (folder / "MT_Free").is_dir():
            return read_tiles(folder, image_size)
    raise DataNotFoundError(
        "The magnetic tile defects were not found, and nothing downloads them.\nLooked in:\n"
        + "".join(f"  {folder} ({what})\n" for folder, what in looked)
        + "Ways to get them:\n  - git clone https://github.com/abin24/Magnetic-tile-defect-datasets. "
        "FOLDER/magnetic_tiles, and set DUALAD_DATA=FOLDER\n"
        "  - or use the stand-in that needs no download: fashion_mnist_sample"
    )


def stand_in(dataset="fashion_mnist_sample", normal_class=1, damaged=40, alike=0.7, seed=0):
    """Parts made of one class of a set of images, with `damaged` parts of each kind of DEFECTS drawn anew.

    alike: share of the class that is taken, the images nearest to its median image: a factory makes parts alike. Its
    training images and the rest of its test images are free of defects. Each image is a part of its own. Where there
    are few test images, fewer are damaged. Returns an Inspection.
    """
    from .sources import load_part

    train, test = load_part(dataset, "train"), load_part(dataset, "test")
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
    """Draw a defect on each image: (damaged uint8 (N, C, H, W), masks bool (N, H, W) of the pixels that changed).

    images: uint8 (N, C, H, W), a part brighter than its background; kind: one of DEFECTS. A scratch is a thin line,
    a spot a small disc, both dark or bright, whichever shows; of the missing corner the background is left. Place,
    length and direction are drawn from the seed, on the part and not beside it.
    """
    if kind not in DEFECTS:
        raise DataError(f"kind must be one of {', '.join(DEFECTS)}; got {kind!r}.")
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

    x = images.numpy() / 255 * brightness
    if blur:
        x = gaussian_filter(x, (0, 0, blur, blur), mode="nearest")
    if noise:
        x = x + np.random.default_rng(seed).normal(0, noise, x.shape)
    return torch.from_numpy((255 * x.clip(0, 1)).round().astype(np.uint8))


def split_by_part(parts, shares=(0.6, 0.2, 0.2), seed=0):
    """Deal the parts out at random: for each share the index (n_k,) of its images, all views of a part together.

    parts: (N,) as in Inspection. Shares are of images and met as nearly as whole parts allow. Raises
    DataError for shares that do not sum to 1, or fewer parts than sides.
    """
    if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise DataError(f"shares must be positive and sum to 1, got {shares}.")
    parts = np.asarray(parts)
    if len(np.unique(parts)) < len(shares):
        raise DataError(f"{len(np.unique(parts))} parts cannot be dealt out to {len(shares)} sides.")
    order = np.random.default_rng(seed).permutation(np.unique(parts))
    sizes = np.array([(parts == part).sum() for part in order])
    middle = (np.cumsum(sizes) - sizes / 2) / len(parts)  # where the middle of each part stands in the deal
    side = np.searchsorted(np.cumsum(shares)[:-1], middle)
    return [torch.from_numpy(np.flatnonzero(np.isin(parts, order[side == k]))) for k in range(len(shares))]
