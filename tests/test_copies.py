"""Copies of one picture, and what names and images tell of parts."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from dualad_lib import load_one_class
from dualad_lib.data.copies import equal_copies, first_copies, parts_in, runs_of
from dualad_lib.folder.hold_back import sides


@pytest.fixture(scope="module")
def photos():
    return load_one_class("fashion_mnist_sample", 8).train[:200]


def again(images, **options):
    """The same images, saved once more."""
    out = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(file, **options)
        out.append(np.asarray(Image.open(file).convert("L")))
    return torch.from_numpy(np.stack(out))[:, None]


@pytest.mark.parametrize(
    "options", [{"format": "PNG"}, {"format": "JPEG", "quality": 90}, {"format": "WEBP", "quality": 90}]
)
def test_saving_again_makes_no_new_picture(photos, options):
    both = torch.cat([photos, again(photos[50:120], **options)])
    first = first_copies(both)
    assert first[:200].tolist() == list(range(200))  # no two of the originals
    assert first[200:].tolist() == list(range(50, 120))
    if options["format"] == "PNG":
        assert equal_copies(both).tolist() == first.tolist()


def test_like_is_not_the_same(photos):
    brighter = (photos[:100].float() * 1.6).clamp(0, 255).byte()
    noise = torch.randint(0, 256, (100, 1, 28, 28), dtype=torch.uint8, generator=torch.manual_seed(0))
    for images in (torch.cat([photos[:100], brighter]), noise, noise // 64 + 100):
        assert first_copies(images).tolist() == list(range(len(images)))


def test_equal_images_alone(photos):
    assert first_copies(photos[:1].repeat(12, 1, 1, 1)).tolist() == [0] * 12
    assert first_copies(photos[[0, 1, 0, 1]]).tolist() == [0, 1, 0, 1]
    assert first_copies(photos[:2]).tolist() == [0, 1]


def series(parts, views, noise=4.0):
    rng = np.random.default_rng(0)
    base = rng.normal(120, 40, (parts, 1, 1, 6, 6)).repeat(4, 3).repeat(4, 4)
    seen = base + rng.normal(0, noise, (parts, views, 1, 24, 24))
    return torch.from_numpy(seen.clip(0, 255).astype(np.uint8)).flatten(0, 1)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        (lambda p, v: f"part{p:02d}_view{v}.png", True),
        (lambda p, v: f"part{p:02d}view{v}.png", True),
        (lambda p, v: f"{p:03d}/cam{v}.png", True),
        (lambda p, v: f"cam{v}/{p:03d}.png", True),
        (lambda p, v: f"sn-{7919 * p}-{'abcdef'[v]}.jpg", True),
        (lambda p, v: f"{p:03d}-{v}.png", False),
        (lambda p, v: f"{p:03d}{'abcdef'[v]}.png", False),
        (lambda p, v: f"K{7919 * p}X/{v}.png", False),
    ],
)
def test_names_tell_of_parts(name, known):
    names = [name(p, v) for p in range(20) for v in range(6)]
    wanted = np.arange(120) // 6
    found = parts_in(names, series(20, 6))
    assert found.clear and found.views == 6
    assert len({*zip(found.parts, wanted, strict=True)}) == 20 == len(set(found.parts))
    unlike = parts_in(names, series(120, 1))  # nothing but the name says that they are views
    assert unlike.clear if known else unlike is None


@pytest.mark.parametrize(
    "name",
    [
        "img_{0:04d}.png",
        "{0:03d}.png",
        "IMG{0}.JPG",
        "photo ({0}).jpg",
        "ok_{0:03d}_good.png",
        "IMG_20240101_1{0:05d}.jpg",
        "2024-01-{1:02d}/img_{2:03d}.png",
        "lot{1}_{2:03d}.png",
    ],
)
def test_numbers_and_dates_are_no_parts(name):
    assert parts_in([name.format(i, i // 20, i % 20) for i in range(200)], series(200, 1)) is None


def test_parts_are_only_proposed_where_views_are_a_little_alike():
    names = [f"{i // 4:03d}-{i % 4}.png" for i in range(120)]
    mixed = (series(30, 4).float() * 0.45 + series(120, 1).flip(0).float() * 0.55).byte()
    found = parts_in(names, mixed)
    assert not found.clear and found.views == 4


def test_runs_of_images_that_are_alike():
    numbers = runs_of(series(30, 4))
    assert (numbers == np.arange(120) // 4).all()
    assert runs_of(series(120, 1)) is None
    assert runs_of(load_one_class("fashion_mnist_sample", 6).train[:300]) is None


def test_parts_that_share_a_picture_are_held_back_together():
    """A part that was photographed under two names: a picture of the one is a copy of one of the other."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 1, 16, 16)).astype(np.uint8))
    images[3] = images[0]
    names = [f"part{number // 3}_view{number % 3}.png" for number in range(60)]
    counts = set()
    for seed in range(40):
        _, held, _ = sides(images, names, re.compile(r"part\d+"), seed, say=lambda text: None)
        counts.add(sum(bool((held == images[k]).flatten(1).all(1).any()) for k in (1, 2, 4, 5)))
    assert counts == {0, 4}
