"""Stacked training ends where training one at a time ends."""

from functools import partial

import numpy as np
import pytest
import torch

from dualad_lib import Autoencoder, DualAD, training
from dualad_lib.detectors import STAGES, create
from dualad_lib.errors import DataError
from dualad_lib.stacked import fit_stacked
from dualad_lib.training import TrainingError

SETTINGS = {"width": 4, "latent_dim": 8, "steps": 10, "batch_size": 64, "device": "cpu"}


def classes(channels=1):
    """Three kinds of stripes in different numbers."""
    generator = torch.Generator().manual_seed(0)
    phases = [6.3 * torch.rand(n, channels, 1, 1, generator=generator) for n in (80, 90, 100)]
    lines = torch.arange(12.0)[:, None] * torch.ones(12)
    return [0.5 + 0.4 * torch.sin((k + 1) * lines / 2 + phase) for k, phase in enumerate(phases)]


def weights(detector):
    return torch.cat([p.detach().flatten() for p in detector.parts_.parameters()])


@pytest.mark.parametrize("stage", ["autoencoder", *STAGES, "dualad"])
def test_stacked_is_one_at_a_time(stage):
    """The same losses, and weights that went the same way from the same start, but for rounding."""
    images = classes()
    start = weights(create(stage, **{**SETTINGS, "steps": 1}).fit(images[0]))
    alone = [create(stage, **SETTINGS).fit(x) for x in images]
    together = fit_stacked([create(stage, **SETTINGS) for _ in images], images)
    for one, other, x in zip(alone, together, images, strict=True):
        assert set(one.history_) == set(other.history_)
        for name, values in one.history_.items():
            assert other.history_[name] == pytest.approx(values, rel=5e-3, abs=1e-5), name
        apart, moved = weights(one) - weights(other), weights(one) - start
        assert apart.norm() < 0.02 * moved.norm()
        for (name, ours), (_, theirs) in zip(
            one.anomaly_scores(1 - x).items(), other.anomaly_scores(1 - x).items(), strict=True
        ):
            assert np.corrcoef(ours, theirs)[0, 1] > 0.999, name


def test_a_killed_stacked_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    images, state = classes(), tmp_path / "state.pt"
    calm = fit_stacked([DualAD(**SETTINGS) for _ in images], images)
    monkeypatch.setattr("dualad_lib.training.progress", lambda steps, **_: _cut(steps, 7))
    monkeypatch.setitem(fit_stacked.__globals__, "train", partial(training.train, checkpoint_every=3))
    with pytest.raises(KeyboardInterrupt):
        fit_stacked([DualAD(**SETTINGS) for _ in images], images, state)
    assert torch.load(state, weights_only=True)["step"] == 6
    monkeypatch.undo()
    again = fit_stacked([DualAD(**SETTINGS) for _ in images], images, state)
    for one, other in zip(calm, again, strict=True):
        assert torch.equal(weights(one), weights(other))
        assert one.history_ == other.history_


def _cut(steps, end):
    for number in steps:
        if number == end:
            raise KeyboardInterrupt
        yield number


def test_a_loss_that_is_not_finite_in_one_model_stops_the_stack():
    images = classes()
    detectors = [Autoencoder(**{**SETTINGS, "learning_rate": 1e38}) for _ in images]
    with pytest.raises(TrainingError, match="no longer finite"):
        fit_stacked(detectors, images)


def test_strong_views_can_be_stacked():
    images = classes(channels=3)
    alone = [DualAD(**SETTINGS).fit(x) for x in images]
    together = fit_stacked([DualAD(**SETTINGS) for _ in images], images)
    for one, other in zip(alone, together, strict=True):
        assert other.history_["views"] == pytest.approx(one.history_["views"], rel=5e-3)


def test_a_stacked_detector_is_a_detector(tmp_path):
    images = classes()
    detector = fit_stacked([DualAD(**SETTINGS) for _ in images], images)[1]
    detector.save(tmp_path / "m.safetensors")
    loaded = DualAD.load(tmp_path / "m.safetensors")
    assert loaded.anomaly_scores(images[0]).dual == pytest.approx(
        detector.anomaly_scores(images[0]).dual, rel=1e-5
    )


def test_what_cannot_be_stacked_says_why():
    images = classes()
    with pytest.raises(DataError, match="same parameters and seed"):
        fit_stacked([Autoencoder(**SETTINGS), Autoencoder(**{**SETTINGS, "seed": 1})], images[:2])
    with pytest.raises(DataError, match="one shape"):
        fit_stacked(
            [Autoencoder(**SETTINGS), Autoencoder(**SETTINGS)], [images[0], images[1][:, :, :10, :10]]
        )
    with pytest.raises(DataError, match="2 detectors cannot be fitted on 3"):
        fit_stacked([Autoencoder(**SETTINGS)] * 2, images)


def test_what_does_not_train_stacked_is_refused():
    from dualad_lib import PublishedDualAD

    x = torch.rand(40, 1, 8, 8)
    with pytest.raises(DataError, match="only Autoencoder and DualAD train stacked, not PublishedDualAD"):
        fit_stacked([PublishedDualAD(), PublishedDualAD()], [x, x])
    small = {"steps": 2, "width": 4, "latent_dim": 4, "batch_size": 32, "device": "cpu"}
    with pytest.raises(DataError, match="smaller than a batch"):
        fit_stacked([Autoencoder(**small), Autoencoder(**small)], [torch.rand(60, 1, 8, 8), x[:20]])
