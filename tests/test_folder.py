"""The practitioner's path end to end: PNG files in, a model and a ranked table out."""

import csv

import numpy as np
import pytest
from PIL import Image

from dualad_lib import DataError, Detector, load_one_class
from dualad_lib.cli import main
from dualad_lib.data import load_inspection
from dualad_lib.folder.fit import unfitted
from dualad_lib.folder.report import TABLE
from dualad_lib.folder.score import judge

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
    steps += ["--features", "none"] if detector == "dualad" else []
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


def test_fit_leaves_mutual_information_out_unless_it_is_asked_for():
    assert not unfitted("dualad", "none", {}).mutual_information
    assert not unfitted("dualad", "auto", {}).mutual_information
    assert unfitted("dualad", "none", {"mutual_information": True}).mutual_information
    assert not unfitted("dualad_d", "none", {}).feature_constraint


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
    score = ["score", "--model", str(tmp_path / "m.safetensors"), "--images", str(folders / "normal")]
    assert main([*score, "--out", str(tmp_path / "s.csv"), "--rate", "0.2"]) == 0
    assert capsys.readouterr().err == "", "the rate of the file was warned of, and another one was asked for"


def test_calibration_images_come_from_a_folder_of_their_own(folders, tmp_path, capsys):
    from dualad_lib import Detector

    model = tmp_path / "m.safetensors"
    fit = ["fit", "--out", str(model), "--detector", "knn", *QUICK[:2], "--normal", str(folders / "normal")]
    assert main([*fit, "--calibration", str(folders / "new" / "fine")]) == 0
    assert "trained on 220; 15 held back" in capsys.readouterr().out
    assert len(Detector.load(model).calibration_scores_) == 15
    assert main([*fit, "--calibration", str(folders)]) == 2
    assert "inside one another" in capsys.readouterr().err


# --- features, and the report


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Sound screws to learn from, and to judge sound ones and ones with a black spot; none of them copies."""
    root = tmp_path_factory.mktemp("screws")
    found = load_inspection("ball_screws_sample", image_size=(48, 112))
    first, second = (found.images[(found.labels == 0) & (found.places == k)][:, 0].numpy() for k in (0, 1))
    for i, image in enumerate([*first[:20], *second[:20]]):
        save(root / "normal", i, image)
    for i, image in enumerate(first[20:23]):
        save(root / "new" / "fine", i, image)
        odd = image.copy()
        odd[16:32, 40:60] = 0
        save(root / "new" / "odd", i, odd)
    return root


def save(folder, number, image):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{number:03d}.png")


def fit(photographs, out, *options):
    return main(["fit", "--normal", str(photographs / "normal"), "--out", str(out), *options])


def score(model, photographs, out, *options):
    new = str(photographs / "new")
    return main(["score", "--model", str(model), "--images", new, "--out", str(out), *map(str, options)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "detector", [["--steps", "20"], ["--detector", "patchcore"]], ids=["dualad", "patchcore"]
)
def test_photographs_end_to_end(photographs, tmp_path, capsys, detector):
    model, table, page = (tmp_path / name for name in ("m.safetensors", "s.csv", "r.html"))
    assert fit(photographs, model, *detector, "--image-size", "128") == 0
    said = capsys.readouterr().out
    assert "on features of efficientnet_lite0" in said and "56 x 128" in said
    assert score(model, photographs, table, "--report", page, "--heatmaps", tmp_path / "maps") == 0
    rows = read(table)
    assert [row["file"].startswith("odd/") for row in rows] == [True] * 3 + [False] * 3
    assert Image.open(tmp_path / "maps" / "odd" / "000.png.png").size == (2 * 128, 56)  # no reconstruction
    content = page.read_text(encoding="utf-8")
    assert "on features of efficientnet_lite0" in content and content.count("odd/") >= 3
    assert "http://" not in content.replace("http://www.w3.org", "")  # no other file is needed


@pytest.mark.slow
def test_a_model_of_photographs_becomes_an_onnx_file(photographs, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, file = tmp_path / "m.safetensors", tmp_path / "deep" / "m.onnx"
    assert fit(photographs, model, "--detector", "patchcore", "--image-size", "64") == 0
    assert main(["export", "--model", str(model), "--onnx", str(file)]) == 0
    assert "takes images float32 (N, 1, 32, 64) in [0, 1], gives score and map." in capsys.readouterr().out
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": np.zeros((5, 1, 32, 64), np.float32)})[0].shape == (5,)


def test_the_default_sees_through_a_frozen_network_at_its_own_size(photographs, tmp_path, monkeypatch):
    seen = {}

    def stop(self, images, **options):
        seen.update(
            kind=type(self).__name__, backbone=getattr(self, "backbone", None), shape=images.shape[1:]
        )
        raise DataError("enough")

    monkeypatch.setattr(Detector, "_fit_all", lambda self, x, y, calibration, **o: stop(self, x))
    out = tmp_path / "m.safetensors"
    for options, expected in (
        ([], ("FeatureDualAD", "efficientnet_lite0", (1, 112, 256))),
        (["--features", "efficientnet_lite1"], ("FeatureDualAD", "efficientnet_lite1", (1, 112, 256))),
        (["--features", "none"], ("DualAD", None, (1, 32, 64))),
        (["--detector", "dualad_d"], ("FeatureDualAD", "efficientnet_lite0", (1, 112, 256))),
        (["--detector", "patchcore"], ("PatchCore", "efficientnet_lite0", (1, 112, 256))),
        (["--detector", "autoencoder"], ("Autoencoder", None, (1, 32, 64))),
        (["--image-size", "96"], ("FeatureDualAD", "efficientnet_lite0", (1, 40, 96))),
    ):
        assert fit(photographs, out, *options) == 2
        assert (seen["kind"], seen["backbone"], tuple(seen["shape"])) == expected
    assert not list(tmp_path.iterdir())


def test_features_that_cannot_be_had_are_one_line(photographs, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    for options, words in (
        (["--features", "efficientnet_lite9"], "unknown backbone 'efficientnet_lite9'"),
        (["--detector", "pca", "--features", "efficientnet_lite0"], "pca has no choice of features"),
        (["--detector", "padim", "--features", "efficientnet_lite0"], "padim has no choice of features"),
        (["--views", "strong"], "dualad has no 'views' to set"),  # of pixels alone
    ):
        assert fit(photographs, out, "--image-size", "64", *options) == 2
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error
    assert fit(photographs, out, "--detector", "pca", "--features", "none") == 0  # has none, as asked


@pytest.mark.parametrize("detector", ["kde", "feature_neighbours"])
def test_a_report_needs_no_heat_maps(photographs, tmp_path, capsys, detector):
    model, table, page = (tmp_path / name for name in ("m.safetensors", "s.csv", "r.html"))
    fit(photographs, model, "--detector", detector, "--image-size", "64")
    assert score(model, photographs, table, "--report", page) == 0
    content = page.read_text(encoding="utf-8")
    assert content.count("data:image/webp") >= 6 and "odd/000.png" in content
    page.unlink(), table.unlink()
    capsys.readouterr()
    assert score(model, photographs, table, "--report", page, "--heatmaps", tmp_path / "maps") == 2
    assert "no heat maps" in capsys.readouterr().err
    assert not table.exists() and not page.exists()


def test_a_report_of_images_seen_whole_has_no_heat_maps(photographs, tmp_path):
    model, table, page = (tmp_path / name for name in ("m.safetensors", "s.csv", "r.html"))
    fit(photographs, model, "--image-size", "64", "--steps", "5")
    judged = judge(model, photographs / "new", maps="where there are", say=lambda line: None)
    assert all(entry["heat"] is None and entry["image"].shape == (32, 64) for entry in judged.entries())
    assert score(model, photographs, table, "--report", page) == 0 and page.exists()


def test_a_report_shows_what_the_table_says(photographs, tmp_path, capsys):
    model, table, page = (tmp_path / name for name in ("m.safetensors", "s.csv", "r.HTML"))
    fit(photographs, model, "--detector", "pca", "--image-size", "64")
    assert score(model, photographs, table, "--report", page, "--rate", "0.2") == 0
    judged = judge(model, photographs / "new", rate=0.2, maps="where there are", say=lambda line: None)
    assert all(entry["heat"].shape == (32, 64) for entry in judged.entries())
    content = page.read_text(encoding="utf-8")
    assert all(row["file"] in content for row in read(table)) and "20" in content
    for name, words in (("r.txt", "the report must end in .html"), ("r", "the report must end in .html")):
        table.unlink(missing_ok=True)
        assert score(model, photographs, table, "--report", tmp_path / name) == 2
        assert words in capsys.readouterr().err and not table.exists() and not (tmp_path / name).exists()
