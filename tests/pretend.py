"""A device that is not there: tensors that say they lie on it, compute on the CPU, and refuse company as a GPU's do.

    with pretended() as device:
        model = create("dualad", device=device).fit(X)

A tensor on it is a wrapper around one of the CPU. Every operation checks that the tensors it is given, those of no
dimension aside, lie on one device, as CUDA does; what comes out lies there too. Numbers leave by `.cpu()` or `.item()`
alone. The device is called "meta", because that is the one whose name torch accepts everywhere without a driver.
"""

from contextlib import contextmanager

import pytest
import torch
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from dualad_lib import training

DEVICE = torch.device("meta")
CPU = torch.device("cpu")
LEAVES = {torch.ops.aten._local_scalar_dense.default}


class Elsewhere(torch.Tensor):
    """A tensor on the pretended device; `held` is the one of the CPU that has its numbers."""

    @staticmethod
    def __new__(cls, held, requires_grad=False):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE, requires_grad=requires_grad,
        )  # fmt: skip

    def __init__(self, held, requires_grad=False):
        self.held = held

    def __repr__(self):
        return f"Elsewhere({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Pretending(TorchDispatchMode):
    """Sends what is made for the device, or moved there, through `compute`."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Making(TorchFunctionMode):
    """What torch makes of Python's numbers, or turns into them, without an operation that could be seen."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            where = torch.device(kwargs.pop("device"))
            return function(*args, **kwargs).to(where)
        if args and isinstance(args[0], Elsewhere):
            if function is torch.Tensor.numpy:
                raise TypeError("a tensor of the pretended device has no array: take .cpu() first.")
            if function is torch.Tensor.tolist:
                return args[0].held.tolist()
        return function(*args, **kwargs)


def compute(operation, args, kwargs):
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = [x for x in given if isinstance(x, Elsewhere)]
    asked = kwargs.get("device")
    asked = None if asked is None else torch.device(asked)
    moves = operation.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
    if there and not moves and any(x.ndim > 0 for x in given if not isinstance(x, Elsewhere)):
        raise RuntimeError(
            f"{operation}: expected all tensors to be on the same device, found the CPU and another."
        )
    plain = tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, (args, kwargs))
    if asked is not None:
        plain[1]["device"] = CPU
    found = operation(*plain[0], **plain[1])
    if operation in LEAVES or asked == CPU or (asked is None and not there):
        return found
    if (
        asked is None
        and operation.overloadpacket is torch.ops.aten.copy_
        and not isinstance(args[0], Elsewhere)
    ):
        return args[0]
    same = {id(x.held): x for x in there}  # what works in place gives its own tensor back

    def lies_there(x):
        return same[id(x)] if id(x) in same else Elsewhere(x) if isinstance(x, torch.Tensor) else x

    return tree_map(lies_there, found)


@contextmanager
def pretended():
    """In here there is the device, whose name is given; fused optimisers take it for one that they know."""
    known = optimizer._get_fused_kernels_supported_devices

    class Autocast(torch.autocast):
        def __init__(self, device, *args, **options):
            super().__init__("cpu" if device == DEVICE.type else device, *args, **options)

    with pytest.MonkeyPatch.context() as patch, Pretending(), Making():
        patch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [*known(), DEVICE.type])
        patch.setattr(torch, "autocast", Autocast)
        there = training._is_there
        patch.setattr(training, "_is_there", lambda device: device == DEVICE or there(device))
        for name in ("is_autocast_enabled", "get_autocast_dtype"):
            asked = getattr(torch, name)
            patch.setattr(
                torch, name, lambda kind, asked=asked: asked("cpu" if kind == DEVICE.type else kind)
            )
        yield str(DEVICE)
