"""Nothing is left on the CPU, on any machine: detectors and attacks on a device that only claims to be another."""

import numpy as np
import pytest
import torch
from pretend import Elsewhere, pretended

from dualad_lib import Detector
from dualad_lib.adversarial import attacks
from dualad_lib.detectors import SYSTEMS, create
from dualad_lib.networks import ConvClassifier

DRAWN = np.random.default_rng(0)
GREY = DRAWN.integers(0, 256, (60, 1, 12, 12)).astype(np.uint8)
COLOUR = DRAWN.integers(0, 256, (12, 3, 32, 32)).astype(np.uint8)
SMALL = {
    "steps": 3,
    "epochs": 1,
    "width": 4,
    "batch_size": 8,
    "precision": "float32",
    "copies": 1,
    "side": 64,
}
#: Networks and views that no default has.
OTHERS = {
    "dualad pooled": ("dualad", {"network": "pooled", "views": "strong"}),
    "autoencoder mlp": ("autoencoder", {"network": "mlp", "pixel": "relative"}),
}
HERE = {name: (name, {}) for name in SYSTEMS if "device" in create(name).get_params()}


@pytest.mark.filterwarnings("ignore")  # three steps teach nothing, and codes collapse
@pytest.mark.parametrize("case", [*HERE, *OTHERS])
def test_fits_scores_and_loads_as_on_the_cpu(case, tmp_path):
    name, options = {**HERE, **OTHERS}[case]
    known = create(name).get_params()
    options = {**{k: v for k, v in SMALL.items() if k in known}, **options}
    images = COLOUR if "side" in known else GREY
    expected = create(name, device="cpu", **options).fit(images).anomaly_scores(images).final
    with pretended() as device:
        model = create(name, device=device, **options).fit(images)
        held = {type(value) for value in getattr(model, "parts_", torch.nn.Module()).parameters()}
        assert all(issubclass(kind, Elsewhere) for kind in held)
        assert np.allclose(model.anomaly_scores(images).final, expected, rtol=1e-6)
        model.save(tmp_path / "m.safetensors")
        again = Detector.load(tmp_path / "m.safetensors", device=device)
        assert np.allclose(again.anomaly_scores(images).final, expected, rtol=1e-6)
    on_cpu = Detector.load(tmp_path / "m.safetensors", device="cpu")
    assert np.allclose(on_cpu.anomaly_scores(images).final, expected, rtol=1e-6)


def test_attacks_stay_where_the_network_is():
    net, images = ConvClassifier((1, 12, 12), 3, 4).eval().requires_grad_(False), torch.from_numpy(GREY)
    with pretended() as device:
        net, x = net.to(device), images.to(device).float() / 255
        y = net(x).argmax(1)
        for attack in (attacks.fgsm, attacks.bim):
            assert isinstance(attack(net, x, y, 0.1), Elsewhere)
        assert isinstance(attacks.deepfool(net, x, eps=0.1), Elsewhere)


def test_the_pretended_device_refuses_company():
    with pretended() as device:
        there = torch.ones(3, device=device)
        assert torch.equal((there * 2 + torch.tensor(1.0)).cpu(), torch.full((3,), 3.0))
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        with pytest.raises(TypeError, match="cpu"):
            there.numpy()
