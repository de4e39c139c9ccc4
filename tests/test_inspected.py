"""The measurement behind lesson 07: splits, alarms, shifts, maps, and the files they end in."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from dualad_lib import PCA, RunError
from dualad_lib.data import load_inspection
from dualad_lib.data.inspection import DEFECTS, SHIFTS, Inspection
from dualad_lib.data.patches import cut, image_scores
from dualad_lib.experiments import grid as grid_module
from dualad_lib.experiments import inspected
from dualad_lib.experiments.grid import Cell, reproduce
from dualad_lib.experiments.inspected import FLAW, MEASURES, Inspector, identify, measure
from dualad_lib.experiments.results import read_measures

CELL = {"detector": "pca", "dataset": "digits", "normal_class": 0, "params": {"n_components": 8}}


def test_rows_are_of_all_anomalies_and_of_each_kind_on_every_split(tmp_path):
    options = {**CELL, "splits": 2, "setting": "tried", "output": tmp_path}
    assert identify(**options).rows() is None
    rows = measure(**options)
    settings = ["tried", *(f"tried, {kind}" for kind in DEFECTS)]
    assert [(r["setting"], r["seed"]) for r in rows] == [(s, k) for k in (0, 1) for s in settings]
    assert rows[0]["auroc"] == pytest.approx(np.mean([r["auroc"] for r in rows[1:4]])), (
        "kinds of equal numbers"
    )
    assert rows[0]["auroc"] != rows[4]["auroc"] and {r["evaluation"] for r in rows} == {"honest"}
    assert identify(**options).rows() == rows and identify(**{**options, "splits": 3}).rows() is None


def test_measures_end_in_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(grid_module, "_pool", lambda *asked: nullcontext(grid_module._in_turn))
    options = {"params": CELL["params"], "splits": 2, "maps": 1, "shifts": True}
    cell = Cell("digits", "pca", 0, 0, "smoke", "tiles", options, "dualad_lib.experiments.inspected")
    for _ in range(2):  # the second time all is read
        reproduce([cell], tmp_path, "python", workers=1, say=lambda text: None)
        found = read_measures("tiles", tmp_path / "measures")
    shifts = ["none", *SHIFTS, *(f"{name}, recalibrated" for name in SHIFTS)]
    assert {row["shift"] for row in found} == set(shifts) and {row["measure"] for row in found} == set(
        MEASURES
    )
    assert len(found) == 2 * 3 * len(shifts) + 2
    assert all(0 <= row["value"] <= 1 and row["count"] > 0 and row["command"] for row in found)


def test_a_defect_of_a_part_that_trains_or_calibrates_is_not_tested(monkeypatch):
    """Each damaged part also has a view without defects; where that view trains, the damaged one leaves the test."""
    data = load_inspection("digits")
    bad = data.labels > 0
    parts = data.parts.clone()
    parts[bad] = data.parts[~bad][: int(bad.sum())]
    shared = Inspection(data.images, data.masks, data.labels, parts, data.class_names)
    monkeypatch.setattr(inspected, "load_inspection", lambda name: shared)
    seen, fit, scores = {}, Inspector.fit, Inspector.scores

    def watched_fit(self, images, calibration=None):
        seen["known"] = torch.cat([images, calibration])
        return fit(self, images, calibration)

    def watched_scores(self, images):
        seen["tested"] = images  # the defects come last
        return scores(self, images)

    monkeypatch.setattr(Inspector, "fit", watched_fit)
    monkeypatch.setattr(Inspector, "scores", watched_scores)
    measure(**CELL)
    of = {image.numpy().tobytes(): int(part) for image, part in zip(data.images, parts, strict=True)}
    known, tested = ({of[image.numpy().tobytes()] for image in seen[name]} for name in ("known", "tested"))
    assert 0 < len(seen["tested"]) < bad.sum() and not known & tested
    measure(**CELL, split="image")
    assert len(seen["tested"]) == bad.sum()  # the flawed evaluation keeps them


def test_views_on_both_sides_are_a_flaw_that_the_rows_name():
    assert {r["evaluation"] for r in measure(**CELL, split="image")} == {FLAW}
    assert {r["evaluation"] for r in measure(**CELL, split="calibrated by image")} == {"honest"}
    with pytest.raises(RunError, match="unknown split 'luck'"):
        measure(**CELL, split="luck")
    with pytest.raises(RunError, match="free of defects"):
        measure(**{**CELL, "normal_class": 3})


def test_patches_are_calibrated_on_images():
    data = load_inspection("digits")
    good = data.images[data.labels == 0]
    inspector = Inspector(PCA(n_components=4), patch=4).fit(good[:50], good[50:90])
    assert len(inspector.calibration_scores_) == 40
    assert (inspector.calibration_scores_ > inspector.threshold_).mean() <= 0.05
    by_hand = image_scores(inspector.model.anomaly_scores(cut(good[90:100], 4)).final, 9)
    assert inspector.scores(good[90:100]).final == pytest.approx(by_hand)
    assert inspector.maps(good[:3]).shape == (3, 8, 8)
    with pytest.raises(RunError, match="need calibration images"):
        Inspector(PCA(), patch=4).fit(good)


def test_recalibration_brings_the_promise_back():
    data = load_inspection("digits")
    good = data.images[data.labels == 0]
    darker = (good.float() * 0.5).to(torch.uint8)
    inspector = Inspector(PCA(n_components=4)).fit(good[:50], good[50:80])
    before = (inspector.scores(255 - good[80:]).final > inspector.threshold_).mean()
    inspector.recalibrate(255 - good[50:80])
    assert before == 1 and (inspector.scores(255 - good[80:]).final > inspector.threshold_).mean() < 0.25
    assert inspector.recalibrate(darker[50:80]).threshold_ > 0
