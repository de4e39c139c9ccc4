"""Files of tensors that cells keep for one another: what is damaged is made again."""

import warnings

import torch


def read_tensors(path, found=lambda stored: stored, device=None):
    """found(what `torch.save` wrote at a path); None where there is nothing, or, with a warning, what is damaged."""
    if not path.exists():
        return None
    try:
        return found(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # torch, zipfile and pickle have many, and for one damage not always the same
        warnings.warn(f"{path} is damaged ({type(error).__name__}) and is made again.", stacklevel=2)
        return None
