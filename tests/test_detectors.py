"""One contract, every detector."""

import copy
import inspect
import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from dualad_lib import DataError, Detector, FeatureADeGAN, FeatureLRGDAN, FeatureNeighbours, Scores
from dualad_lib.detectors import SYSTEMS
from dualad_lib.evaluation import auroc


def build(name, **parameters):
    """The detector with its small settings, on the CPU."""
    system = SYSTEMS[name]
    device = {"device": "cpu"} if "device" in inspect.signature(system.kind).parameters else {}
    return system.kind(**{**system.small, **device, **parameters})


def stripes(n, seed, vertical=False, channels=1, side=12):
    """Noisy stripes of random phase: horizontal ones are normal, vertical ones are not."""
    random = np.random.default_rng(seed)
    phase, place = random.uniform(0, 2 * np.pi, (n, channels, 1, 1)), np.arange(side)
    wave = 0.5 + 0.4 * np.sin(place[:, None] + phase) * np.ones(side)
    wave = wave.swapaxes(-1, -2) if vertical else wave
    return (255 * np.clip(wave + random.normal(0, 0.05, wave.shape), 0, 1)).round().astype(np.uint8)


@pytest.fixture(scope="module", params=SYSTEMS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name):
    return build(name).fit(stripes(80, 0))


def brief(name, **parameters):
    """The detector with a training of a few steps, for what does not depend on how well it learned."""
    known = SYSTEMS[name].small
    few = {key: min(known[key], 4) for key in ("steps", "epochs") if key in known}
    return build(name, **{**few, **parameters})


@pytest.fixture(scope="module")
def hasty(name):
    """A brief fit that must have left the caller's images and random state alone."""
    x = stripes(40, 0)
    before = x.copy()
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    model = brief(name).fit(x)
    return model, np.array_equal(x, before) and torch.equal(torch.rand(2), expected)


@pytest.fixture(scope="module")
def calibrated(name):
    """Brief fits at a low and a high rate."""
    return [
        brief(name, false_alarm_rate=rate).fit(stripes(40, 0), calibration=stripes(99, 3))
        for rate in (0.02, 0.3)
    ]


TEST = np.concatenate([stripes(20, 1), stripes(20, 2, vertical=True)])


def close(a, b):
    return np.allclose(a, b, rtol=1e-4, atol=1e-6)


def magnifies(model):
    """FeatureLRGDAN divides by deviations down to 1e-4: where convolutions round by the size of the batch, as with
    AVX-512, that shows in its scores, whose deviation is ten here. Other processors are held to `close`."""
    return isinstance(model, FeatureLRGDAN) and torch.backends.cpu.get_cpu_capability() == "AVX512"


def alike(model, key, a, b):
    """`close`, but for what is counted in deviations: so is what it may differ by.

    Codes of FeatureADeGAN lie so near to each other that float32 moves the logarithm of their distance by some 1e-5.
    """
    if key == "dual" and isinstance(model, FeatureADeGAN):
        return np.allclose(a, b, rtol=1e-4, atol=1e-4)
    if magnifies(model):
        return np.allclose(a, b, rtol=1e-4, atol=1e-3)
    return close(a, b)


def finals(model, x, **options):
    return model.anomaly_scores(x, **options).final


def test_finds_what_is_unlike_the_normal_images(fitted):
    assert auroc(np.repeat([0, 1], 20), finals(fitted, TEST)) > 0.9


def test_scores_are_float64_vectors(fitted):
    scores = fitted.anomaly_scores(TEST)
    assert isinstance(scores, Scores)
    for _, values in scores.items():
        assert values.dtype == np.float64 and values.shape == (40,) and np.isfinite(values).all()


def test_same_images_in_any_form_give_the_same_scores(fitted):
    expected = finals(fitted, TEST)
    unit = TEST / 255
    for form in (
        TEST[:, 0],
        torch.from_numpy(TEST),
        unit,
        unit.astype(np.float32),
        torch.from_numpy(unit[:, 0]),
    ):
        assert close(finals(fitted, form), expected)


def test_fit_takes_any_form_too(name, hasty):
    again = brief(name).fit(torch.from_numpy(stripes(40, 0) / 255))
    assert close(finals(again, TEST), finals(hasty[0], TEST))


def test_colour_and_oblong_images(name):
    x = stripes(40, 0, channels=3, side=16)[:, :, :9]
    model = brief(name).fit(x)
    assert finals(model, x[:5]).shape == (5,)


def test_a_seed_fixes_the_scores(name, hasty):
    torch.manual_seed(6)
    assert np.array_equal(finals(brief(name).fit(stripes(40, 0)), TEST), finals(hasty[0], TEST))


def test_scores_do_not_depend_on_batch_size_order_or_company(fitted):
    expected = fitted.anomaly_scores(TEST)
    order = np.random.default_rng(0).permutation(len(TEST))
    for key, values in expected.items():
        pick = {k: v for k, v in fitted.anomaly_scores(TEST, batch_size=7).items()}[key]
        assert alike(fitted, key, pick, values), "batch size"
        assert alike(fitted, key, dict(fitted.anomaly_scores(TEST[order]).items())[key], values[order]), (
            "order"
        )
        alone = [dict(fitted.anomaly_scores(image[None]).items())[key][0] for image in TEST[:3]]
        assert alike(fitted, key, alone, values[:3]), "company"
    known = stripes(80, 0)[:12]  # its distance to the bank is 0, or what rounding leaves of it
    alone = np.concatenate([finals(fitted, image[None]) for image in known])
    rounding = 0.2 if magnifies(fitted) else 1e-5  # these distances are rounding alone
    assert np.allclose(finals(fitted, known), alone, rtol=1e-3, atol=rounding), "of images trained on"


@pytest.mark.parametrize("size", [0, -1, 1.5, None, "a", True])
def test_an_impossible_batch_size_is_refused(hasty, size):
    with pytest.raises(DataError, match="whole number from 1"):
        hasty[0].anomaly_scores(TEST, size)


@pytest.mark.parametrize("blur", [-1, math.nan, math.inf, 1e9, None, "a", True])
def test_an_impossible_blur_is_refused(hasty, blur):
    if hasattr(hasty[0], "reconstruct") or hasattr(hasty[0], "scores_and_maps"):
        with pytest.raises(DataError, match="blur must be a number of pixels|no heat maps"):
            hasty[0].anomaly_map(TEST[:2], blur)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a/" * 3000 + "b"])
def test_what_can_be_no_path_is_said(name, tmp_path):
    model = build("pca").fit(stripes(40, 0))
    with pytest.raises(DataError, match=r"cannot be written: .*(too long|null)"):
        model.save(tmp_path / name)
    with pytest.raises(DataError, match="there is no model file|is not a readable safetensors file"):
        Detector.load(tmp_path / name)


def test_a_model_is_found_at_home_where_it_was_saved(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = build("pca").fit(stripes(40, 0))
    model.save("~/model.safetensors")
    assert close(finals(Detector.load("~/model.safetensors"), TEST), finals(model, TEST))


def test_calibration_images_that_were_trained_on_are_told(name):
    x = stripes(40, 0)
    with pytest.warns(UserWarning, match="3 of 20 calibration images are also trained on"):
        brief(name).fit(x, calibration=np.concatenate([stripes(17, 5), x[:3]]))


def test_scikit_learns_outlier_contract(fitted):
    final = finals(fitted, TEST)
    assert np.array_equal(fitted.score_samples(TEST), -final)
    assert close(fitted.decision_function(TEST), fitted.score_samples(TEST) - fitted.offset_)
    predictions = fitted.predict(TEST)
    assert set(predictions) == {1, -1}
    assert np.array_equal(predictions == -1, final > fitted.threshold_)


def test_p_values_fall_as_scores_rise(fitted):
    p, final = fitted.p_values(TEST), finals(fitted, TEST)
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p[np.argsort(final)]) <= 0).all()


def test_false_alarm_rate_moves_the_threshold(calibrated):
    strict, loose = calibrated
    assert strict.threshold_ > loose.threshold_
    assert len(strict.calibration_scores_) == 99
    assert (strict.predict(stripes(200, 4)) == -1).mean() < (loose.predict(stripes(200, 4)) == -1).mean()


def test_given_calibration_images_are_not_trained_on(name):
    x, calibration = stripes(40, 0), stripes(20, 5)
    one, other = (brief(name).fit(x, calibration=c) for c in (calibration, calibration[::-1].copy()))
    assert close(finals(one, TEST), finals(other, TEST))


def test_recalibration_moves_the_threshold_and_nothing_learned(fitted):
    model = copy.deepcopy(fitted)
    pixel, darker = model.anomaly_scores(TEST).pixel, (stripes(40, 5) * 0.8).astype(np.uint8)
    assert model.recalibrate(darker) is model and len(model.calibration_scores_) == 40
    assert np.array_equal(model.anomaly_scores(TEST).pixel, pixel)
    assert model.threshold_ != fitted.threshold_
    with pytest.raises(DataError, match="resize"):
        model.recalibrate(np.zeros((30, 9, 9)))


def test_anomaly_maps_of_what_reconstructs(name, fitted):
    if hasattr(fitted, "scores_and_maps") and not isinstance(fitted, FeatureNeighbours):  # by whole images
        scores, maps = fitted.scores_and_maps(TEST)
        assert maps.shape == (40, 12, 12) and maps.dtype == np.float64 and np.isfinite(maps).all()
        assert close(maps, fitted.anomaly_map(TEST)) and close(scores.final, finals(fitted, TEST))
        return
    if not hasattr(fitted, "reconstruct"):
        with pytest.raises(DataError, match="no heat maps"):
            fitted.anomaly_map(TEST)
        return
    maps = fitted.anomaly_map(TEST)
    assert maps.shape == (40, 12, 12) and maps.dtype == np.float64 and (maps >= 0).all()
    error = (torch.from_numpy(TEST / 255) - fitted.reconstruct(TEST).clamp(0, 1).double()).square().mean(1)
    assert close(maps, error.numpy())
    blurred = fitted.anomaly_map(TEST, blur=1.0)
    assert blurred.std() < maps.std() and blurred.mean() == pytest.approx(maps.mean(), rel=0.1)
    assert close(fitted.anomaly_map(TEST[:1], blur=1.0)[0], blurred[0]), "no image blurs into the next"


def test_save_and_load(name, fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    for loaded in (type(fitted).load(path), Detector.load(path)):
        assert type(loaded) is type(fitted)
        assert loaded.get_params() == fitted.get_params()
        assert close(finals(loaded, TEST), finals(fitted, TEST))
        assert loaded.threshold_ == fitted.threshold_
        assert np.array_equal(loaded.p_values(TEST), fitted.p_values(TEST))
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["parameters"]) == json.loads(json.dumps(fitted.get_params()))


def test_loading_says_what_is_wrong(name, fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(DataError, match="no model file"):
        type(fitted).load(path)
    fitted.save(path)
    other = SYSTEMS["pca" if name != "pca" else "knn"].kind
    with pytest.raises(DataError, match="use .*load"):
        other.load(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="not a readable"):
        type(fitted).load(path)


def test_clone_and_parameters(name):
    model = build(name, seed=3)
    twin = clone(model)
    assert twin is not model and twin.get_params() == model.get_params()
    assert twin.set_params(seed=4).seed == 4 and model.seed == 3
    assert not hasattr(twin, "image_shape_")
    assert {"seed", "false_alarm_rate"} <= set(model.get_params())


def test_scoring_before_fitting_is_refused(name, tmp_path):
    model = build(name)
    for call in (
        model.anomaly_scores,
        model.predict,
        model.score_samples,
        model.decision_function,
        model.p_values,
    ):
        with pytest.raises(NotFittedError, match="fit"):
            call(TEST)
    with pytest.raises(NotFittedError):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_unusable_images_are_refused(name, fitted):
    nan = np.full((12, 12, 12), np.nan)
    for call in (build(name).fit, fitted.anomaly_scores):
        for bad, word in (
            (nan, "NaN"),
            (TEST[:0], "No images"),
            (TEST / 10, "in \\[0, 1\\]"),
            (TEST[0, 0], "shape"),
            (torch.from_numpy(TEST).to_sparse(), "dense"),
            (torch.empty(12, 1, 12, 12, device="meta"), "dense"),
            (np.ma.masked_array(TEST, TEST > 200), "mask"),
            ([np.ma.masked_array(image, image > 200) for image in TEST], "mask"),
        ):
            with pytest.raises(DataError, match=word):
                call(bad)
    with pytest.raises(DataError, match="resize"):
        fitted.anomaly_scores(stripes(3, 0, side=16))
    with pytest.raises(DataError, match="at least 10"):
        build(name).fit(TEST[:9])


def test_the_callers_images_and_random_state_are_left_alone(hasty):
    model, left_alone = hasty
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    finals(model, TEST)
    assert left_alone and torch.equal(torch.rand(2), expected)


def test_neighbours_in_principal_components_forget_what_the_components_leave_out(tmp_path):
    """Images differ along one pixel; a second pixel, constant in training, is no component and cannot count."""
    from dualad_lib import NearestNeighbours

    x = torch.zeros(40, 1, 8, 8)
    x[:, 0, 0, 0] = torch.linspace(0, 1, 40)
    new = torch.zeros(2, 1, 8, 8)
    new[:, 0, 0, 0] = 0.5
    new[1, 0, 7, 7] = 1.0
    model = NearestNeighbours(n_neighbors=2, n_components=1).fit(x, calibration=x[:20])
    scores = finals(model, new)
    # The training images next to 0.5 lie at 19/39 and 20/39, each 1/78 away.
    assert scores == pytest.approx([1 / 78, 1 / 78], abs=1e-5)
    assert finals(NearestNeighbours(n_neighbors=2).fit(x, calibration=x[:20]), new)[1] > 0.9
    model.save(tmp_path / "knn.safetensors")
    assert finals(NearestNeighbours.load(tmp_path / "knn.safetensors"), new) == pytest.approx(scores)


@pytest.mark.parametrize("name", ["pca", "isolation_forest", "ocsvm", "kde"])
def test_a_classical_file_holds_what_was_learned_and_no_other_image(name, tmp_path, monkeypatch):
    x, path = stripes(80, 0), tmp_path / "model.safetensors"
    model = build(name).fit(x, calibration=stripes(30, 3))
    model.save(path)
    state = load_file(path)
    flat = torch.from_numpy(x).flatten(1) / 255
    rows = [value.float() for value in state.values() if value.shape[-1:] == flat.shape[1:]]
    shown = [row for value in rows for row in value.reshape(-1, flat.shape[1])]
    known = sum(any(torch.allclose(row, image) for row in shown) for image in flat)
    assert known == (len(state["support_vectors"]) if name == "ocsvm" else 0)
    assert known < len(x)
    monkeypatch.setattr(type(model), "_learn", None)  # loading learns nothing anew
    assert close(finals(Detector.load(path), TEST), finals(model, TEST))
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    kept = {"train": torch.from_numpy(x), "calibration_scores": state["calibration_scores"]}
    save_file(kept, path, metadata=header)
    with pytest.raises(DataError, match="older version.*fit it again"):
        Detector.load(path)


def test_isolation_forests_scores_are_scikit_learns():
    from sklearn.ensemble import IsolationForest

    x, new = stripes(300, 0), np.concatenate([TEST, stripes(9, 1) // 2])
    model = build("isolation_forest", n_estimators=30, seed=4).fit(x, calibration=stripes(30, 3))
    theirs = IsolationForest(n_estimators=30, random_state=4).fit(x.reshape(300, -1) / np.float32(255))
    assert np.allclose(finals(model, new), -theirs.score_samples(new.reshape(len(new), -1) / np.float32(255)))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("pca", {"n_components": 500}),
        ("knn", {"n_components": 500}),
        ("kde", {"n_components": 0}),
        ("knn", {"n_neighbors": 1000}),
        ("autoencoder", {"network": "transformer"}),
        ("autoencoder", {"pixel": "l3"}),
        ("autoencoder", {"latent": "far"}),
    ],
)
def test_impossible_parameters_are_refused_with_the_choices(name, wrong):
    with pytest.raises(DataError, match=next(iter(wrong))):
        build(name, **wrong).fit(stripes(40, 0))


def test_a_fit_that_failed_leaves_no_half_fitted_detector(monkeypatch):
    from sklearn.exceptions import NotFittedError

    from dualad_lib import Autoencoder, DataError

    x = torch.rand(40, 1, 8, 8)
    model = Autoencoder(steps=2, width=4, latent_dim=4, device="cpu").fit(x)
    model.set_params(steps=0)
    with pytest.raises(DataError, match="steps must be a whole number of 1 or more, got 0"):
        model.fit(x)
    with pytest.raises(NotFittedError):
        model.anomaly_scores(x)
    monkeypatch.setattr(Autoencoder, "_fit", lambda *a, **k: pytest.fail("it trained first"))
    with pytest.raises(DataError, match="false-alarm rate"):
        Autoencoder(false_alarm_rate=5).fit(x)
