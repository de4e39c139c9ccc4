"""The one check of everything that is handed to a detector as images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import DataError

Images = np.ndarray | torch.Tensor | Sequence  #: what is taken for images
ROUNDING = 1e-6  # how far outside [0, 1] float rounding may put a value; such values are clamped


def as_images(x: Images) -> torch.Tensor:
    """Turn arrays of images into one tensor of shape (N, C, H, W), uint8 or float32 in [0, 1].

    x: numpy array, torch tensor or list of equal-size arrays; shape (N, H, W) or (N, C, H, W); uint8 in
    0..255, or any float type in [0, 1]. uint8 stays uint8, floats become float32; a tensor keeps its
    device and loses its gradient. The memory may be shared with `x`, so do not write into the result.

    Raises DataError: empty input, images of different sizes, wrong number of dimensions, channels-last
    order, NaN or infinity, values outside [0, 1], any other type.
    """
    images = _as_tensor(x)
    _check_shape(tuple(images.shape))
    if images.ndim == 3:
        images = images[:, None]
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise _wrong_type(images.dtype)
    images = images.float()
    if not torch.isfinite(images).all():
        raise DataError("Images contain NaN or infinite values. Remove or repair those images first.")
    low, high = (float(value) for value in torch.aminmax(images))
    if low < -ROUNDING or high > 1 + ROUNDING:
        if low >= 0 and high <= 255:
            hint = "If they are 0..255, divide by 255 or convert with x.astype('uint8')."
        else:
            hint = "Scale them to [0, 1]; detectors do their own standardising."
        raise DataError(f"Float images must lie in [0, 1]; these go from {low:.4g} to {high:.4g}. {hint}")
    return images.clamp(0, 1) if low < 0 or high > 1 else images


def _as_tensor(x: Any) -> torch.Tensor:
    if torch.is_tensor(x):
        if x.layout != torch.strided or x.is_meta:
            raise DataError(
                "Images must be a dense tensor that holds numbers: x.to_dense() gives one of a sparse one."
            )
        return x.detach()
    if any(map(np.ma.is_masked, x if isinstance(x, (list, tuple)) else [x])):
        raise DataError(
            "Images with masked pixels: what the mask hides would be learned all the same. Fill it, say by x.filled(0)."
        )
    if isinstance(x, (list, tuple)):
        x = _stack(x)
    if not isinstance(x, np.ndarray):
        try:
            x = np.asarray(x)
        except Exception as error:
            raise DataError(f"Cannot read {type(x).__name__} as an array of images: {error}") from error
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused as such
            x = x.astype(np.float32, copy=False)  # torch knows no long doubles and no foreign byte orders
    elif x.dtype != np.uint8:
        raise _wrong_type(x.dtype)
    # torch.from_numpy knows no negative strides and warns about read-only memory.
    if not x.flags.c_contiguous or not x.flags.writeable:
        x = x.copy()
    return torch.from_numpy(x)


def _stack(images):
    if len(images) == 0:
        raise DataError("No images given: the list is empty.")
    try:
        arrays = [
            image.detach().cpu().numpy() if torch.is_tensor(image) else np.asarray(image) for image in images
        ]
    except (TypeError, ValueError) as error:  # bfloat16, lists of rows that differ
        raise DataError(f"A list of images must hold arrays of numbers: {error}.") from error
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise DataError(
            f"Images have different sizes: {', '.join(map(str, shapes[:4]))}{', ...' if len(shapes) > 4 else ''}. "
            "Resize them to one size first, for example with load_image_folder(..., image_size=64)."
        )
    return np.stack(arrays)


def _check_shape(shape):
    if len(shape) not in (3, 4):
        one = " One image needs a leading axis: x[None]." if len(shape) == 2 else ""
        raise DataError(f"Images must have shape (N, H, W) or (N, C, H, W), not {shape}.{one}")
    if 0 in shape:
        raise DataError(f"No images given: the array has shape {shape}.")
    if len(shape) == 4 and shape[-1] in (1, 2, 3, 4) and shape[1] not in (1, 3) and shape[1] > shape[-1]:
        raise DataError(
            f"Shape {shape} looks like channels last (N, H, W, C). "
            "Channels come second here: x.transpose(0, 3, 1, 2), or torch's x.permute(0, 3, 1, 2)."
        )
    if len(shape) == 3 and shape[-1] in (1, 3, 4) and min(shape[:2]) > 4:
        raise DataError(
            f"Shape {shape} looks like one image with channels last (H, W, C). "
            "Give (N, C, H, W): x.transpose(2, 0, 1)[None]."
        )


def _wrong_type(dtype):
    return DataError(
        f"Images are of type {str(dtype).removeprefix('torch.')}; give an array of uint8 (0..255) or float in [0, 1]. "
        "Convert 0..255 integers with x.astype('uint8'), True/False masks with x.astype('float32')."
    )
