"""Damage that is drawn into images: where the mask says, in range, from the seed."""

import pytest
import torch
from torch.nn import functional as F

from dualad_lib.defects import JUDGES, KINDS, TRAINED, damage

ALL = (*TRAINED, *JUDGES)


def photographs(channels=1, size=(64, 96)):
    """Noisy waves: no two places are alike."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(*(torch.arange(s).float() for s in size), indexing="ij")
    waves = torch.stack([0.5 + 0.3 * torch.sin(x / (5 + i) + y / 9) for i in range(24)])
    noise = 0.1 * torch.randn(24, channels, *size, generator=generator)
    return (waves[:, None] + noise).clamp(0.02, 0.98)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_changed_is_what_the_mask_marks(kind, channels):
    torch.manual_seed(0)
    x = photographs(channels)
    y, mask = damage(x, kind)
    assert y.shape == x.shape and mask.shape == (24, 64, 96) and mask.dtype == torch.bool
    changed = (y - x).abs().amax(1) > 1e-6
    dilated = F.max_pool2d(mask[:, None].float(), 3, 1, 1)[:, 0] > 0  # the soft edge is a pixel wide
    assert not (changed & ~dilated).any()
    marked = mask.flatten(1).any(1)
    assert marked.float().mean() > 0.7  # some fall beside the frame
    assert ((changed & mask).flatten(1).any(1) == marked).all()
    assert (changed & mask).sum() > 0.8 * mask.sum()
    assert mask.float().mean() < 0.3  # a defect, not another image


@pytest.mark.parametrize("kind", ALL)
def test_damaged_images_stay_images(kind):
    torch.manual_seed(0)
    for x in (photographs(), torch.zeros(8, 1, 32, 40), torch.ones(8, 3, 32, 40)):
        before = x.clone()
        y, _ = damage(x, kind)
        assert y.isfinite().all() and y.min() >= 0 and y.max() <= 1
        assert torch.equal(x, before)


@pytest.mark.parametrize("kind", ALL)
def test_the_seed_draws_the_damage(kind):
    x, found = photographs(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(damage(x, kind))
    assert all(torch.equal(one, other) for one, other in zip(found[0], found[1], strict=True))
    assert not torch.equal(found[0][1], found[2][1])


def test_critics_train_on_kinds_that_do_not_judge():
    assert not set(TRAINED) & set(JUDGES) and set(KINDS) == {*TRAINED, *JUDGES}


def test_an_unknown_kind_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="unknown kind of damage 'rust': choose from scar, spot"):
        damage(photographs(), "rust")
