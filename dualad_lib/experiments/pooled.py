"""What the studies of the systems measure: cells as of any, with the frozen features of an image computed once.

Many cells look at the same images. What the frozen network makes of one is kept in OUTPUT/features.pt and read the next
time, so the seconds of such rows are left open.
"""

import contextlib
import functools
import hashlib
from pathlib import Path

import torch
from torch.nn.functional import normalize

from ..detectors import SYSTEMS, FeatureNeighbours
from ..files import atomic_write
from . import measuring
from .caches import read_tensors
from .cells import identify

__all__ = ["identify", "measure"]


def measure(detector, dataset, normal_class, output=None, **options):
    """`measuring.measure`, for detectors that judge whole images by pooled features with these computed once."""
    if output is None or not issubclass(SYSTEMS[detector].kind, FeatureNeighbours):
        return measuring.measure(detector, dataset, normal_class, output=output, **options)
    own = {name: value for name, value in options.items() if name not in ("command", "label")}
    kept = identify(detector, dataset, normal_class, output=output, **own)
    if (stored := kept.rows()) is not None:
        return stored
    with pooled_once(Path(output).parent / "features.pt"):
        rows = measuring.measure(detector, dataset, normal_class, **options)
    return kept.write([{**row, "train_seconds": None, "score_seconds": None} for row in rows])


@contextlib.contextmanager
def pooled_once(path):
    """In here `FeatureNeighbours` and its heirs keep the pooled features of each image in a file, and read them there.

    For studies in which many cells look at the same images. Kept in half precision, by what is in the image, the
    network and the side; features of length one, float32, come out.
    """

    def remembered(compute, network, size, images):
        what = f"{network.fingerprint} {network.dtype} {size}".encode()[:64]
        known = _read_features(path)
        keys = [
            hashlib.blake2b(i.cpu().contiguous().numpy().tobytes(), digest_size=16, key=what).hexdigest()
            for i in images
        ]
        new = [n for n, key in enumerate(keys) if key not in known]
        if new:
            known.update(zip((keys[n] for n in new), compute(images[new]).cpu().half(), strict=True))
            with atomic_write(path) as temporary:
                torch.save({"keys": list(known), "features": torch.stack(list(known.values()))}, temporary)
        return normalize(torch.stack([known[key] for key in keys]).float()).to(images.device)

    FeatureNeighbours.remembered = staticmethod(remembered)
    try:
        yield
    finally:
        FeatureNeighbours.remembered = None


@functools.lru_cache(maxsize=1)
def _read_features(path):
    def found(stored):
        return dict(zip(stored["keys"], stored["features"], strict=True))

    return read_tensors(path, found) or {}
