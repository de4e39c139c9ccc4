"""LR-GDAN rebuilt: its parts, what D' is asked, what each part of its score sees, and how images are spoilt."""

import numpy as np
import pytest
import torch

from dualad_lib import DataError, FeatureLRGDAN, RebuiltLRGDAN
from dualad_lib.detectors.rebuilt_lrgdan import GameScore
from dualad_lib.training import Step
from dualad_lib.transforms import SPOILS, dihedral, spoilt

X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TINY = {"width": 4, "latent_dim": 6, "steps": 4, "batch_size": 16, "device": "cpu"}
SEEN = {**TINY, "side": 64, "precision": "float32"}
DISTANCES = {"upright mahalanobis", "upright neighbours"}
TURNED = {"mahalanobis", "neighbours", "code"}


def fitted(**parameters):
    return RebuiltLRGDAN(**TINY, **parameters).fit(X)


def terms(model, images=X[:16]):
    """Terms of the autoencoders' turn on one batch, and what it leaves for D."""
    (first, *_), _ = model._game()
    model.parts_.train()
    torch.manual_seed(0)
    step = Step(0, 0.0, {"train": images})
    return first.loss(step), step


@pytest.mark.parametrize(
    ("switches", "parts", "scores"),
    [
        ({"image_discriminator": False, "dual": False}, {"G"}, DISTANCES),
        ({"dual": False}, {"G", "D"}, DISTANCES),
        ({"mutual_information": False}, {"G", "D", "A"}, DISTANCES | TURNED),
        ({"spoils": 0.0}, {"G", "D", "A", "T_g", "T_l"}, DISTANCES | TURNED | {"information"}),
        ({}, {"G", "D", "A", "T_g", "T_l", "T_s"}, DISTANCES | TURNED | {"information"}),
    ],
)
def test_the_rows_of_the_ablation(switches, parts, scores):
    model = fitted(**switches)
    assert set(model.parts_) == parts
    assert set(model._raw(X)) == scores == set(model.evidence(X)) - {"fused"}


def test_weights_are_on_their_terms():
    names = ("w_adversarial", "w_matching", "w_zrec", "w_global", "w_local")
    light, heavy = (
        terms(RebuiltLRGDAN(**TINY, learning_rate=0.0, **dict.fromkeys(names, w)).fit(X))[0] for w in (1, 3)
    )
    assert set(light) == {
        *("irec", "girec", "zrec", "global", "local", "spoilt", "adversarial", "matching"),
    }
    for name, value in light.items():
        factor = 1 if name in ("irec", "girec") else 3
        assert heavy[name].item() == pytest.approx(factor * value.item(), rel=1e-4), name


def test_g_gives_the_code_and_d_prime_finds_it():
    """L_zrec moves D' alone: were G moved too, both codes could shrink to one point."""
    model = fitted()
    zrec = terms(model)[0]["zrec"]
    gradients = torch.autograd.grad(zrec, list(model.parts_["G"].parameters()), allow_unused=True)
    assert all(g is None for g in gradients)
    found = torch.autograd.grad(
        terms(model)[0]["zrec"], list(model.parts_["A"].encoder.parameters()), allow_unused=True
    )
    assert any(g is not None and g.abs().sum() > 0 for g in found)


def test_d_sees_what_both_autoencoders_draw():
    model = fitted()
    _, step = terms(model)
    assert len(step.shared["x"]) == 16 and len(step.shared["drawn"]) == 32
    _, step = terms(fitted(dual=False))
    assert len(step.shared["drawn"]) == 16


def test_counterfeits_are_one_kind_more():
    plain, more = fitted(), fitted(counterfeits=True)
    kinds = [model.parts_["T_s"].logits.out_features for model in (plain, more)]
    assert kinds == [1 + len(SPOILS), 2 + len(SPOILS)]
    assert fitted(spoils=0.0, counterfeits=True).parts_["T_s"].logits.out_features == 2 + len(SPOILS)


def test_the_score_is_the_mean_of_its_evidence():
    model = fitted()
    parts = model.evidence(X)
    fused = parts.pop("fused")
    np.testing.assert_allclose(fused, np.mean(list(parts.values()), 0))
    np.testing.assert_allclose(fused, model.anomaly_scores(X).final)


def test_parts_of_the_score_by_hand():
    """Two turns: the gap of the codes in the unit of its own deviation, and every part averaged over the turns."""
    score = GameScore()
    score.dual = score.mutual_information = True
    generator = torch.Generator().manual_seed(0)
    h, z, first, second = (torch.randn(400, 3, generator=generator) for _ in range(4))
    score._learn_from(h, z, [(h, z + 1 + 2 * first), (h, z - 3 + second)])
    known, off = torch.zeros(1, 3), torch.tensor([[4.0, 0.0, 0.0]])
    turned = [
        (known, off + 1 + known),
        (known, off - 3 + off),
    ]  # beside the usual gaps of 1 and -3: by 0 and by 4
    raw = score._scores_from(known, off, turned, [torch.tensor([1.0]), torch.tensor([4.0])])
    assert tuple(raw) == score._raw_names()
    assert raw["information"].item() == pytest.approx(2.5)
    assert raw["code"].item() == pytest.approx((0 / 2**2 + 4**2 / 1**2) / 2, rel=0.15)
    assert raw["mahalanobis"].item() == pytest.approx(raw["upright mahalanobis"].item())


def test_information_is_a_surprise():
    """Minus a log-probability: never negative, on images and on features."""
    for model in (fitted(), fitted(spoils=0.0), FeatureLRGDAN(**SEEN).fit(X)):
        assert (model._raw(X)["information"] >= 0).all()


def test_other_questions_to_the_same_networks():
    of_g, of_d = ("upright mahalanobis", "upright neighbours"), ("mahalanobis", "neighbours", "code")
    told = {"G": of_g, "D'": (*of_d, "information"), "distances": (*of_g, *of_d)}
    model = fitted()
    for asked, names in told.items():
        model.set_params(asked=asked).recalibrate(X[:20])
        parts = model.evidence(X)
        np.testing.assert_allclose(model.anomaly_scores(X).final, np.mean([parts[n] for n in names], 0))
    with pytest.raises(DataError, match="asked must be one of 'all', 'G', 'distances'"):
        fitted(dual=False, asked="D'")


def test_what_it_restores_are_images():
    for switches in ({}, {"dual": False}):
        found = fitted(**switches).reconstruct(X[:3])
        assert found.shape == (3, 1, 8, 8) and found.min() >= 0 and found.max() <= 1


def test_a_share_is_a_share():
    with pytest.raises(DataError, match="spoils must be a finite number from 0 to 1"):
        fitted(spoils=1.5)


# --------------------------------------------------------------------------------------------- spoilt images


def picture():
    """An upright L, off the middle, 30 times."""
    x = torch.zeros(30, 1, 24, 24)
    x[:, :, 6:18, 8:11] = 1
    x[:, :, 15:18, 8:16] = 1
    return x


def extent(x):
    """Rows and columns that an image's object spans."""
    seen = x[0] > 0.5
    return int(seen.any(1).sum()), int(seen.any(0).sum())


def test_what_is_not_spoilt_stays():
    x = picture()
    torch.testing.assert_close(spoilt(x, torch.zeros(30, dtype=torch.long)), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SPOILS)
def test_each_kind_does_what_its_name_says(name):
    torch.manual_seed(0)
    x = picture()
    x[1::2] = x[1::2].flip(3)  # so that halves of two images differ
    kind = torch.full((30,), 1 + SPOILS.index(name))
    found = spoilt(x, kind)
    assert found.shape == x.shape and (found - x).abs().amax((1, 2, 3)).min() > 0.4
    high, wide = np.mean([extent(image) for image in found[::2]], 0)
    before = extent(x[0])
    narrower, lower = wide < before[1] - 1, high < before[0] - 1
    assert narrower == (name in ("squeeze", "shrink")) and lower == (name in ("flatten", "shrink"))
    assert (high > before[0] + 1) == (name == "enlarge")
    if name in ("shift", "lift"):
        torch.testing.assert_close(found.sum((1, 2, 3)), x.sum((1, 2, 3)))
    if name == "swap":
        torch.testing.assert_close(found[:, :, :12], x[:, :, :12], atol=1e-5, rtol=0)
        torch.testing.assert_close(found[1:, :, 12:], x[:-1, :, 12:])


def test_leaning_goes_both_ways():
    torch.manual_seed(0)
    x, columns = picture(), torch.arange(24.0)

    def lean(image):
        """How far the head of the L lies to the right of its foot."""
        top, low = image[0, 6:9], image[0, 12:15]
        return float((top.sum(0) @ columns) / top.sum() - (low.sum(0) @ columns) / low.sum())

    one, other = (
        np.mean([lean(i) for i in spoilt(x, torch.full((30,), 1 + SPOILS.index(name)))])
        for name in ("lean", "lean back")
    )
    assert one * other < 0 and min(abs(one), abs(other)) > 0.5


def test_turns_are_undone_by_naming_them():
    """A picture that every turn changes gives information on it; one that no turn changes gives none."""
    generator = torch.Generator().manual_seed(1)
    bright = torch.zeros(200, 1, 8, 8)
    bright[:, :, :3, :5] = 0.6 + 0.4 * torch.rand(200, 1, 3, 5, generator=generator)
    model = RebuiltLRGDAN(
        **{**TINY, "width": 8, "steps": 120, "batch_size": 32}, spoils=0.0, image_discriminator=False
    ).fit(bright)
    even = torch.full((20, 1, 8, 8), 0.3)
    assert model._raw(even)["information"].mean() > model._raw(bright[:20])["information"].mean() + 0.5
    torch.testing.assert_close(dihedral(even, 5), even)


# ------------------------------------------------------------------------------------------------ on features


@pytest.mark.parametrize(
    ("switches", "parts", "scores"),
    [
        ({"image_discriminator": False, "dual": False}, {"G"}, DISTANCES),
        ({"dual": False}, {"G", "D"}, DISTANCES),
        ({"mutual_information": False}, {"G", "D", "A"}, DISTANCES | TURNED),
        ({}, {"G", "D", "A", "T_g", "T_l"}, DISTANCES | TURNED | {"information"}),
    ],
)
def test_the_rows_of_the_ablation_on_features(switches, parts, scores, tmp_path):
    model = FeatureLRGDAN(**SEEN, **switches).fit(X)
    assert set(model.parts_) == parts
    assert set(model._raw(X)) == scores == set(model._raw_names())
    model.save(tmp_path / "m.safetensors")
    again = FeatureLRGDAN.load(tmp_path / "m.safetensors")
    assert np.allclose(again.anomaly_scores(X).final, model.anomaly_scores(X).final)


def test_on_features_a_turn_is_an_order_of_channels_and_d_prime_learns_to_name_it():
    model = FeatureLRGDAN(**{**SEEN, "width": 32, "steps": 100, "learning_rate": 5e-3}).fit(X)
    orders = model.orders_
    assert len(orders) == 4 and torch.equal(orders[0], torch.arange(orders.shape[1]))
    assert all(torch.equal(order.sort().values, orders[0]) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert np.mean(model._score(X)["information"]) < np.log(4) / 4  # far less than of who guesses
    assert model.history_["global"][-1] < model.history_["global"][0]


def test_on_features_what_is_asked_must_have_been_trained():
    with pytest.raises(DataError, match="asked"):
        FeatureLRGDAN(**SEEN, dual=False, asked="D'").fit(X)
