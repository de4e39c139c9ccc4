"""The practitioner's path end to end: PNG files in, a model and a ranked table out."""

import csv

import numpy as np
import pytest
from PIL import Image

from dualad_lib import load_one_class
from dualad_lib.cli import main
from dualad_lib.runs.folder import TABLE

pytestmark = pytest.mark.filterwarnings("ignore:Skipped")
QUICK = ["--image-size", "28", "--steps", "40"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A class of the sample as PNG files: normal images to learn from; bags among shoes to judge, one file broken."""
    root = tmp_path_factory.mktemp("parts")
    task = load_one_class("fashion_mnist_sample", 8)
    anomalous = task.test[task.test_classes == 9][:15]
    for folder, images in (
        ("normal", task.train[:220]),
        ("new/fine", task.test[task.test_labels == 0][:15]),
        ("new/odd", anomalous),
    ):
        (root / folder).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(root / folder / f"{i:03d}.png")
    (root / "new" / "broken.png").write_bytes(b"no picture")
    return root


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("detector", ["dualad", "autoencoder", "pca"])
def test_fit_and_score(folders, tmp_path, capsys, detector):
    model, table = tmp_path / "model.safetensors", tmp_path / "scores.csv"
    steps = [] if detector == "pca" else QUICK[2:]
    fit = [
        "fit",
        "--normal",
        str(folders / "normal"),
        "--out",
        str(model),
        "--detector",
        detector,
        *QUICK[:2],
        *steps,
    ]
    assert main(fit) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.safetensors"
    ]  # nothing of the training is left
    maps = tmp_path / "maps"
    score = ["score", "--model", str(model), "--images", str(folders / "new"), "--out", str(table)]
    assert main([*score, "--heatmaps", str(maps)]) == 0
    said = capsys.readouterr().out
    assert (
        "22 held back" in said
        and "skipped, unreadable" in said
        and "30 images" in said
        and "1 unreadable" in said
    )
    rows = read(table)
    assert tuple(rows[0]) == TABLE
    assert [row["rank"] for row in rows] == [*map(str, range(1, 31)), ""]
    assert rows[-1]["file"] == "broken.png" and rows[-1]["verdict"] == "unreadable"
    scores = [float(row["score"]) for row in rows[:-1]]
    assert scores == sorted(scores, reverse=True)
    odd = [row["file"].startswith("odd/") for row in rows[:-1]]
    assert np.mean(np.flatnonzero(odd)) < np.mean(
        np.flatnonzero(np.logical_not(odd))
    )  # shoes rank above bags
    assert all(0 < float(row["p_value"]) <= 1 for row in rows[:-1])
    drawn = sorted(p.relative_to(maps).as_posix() for p in maps.rglob("*.png"))
    assert len(drawn) == 30 and drawn[0] == "fine/000.png.png"
    assert Image.open(maps / drawn[0]).size == (3 * 28, 28)


def test_rate_moves_the_verdict(folders, tmp_path):
    model = tmp_path / "m.safetensors"
    main(["fit", "--normal", str(folders / "normal"), "--out", str(model), "--detector", "pca", *QUICK[:2]])
    alarms = []
    for rate in ("0.05", "0.5"):
        out = tmp_path / f"{rate}.csv"
        main(
            [
                "score",
                "--model",
                str(model),
                "--images",
                str(folders / "new"),
                "--out",
                str(out),
                "--rate",
                rate,
            ]
        )
        alarms.append(sum(row["verdict"] == "anomalous" for row in read(out)))
    assert alarms[0] < alarms[1]


def test_what_cannot_be_done_is_one_line_and_leaves_nothing(folders, tmp_path, capsys):
    normal, new, out = folders / "normal", folders / "new", tmp_path / "m.safetensors"
    cases = [
        (["fit", "--normal", normal, "--out", tmp_path / "m.bin"], "end in .safetensors"),
        (["fit", "--normal", tmp_path / "none", "--out", out], "no folder"),
        (["fit", "--normal", normal, "--out", out, "--detector", "vae"], "choose from"),
        (
            ["fit", "--normal", normal, "--out", out, "--detector", "pca", "--steps", "9"],
            "pca has no 'steps'",
        ),
        (["fit", "--normal", new, "--out", out, "--strict"], "cannot be read as an image"),
        (["score", "--model", out, "--images", new, "--out", tmp_path / "s.csv"], "no model file"),
    ]
    for arguments, words in cases:
        assert main([str(a) for a in arguments]) == 2
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_detector_without_reconstruction_has_no_heat_maps(folders, tmp_path, capsys):
    model = tmp_path / "m.safetensors"
    main(["fit", "--normal", str(folders / "normal"), "--out", str(model), "--detector", "kde", *QUICK[:2]])
    score = [
        "score",
        "--model",
        str(model),
        "--images",
        str(folders / "new"),
        "--out",
        str(tmp_path / "s.csv"),
    ]
    assert main([*score, "--heatmaps", str(tmp_path / "maps")]) == 2
    assert "heat maps" in capsys.readouterr().err and not (tmp_path / "s.csv").exists()


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """150 parts to learn from and 60 new ones, each photographed three times with a little noise."""
    root, noise = tmp_path_factory.mktemp("views"), np.random.default_rng(0)
    parts = load_one_class("fashion_mnist_sample", 8).train[:210, 0].numpy().astype(float)
    for number, part in enumerate(parts):
        folder = root / ("old" if number < 150 else "new")
        folder.mkdir(exist_ok=True)
        for view in range(3):
            seen = np.clip(part + noise.normal(0, 4, part.shape), 0, 255).astype(np.uint8)
            Image.fromarray(seen).save(folder / f"part{number}_view{view}.png")
    return root


def test_views_of_a_part_are_held_back_together(views, tmp_path, capsys):
    """Held back one by one they would stand beside their twins, and new parts would raise alarms."""
    from dualad_lib import Detector, NearestNeighbours
    from dualad_lib.data import read_images

    new, fit = read_images(views / "new", 28)[0], ["fit", "--normal", str(views / "old"), "--detector", "knn"]
    alarms = []
    for by in (["--by", r"part\d+"], ["--by", r"(\w+)_view"], []):
        model = tmp_path / f"{len(alarms)}.safetensors"
        assert main([*fit, "--out", str(model), *QUICK[:2], *by]) == 0
        alarms.append(np.mean(Detector.load(model).predict(new) < 0))
    said = capsys.readouterr().out
    assert said.count("trained on 405; 45 (all of 15 parts) held back") == 3
    assert (
        "150 parts of up to 3 views each: each part is held back as a whole, as by --by '(.+)[_ /-]'" in said
    )
    alone = NearestNeighbours().fit(read_images(views / "old", 28)[0])
    assert alarms[0] == alarms[1] == alarms[2] < np.mean(alone.predict(new) < 0) - 0.5


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (["(part"], "'(part' is no regular expression"),
        (["view9"], "'view9' finds no part in the name part0_view0.png"),
        (["part"], "finds too few parts (1)"),
        ([r"part\d+", "--calibration", "elsewhere"], "give one of the two"),
    ],
)
def test_parts_that_cannot_be_told_are_one_line(views, tmp_path, capsys, by, message):
    fit = ["fit", "--normal", str(views / "old"), "--out", str(tmp_path / "m.safetensors")]
    assert main([*fit, "--detector", "pca", *QUICK[:2], "--by", *by]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("default:.*calibration images")
def test_a_warning_is_one_line_that_names_no_file_of_the_library(folders, tmp_path, capsys):
    fit = ["fit", "--normal", str(folders / "normal"), "--out", str(tmp_path / "m.safetensors")]
    assert main([*fit, "--detector", "pca", *QUICK[:2], "--rate", "0.01"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dualad: warning: 22 calibration images cannot promise") and ".py" not in line


def test_calibration_images_come_from_a_folder_of_their_own(folders, tmp_path, capsys):
    from dualad_lib import Detector

    model = tmp_path / "m.safetensors"
    fit = ["fit", "--out", str(model), "--detector", "knn", *QUICK[:2], "--normal", str(folders / "normal")]
    assert main([*fit, "--calibration", str(folders / "new" / "fine")]) == 0
    assert "trained on 220; 15 held back" in capsys.readouterr().out
    assert len(Detector.load(model).calibration_scores_) == 15
    assert main([*fit, "--calibration", str(folders)]) == 2
    assert "inside one another" in capsys.readouterr().err
