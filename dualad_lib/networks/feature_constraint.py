"""The Feature Constraint (FC): what the code must obey, each constraint a module of its own."""

import torch
from torch import nn


class Hypersphere(nn.Module):
    """Centre c and radius R of the sphere that should hold the normal codes; the constraint player moves both.

    centre: (d,). radius: positive scalar (its logarithm is the parameter). The player sees codes as constants: it fits
    the sphere to images that the encoder did not train on, and the encoder is then asked to bring its codes inside.
    `start_at(z)` puts it where the codes (n, d) are: far from them neither side would have anything to do.
    """

    def __init__(self, latent_dim):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(latent_dim))
        self.log_radius = nn.Parameter(torch.zeros(()))

    @property
    def radius(self):
        return self.log_radius.exp()

    @torch.no_grad()
    def start_at(self, z):
        self.centre.copy_(z.mean(0))
        self.log_radius.copy_((z - self.centre).square().mean().clamp_min(1e-12).log() / 2)


class TransformationCritic(nn.Module):
    """C: names which of K transformations made an image, from its encoder's last feature map h. Logits (N, K)."""

    def __init__(self, features, transformations):
        super().__init__()
        self.logits = nn.Linear(features, transformations)

    def forward(self, h):
        return self.logits(h.flatten(1))
