"""Sliders: they draw what their values say, and step aside in a batch run."""

import numpy as np
import pytest
import torch

from dualad_lib import Autoencoder
from dualad_lib.course import interactive

pytest.importorskip("ipywidgets")
RANDOM = np.random.default_rng(0)
HELD = {"pixel": np.exp(RANDOM.normal(size=200)), "latent": np.exp(RANDOM.normal(size=200))}
LABELS = np.repeat([0, 1], 100)
TEST = {
    "pixel": np.exp(RANDOM.normal(size=200)),  # says nothing
    "latent": np.exp(RANDOM.normal(size=200) + 4 * LABELS),  # says all
}


@pytest.fixture
def drawn(monkeypatch):
    """Alternative texts of the figures that are shown."""
    shown = []
    monkeypatch.setattr("dualad_lib.plots.show", lambda figure, alt: shown.append(alt))
    monkeypatch.delenv(interactive.BATCH, raising=False)
    return shown


def numbers(text):
    return [float(word) for word in text.replace(";", " ").split() if word.replace(".", "").isdigit()]


def test_the_weight_moves_the_auroc_and_the_rate_the_alarms(drawn):
    weight, rate, _ = interactive.explore_scores(HELD, TEST, LABELS).children
    weight.value = 0.0
    latent_alone, _, few = numbers(drawn[-1])
    weight.value = 1.0
    pixel_alone, _, _ = numbers(drawn[-1])
    assert latent_alone > 98 and 35 < pixel_alone < 65
    weight.value, rate.value = 0.0, 0.3
    same, _, many = numbers(drawn[-1])
    assert same == latent_alone and many > few


def test_walking_through_the_codes_draws_images(drawn):
    x = torch.rand(30, 1, 8, 8)
    model = Autoencoder(width=4, latent_dim=5, steps=2, device="cpu").fit(x)
    direction, _, _ = interactive.explore_codes(model, x).children
    assert direction.max == 5
    direction.value = 3
    assert "direction 3" in drawn[-1]


def test_a_batch_run_passes_them_by(monkeypatch, capsys):
    monkeypatch.setenv(interactive.BATCH, "1")
    assert interactive.explore_scores(HELD, TEST, LABELS) is None
    assert "JupyterLab" in capsys.readouterr().out
