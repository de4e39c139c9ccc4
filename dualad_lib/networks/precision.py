"""Numbers of sixteen bits where a machine computes in them, and batch norm folded away once training is over."""

import copy
from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import DataError

PRECISIONS = ("auto", "float32", "bfloat16")


def dtype_of(precision, device="cpu"):
    """The torch dtype of "float32", "bfloat16", or "auto": bfloat16 where the device computes in it, else float32.

    Raises DataError for another name.
    """
    if precision not in PRECISIONS:
        raise DataError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}.")
    if precision == "auto":
        precision = "bfloat16" if computes_bfloat16(device) else "float32"
    return getattr(torch, precision)


def computes_bfloat16(device="cpu"):
    """Whether the device multiplies bfloat16 in hardware, so that it is faster there than float32."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def mixed(dtype, device):
    """Context in which networks compute in `dtype`; their weights, and losses on float32 results, keep float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype)


def fold_batch_norm(network):
    """Put each batch norm into the convolution before it, in place; the network must be in eval mode. Returns it.

    A max pool may stand between the two: it commutes with a norm whose gain is positive, and others are left alone.
    """
    for module in list(network.modules()):
        children = list(module.named_children())
        for (before, conv), *between, (after, norm) in [*pairwise(children), *_around_pools(children)]:
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if conv.out_channels != norm.num_features or (between and (norm.weight <= 0).any()):
                continue
            plain = nn.BatchNorm2d(norm.num_features, norm.eps, device=norm.weight.device).eval()
            plain.load_state_dict(norm.state_dict())
            setattr(module, before, fuse_conv_bn_eval(conv, plain))
            left = [
                getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)
            ]  # timm's norms hold these
            setattr(module, after, nn.Sequential(*left) if left else nn.Identity())
    return network


def _around_pools(children):
    threes = zip(children, children[1:], children[2:], strict=False)
    return [three for three in threes if isinstance(three[1][1], nn.MaxPool2d)]


class InFloat32(nn.Sequential):
    """Layers that compute in float32 inside a network that does not: a whitening, say, which blows rounding up.

    What comes out has the precision of what follows, `dtype`, or under autocast autocast's.
    """

    dtype = None

    def forward(self, x):
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.dtype
        with torch.autocast(kind, enabled=False):
            found = super().forward(x.float())
        return found if dtype is None else found.to(dtype)


def frozen(network, dtype=torch.float32):
    """A copy of a trained network for scoring: batch norm folded, weights in `dtype`, no gradients."""
    copied = fold_batch_norm(copy.deepcopy(network).eval()).to(dtype, memory_format=torch.channels_last)
    for name, module in network.named_modules():
        if isinstance(module, InFloat32):
            exact = copied.get_submodule(name).float()
            exact.load_state_dict(module.state_dict())
            exact.dtype = dtype
    return copied.requires_grad_(False)
