"""What the study `features` measures on whole images: a cell as of any study, whose frozen features are computed once.

The classes of a set share its test images, and the stages of DualAD their training images. What the frozen network
makes of a batch is kept in OUTPUT/features and read the next time, so the seconds of such rows are left open.
"""

import contextlib
import hashlib
from pathlib import Path

import torch

from ..files import atomic_write
from ..networks.backbone import DEFAULT, load_backbone
from ..training import resolve_device
from . import measuring
from .caches import read_tensors
from .cells import identify

__all__ = ["identify", "measure"]


def measure(detector, dataset, normal_class, output=None, command="", label="", **options):
    """`measuring.measure` of a detector that judges whole images by the head of a frozen network."""
    if output is None:
        return measuring.measure(detector, dataset, normal_class, command, label, **options)
    kept = identify(detector, dataset, normal_class, output=output, **options)
    if (stored := kept.rows()) is not None:
        return stored
    params = options.get("params") or {}
    name = params.get("features", params.get("backbone", DEFAULT))
    network = load_backbone(name, resolve_device("auto"), params.get("precision", "auto"))
    with remembered(network, Path(output).parent / "features"):
        rows = measuring.measure(detector, dataset, normal_class, command, label, **options)
    return kept.write([{**row, "train_seconds": None, "score_seconds": None} for row in rows])


@contextlib.contextmanager
def remembered(network, folder):
    """In here the network keeps the mean over places of each batch's head in files of the folder, and reads them."""
    compute = network.forward

    def forward(x, levels=("head",)):
        if tuple(levels) != ("head",):
            return compute(x, levels)
        what = f"{network.fingerprint} {network.dtype} {tuple(x.shape)}".encode()
        key = hashlib.blake2b(x.cpu().contiguous().numpy().tobytes(), digest_size=16, key=what[:64])
        path = folder / f"{key.hexdigest()}.pt"
        pooled = read_tensors(path, device=x.device)
        if pooled is None:
            pooled = compute(x, levels)[0].mean((2, 3), keepdim=True)
            with atomic_write(path) as temporary:
                torch.save(pooled.cpu(), temporary)
        return [pooled]

    network.forward = forward
    try:
        yield
    finally:
        del network.forward
