"""Transformations against what they must do to an image one can follow."""

import math

import pytest
import torch
from torch._subclasses import FakeTensorMode

from dualad_lib.transforms import (
    PSEUDO_ANOMALIES,
    affine,
    crop_and_flip,
    dihedral,
    dihedral_elements,
    jitter,
    pseudo_anomalies,
    strong_view,
)

CORNER = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_the_eight_symmetries_of_a_square():
    seen = {tuple(dihedral(CORNER, t).flatten().tolist()) for t in range(8)}
    assert len(seen) == 8
    assert dihedral(CORNER, 0).tolist() == CORNER.tolist()
    assert dihedral(CORNER, 1).flatten().tolist() == [2, 1, 4, 3]
    assert dihedral(CORNER, 2).flatten().tolist() == [3, 4, 1, 2]
    assert dihedral(CORNER, 4).flatten().tolist() == [1, 3, 2, 4]


def test_a_transformation_for_each_image():
    x = torch.rand(16, 2, 5, 5)
    t = torch.arange(16) % 8
    one_by_one = torch.cat([dihedral(x[i : i + 1], int(t[i])) for i in range(16)])
    assert torch.equal(dihedral(x, t), one_by_one)


def test_oblong_images_keep_their_shape():
    assert dihedral_elements((1, 4, 6)) == (0, 1, 2, 3) and len(dihedral_elements((1, 6, 6))) == 8
    assert dihedral_elements((3, 6, 6), mirrored=False) == (0, 3, 5, 6) and dihedral_elements(
        (3, 4, 6), mirrored=False
    ) == (0, 3)
    assert dihedral(torch.rand(2, 1, 4, 6), 3).shape == (2, 1, 4, 6)


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
    for t in dihedral_elements((3, 6, 6), mirrored=False):
        assert sum(torch.equal(dihedral(x, t), turn) for turn in turns) == 1


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


def line_angle(image):
    """Angle (radians, down from the right) of the bright line in an image (H, W), by its second moments in pixels."""
    height, width = image.shape
    rows, columns = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    weight = (image / image.sum()).double()
    rows, columns = rows - (weight * rows).sum(), columns - (weight * columns).sum()
    xx, yy, xy = ((weight * a * b).sum() for a, b in ((columns, columns), (rows, rows), (rows, columns)))
    return float(torch.atan2(2 * xy, xx - yy) / 2)


def line(height, width, upright):
    """A line of 17 pixels through the middle, away from every border."""
    x = torch.zeros(1, 1, height, width)
    row, column = height // 2, width // 2
    if upright:
        x[..., row - 8 : row + 9, column] = 1
    else:
        x[..., row, column - 8 : column + 9] = 1
    return x


SHAPES = [(32, 32), (32, 128), (128, 32), (40, 60)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", [0.1, -0.25, 0.5])
def test_affine_turns_every_line_by_its_angle(shape, angle):
    flat = line_angle(affine(line(*shape, upright=False), angle=angle)[0, 0])
    upright = line_angle(affine(line(*shape, upright=True), angle=angle)[0, 0])
    assert abs(flat) == pytest.approx(abs(angle), abs=0.02)
    assert abs(abs(upright) - torch.pi / 2) == pytest.approx(abs(angle), abs=0.02)
    assert (flat > 0) == (line_angle(affine(line(32, 32, False), angle=angle)[0, 0]) > 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_shear_leans_upright_lines_by_as_many_pixels_as_they_are_high(shape):
    """Shear 0.6: a pixel further down is 0.6 pixels further to the side; level lines stay."""
    leaning = line_angle(pseudo_anomalies(line(*shape, upright=True), "shear")[0, 0])
    assert abs(torch.pi / 2 - abs(leaning)) == pytest.approx(math.atan(0.6), abs=0.03)
    assert line_angle(pseudo_anomalies(line(*shape, upright=False), "shear")[0, 0]) == pytest.approx(
        0, abs=0.01
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_jitter_turns_lines_of_oblong_images_no_further_than_asked(shape):
    torch.manual_seed(0)
    for upright in (False, True):
        views = jitter(line(*shape, upright).repeat(40, 1, 1, 1), scale=0.0, shear=0.0, shift=0.0)
        turned = [line_angle(view[0]) for view in views]
        away = [abs(a) if not upright else torch.pi / 2 - abs(a) for a in turned]
        assert 0.07 < max(away) < 0.12


@pytest.mark.parametrize("shape", SHAPES)
def test_squeezing_and_cropping_measure_each_side_by_itself(shape):
    height, width = shape
    squeezed = pseudo_anomalies(line(*shape, upright=False), "squeeze")[0, 0]
    assert (squeezed.amax(0) > 0.3).sum() == pytest.approx(0.55 * 17, abs=1.5)
    torch.manual_seed(0)
    x = torch.zeros(300, 1, height, width)
    x[..., height // 2, width // 2] = 1
    moved = crop_and_flip(x, margin=0.1)[:, 0]
    place = moved.flatten(1).argmax(1)
    rows, columns = place // width - height // 2, place % width - width // 2
    assert 0.07 * height < rows.abs().max() <= 0.1 * height + 2  # mirrored, the middle is the next pixel
    assert 0.07 * width < columns.abs().max() <= 0.1 * width + 2


@pytest.mark.parametrize("shape", SHAPES)
def test_strong_views_stretch_things_by_a_third_at_most(shape):
    """The crop keeps the image's own aspect ratio but for 3:4 to 4:3, so that a square stays nearly one."""
    height, width = shape
    x = torch.zeros(200, 1, height, width)
    x[..., height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4] = 1
    torch.manual_seed(0)
    views = strong_view(x, zoom=0.9, colour=0.0, grey=0.0)[:, 0]
    high, wide = ((views > 0.5).any(axis).sum(1).float() for axis in (2, 1))
    whole = (high > 0) & (wide > 0)
    assert ((high / wide)[whole].log().abs() < math.log(4 / 3) + 0.3).all() and whole.float().mean() > 0.9


@pytest.mark.parametrize("shape", [(3, 9, 9), (1, 6, 10)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_transformations_of_a_batch_are_exact_and_keep_its_layout(shape, layout):
    x = torch.rand(24, *shape).contiguous(memory_format=layout)
    t = torch.tensor(dihedral_elements(shape)).repeat(24)[:24]
    found = dihedral(x, t)
    assert torch.equal(found, torch.cat([dihedral(x[i : i + 1], int(t[i])) for i in range(24)]))
    assert found.stride() == x.stride()


def test_transform_reads_nothing_back_from_the_device():
    """On the meta device there are no numbers to read."""
    x, t = torch.empty(5, 1, 8, 8, device="meta"), torch.empty(5, dtype=torch.long, device="meta")
    assert dihedral(x, t).shape == x.shape


@pytest.mark.parametrize("change", [jitter, crop_and_flip, strong_view, affine, lambda x: dihedral(x, 5)])
def test_transformations_stay_on_the_images_device(change):
    """A fake GPU: a tensor that another device made would be an error."""
    with FakeTensorMode():
        assert change(torch.empty(4, 3, 8, 8, device="cuda")).device.type == "cuda"
