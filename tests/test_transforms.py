"""Transformations against what they must do to an image one can follow."""

import pytest
import torch

from dualad_lib.transforms import (
    PSEUDO_ANOMALIES,
    affine,
    crop_and_flip,
    jitter,
    pseudo_anomalies,
    strong_view,
    symmetries,
    transform,
)

CORNER = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_the_eight_symmetries_of_a_square():
    seen = {tuple(transform(CORNER, t).flatten().tolist()) for t in range(8)}
    assert len(seen) == 8
    assert transform(CORNER, 0).tolist() == CORNER.tolist()
    assert transform(CORNER, 1).flatten().tolist() == [2, 1, 4, 3]
    assert transform(CORNER, 2).flatten().tolist() == [3, 4, 1, 2]
    assert transform(CORNER, 4).flatten().tolist() == [1, 3, 2, 4]


def test_a_transformation_for_each_image():
    x = torch.rand(16, 2, 5, 5)
    t = torch.arange(16) % 8
    one_by_one = torch.cat([transform(x[i : i + 1], int(t[i])) for i in range(16)])
    assert torch.equal(transform(x, t), one_by_one)


def test_oblong_images_keep_their_shape():
    assert symmetries((1, 4, 6)) == (0, 1, 2, 3) and len(symmetries((1, 6, 6))) == 8
    assert symmetries((3, 6, 6), mirrored=False) == (0, 3, 5, 6) and symmetries(
        (3, 4, 6), mirrored=False
    ) == (0, 3)
    assert transform(torch.rand(2, 1, 4, 6), 3).shape == (2, 1, 4, 6)


def test_affine_identity_and_shift():
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(affine(x), x, atol=1e-5)
    shifted = affine(x, shift_x=1 / 8)  # the window moves one pixel to the right
    assert torch.allclose(shifted[..., :-1], x[..., 1:], atol=1e-5)


def test_affine_rotates_by_a_right_angle():
    x = torch.rand(1, 1, 6, 6)
    turned = affine(x, angle=torch.pi / 2)
    quarter = [torch.rot90(x, k, (2, 3)) for k in (1, 3)]
    assert any(torch.allclose(turned, q, atol=1e-4) for q in quarter)


def test_jitter_is_small_random_and_seeded():
    x = torch.zeros(4, 1, 28, 28)
    x[:, :, 8:20, 8:20] = 1
    torch.manual_seed(0)
    one = jitter(x)
    torch.manual_seed(0)
    assert torch.equal(one, jitter(x))
    assert not torch.allclose(one[0], one[1])
    assert (one - x).abs().mean() < 0.1


@pytest.mark.parametrize("kind", PSEUDO_ANOMALIES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 15, 11)])
def test_pseudo_anomalies_are_images_and_differ(kind, shape):
    x = torch.rand(4, *shape)
    bad = pseudo_anomalies(x, kind)
    assert bad.shape == x.shape and bad.min() >= 0 and bad.max() <= 1
    assert (bad - x).abs().mean() > 0.01


def test_unknown_kind_lists_the_choices():
    with pytest.raises(ValueError, match="shear, squeeze"):
        pseudo_anomalies(CORNER, "blur")


def test_symmetries_without_mirror_are_the_rotations():
    x = torch.rand(1, 3, 6, 6)
    turns = [torch.rot90(x, k, (2, 3)) for k in range(4)]
    for t in symmetries((3, 6, 6), mirrored=False):
        assert sum(torch.equal(transform(x, t), turn) for turn in turns) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_strong_views_are_images_random_and_seeded(channels):
    x = torch.rand(200, channels, 16, 16) * 0.5 + 0.25
    torch.manual_seed(0)
    one = strong_view(x)
    torch.manual_seed(0)
    assert torch.equal(one, strong_view(x))
    assert one.shape == x.shape and one.min() >= 0 and one.max() <= 1
    assert ((one - x).abs().mean((1, 2, 3)) > 0.01).all()
    if channels == 3:
        grey = (one.max(1).values - one.min(1).values).amax((1, 2)) < 1e-5
        assert 0.1 < grey.float().mean() < 0.3


def test_a_strong_view_crops_a_window():
    """Of an image that is a ramp in x, a view is a flatter ramp, rising or (mirrored) falling."""
    ramp = torch.linspace(0.2, 0.8, 32).expand(300, 1, 32, 32)
    view = strong_view(ramp, zoom=0.25, colour=0.0)
    slope = (view[..., -1] - view[..., 0]).mean((1, 2))
    assert ((slope.abs() > 0.2) & (slope.abs() < 0.61)).all()
    assert 0.4 < (slope > 0).float().mean() < 0.6


def test_crop_and_flip_moves_no_farther_than_asked_and_mirrors_half():
    torch.manual_seed(0)
    x = torch.zeros(400, 1, 20, 20)
    x[:, :, 8:12, 3:6] = 1  # left of the middle: mirrored, it lies right of it
    out = crop_and_flip(x, margin=0.1)
    columns = (out.sum((1, 2)) * torch.arange(20)).sum(1) / out.sum((1, 2, 3))
    mirrored = columns > 9.5
    assert 0.4 < mirrored.float().mean() < 0.6
    assert (columns[~mirrored] - 4).abs().max() <= 2.1 and (columns[mirrored] - 15).abs().max() <= 2.1
    rows = (out.sum((1, 3)) * torch.arange(20)).sum(1) / out.sum((1, 2, 3))
    assert 1 < (rows - 9.5).abs().max() <= 2.1
