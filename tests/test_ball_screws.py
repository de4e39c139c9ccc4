"""Ball screws over time: both folder layouts, splits by time and place, and the sample that ships."""

import hashlib
import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualad_lib import DataError, DataNotFoundError
from dualad_lib.data import load_inspection, masks, places
from dualad_lib.data.inspection import (
    DEVELOPMENT_PLACES,
    split_by_part,
    split_by_time,
    split_development,
)
from dualad_lib.data.readers.ball_screws import read_ball_screws

ROOT = Path(__file__).resolve().parents[1]
PIT = (100, 40, 140, 60)  # left, upper, right, lower: of 240 x 100
# place: of its photographs, in time order, whether each is marked
SPINDLE = {"100000_000": (False, False, True), "102500_045": (False, True, True), "477500_315": (False,) * 3}


def pictures():
    """(place, name of the time, framing, picture, marked) of a made-up spindle; framing 1 is wider."""
    for number, (place, marked) in enumerate(SPINDLE.items()):
        for day, mark in enumerate(marked):
            pixels = np.full((100, 240, 3), (40 * number + 20, 10 * day, 200), np.uint8)
            yield place, f"2008{28 + day}11001{number}", 2, Image.fromarray(pixels), mark
        yield place, f"20090512000{number}", 1, Image.fromarray(np.zeros((100, 260, 3), np.uint8)), False


def pit(size):
    mask = np.zeros(size[::-1], np.uint8)
    mask[PIT[1] : PIT[3], PIT[0] : PIT[2]] = 255
    return mask


@pytest.fixture
def by_place(tmp_path):
    """Photographs sorted by place, the masks beside them."""
    for place, time, framing, picture, marked in pictures():
        folder = tmp_path / "sorted" / "ball_screws" / place
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{time}_{framing}.jpg", quality=95, subsampling=0)
        if marked:
            Image.fromarray(pit(picture.size)).save(folder / f"{time}_{framing}.png")
    return tmp_path / "sorted" / "ball_screws"


@pytest.fixture
def cloned(tmp_path):
    """The same as in the repository of the set, with a photograph of another screw."""
    root = tmp_path / "clone" / "ball_screws"
    (root / "data").mkdir(parents=True)
    (root / "label").mkdir()
    left, upper, right, lower = PIT
    corners = [[left, upper], [right, upper], [right, lower], [left, lower]]
    for place, time, framing, picture, marked in pictures():
        stem = f"01_{time}_{place}_crop_{framing}"
        picture.save(root / "data" / f"{stem}.jpg", quality=95, subsampling=0)
        shape = {"label": "Pitting", "shape_type": "polygon", "points": corners}
        text = json.dumps({"imageWidth": 240, "imageHeight": 100, "shapes": [shape], "imageData": "AA=="})
        if marked:
            (root / "label" / f"{stem}.json").write_text(text)
    for other, ending, content in (("data", "jpg", b"no picture"), ("label", "json", b"{}")):
        (root / other / f"KGT1_7.{ending}").write_bytes(content)
    return root


@pytest.mark.parametrize("layout", ["by_place", "cloned"])
def test_both_layouts_give_the_same_photographs(layout, request):
    found = read_ball_screws(request.getfixturevalue(layout), 120)
    assert found.images.shape == (9, 3, 48, 120) and found.images.dtype == torch.uint8
    assert found.images[0, :, 5, 5].tolist() == pytest.approx([20, 0, 200], abs=3)
    assert found.images[8, :, 5, 5].tolist() == pytest.approx([100, 20, 200], abs=3)
    assert found.labels.tolist() == [0, 0, 1, 0, 1, 1, 0, 0, 0] and found.class_names == ("Free", "Pitting")
    assert found.places.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and found.place_names == tuple(SPINDLE)
    first = int(datetime(2020, 8, 28, 11, 0, 10, tzinfo=UTC).timestamp())
    assert found.times.tolist()[:3] == [first, first + 86400, first + 2 * 86400]
    assert found.times.dtype == found.places.dtype == found.parts.dtype == torch.int64
    marked = found.masks.flatten(1).sum(1)
    assert torch.equal(marked > 0, found.labels > 0) and found.masks[2, 24, 60] and not found.masks[2, 24, 80]
    assert marked[2] == pytest.approx(20 * 9.6, rel=0.15)


def test_places_that_see_the_same_pit_are_one_part(by_place):
    found = read_ball_screws(by_place)
    assert found.parts.tolist() == [0] * 6 + [1] * 3  # 2.5 mm, an eighth of a turn, lie between the first two
    assert "9 images of 2 parts at 3 places: 6 free, 3 pitting" in repr(found)


def test_an_inspection_is_indexed_with_its_places_and_times(by_place):
    found = read_ball_screws(by_place, 80)
    some = found[found.labels == 1]
    assert (
        some.places.tolist() == [0, 1, 1] and some.times.tolist() == found.times[found.labels == 1].tolist()
    )
    assert some.place_names == found.place_names and "3 images of 1 parts at 2 places" in repr(some)
    stand_in = load_inspection("digits")
    assert stand_in.places is None and stand_in.times is None and stand_in[:3].places is None


@pytest.mark.parametrize(
    ("asked", "shape"),
    [(248, (104, 248)), (416, (176, 416)), (100, (40, 100)), (10, (8, 10)), ((30, 50), (30, 50))],
)
def test_the_ratio_is_kept_where_one_number_is_asked_for(by_place, asked, shape):
    found = read_ball_screws(by_place, asked)
    assert tuple(found.images.shape[2:]) == tuple(found.masks.shape[1:]) == shape


def test_the_wider_framing_is_read_apart(by_place):
    wide = read_ball_screws(by_place, 130, framing=1)
    assert wide.images.shape == (3, 3, 48, 130) and wide.labels.tolist() == [0, 0, 0]
    with pytest.raises(DataError, match="framing must be 1"):
        read_ball_screws(by_place, framing=3)


def test_a_pit_too_small_for_the_mask_is_still_a_label(by_place):
    mask = np.zeros((100, 240), np.uint8)
    mask[50, 120] = 255
    Image.fromarray(mask).save(by_place / "477500_315" / "200828110012_2.png")
    found = read_ball_screws(by_place, 60)  # a pixel of 4 x 4
    assert found.labels[6] == 1 and not found.masks[6].any()
    Image.fromarray(0 * mask).save(by_place / "477500_315" / "200828110012_2.png")
    assert read_ball_screws(by_place, 60).labels[6] == 0


@pytest.mark.parametrize(
    ("place", "name", "message"),
    [
        ("477500_315", "200828110012_3.jpg", "does not say its place, time"),
        ("477500_315", "201328110012_2.jpg", "does not say its place, time"),
        ("477500_315", "2008281100_2.jpg", "does not say its place, time"),
        ("spindle", "200828110012_2.jpg", "is not named by a place"),
        ("477500_315", "200901110012_2.png", "marks a photograph that is missing"),
    ],
)
def test_names_that_say_too_little_are_refused(by_place, place, name, message):
    (by_place / place).mkdir(exist_ok=True)
    Image.new("RGB", (240, 100)).save(by_place / place / name)
    with pytest.raises(DataError, match=message):
        read_ball_screws(by_place)


def test_an_incomplete_clone_is_one_error(cloned):
    photograph = cloned / "data" / "01_200830110010_100000_000_crop_2.jpg"
    photograph.rename(photograph.with_name("01_2008_100000_000_crop_2.jpg"))
    with pytest.raises(DataError, match="01_2008_100000_000_crop_2.jpg does not say"):
        read_ball_screws(cloned)
    photograph.with_name("01_2008_100000_000_crop_2.jpg").unlink()
    with pytest.raises(DataError, match="marks a photograph that is missing"):
        read_ball_screws(cloned)
    (cloned / "label").rename(cloned / "labels")
    with pytest.raises(DataError, match="not label, the annotations"):
        read_ball_screws(cloned)


@pytest.mark.parametrize(
    "text", ["{", '{"shapes": []}', '{"imageWidth": 9, "imageHeight": 9, "shapes": [{}]}']
)
def test_a_damaged_annotation_is_one_error(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a.json cannot be read as a mask \((JSONDecodeError|KeyError)"):
        masks.coverage(path, (9, 9))


def test_a_shape_that_is_no_polygon_is_refused(tmp_path):
    shape = {"shape_type": "circle", "points": [[1, 1], [2, 2]]}
    (tmp_path / "a.json").write_text(json.dumps({"imageWidth": 9, "imageHeight": 9, "shapes": [shape]}))
    with pytest.raises(DataError, match="marks a circle, not a polygon"):
        masks.coverage(tmp_path / "a.json", (9, 9))


def test_a_polygon_covers_its_area(tmp_path):
    points = [[10.3, 20.6], [30.9, 22.4], [25.2, 41.7]]
    shape = {"shape_type": "polygon", "points": points}
    (tmp_path / "a.json").write_text(json.dumps({"imageWidth": 60, "imageHeight": 60, "shapes": [shape] * 2}))
    covered = masks.coverage(tmp_path / "a.json", (20, 20))
    area = 0.5 * abs(20.6 * 21.1 - 14.9 * 1.8)  # half the cross product of two sides
    assert covered.sum() / 255 * 9 == pytest.approx(area, rel=0.06)
    x, y = (np.arange(20) * 3 + 1.5 for _ in range(2))
    centre = [(covered.sum(axis) * at).sum() / covered.sum() for axis, at in ((0, x), (1, y))]
    assert centre == pytest.approx(np.mean(points, 0), abs=0.2)


# ---------------------------------------------------------------- by name


def test_screws_are_found_where_the_environment_says_and_never_replaced_by_the_sample(
    by_place, cloned, tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "own_folder", lambda: tmp_path / "own")
    monkeypatch.delenv("DUALAD_DATA", raising=False)
    with pytest.raises(DataNotFoundError) as missing:
        load_inspection("ball_screws")
    for way in (
        "git clone https://github.com/2Obe/BSData",
        "DUALAD_DATA=",
        "root=",
        ".png",
        "ball_screws_sample",
    ):
        assert way in str(missing.value)
    monkeypatch.setenv("DUALAD_DATA", str(by_place.parent))
    assert load_inspection("ball_screws", image_size=80).images.shape == (9, 3, 32, 80)
    assert load_inspection("ball_screws", framing=1).images.shape == (3, 3, 160, 416)
    assert len(load_inspection("ball_screws", root=cloned.parent)) == 9
    (tmp_path / "ball_screws").mkdir()
    with pytest.raises(DataNotFoundError, match="the root asked for"):
        load_inspection("ball_screws", root=tmp_path)


def test_unknown_names_and_framings_are_refused_with_the_choices():
    with pytest.raises(
        DataError, match="magnetic_tiles, ball_screws, ball_screws_sample, fashion_mnist_sample"
    ):
        load_inspection("ball_screw")
    with pytest.raises(DataError, match="holds framing 2 alone"):
        load_inspection("ball_screws_sample", framing=1)


# ---------------------------------------------------------------- splits


def test_the_first_photographs_of_each_place_train():
    times, at = [5, 1, 9, 3, 2, 8, 7, 4], [0, 0, 0, 1, 1, 1, 1, 0]
    early, late = split_by_time(torch.tensor(times), torch.tensor(at), first=2)
    assert early.tolist() == [1, 3, 4, 7] and late.tolist() == [0, 2, 5, 6]
    assert early.dtype == late.dtype == torch.int64
    assert [len(part) for part in split_by_time(times, at, 3)] == [6, 2]


@pytest.mark.parametrize("first", [0, -1, 3, 1.5, None])
def test_a_split_by_time_leaves_something_on_both_sides(first):
    with pytest.raises(DataError, match="from 1 to 2, for a place has 3 images"):
        split_by_time([1, 2, 3, 1, 2, 3, 4], [0, 0, 0, 1, 1, 1, 1], first)


def test_a_split_by_time_needs_times_and_places():
    with pytest.raises(DataError, match="does not know them"):
        split_by_time(None, [0, 1])
    with pytest.raises(DataError, match="one length"):
        split_by_time([1, 2], [0])
    with pytest.raises(DataError, match="has 0 images"):
        split_by_time([], [])


def test_settings_are_chosen_on_other_places_than_those_reported(by_place):
    sample = load_inspection("ball_screws_sample")
    chosen, reported = split_development(sample)
    names = [{sample.place_names[k] for k in sample.places[side].tolist()} for side in (chosen, reported)]
    assert names[0] == {"277500_315", "635000_270"} and names[1].isdisjoint(DEVELOPMENT_PLACES)
    assert sorted([*chosen.tolist(), *reported.tolist()]) == list(range(285))
    # Both places of the pair that sees the same pit stand on one side.
    assert {"395000_270", "397500_315"} <= set(DEVELOPMENT_PLACES)
    with pytest.raises(DataError, match="277500_315, 395000_270"):
        split_development(read_ball_screws(by_place, 40))
    with pytest.raises(DataError, match="does not know them"):
        split_development(load_inspection("digits"))


# ---------------------------------------------------------------- the sample that ships


@pytest.fixture(scope="module")
def sample():
    return load_inspection("ball_screws_sample")


def test_the_sample_is_the_documented_file():
    content = places.shipped("ball_screws_sample.npz").read_bytes()
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(content).hexdigest() in readme and f"{len(content):,} bytes" in readme
    assert len(content) < 6e6
    for name in ("data/README.md", "LICENSE-CC-BY-SA-4.0"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for what in (
            "ball_screws_sample.npz",
            "github.com/2Obe/BSData",
            "Schlagenhauf",
            "2103.13003",
            "Changes",
        ):
            assert what in text, (name, what)


def test_the_sample_holds_five_places_from_clean_to_pitted(sample):
    assert sample.images.shape == (285, 3, 168, 416) and sample.masks.shape == (285, 168, 416)
    assert sample.places.bincount().tolist() == [57] * 5 and sample.parts.unique().tolist() == [0, 1, 2, 3, 4]
    for k, (name, count, first) in enumerate(
        [
            ("277500_315", 17, 41),
            ("477500_315", 0, None),
            ("585000_090", 14, 28),
            ("597500_315", 7, 51),
            ("635000_270", 13, 45),
        ]
    ):
        own = sample[sample.places == k]
        assert sample.place_names[k] == name and (own.times.diff() > 0).all()
        assert own.labels.sum() == count and (first is None or own.labels.tolist().index(1) + 1 == first)
    day = datetime(2020, 8, 28, tzinfo=UTC).timestamp()
    assert (sample.times > day).all() and (sample.times < day + 11 * 86400).all()
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert "| `585000_090` | 14 | 28th" in readme and "| `477500_315` | 0 | never |" in readme


def test_marks_lie_where_the_pictures_show_dark_pits(sample):
    marked = sample.masks.flatten(1).any(1)
    assert torch.equal(marked, sample.labels > 0)
    share = sample.masks[marked].flatten(1).float().mean(1)
    assert share.min() > 0 and share.max() < 0.02
    assert (
        sample.images.float().std() > 30 and (sample.images.float().mean((0, 2, 3)).diff() < 0).all()
    )  # brass
    # The largest pit of each place: darker than the same place of the first photograph was.
    for k in sample.places[marked].unique().tolist():
        own = sample[sample.places == k]
        last = own.masks.flatten(1).sum(1).argmax()
        where = own.masks[last]
        assert own.images[last][:, where].float().mean() < own.images[0][:, where].float().mean() - 10


def test_the_sample_at_another_size(sample):
    small = load_inspection("ball_screws_sample", image_size=104)
    assert small.images.shape == (285, 3, 40, 104) and torch.equal(small.labels, sample.labels)
    assert small.images.float().mean() == pytest.approx(float(sample.images.float().mean()), abs=1)
    assert load_inspection("ball_screws_sample", image_size=(32, 32)).masks.shape == (285, 32, 32)


def test_no_place_of_the_sample_stands_on_two_sides_and_time_goes_forward(sample):
    sides = split_by_part(sample.parts, seed=1)
    at = [set(sample.places[side].tolist()) for side in sides]
    assert sum(map(len, at)) == 5 and all(at)
    early, late = split_by_time(sample.times, sample.places)
    assert len(early) == 100 and len(late) == 185 and not sample.labels[early].any()
    for k in range(5):
        newest = sample.times[early][sample.places[early] == k].max()
        assert (newest < sample.times[late][sample.places[late] == k]).all()


def test_a_damaged_sample_is_one_error(tmp_path, monkeypatch):
    broken = tmp_path / "ball_screws_sample.npz"
    broken.write_bytes(places.shipped(broken.name).read_bytes()[:100_000])
    monkeypatch.setattr(places, "shipped", lambda name: broken)
    with pytest.raises(DataError, match=r"ball_screws_sample\.npz is missing, truncated or damaged"):
        load_inspection("ball_screws_sample")


def test_the_script_packs_what_it_reads(by_place, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("make_ball_screws", ROOT / "data" / "make_ball_screws.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "SAMPLE", tmp_path / "made.npz")
    monkeypatch.setattr(script, "PLACES", ("100000_000", "477500_315"))
    monkeypatch.setattr("sys.argv", ["make", str(by_place)])
    assert script.main() == 0
    content = (tmp_path / "made.npz").read_bytes()
    assert script.main() == 0 and (tmp_path / "made.npz").read_bytes() == content
    monkeypatch.setattr("sys.argv", ["make", str(by_place), "--check"])
    assert script.main() == 0
    (by_place / "100000_000" / "200830110010_2.png").unlink()
    assert script.main() == 1 and "DIFFER" in capsys.readouterr().out
