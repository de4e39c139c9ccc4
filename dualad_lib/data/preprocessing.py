"""Small steps that turn images into what a network reads; chain them with `Compose`.

Every step is a function of one batch (N, C, H, W) to another and treats each image by itself, so no step can
carry information from one image, or from the test set, to another.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from ..errors import DataError


@dataclass(frozen=True)
class Scale:
    """uint8 in 0..255 to float32 in [0, 1]; floats pass as they are."""

    def __call__(self, x):
        return x.float() / 255 if x.dtype == torch.uint8 else x


@dataclass(frozen=True)
class Pad:
    """Put each image in the middle of a square of `size` pixels filled with `value`.

    An odd remainder goes to the right and the bottom. Raises DataError for images larger than `size`.
    """

    size: int = 32
    value: float = 0.0

    def __call__(self, x):
        height, width = x.shape[-2:]
        if max(height, width) > self.size:
            raise DataError(f"Images of {height} x {width} pixels do not fit into {self.size} x {self.size}.")
        rows, columns = self.size - height, self.size - width
        edges = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return pad(x, edges, value=self.value)


@dataclass(frozen=True)
class GCN:
    """Global contrast normalisation: subtract the image's mean, divide by its contrast.

    The contrast is taken over all channels and pixels of one image after subtraction: the mean absolute value for
    norm "l1", the root of the mean square (the standard deviation) for "l2" (Goodfellow, Bengio and Courville,
    Deep Learning, 2016, eq. 12.3, without its regulariser). It counts as at least `eps`, so that an image of one
    colour becomes zeros and the faintest noise is not blown up; `eps` is for images in [0, 1], where one grey level
    is 0.004. Input float, output float around 0.
    """

    norm: str = "l1"
    eps: float = 1e-4

    def __post_init__(self):
        if self.norm not in ("l1", "l2"):
            raise DataError(f"Unknown norm {self.norm!r} for GCN; choose l1 or l2.")

    def __call__(self, x):
        x = x - x.mean(dim=(1, 2, 3), keepdim=True)
        if self.norm == "l1":
            contrast = x.abs().mean(dim=(1, 2, 3), keepdim=True)
        else:
            contrast = x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return x / contrast.clamp_min(self.eps)


class Compose:
    """Apply steps in order: `Compose(Scale(), Pad(32), GCN("l1"))(x)`."""

    def __init__(self, *steps):
        self.steps = steps

    def __call__(self, x):
        for step in self.steps:
            x = step(x)
        return x

    def __repr__(self):
        return f"Compose({', '.join(map(repr, self.steps))})"
