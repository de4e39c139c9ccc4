"""Networks of AGAD, LR-GDAN and ADe-GAN on features: they redraw the feature of an image, encode or judge it."""

import torch
from torch import nn


class _Scaled(nn.Module):
    """Knows mean and deviation of each of its features' channels, once `learn` has seen them."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    @torch.no_grad()
    def learn(self, features):
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(1e-4))

    def standardise(self, features):
        return (features - self.mean) / self.deviation


class FeatureRedrawer(_Scaled):
    """G: standardised features (N, c) -> features restored through a narrow code, (N, c). `learn` sets the scales."""

    def __init__(self, channels, width=512, latent_dim=64):
        super().__init__(channels)
        self.net = nn.Sequential(
            nn.Linear(channels, width), nn.GELU(), nn.Linear(width, latent_dim),
            nn.Linear(latent_dim, width), nn.GELU(), nn.Linear(width, channels),
        )  # fmt: skip

    def encode(self, x):
        """The hidden layer h (N, width) and the code (N, latent_dim) of standardised features."""
        h = self.net[:2](x)
        return h, self.net[2](h)

    def decode(self, z):
        return self.net[3:](z)

    def forward(self, x):
        return self.net(x)


class FeatureEncoder(_Scaled):
    """Features (N, c), which it standardises -> codes (N, latent_dim)."""

    def __init__(self, channels, width=512, latent_dim=64):
        super().__init__(channels)
        self.net = nn.Sequential(nn.Linear(channels, width), nn.GELU(), nn.Linear(width, latent_dim))

    def forward(self, features):
        return self.net(self.standardise(features))


class FeatureCritic(nn.Module):
    """C: is this the feature of an anomaly? (N, c) -> logit (N,)."""

    def __init__(self, channels, hidden=256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, x):
        return self.net(x).squeeze(1)


class FeatureDiscriminator(nn.Module):
    """D: features (N, c) -> logit (N,) of being real, and its hidden layer f (N, hidden)."""

    def __init__(self, channels, hidden=128):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(channels, hidden), nn.LeakyReLU(0.2))
        self.logit = nn.Linear(hidden, 1)

    def forward(self, x):
        f = self.features(x)
        return self.logit(f).squeeze(1), f


class SectionCritic(nn.Module):
    """Names one of K transformations from each of `sections` equal pieces of a vector: (N, F) -> logits (N, S, K)."""

    def __init__(self, features, kinds, sections=4):
        super().__init__()
        self.sections = sections
        self.logits = nn.Conv1d(features, sections * kinds, 1, groups=sections)

    def forward(self, h):
        return self.logits(h[..., None]).view(len(h), self.sections, -1)
