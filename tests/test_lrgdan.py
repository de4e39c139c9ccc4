"""LR-GDAN: who pulls at what, which rows of its ablation there are, and what is scored."""

import numpy as np
import pytest
import torch

from dualad_lib import LRGDAN, DataError
from dualad_lib.detectors.lrgdan import JUDGED
from dualad_lib.training import Step

X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TINY = {"width": 4, "latent_dim": 6, "steps": 4, "batch_size": 16, "warm_up": 0.0, "device": "cpu"}


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
    expected |= {"zrec", "dual", "anchor", "g_direc"} if "A" in parts else set()
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
    assert side * terms["g_direc"].item() > 0
    ours, theirs = gradient(terms["g_direc"], model.parts_["A"])[0], gradient(distance, model.parts_["A"])[0]
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
        x_hat = model._decode("G", model.parts_["G"].encode(seen))
        restored = model._decode("A", model.parts_["A"].encode(x_hat))
    expected = (seen - restored).abs().flatten(1).mean(1).numpy()
    assert model.anomaly_scores(x).final == pytest.approx(expected, rel=1e-5)
    restored = restored * scale.deviation + scale.mean
    assert torch.allclose(model.reconstruct(x), restored.clamp(0, 1), atol=1e-6)


def test_d_prime_may_be_asked_about_the_image_itself():
    model = fitted(judged="image")
    x, scale = X[:5], model.parts_["scale"]
    with torch.no_grad():
        seen = scale(x)
        restored = model._decode("A", model.parts_["A"].encode(seen))
    expected = (seen - restored).abs().flatten(1).mean(1).numpy()
    assert model.anomaly_scores(x).final == pytest.approx(expected, rel=1e-5)
    assert model.history_ == fitted().history_  # the training is the same
    alone = {"dual": False, "image_discriminator": False, "mutual_information": False}
    one, *others = (fitted(**alone, judged=j).anomaly_scores(x).final for j in JUDGED)
    assert all(np.array_equal(one, other) for other in others)
    with pytest.raises(DataError, match="judged"):
        fitted(judged="both")


def test_d_prime_may_be_asked_for_the_code():
    model = fitted(judged="code")
    x = X[:5]
    with torch.no_grad():
        z = model.parts_["G"].encode(model.parts_["scale"](x))
        found = model.parts_["A"].encode(model._decode("G", z))
    expected = [
        sum((a - b) ** 2 for a, b in zip(*rows, strict=True)) / 6 for rows in zip(found, z, strict=True)
    ]
    scores = model.anomaly_scores(x)
    assert scores.latent == pytest.approx([float(e) ** 0.5 for e in expected], rel=1e-4)
    assert scores.pixel is None and np.array_equal(scores.final, scores.latent)


def test_what_is_drawn_may_leave_black_and_white_by_a_tenth():
    model = fitted()
    x_hat = model._decode("G", 1000 * torch.randn(50, 6))
    x_hat = x_hat * model.parts_["scale"].deviation + model.parts_["scale"].mean
    assert x_hat.min().item() == pytest.approx(-0.1, abs=1e-3)
    assert x_hat.max().item() == pytest.approx(1.1, abs=1e-3)


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
    fitted()
    with pytest.raises(AssertionError, match="augmented"):
        fitted(augmented=True)


def test_the_games_begin_when_g_can_draw():
    turns, _ = LRGDAN(**{**TINY, "warm_up": 0.2}).fit(X)._game()

    def game(progress):
        torch.manual_seed(0)
        step = Step(0, progress, {"train": X[:10]})
        terms = turns[0].loss(step)
        judged = turns[1].loss(step)["dual"]
        return terms, judged

    waiting, judged = game(0.2)
    assert all(waiting[name].item() == 0 for name in ("adversarial", "zrec", "g_direc")) and judged.item() > 0
    assert waiting["irec"].item() > 0
    half, full = game(0.3)[0], game(1.0)[0]
    assert half["zrec"].item() == pytest.approx(full["zrec"].item() / 2, rel=1e-4)


def test_d_prime_cannot_tell_images_from_reconstructions_by_their_batch(monkeypatch):
    """Both pass through its batch norm together."""
    model, seen = fitted(), []
    turns, _ = model._game()
    forward = model.parts_["A"].encode
    monkeypatch.setattr(model.parts_["A"], "encode", lambda x: seen.append(len(x)) or forward(x))
    step = Step(0, 1.0, {"train": X[:10]})
    turns[0].loss(step)
    turns[1].loss(step)
    assert seen == [20, 20]
