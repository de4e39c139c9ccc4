"""What a model file scores stays what it scored: files outlive the code that wrote them.

Whoever changes a value here on purpose raises `FORMAT` in `dualad_lib/detectors/base.py`, so that files of before are
refused and do not give other verdicts without a word.
"""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dualad_lib import DataError, Detector
from dualad_lib.detectors import create
from dualad_lib.detectors.base import FORMAT

EXPECTED = {
    "pca": [0.0032087, 0.0065125, 0.0012566, 0.0046664, 0.00048427, 0.0018204],
    "kde": [4.782, 5.1641, 5.7015, 4.744, 4.8479, 7.3471],
    "knn": [1.4972, 2.5199, 1.6843, 2.3366, 0.6738, 2.911],
    "ocsvm": [-0.020162, 0.11528, 0.051323, -0.11194, 0.023137, 0.074332],
    "patchcore": [10.604, 15.99, 15.085, 16.471, 5.7328, 20.591],
    "padim": [3.8602, 4.6079, 4.8324, 4.9314, 3.8336, 4.5156],
    "feature_neighbours": [0.076525, 0.10066, 0.074487, 0.050571, 0.030079, 0.13266],
    "autoencoder": [-2.0149, 1.4521, -0.24312, 0.72412, -4.1852, 1.3945],
}


def images(count, seed):
    """Waves and, in every second image, a square: uint8 (count, 1, 40, 40), the same on every machine."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40] / 40
    slope, phase = random.uniform(3, 9, (count, 1, 1)), random.uniform(0, 6, (count, 1, 1))
    found = 120 + 60 * np.sin(slope * x + phase) * np.cos(slope * y)
    found[1::2, 10:20, 15:25] += random.integers(0, 60, (len(found[1::2]), 1, 1))
    return found.round().astype(np.uint8)[:, None]


SETTINGS = {
    "pca": {"n_components": 4},
    "kde": {"n_components": 4},
    "knn": {},
    "ocsvm": {},
    "patchcore": {"side": 64, "coreset": 1.0},
    "padim": {"side": 64, "components": 8},
    "feature_neighbours": {"side": 64, "precision": "float32"},
    "autoencoder": {"steps": 2, "precision": "float32"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore:.*calibration images cannot promise")
def test_a_file_scores_what_it_scored(name, tmp_path):
    model = create(name, **SETTINGS[name])
    model.fit(images(60, 0)).save(tmp_path / "m.safetensors")
    found = Detector.load(tmp_path / "m.safetensors", device="cpu").anomaly_scores(images(6, 1)).final
    rounding = 0.05 if name == "autoencoder" else 2e-4  # training on other processors ends a little elsewhere
    assert np.allclose(found, EXPECTED[name], rtol=5e-3, atol=rounding), found.tolist()


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    create("knn").fit(images(60, 0)).save(path)
    with safe_open(path, framework="pt") as file:
        header, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert header["format"] == FORMAT
    for other, words in (
        ("dualad-1", "another version of this library: fit"),
        ("torch", "not written by this"),
    ):
        save_file(state, path, {**header, "format": other})
        with pytest.raises(DataError, match=words):
            Detector.load(path)


def test_a_threshold_and_the_scores_beside_it_are_of_one_precision(tmp_path, monkeypatch):
    """Fitted where the processor has bfloat16, scored where it has not, or the other way."""
    from dualad_lib.networks import precision

    x = images(60, 0)
    for there, kept in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "computes_bfloat16", lambda device="cpu", there=there: there)
        model = create("feature_neighbours", side=64).fit(x)
        model.save(tmp_path / "m.safetensors")
        monkeypatch.setattr(precision, "computes_bfloat16", lambda device="cpu", there=there: not there)
        loaded = Detector.load(tmp_path / "m.safetensors")
        assert loaded.precision_ == model.precision_ == kept
        assert np.array_equal(loaded.anomaly_scores(x[:3]).final, model.anomaly_scores(x[:3]).final)
        assert loaded.recalibrate(images(40, 2)).precision_ == kept
        assert torch.equal(loaded._state()["precision"], model._state()["precision"])
