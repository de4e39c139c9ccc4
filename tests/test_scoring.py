"""Scores, calibration and thresholds against known answers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from dualad_lib import PCA, ADeGAN, Autoencoder, DataError, PublishedDualAD, Scores, scoring
from dualad_lib.detectors import create
from dualad_lib.scoring import (
    Fusion,
    Gaussian,
    LogStandard,
    LowRank,
    centre_distance,
    conformal_p_values,
    eq_11,
    fusion_of,
    fusion_rows,
    left_out,
    nearest_distance,
    pixel_score,
    precise,
    roughness,
    threshold_at,
)
from dualad_lib.transforms import made_of


def test_pixel_scores_by_hand():
    x = torch.tensor([[[[0.0, 1.0]]], [[[0.5, 0.5]]]])
    x_hat = torch.tensor([[[[0.5, 1.0]]], [[[0.5, 0.1]]]])
    assert pixel_score(x, x_hat, "l1").tolist() == pytest.approx([0.25, 0.2])
    assert pixel_score(x, x_hat, "l2").tolist() == pytest.approx([0.125, 0.08])


def test_a_relative_error_forgives_what_is_rough():
    rough = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])  # each neighbour differs by 1: roughness 1 + 1
    plain = torch.full_like(rough, 0.5)
    row = torch.tensor([[[[0.0, 1.0]]]])  # no neighbour below
    off = 0.1
    assert roughness(rough).item() == pytest.approx(2.0)
    assert roughness(row).item() == pytest.approx(1.0)
    assert pixel_score(rough, rough + off, "relative").item() == pytest.approx(off**2 / 2.001)
    assert pixel_score(plain, plain + off, "relative").item() == pytest.approx(off**2 / 0.001)


def test_centre_distance_by_hand():
    z = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert centre_distance(z, torch.tensor([1.0, 0.0])).tolist() == [4.0, 1.0]


def test_mahalanobis_of_a_known_gaussian():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([[2.0, 0.0], [1.5, 0.5]])  # covariance spread @ spread.T
    z = torch.randn(50_000, 2, generator=generator) @ spread.T + torch.tensor([3.0, -1.0])
    gaussian = Gaussian.fit(z, shrinkage=0.0)
    point = torch.tensor([[4.0, 1.0]])
    offset = torch.tensor([1.0, 2.0])
    exact = offset @ torch.linalg.inv(spread @ spread.T) @ offset
    assert gaussian.mahalanobis(point).item() == pytest.approx(exact.item(), rel=0.05)
    white = gaussian.whiten(z)
    assert torch.allclose(white.T @ white / len(z), torch.eye(2, dtype=torch.float64), atol=1e-3)


def test_mahalanobis_survives_a_dead_dimension():
    z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    z[:, 2] = 0
    assert torch.isfinite(Gaussian.fit(z).mahalanobis(z)).all()


@pytest.mark.parametrize("k", [1, 3])
def test_nearest_distance_is_the_kth_smallest(k):
    generator = torch.Generator().manual_seed(0)
    bank, z = torch.randn(40, 5, generator=generator), torch.randn(7, 5, generator=generator)
    exact = np.sort(cdist(z.numpy(), bank.numpy()), axis=1)[:, k - 1]
    assert nearest_distance(bank, z, k).numpy() == pytest.approx(exact, rel=1e-5)


def test_nearest_distance_refuses_too_many_neighbours():
    with pytest.raises(DataError, match="bank holds 4"):
        nearest_distance(torch.zeros(4, 2), torch.zeros(1, 2), k=5)


def test_log_standard_has_zero_mean_and_unit_deviation():
    scores = np.random.default_rng(0).lognormal(3, 2, size=1000)
    standard = LogStandard.fit(scores)(scores)
    assert standard.mean() == pytest.approx(0, abs=1e-9)
    assert standard.std() == pytest.approx(1)
    assert np.isfinite(LogStandard.fit(np.zeros(5))(np.zeros(5))).all()


def test_log_standard_takes_rounding_for_no_score():
    standard = LogStandard.fit(np.random.default_rng(0).lognormal(0, 0.1, size=100))
    nothing, rounding, least, small = standard(np.array([0, 1e-5, 1e-4 * math.exp(standard.mean), 2e-4]))
    assert nothing == rounding == pytest.approx(least) and small > least
    usual = np.random.default_rng(0).lognormal(0, 0.1, size=100)
    assert LogStandard.fit(np.append(usual, 0)) == LogStandard.fit(np.append(usual, 1e-7))


def test_p_values_by_hand():
    calibration = np.array([1.0, 2.0, 3.0])
    assert conformal_p_values(calibration, np.array([0.5, 2.0, 2.5, 9.0])).tolist() == [1.0, 0.75, 0.5, 0.25]


def test_p_values_of_exchangeable_scores_are_uniform():
    random = np.random.default_rng(0)
    n, p = 39, []
    for _ in range(4000):
        scores = random.exponential(size=n + 1)
        p.append(conformal_p_values(scores[:-1], scores[-1:])[0])
    places, counts = np.unique(np.round(np.array(p) * (n + 1)).astype(int), return_counts=True)
    assert places.tolist() == list(range(1, n + 2))
    assert counts == pytest.approx(np.full(n + 1, 100), abs=5 * 10)  # each place as often as any other
    for alpha in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= alpha) == pytest.approx(alpha, abs=0.02)


def test_ties_make_p_values_larger_never_smaller():
    """A detector that gives every image the same score raises no alarm."""
    assert conformal_p_values(np.zeros(99), np.zeros(3)).tolist() == [1, 1, 1]
    random = np.random.default_rng(0)
    p = [conformal_p_values(s[:-1], s[-1:])[0] for s in random.integers(0, 4, (3000, 20))]
    assert np.mean(np.array(p) <= 0.05) <= 0.06


@pytest.mark.parametrize("n", [19, 20, 57, 99, 100, 149, 333])
@pytest.mark.parametrize("rate", [0.05, 0.07, 0.1, 0.18, 0.29])
def test_threshold_and_p_value_raise_the_same_alarms(n, rate):
    random = np.random.default_rng(n)
    calibration, scores = random.normal(size=n).round(1), random.normal(1, 2, 500).round(1)
    alarms = scores > threshold_at(calibration, rate)
    assert np.array_equal(alarms, conformal_p_values(calibration, scores) <= rate)


def test_threshold_keeps_its_promise():
    """The false-alarm rate over many draws stays at or under the promised one, and is not far below."""
    random = np.random.default_rng(0)
    rates = []
    for _ in range(300):
        calibration, fresh = random.normal(size=99), random.normal(size=500)
        rates.append((fresh > threshold_at(calibration, 0.1)).mean())
    assert 0.09 < np.mean(rates) < 0.105


def test_threshold_with_too_few_images_warns_and_says_how_many():
    with pytest.warns(UserWarning, match="at least 19"):
        assert threshold_at(np.arange(10.0), 0.05) == 9.0


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1e-320, math.nan])
def test_impossible_rate_is_refused(rate):
    with pytest.raises(DataError, match="between 0 and 1"):
        threshold_at(np.arange(10.0), rate)


def test_final_score_and_names():
    a, b = np.zeros(2), np.ones(2)
    assert [name for name, _ in Scores(pixel=a).items()] == ["score"]
    assert [name for name, _ in Scores(pixel=a, latent=a, dual=b).items()] == ["pixel", "latent", "dual"]
    assert Scores(pixel=a, latent=a, dual=b).final is b


def eq_11_as_printed(error, confidence, patterns, mean, deviation):
    p = torch.special.ndtr(torch.tensor((error - mean) / deviation)).numpy()
    return -p / patterns - (1 - p) * confidence


def test_eq_11_orders_as_the_printed_formula_does():
    random = np.random.default_rng(0)
    error, confidence = random.normal(1, 0.2, 300), random.uniform(0.11, 1, 300)
    ours = eq_11(error, confidence, 10, 1.0, 0.2)
    printed = eq_11_as_printed(error, confidence, 10, 1.0, 0.2)
    assert np.array_equal(np.argsort(ours), np.argsort(printed))


def test_eq_11_rises_with_the_error_and_falls_with_the_confidence():
    errors = eq_11(np.linspace(0, 3, 50), np.full(50, 0.9), 10, 1.0, 0.2)
    assert (np.diff(errors) > 0).all()
    sure = eq_11(np.full(50, 1.0), np.linspace(0.11, 1, 50), 10, 1.0, 0.2)
    assert (np.diff(sure) < 0).all()


def test_eq_11_has_no_ties_where_the_printed_formula_saturates():
    error = np.array([5.0, 6.0, 9.0])  # 20, 25 and 40 deviations above the mean
    args = error, np.full(3, 0.9), 10, 1.0, 0.2
    assert len(set(eq_11_as_printed(*args))) == 1
    assert (np.diff(eq_11(*args)) > 0).all() and np.isfinite(eq_11(*args)).all()


def test_eq_11_of_an_image_without_any_pattern_is_finite():
    assert np.isfinite(eq_11(np.array([1.0]), np.array([0.1]), 10, 1.0, 0.2)).all()


# Raw scores of made-up detectors, and what the library makes of them: promises are measured over many splits.


def raw_scores(random, kinds, count):
    """Log-normal raw scores that hang together, with heavy tails now and then: kind -> (count,)."""
    common, loud = random.standard_normal(count), np.exp(0.3 * random.standard_normal(count))
    return {kind: np.exp(0.5 * loud * (0.5 * common + random.standard_normal(count))) for kind in kinds}


def false_alarms(detector, raw, broken, n, held_out=True):
    """Share of new normal images above the threshold that the first n images set, at a promised 5 %."""
    held = {kind: values[:n] for kind, values in raw.items()}
    if isinstance(detector, Autoencoder):
        detector._broken = lambda images: {
            kind: {k: v[:n] for k, v in b.items()} for kind, b in broken.items()
        }
    detector._calibrate(held, torch.zeros(n, 1, 1, 1))
    final = detector._combine(raw).final
    own = detector._held_out(held, torch.zeros(n, 1, 1, 1)) if held_out else final[:n]
    return (final[n:] > threshold_at(own, 0.05)).mean()


def simulated(detector, kinds, n, repeats, weighed=False, held_out=True):
    random, found = np.random.default_rng(n), []
    for _ in range(repeats):
        raw = raw_scores(random, kinds, n + 300)
        if isinstance(detector, ADeGAN):  # 1 - probability of a pattern
            raw["latent"] = 0.9 * raw["latent"] / (1 + raw["latent"])
        moved = {kind: {k: v * random.lognormal(0.7, 0.5, len(v)) for k, v in raw.items()} for kind in "ab"}
        found.append(false_alarms(detector, raw, moved if weighed else {}, n, held_out))
    return np.mean(found), np.std(found) / repeats**0.5


FUSED = {
    "equal": (lambda: Autoencoder(fusion="equal"), ("pixel", "latent"), False),
    "weighed": (Autoencoder, ("pixel", "latent"), True),
    "five parts": (lambda: Autoencoder(fusion="equal"), ("pixel", "a", "b", "c", "d"), False),
    "published": (lambda: PublishedDualAD(score_weight=None), ("pixel", "latent"), False),
    "raw sum": (PublishedDualAD, ("pixel", "latent"), False),
    "eq. 11": (ADeGAN, ("pixel", "latent"), False),
    "one score": (PCA, ("pixel",), False),
}


@pytest.mark.parametrize("kind", FUSED)
@pytest.mark.parametrize(("n", "repeats"), [(19, 300), (39, 150), (100, 40)])
def test_false_alarms_keep_their_promise(kind, n, repeats):
    """P(alarm) = 5 % when n + 1 is a multiple of 20, whatever was fitted to the calibration images beside."""
    build, kinds, weighed = FUSED[kind]
    promised = 1 - np.ceil((n + 1) * 0.95) / (n + 1)
    mean, error = simulated(build(), kinds, n, repeats // 15 if weighed else repeats, weighed)
    assert mean < promised + 3 * error, "more alarms than promised"
    assert mean > 0.8 * promised - 3 * error, "a threshold so high that anomalies are missed"


def test_scores_of_images_that_set_the_scales_would_break_the_promise():
    """Of the same splits: with their own scores 6.1 alarms in a hundred, left out 5.3."""
    options = Autoencoder(fusion="equal"), ("pixel", "a", "b", "c", "d", "e", "f"), 19, 400
    own, error = simulated(*options, held_out=False)
    left, _ = simulated(*options)
    assert own > 0.05 + 3 * error and left < own - 0.005


def test_leaving_out_changes_nothing_where_nothing_is_fitted():
    """A single raw score, and weights that are fixed: whatever unit and offset a fold finds."""
    final = np.random.default_rng(0).normal(size=30)
    found = left_out(final, lambda kept: 3 * final - final[kept].mean())
    assert found == pytest.approx(final) and left_out(final[:4], None).tolist() == final[:4].tolist()


def test_a_fold_sees_nothing_of_itself():
    seen, final = [], np.random.default_rng(0).normal(size=250)
    left_out(final, lambda kept: seen.append(~kept) or final)
    assert np.array_equal(np.sum(seen, 0), np.ones(250)) and len(seen) == 100


def test_a_detector_that_says_nothing_of_folds_keeps_the_promise_too():
    """A new detector writes `_calibrate` and `_combine`, and no more."""

    class Summed(PCA):
        def _calibrate(self, raw, images):
            assert len(images) == len(raw["pixel"])
            self.fusion_ = Fusion.fit(raw)

        def _combine(self, raw):
            return Scores(pixel=raw["pixel"], latent=raw["a"], dual=self.fusion_(raw))

    for n in (19, 39):
        mean, error = simulated(Summed(), ("pixel", "a", "b", "c"), n, 150)
        assert 0.04 - 3 * error < mean < 0.05 + 3 * error
    detector, random = Summed(), np.random.default_rng(0)
    raw, images = raw_scores(random, ("pixel", "a", "b"), 30), torch.zeros(30, 1, 1, 1)
    detector._calibrate(raw, images)
    kept = detector.fusion_
    assert not np.array_equal(detector._held_out(raw, images), detector._combine(raw).final)
    assert detector.fusion_ is kept, "what was calibrated stays"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*collapsed")
@pytest.mark.parametrize(("kind", "sets"), [("autoencoder", 8), ("dualad", 8)])
def test_false_alarms_of_a_trained_detector(kind, sets):
    """End to end: many calibration sets of one trained detector, each of 19 images."""
    x = torch.rand(60 + sets * 19 + 500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = create(kind, width=2, latent_dim=4, steps=3, batch_size=16, device="cpu").fit(x[:60])
    found = [(model.recalibrate(held).predict(x[-500:]) == -1).mean() for held in x[60:-500].split(19)]
    assert 0.01 < np.mean(found) < 0.05 + 3 * np.std(found) / sets**0.5


def test_pseudo_anomalies_go_with_the_images_they_are_made_of():
    kept = np.array([True, True, False, True, True])
    assert made_of(kept, "shear") is kept
    assert made_of(kept, "mix").tolist() == [True, True, False, False, True]


def test_float64_is_asked_of_no_device_that_has_none():
    class Apple:  # as much of a tensor as is asked for
        device = torch.device("mps")

        def cpu(self):
            return torch.ones(2)

        def double(self):
            raise TypeError("MPS has no float64")

    assert precise(Apple()).dtype == torch.float64
    assert precise(torch.ones(2, device="meta")).device.type == "meta"


def test_no_score_asks_for_float64_where_it_is_not_sure_to_be():
    """Of the modules that score, only `precise` may ask a tensor for float64."""
    folder = Path(scoring.__file__).parent
    frozen = {
        "features",
        "feature_dualad",
        "feature_neighbours",
        "padim",
        "patchcore",
    }  # run on CPU and CUDA alone
    paths = [path for path in (folder / "detectors").glob("*.py") if path.stem not in frozen]
    for path in (folder / "scoring.py", *paths):
        for line in path.read_text(encoding="utf-8").splitlines():
            lone = ".double()" in line and "x.cpu() if" not in line
            assert not lone or "anomaly_map" in line or "error.double()" in line, f"{path.name}: {line}"


def test_low_rank_distances_are_those_of_the_whole_covariance():
    """The directions left out share the mean of their variances; all is shrunk to a scaled identity."""
    torch.manual_seed(0)
    h = torch.randn(200, 6) * torch.tensor([5.0, 3.0, 2.0, 1.0, 1.0, 1.0]) + 7
    low = LowRank.fit(h, rank=3)
    inside = low.components @ low.components.T
    eye = torch.eye(6, dtype=torch.float64)
    covariance = low.components @ low.variances.diag() @ low.components.T + low.noise_variance * (
        eye - inside
    )
    assert torch.isclose(covariance.trace(), torch.cov(h.double().T).trace())
    shrunk = 0.7 * covariance + 0.3 * covariance.trace() / 6 * eye
    new = 3 * torch.randn(50, 6) + 7
    apart = new.double() - low.mean
    expected = (apart @ torch.linalg.inv(shrunk) * apart).sum(1)
    assert torch.allclose(low.mahalanobis(*low.project(new), shrinkage=0.3), expected)


def test_a_fusion_comes_back_from_its_numbers():
    raw = {"a": np.array([1.0, 2.0, 4.0]), "b": np.array([3.0, 1.0, 9.0])}
    fusion = Fusion({"a": LogStandard(0.5, 2.0), "b": LogStandard(-1.0, 0.3)}, {"a": 0.25, "b": 3.0})
    again = fusion_of(("a", "b"), fusion_rows(fusion))
    assert again == fusion and np.array_equal(again(raw), fusion(raw))
    with pytest.raises(ValueError):
        fusion_of(("a",), fusion_rows(fusion))


def test_scores_that_are_no_numbers_set_no_threshold_and_get_no_p_value():
    c = np.arange(19.0)
    for wrong in (c[:0], np.append(c, np.nan), c[None]):
        for call in (lambda w=wrong: threshold_at(w, 0.05), lambda w=wrong: conformal_p_values(w, c)):
            with pytest.raises(DataError, match="calibration scores must be"):
                call()
    with pytest.raises(DataError, match="scores hold NaN"):
        conformal_p_values(c, np.array([np.nan]))
    assert threshold_at(c, 1 - 1e-11) == 0


def test_a_pixel_score_is_of_a_known_kind_and_of_images_of_one_shape():
    x = torch.rand(3, 1, 8, 8)
    with pytest.raises(DataError, match="one of l1, l2, relative; got 'L1'"):
        pixel_score(x, x, "L1")
    with pytest.raises(DataError, match="must have one shape"):
        pixel_score(x, x[:, 0])


def test_no_component_is_none():
    assert LowRank.fit(torch.randn(9, 5), 0).components.shape == (5, 0)
    assert LowRank.fit(torch.randn(1, 5)).components.shape == (5, 0)
