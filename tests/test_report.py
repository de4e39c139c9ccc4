"""The README's tables are drawn from results files and from nothing else."""

import pytest

from dualad_lib import RunError
from dualad_lib.runs import report
from dualad_lib.runs.results import COLUMNS, read_results, write_results


def row(dataset, detector, score, auroc, normal_class=0, **more):
    filled = dict.fromkeys(COLUMNS, "")
    numbers = dict.fromkeys(("average_precision", "fpr95", "train_seconds", "score_seconds"), 0.5)
    keys = {"dataset": dataset, "detector": detector, "score": score, "auroc": auroc, "hter": None}
    common = {"protocol": "p2", "seed": 0, "evaluation": "honest", "normal_class": normal_class}
    return {**filled, **numbers, **keys, **common, **more}


def test_means_marks_and_gaps():
    rows = [row("mnist", "pca", "score", 0.9, k) for k in range(10)]
    rows += [row("mnist", "autoencoder", "latent", 0.95 + 0.002 * k, k) for k in range(10)]
    rows += [row("cifar10", "pca", "score", 0.55)]
    table = report.mean_table(rows).splitlines()
    assert table[0] == "| detector | MNIST | Fashion-MNIST | CIFAR-10 |"
    assert "| PCA, 32 components, reconstruction error | 90.0 |  | **55.0 (1 classes)** |" in table
    assert "| autoencoder, latent score | **95.9** |  |  |" in table


def test_rows_of_other_settings_do_not_count():
    rows = [
        row("mnist", "pca", "score", 0.9),
        row("mnist", "pca", "score", 0.1, evaluation="best epoch on test"),
    ]
    assert "90.0" in report.mean_table(rows)
    assert "90.0" in report.mean_table([*rows, row("mnist", "pca", "score", 0.1, setting="patterns=10")])


def test_markers_are_filled_and_the_rest_is_left(monkeypatch):
    monkeypatch.setattr(report, "TABLES", {"t": lambda: "| table |"})
    assert report.render("a\n<!-- t -->\nold\n<!-- /t -->\nb") == "a\n<!-- t -->\n| table |\n<!-- /t -->\nb"
    with pytest.raises(RunError, match="markers <!-- t -->"):
        report.render("no markers")


def test_collect_takes_over_whole_files(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    with pytest.raises(RunError, match="no results file"):
        report.collect(tmp_path)
    write_results([row("mnist", "pca", "score", 0.9)], tmp_path / "study.csv")
    assert report.collect(tmp_path) == [tmp_path / "results" / "study.csv"]
    assert read_results(tmp_path / "results" / "study.csv")[0]["auroc"] == 0.9
