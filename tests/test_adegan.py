"""ADe-GAN: patterns that can be drawn and found again, its two schedules, its score."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from dualad_lib import ADeGAN, DataError
from dualad_lib.evaluation import auroc
from dualad_lib.training import Step

TINY = {
    "width": 4,
    "noise_dim": 4,
    "noise": 1.0,
    "patterns": 3,
    "steps": 4,
    "batch_size": 16,
    "device": "cpu",
}
X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def bars(n, seed):
    """Images of two patterns, a horizontal and a vertical bar of random place; and which it is."""
    random = np.random.default_rng(seed)
    x, kind = np.zeros((n, 1, 12, 12), np.float32), random.integers(2, size=n)
    for image, vertical, place in zip(x, kind, random.integers(10, size=n), strict=True):
        image[(0, slice(None), slice(place, place + 3)) if vertical else (0, slice(place, place + 3))] = 1
    return torch.from_numpy(x), kind


def test_images_are_drawn_from_patterns_and_noise():
    model = ADeGAN(**TINY).fit(X)
    images = model.generate(one_hot(torch.tensor([0, 1, 2]), 3).float(), torch.randn(3, 4))
    assert images.shape == (3, 1, 8, 8) and images.min() >= 0 and images.max() <= 1
    z_c, z_n = model.extract(X[:5])
    assert z_c.shape == (5, 3) and torch.allclose(z_c.sum(1), torch.ones(5)) and z_n.shape == (5, 4)


def test_the_parts_are_switches():
    assert "between" in ADeGAN(**TINY).fit(X).history_
    assert "between" not in ADeGAN(between=False, **TINY).fit(X).history_


def test_noise_interpolated_within_a_pattern_is_narrower():
    wide, narrow = (
        ADeGAN(within=within, **TINY).fit(X)._codes(4000, "cpu")[1].var().item() for within in (False, True)
    )
    assert wide == pytest.approx(1, abs=0.05)
    assert narrow == pytest.approx((1 + 2 / 3) / 2, abs=0.05)  # E[s^2 + (1 - s)^2] = 2/3, for half of them


def test_one_stage_after_the_other_or_both_in_turn():
    after = ADeGAN(schedule="one after the other", **TINY).fit(X).history_
    assert len(after["adversarial"]) == len(after["recon"]) == 2
    both = ADeGAN(**TINY).fit(X).history_
    assert len(both["adversarial"]) == len(both["recon"]) == 4


def test_the_extractor_is_not_moved_by_the_first_stage():
    model = ADeGAN(**TINY).fit(X)
    turns, _ = model._game()
    step = Step(0, 0.0, {"train": X[:10]})
    adversarial = turns[0].loss(step)["adversarial"]
    gradients = torch.autograd.grad(adversarial, list(model.parts_["E"].parameters()), allow_unused=True)
    assert all(g is None for g in gradients)


def test_weights_are_on_their_terms():
    def played(weight):
        names = dict.fromkeys(("alpha", "beta", "gamma"), weight)
        model = ADeGAN(learning_rate=0.0, **names, **TINY).fit(X)
        model.parts_.train()
        torch.manual_seed(0)
        return model._game()[0][2].loss(Step(0, 0.0, {"train": X[:10]}))

    light, heavy = played(1.0), played(3.0)
    assert set(light) == {"pattern", "noise", "recon", "between"}
    for name in light:
        assert heavy[name].item() == pytest.approx(3 * light[name].item(), rel=1e-5), name


def test_between_is_an_image_of_two_patterns_never_of_one():
    model = ADeGAN(**{**TINY, "steps": 1}).fit(X)
    drawn = []
    draw = model._draw
    model._draw = lambda z_c, z_n: drawn.append(z_c) or draw(z_c, z_n)
    model._game()[0][2].loss(Step(0, 0.0, {"train": X[:10]}))
    mixed = drawn[-1]
    assert ((mixed > 0).sum(1) == 2).all()
    assert torch.allclose(mixed.sum(1), torch.ones(len(mixed)))
    assert mixed.max() <= 0.8 + 1e-6


@pytest.mark.slow
def test_it_learns_to_draw_and_to_find_two_kinds_of_bars():
    x, _ = bars(600, 0)
    settings = {
        "width": 8,
        "noise_dim": 8,
        "noise": 1.0,
        "patterns": 2,
        "learning_rate": 2e-3,
        "steps": 250,
        "batch_size": 64,
        "device": "cpu",
    }
    model = ADeGAN(**settings, seed=0).fit(x)
    test, _ = bars(100, 1)
    other = torch.rand(100, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    scores = model.anomaly_scores(torch.cat([test, other]))
    assert auroc(np.repeat([0, 1], 100), scores.pixel) > 0.9
    drawn = model.generate(one_hot(torch.arange(2).repeat(50), 2).float(), model.noise * torch.randn(100, 8))
    found, _ = model.extract(drawn)
    assert (found.argmax(1) == torch.arange(2).repeat(50)).float().mean() > 0.9


def test_a_file_keeps_the_scale_of_the_error(tmp_path):
    model = ADeGAN(**TINY).fit(X)
    model.save(tmp_path / "m.safetensors")
    assert ADeGAN.load(tmp_path / "m.safetensors").error_ == model.error_


def test_the_discriminator_is_kept_smooth_if_asked():
    assert (
        "penalty" in ADeGAN(**TINY).fit(X).history_ and "penalty" not in ADeGAN(r1=0, **TINY).fit(X).history_
    )

    def penalty(r1):
        model = ADeGAN(r1=r1, learning_rate=0.0, **TINY).fit(X)
        turns, _ = model._game()
        step = Step(0, 0.0, {"train": X[:10]})
        torch.manual_seed(0)
        turns[0].loss(step)
        return turns[1].loss(step)["penalty"].item()

    assert penalty(3.0) == pytest.approx(3 * penalty(1.0), rel=1e-4) and penalty(1.0) > 0


def test_the_generator_has_an_optimiser_for_each_of_its_turns():
    turns, _ = ADeGAN(**TINY).fit(X)._game()
    first, last = turns[0].players[0], turns[2].players[0]
    assert first.module is last.module and first.optimiser is not last.optimiser


def test_the_generator_begins_with_the_mean_image():
    dark = 0.1 * X
    model = ADeGAN(**TINY).fit(dark)
    model.parts_ = model._build()
    model._start(dark)
    drawn = model.generate(one_hot(torch.arange(3), 3).float(), torch.zeros(3, 4))
    assert drawn.mean().item() == pytest.approx(dark.mean().item(), rel=0.3)


@pytest.mark.parametrize("bad", [{"patterns": 1}, {"schedule": "both"}])
def test_bad_parameters_are_refused(bad):
    with pytest.raises(DataError):
        ADeGAN(**{**TINY, **bad}).fit(X)
