"""Statistics networks T of the mutual-information estimator: one number for "do these two belong together?"."""

import torch
from torch import nn
from torch.nn.functional import normalize


class GlobalStatistics(nn.Module):
    """T_g(x, z): does this code belong to this image? The image is seen through its pooled feature map.

    seen: (N, c, h, w), z: (N, d) -> logits (N,). A network that saw (z, z) against (z, shuffled z) would only learn to
    compare a vector with itself; pooled features and code are different views of one image.
    """

    def __init__(self, channels, latent_dim, hidden=256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(channels + latent_dim, hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(hidden, 1),
        )

    def forward(self, seen, z):
        return self.net(torch.cat([seen.mean((2, 3)), z], 1)).squeeze(1)


class LocalStatistics(nn.Module):
    """T_l(x, z): does this code belong to the image that this position of the feature map saw?

    seen: a feature map (N, c, h, w), z: (N, d) -> logits (N, h, w). 1x1 convolutions; the same code at every position.
    """

    def __init__(self, channels, latent_dim, hidden=128):
        super().__init__()
        self.see = nn.Conv2d(channels, hidden, 1)
        self.know = nn.Linear(latent_dim, hidden)
        self.net = nn.Sequential(
            nn.LeakyReLU(0.1), nn.Conv2d(hidden, hidden, 1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, 1, 1)
        )

    def forward(self, seen, z):
        return self.net(self.see(seen) + self.know(z)[:, :, None, None]).squeeze(1)


class LocalTurns(nn.Module):
    """T_l(h, t): which of K transformations made the image that each place of a feature map saw?

    map_shape: (c, h, w) -> of maps (N, c, h, w) logits (N, h, w, K). 1x1 convolutions, and a bias for each place: what
    is usual there under each transformation.
    """

    def __init__(self, map_shape, transformations, hidden=128):
        super().__init__()
        channels, *places = map_shape
        self.net = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, transformations, 1)
        )
        self.usual = nn.Parameter(torch.zeros(*places, transformations))

    def forward(self, seen):
        return self.net(seen).permute(0, 2, 3, 1) + self.usual


class ViewStatistics(nn.Module):
    """T_v(h, h'): do these two feature maps show the same object? Cosine of two projections over a temperature.

    h: (N, F) -> logits (N, N) of every pair, minus infinity on the diagonal (no view is its own candidate).
    The statistics network of a contrastive bound (CSI: Tack et al., 2020; SimCLR: Chen et al., 2020).
    """

    def __init__(self, features, hidden=256, out=128, temperature=0.5):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, out))
        self.temperature = temperature

    def forward(self, h):
        v = normalize(self.project(h.flatten(1)), dim=1)
        itself = torch.eye(len(v), dtype=torch.bool, device=v.device)
        return (v @ v.T / self.temperature).masked_fill(itself, -torch.inf)
