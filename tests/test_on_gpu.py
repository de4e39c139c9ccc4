"""What only a CUDA device can show, skipped without one: fake and CPU forms of it stand in the other files."""

import numpy as np
import pytest
import torch

from dualad_lib import Detector, PublishedDualAD
from dualad_lib.adversarial import attacks
from dualad_lib.adversarial.detectors import AttackDetector
from dualad_lib.detectors import SYSTEMS, create
from dualad_lib.detectors.trained import Trained
from dualad_lib.networks import ConvClassifier
from dualad_lib.training import seeded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
X = np.random.default_rng(0).integers(0, 256, (60, 1, 12, 12)).astype(np.uint8)
TRAINED = [name for name, system in SYSTEMS.items() if issubclass(system.kind, Trained)]


def quick(name, **parameters):
    short = {"epochs": 1} if SYSTEMS[name].kind is PublishedDualAD else {"steps": 5, "width": 4}
    return create(name, device="cuda", batch_size=16, **{**short, **parameters})


@pytest.mark.parametrize("name", TRAINED)
def test_trains_scores_and_moves_to_a_cpu(name, tmp_path):
    model, again = quick(name).fit(X), quick(name).fit(torch.from_numpy(X).cuda())
    final = model.anomaly_scores(X).final
    assert np.allclose(again.anomaly_scores(X).final, final, rtol=1e-3, atol=1e-4)
    alone = [model.anomaly_scores(image[None]).final[0] for image in X[:5]]
    assert np.allclose(alone, final[:5], rtol=1e-4, atol=1e-5), "company"
    model.save(tmp_path / "m.safetensors")
    on_cpu = Detector.load(tmp_path / "m.safetensors", device="cpu")
    assert np.allclose(on_cpu.anomaly_scores(X).final, final, rtol=1e-3, atol=1e-3)
    assert model.set_params(device="cpu").recalibrate(X[:20]).predict(X).shape == (60,)


def test_training_leaves_the_random_states_of_both_devices_alone():
    torch.manual_seed(5)
    expected = torch.rand(2), torch.rand(2, device="cuda")
    torch.manual_seed(5)
    quick("dualad").fit(X)
    with seeded(1, "cpu"):
        pass
    assert torch.equal(torch.rand(2), expected[0]) and torch.equal(torch.rand(2, device="cuda"), expected[1])


def test_a_step_of_the_critic_reads_nothing_back():
    model = quick("dualad", hypersphere=False).fit(X)
    x = torch.rand(16, 1, 12, 12, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        model._copies(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("score", ["max_softmax_probability", "feature_squeezing", "roughness"])
def test_attacks_and_suspicions(score):
    net = ConvClassifier((1, 12, 12), 3, 4).cuda().eval().requires_grad_(False)
    x = torch.from_numpy(X).cuda().float() / 255
    y = net(x).argmax(1)
    for found in (
        attacks.fgsm(net, x, y, 0.1),
        attacks.bim(net, x, y, 0.1),
        attacks.deepfool(net, x, eps=0.1),
    ):
        assert found.device.type == "cuda"
    starts = torch.rand(60, 1, 12, 12, device="cuda")
    if not (net(starts).argmax(1) == 9).any():
        assert attacks._at_border(net, x, y * 0 + 9, starts).device.type == "cuda"
    assert AttackDetector(score, net).fit(X).predict(X).shape == (60,)
