"""The contract, where it is tried hardest: parameters, scikit-learn, threads, files, and sets that say nothing."""

import inspect
import json
import threading
import warnings

import numpy as np
import pytest
import sklearn
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from dualad_lib import PCA, DataError, Detector
from dualad_lib.detectors import SYSTEMS
from dualad_lib.detectors.parameters import RANGES

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(60, 200, (40, 1, 10, 10)).astype(np.uint8)
NEW = RANDOM.integers(0, 256, (6, 1, 10, 10)).astype(np.uint8)
HELD = RANDOM.integers(60, 200, (25, 1, 10, 10)).astype(np.uint8)
TINY = {"width": 2, "latent_dim": 4, "steps": 2, "noise_dim": 2, "patterns": 3, "batch_size": 16, "epochs": 1}
TINY |= {"n_components": 5, "n_estimators": 10, "device": "cpu"}

pytestmark = pytest.mark.filterwarnings("ignore")  # thresholds of few images, trainings of two steps


def create(name, **parameters):
    known = inspect.signature(SYSTEMS[name].kind.__init__).parameters
    own = {key: value for key, value in TINY.items() if key in known and known[key].default is not None}
    return SYSTEMS[name].kind(**{**SYSTEMS[name].small, **own, **parameters})


@pytest.fixture(scope="module", params=SYSTEMS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name):
    return create(name).fit(X)


#: For each parameter that scores once looked at after `fit`: another value.
OTHERS = {
    "latent": "centre",
    "pixel": "l1",
    "fusion": "equal",
    "views": "strong",
    "critic": False,
    "feature_constraint": False,
    "judged": "code",
    "dual": False,
    "generator": "plain",
    "patterns": 7,
    "n_neighbors": 4,
    "n_components": 2,
    "score_weight": 1.0,
    "false_alarm_rate": 0.4,
    "seed": 9,
    "width": 8,
    "network": "mlp",
    "precision": "float32",
}


def everything(model):
    """What all public methods say of new images."""
    found = {key: values for key, values in model.anomaly_scores(NEW).items()}
    found |= {"p": model.p_values(NEW), "decision": model.decision_function(NEW), "at": model.threshold_}
    for method in ("reconstruct", "encode", "extract"):
        if hasattr(model, method):
            parts = getattr(model, method)(NEW)
            found |= {f"{method} {i}": part for i, part in enumerate(parts)}
    return {key: np.asarray(value) for key, value in found.items()}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_what_was_fitted_is_frozen_and_a_new_fit_takes_new_parameters(name, tmp_path):
    model = create(name).fit(X)
    before, old = everything(model), model.get_params()
    for key, value in OTHERS.items():
        if key in old:
            model.set_params(**{key: value})
            assert same(everything(model), before), key
    new = model.get_params()
    assert all(new[key] == value for key, value in OTHERS.items() if key in old)
    assert clone(model).get_params() == new and not hasattr(clone(model), "image_shape_")
    model.save(tmp_path / "m.safetensors")
    loaded = Detector.load(tmp_path / "m.safetensors")
    assert loaded.get_params() == old
    for key, values in everything(loaded).items():
        assert np.allclose(values, before[key], rtol=1e-4, atol=1e-6), key
    model.set_params(**{**old, "seed": 3}).fit(X)
    assert same(everything(model), everything(create(name, seed=3).fit(X)))


def test_a_parameter_set_as_an_attribute_is_frozen_too():
    model = create("autoencoder").fit(X)
    before = everything(model)
    model.latent, model.pixel = "mahalanobis", "l1"
    assert same(everything(model), before) and model.latent == "mahalanobis"


def test_recalibration_takes_the_new_rate_and_nothing_else(name):
    model = create(name).fit(X)
    pixel = everything(model).get("pixel")
    after = type(model).AFTERWARDS
    model.set_params(**{k: v for k, v in OTHERS.items() if k in model.get_params() and k not in after})
    asked = model.set_params(false_alarm_rate=0.5).get_params()
    held = model.recalibrate(HELD).calibration_scores_
    assert model.get_params() == asked, "what was set for the next fit stays set"
    assert len(held) == 25 and model.threshold_ == np.sort(held)[12]
    assert pixel is None or np.array_equal(everything(model)["pixel"], pixel)
    kept = everything(model)
    with pytest.raises(DataError, match="false-alarm rate"):
        model.set_params(false_alarm_rate=2).recalibrate(HELD)
    assert same(everything(model), kept), "a recalibration that failed changes nothing"


def test_recalibration_takes_what_training_does_not_depend_on():
    model = create("autoencoder").fit(X)
    model.set_params(latent="centre", pixel="l1", fusion="equal").recalibrate(HELD)
    expected = create("autoencoder", latent="centre", pixel="l1", fusion="equal").fit(X).recalibrate(HELD)
    assert same(everything(model), everything(expected))
    with pytest.raises(DataError, match="latent"):
        model.set_params(latent="far").recalibrate(HELD)
    assert same(everything(model), everything(expected))


@pytest.mark.filterwarnings("default")
def test_scoring_says_that_parameters_changed():
    model = create("knn").fit(X, calibration=HELD)
    with pytest.warns(UserWarning, match="n_neighbors of this NearestNeighbours changed since"):
        model.set_params(n_neighbors=3).predict(NEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(n_neighbors=1).predict(NEW)


def test_y_is_ignored_and_images_in_its_place_are_refused(name, fitted):
    for y in (np.zeros(40), [1] * 40, None, "ignored"):
        assert same(everything(create(name).fit(X, y)), everything(fitted))
    for images in (HELD, HELD[:, 0], torch.from_numpy(HELD), list(HELD)):
        with pytest.raises(DataError, match="calibration=") as caught:
            create(name).fit(X, images)
        assert "\n" not in str(caught.value)


def test_calibration_is_given_by_name_alone(name):
    kinds = inspect.signature(SYSTEMS[name].kind.fit).parameters
    assert list(kinds)[1:3] == ["X", "y"]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(kinds.values())[3:])


@pytest.mark.parametrize("kind", ["pca", "knn", "autoencoder"])
def test_cross_validation_and_pipelines_of_scikit_learn(kind):
    images, labels = np.concatenate([X, NEW, NEW // 2]), np.repeat([1, -1], [40, 12])
    found = cross_val_score(create(kind), images, labels, cv=StratifiedKFold(3), scoring="roc_auc")
    assert found.shape == (3,) and np.isfinite(found).all()
    line = make_pipeline(FunctionTransformer(lambda x: x / 255), create(kind)).fit(X)
    assert np.array_equal(line.predict(NEW), create(kind).fit(X / 255).predict(NEW / 255))
    assert set(create(kind).fit_predict(X)) <= {1, -1}


CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_do_not_raise_errors_in_init_or_set_param",
]


@pytest.mark.parametrize("check", [c for c in CHECKS if hasattr(estimator_checks, c)])
def test_scikit_learns_own_checks_that_need_no_table(name, check):
    getattr(estimator_checks, check)(name, create(name))


@pytest.mark.skipif(sklearn.__version__ < "1.6", reason="older versions know no tags")
def test_tags_say_images():
    tags = PCA().__sklearn_tags__()
    assert tags.estimator_type == "outlier_detector"
    assert tags.input_tags.three_d_array and not tags.input_tags.two_d_array


# ------------------------------------------------------------------------------------------------ threads


def in_threads(jobs):
    errors = []

    def guarded(job):
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_fits_in_threads_end_as_alone():
    kinds = ["dualad", "autoencoder", "adegan", "lrgdan"]
    alone = [everything(create(kind, steps=15).fit(X)) for kind in kinds]
    models = [create(kind, steps=15) for kind in kinds]
    in_threads([lambda m=model: m.fit(X) for model in models])
    for kind, model, expected in zip(kinds, models, alone, strict=True):
        assert same(everything(model), expected), kind


# ------------------------------------------------------------------------------------------------ numbers

WORDS = {
    "whole": (0.5, "3", True, None, float("nan"), -1),
    "real": (float("nan"), float("inf"), -0.1, "1", None),
}


def numeric():
    for kind, system in SYSTEMS.items():
        for key, parameter in inspect.signature(system.kind.__init__).parameters.items():
            if key in RANGES or (
                isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
            ):
                yield kind, key, parameter.default


@pytest.mark.parametrize(("kind", "key", "default"), list(numeric()))
def test_numbers_that_make_no_sense_are_refused(kind, key, default):
    if key == "false_alarm_rate":
        bad = (0, 1, -0.1, 5, float("nan"), "0.05", None, True)
    elif key == "seed":
        bad = (*WORDS["whole"], 2**32, 2**70)
    elif isinstance(default, int) or default is None:
        bad = (*(value for value in WORDS["whole"] if value is not None), 0)
    else:
        bad = [v for v in WORDS["real"] if v is not None or key not in ("cap", "score_weight")]
    for value in bad:
        with pytest.raises(DataError, match=key) as caught:
            create(kind, **{key: value}).fit(X)
        assert "\n" not in str(caught.value)


def test_a_parameter_without_a_rule_of_its_own_has_one_all_the_same():
    class Plain(PCA):
        def __init__(self, atoms=3, share=0.5, n_components=4, false_alarm_rate=0.1, seed=0):
            super().__init__(n_components, false_alarm_rate, seed)
            self.atoms, self.share = atoms, share

    Plain().fit(X)
    for bad in ({"atoms": 0}, {"atoms": 1.5}, {"share": float("nan")}, {"share": -1}):
        with pytest.raises(DataError, match=next(iter(bad))):
            Plain(**bad).fit(X)


def test_numbers_of_numpy_are_numbers_and_can_be_saved(tmp_path):
    model = PCA(n_components=np.int64(4), false_alarm_rate=np.float32(0.5), seed=np.uint32(7)).fit(X)
    model.save(tmp_path / "m.safetensors")
    loaded = PCA.load(tmp_path / "m.safetensors")
    assert loaded.get_params() == model.get_params() and isinstance(loaded.seed, int)


@pytest.mark.parametrize("device", ["quantum", "cuda:99", 3.5])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(DataError, match="device"):
        create("autoencoder", device=device).fit(X)


# ------------------------------------------------------------------------------------------------ nothing to learn


@pytest.mark.parametrize("brightness", [0, 137, 255])
def test_one_picture_many_times_is_refused_in_words(name, brightness):
    one = np.full((30, 1, 10, 10), brightness, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(DataError, match="1 picture") as caught:
            create(name).fit(one)
        with pytest.raises(DataError, match="1 picture"):
            create(name).fit(np.repeat(X[:1], 30, 0), calibration=HELD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [2, 9])
def test_copies_do_not_count_as_images(name, count):
    with pytest.raises(DataError, match=f"only {count} picture"):
        create(name).fit(np.tile(X[:count], (20, 1, 1, 1)))


def test_many_copies_of_a_few_pictures(name):
    """What was seen is normal, what was not is further away; no number breaks."""
    normal, foreign = np.tile(X[:12], (8, 1, 1, 1)), np.repeat([[0], [255]], 50, 1).reshape(1, 1, 10, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = create(name, false_alarm_rate=0.2).fit(normal)
        assert (model.predict(X[:12]) == -1).mean() <= 0.34
        scores = model.anomaly_scores(np.concatenate([foreign.astype(np.uint8), X[:12]])).final
    if name not in ("adegan", "agad", "lrgdan", "dualad_published"):  # two steps teach those nothing
        assert (scores[0] > scores[1:]).all()


def test_a_calibration_set_of_one_picture_calls_it_normal(name):
    model = create(name, false_alarm_rate=0.2).fit(X, calibration=np.repeat(HELD[:1], 20, 0))
    assert (model.predict(np.repeat(HELD[:1], 20, 0)) == 1).all()


@pytest.mark.parametrize("kind", ["agad", "agad_rebuilt", "agad_features"])
def test_labels_leave_something_to_learn(kind):
    black = np.zeros((30, 1, 10, 10), np.uint8)
    labels = np.repeat([0, 1], [30, 10])
    assert create(kind).fit(np.concatenate([black, X[:10]]), labels=labels).predict(black[:1]) == 1


# ------------------------------------------------------------------------------------------------ not finite


def test_scores_that_are_not_finite_are_refused_at_fit_and_at_score(name, monkeypatch):
    model = create(name).fit(X)
    honest = type(model)._score

    def broken(self, images):
        raw = honest(self, images)
        last = list(raw)[-1]
        raw[last] = np.where(np.arange(len(images)) == 0, np.nan, raw[last])
        return raw

    monkeypatch.setattr(type(model), "_score", broken)
    for call in (model.anomaly_scores, model.predict, model.p_values, model.recalibrate, create(name).fit):
        with pytest.raises(DataError, match="not a finite number"):
            call(X)


@pytest.mark.parametrize("kind", ["autoencoder", "dualad", "lrgdan", "agad", "adegan", "dualad_published"])
def test_weights_that_are_not_finite_are_noticed(kind):
    model = create(kind).fit(X)
    with torch.no_grad():
        for weight in model.parts_.parameters():
            weight.fill_(float("nan"))
    with pytest.raises(DataError, match="not a finite number"):
        model.predict(X)


# ------------------------------------------------------------------------------------------------ files


@pytest.fixture
def file(fitted, tmp_path):
    """(header, tensors, a function that writes changed ones and loads them)."""
    path = tmp_path / "m.safetensors"
    fitted.save(path)
    with safe_open(path, framework="pt") as found:
        header, state = found.metadata(), {key: found.get_tensor(key) for key in found.keys()}  # noqa: SIM118

    def load(header=header, state=state):
        changed = tmp_path / "changed.safetensors"
        save_file({key: value.contiguous() for key, value in state.items()}, changed, metadata=header)
        return Detector.load(changed)

    return header, state, load


def refused(load, **changed):
    with pytest.raises(DataError, match="changed.safetensors") as caught:
        load(**changed)
    assert "\n" not in str(caught.value)


def damages(state, key):
    """States in which one tensor is missing, one too many, of another shape, or not finite."""
    value, others = state[key], {k: v for k, v in state.items() if k != key}
    yield others
    yield {**state, f"{key}_more": value.clone()}
    yield {**others, key: torch.zeros(0, dtype=value.dtype)}
    yield {**others, key: torch.zeros(3, 2, 5, dtype=value.dtype)}
    if value.is_floating_point():
        for number in (float("nan"), float("inf")):
            damaged = value.clone()
            damaged.view(-1)[-1] = number
            yield {**others, key: damaged}


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_tensor_of_a_file_is_needed_whole_and_finite(file, thorough):
    """A network's tensors are many and alike: unless thorough, each but the first two gets one damage, in turn."""
    _, state, load = file
    load()
    for place, key in enumerate(state):
        found = list(damages(state, key))
        for changed in found if thorough or place < 2 else [found[place % len(found)]]:
            refused(load, state=changed)


def test_every_entry_of_a_header_is_checked(file):
    header, _, load = file
    own = json.loads(header["parameters"])
    for bad in ("{", "[]", "null", "7", json.dumps({**own, "of_a_later_version": 1}), "[" * 5000):
        refused(load, header={**header, "parameters": bad})
    for key, value in (("seed", -1), ("false_alarm_rate", float("nan")), ("seed", "0"), ("seed", None)):
        refused(load, header={**header, "parameters": json.dumps({**own, key: value})})
    for bad in ("[10, 10]", '["a", 1, 2]', "[1, 24, 24]", "[0, 10, 10]", "[1, 10, 10.5]", "{}", "[1, 10"):
        refused(load, header={**header, "image_shape": bad})
    for key, value in (("format", "dualad-1"), ("format", "another"), ("detector", "Nova")):
        refused(load, header={**header, key: value})
    for key in header:
        refused(load, header={k: v for k, v in header.items() if k != key})
    fewer = {k: v for k, v in own.items() if k != "seed"}  # an older file: the default holds
    assert load(header={**header, "parameters": json.dumps(fewer)}).seed == 0


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "quantum"])
def test_a_file_of_another_machine_scores_here(fitted, file, device):
    header, _, load = file
    own = json.loads(header["parameters"])
    if "device" in own:
        loaded = load(header={**header, "parameters": json.dumps({**own, "device": device})})
        assert np.allclose(loaded.anomaly_scores(NEW).final, fitted.anomaly_scores(NEW).final, rtol=1e-4)


def test_a_device_asked_for_must_be_there(fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    with pytest.raises(DataError, match="device"):
        Detector.load(tmp_path / "m.safetensors", device="cuda:99")
