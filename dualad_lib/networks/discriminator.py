"""The image discriminator D: real images against reconstructions. Its last hidden layer is the feature f."""

import math
from itertools import pairwise

from torch import nn


class ConvDiscriminator(nn.Module):
    """Three strided convolutions (w, 2w, 4w); f is the flattened last map, the logit one linear layer on it.

    image_shape: (C, H, W). forward: images (N, C, H, W) -> logit (N,), f (N, m). No normalisation layer: the
    statistics of a batch that is all real, or all reconstructed, would give the answer away.
    """

    def __init__(self, image_shape, width=16):
        super().__init__()
        channels, height, wide = image_shape
        layers = []
        for after in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(channels, after, 4, 2, 1), nn.LeakyReLU(0.2)]
            channels, height, wide = after, height // 2, wide // 2
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.logit = nn.Linear(channels * height * wide, 1)

    def forward(self, x):
        f = self.features(x)
        return self.logit(f).squeeze(1), f


class MLPDiscriminator(nn.Module):
    """The published discriminator: in-1024-512-256-128-1, LeakyReLU; f is the layer of 128 (Wan & Feng, 2024, code)."""

    def __init__(self, image_shape):
        super().__init__()
        sizes, layers = (math.prod(image_shape), 1024, 512, 256, 128), [nn.Flatten()]
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.logit = nn.Linear(sizes[-1], 1)

    def forward(self, x):
        f = self.features(x)
        return self.logit(f).squeeze(1), f
