"""What DualAD has beyond the shared contract: switches, players, the collapse that is noticed, the fused score."""

import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dualad_lib import Autoencoder, DataError, DualAD, load_one_class
from dualad_lib.arguments import views
from dualad_lib.detectors import create
from dualad_lib.detectors import dualad as dualad_module
from dualad_lib.evaluation import auroc
from dualad_lib.losses import info_nce
from dualad_lib.scoring import Fusion, Gaussian, LowRank, separation_weight

X = torch.rand(60, 1, 12, 12, generator=torch.Generator().manual_seed(0))
PHASE = torch.rand(60, 1, 1, 1, generator=torch.Generator().manual_seed(1)) * 6.3
STRIPES = 0.5 + 0.4 * torch.sin(torch.arange(12.0)[:, None] + PHASE).expand(60, 1, 12, 12)
TINY = {"width": 4, "latent_dim": 8, "steps": 12, "batch_size": 16, "device": "cpu"}
OFF = {"image_discriminator": False, "feature_constraint": False, "mutual_information": False}


@pytest.mark.parametrize("network", ["conv", "pooled", "mlp"])
def test_all_switches_off_is_the_autoencoder_bit_for_bit(network):
    plain = Autoencoder(network=network, noise=0.1, **TINY).fit(X)
    bare = DualAD(network=network, noise=0.1, **OFF, **TINY).fit(X)
    assert bare.history_ == plain.history_
    for (name, ours), (_, theirs) in zip(
        bare.anomaly_scores(X).items(), plain.anomaly_scores(X).items(), strict=True
    ):
        assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize(
    ("switch", "parts", "terms"),
    [
        ({"image_discriminator": True}, {"D"}, {"adversarial", "matching", "discriminator"}),
        (
            {"feature_constraint": True},
            {"sphere", "C"},
            {"sphere", "enclosure", "transformation", "radius", "code_spread", "blind"},
        ),
        (
            {"feature_constraint": True, "critic": False},
            {"sphere"},
            {"sphere", "enclosure", "radius", "code_spread", "blind"},
        ),
        ({"feature_constraint": True, "hypersphere": False}, {"C"}, {"transformation"}),
        ({"mutual_information": True}, {"T_g", "T_l"}, {"information"}),
    ],
)
@pytest.mark.parametrize("network", ["conv", "pooled", "mlp"])
def test_a_switch_adds_its_part_and_its_terms_and_saves(network, switch, parts, terms, tmp_path):
    model = DualAD(network=network, **{**OFF, **switch}, **TINY).fit(X)
    assert set(model.parts_) == {"G"} | parts
    assert set(model.history_) == {"reconstruction"} | terms
    model.save(tmp_path / "m.safetensors")
    loaded = DualAD.load(tmp_path / "m.safetensors")
    for name, values in model.anomaly_scores(1 - X).items():
        assert dict(loaded.anomaly_scores(1 - X).items())[name] == pytest.approx(values, rel=1e-5)


def test_every_player_moves():
    fresh, trained = DualAD(**TINY), DualAD(**TINY).fit(X)
    fresh.image_shape_ = trained.image_shape_
    before = fresh._build()
    for name, part in trained.parts_.items():
        moved = [
            not torch.equal(a, b) for a, b in zip(before[name].parameters(), part.parameters(), strict=True)
        ]
        assert all(moved), name


def test_the_sphere_learns_from_its_own_slice_and_closes_in():
    model = DualAD(
        **{**OFF, "feature_constraint": True, "critic": False}, **{**TINY, "steps": 300, "w_sphere": 0.0}
    ).fit(X)
    z, sphere = model.encode(X), model.parts_["sphere"]
    distance = (z - z.mean(0)).square().mean(1).sqrt()
    assert 0.5 * distance.median() < sphere.radius.item() < 1.5 * distance.max()
    assert (sphere.centre - z.mean(0)).square().mean().sqrt() < 0.5 * distance.median()


SPHERE = {**OFF, "feature_constraint": True, "critic": False}


def test_codes_that_carry_nothing_are_noticed():
    """All codes in one place satisfy the sphere, and fit says so; a game that is alive is left in peace."""
    with pytest.warns(UserWarning, match="codes collapsed"):
        DualAD(**SPHERE, **{**TINY, "steps": 150, "w_sphere": 1e6, "learning_rate": 0.3}).fit(STRIPES)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*collapsed")
        DualAD(**SPHERE, **{**TINY, "steps": 150}).fit(STRIPES)


def test_dark_images_do_not_drive_the_decoder_to_black():
    """Thin bright strokes: without normalisation in the decoder the sigmoid saturates and the black never ends."""
    x = torch.zeros(200, 1, 28, 28)
    for i, (column, top) in enumerate(zip(torch.arange(200) % 20 + 4, torch.arange(200) // 20, strict=True)):
        x[i, :, top : top + 18, column : column + 2] = 1.0
    model = DualAD(steps=120, batch_size=64, width=8, latent_dim=16, device="cpu").fit(x)
    assert np.mean(model.history_["reconstruction"][-20:]) < 0.6 * x.var(0, correction=0).mean()


def test_a_discriminator_that_won_is_named():
    model = DualAD(**SPHERE)
    model.history_ = {"reconstruction": [0.05] * 20, "blind": [0.03] * 20, "discriminator": [0.01] * 20}
    with pytest.warns(UserWarning, match="the discriminator won.*Lower w_adversarial"):
        model._report_collapse()


def test_a_heavy_sphere_makes_codes_compact_but_leaves_them_alive():
    loose = DualAD(**SPHERE, **{**TINY, "steps": 150, "w_sphere": 0.0}).fit(STRIPES)
    heavy = DualAD(**SPHERE, **{**TINY, "steps": 150, "w_sphere": 1000.0}).fit(STRIPES)
    assert heavy.encode(STRIPES).std(0).mean() < 0.5 * loose.encode(STRIPES).std(0).mean()
    last = [sum(m.history_["reconstruction"][-20:]) / 20 for m in (loose, heavy)]
    assert last[0] < last[1] < 0.5 * STRIPES.var(0, correction=0).mean()


def test_fusion_trusts_what_separates():
    random = np.random.default_rng(0)
    normal = {"good": random.lognormal(0, 1, 300), "blind": random.lognormal(0, 1, 300)}
    strange = {"good": random.lognormal(3, 1, 300), "blind": random.lognormal(0, 1, 300)}
    fusion = Fusion.fit(normal, strange)
    assert fusion.weights["good"] > 50 * fusion.weights["blind"]
    equal = Fusion.fit(normal)
    assert equal.weights == {"good": 1.0, "blind": 1.0}
    expected = (equal.scales["good"](strange["good"]) + equal.scales["blind"](strange["blind"])) / 2
    assert equal(strange) == pytest.approx(expected)
    assert equal(strange, ["good"]) == pytest.approx(equal.scales["good"](strange["good"]))


def test_pixel_and_latent_are_weighed_and_the_parts_of_the_latent_score_are_not():
    """Pseudo-anomalies that are smooth look close to every bank: they may not choose among the latent parts."""
    model = DualAD(**TINY).fit(X)
    weights = model.fusion_.weights
    parts = ("mahalanobis", "neighbours", "transformation")
    assert set(weights) == {"pixel", *parts}
    assert len({weights[name] for name in parts}) == 1
    raw = model._raw(X)
    scores, u = model._combine(raw), {name: scale(raw[name]) for name, scale in model.fusion_.scales.items()}
    latent = sum(u[name] for name in parts) / 3
    assert scores.latent == pytest.approx(latent)
    share = weights["pixel"] / sum(weights.values())
    assert scores.dual == pytest.approx(share * u["pixel"] + (1 - share) * latent)


def test_a_file_that_scores_by_all_eight_copies_is_refused(tmp_path):
    """Versions before this one scored so; their banks would be taken for those of other copies."""
    model = DualAD(**TINY).fit(X)
    model.save(tmp_path / "m.safetensors")
    state = load_file(tmp_path / "m.safetensors")
    for name in ("bank", "mean", "components", "variances", "noise_variance"):
        state[name] = state[name].repeat(2, *[1] * (state[name].ndim - 1))
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        save_file(state, tmp_path / "m.safetensors", file.metadata())
    with pytest.raises(DataError, match="8 copies of an image and not by 4.*Fit it again"):
        DualAD.load(tmp_path / "m.safetensors")


@pytest.mark.slow
def test_sixteen_bits_and_four_copies_score_as_well_as_all_bits_and_eight(monkeypatch):
    task = load_one_class("fashion_mnist_sample", 4)
    model = DualAD(width=8, latent_dim=16, steps=60, batch_size=64, precision="float32", device="cpu")
    model.fit(task.train)
    labels = task.test_labels.numpy()

    def reached(precision):
        model.fitted_parameters_["precision"] = model.precision = precision
        model._learn(task.train)
        return auroc(labels, model.anomaly_scores(task.test).latent)

    exact, coarse = reached("float32"), reached("bfloat16")
    monkeypatch.setattr(DualAD, "_scored", DualAD._symmetries)
    eight = reached("float32")
    assert exact > 0.75
    assert abs(coarse - exact) < 0.002
    assert abs(eight - exact) < 0.01


def test_with_strong_views_distances_do_not_depend_on_where_a_feature_stands():
    x = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    model = DualAD(**TINY).fit(x)
    assert list(model._raw(x)) == ["pixel", "neighbours", "transformation"]
    channels, height, wide = model.network_.encoder.feature_shape
    h = torch.rand(5, channels, height, wide)
    assert torch.allclose(model._placeless(h.flatten(1)), model._placeless(h.flip(2, 3).flatten(1)))
    assert model._placeless(h.flatten(1)).shape == (5, channels)
    weak = DualAD(views="weak", **TINY).fit(x)
    assert torch.equal(weak._placeless(h.flatten(1)), h.flatten(1))


def test_views_and_parameters_are_still_known_by_their_old_names():
    x = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    with pytest.warns(FutureWarning, match='views="gentle" is now called "weak"'):
        old = DualAD(views="gentle", **TINY).fit(x)
    assert np.array_equal(old.score_samples(x), DualAD(views="weak", **TINY).fit(x).score_samples(x))
    with pytest.warns(FutureWarning, match="n_neighbours is now called n_neighbors"):
        assert create("knn", n_neighbours=3).n_neighbors == 3
    with pytest.warns(FutureWarning, match="--views gentle is now called"):
        assert views("gentle") == "weak"


def test_a_critic_of_weight_nought_has_no_say_in_the_score():
    """The control of the ablation trains on copies, and no critic that learned nothing answers in its score."""
    x = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    without, with_critic = (DualAD(w_critic=w, **TINY).fit(x) for w in (0.0, 0.1))
    assert set(without._raw(x[:3])) == {"pixel", "mahalanobis", "neighbours"}
    assert set(with_critic._raw(x[:3])) == {"pixel", "mahalanobis", "neighbours", "transformation"}
    assert np.isfinite(without.score_samples(x)).all()


def test_separation_weight_by_hand():
    assert separation_weight(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == pytest.approx((0.5 / 0.02) ** 2)
    assert separation_weight(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == pytest.approx((0.001 / 0.52) ** 2)


def test_low_rank_with_all_directions_is_the_full_gaussian():
    h = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) @ torch.randn(6, 6)
    full, low = Gaussian.fit(h, shrinkage=0.3), LowRank.fit(h, rank=6)
    assert low.mahalanobis(*low.project(h), shrinkage=0.3).numpy() == pytest.approx(
        full.mahalanobis(h).numpy(), rel=1e-4
    )
    white = low.whiten(low.project(h)[0])
    assert torch.allclose(white.T @ white / 199, torch.eye(6, dtype=white.dtype), atol=1e-6)


def test_low_rank_measures_what_it_leaves_out():
    h = torch.zeros(50, 4)
    h[:, 0] = torch.randn(50, generator=torch.Generator().manual_seed(0))
    low = LowRank.fit(h, rank=1)
    _, left = low.project(torch.tensor([[0.0, 2.0, 0.0, 0.0]]))
    assert left.item() == pytest.approx(4.0, abs=0.2)


def test_two_views_of_one_image_in_one_rotation_are_each_others_positive(monkeypatch):
    """With views that change nothing a positive pair is twice the same picture: cosine 1, over the temperature."""
    seen = []

    def bound(similarity, positive):
        seen.append((similarity.detach(), positive))
        return info_nce(similarity, positive)

    monkeypatch.setattr(dualad_module, "strong_view", lambda x: x)
    monkeypatch.setattr(dualad_module, "info_nce", bound)
    x = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    DualAD(**{**TINY, "steps": 2}).fit(x)
    for similarity, positive in seen:
        index = torch.arange(len(positive))
        assert torch.allclose(similarity[index, positive], torch.tensor(1 / 0.5), atol=1e-4)
        assert torch.equal(positive[positive], index) and (positive != index).all()
        others = similarity.clone()
        others[index, positive] = others[index, index] = -1
        assert (others.amax(1) < 1 / 0.5 - 1e-3).all()
