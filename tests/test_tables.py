"""Tables computed from rows, against values worked out by hand."""

import math

import numpy as np
import pytest
from test_report import row

from dualad_lib.experiments import tables


def rows_of(detector, score, by_seed, dataset="mnist"):
    return [
        row(dataset, detector, score, auroc, k, seed=seed)
        for seed, values in enumerate(by_seed)
        for k, auroc in enumerate(values)
    ]


def test_the_interval_of_a_mean_over_seeds_is_students():
    """Means 0.8, 0.9, 1.0: deviation 0.1, t(0.975, 2) = 4.3027, half = 4.3027 * 10 / sqrt(3)."""
    rows = rows_of("pca", "score", [[0.7, 0.9], [0.8, 1.0], [1.0, 1.0]])
    line = tables.mean_over_classes(rows).loc[("mnist", "pca", "score")]
    assert line["mean"] == pytest.approx(90.0)
    assert line["half"] == pytest.approx(4.3027 * 10 / math.sqrt(3), rel=1e-4)
    assert (line["seeds"], line["classes"]) == (3, 2)


def test_one_seed_has_no_interval_and_an_unfinished_seed_waits():
    rows = rows_of("pca", "score", [[0.7, 0.9], [0.1]])
    line = tables.mean_over_classes(rows).loc[("mnist", "pca", "score")]
    assert line["mean"] == pytest.approx(80.0)
    assert math.isnan(line["half"])
    assert line["seeds"] == 1


def test_paired_differences_cancel_what_the_classes_have_in_common():
    """Differences 1, 2, 3: mean 2, deviation 1, half 4.3027 / sqrt(3)."""
    rows = rows_of("dualad", "dual", [[0.51, 0.72, 0.93]]) + rows_of("knn", "score", [[0.50, 0.70, 0.90]])
    line = tables.paired(rows, "mnist", ("dualad", "dual"), ("knn", "score"))
    assert line["mean"] == pytest.approx(2.0)
    assert line["high"] - line["mean"] == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert (line["won"], line["classes"]) == (3, 3)


def test_settings_of_a_study_are_paired_class_by_class():
    """Class 0: 3 and 1 points by seed; class 1: 4; a seed of one side alone and a setting beside them do not count."""
    measured = {("new", 0): (0.83, 0.81), ("old", 0): (0.8, 0.8), ("new", 1): (0.94,), ("old", 1): (0.9, 0.1)}
    measured[("else", 0)] = (0.3,)
    rows = [
        row("mnist", "lrgdan", score, value, k, seed=seed, setting=setting)
        for (setting, k), values in measured.items()
        for seed, value in enumerate(values)
        for score in ("score", "pixel")
    ]
    rows = [r if r["score"] == "score" else {**r, "auroc": 0.5} for r in rows]
    line = tables.paired_settings(rows, "new", "old")
    assert line["mean"] == pytest.approx(3.0) and (line["won"], line["classes"]) == (2, 2)
    assert line["high"] - line["mean"] == pytest.approx(12.7062 * math.sqrt(2) / math.sqrt(2), rel=1e-4)


def test_ablation_keeps_the_order_of_the_stages():
    rows = [
        r
        for detector, base in (("dualad", 0.9), ("autoencoder", 0.6), ("pca", 0.5))
        for score, more in (("dual", 0.02), ("latent", 0.01), ("pixel", 0.0))
        for r in rows_of(detector, score, [[base + more] * 10])
    ]
    assert tables.ablation(
        [r for r in rows if r["normal_class"]], "mnist"
    ).empty  # of nine classes there is no mean
    table = tables.ablation(rows, "mnist")
    assert list(table.index) == ["autoencoder", "dualad_d", "dualad_d_fc", "dualad"]
    assert table.loc["dualad_d"].isna().all()
    assert list(table.columns) == ["pixel", "latent", "dual"]
    assert table.loc["dualad", "dual"] == pytest.approx(92.0)


def test_left_out_has_a_mean_of_all_classes_alone_and_published_rows_beside():
    """knn: 0.5, 0.55, ..., 0.95 over ten digits, mean 72.5; adegan has one digit and no mean; others are left alone."""
    rows = [
        row("mnist", "knn", "score", 0.5 + 0.05 * k, k, protocol="leave_one_class_out", setting="k=5")
        for k in range(10)
    ]
    rows += [row("mnist", "adegan", "dual", 0.6, 3, protocol="leave_one_class_out")]
    rows += [
        row("mnist", "pca", "score", 0.9, 0),
        row("fashion_mnist", "pca", "score", 0.9, 0, protocol="leave_one_class_out"),
    ]
    table = tables.left_out(rows)
    assert list(table.index[:2]) == ["knn, k=5", "adegan, dual"] and "pca" not in table.index
    assert table.loc["knn, k=5", "mean"] == pytest.approx(72.5)
    assert table.loc["adegan, dual", 3] == pytest.approx(60.0)
    assert np.isnan(table.loc["adegan, dual", "mean"]) and np.isnan(table.loc["adegan, dual", 0])
    assert table.loc["ADe-GAN, as published", "mean"] == pytest.approx(90.7, abs=0.1)
    assert tables.left_out([], "fashion_mnist").empty


def test_hours_of_a_table_fill_the_gap_that_a_resumed_training_leaves():
    """Two cells: 3600 + 1800 s, and unknown (taken as 3600) + 1800 s; both scores of a cell are one training.

    A second seed, which may have run beside other work, does not count.
    """
    times = {"train_seconds": 3600.0, "score_seconds": 1800.0}
    rows = [row("mnist", "dualad", score, 0.9, 0, **times) for score in ("pixel", "dual")]
    rows += [row("mnist", "dualad", "dual", 0.9, 1, **{**times, "train_seconds": None})]
    rows += [row("mnist", "dualad", "dual", 0.9, 1, seed=1, **{**times, "score_seconds": 5400.0})]
    line = tables.hours(rows).loc["mnist"]
    assert (line["total"], line["longest"]) == (pytest.approx(1.5 + 1.5), pytest.approx(1.5))


def test_steps_stand_on_complete_stages_alone():
    rows = rows_of("autoencoder", "dual", [[0.9] * 10]) + rows_of("dualad", "dual", [[0.95] * 10])
    rows += rows_of("dualad_d", "dual", [[0.99] * 9])
    assert tables.steps(rows, "mnist").empty  # the stages between are missing or lack a class
    steps = tables.steps(rows + rows_of("dualad_d_fc", "dual", [[0.93] * 10]), "mnist")
    assert list(steps.index) == ["dualad"]
    assert steps.loc["dualad", "mean"] == pytest.approx(2.0)


def test_rows_of_flawed_or_other_settings_do_not_count():
    rows = [
        *rows_of("pca", "score", [[0.9] * 10]),
        row("mnist", "pca", "score", 0.1, setting="patterns=10"),
        row("mnist", "pca", "score", 0.99, evaluation="best epoch on test"),
    ]
    assert tables.by_class(rows, "mnist").loc[("pca", "score"), "mean"] == pytest.approx(90.0)


def test_published_figures_stand_beside_ours():
    table = tables.beside_published(rows_of("dualad", "dual", [[0.97] * 10]), "mnist").set_index("method")
    assert table.loc["AnoGAN", "ours minus it"] == pytest.approx(3.3)
    assert table.loc["AnoGAN", "verdict"] == "ours is above"
    assert table.loc["DASVDD", "verdict"] == "within a point"
    assert table.loc["LR-GDAN", "verdict"] == "ours is below"
    assert "artefact" in table.loc["AGAD, no labels", "verdict"]
    assert "CSI" not in table.index
    partial = tables.beside_published(rows_of("dualad", "dual", [[0.98] * 9]), "mnist")
    assert partial["ours minus it"].isna().all() and "ours is above" not in set(partial.verdict)


def test_a_study_is_averaged_class_by_class():
    """Classes 1 (two seeds, 0.6 and 0.8) and 2 (0.9): mean of 0.7 and 0.9; HTER where there is one."""
    rows = [
        row("mnist", "lrgdan", "score", 0.6, 1, protocol="80_20", seed=0, hter=0.2),
        row("mnist", "lrgdan", "score", 0.8, 1, protocol="80_20", seed=1, hter=0.4),
        row("mnist", "lrgdan", "score", 0.9, 2, protocol="80_20", seed=0, hter=0.5),
        row("mnist", "lrgdan", "score", 0.5, 1, protocol="80_20", evaluation="best step"),
        row("mnist", "lrgdan", "pixel", 0.1, 1, protocol="80_20"),
        row("mnist", "lrgdan", "latent", 0.1, 1, protocol="80_20"),
    ]
    table = tables.study(rows, ["protocol", "evaluation"])
    line = table.loc[("80_20", "honest")]
    assert line["AUROC"] == pytest.approx(80.0)
    assert line["HTER"] == pytest.approx(40.0)
    assert (line.classes, line.seeds) == (2, 2)
    assert math.isnan(table.loc[("80_20", "best step")]["HTER"])
    assert list(tables.study([], ["setting"]).columns) == ["AUROC", "HTER", "classes", "seeds"]
