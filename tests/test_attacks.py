"""Attacks: inside their bounds, on a linear classifier as worked out by hand, and in agreement with foolbox."""

import sys

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from dualad_lib import DataError
from dualad_lib.adversarial import attacks
from dualad_lib.adversarial.detectors import SCORES, classify


@pytest.fixture(scope="module")
def trained():
    """A small classifier of three kinds of blobs, images and labels that it knows."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    x = 0.3 * torch.rand(300, 1, 9, 9, generator=generator)
    for k in range(3):
        x[y == k, :, 3 * k : 3 * k + 3] += 0.12
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 49, 3))
        optimiser = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(80):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimiser.step()
    net.zero_grad()
    return net.eval(), x[:60], y[:60]


EPS = 0.1
NO_FOOLBOX = "foolbox is not installed: uv run --extra attacks pytest tests/test_attacks.py"
ATTACKS = {
    "fgsm": lambda net, x, y: attacks.fgsm(net, x, y, EPS),
    "bim": lambda net, x, y: attacks.bim(net, x, y, EPS),
    "deepfool": lambda net, x, y: attacks.deepfool(net, x, eps=EPS),
    "deepfool, l2": lambda net, x, y: attacks.deepfool(net, x, norm="l2", eps=1.0),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_bounds_are_kept_and_the_classifier_left_alone(trained, name):
    net, x, y = trained
    before = [p.clone() for p in net.parameters()]
    adversarial = ATTACKS[name](net, x, y)
    assert adversarial.shape == x.shape and not adversarial.requires_grad
    assert adversarial.min() >= 0 and adversarial.max() <= 1
    change = adversarial - x
    if "l2" in name:
        assert change.flatten(1).norm(dim=1).max() <= 1.0 + 1e-5
    else:
        assert change.abs().max() <= EPS + 1e-6
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_image_is_attacked_by_itself(trained, name):
    net, x, y = trained
    together = ATTACKS[name](net, x[:8], y[:8])
    alone = torch.cat([ATTACKS[name](net, x[i : i + 1], y[i : i + 1]) for i in range(8)])
    assert torch.allclose(together, alone, atol=1e-5)


def linear(w, b=0.0):
    """Two classes whose border is w . x + b = 0; positive: class 1."""
    return lambda x: torch.stack([torch.zeros(len(x)), x.flatten(1) @ w + b], 1)


def test_fgsm_of_a_linear_classifier_by_hand():
    w = torch.tensor([1.0, -2.0, 0.5, 0.25])
    x = torch.full((1, 1, 2, 2), 0.5)
    adversarial = attacks.fgsm(linear(w), x, torch.tensor([1]), 0.1)
    assert adversarial.flatten().tolist() == pytest.approx([0.4, 0.6, 0.4, 0.4])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_of_a_linear_classifier_goes_straight_to_its_border(norm):
    w, b = torch.tensor([1.0, -2.0, 0.5, 0.25]), 0.2
    x = torch.full((1, 1, 2, 2), 0.5)
    value = float(x.flatten() @ w + b)  # 0.075: class 1
    change = (attacks.deepfool(linear(w, b), x, norm=norm) - x).flatten()
    expected = value / w.abs().sum() if norm == "linf" else value / w.norm()
    size = change.abs().max() if norm == "linf" else change.norm()
    assert size.item() == pytest.approx(1.02 * (expected.item() + 1e-4), rel=1e-3)
    assert torch.equal(change.sign(), -w.sign())


def test_steps_reach_farther_than_one(trained):
    net, x, y = trained
    single = attacks.success_rate(net, x, attacks.fgsm(net, x, y, EPS), y)
    iterated = attacks.success_rate(net, x, attacks.bim(net, x, y, EPS), y)
    assert iterated >= single > 0


def test_success_counts_only_what_was_right_before(trained):
    net, x, y = trained
    assert attacks.success_rate(net, x, x, y) == 0
    assert attacks.success_rate(net, x, x.roll(1, 0), y) == 1


def test_an_attack_that_knows_the_detector_keeps_its_score_low(trained):
    net, x, y = trained
    brightness = lambda images: images.flatten(1).mean(1)  # noqa: E731
    blind = attacks.bim(net, x, y, EPS)
    knowing = attacks.bim(net, x, y, EPS, penalty=lambda images: 1000 * brightness(images))
    assert brightness(knowing).mean() < brightness(blind).mean() - 0.02


@pytest.mark.parametrize("eps", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("name", ["fgsm", "bim", "deepfool"])
def test_success_agrees_with_foolbox(trained, name, eps):
    foolbox = pytest.importorskip("foolbox", reason=NO_FOOLBOX)
    net, x, y = trained
    theirs = {
        "fgsm": foolbox.attacks.LinfFastGradientAttack(),
        "bim": foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10, random_start=False),
        "deepfool": foolbox.attacks.LinfDeepFoolAttack(steps=50, candidates=10, overshoot=0.02),
    }[name]
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    _, clipped, _ = theirs(model, x, y, epsilons=eps)
    ours = {
        "fgsm": lambda: attacks.fgsm(net, x, y, eps),
        "bim": lambda: attacks.bim(net, x, y, eps),
        "deepfool": lambda: attacks.deepfool(net, x, eps=eps),
    }[name]()
    rates = [attacks.success_rate(net, x, found, y) for found in (ours, clipped)]
    assert rates[0] == pytest.approx(rates[1], abs=0.02)
    assert (clipped - x).abs().max() <= eps + 1e-6


def test_the_boundary_attack_asks_for_the_class_alone_and_comes_close(trained):
    pytest.importorskip("foolbox", reason=NO_FOOLBOX)
    net, x, y = trained

    def classifier(images):  # no gradient to be had
        with torch.no_grad():
            return torch.nn.functional.one_hot(net(images).argmax(1), 3).float()

    starts = x.roll(1, 0)  # the next image has another class
    begun = attacks._at_border(classifier, x[:9], y[:9], starts[:9])
    found = attacks.boundary(classifier, x[:9], y[:9], starts[:9], steps=800)
    assert (classifier(found).argmax(1) != y[:9]).all() and found.min() >= 0 and found.max() <= 1
    far, begun, reached = (
        (images - x[:9]).flatten(1).norm(dim=1).mean() for images in (starts[:9], begun, found)
    )
    assert reached < 0.9 * begun < far
    assert torch.equal(found, attacks.boundary(classifier, x[:9], y[:9], starts[:9], steps=800))


def test_the_boundary_attack_refuses_a_start_of_the_same_class(trained):
    pytest.importorskip("foolbox", reason=NO_FOOLBOX)
    net, x, y = trained
    with pytest.raises(DataError, match="another class"):
        attacks.boundary(net, x[:3], y[:3], x[:3], steps=1)


def test_without_foolbox_the_boundary_attack_says_how_to_get_it(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    net, x, y = trained
    with pytest.raises(ImportError, match="pip install foolbox"):
        attacks.boundary(net, x[:3], y[:3], x[3:6])


@pytest.mark.parametrize("name", [*ATTACKS, "border", "penalised"])
def test_attacks_stay_on_the_images_device(name, monkeypatch):
    """On torch's meta device, which refuses tensors of another. What it is asked about numbers gets one answer."""
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: name != "border")
    run = {
        **ATTACKS,
        "border": lambda net, x, y: attacks._at_border(net, x, y, x.flip(3)),
        "penalised": lambda net, x, y: attacks.bim(net, x, y, EPS, penalty=lambda i: i.flatten(1).mean(1)),
    }[name]
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(), nn.Linear(6 * 49, 3)).to("meta")
    x, y = torch.empty(4, 1, 9, 9, device="meta"), torch.zeros(4, dtype=torch.long, device="meta")
    assert run(net, x, y).device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):
        run(net, x, y.cpu()) if name != "border" else torch.where(x > 0, x, torch.zeros(4, 1, 9, 9))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("at", ["cpu", "cuda"])
def test_suspicions_are_where_the_images_are_wherever_the_classifier_is(score, at):
    with FakeTensorMode():
        net = nn.Sequential(nn.Flatten(), nn.Linear(81, 3, device=at))
        for images in ("cpu", "cuda"):
            x = torch.empty(4, 1, 9, 9, dtype=torch.uint8, device=images)
            assert SCORES[score](net, x).device.type == images
            assert classify(net, x).device.type == images


def test_a_norm_is_one_of_two():
    with pytest.raises(DataError, match="norm must be linf or l2, got 'Linf'"):
        attacks.deepfool(None, torch.rand(1, 1, 4, 4), norm="Linf")
