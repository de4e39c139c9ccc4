"""The estimators against a dependence that is known: correlated Gaussians, I = -d/2 log(1 - rho^2)."""

import math

import pytest
import torch
from torch import nn

from dualad_lib.losses import donsker_varadhan, jsd_mutual_information
from dualad_lib.networks.mutual_information import GlobalStatistics, LocalStatistics
from dualad_lib.training import seeded


def pairs(n, d, rho, generator):
    x, noise = torch.randn(n, d, generator=generator), torch.randn(n, d, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def train_statistics(rho, bound, sign=1, steps=400, d=4):
    """A small T, trained to raise `bound` on fresh pairs; its estimates on fresh pairs."""
    generator = torch.Generator().manual_seed(0)
    with seeded(0):
        T = nn.Sequential(nn.Linear(2 * d, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimiser = torch.optim.Adam(T.parameters(), 3e-3)

    def logits(n):
        x, z = pairs(n, d, rho, generator)
        return T(torch.cat([x, z], 1)), T(torch.cat([x, z.roll(1, 0)], 1))

    for _ in range(steps):
        optimiser.zero_grad()
        (-sign * bound(*logits(256))).backward()
        optimiser.step()
    with torch.no_grad():
        return bound(*logits(20_000)).item()


def test_donsker_varadhan_finds_the_known_information():
    exact = -4 / 2 * math.log(1 - 0.7**2)  # 1.35 nats
    estimate = train_statistics(0.7, donsker_varadhan)
    assert 0.75 * exact < estimate < 1.02 * exact  # a lower bound, nearly tight


@pytest.mark.parametrize("bound", [jsd_mutual_information, donsker_varadhan])
def test_independent_variables_have_none(bound):
    assert abs(train_statistics(0.0, bound, steps=150)) < 0.05


def test_jensen_shannon_rises_with_dependence():
    weak, strong = (train_statistics(rho, jsd_mutual_information, steps=200) for rho in (0.4, 0.9))
    assert 0.02 < weak < strong / 2 < math.log(2)


def test_the_wrong_sign_learns_to_call_pairs_strangers():
    assert train_statistics(0.9, jsd_mutual_information, sign=-1, steps=60) < -0.5


def test_statistics_networks_see_both_sides():
    """Each network gives a number a pair, depends on image and code, and receives gradient in every parameter."""
    h, z = torch.randn(5, 8, 4, 3), torch.randn(5, 6)
    for T, shape in ((GlobalStatistics(8, 6, 16), (5,)), (LocalStatistics(8, 6, 16), (5, 4, 3))):
        out = T(h, z)
        assert out.shape == shape
        assert not torch.allclose(out, T(h.roll(1, 0), z)) and not torch.allclose(out, T(h, z.roll(1, 0)))
        jsd_mutual_information(out, T(h.roll(1, 0), z)).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in T.parameters() if p.ndim > 1)
