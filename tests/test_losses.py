"""Losses against values worked out by hand."""

import math

import pytest
import torch

from dualad_lib import DataError, losses
from dualad_lib.losses import (
    absolute_error,
    adversarial_loss,
    code_distance,
    contextual_adversarial,
    discriminator_loss,
    donsker_varadhan,
    dual_game,
    enclosure,
    feature_matching,
    gradient_penalty,
    hypersphere_penalty,
    info_nce,
    jsd_mutual_information,
    kl_to_standard_normal,
    reciprocal,
    squared_error,
    uniform_cross_entropy,
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
    assert hypersphere_penalty(z, torch.zeros(2), torch.tensor(1.0)).item() == pytest.approx((1.0 + 0.0) / 2)
    assert hypersphere_penalty(z, torch.zeros(2), torch.tensor(0.5)).item() == pytest.approx((7.0 + 0.0) / 2)
    inside = z.clone().requires_grad_()
    hypersphere_penalty(inside, torch.zeros(2), torch.tensor(1.0)).backward()
    assert inside.grad[1].tolist() == [0, 0]  # a code inside the sphere is left in peace


def test_sphere_excess_does_not_reward_small_codes():
    z, centre, radius = torch.randn(50, 4), torch.randn(4), torch.tensor(0.7)
    shrunk = [0.1 * v for v in (z, centre, radius)]
    assert hypersphere_penalty(*shrunk).item() == pytest.approx(
        hypersphere_penalty(z, centre, radius).item(), rel=1e-4
    )


def test_enclosure_by_hand_and_at_its_best_radius():
    z = torch.tensor([[2.0, 0.0], [0.1, 0.1]])
    assert enclosure(z, torch.zeros(2), torch.tensor(1.0), 0.5).item() == pytest.approx(1 + 0.5 / 0.5)
    z = torch.randn(5000, 8, generator=torch.Generator().manual_seed(0))
    radii = torch.linspace(0.5, 2.0, 301)
    best = radii[torch.stack([enclosure(z, torch.zeros(8), r, 0.1) for r in radii]).argmin()]
    outside = (z.square().mean(1) > best**2).float().mean().item()
    assert outside == pytest.approx(0.1, abs=0.01)


def test_info_nce_by_hand():
    never = -torch.inf
    known = torch.tensor([[never, 50.0, 0.0, 0.0]])
    assert info_nce(known, torch.tensor([1])).item() == pytest.approx(
        math.log(3)
    )  # all that 3 candidates can say
    blind = torch.tensor([[never, 1.0, 1.0, 1.0], [1.0, never, 1.0, 1.0]])
    assert info_nce(blind, torch.tensor([1, 0])).item() == pytest.approx(0, abs=1e-6)
    assert info_nce(known, torch.tensor([2])) < 0 < info_nce(known, torch.tensor([1]))  # the sign


def test_jensen_shannon_by_hand():
    joint, marginal = torch.tensor([1.0, 1.0]), torch.tensor([-1.0])
    expected = -2 * math.log(1 + math.exp(-1)) + 2 * math.log(2)
    assert jsd_mutual_information(joint, marginal).item() == pytest.approx(expected)
    assert jsd_mutual_information(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(0)
    assert jsd_mutual_information(-joint, -marginal) < 0 < jsd_mutual_information(joint, marginal)  # the sign


def test_donsker_varadhan_by_hand():
    joint, marginal = torch.tensor([1.0, 3.0]), torch.tensor([0.0, math.log(3)])
    assert donsker_varadhan(joint, marginal).item() == pytest.approx(2 - math.log((1 + 3) / 2))


def test_code_distance_by_hand():
    z, z_hat = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    # root mean squares 5 / sqrt(2) and 0
    assert code_distance(z_hat, z).item() == pytest.approx(5 / math.sqrt(2) / 2, abs=1e-5)


def test_code_distance_of_equal_codes_has_a_finite_gradient():
    z = torch.ones(2, 3, requires_grad=True)
    code_distance(z, torch.ones(2, 3)).backward()
    assert torch.isfinite(z.grad).all()


def test_dual_game_by_hand():
    own, other = torch.tensor(0.3, requires_grad=True), torch.tensor(0.9, requires_grad=True)
    assert dual_game(own, other, k=0.4).item() == pytest.approx(0.3 - 0.36)
    assert dual_game(own, other, k=0.4, cap=4.0).item() == pytest.approx(0.3 - 0.36)
    capped = dual_game(own, other, k=0.4, cap=2.0)
    assert capped.item() == pytest.approx(0.3 - 0.24)
    capped.backward()
    assert own.grad.item() == 1 and other.grad.item() == 0  # nothing to gain from failing worse


def test_kl_to_standard_normal_by_hand():
    zero = torch.zeros(2, 3)
    assert kl_to_standard_normal(zero, zero).item() == 0
    assert kl_to_standard_normal(zero + 2, zero).item() == pytest.approx(2)  # 2^2 / 2
    assert kl_to_standard_normal(zero, zero + math.log(4)).item() == pytest.approx((4 - 1 - math.log(4)) / 2)


def test_kl_to_standard_normal_agrees_with_torch():
    mean, log_variance = torch.randn(5, 4), torch.randn(5, 4)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).mean()
    assert kl_to_standard_normal(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)


def test_contextual_adversarial_loss_falls_as_the_second_reconstruction_moves_away():
    x_hat = torch.full((2, 1, 2, 2), 0.5)
    assert contextual_adversarial(x_hat, x_hat).item() == 0
    assert contextual_adversarial(x_hat, x_hat + 0.25).item() == pytest.approx(-0.25)


def test_reciprocal_drives_a_loss_up_and_is_bounded():
    loss = torch.tensor(0.1, requires_grad=True)
    value = reciprocal(loss, least=0.1)
    assert value.item() == pytest.approx(5)
    value.backward()
    assert loss.grad.item() == pytest.approx(-25)  # -1 / 0.2^2: lowering the value raises the loss
    assert reciprocal(torch.tensor(0.0)).item() == pytest.approx(1000)


def test_uniform_cross_entropy_by_hand():
    assert uniform_cross_entropy(torch.zeros(3, 4)).item() == pytest.approx(math.log(4))
    p = torch.tensor([[0.9, 0.1]])
    assert uniform_cross_entropy(p.log()).item() == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2)


def test_gradient_penalty_by_hand():
    """D(x) = 3 a + b^2 of pixels a, b: its gradient is (3, 2 b), the squared norms 9 + 4 b^2."""
    x = torch.tensor([[0.2, 1.0], [0.7, 2.0]]).view(2, 1, 1, 2).requires_grad_()
    logits = 3 * x[:, 0, 0, 0] + x[:, 0, 0, 1].square()
    assert gradient_penalty(logits, x).item() == pytest.approx(((9 + 4) + (9 + 16)) / 2)


def test_gradient_penalty_can_be_lowered_by_the_discriminator():
    weight = torch.tensor([[2.0, -1.0]], requires_grad=True)
    x = torch.rand(5, 1, 1, 2, requires_grad=True)
    penalty = gradient_penalty((x.flatten(1) @ weight.T).squeeze(1), x)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == pytest.approx(5) and gradient.tolist() == [[4, -2]]


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "feature_matching", "code_distance"])
def test_shapes_that_differ_are_refused_and_not_repeated(name):
    x = torch.rand(4, 1, 6, 6)
    with pytest.raises(DataError, match="both must have one shape"):
        getattr(losses, name)(x[:, 0], x)


def test_each_view_may_have_other_candidates():
    similarity = torch.zeros(3, 4)
    similarity[0, 1:], similarity[1, 2:] = -torch.inf, -torch.inf
    assert losses.info_nce(similarity, torch.tensor([0, 1, 2])) == pytest.approx(0, abs=1e-6)
