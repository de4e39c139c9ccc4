"""Pseudo-defects: damage drawn into normal photographs, where defects are made, with a mask of what was damaged.

Images are float tensors (N, C, H, W) in [0, 1]; masks bool (N, H, W). Random draws come from torch's global generator.
Kinds: after CutPaste (Li et al., CVPR 2021: patches and scars) and DRAEM (Zavrtanik et al., ICCV 2021: Perlin-shaped
areas of another texture). No kind imitates the defects of any one data set.
"""

import math

import torch
from torch.nn import functional as F

#: Kinds that critics train on, and kinds of their own that weigh the scores: what a critic has seen says nothing new.
TRAINED = ("scar", "spot", "texture", "paste")
JUDGES = ("stain", "blur", "turn")


def damage(x, kind):
    """Damage each image once: (damaged images, masks). kind: one of TRAINED or JUDGES."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of damage {kind!r}: choose from {', '.join(KINDS)}.")
    mask, other = KINDS[kind](x)
    soft = F.avg_pool2d(mask[:, None].float(), 3, 1, 1)  # no edge that is sharper than the lens
    return (x + soft * (other - x)).clamp(0, 1), mask


def _uniform(x, low, high):
    return torch.empty(len(x), 1, 1, device=x.device).uniform_(low, high)


def _frame(x):
    """Coordinates along and across a random direction through a random place, in pixels: two tensors (N, H, W)."""
    height, width = x.shape[2:]
    dy = torch.arange(height, device=x.device)[:, None] - _uniform(x, 0, height)
    dx = torch.arange(width, device=x.device)[None] - _uniform(x, 0, width)
    angle = _uniform(x, 0, math.pi)
    return dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()


def _side(x):
    return min(x.shape[2:])


def _cloud(x, cell):
    """Smooth noise (N, H, W) of deviation about 1 whose bumps are `cell` pixels wide."""
    height, width = x.shape[2:]
    coarse = torch.randn(
        len(x), 1, max(2, round(height / cell)), max(2, round(width / cell)), device=x.device
    )
    return F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)[:, 0]


def _shade(x, least=0.1, most=0.5):
    """A relative change of brightness (N, 1, 1, 1), more often darker."""
    size = _uniform(x, least, most)
    return (size * torch.where(_uniform(x, 0, 1) < 0.65, -1.0, 1.0))[..., None]


def _scar(x):
    """A thin bent line, darker or brighter."""
    along, across = _frame(x)
    side = _side(x)
    across = across + along**2 * _uniform(x, -0.01, 0.01) + _cloud(x, side / 20) * side * 0.006
    length, width = _uniform(x, 0.05, 0.3) * side, (0.004 + 0.02 * _uniform(x, 0, 1) ** 2) * side
    grain = 0.03 * _cloud(x, 2)[:, None]
    return (along.abs() < length) & (across.abs() < width.clamp_min(0.8)), x * (1 + _shade(x)) + grain


def _spot(x):
    """A small blob, darker or brighter."""
    along, across = _frame(x)
    radius = (0.01 + 0.06 * _uniform(x, 0, 1) ** 1.5) * _side(x)
    across = across / _uniform(x, 0.4, 1)
    mask = (along**2 + across**2) / radius**2 + 0.2 * _cloud(x, _side(x) / 20) < 1
    return mask, x * (1 + _shade(x)) + 0.03 * _cloud(x, 2)[:, None]


def _texture(x):
    """A Perlin-shaped area through which another image shows."""
    along, across = _frame(x)
    cloud = _cloud(x, _side(x) / 10)
    level = torch.quantile(cloud.flatten(1)[:, ::7], float(torch.empty(()).uniform_(0.85, 0.97)), dim=1)
    near = along**2 + across**2 < (0.25 * _side(x)) ** 2
    return (cloud > level[:, None, None]) & near, 0.4 * x + 0.6 * _elsewhere(x) + _shade(x, 0, 0.15)


def _paste(x):
    """A rectangle of another place of another image (CutPaste)."""
    along, across = _frame(x)
    length, width = _uniform(x, 0.03, 0.15) * _side(x), _uniform(x, 0.03, 0.15) * _side(x)
    return (along.abs() < length) & (across.abs() < width), _elsewhere(x)


def _elsewhere(x):
    """Other places of other images."""
    height, width = x.shape[2:]
    return x.roll((1, height // 3, width // 3), (0, 2, 3)).flip(3)


def _stain(x):
    """A wide soft shadow or gleam."""
    along, across = _frame(x)
    radius = _uniform(x, 0.08, 0.2) * _side(x)
    return along**2 + across**2 < radius**2, x + _shade(x, 0.08, 0.25)


def _blur(x):
    """A disc in which the texture is lost."""
    along, across = _frame(x)
    radius, size = _uniform(x, 0.05, 0.15) * _side(x), 2 * (_side(x) // 24) + 3
    padded = F.pad(x, [size // 2] * 4, mode="replicate")
    return along**2 + across**2 < radius**2, F.avg_pool2d(padded, size, 1)


def _turn(x):
    """A disc whose content is upside down."""
    along, across = _frame(x)
    radius = _uniform(x, 0.05, 0.15) * _side(x)
    return along**2 + across**2 < radius**2, x.flip((2, 3))


KINDS = {
    "scar": _scar, "spot": _spot, "texture": _texture, "paste": _paste,
    "stain": _stain, "blur": _blur, "turn": _turn,
}  # fmt: skip
