"""The palette as colour-blind readers see it: colours that meet in one figure stay apart."""

from itertools import combinations

import numpy as np
import pytest

from dualad_lib.plots import ANOMALOUS, COLOURS, NORMAL

#: Machado, Oliveira & Fernandes (2009), severity 1.0, on linear RGB.
SIMULATIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
WHITE = np.array([0.95047, 1.0, 1.08883])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE 1976 L*a*b* of linear RGB; distances of 10 and more are seen at a glance."""
    t = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a, b, sight):
    matrix = np.array(SIMULATIONS[sight])
    return np.linalg.norm(lab(matrix @ linear(a)) - lab(matrix @ linear(b)))


def test_the_distance_is_cielabs():
    assert distance("#ffffff", "#000000", "normal") == pytest.approx(100, abs=0.1)
    assert distance("#ff0000", "#00ff00", "normal") == pytest.approx(170.6, abs=0.5)
    assert distance("#ff0000", "#808000", "deuteranopia") < distance("#ff0000", "#808000", "normal") / 2


@pytest.mark.parametrize("sight", SIMULATIONS)
def test_colours_stay_apart(sight):
    close = {(a, b): distance(a, b, sight) for a, b in combinations(COLOURS, 2)}
    assert min(close.values()) > 10, min(close, key=close.get)


@pytest.mark.parametrize("sight", SIMULATIONS)
def test_normal_and_anomalous_are_far_apart(sight):
    assert distance(NORMAL, ANOMALOUS, sight) > 40
