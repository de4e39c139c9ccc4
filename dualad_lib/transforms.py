"""Label-free image transformations on the device: the transformation task, augmentation, pseudo-anomalies.

Images are float tensors (N, C, H, W). Random ones draw from torch's global generator, which `train` seeds at each step.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

#: What `spoilt` does to images: kinds to be named by who is trained on them.
SPOILS = ("squeeze", "flatten", "enlarge", "shrink", "lean", "lean back", "shift", "lift", "swap")
#: Kinds of pseudo-anomaly that weigh the scores. None is trained on, so they tell what a score sees by itself.
PSEUDO_ANOMALIES = ("shear", "squeeze", "swap", "mirror", "dilate", "erode", "mix")


def dihedral_elements(image_shape, mirrored=True):
    """The T_t that keep the frame of an image, as values of t, the identity first.

    Of a square 8, or the 4 rotations if not mirrored; of an oblong 4, or 2 (upright, upside down).
    """
    square = image_shape[1] == image_shape[2]
    if mirrored:
        return tuple(range(8 if square else 4))
    return (0, 3, 5, 6) if square else (0, 3)


def dihedral(x, t):
    """T_t of every image: t = 0 identity, bit 1 flips left-right, bit 2 flips up-down, bit 4 transposes (squares only).

    x: (N, C, H, W); t: one number for all images, or a long tensor (N,), which is not read back from its device.
    """
    if isinstance(t, int):
        flips = [dim for bit, dim in ((1, 3), (2, 2)) if t & bit]
        x = x.flip(flips) if flips else x
        return x.transpose(2, 3) if t & 4 else x
    bits = t[:, None, None, None]
    for bit in (1, 2, 4) if x.shape[2] == x.shape[3] else (1, 2):
        x = torch.where(bits & bit == 0, x, dihedral(x, bit))
    return x


def affine(x, angle=0.0, scale_x=1.0, scale_y=1.0, shear=0.0, shift_x=0.0, shift_y=0.0):
    """Rotate (radians), scale, shear and shift images; each a number or a tensor (N,).

    Angle and shear (pixels to the side a pixel down) are those of the picture, whatever its shape; shifts are in shares
    of the width and of the height.
    """
    n = len(x)
    angle, scale_x, scale_y, shear, shift_x, shift_y = (
        torch.as_tensor(v, dtype=x.dtype, device=x.device).expand(n)
        for v in (angle, scale_x, scale_y, shear, shift_x, shift_y)
    )
    cos, sin = angle.cos(), angle.sin()
    tall = x.shape[2] / x.shape[3]  # the grid measures each axis in its own half side
    matrix = torch.stack(
        [
            torch.stack([cos / scale_x, (shear * cos - sin) / scale_y * tall, 2 * shift_x], 1),
            torch.stack([sin / scale_x / tall, (shear * sin + cos) / scale_y, 2 * shift_y], 1),
        ],
        1,
    )
    grid = F.affine_grid(matrix, x.shape, align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def jitter(x, angle=0.1, scale=0.07, shear=0.08, shift=0.03):
    """A small random affine change of each image, the same object seen a little differently."""

    def uniform(most):
        return (2 * torch.rand(len(x), device=x.device) - 1) * most

    return affine(
        x,
        uniform(angle),
        1 + uniform(scale),
        1 + uniform(scale),
        uniform(shear),
        uniform(shift),
        uniform(shift),
    )


def crop_and_flip(x, margin=0.1):
    """Random crop of the image framed by its own border, mirrored half the time. Source: LR-GDAN's augmentation.

    margin: the farthest shift, as a share of the side.
    """
    shift_x, shift_y = ((2 * torch.rand(len(x), device=x.device) - 1) * margin for _ in range(2))
    side = torch.randint(2, (len(x),), device=x.device).mul(2).sub(1)
    return affine(x, scale_x=side, shift_x=shift_x, shift_y=shift_y)


def strong_view(x, zoom=0.54, colour=0.4, grey=0.2):
    """A random view of each image that leaves the object but not its size, place, side or colour.

    x: (N, C, H, W) in [0, 1], and so is the result. zoom: smallest share of the area that a crop keeps (between 3:4 and
    4:3 of the image's own aspect ratio), mirrored half the time. colour: most relative change of brightness, contrast
    and, of colour images, saturation. grey: share of images that lose colour.
    """

    def uniform(low, high):
        return torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(low, high)

    area, ratio = uniform(zoom, 1).flatten(), uniform(math.log(3 / 4), math.log(4 / 3)).exp().flatten()
    wide, high = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    matrix = torch.zeros(len(x), 2, 3, device=x.device)
    matrix[:, 0, 0] = wide * torch.randint(2, (len(x),), device=x.device).mul(2).sub(1)
    matrix[:, 1, 1] = high
    matrix[:, 0, 2] = uniform(-1, 1).flatten() * (1 - wide)
    matrix[:, 1, 2] = uniform(-1, 1).flatten() * (1 - high)
    grid = F.affine_grid(matrix, x.shape, align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    x = x * uniform(1 - colour, 1 + colour)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform(1 - colour, 1 + colour)
    light = x.mean(1, keepdim=True)
    saturation = uniform(1 - colour, 1 + colour) * (uniform(0, 1) >= grey)
    return (light + (x - light) * saturation).clamp(0, 1)


def pseudo_anomalies(x, kind):
    """Images that are built from normal ones and are not normal. x: (N, C, H, W); kind: one of PSEUDO_ANOMALIES."""
    half = x.shape[3] // 2
    if kind == "shear":
        return affine(x, shear=0.6)
    if kind == "squeeze":
        return affine(x, scale_x=0.55)
    if kind == "swap":  # left and right half change places
        return x.roll(half, 3)
    if kind == "mirror":  # the left half and its mirror image
        left = x[..., :half]
        return torch.cat([left, left.flip(3), x[..., 2 * half :]], 3)
    if kind == "dilate":
        return F.max_pool2d(x, 3, 1, 1)
    if kind == "erode":
        return -F.max_pool2d(-x, 3, 1, 1)
    if kind == "mix":
        return (x + x.roll(1, 0)) / 2
    raise ValueError(f"unknown pseudo-anomaly {kind!r}: choose from {', '.join(PSEUDO_ANOMALIES)}.")


def spoilt(x, kind):
    """Each image as it is (kind 0) or spoilt in one of SPOILS (kind 1, 2, ...), by a random amount.

    x: (N, C, H, W); kind: long tensor (N,). Squeezed or flattened to 0.6 to 0.75 of its width or height, enlarged or
    shrunk, sheared to either side, shifted or lifted round the frame by a third of it, or its lower half swapped with
    that of the image before it.
    """

    def uniform(low, high):
        return torch.empty(len(x), device=x.device).uniform_(low, high)

    def chosen(*names):
        return torch.stack([kind == 1 + SPOILS.index(name) for name in names]).any(0)

    def put(new, name):
        return torch.where(chosen(name)[:, None, None, None], new, out)

    def rolled(dim):
        step = x.shape[dim] // 3
        back = torch.randint(2, (len(x), 1, 1, 1), device=x.device).bool()
        return torch.where(back, x.roll(-step, dim), x.roll(step, dim))

    one, small, large, lean = uniform(1, 1), uniform(0.6, 0.75), uniform(1.25, 1.5), uniform(0.25, 0.6)
    large = torch.where(chosen("enlarge"), large, one)
    scale_x = torch.where(chosen("squeeze", "shrink"), small, large)
    scale_y = torch.where(chosen("flatten", "shrink"), small, large)
    shear = lean * (chosen("lean").float() - chosen("lean back").float())
    out = affine(x, scale_x=scale_x, scale_y=scale_y, shear=shear)
    half = x.shape[2] // 2
    out = put(rolled(3), "shift")
    out = put(rolled(2), "lift")
    return put(torch.cat([x[:, :, :half], x.roll(1, 0)[:, :, half:]], 2), "swap")


def made_of(kept, kind):
    """Which pseudo-anomalies of a kind are made of kept images alone. kept, result: bool arrays (N,)."""
    return kept & np.roll(kept, 1) if kind == "mix" else kept
