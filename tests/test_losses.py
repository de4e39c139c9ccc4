"""Losses against values worked out by hand."""

import pytest
import torch

from dualad_lib.losses import absolute_error, squared_error


def test_reconstruction_errors_by_hand():
    x = torch.tensor([[[[0.0, 1.0]]], [[[0.5, 0.5]]]])  # two images of 1 x 2 pixels
    x_hat = torch.tensor([[[[0.5, 1.0]]], [[[0.5, 0.1]]]])
    # differences: 0.5, 0, 0, -0.4
    assert squared_error(x_hat, x).item() == pytest.approx((0.25 + 0.16) / 4)
    assert absolute_error(x_hat, x).item() == pytest.approx((0.5 + 0.4) / 4)


@pytest.mark.parametrize("loss", [squared_error, absolute_error])
def test_mean_over_elements_does_not_grow_with_the_image(loss):
    small, large = torch.full((2, 1, 4, 4), 0.3), torch.full((5, 3, 16, 16), 0.3)
    assert loss(small, small + 0.2).item() == pytest.approx(loss(large, large + 0.2).item())
