"""Larger images in patches: cut them, score the patches, put maps back together."""

import math

import numpy as np
import torch
from torch.nn.functional import fold, pad, unfold

from ..errors import DataError


def cut(x, side, stride=None):
    """Overlapping square patches of images: (N, C, H, W) -> (N * P, C, side, side), image by image, row by row.

    stride: from patch to patch (default half a side). Images that it does not divide are continued by their border
    at the right and at the bottom, so that every pixel lies in a patch. The type is kept.
    """
    stride = _stride(side, stride)
    if x.ndim != 4:
        raise DataError(f"patches are cut from images (N, C, H, W), got shape {tuple(x.shape)}.")
    (rows, below), (columns, right) = (_count(size, side, stride) for size in x.shape[2:])
    framed = pad(x.float(), (0, right, 0, below), mode="replicate")
    patches = unfold(framed, side, stride=stride).transpose(1, 2)
    return patches.reshape(len(x) * rows * columns, x.shape[1], side, side).to(x.dtype)


def per_image(image_size, side, stride=None):
    """P, how many patches `cut` makes of one image of (height, width)."""
    stride = _stride(side, stride)
    return math.prod(_count(size, side, stride)[0] for size in image_size)


def join(maps, image_size, stride=None):
    """Maps of patches put back: (N * P, side, side) -> (N, H, W); where patches overlap, their mean.

    maps: array or tensor, in the order of `cut`; image_size: (height, width) of the images. Returns float64 array.
    """
    maps = torch.as_tensor(np.asarray(maps, dtype=np.float64))
    side, count = maps.shape[-1], per_image(image_size, maps.shape[-1], stride)
    stride = _stride(side, stride)
    if len(maps) % count:
        raise DataError(f"{len(maps)} maps are not {count} for each image of {tuple(image_size)}.")
    columns = maps.reshape(-1, count, side * side).transpose(1, 2)
    framed = [size + _count(size, side, stride)[1] for size in image_size]
    total = fold(columns, framed, side, stride=stride)
    times = fold(torch.ones_like(columns[:1]), framed, side, stride=stride)
    return (total / times)[:, 0, : image_size[0], : image_size[1]].numpy()


def image_scores(patch_scores, count, quantile=1.0):
    """One score an image from its patches' scores: (N * count,) -> (N,). quantile 1: the highest.

    A defect is in few patches, so a mean would drown it. Fix the quantile before any anomaly is seen, and calibrate on
    image scores, not on patch scores: the more patches, the higher the highest of them.
    """
    return np.quantile(np.asarray(patch_scores, dtype=np.float64).reshape(-1, count), quantile, axis=1)


def _stride(side, stride):
    stride = max(1, side // 2) if stride is None else stride
    if not 1 <= stride <= side:
        raise DataError(
            f"a stride of {stride} for patches of side {side} leaves pixels out: take one between 1 and the side."
        )
    return stride


def _count(size, side, stride):
    """(patches along one axis, pixels by which the image must be continued)."""
    count = 1 + max(0, math.ceil((size - side) / stride))
    return count, (count - 1) * stride + side - size
