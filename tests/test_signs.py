"""Traffic signs on a made-up folder of the benchmark's layout."""

import pytest
import torch
from PIL import Image

from dualad_lib import DataError, DataNotFoundError
from dualad_lib.data import load_labelled, load_signs, of_class
from dualad_lib.data.readers.gtsrb import LEAKED, SIGNS, STOP, read_signs, split_by_track


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes, five tracks of three frames each; red tells the class, green the track. Four test images."""
    root = tmp_path_factory.mktemp("gtsrb")
    for label in (STOP, 17):
        place = root / "GTSRB" / "Training" / f"{label:05d}"
        place.mkdir(parents=True)
        for track in range(5):
            for frame in range(3):
                image = Image.new("RGB", (40, 37), (label, 10 * track, frame))
                image.save(place / f"{track:05d}_{frame:05d}.ppm")
        (place / f"GT-{label:05d}.csv").write_text("no image")
    images = root / "GTSRB" / "Final_Test" / "Images"
    images.mkdir(parents=True)
    leaked = min(LEAKED)
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number, label in ((0, STOP), (1, 17), (leaked, STOP), (3, 17)):
        Image.new("RGB", (50, 50), (label, 0, 0)).save(images / f"{number:05d}.ppm")
        lines.append(f"{number:05d}.ppm;50;50;5;5;45;45;{label}")
    (root / "GT-final_test.csv").write_text("\n".join(lines) + "\n")
    return root


def test_an_unknown_part_and_a_table_without_its_columns_are_refused(tmp_path):
    with pytest.raises(DataError, match="not 'Train'"):
        read_signs(tmp_path, "Train")
    (tmp_path / "GT-final_test.csv").write_text("Filename;Width\n00000.ppm;32\n")
    with pytest.raises(DataError, match="no columns Filename and ClassId"):
        read_signs(tmp_path, "test")


def test_images_have_the_class_of_their_folder_and_the_track_of_their_name(folder):
    signs = read_signs(folder, "train", side=16)
    assert signs.images.shape == (30, 3, 16, 16) and signs.images.dtype == torch.uint8
    assert (signs.images[:, 0, 0, 0] == signs.labels).all()
    assert (signs.images[:, 1, 0, 0] == 10 * signs.tracks).all()
    assert SIGNS[STOP] == "stop" and len(SIGNS) == 43


def test_test_images_that_show_a_training_sign_are_left_out(folder):
    signs = read_signs(folder, "test")
    assert signs.labels.tolist() == [STOP, 17, 17] and len(LEAKED) == 30


def test_a_split_by_track_shares_no_sign(folder):
    signs = read_signs(folder, "train", side=8)
    rest, part = split_by_track(signs, 0.4, seed=1)
    assert len(part) == 12 and len(rest) == 18

    def pairs(chosen):
        return set(zip(chosen.labels.tolist(), chosen.tracks.tolist(), strict=True))

    assert not pairs(rest) & pairs(part)
    assert {label for label, _ in pairs(part)} == {STOP, 17}
    assert pairs(split_by_track(signs, 0.4, seed=2)[1]) != pairs(part)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named(tmp_path, part):
    with pytest.raises(DataError, match=f"no {part} images"):
        read_signs(tmp_path, part)


@pytest.fixture
def root(folder, tmp_path):
    """A data folder that holds the made-up set."""
    (tmp_path / "gtsrb").symlink_to(folder)
    return tmp_path


def test_signs_are_found_where_the_environment_says(root, monkeypatch):
    monkeypatch.setenv("DUALAD_DATA", str(root))
    assert len(load_signs("train")) == 30 and len(load_signs("test")) == 3


def test_signs_that_are_nowhere_are_named_with_every_way_to_get_them(tmp_path):
    with pytest.raises(DataNotFoundError, match="GTSRB was not found.*not allowed") as caught:
        load_signs("train", root=tmp_path, download=False)
    assert "DUALAD_DATA" in str(caught.value) and "280 MB" in str(caught.value)


def test_a_download_lands_whole_or_not_at_all(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, root, split, download):
            (root / "gtsrb" / "GTSRB").mkdir(parents=True, exist_ok=True)
            if split == "test":
                raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.GTSRB", Broken)
    with pytest.raises(DataNotFoundError, match="the download failed: no network"):
        load_signs("train", root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_classifier_learns_and_is_judged_on_different_physical_signs(root):
    data = load_labelled("gtsrb", root=root)
    assert len(data.train.images) == 24 and len(data.held.images) == 6 and len(data.test.images) == 3
    tracks = [{(int(i[0, 0, 0]), int(i[1, 0, 0])) for i in part.images} for part in data[:2]]  # red, green
    assert not tracks[0] & tracks[1] and data.class_names[STOP] == "stop"
    assert len(of_class(data.held, STOP)) == 3
    with pytest.raises(DataError, match="no image of class 5"):
        of_class(data.held, 5)


def test_other_sets_hold_out_a_fifth_of_each_class():
    data = load_labelled("digits")
    share = len(data.held.images) / (len(data.held.images) + len(data.train.images))
    assert share == pytest.approx(0.2, abs=0.01) and set(data.held.labels.tolist()) == set(range(10))
