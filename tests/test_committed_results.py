"""The committed results: complete, honest by their own columns, in agreement with independent measurements."""

import pytest

from dualad_lib.runs.provenance import ROOT
from dualad_lib.runs.report import committed, render
from dualad_lib.runs.results import COLUMNS

ROWS = committed()
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


BASELINES = ("pca", "knn", "isolation_forest", "ocsvm", "kde")
GREY = ("mnist", "fashion_mnist")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_baseline_is_in_the_table(dataset):
    for detector in BASELINES:
        mean(dataset, detector)


def complete(dataset, *detectors):
    """Whether all ten classes of these are measured; while they are not, what is said about means has to wait."""
    found = {(r["detector"], r["normal_class"]) for r in ROWS if r["dataset"] == dataset}
    return all((detector, k) in found for detector in detectors for k in range(10))


@pytest.mark.parametrize("dataset", GREY)
def test_the_latent_score_named_beforehand_is_above_pca(dataset):
    if not complete(dataset, "autoencoder"):
        pytest.skip("not measured on all classes yet")
    assert mean(dataset, "autoencoder", "latent") > mean(dataset, "pca")


@pytest.mark.parametrize("dataset", GREY)
def test_the_full_detector_beats_every_baseline_and_its_dual_score_is_no_loss(dataset):
    if not complete(dataset, "autoencoder", "dualad"):
        pytest.skip("not measured on all classes yet")
    dual = mean(dataset, "dualad", "dual")
    assert dual > max(mean(dataset, detector) for detector in BASELINES)
    assert dual > mean(dataset, "autoencoder", "dual")
    assert dual > max(mean(dataset, "dualad", "pixel"), mean(dataset, "dualad", "latent")) - 0.5


def test_rows_say_how_they_were_made():
    assert set(ROWS[0]) == set(COLUMNS)
    for row in ROWS:
        assert row["evaluation"] == "honest" and row["profile"] == "paper"
        assert row["command"].startswith(("dualad reproduce --profile paper", "dualad run 01"))
        assert row["torch"] and row["library"] and row["device"] and row["train_seconds"] > 0


def test_the_readme_shows_these_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert render(text) == text, "run `dualad report`"
