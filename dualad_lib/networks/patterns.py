"""An extractor that names patterns: an encoder, and a direction on the sphere of its codes for each pattern."""

import torch
from torch import nn
from torch.nn.functional import normalize


class PatternExtractor(nn.Module):
    """E: x -> codes z of length 1, (N, latent_dim), by an encoder; `patterns(z)`: their logits (N, K).

    A pattern is a direction; its logit is the cosine to it, over a temperature of 0.1. Where they point at first says
    nothing: `start_at(centres)` puts them where centres (k, latent_dim), k at most K, are.
    """

    TEMPERATURE = 0.1

    def __init__(self, encoder, latent_dim=64, patterns=50):
        super().__init__()
        self.encoder = encoder
        self.directions = nn.Parameter(torch.randn(patterns, latent_dim) / latent_dim**0.5)

    def forward(self, x):
        return normalize(self.encoder(x), dim=1)

    def patterns(self, z):
        return z @ normalize(self.directions, dim=1).T / self.TEMPERATURE

    @torch.no_grad()
    def start_at(self, centres):
        self.directions[: len(centres)].copy_(normalize(centres, dim=1))
