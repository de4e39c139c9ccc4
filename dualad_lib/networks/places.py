"""Networks of DualAD on features: each looks at one place of a frozen map, and at what lies around it."""

import torch
from torch import nn


class PlaceAutoencoder(nn.Module):
    """G on features: restores the feature of a place from a disturbed one and from its neighbourhood.

    encode(x, around): standardised features (..., c) of a place and the mean of those around it -> h (..., width), what
    the critic sees, and the code z (..., d). decode(z) -> x_hat (..., c).
    """

    def __init__(self, channels, width=256, latent_dim=64):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.encoder = nn.Sequential(nn.Linear(2 * channels, width), nn.LayerNorm(width), nn.GELU())
        self.code = nn.Linear(width, latent_dim)
        self.decoder = nn.Sequential(nn.Linear(latent_dim, width), nn.GELU(), nn.Linear(width, channels))

    def standardise(self, x):
        return (x - self.mean) / self.deviation

    def encode(self, x, around):
        h = self.encoder(torch.cat([x, around], -1))
        return h, self.code(h)

    def decode(self, z):
        return self.decoder(z)


class PlaceDiscriminator(nn.Module):
    """D on features: is this the feature of a place, or a restored one? x (..., c) -> logit (...), f (..., m)."""

    def __init__(self, channels, width=256, features=128):
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(channels, width), nn.LeakyReLU(0.2), nn.Linear(width, features), nn.LeakyReLU(0.2)
        )
        self.logit = nn.Linear(features, 1)

    def forward(self, x):
        f = self.features(x)
        return self.logit(f).squeeze(-1), f


class PlaceCritic(nn.Module):
    """C on features: is this place damaged? From the encoder's h (..., width) -> logit (...)."""

    def __init__(self, width, hidden=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )

    def forward(self, h):
        return self.net(h).squeeze(-1)


class PlaceStatistics(nn.Module):
    """T on features: does this code belong to what was seen? seen (..., c), z (..., d) -> logit (...)."""

    def __init__(self, channels, latent_dim, hidden=128):
        super().__init__()
        self.see, self.know = nn.Linear(channels, hidden), nn.Linear(latent_dim, hidden)
        self.net = nn.Sequential(
            nn.LeakyReLU(0.1), nn.Linear(hidden, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, 1)
        )

    def forward(self, seen, z):
        return self.net(self.see(seen) + self.know(z)).squeeze(-1)
