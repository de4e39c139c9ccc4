"""What folders of real photographs bring: their shape, their depth, copies, odd names and places, too many of them."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from dualad_lib import Detector, load_one_class
from dualad_lib.cli import main
from dualad_lib.data.folders import image_files
from dualad_lib.errors import DataError, RunError
from dualad_lib.files import only_writer
from dualad_lib.folder import fit_folder, hold_back, score, score_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped"),
    pytest.mark.filterwarnings("ignore:.*calibration images cannot promise"),
]


@pytest.fixture(scope="module")
def bags():
    return load_one_class("fashion_mnist_sample", 8).train[:, 0].numpy()


def save(folder, images, name="{:03d}.png", factor=None):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        image = image if factor is None else image.astype(np.uint16) * factor
        Image.fromarray(image).save(folder / name.format(i))
    return folder


def fit(normal, out, detector="pca", **options):
    """(the fitted detector, the lines that were said)."""
    said = []
    return fit_folder(normal, out, detector, say=said.append, **options), said


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_frame_keeps_the_aspect_ratio_and_what_is_chosen_is_said(tmp_path, bags):
    save(tmp_path / "n", [np.tile(bag, (2, 3)) for bag in bags[:40]])  # 56 high, 84 wide
    save(tmp_path / "n", [np.tile(bags[50], (3, 1))], "tall.png")
    model, said = fit(tmp_path / "n", tmp_path / "m.safetensors")
    assert model.image_shape_ == (1, 40, 64)  # 64 is the default of detectors without pretrained features
    assert (
        "stretched to the model's frame, 40 x 64" in said[0]
        and "tall.png" in said[0]
        and "000" not in said[0]
    )
    for words in (
        "pca",
        "40 x 64 (height x width), grey",
        "trained on 37",
        "4 held back",
        "false-alarm rate of 0.05",
    ):
        assert words in said[-1]
    said.clear()
    score_folder(tmp_path / "m.safetensors", tmp_path / "n", tmp_path / "s.csv", say=said.append)
    assert "stretched" in said[0] and "tall.png" in said[0]
    assert fit(tmp_path / "n", tmp_path / "m.safetensors", image_size=(24, 24))[0].image_shape_ == (1, 24, 24)


def test_the_command_takes_the_size_of_the_detector(tmp_path, bags, monkeypatch):
    from dualad_lib import PCA

    monkeypatch.setattr(PCA, "default_image_size", 96)
    save(tmp_path / "n", [np.tile(bag, (2, 3)) for bag in bags[:40]])
    out = tmp_path / "m.safetensors"
    command = ["fit", "--normal", str(tmp_path / "n"), "--out", str(out), "--detector", "pca"]
    assert main(command) == 0 and Detector.load(out).image_shape_ == (1, 64, 96)
    assert main([*command, "--image-size", "48"]) == 0 and Detector.load(out).image_shape_ == (1, 32, 48)


def test_a_model_keeps_the_white_of_its_deep_images(tmp_path, bags):
    scores = {}
    for name, factor in (("eight", None), ("ten", 4)):
        save(tmp_path / name, bags[:40], factor=factor)
        save(tmp_path / f"{name}_new", bags[40:60] // 2, factor=factor)  # darker ones, that alone tell less
        out = tmp_path / f"{name}.safetensors"
        _, said = fit(tmp_path / name, out, image_size=28)
        assert any("1023 counts as white" in line for line in said) == (factor is not None)
        rows = score_folder(out, tmp_path / f"{name}_new", tmp_path / "s.csv", say=said.append)
        scores[name] = [row["score"] for row in sorted(rows, key=lambda row: row["file"])]
    assert np.allclose(scores["eight"], scores["ten"], rtol=0.05)
    save(tmp_path / "bright", bags[:2], factor=100)
    score_folder(out, tmp_path / "bright", tmp_path / "s.csv", say=said.append)
    assert any("cut at the value 1023" in line for line in said)


def held_back(model):
    return len(model.calibration_scores_)


def test_copies_stay_on_one_side_and_set_the_threshold_once(tmp_path, bags):
    from dualad_lib.data.copies import first_copies
    from dualad_lib.data.folders import read_images

    once = save(tmp_path / "once", bags[:100])
    twice = save(tmp_path / "twice", bags[:100])
    save(twice, bags[:60], "{:03d} (1).png")
    for i, bag in enumerate(bags[60:100]):
        Image.fromarray(bag).save(twice / f"{60 + i:03d}.jpg", quality=90)
    plain, said = fit(once, tmp_path / "a.safetensors", "knn", image_size=28)
    assert held_back(plain) == 10 and not any("are copies" in line for line in said)
    model, said = fit(twice, tmp_path / "b.safetensors", "knn", image_size=28)
    assert held_back(model) == 10 and "trained on 180; 10 held back" in said[-1]
    assert said[0].startswith("100 of 200 images are copies of others") and "000.png = 000 (1).png" in said[0]
    images = read_images(twice, 28)[0]
    assert len(set(first_copies(images))) == 100
    assert (
        model.calibration_scores_.min() > 0.5 * plain.calibration_scores_.min()
    )  # none held back has a twin
    with pytest.raises(DataError, match="copies of one picture"):
        fit(save(tmp_path / "same", bags[:1].repeat(20, 0)), tmp_path / "c.safetensors")


def test_views_of_parts_in_a_backup_are_parts_that_belong_together(tmp_path, bags):
    for day in ("a", "b"):
        for part in range(10):
            views = [np.roll(bags[part], shift, axis=1) for shift in range(4)]
            save(tmp_path / "n" / day, views, f"part{part}_view{{}}.png")
    model, said = fit(tmp_path / "n", tmp_path / "m.safetensors", image_size=28)
    assert "20 parts of up to 4 views each" in said[0] and "40 of 80 images are copies" in said[1]
    assert "trained on 72; 4 (all of 1 parts) held back" in said[-1] and held_back(model) == 4


def test_copies_of_normal_images_do_not_calibrate(tmp_path, bags):
    normal = save(tmp_path / "n", bags[:60])
    other = save(tmp_path / "c", [*bags[100:120], *bags[:5], bags[100]])
    model, said = fit(normal, tmp_path / "m.safetensors", calibration=other, image_size=28)
    assert held_back(model) == 20
    (line,) = [line for line in said if "of normal images or" in line]
    assert "left out of 26 calibration images, 6 copies" in line and "020.png = 000.png" in line
    with pytest.raises(DataError, match="all calibration images are copies"):
        fit(normal, tmp_path / "m2.safetensors", calibration=save(tmp_path / "d", bags[:60]), image_size=28)
    assert not (tmp_path / "m2.safetensors").exists()


def test_runs_are_held_back_as_wholes_and_recordings_are_warned_of(tmp_path, bags):
    rng = np.random.default_rng(0)
    noisy = [np.clip(bag + rng.normal(0, 20, (3, *bag.shape)), 0, 255).astype(np.uint8) for bag in bags[:30]]
    _, said = fit(save(tmp_path / "n", np.concatenate(noisy)), tmp_path / "m.safetensors", image_size=28)
    assert "30 runs of them are held back as wholes" in said[0] and "(all of 3 parts)" in said[-1]
    wide = np.concatenate([np.kron(bag, np.ones((2, 2), np.uint8)) for bag in bags[:4]], axis=1)
    frames = [wide[:, shift : shift + 56] for shift in range(160)]
    _, said = fit(save(tmp_path / "v", frames), tmp_path / "m.safetensors", image_size=28)
    assert any("as in a recording" in line and "--calibration" in line for line in said)


class FakeMaps(Detector):
    """Distance to the mean image, with a map of its own and no reconstruction."""

    seen = 0

    def __init__(self, false_alarm_rate=0.05, seed=0, broken=False):
        self.false_alarm_rate, self.seed, self.broken = false_alarm_rate, seed, broken

    def _fit(self, images):
        self.mean_ = images.float().mean(0)

    def _score(self, images):
        type(self).seen = max(self.seen, len(images))
        score = (images.float() - self.mean_).square().flatten(1).mean(1).double().numpy()
        return {"pixel": np.where(images[:, 0, 0, 0].numpy() > 0, np.nan, score) if self.broken else score}

    def anomaly_map(self, x, blur=0.0):
        return 1000 + (x.float() - self.mean_).square().mean(1).double().numpy()

    def _state(self):
        return {"mean": self.mean_, "calibration_scores": torch.from_numpy(self.calibration_scores_)}

    def _restore(self, state):
        self.mean_ = state["mean"]
        self._set_threshold(state["calibration_scores"].numpy())


@pytest.fixture
def fake(tmp_path, bags, monkeypatch):
    """A saved FakeMaps, and a folder of bags of which one has a bright corner."""
    monkeypatch.setattr(score, "BATCH_VALUES", 10 * 28 * 28)  # ten images at once
    FakeMaps.seen = 0
    FakeMaps().fit(bags[:40]).save(tmp_path / "m.safetensors")
    images = bags[40:75].copy()
    images[7, :6, :6] = 255
    return tmp_path / "m.safetensors", save(tmp_path / "new", images)


def test_heat_maps_are_drawn_for_any_detector_that_has_maps(fake, tmp_path):
    model, new = fake
    score_folder(model, new, tmp_path / "s.csv", tmp_path / "maps", say=lambda line: None)
    pictures = [np.asarray(Image.open(path), int) for path in sorted((tmp_path / "maps").iterdir())]
    assert len(pictures) == 35 and FakeMaps.seen == 10
    original = np.asarray(Image.open(new / "007.png"))
    assert pictures[7].shape == (28, 56, 3)  # no third panel
    assert (pictures[7][:, :28, 0] == original).all()
    yellow = pictures[7][:, 28:, 0] - pictures[7][:, 28:, 2]  # cividis goes from blue to yellow
    assert yellow[:6, :6].mean() > yellow[14:].mean() + 100


def test_what_was_judged_can_be_told_one_image_after_the_other(fake):
    model, new = fake
    (new / "broken.png").write_bytes(b"")
    judged = score.judge(model, new, rate=0.2, maps=True, say=lambda line: None)
    entries = list(judged.entries())
    assert [row["file"] for row in judged.rows()] == [entry["file"] for entry in entries]
    assert entries[-1] == {"file": "broken.png", "verdict": "unreadable"} and judged.rate == 0.2
    for entry in entries[:-1]:
        assert (entry["image"] == np.asarray(Image.open(new / entry["file"]))).all()
        assert np.isclose(entry["heat"].mean() - 1000, entry["score"], rtol=1e-3)


def test_heat_maps_inside_the_images_are_not_judged_in_the_next_run(fake, tmp_path):
    model, new = fake
    for _ in range(2):
        said = []
        rows = score_folder(model, new, new / "scores.csv", new / "maps", say=said.append)
        assert len(rows) == 35
    assert said[0].startswith("left out, heat maps that an earlier run drew")
    assert len(list(new.rglob("*.png"))) == 70


def test_scores_that_are_no_numbers_are_refused(tmp_path, bags):
    images = bags[:45].copy()
    images[:, 0, 0] = 0
    FakeMaps(broken=True).fit(images[:40]).save(tmp_path / "m.safetensors")
    images[42, 0, 0] = 9
    new = save(tmp_path / "new", images[40:])
    with pytest.raises(RunError, match="score.* no(t a finite)? number"):
        score_folder(tmp_path / "m.safetensors", new, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


NAMES = [
    "a\nb.png",
    'a,"b".png',
    "=1+1.png",
    " a b .png",
    "\u202egnp.png",
    "a\rb.png",
    "x" * 251 + ".png",
    "ü" * 125 + ".png",
    "caf\udce9.png",
    "é\U0001f600.png",
]


def test_odd_names_stay_whole_in_table_and_heat_maps(fake, tmp_path, capsys):
    model, new = fake
    odd = tmp_path / "odd"
    odd.mkdir()
    for name in NAMES:
        Image.open(new / "001.png").save(odd / name, "PNG")
        (odd / f"bad{name[-40:]}").write_bytes(b"")
    out = tmp_path / ("t" * 251 + ".csv")
    assert (
        main(
            [
                "score",
                "--model",
                str(model),
                "--images",
                str(odd),
                "--out",
                str(out),
                "--heatmaps",
                str(tmp_path / "maps"),
                "--report",
                str(tmp_path / "r.html"),
            ]
        )
        == 0
    )
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "caf\\xe9.png" in page and "udce9" not in page  # called as in the table
    rows = read(out)
    assert {row["file"] for row in rows if row["score"]} == {
        name.replace("\udce9", "\\xe9") for name in NAMES
    }
    assert sum(row["verdict"] == "unreadable" for row in rows) == len(NAMES)
    assert len(list((tmp_path / "maps").iterdir())) == len(NAMES)
    assert sum(
        line.startswith("skipped, unreadable") for line in capsys.readouterr().out.splitlines()
    ) == len(NAMES)


def test_a_model_whose_path_is_no_text_is_not_called_damaged(tmp_path):
    with pytest.raises(DataError, match=r"caf\\xe9.*is no path in UTF-8.*rename"):
        Detector.load(tmp_path / "caf\udce9" / "m.safetensors")


def test_paths_that_begin_with_a_tilde_lead_home(tmp_path, bags, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    save(tmp_path / "n" / "deep", bags[:40])
    save(tmp_path / "c", bags[40:60])
    fitting = [
        "fit",
        "--normal",
        "~/n",
        "--calibration",
        "~/c",
        "--out",
        "~/m.safetensors",
        "--detector",
        "pca",
    ]
    assert main(fitting) == 0
    assert (
        main(["score", "--model=~/m.safetensors", "--images=~/n", "--out=~/s.csv", "--heatmaps=~/maps"]) == 0
    )
    assert read(tmp_path / "s.csv")[0]["file"].startswith("deep/")
    assert len(list((tmp_path / "maps" / "deep").iterdir())) == 40
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_table_goes_through_links_and_into_pipes(fake, tmp_path):
    model, new = fake
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    got = []
    thread = threading.Thread(target=lambda: got.append((tmp_path / "pipe.csv").read_text()), daemon=True)
    thread.start()
    for name in ("link.csv", "pipe.csv"):
        score_folder(model, new, tmp_path / name, say=lambda line: None)
    thread.join(10)
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").read_text() == got[0]
    assert got[0].count("\n") == 36


def test_places_that_cannot_be_written_are_said_before_the_work(fake, tmp_path):
    model, new = fake
    for out, maps, words in ((tmp_path, None, "is a folder"), (tmp_path / "s.csv", model, "is a file")):
        with pytest.raises(DataError, match=words):
            score_folder(model, new, out, maps)
    assert FakeMaps.seen == 4  # held back when it was fitted


def quiet(line):
    pass


def test_no_output_replaces_the_model_a_photograph_or_another_output(fake, tmp_path):
    model, new = fake
    Image.open(new / "000.png").save(new / "007", "PNG")  # its heat map would be 007.png
    report = tmp_path / "r.html"
    before = tree(tmp_path)
    for out, maps, page, words in (
        (model, None, None, "is the model, and the table would replace it"),
        (new / "003.png", None, None, r"003\.png is one of the images, and the table would replace it"),
        (report, None, report, r"the table and the report would both be .*r\.html"),
        (tmp_path / "s.csv", new, None, r"007\.png is one of the images, and the heat map of 007 would"),
        (
            tmp_path / "maps",
            tmp_path / "maps",
            None,
            "would be the table and also a folder, for the heat map",
        ),
    ):
        with pytest.raises(DataError, match=words):
            score_folder(model, new, out, maps, say=quiet, report=page)
    picture = new / "picture.safetensors"
    (new / "003.png").rename(picture)
    with pytest.raises(DataError, match="is one of the images, and the model would replace it"):
        fit(new, picture)
    picture.rename(new / "003.png")
    assert FakeMaps.seen == 4 and tree(tmp_path) == before


def test_heat_maps_that_would_stand_in_one_place_are_told_before_one_is_drawn(fake, tmp_path):
    model, new = fake
    save(new / "x.png", [np.full((28, 28), 9, np.uint8)])
    Image.open(new / "000.png").save(new / "x", "PNG")
    with pytest.raises(
        DataError, match=r"x\.png would be the heat map of x and also a folder, for the heat map of x"
    ):
        score_folder(model, new, tmp_path / "s.csv", tmp_path / "maps", say=quiet)
    assert FakeMaps.seen == 4 and not (tmp_path / "maps").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is full, wherever there is Linux")
def test_a_full_disk_of_temporary_files_is_named_and_leaves_nothing(fake, tmp_path, monkeypatch):
    (model, new), real = fake, tempfile.TemporaryFile
    full = lambda **where: real(**where) if where else open("/dev/full", "wb")  # noqa: E731, SIM115
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(RunError, match=r"wait in .* No space left on device\. Make room, or set TMPDIR"):
        score_folder(model, new, tmp_path / "s.csv", tmp_path / "maps", say=quiet)
    assert not (tmp_path / "s.csv").exists() and not (tmp_path / "maps").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc takes no files, whoever asks")
def test_outputs_that_cannot_be_written_are_said_before_the_work_and_leave_no_table(fake, tmp_path, capsys):
    model, new = fake
    score = ["score", "--model", str(model), "--images", str(new), "--out"]
    for command in (
        [*score, "/proc/x/s.csv"],
        [*score, str(tmp_path / "a" / "s.csv"), "--report", "/proc/x/r.html"],
        [*score, str(tmp_path / "a" / "s.csv"), "--heatmaps", "/proc/x"],
        ["fit", "--normal", str(new), "--out", "/proc/x/m.safetensors", "--detector", "pca"],
        ["export", "--model", str(model), "--onnx", "/proc/x/m.onnx"],
    ):
        assert main(command) == 2
        said = capsys.readouterr()
        assert (
            said.out == ""
            and "cannot be written: " in said.err
            and said.err.count("dualad: error: /proc/x/") == 1
        )
    assert FakeMaps.seen == 4 and sorted(os.listdir(tmp_path)) == ["m.safetensors", "new"]


def test_the_table_is_there_only_when_all_else_is(fake, tmp_path, monkeypatch):
    model, new = fake

    def fail(*arguments, **options):
        raise DataError("no page")

    monkeypatch.setattr(score, "write_report", fail)
    with pytest.raises(DataError, match="no page"):
        score_folder(model, new, tmp_path / "s.csv", say=quiet, report=tmp_path / "r.html")
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "new"]


def test_a_model_that_is_a_folder_is_said_to_be_one(fake, tmp_path, capsys):
    _, new = fake
    for command in (["score", "--images", str(new), "--out", "s.csv"], ["export", "--onnx", "m.onnx"]):
        assert main([*command, "--model", str(new)]) == 2
        assert "new is a folder: give the model file" in capsys.readouterr().err


def test_few_images_get_as_many_components_as_they_have(tmp_path, bags):
    normal = save(tmp_path / "n", bags[:14])
    for detector in ("pca", "kde"):
        model, said = fit(normal, tmp_path / "m.safetensors", detector, image_size=16)
        assert model.n_components == 12
        assert "12 principal components instead of 32: 13 images to learn from have no more." in said
    rows = score_folder(tmp_path / "m.safetensors", normal, tmp_path / "s.csv", say=quiet)
    assert np.isfinite([row["score"] for row in rows]).all()
    with pytest.raises(DataError, match="n_components = 32 must lie between 1 and 13"):  # asked for by name
        fit(normal, tmp_path / "m.safetensors", image_size=16, parameters={"n_components": 32})
    model, said = fit(save(tmp_path / "many", bags[:40]), tmp_path / "m.safetensors", image_size=16)
    assert model.n_components == 32 and not any("principal" in line for line in said)


def test_two_fits_of_one_model_do_not_meet(tmp_path, bags):
    normal, out = save(tmp_path / "n", bags[:14]), tmp_path / "m.safetensors"
    with only_writer(out), pytest.raises(DataError, match=r"m\.safetensors is being made by another command"):
        fit(normal, out, "knn")
    fit(normal, out, "knn")
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "n"]


def test_of_two_ways_to_a_folder_the_first_by_name_counts(tmp_path, bags, monkeypatch):
    save(tmp_path / "n" / "real", bags[:2])
    for name in ("link", "another"):
        (tmp_path / "n" / name).symlink_to("real")
    walk = os.walk
    for backwards in (False, True):

        def disordered(*arguments, backwards=backwards, **options):
            for parent, folders, names in walk(*arguments, **options):
                folders.sort(reverse=backwards)
                yield parent, folders, names

        monkeypatch.setattr(os, "walk", disordered)
        found = [path.relative_to(tmp_path / "n").as_posix() for path in image_files(tmp_path / "n")]
        assert found == ["another/000.png", "another/001.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "cp1252"}],
)
def test_terminals_that_lack_the_letters_of_a_name(tmp_path, bags, environment):
    save(tmp_path / "n", bags[:12])
    save(tmp_path / "n", bags[12:13], "é\U0001f600.png")
    (tmp_path / "n" / "ü.jpg").touch()
    commands = (
        ["fit", "--normal", "n", "--out", "é.safetensors", "--detector", "knn"],
        ["score", "--model", "é.safetensors", "--images", "n", "--out", "é.csv"],
    )
    code = "import sys; from dualad_lib.cli import main; a = sys.argv; sys.exit(main(a[1:8]) or main(a[8:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *commands[0], *commands[1]],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    rows = read(tmp_path / "é.csv")
    assert {row["file"] for row in rows} == {*(f"{i:03d}.png" for i in range(12)), "é\U0001f600.png", "ü.jpg"}


@contextlib.contextmanager
def full_disk():
    """No file may grow beyond 3 kB in here; before pytest writes its next dot, which may go into a file, all may."""
    resource = pytest.importorskip("resource")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "what",
    [
        ["--detector", "pca"],
        ["--detector", "autoencoder", "--steps", "1"],
        ["--heatmaps"],
        [],
    ],
)
def test_a_full_disk_is_one_line_and_old_files_stay_whole(fake, tmp_path, bags, capsys, what):
    model, new = fake
    if "--detector" in what:
        model = tmp_path / "old.safetensors"
        model.write_bytes(b"an older model")
        command = ["fit", "--normal", str(new), "--out", str(model), "--image-size", "28", *what]
        command += [] if "pca" not in what else ["--calibration", str(save(tmp_path / "c", bags[80:90]))]
        save(new, bags[100:120], "more{}.png")
    else:
        out = tmp_path / "s.csv"
        out.write_text("an older table")
        save(new, bags[100:180], "a longer name, that makes a longer table, {}.png")
        command = ["score", "--model", str(model), "--images", str(new), "--out", str(out)]
        command += [*what, str(tmp_path / "maps")] if what else []
    before = tree(tmp_path)
    with full_disk():
        assert main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("dualad: error:") and "File too large" in error
    assert tree(tmp_path) == before


def test_a_model_says_of_files_of_another_kind_that_it_did_not_learn_from_them(tmp_path, bags):
    colour = np.stack([bags[:60]] * 3, 3) // np.array([1, 2, 3], np.uint8)
    save(tmp_path / "grey", bags[:60])
    save(tmp_path / "colour", colour)
    save(tmp_path / "deep", bags[:60], factor=4)
    known = {
        "grey": {
            "colour": "in colour, and the model learned from grey: read without it: ",
            "deep": "of more than 8 bits",
        },
        "colour": {"grey": "grey, and the model learned from colour: ", "deep": "of more than 8 bits"},
    }
    for learned, foreign in known.items():
        out = tmp_path / f"{learned}.safetensors"
        fit(tmp_path / learned, out, image_size=28)
        for other in ("grey", "colour", "deep"):
            said = []
            score_folder(out, tmp_path / other, tmp_path / "s.csv", say=said.append)
            told = [line for line in said if "and the model learned from" in line]
            assert any(foreign[other] in line for line in told) if other in foreign else not told


def test_a_model_on_features_is_fitted_in_float32_for_its_file_may_move(tmp_path, bags):
    normal = save(tmp_path / "n", bags[:30])
    model, _ = fit(normal, tmp_path / "m.safetensors", "feature_neighbours", image_size=32)
    assert model.precision_ == "float32"
    asked = {"precision": "bfloat16", "side": 32}
    model, _ = fit(normal, tmp_path / "m.safetensors", "feature_neighbours", image_size=32, parameters=asked)
    assert model.precision_ == "bfloat16"


def test_a_model_of_whole_images_says_so_and_refuses_heat_maps_before_it_reads(tmp_path, bags, monkeypatch):
    out = tmp_path / "m.safetensors"
    _, said = fit(save(tmp_path / "n", bags[:30]), out, "dualad", image_size=32, parameters={"steps": 2})
    assert "each image as a whole (no heat maps)" in said[-1]
    monkeypatch.setattr(score, "_judge", lambda *arguments: pytest.fail("read"))
    with pytest.raises(
        DataError, match=r"^this DualAD judges whole images.*`dualad fit --image-size` of 112 or more"
    ):
        score_folder(out, tmp_path / "n", tmp_path / "s.csv", heatmaps=tmp_path / "maps", say=quiet)


@pytest.mark.parametrize("dark", [6, 11])
def test_a_picture_that_many_parts_share_joins_them_not(dark):
    """Dark frames: they would make one part of nearly all, of which too much or nothing is held back."""
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 255, (12, 8, 1, 16, 16), dtype=np.uint8))
    images[:dark, 7] = 0
    names = [f"part{p:02d}_view{v}.png" for p in range(12) for v in range(8)]
    for seed in range(5):
        said = []
        learn, held, words = hold_back.sides(
            images.flatten(0, 1), names, hold_back.part_pattern(r"part\d+"), seed, said.append
        )
        assert len(learn) + len(held) == 96 and 7 <= len(held) <= 16, words
        assert (learn.flatten(1).amax(1) == 0).sum() == dark
        assert any(f"{dark} images are pictures that stand in more than two parts" in line for line in said)


def test_one_part_that_holds_most_images_is_learned_from():
    for seed in range(10):
        learn, hold = hold_back._divide(np.repeat([0, 1], [95, 5]), seed, None)
        assert (len(learn), len(hold)) == (95, 5)


def test_pictures_that_all_stand_in_many_parts_leave_nothing_to_hold_back():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (4, 1, 16, 16), dtype=np.uint8))
    names = [f"part{p}_view{v}.png" for p in range(3) for v in range(4)]
    by = hold_back.part_pattern(r"part\d+")
    with pytest.raises(DataError, match="12 normal images are pictures that stand in more than two parts"):
        hold_back.sides(images.repeat(3, 1, 1, 1), names, by, 0, quiet)
