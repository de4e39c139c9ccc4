"""U-Nets: autoencoders whose decoder also sees the encoder's maps, with simple or nested connections."""

import torch
from torch import nn
from torch.nn.functional import interpolate

from .autoencoder import conv_block


class UNet(nn.Module):
    """Image -> maps at `depth` + 1 sizes -> image of the same size in [0, 1].

    nested: False, each decoder map sees the encoder's map of its size (Ronneberger et al., 2015); True, U-Net++, in
    which maps of one size are a chain, each of which sees all before it (Zhou et al., 2018).
    image_shape: (C, H, W), any sides of at least 2^depth. forward: (N, C, H, W) -> (N, C, H, W).

    There is no narrow code: the first connection alone could hand the image through.
    """

    def __init__(self, image_shape, width=16, depth=3, nested=False):
        super().__init__()
        sizes = [width * 2**level for level in range(depth + 1)]
        before = [image_shape[0], *sizes[:-1]]
        self.down = nn.ModuleList(
            conv_block(a, b, stride=1 if level == 0 else 2)
            for level, (a, b) in enumerate(zip(before, sizes, strict=True))
        )
        self.depth, self.nested = depth, nested
        self.up = nn.ModuleDict()
        for step in range(1, depth + 1):
            for level in self._levels(step):
                seen = step if nested else 1  # maps of this size that stand to the left
                self.up[f"{level}-{step}"] = conv_block(seen * sizes[level] + sizes[level + 1], sizes[level])
        self.image = nn.Sequential(nn.Conv2d(width, image_shape[0], 3, 1, 1), nn.Sigmoid())

    def _levels(self, step):
        """Sizes (0: full) at which step `step` makes a map: all that can be, or the one on the way up."""
        return range(self.depth - step + 1) if self.nested else [self.depth - step]

    def forward(self, x):
        rows = [[] for _ in self.down]
        for level, block in enumerate(self.down):
            x = block(x)
            rows[level].append(x)
        for step in range(1, self.depth + 1):
            for level in self._levels(step):
                below = rows[level + 1][-1 if not self.nested else step - 1]
                below = interpolate(below, size=rows[level][0].shape[2:], mode="nearest")
                rows[level].append(self.up[f"{level}-{step}"](torch.cat([*rows[level], below], 1)))
        return self.image(rows[0][-1])
