"""Results: cells are whole, never done twice, redone when the code or a parameter changes; tables are tidy."""

import csv
import json

import pytest

from dualad_lib import DataError, RunError
from dualad_lib.experiments import cells, measure, read_results, write_results
from dualad_lib.experiments import measuring as module
from dualad_lib.experiments.report import RESULTS
from dualad_lib.experiments.results import COLUMNS, FLOATS, write_table

TINY = {"width": 4, "latent_dim": 4, "steps": 4, "batch_size": 16, "device": "cpu"}


def test_a_row_for_each_score():
    rows = measure("autoencoder", "digits", 3, params=TINY, setting="tiny")
    assert [row["score"] for row in rows] == ["pixel", "latent", "dual"]
    assert set(rows[0]) == set(COLUMNS)
    assert all(0 <= row["auroc"] <= 1 and row["evaluation"] == "honest" for row in rows)
    assert [row["hter"] is None for row in rows] == [True, True, False]
    assert [row["score"] for row in measure("pca", "digits", 3)] == ["score"]


def test_a_finished_cell_is_not_done_again(tmp_path, monkeypatch):
    first = measure("pca", "digits", 0, output=tmp_path)
    monkeypatch.setattr(module, "rows_of", lambda *args: pytest.fail("trained again"))
    assert measure("pca", "digits", 0, output=tmp_path) == first
    monkeypatch.undo()
    assert measure("pca", "digits", 0, output=tmp_path, params={"n_components": 2}) != first
    monkeypatch.setattr(cells, "code_hash", lambda kind: "other code")
    monkeypatch.setattr(module, "rows_of", lambda *args: ["measured again"])
    assert measure("pca", "digits", 0, output=tmp_path, params={"n_components": 2}) == ["measured again"]


def test_a_killed_cell_resumes_and_leaves_no_part(tmp_path, monkeypatch):
    from dualad_lib.detectors import Autoencoder

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Autoencoder, "_raw", killed)
    with pytest.raises(KeyboardInterrupt):
        measure("autoencoder", "digits", 3, params=TINY, output=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"]  # the training is kept, and nothing else
    monkeypatch.undo()
    resumed = measure("autoencoder", "digits", 3, params=TINY, output=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    fresh = measure("autoencoder", "digits", 3, params=TINY)
    assert [row["auroc"] for row in resumed] == [row["auroc"] for row in fresh]
    assert resumed[0]["train_seconds"] is None and fresh[0]["train_seconds"] > 0


def test_development_rows_say_so():
    assert measure("pca", "digits", 0, split="development")[0]["evaluation"] == "development"


def test_unknown_detector_lists_the_choices():
    with pytest.raises(DataError, match="choose from pca, knn"):
        measure("vae", "digits", 0)


def test_a_table_is_written_and_read_back(tmp_path):
    path = tmp_path / "results" / "table.csv"
    asked = [(detector, k) for k in (1, 0) for detector in ("pca", "knn")]
    rows = [row for name, k in asked for row in measure(name, "digits", k, command="dualad run x")]
    write_results(rows, path)
    back = read_results(path)
    assert [(r["normal_class"], r["detector"]) for r in back] == [
        (0, "knn"),
        (0, "pca"),
        (1, "knn"),
        (1, "pca"),
    ]
    assert sorted(r["auroc"] for r in back) == pytest.approx(sorted(r["auroc"] for r in rows), rel=1e-5)
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert all(r["command"] == "dualad run x" and r["torch"] and r["library"] for r in back)


def test_the_same_row_twice_is_refused(tmp_path):
    rows = measure("pca", "digits", 0)
    with pytest.raises(RunError, match="twice"):
        write_results(rows + rows, tmp_path / "table.csv")
    assert not list(tmp_path.iterdir())


def test_a_cell_is_plain_json(tmp_path):
    measure("pca", "digits", 0, output=tmp_path)
    (cell,) = tmp_path.iterdir()
    assert json.loads(cell.read_text())["key"]["detector"] == "pca"


def test_stages_are_dualad_with_parts_switched_off():
    from dualad_lib.detectors import STAGES, create

    assert create("dualad_d").get_params()["feature_constraint"] is False
    assert create("dualad_d", seed=3).seed == 3
    only_d, no_information = create("dualad_d"), create("dualad_d_fc")
    assert only_d.image_discriminator and not only_d.mutual_information
    assert no_information.feature_constraint and not no_information.mutual_information
    assert set(STAGES) == {"dualad_d", "dualad_d_fc"}
    with pytest.raises(DataError, match="unknown detector 'dualad_x'.*dualad_d_fc"):
        create("dualad_x")


def test_table_settings_are_parameters_of_their_detectors():
    from dualad_lib.detectors import create
    from dualad_lib.experiments.settings import table_settings

    for dataset in ("mnist", "fashion_mnist", "cifar10"):
        for detector in ("autoencoder", "dualad_d", "dualad_d_fc", "dualad", "pca"):
            create(detector, **table_settings(dataset, detector))
    assert table_settings("cifar10", "dualad")["w_critic"] == 5 and table_settings("cifar10", "pca") == {}
    assert table_settings("cifar10", "autoencoder")["network"] == "pooled"  # without weights that it has not


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "it is empty"),
        (lambda text: text[:-1], "cut off"),
        (lambda text: text[: text.rindex(",")] + "\n", "line 3: it has not as many cells"),
        (lambda text: text.replace("\n", ",1\n"), "does not name the columns"),
        (lambda text: text.replace(",", ";"), "does not name the columns"),
        (lambda text: text.replace("0.75", "high"), "line 3: could not convert"),
        (lambda text: text.replace("0.75", "nan"), "line 3: auroc is nan, no finite number"),
        (lambda text: text.replace("one_vs_rest,0,", "one_vs_rest,0.5,"), "invalid literal for int"),
        (lambda text: text.replace(",x\n", ",x,1\n"), "more cells than"),
    ],
)
def test_a_damaged_results_file_is_named(tmp_path, damage, message):
    path = tmp_path / "table.csv"
    write_results([_row(auroc=0.5), _row(auroc=0.75, seed=1)], path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunError, match=f"table.csv is no whole results file.*{message}"):
        read_results(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auroc": 98.5}, r"auroc is 98\.5, not within \[0, 1\]"),
        ({"hter": -3}, r"hter is -3\.0, not within \[0, 1\]"),
        ({"auroc": None}, "auroc is missing"),
        ({"score_seconds": -1}, r"score_seconds is -1\.0, not 0 or more"),
        ({"normal_class": 77}, "normal_class is 77, and fashion_mnist has 0 to 9"),
        ({"dataset": "cifar10"}, "it is of cifar10, and the file of fashion_mnist"),
        ({"dataset": "mnist"}, "it is of mnist, and the file of fashion_mnist"),
        ({"seed": 0}, "it is of the same score and model as line 2"),
    ],
)
def test_rows_that_cannot_have_been_measured_are_refused(tmp_path, changes, message):
    path = tmp_path / "tables_fashion_mnist.csv"
    rows = [
        {**_row(auroc=0.5, dataset="fashion_mnist", seed=seed), **(changes if seed else {})}
        for seed in (0, 1)
    ]
    write_table(rows, path, COLUMNS, FLOATS)
    with pytest.raises(
        RunError, match=rf"tables_fashion_mnist\.csv is no whole results file \(line 3: {message}"
    ):
        read_results(path)


def test_all_committed_results_can_have_been_measured():
    files = [path for path in RESULTS.glob("*.csv") if not path.name.startswith(("bands_", "benchmark_"))]
    assert sum(map(len, map(read_results, files))) > 3000


def test_results_that_a_spreadsheet_saved_are_read(tmp_path):
    path = tmp_path / "table.csv"
    write_results([_row(auroc=0.5)], path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [row["auroc"] for row in read_results(path)] == [0.5]
    path.write_bytes("dataset\n\u00e9\n".encode("latin-1"))
    with pytest.raises(RunError, match="no whole results file"):
        read_results(path)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_each_committed_file_is_a_table(path):
    """A comma that nobody quoted once stopped the site, and no quick test saw it."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert rows and {len(row) for row in rows} == {len(head)}


def _row(**changes):
    texts = dict.fromkeys(COLUMNS, "x")
    return {
        **texts,
        **dict.fromkeys(FLOATS),
        "protocol": "one_vs_rest",
        "detector": "pca",
        "normal_class": 0,
        "seed": 0,
        **changes,
    }
