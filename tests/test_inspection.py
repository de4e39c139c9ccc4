"""Inspection sets: the tile layout, parts and splits, drawn defects, cameras, patches."""

import numpy as np
import pytest
import torch
from PIL import Image

from dualad_lib import DataError, DataNotFoundError
from dualad_lib.data import load_inspection, load_part
from dualad_lib.data.inspection import (
    DEFECTS,
    SHIFTS,
    camera,
    damage,
    parts_of_frames,
    split_by_part,
    split_by_time,
    stand_in,
)
from dualad_lib.data.patches import cut, image_scores, join, per_image
from dualad_lib.data.readers.magnetic_tiles import CLASSES as TILES
from dualad_lib.data.readers.magnetic_tiles import read_tiles

PARTS = [load_part("fashion_mnist_sample", part) for part in ("train", "test")]


@pytest.fixture
def tiles(tmp_path):
    """Made-up tiles of two sizes in the published layout, one image a class, two of class Free."""
    for number, name in enumerate((*TILES, "Free")):
        folder = tmp_path / f"MT_{name}" / "Imgs"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"exp{1 + number % 6}_num_{1000 * number + 3}"
        mask = np.zeros((40, 60), np.uint8)
        if name != "Free":
            mask[:10, :15] = 255
        Image.fromarray(np.full((40, 60), 100 + number, np.uint8)).save(folder / f"{stem}.bmp")
        Image.fromarray(mask).save(folder / f"{stem}.png")
    return tmp_path


def test_tiles_are_read_from_the_published_layout(tiles):
    found = read_tiles(tiles, 16)
    assert found.images.shape == (7, 1, 16, 16) and found.masks.shape == (7, 16, 16)
    assert found.labels.tolist() == [0, 0, 1, 2, 3, 4, 5] and found.class_names == TILES
    assert found.images[:, 0, 0, 0].tolist() == [100, 106, 101, 102, 103, 104, 105]
    assert found.masks.flatten(1).sum(1).tolist() == [0, 0, *[16] * 5]  # a quarter of each side
    assert found.parts.tolist() == [0, 6, 1, 2, 3, 4, 5]
    assert "2 free, 1 blowhole" in repr(found) and len(found[found.labels == 0]) == 2


def test_a_mask_that_covers_a_quarter_of_a_pixel_marks_it(tiles):
    mask = np.zeros((40, 60), np.uint8)
    mask[0, 0] = 255  # of a cell of 2 x 3 pixels
    mask[20:22, 30] = 255
    Image.fromarray(mask).save(tiles / "MT_Crack" / "Imgs" / "exp4_num_3003.png")
    masks = read_tiles(tiles, (20, 20)).masks[4]
    assert masks.sum() == 1 and masks[10, 10]  # two of six, not one of six


def test_incomplete_tiles_are_one_error(tiles, monkeypatch):
    (tiles / "MT_Fray" / "Imgs" / "exp5_num_4003.png").unlink()
    with pytest.raises(DataError, match="lacks its mask exp5_num_4003.png"):
        read_tiles(tiles)
    (tiles / "MT_Fray" / "Imgs" / "exp5_num_4003.bmp").unlink()
    with pytest.raises(DataError, match="MT_Fray.*incomplete"):
        read_tiles(tiles)
    with pytest.raises(DataNotFoundError, match=r"git clone https.*\n.*needs no download"):
        load_inspection(root=tiles)
    with pytest.raises(
        DataNotFoundError, match="(?s)ZIP.*DUALAD_DATA=.*root=.*ball_screws_sample.*fashion_mnist_sample"
    ):
        load_inspection(root=tiles)


def test_tiles_are_found_where_the_environment_says(tiles, tmp_path, monkeypatch):
    tiles.rename(tmp_path.parent / "magnetic_tiles")
    monkeypatch.setenv("DUALAD_DATA", str(tmp_path.parent))
    assert load_inspection(image_size=8).images.shape == (7, 1, 8, 8)


def test_parts_of_frames():
    assert parts_of_frames([1020, 10, 25, 1000, 5000]).tolist() == [1, 0, 0, 1, 2]
    assert parts_of_frames([0, 300, 601]).tolist() == [0, 0, 1]


def test_no_part_stands_on_two_sides_and_shares_are_nearly_met():
    parts = np.repeat(np.arange(200), np.random.default_rng(0).integers(1, 8, 200))
    split = split_by_part(parts, seed=3)
    assert sorted(torch.cat(split).tolist()) == list(range(len(parts)))
    assert not set(parts[split[0]]) & set(parts[split[1]]) and not set(parts[split[1]]) & set(parts[split[2]])
    assert [len(s) / len(parts) for s in split] == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    assert any(not torch.equal(a, b) for a, b in zip(split, split_by_part(parts, seed=4), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(split, split_by_part(parts, seed=3), strict=True))
    with pytest.raises(DataError, match="sum to 1"):
        split_by_part(parts, (0.6, 0.2))
    with pytest.raises(DataError, match="2 parts cannot be dealt out to 3 sides"):
        split_by_part([0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_drawn_defect_is_where_its_mask_says(kind):
    part = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
    part[:, :, 4:24, 4:24] = 130
    damaged, masks = damage(part, kind, seed=1)
    changed = (damaged != part)[:, 0]
    assert torch.equal(changed, masks) and masks.flatten(1).any(1).all()
    assert not masks[:, :4].any() and masks.float().mean() < 0.15
    assert torch.equal(damage(part, kind, seed=1)[0], damaged) and not torch.equal(
        damage(part, kind, seed=2)[1], masks
    )
    assert (part[:, :, 4:24, 4:24] == 130).all(), "the caller's images are left alone"


def test_a_defect_that_is_not_known_is_refused():
    with pytest.raises(DataError, match="scratch, spot, missing corner"):
        damage(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), "rust")


def test_the_stand_in_shares_no_image_between_good_and_damaged_parts():
    whole = stand_in(*PARTS, damaged=20, alike=1.0)
    found = stand_in(*PARTS, damaged=20)
    assert [int((whole.labels == k).sum()) for k in range(4)] == [1140, 20, 20, 20]
    assert [int((found.labels == k).sum()) for k in range(4)] == [780, 20, 20, 20]
    assert found.images[:780].float().std(0).mean() < 0.8 * whole.images[:1140].float().std(0).mean()
    assert not found.masks[found.labels == 0].any() and found.masks[found.labels > 0].flatten(1).any(1).all()
    assert found.class_names == ("Free", *DEFECTS)
    assert load_inspection("digits").images.shape[1:] == (1, 8, 8)


def test_the_camera_by_hand():
    x = torch.full((2, 1, 9, 9), 100, dtype=torch.uint8)
    x[0, 0, 4, 4] = 250
    assert torch.equal(camera(x), x)
    assert camera(x, brightness=1.3)[0, 0, 4, 4] == 255 and (camera(x, brightness=1.3)[1] == 130).all()
    blurred = camera(x, blur=1.0)
    assert (blurred[1] == 100).all() and 110 < blurred[0, 0, 4, 4] < 130 and blurred[0, 0, 4, 5] > 110
    noisy = camera(torch.full((4, 1, 50, 50), 128, dtype=torch.uint8), noise=0.05).float()
    assert noisy.std() / 255 == pytest.approx(0.05, rel=0.05) and abs(noisy.mean() - 128) < 1
    assert all(len(how) == 1 for how in SHIFTS.values())


@pytest.mark.parametrize(
    ("size", "side", "stride", "count"),
    [
        ((8, 8), 4, 4, 4),
        ((8, 8), 4, 2, 9),
        ((8, 8), 4, None, 9),
        ((9, 14), 4, 3, 15),
        ((5, 5), 8, None, 1),
        ((7, 7), 7, 7, 1),
    ],
)
def test_patches_go_round_trip(size, side, stride, count):
    x = torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(0))
    patches = cut(x, side, stride)
    assert patches.shape == (3 * count, 2, side, side) and per_image(size, side, stride) == count
    assert torch.equal(patches[0, :, : size[0], : size[1]], x[0, :, :side, :side][:, : size[0], : size[1]])
    assert join(patches[:, 1], size, stride) == pytest.approx(x[:, 1].double().numpy(), abs=1e-6)


def test_patches_come_row_by_row_and_overlaps_are_averaged():
    x = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    patches = cut(x, 2, 2)
    assert patches.dtype == torch.uint8 and patches[:, 0, 0, 0].tolist() == [0, 2, 8, 10]
    ones = np.stack([np.full((2, 2), v) for v in (1.0, 3.0)])
    assert join(ones, (2, 3), 1).tolist() == [[[1, 2, 3], [1, 2, 3]]]


def test_an_image_scores_as_its_worst_patch():
    assert image_scores([1.0, 5.0, 2.0, 3.0, 0.0, 1.0], 3).tolist() == [5, 3]
    assert image_scores([0.0, 1.0, 2.0], 3, 0.5).tolist() == [1]


def test_impossible_patches_are_refused():
    with pytest.raises(DataError, match="stride of 5"):
        cut(torch.zeros(1, 1, 8, 8), 4, 5)
    with pytest.raises(DataError, match="N, C, H, W"):
        cut(torch.zeros(8, 8), 4)
    with pytest.raises(DataError, match="are not 9 for each image"):
        join(np.zeros((8, 4, 4)), (8, 8))


def test_no_side_of_a_deal_of_parts_is_empty():
    random = np.random.default_rng(0)
    for seed in range(200):
        parts = np.repeat(np.arange(5), random.integers(1, 12, 5))
        sides = split_by_part(parts, seed=seed)
        assert min(map(len, sides)) > 0 and sum(map(len, sides)) == len(parts)
        assert not set(parts[sides[0].numpy()]) & set(parts[sides[2].numpy()])
    assert [len(side) for side in split_by_part(np.repeat(np.arange(3), 57))] == [57, 57, 57]
    for wrong in ((float("nan"), 0.5, 0.5), (0.5, 0.6), (1.0,)):
        with pytest.raises(DataError, match="shares must be positive and sum to 1"):
            split_by_part(np.arange(10), wrong)
    with pytest.raises(DataError, match=r"parts must be \(N,\)"):
        split_by_part(np.ones((5, 2)))
    with pytest.raises(DataError, match="seed must be"):
        split_by_part(np.arange(10), seed=-1)


def test_cameras_and_defects_take_bytes_and_sensible_numbers():
    images = torch.randint(0, 255, (2, 1, 8, 8)).byte()
    for call in (lambda x: camera(x), lambda x: damage(x, "spot")):
        with pytest.raises(DataError, match="images must be uint8"):
            call(images.float() / 255)
    for wrong in ({"brightness": float("nan")}, {"noise": -1.0}, {"blur": float("inf")}):
        with pytest.raises(DataError, match="must be a number of 0 or more"):
            camera(images, **wrong)


def test_a_time_that_is_none_is_refused():
    with pytest.raises(DataError, match="times hold NaN"):
        split_by_time(np.array([1.0, np.nan, 3.0]), np.zeros(3), first=1)
