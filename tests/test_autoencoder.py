"""What the autoencoder has beyond the shared contract."""

import numpy as np
import pytest
import torch

from dualad_lib import Autoencoder, DataError
from dualad_lib.training import TrainingError

X = torch.rand(60, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def small(**parameters):
    return Autoencoder(
        **{"width": 4, "latent_dim": 8, "steps": 30, "batch_size": 16, "device": "cpu", **parameters}
    )


def test_history_codes_and_reconstructions():
    model = small().fit(X)
    assert len(model.history_["reconstruction"]) == 30
    assert model.history_["reconstruction"][-1] < model.history_["reconstruction"][0]
    assert model.encode(X).shape == (60, 8)
    x_hat = model.reconstruct(X)
    assert x_hat.shape == X.shape
    error = (x_hat - X).square().flatten(1).mean(1).numpy()
    assert model.anomaly_scores(X).pixel == pytest.approx(error, rel=1e-4)


def test_codes_do_not_collapse():
    """Trained codes still tell images apart: their spread stays well above that of a constant encoder."""
    z = small(steps=100).fit(X).encode(X)
    assert z.std(0).mean() > 0.1


def test_dual_score_is_the_mean_of_log_standardised_scores():
    model = small(fusion="equal").fit(X[:50], calibration=X[50:])
    held, s = model.anomaly_scores(X[50:]), model.anomaly_scores(1 - X[:5])
    expected = 0
    for part in ("pixel", "latent"):
        logs = np.log(getattr(held, part))
        expected = expected + (np.log(getattr(s, part)) - logs.mean()) / logs.std() / 2
    assert s.dual == pytest.approx(expected)


@pytest.mark.parametrize("latent", ["nearest", "mahalanobis", "centre"])
@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_each_form_saves_and_loads(tmp_path, network, latent):
    model = small(network=network, latent=latent, pixel="l1").fit(X)
    model.save(tmp_path / "m.safetensors")
    loaded = Autoencoder.load(tmp_path / "m.safetensors", device="cpu")
    assert loaded.anomaly_scores(X).dual == pytest.approx(model.anomaly_scores(X).dual, rel=1e-5)


def test_denoising_sees_noise_and_restores_the_clean_image():
    plain, denoising = small().fit(X), small(noise=0.5).fit(X)
    assert not np.array_equal(plain.anomaly_scores(X).pixel, denoising.anomaly_scores(X).pixel)
    assert np.array_equal(
        denoising.anomaly_scores(X).pixel, denoising.anomaly_scores(X).pixel
    )  # no noise at test


def test_too_small_images_name_the_way_out():
    with pytest.raises(DataError, match='network="mlp"'):
        small().fit(torch.rand(20, 1, 6, 6))
    assert small(network="mlp").fit(torch.rand(20, 1, 6, 6)).anomaly_scores(
        torch.rand(2, 1, 6, 6)
    ).final.shape == (2,)


def test_a_checkpoint_of_other_images_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    small().fit(X, checkpoint=path)
    with pytest.raises(TrainingError, match="belongs to another training"):
        small().fit(X.flip(0), checkpoint=path)
    small(false_alarm_rate=0.2).fit(
        X, checkpoint=path
    )  # changes no weight: the finished training is taken over
