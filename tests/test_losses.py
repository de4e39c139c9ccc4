"""Losses against values worked out by hand."""

import math

import pytest
import torch

from dualad_lib.losses import (
    absolute_error,
    adversarial_loss,
    discriminator_loss,
    donsker_varadhan,
    feature_matching,
    jsd_mutual_information,
    sphere_excess,
    squared_error,
)


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


def test_adversarial_losses_by_hand():
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([-1.0, 0.0])
    log = math.log
    d = (log(2) + log(1 + math.exp(-2))) / 2 + (log(1 + math.exp(-1)) + log(2)) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(d)
    assert adversarial_loss(fake).item() == pytest.approx((log(1 + math.e) + log(2)) / 2)


def test_an_undecided_discriminator_pays_two_log_two():
    assert discriminator_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(2 * math.log(2))


def test_adversarial_loss_still_has_gradient_when_the_discriminator_is_sure():
    fake = torch.tensor([-20.0], requires_grad=True)
    adversarial_loss(fake).backward()
    assert fake.grad.item() == pytest.approx(-1, abs=1e-6)  # log(1 - D) would have none here


def test_feature_matching_by_hand():
    assert feature_matching(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])).item() == pytest.approx(
        2.5
    )


def test_sphere_excess_by_hand():
    z = torch.tensor([[2.0, 0.0], [0.1, 0.1]])  # mean squared distances 2.0 and 0.01
    assert sphere_excess(z, torch.zeros(2), torch.tensor(1.0)).item() == pytest.approx((1.0 + 0.0) / 2)
    inside = z.clone().requires_grad_()
    sphere_excess(inside, torch.zeros(2), torch.tensor(1.0)).backward()
    assert inside.grad[1].tolist() == [0, 0]  # a code inside the sphere is left in peace


def test_jensen_shannon_by_hand():
    joint, marginal = torch.tensor([1.0, 1.0]), torch.tensor([-1.0])
    expected = -2 * math.log(1 + math.exp(-1)) + 2 * math.log(2)
    assert jsd_mutual_information(joint, marginal).item() == pytest.approx(expected)
    assert jsd_mutual_information(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(0)
    assert jsd_mutual_information(-joint, -marginal) < 0 < jsd_mutual_information(joint, marginal)  # the sign


def test_donsker_varadhan_by_hand():
    joint, marginal = torch.tensor([1.0, 3.0]), torch.tensor([0.0, math.log(3)])
    assert donsker_varadhan(joint, marginal).item() == pytest.approx(2 - math.log((1 + 3) / 2))
