import pytest
import torch

from dualad_lib.data import GCN, Compose, Pad, Scale
from dualad_lib.errors import DataError


def image(values):
    return torch.tensor(values)[None, None]


def test_scale_brings_uint8_to_unit_range_and_leaves_floats():
    x = image([[0, 51, 255]]).to(torch.uint8)
    assert torch.allclose(Scale()(x), image([[0.0, 0.2, 1.0]]))
    assert Scale()(x).dtype == torch.float32
    y = image([[0.25, 1.0]])
    assert torch.equal(Scale()(y), y)


def test_pad_centres_and_puts_the_odd_pixel_right_and_below():
    x = torch.ones(2, 3, 2, 3)
    y = Pad(4, value=0.5)(x)
    expected = torch.tensor([[0.5] * 4, [1, 1, 1, 0.5], [1, 1, 1, 0.5], [0.5] * 4])
    assert y.shape == (2, 3, 4, 4)
    assert torch.equal(y, expected.expand(2, 3, 4, 4))
    assert Pad()(torch.zeros(1, 1, 28, 28)).shape == (1, 1, 32, 32)
    assert torch.equal(Pad(2)(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))


def test_pad_refuses_larger_images():
    with pytest.raises(DataError, match="28 x 40 pixels do not fit into 32 x 32"):
        Pad(32)(torch.zeros(1, 1, 28, 40))


def test_gcn_by_hand():
    # mean 0.5; deviations -0.5 -0.1 0.1 0.5: mean absolute value 0.3, mean square 0.13
    x = image([[0.0, 0.4], [0.6, 1.0]])
    deviations = image([[-0.5, -0.1], [0.1, 0.5]])
    assert torch.allclose(GCN("l1")(x), deviations / 0.3)
    assert torch.allclose(GCN("l2")(x), deviations / 0.13**0.5)
    assert torch.equal(GCN()(x), GCN("l1")(x))


def test_gcn_takes_all_channels_of_one_image_together():
    # channel means differ: 0 and 1; over both, mean 0.5 and every deviation 0.5
    x = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)])[None]
    expected = torch.stack([-torch.ones(2, 2), torch.ones(2, 2)])[None]
    assert torch.allclose(GCN("l1")(x), expected)
    assert torch.allclose(GCN("l2")(x), expected)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_gcn_treats_each_image_alone_and_keeps_flat_images_at_zero(norm):
    torch.manual_seed(0)
    x = torch.rand(4, 3, 8, 8)
    x[2] = 0.3
    y = GCN(norm)(x)
    for i in range(4):
        assert torch.equal(y[i : i + 1], GCN(norm)(x[i : i + 1]))
    assert torch.isfinite(y).all()
    assert y[2].abs().max() < 0.01
    bright = 0.5 * x[:1] + 0.2
    assert torch.allclose(GCN(norm)(bright), y[:1], atol=1e-5)  # blind to brightness and contrast


def test_gcn_refuses_other_norms():
    with pytest.raises(DataError, match="choose l1 or l2"):
        GCN("l3")


def test_compose_applies_in_order():
    x = image([[0, 255]]).to(torch.uint8)
    steps = Compose(Scale(), Pad(2), GCN("l1"))
    assert torch.allclose(steps(x), GCN("l1")(image([[0.0, 1.0], [0.0, 0.0]])))
    assert torch.equal(Compose()(x), x)
    assert "Pad(size=2" in repr(steps)
