"""Stacked training ends where training one at a time ends."""

import numpy as np
import pytest
import torch

from dualad_lib import Autoencoder, DualAD
from dualad_lib.detectors import STAGES, create
from dualad_lib.errors import DataError
from dualad_lib.stacked import fit_stacked

SETTINGS = {"width": 4, "latent_dim": 8, "steps": 10, "batch_size": 64, "device": "cpu"}


def classes(channels=1):
    """Three kinds of stripes in different numbers."""
    generator = torch.Generator().manual_seed(0)
    phases = [6.3 * torch.rand(n, channels, 1, 1, generator=generator) for n in (80, 90, 100)]
    lines = torch.arange(12.0)[:, None] * torch.ones(12)
    return [0.5 + 0.4 * torch.sin((k + 1) * lines / 2 + phase) for k, phase in enumerate(phases)]


@pytest.mark.parametrize("stage", ["autoencoder", *STAGES, "dualad"])
def test_stacked_is_one_at_a_time(stage):
    images = classes()
    alone = [create(stage, **SETTINGS).fit(x) for x in images]
    together = fit_stacked([create(stage, **SETTINGS) for _ in images], images)
    for one, other, x in zip(alone, together, images, strict=True):
        assert set(one.history_) == set(other.history_)
        for name, values in one.history_.items():
            assert other.history_[name] == pytest.approx(values, rel=5e-3, abs=1e-5), name
        for (name, ours), (_, theirs) in zip(
            one.anomaly_scores(1 - x).items(), other.anomaly_scores(1 - x).items(), strict=True
        ):
            assert np.corrcoef(ours, theirs)[0, 1] > 0.999, name


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
