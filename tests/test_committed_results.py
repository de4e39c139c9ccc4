"""The committed results: complete, honest by their own columns, in agreement with independent measurements."""

import pytest

from dualad_lib.runs.provenance import ROOT
from dualad_lib.runs.report import all_results, render
from dualad_lib.runs.results import COLUMNS

ROWS = all_results("01_autoencoder_baseline")
# Means over the ten classes measured independently of this library, in percent.
INDEPENDENT = {
    "pca": {"mnist": 95.5, "fashion_mnist": 90.5, "cifar10": 55.0},
    "knn": {"mnist": 95.4, "fashion_mnist": 92.3, "cifar10": 60.6},
    "isolation_forest": {"mnist": 85.7, "fashion_mnist": 91.7, "cifar10": 59.7},
}
DATASETS = ("mnist", "fashion_mnist", "cifar10")


def mean(dataset, detector, score="score"):
    found = [r for r in ROWS if (r["dataset"], r["detector"], r["score"]) == (dataset, detector, score)]
    assert sorted(r["normal_class"] for r in found) == list(range(10)), "all ten classes, once each"
    return 100 * sum(r["auroc"] for r in found) / 10


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("detector", INDEPENDENT)
def test_baselines_agree_with_independent_measurements(dataset, detector):
    assert mean(dataset, detector) == pytest.approx(INDEPENDENT[detector][dataset], abs=1.0)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_the_latent_score_named_beforehand_is_above_pca(dataset):
    assert mean(dataset, "autoencoder", "latent") > mean(dataset, "pca")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_detector_is_in_the_table(dataset):
    for detector in ("ocsvm", "kde"):
        mean(dataset, detector)
    for score in ("pixel", "latent", "dual"):
        mean(dataset, "autoencoder", score)


def test_rows_say_how_they_were_made():
    assert set(ROWS[0]) == set(COLUMNS)
    for row in ROWS:
        assert row["evaluation"] == "honest" and row["profile"] == "paper"
        assert row["command"].startswith("dualad run 01_autoencoder_baseline --profile paper")
        assert row["torch"] and row["library"] and row["device"] and row["train_seconds"] > 0


def test_the_readme_shows_these_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert render(text) == text, "run `dualad report`"
