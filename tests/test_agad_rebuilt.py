"""AGAD rebuilt, on pixels and on features: contexts, strength, labels of some kinds, the classifier that is left."""

import numpy as np
import pytest
import torch

from dualad_lib import DataError, FeatureAGAD, RebuiltAGAD, load_one_class
from dualad_lib.errors import RunError
from dualad_lib.experiments import pooled
from dualad_lib.experiments.measuring import BY_KIND, kinds_of, measure
from dualad_lib.networks.backbone import Backbone

X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BLACK = torch.zeros(12, 1, 8, 8)
BOTH, LABELS = torch.cat([X, BLACK]), [0] * 40 + [1] * 12
TINY = {"width": 4, "latent_dim": 6, "steps": 4, "batch_size": 16, "device": "cpu"}
SEEN = {"side": 64, "precision": "float32", "width": 16, "latent_dim": 4, "steps": 60, "batch_size": 16}


def test_every_image_has_the_context_it_stands_in():
    """Two views in four turns, then drawings of the normal ones; labelled anomalies are told of in every turn."""
    model = RebuiltAGAD(**TINY).fit(BOTH, labels=LABELS)
    t = model._contexts(5, 3, "cpu")
    views = t[:40].view(4, 2, 5)
    assert (views[..., 3:] == 5).all() and (t[40:] == 4).all() and len(t) == 43
    assert all((views[turn, :, :3] == turn).all() for turn in range(4))
    found = model.contexts(X[:7])
    assert found.shape == (7, 6) and np.allclose(found.sum(1), 1)
    assert RebuiltAGAD(turned=False, redrawn=False, **TINY).fit(X)._contexts(2, 2, "cpu").tolist() == [0] * 4


def test_a_drawing_lies_a_share_of_the_error_away():
    half, whole = (RebuiltAGAD(strength=s, **TINY).fit(X) for s in (0.5, 1.0))
    near, far = half._redraw(X) - X, whole._redraw(X) - X
    assert whole.parts_["G"].training is False and far.abs().max() > 0.1
    half.parts_.load_state_dict(whole.parts_.state_dict())
    assert torch.allclose(half._redraw(X) - X, far / 2, atol=1e-6) and near.shape == far.shape


@pytest.mark.parametrize("parts", [{}, {"redrawn": False, "turned": False, "contrast": False}])
def test_labelled_anomalies_score_higher_for_it(parts):
    told = RebuiltAGAD(**{**TINY, "steps": 30}, **parts).fit(BOTH, labels=LABELS)
    scores = told.anomaly_scores(torch.cat([X[:12], BLACK])).final
    assert scores[12:].min() > scores[:12].max()
    assert told.contexts(BLACK)[:, -1].min() > told.contexts(X)[:, -1].max()


def test_a_classifier_asks_for_labels():
    with pytest.raises(DataError, match="labels alone"):
        RebuiltAGAD(redrawn=False, turned=False, contrast=False, **TINY).fit(X)


@pytest.mark.parametrize("kind", [{}, {"distances": False}, {"drawn": True}])
def test_on_features_labels_count_and_files_keep_what_was_told(kind, tmp_path):
    told = FeatureAGAD(**SEEN, **kind).fit(BOTH, labels=LABELS)
    scores = told.anomaly_scores(torch.cat([X[:12], BLACK])).final
    assert scores[12:].min() > scores[:12].max()
    told.save(tmp_path / "m.safetensors")
    again = FeatureAGAD.load(tmp_path / "m.safetensors")
    assert np.allclose(again.anomaly_scores(torch.cat([X[:12], BLACK])).final, scores)


def test_on_features_without_labels_nothing_is_judged_but_drawings():
    assert set(FeatureAGAD(**SEEN).fit(X).parts_) == {"G"}
    assert set(FeatureAGAD(drawn=True, **SEEN).fit(X).parts_) == {"G", "C"}


def test_kinds_have_rows_of_their_own():
    cell = {"detector": "agad_rebuilt", "dataset": "digits", "normal_class": 3, "params": TINY}
    rows = measure(**cell, labelled=0.1, kinds="every other", setting="told")
    assert {row["evaluation"] for row in rows} == {"honest", *BY_KIND}
    task = load_one_class("digits", 3)
    assert kinds_of({"kinds": "every other", "normal_class": 3}, task) == [4, 6, 8, 0, 2]
    assert {row["evaluation"] for row in measure(**cell)} == {"honest"}
    with pytest.raises(RunError, match="unknown kinds"):
        measure(**cell, kinds="odd")


def test_pooled_features_are_computed_once(tmp_path, monkeypatch):
    cell = {
        "detector": "agad_features",
        "dataset": "digits",
        "normal_class": 3,
        "params": {**SEEN, "steps": 4},
    }
    first = pooled.measure(**cell, output=tmp_path / "cells")
    assert first[0]["train_seconds"] is None and (tmp_path / "features.pt").exists()
    direct = measure(**cell)
    assert first[0]["auroc"] == pytest.approx(direct[0]["auroc"], abs=1e-3)
    pooled._read_features.cache_clear()
    seen, forward = [], Backbone.forward
    monkeypatch.setattr(
        Backbone, "forward", lambda self, x, *levels: seen.append(len(x)) or forward(self, x, *levels)
    )
    again = pooled.measure(**cell, setting="again", output=tmp_path / "cells")
    assert seen == [1]  # to know how many channels there are
    assert again[0]["auroc"] == pytest.approx(first[0]["auroc"], abs=1e-3)
