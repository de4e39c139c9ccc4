"""The published configuration: each flaw is where it should be, and only where its switch is on."""

import numpy as np
import pytest
import torch

from dualad_lib import PublishedDualAD
from dualad_lib.training import Step

X = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TINY = {"latent_dim": 6, "epochs": 2, "batch_size": 20, "learning_rate": 1e-3, "device": "cpu"}


def gradient_by_image(first_sample):
    """How much the compactness term moves with each image of a batch."""
    model = PublishedDualAD(first_sample=first_sample, **TINY).fit(X)
    turns, _ = model._game()
    batch = X[:5].clone().requires_grad_()
    terms = turns[0].loss(Step(0, 0.0, {"train": batch, "constraint": batch}))
    (gradient,) = torch.autograd.grad(terms["compactness"], batch)
    return gradient.flatten(1).norm(dim=1)


def test_first_sample_is_a_switch():
    published, mended = gradient_by_image(True), gradient_by_image(False)
    assert published[0] > 0 and (published[1:] == 0).all()
    assert (mended > 0).all()


def test_the_published_score_is_a_raw_sum():
    s = PublishedDualAD(**TINY).fit(X).anomaly_scores(X[:7])
    assert s.dual == pytest.approx(s.pixel + 50 * s.latent)
    fused = PublishedDualAD(score_weight=None, **TINY).fit(X).anomaly_scores(X[:7])
    assert fused.pixel == pytest.approx(s.pixel) and not np.allclose(fused.dual, s.dual)


def test_steps_count_epochs_and_can_be_watched():
    seen = []
    model = PublishedDualAD(**TINY)
    model.fit(X, after_step=lambda step: seen.append(model.anomaly_scores(X[:3]).final))
    assert len(seen) == 2 * (54 // 20)  # 54 images train, the rest calibrate
    assert not np.allclose(seen[0], seen[-1])
    assert seen[-1] == pytest.approx(model.anomaly_scores(X[:3]).final)


def test_the_centre_moves_and_there_is_no_radius_in_the_game():
    sphere = PublishedDualAD(**TINY).fit(X).parts_["sphere"]
    assert sphere.centre.abs().sum() > 0 and sphere.radius.item() == 1.0


def test_saved_and_loaded(tmp_path):
    model = PublishedDualAD(**TINY).fit(X)
    model.save(tmp_path / "m.safetensors")
    loaded = PublishedDualAD.load(tmp_path / "m.safetensors")
    assert loaded.anomaly_scores(X[:5]).final == pytest.approx(model.anomaly_scores(X[:5]).final, rel=1e-5)
