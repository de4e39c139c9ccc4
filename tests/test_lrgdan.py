"""LR-GDAN: who pulls at what, which rows of its ablation there are, and what is scored."""

import numpy as np
import pytest
import torch

from dualad_lib import LRGDAN
from dualad_lib.training import Step

X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TINY = {"width": 4, "latent_dim": 6, "steps": 4, "batch_size": 16, "device": "cpu"}


def fitted(**parameters):
    return LRGDAN(**TINY, **parameters).fit(X)


def played(model):
    """Terms of the turn of G and of the turn of D', and the parameters of both, on one batch."""
    turns, _ = model._game()
    model.parts_.train()
    torch.manual_seed(0)
    step = Step(0, 0.0, {"train": X[:10]})
    first = turns[0].loss(step)
    return first, lambda: turns[1].loss(step)


def gradient(term, module):
    return torch.autograd.grad(term, list(module.parameters()), retain_graph=True, allow_unused=True)


@pytest.mark.parametrize(
    "switches, parts",
    [
        ({"image_discriminator": False, "dual": False, "mutual_information": False}, {"G", "scale"}),
        ({"dual": False, "mutual_information": False}, {"G", "scale", "D"}),
        ({"mutual_information": False}, {"G", "scale", "D", "A"}),
        ({}, {"G", "scale", "D", "A", "T_g", "T_l"}),
    ],
)
def test_the_rows_of_the_ablation(switches, parts):
    model = fitted(**switches)
    assert set(model.parts_) == parts
    terms = {n for n in model.history_ if n not in ("girec", "direc")}
    expected = {"irec"}
    expected |= {"adversarial", "discriminator"} if "D" in parts else set()
    expected |= {"zrec", "dual", "anchor"} if "A" in parts else set()
    expected |= {"information", "kl"} if "T_g" in parts else set()
    assert terms == expected


def test_weights_are_on_their_terms():
    weights = ("w_irec", "w_adv", "w_zrec", "w_e", "w_dual")
    light, heavy = (
        played(LRGDAN(**TINY, learning_rate=0.0, **dict.fromkeys(weights, w)).fit(X))[0] for w in (1, 3)
    )
    for name in light:
        assert heavy[name].item() == pytest.approx(3 * light[name].item(), rel=1e-5), name


@pytest.mark.parametrize("literal, side", [(False, 1), (True, -1)])
def test_g_wants_d_prime_to_restore_its_reconstruction_but_not_in_the_literal_reading(literal, side):
    model = fitted(literal=literal)
    terms, judge = played(model)
    distance = judge()["dual"]
    assert side * terms["direc"].item() > 0
    ours, theirs = gradient(terms["direc"], model.parts_["A"])[0], gradient(distance, model.parts_["A"])[0]
    assert ours.abs().sum() > 0 and theirs.abs().sum() > 0


def test_the_turn_of_d_prime_does_not_reach_g():
    model = fitted()
    turns, _ = model._game()
    step = Step(0, 0.0, {"train": X[:10]})
    turns[0].loss(step)
    step.shared = {name: value.detach() for name, value in step.shared.items()}  # as `train` does
    assert all(g is None for g in gradient(sum(turns[1].loss(step).values()), model.parts_["G"]))


def test_statistics_networks_get_gradient():
    model = fitted()
    terms, _ = played(model)
    for name in ("T_g", "T_l"):
        assert all(g.abs().sum() > 0 for g in gradient(terms["information"], model.parts_[name])[:1])


def test_score_is_the_distance_to_what_both_autoencoders_leave():
    model = fitted()
    x = X[:5]
    scale = model.parts_["scale"]
    with torch.no_grad():
        seen = scale(x)
        restored = model.parts_["A"](scale(model.parts_["G"](seen)[1]))[1]
    expected = (seen - scale(restored)).abs().flatten(1).mean(1).numpy()
    assert model.anomaly_scores(x).final == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(model.reconstruct(x), restored.clamp(0, 1), atol=1e-6)


def test_scores_draw_no_code():
    model = fitted()
    assert np.array_equal(model.anomaly_scores(X).final, model.anomaly_scores(X).final)


def test_images_are_standardised_by_the_training_images():
    model = LRGDAN(**TINY).fit(X, calibration=X[:10])
    assert model.parts_["scale"].mean.item() == pytest.approx(X.mean().item(), rel=1e-5)
    assert model.parts_["scale"].deviation.item() == pytest.approx(X.std().item(), rel=1e-5)


def test_no_augmentation_if_switched_off(monkeypatch):
    def refuse(x):
        raise AssertionError("augmented")

    monkeypatch.setattr("dualad_lib.detectors.lrgdan.crop_and_flip", refuse)
    fitted(augmented=False)
    with pytest.raises(AssertionError, match="augmented"):
        fitted()
