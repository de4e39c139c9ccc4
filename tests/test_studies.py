"""Studies: their cells, their commands, and the flawed evaluations that stand beside the honest one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dualad_lib import RunError, cli
from dualad_lib.data import load_one_class
from dualad_lib.detectors import FeatureNeighbours, create
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import measuring, pooled, whole_images
from dualad_lib.experiments.grid import reproduce
from dualad_lib.experiments.measuring import measure, sorted_batches
from dualad_lib.experiments.results import read_results
from dualad_lib.experiments.studies import MEASURED_BY, SOME, STUDIES, study

AGAD = {
    "detector": "agad",
    "dataset": "digits",
    "normal_class": 3,
    "params": {"width": 4, "steps": 30, "batch_size": 16},
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_of_a_study_has_a_name_and_a_command_of_its_own(name):
    cells = study(name)
    assert len({cell.name for cell in cells}) == len({cell.command() for cell in cells}) == len(cells)
    assert all(f"--study {name}" in cell.command() for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_whole_on_digits(name, tmp_path):
    chosen = study(name, profile="smoke", classes=[0])
    cells = list({cell.name: cell for cell in chosen}.values())  # all data sets are small stand-ins here
    rows, errors = reproduce(cells, tmp_path, workers=1, say=lambda text: None)
    assert errors == {}
    asked, found = {cell.options.get("setting", "") for cell in cells}, {r["setting"] for r in rows}
    assert asked <= found if name in MEASURED_BY else asked == found  # a study of its own may add settings
    written = [path.name for path in (tmp_path / "results").glob("*.csv")]
    assert set(written) == {f"{name}_{row['dataset']}.csv" for row in rows}
    assert sum(len(read_results(tmp_path / "results" / file)) for file in written) == len(rows)


def test_the_headline_rows_are_on_all_classes_and_sweeps_on_some():
    for name, detector, protocol in (
        ("lrgdan", "lrgdan", "80_20"),
        ("adegan", "adegan", "leave_one_class_out"),
    ):
        headline = [
            c.normal_class
            for c in study(name, ["mnist"], settings=[""])
            if c.method == detector and c.options["protocol"] == protocol
        ]
        assert headline == list(range(10))
    assert [c.normal_class for c in study("lrgdan", settings=["literal"])] == list(range(10))
    assert [c.normal_class for c in study("agad", ["cifar10"], settings=["no adcon, apart"])] == list(SOME)


def test_what_no_study_has_is_named(capsys):
    with pytest.warns(FutureWarning, match="now called lrgdan"):
        assert study("07_lrgdan", settings=["literal"]) == study("lrgdan", settings=["literal"])
    with pytest.raises(RunError, match="unknown study 'x': choose from .*lrgdan"):
        study("x")
    with pytest.raises(RunError, match="agad has no data set 'mnist'; it has 'cifar10', 'fashion_mnist'"):
        study("agad", ["mnist"])
    with pytest.raises(RunError, match="no cell of lrgdan"):  # each is there, and not together
        study("lrgdan", ["coil100"], ["lrgdan"], ["literal"])
    for slip, message in (
        ({"methods": ["knn", "bogus"]}, "tiles has no method 'bogus'; it has 'autoencoder'"),
        ({"settings": ["nosuch"]}, "tiles has no setting 'nosuch'; it has '', "),
        ({"classes": [0, 77]}, "tiles has no class 77; it has 0"),
        ({"datasets": ["digits"]}, "tiles has no data set 'digits'"),
    ):
        with pytest.raises(RunError, match=message):
            study("tiles", **slip)
    assert study("tiles", ["digits"], profile="smoke") == study("tiles", ["magnetic_tiles"], profile="smoke")
    assert cli.main(["reproduce", "--settings", "literal"]) == 2
    assert "name it with --study" in capsys.readouterr().err


def test_flawed_evaluations_stand_in_rows_of_their_own_and_train_nothing_else(monkeypatch):
    looks, look = [], measuring.Watch.look
    monkeypatch.setattr(measuring.Watch, "EVERY", 10)
    monkeypatch.setattr(measuring.Watch, "look", lambda self: looks.append(self) or look(self))
    flaws = ["batch statistics", "best step", "batch statistics, best step"]
    plain, rows = measure(**AGAD), measure(**AGAD, flaws=flaws)
    found = {row["evaluation"]: row["auroc"] for row in rows}
    assert list(found) == ["honest", *flaws] and found["honest"] == plain[0]["auroc"]
    assert len(looks) == 2 * (30 // 10 + 1)  # both flaws look every ten steps, and at the end
    assert found["best step"] >= found["honest"]
    assert found["batch statistics, best step"] >= found["batch statistics"] != found["honest"]
    with pytest.raises(RunError, match="unknown flaw 'luck'"):
        measure(**AGAD, flaws=["luck"])


def test_sorted_batches_gives_each_image_its_own_score():
    task = load_one_class("digits", 3)
    model = create("agad", **AGAD["params"]).fit(task.train)
    order = task.test_classes.argsort(stable=True)
    by_hand = np.empty(len(order))
    from dualad_lib.detectors.agad import batch_statistics

    with batch_statistics(model):
        for part in order.split(64):
            by_hand[part.numpy()] = model.anomaly_scores(task.test[part]).final
    assert sorted_batches(model, task).final == pytest.approx(by_hand)
    assert auroc(task.test_labels.numpy(), by_hand) == measure(**AGAD, flaws=["batch statistics"])[1]["auroc"]


def test_labelled_anomalies_are_told_to_the_detector_and_named_in_the_row():
    rows = measure(**AGAD, labelled=0.1, setting="labelled=0.1")
    assert rows[0]["setting"] == "labelled=0.1" and rows[0]["auroc"] != measure(**AGAD)[0]["auroc"]


def test_labelled_anomalies_may_be_of_some_kinds_alone():
    from dualad_lib import DataError
    from dualad_lib.data import load_labelled_anomalies, load_part

    train = load_part("digits", "train")
    known = load_labelled_anomalies("digits", 3, 0.3, kinds=[1, 7])
    of = {image.numpy().tobytes(): int(label) for image, label in zip(*train, strict=True)}
    assert {of[image.numpy().tobytes()] for image in known} == {1, 7}
    assert len(known) == len(load_labelled_anomalies("digits", 3, 0.3))
    for kinds in ([], [3], [11]):
        with pytest.raises(DataError, match="beside the normal one, 3"):
            load_labelled_anomalies("digits", 3, 0.3, kinds=kinds)


def test_labels_and_flaws_where_they_mean_nothing_are_refused():
    with pytest.raises(RunError, match="those of protocol one_vs_rest, not of leave_one_class_out"):
        measure(**AGAD, labelled=0.1, protocol="leave_one_class_out")
    with pytest.raises(RunError, match="pca takes no labelled anomalies"):
        measure("pca", "digits", 3, labelled=0.1)
    with pytest.raises(RunError, match="pca has no steps"):
        measure("pca", "digits", 3, flaws=["best step"])


def test_features_of_a_batch_are_computed_once_and_change_nothing(tmp_path, monkeypatch):
    from dualad_lib.networks import backbone

    what = {"dataset": "digits", "normal_class": 3, "params": {"side": 32}, "profile": "smoke"}
    plain = measure("feature_neighbours", **what)
    seen = []
    whole = backbone.Backbone.forward
    monkeypatch.setattr(
        backbone.Backbone, "forward", lambda self, x, levels: seen.append(1) or whole(self, x, levels)
    )
    for computed in (True, False):
        seen.clear()
        rows = whole_images.measure("feature_neighbours", output=tmp_path / "cells", **what)
        assert bool(seen) == computed
        assert [row["auroc"] for row in rows] == [row["auroc"] for row in plain]
        assert all(row["train_seconds"] is None for row in rows)  # nobody could compare them
        for file in (tmp_path / "cells").glob("*.json"):
            file.unlink()


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"no tensors"]
)
def test_damaged_features_are_made_again(tmp_path, damage):
    from dualad_lib.experiments.caches import read_tensors

    path = tmp_path / "features.pt"
    torch.save({"keys": ["a"], "features": torch.ones(1, 2)}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"features\.pt is damaged .* and is made again"):
        assert read_tensors(path) is None
    network = SimpleNamespace(fingerprint="f", dtype="d")
    with pytest.warns(UserWarning, match="is made again"), pooled.pooled_once(path):
        made = FeatureNeighbours.remembered(
            lambda images: torch.ones(len(images), 2), network, 8, torch.zeros(3, 4)
        )
    assert made.shape == (3, 2) and set(torch.load(path)) == {"keys", "features"}
