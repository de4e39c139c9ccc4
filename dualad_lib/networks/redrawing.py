"""Networks of AGAD on features: one redraws the feature of an image, the other judges it."""

import torch
from torch import nn


class FeatureRedrawer(nn.Module):
    """G: standardised features (N, c) -> features restored through a narrow code, (N, c). `learn` sets the scales."""

    def __init__(self, channels, width=512, latent_dim=64):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.net = nn.Sequential(
            nn.Linear(channels, width), nn.GELU(), nn.Linear(width, latent_dim),
            nn.Linear(latent_dim, width), nn.GELU(), nn.Linear(width, channels),
        )  # fmt: skip

    @torch.no_grad()
    def learn(self, features):
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(1e-4))

    def standardise(self, features):
        return (features - self.mean) / self.deviation

    def forward(self, x):
        return self.net(x)


class FeatureCritic(nn.Module):
    """C: is this the feature of an anomaly? (N, c) -> logit (N,)."""

    def __init__(self, channels, hidden=256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, x):
        return self.net(x).squeeze(1)
