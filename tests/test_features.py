"""Detectors on frozen features: beside the slow ways to the same numbers, and on photographs of real parts.

What all detectors have in common is tried in test_detectors.py and test_contract.py.
"""

import functools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from dualad_lib import DataError, Detector, DualAD, FeatureADeGAN, FeatureAGAD, FeatureLRGDAN, defects
from dualad_lib.data import load_inspection
from dualad_lib.detectors import features as shared
from dualad_lib.detectors.feature_dualad import FeatureDualAD
from dualad_lib.detectors.feature_neighbours import FeatureNeighbours
from dualad_lib.detectors.features import smooth, top_mean
from dualad_lib.detectors.padim import PaDiM
from dualad_lib.detectors.patchcore import PatchCore
from dualad_lib.networks import backbone
from dualad_lib.networks.backbone import DEFAULT, load_backbone

pytestmark = pytest.mark.filterwarnings("ignore:.*calibration images cannot promise")

QUICK = {"width": 16, "latent_dim": 8, "steps": 20, "batch_size": 8, "copies": 1, "device": "cpu"}
KINDS = {
    "patchcore": lambda **p: PatchCore(device="cpu", **p),
    "padim": lambda **p: PaDiM(components=20, device="cpu", **p),
    "feature_neighbours": lambda **p: FeatureNeighbours(device="cpu", **{"precision": "float32", **p}),
    "feature_dualad": lambda **p: FeatureDualAD(**QUICK, view="places", **p),
    "whole": lambda **p: FeatureDualAD(**QUICK, view="whole", **p),
}


@pytest.fixture(scope="session")
def screws():
    """Photographs of two places before the pitting: (learn from, calibrate with, new), uint8 (N, C, 64, 128)."""
    found = load_inspection("ball_screws_sample", image_size=(64, 128))
    sound = [found.images[(found.places == place) & (found.labels == 0)][:24] for place in (0, 1)]
    return tuple(torch.cat([own[a:b] for own in sound]) for a, b in ((0, 16), (16, 20), (20, 24)))


@pytest.fixture(scope="session")
def fitted(screws):
    """fitted(kind, **parameters): a detector of KINDS that has learned from the screws; each fitted once."""
    kept = {}

    def get(kind, **parameters):
        key = kind, *sorted(parameters.items())
        if key not in kept:
            kept[key] = KINDS[kind](**parameters).fit(screws[0], calibration=screws[1])
        return kept[key]

    return get


def finals(model, x, **options):
    return model.anomaly_scores(x, **options).final


def close(one, other, tolerance=1e-4):
    """The largest difference, measured by the largest value."""
    return np.abs(np.asarray(one) - np.asarray(other)).max() <= tolerance * np.abs(other).max()


# --- what they share


# half precision is the backbone's, which all share: one kind that looks at places, one that looks at whole images
@pytest.mark.parametrize(
    ("kind", "precision"),
    [*((kind, "float32") for kind in KINDS), ("padim", "bfloat16"), ("feature_neighbours", "bfloat16")],
)
def test_scores_depend_neither_on_batches_nor_on_order(kind, precision, fitted, screws, monkeypatch):
    model, x = fitted(kind, precision=precision), screws[2]
    expected = finals(model, x)
    assert expected.std() > 0
    assert close(finals(model, x, batch_size=3), expected)
    assert close(finals(model, x.flip(0))[::-1], expected)
    assert close(np.concatenate([finals(model, image[None]) for image in x]), expected)
    monkeypatch.setattr(shared, "PIXELS", 2 * 64 * 128)  # two images at once go through the network
    assert close(finals(model, x), expected)


@pytest.mark.parametrize("kind", ["patchcore", "padim", "feature_dualad"])
def test_maps_depend_neither_on_batches_nor_on_order(kind, fitted, screws, monkeypatch):
    model, x = fitted(kind), screws[2]
    expected = model.anomaly_map(x)
    assert expected.shape == (8, 64, 128) and expected.dtype == np.float64
    assert close(model.anomaly_map(x.flip(0))[::-1], expected)
    monkeypatch.setattr(shared, "PIXELS", 3 * 64 * 128)
    assert close(model.anomaly_map(x), expected)
    scores, maps = model.scores_and_maps(x)
    assert close(maps, expected) and close(scores.final, finals(model, x))
    blurred = model.anomaly_map(x, blur=3)
    assert blurred.shape == expected.shape and blurred.std() < expected.std()


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_scores_are_near_those_of_float32(kind, fitted, screws):
    """The tolerance: a fifth of the deviation between images, in root mean square; the same fit seen in both."""
    torch.manual_seed(0)
    x = screws[2].float() / 255
    mixed = torch.cat([x, defects.damage(x, "paste")[0]])
    exact = fitted(kind)
    coarse = type(exact)(**{**exact.get_params(), "precision": "bfloat16"})
    coarse.image_shape_ = exact.image_shape_
    coarse._restore(exact._state())
    coarse.precision_ = "bfloat16"
    one, other = finals(coarse, mixed), finals(exact, mixed)
    assert 0 < np.sqrt(np.mean((one - other) ** 2)) < 0.2 * other.std()


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_image_scores_as_one_of_three_equal_channels(kind, screws):
    learn, calibration, new = (part[:, :1] for part in screws)
    grey = KINDS[kind](seed=3).fit(learn, calibration=calibration)
    colour = KINDS[kind](seed=3).fit(
        *[learn.expand(-1, 3, -1, -1)], calibration=calibration.repeat(1, 3, 1, 1)
    )
    assert close(finals(colour, new.repeat(1, 3, 1, 1)), finals(grey, new))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_scores(kind, fitted, screws, tmp_path):
    model = fitted(kind)
    model.save(tmp_path / "m.safetensors")
    again = Detector.load(tmp_path / "m.safetensors")
    assert type(again) is type(model) and again.get_params() == model.get_params()
    assert np.allclose(finals(again, screws[2]), finals(model, screws[2]), rtol=1e-6)
    assert np.allclose(again.p_values(screws[2]), model.p_values(screws[2]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_other_weights_is_refused(kind, fitted, tmp_path, monkeypatch):
    fitted(kind).save(tmp_path / "m.safetensors")
    monkeypatch.setattr(load_backbone(DEFAULT), "fingerprint", "0123456789abcdef")
    with pytest.raises(DataError, match=f"fitted with other weights of {DEFAULT}.*fit it again"):
        Detector.load(tmp_path / "m.safetensors")


PLAYERS = {
    kind.__name__: kind for kind in (FeatureAGAD, FeatureLRGDAN, FeatureADeGAN)
}  # they train on whole images


@pytest.mark.parametrize("kind", [*KINDS, *PLAYERS])
def test_images_of_two_channels_and_unknown_networks_are_refused(kind, screws):
    make = KINDS.get(kind) or functools.partial(PLAYERS[kind], device="cpu", precision="float32", steps=2)
    two = screws[0][:, :1].repeat(1, 2, 1, 1)
    with pytest.raises(DataError, match="the backbone sees 1 or 3 channels, got 2"):
        make().fit(two)
    unknown = make()
    unknown.set_params(
        **{"features" if "features" in unknown.get_params() else "backbone": "efficientnet_lite9"}
    )
    with pytest.raises(DataError, match="unknown backbone 'efficientnet_lite9'"):
        unknown.fit(screws[0])


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("patchcore", {"side": 16}, "side must"),
        ("patchcore", {"levels": ()}, "levels must name"),
        ("patchcore", {"coreset": 0}, "coreset"),
        ("patchcore", {"coreset": 1.5}, "coreset"),
        ("patchcore", {"precision": "float16"}, "precision must be one of"),
        ("padim", {"shrinkage": 0.0}, "shrinkage"),
        ("feature_neighbours", {"n_neighbors": 0}, "n_neighbors"),
        ("feature_neighbours", {"n_neighbors": 33}, "n_neighbors must lie between 1 and the 32 images"),
        ("feature_dualad", {"fusion": "sum"}, "fusion must be one of"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(kind, parameters, words, screws):
    with pytest.raises(DataError, match=words):
        KINDS[kind](**parameters).fit(screws[0], calibration=screws[1])


def test_side_sets_what_the_network_sees(screws, monkeypatch):
    seen = []
    own = PatchCore._features
    monkeypatch.setattr(
        PatchCore, "_features", lambda self, x: (seen.append(tuple(x.shape[2:])), own(self, x))[1]
    )
    for side, expected in ((None, (64, 128)), (96, (48, 96)), (64, (32, 64))):
        seen.clear()
        PatchCore(side=side, device="cpu").fit(screws[0], calibration=screws[1])
        assert set(seen) == {expected}
    seen.clear()
    small = screws[0][..., :40]  # longer side 64: enlarged
    PatchCore(device="cpu").fit(small, calibration=small[::4])
    assert set(seen) == {(224, 140)}


def test_features_of_a_place_are_means_over_its_neighbourhood_at_the_border_too():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    for padded, corner in ((True, x[0, 0, :2, :2].sum() / 9), (False, x[0, 0, :2, :2].mean())):
        found = smooth(x, padded)
        assert found[0, 0, 1, 1] == x[0, 0, :3, :3].mean()
        assert torch.isclose(found[0, 0, 0, 0], corner)
    assert PatchCore.padded and PaDiM.padded and not FeatureDualAD.padded, (
        "as in the papers; as chosen for DualAD"
    )


def test_an_image_scores_the_mean_of_its_highest_hundredth():
    maps = torch.zeros(2, 20, 20)
    maps[0, 3, 4], maps[1, :2, :2] = 8.0, torch.tensor([[4.0, 3.0], [2.0, 1.0]])
    assert top_mean(maps).tolist() == [2.0, 2.5]
    assert top_mean(maps[:, :5, :5]).tolist() == [8.0, 4.0]  # at least one place


# --- each beside the slow way


def test_patchcore_is_the_distance_to_the_nearest_patch_when_the_coreset_is_all(screws):
    model = PatchCore(coreset=1.0, device="cpu").fit(screws[0], calibration=screws[1])
    with torch.no_grad():
        patches, new = (
            model._features(model._seen(x)).flatten(2).transpose(1, 2) for x in (screws[0], screws[2][:1])
        )
    expected = torch.cdist(new[0].double(), patches.flatten(0, 1).double()).min(1).values
    places = model._places(model._features(model._seen(screws[2][:1])))["latent"]
    assert places.shape == (1, 8, 16)
    assert torch.allclose(places.flatten().double(), expected, rtol=1e-4, atol=1e-5)
    assert np.isclose(finals(model, screws[2][:1])[0], expected.max(), rtol=1e-4)  # 1 % of 128 places: one


@pytest.mark.parametrize("coreset", [0.01, 0.1])
def test_the_coreset_is_a_share_of_all_patches(coreset, screws):
    model = PatchCore(coreset=coreset, device="cpu").fit(screws[0], calibration=screws[1])
    assert len(model.bank_) == round(coreset * 32 * 8 * 16)


@pytest.mark.parametrize("kind", ["scar", "paste"])
def test_patchcore_finds_a_drawn_defect_at_its_place(kind, fitted, screws):
    torch.manual_seed(1)
    sound = screws[2].float() / 255
    damaged, masks = defects.damage(sound, kind)
    shown = (
        masks.flatten(1).sum(1) >= 12
    ).numpy()  # those of a few pixels, or beside the frame, do not count
    assert shown.sum() >= 4
    maps = fitted("patchcore").anomaly_map(damaged) - fitted("patchcore").anomaly_map(sound)
    near = (
        torch.nn.functional.max_pool2d(masks[:, None].float(), 17, 1, 8)[:, 0].numpy() > 0
    )  # a place is 8 pixels
    highest = maps.reshape(8, -1).argmax(1)
    inside = near.reshape(8, -1)[np.arange(8), highest]
    assert inside[shown].mean() >= 0.75


def test_a_black_spot_is_where_the_heat_map_is_highest(fitted, screws):
    x = screws[2].clone()
    x[:, :, 20:36, 40:60] = 0
    maps = fitted("patchcore").anomaly_map(x)
    rows, columns = np.unravel_index(maps.reshape(8, -1).argmax(1), (64, 128))
    assert ((rows >= 20) & (rows < 36) & (columns >= 40) & (columns < 60)).all()
    assert (finals(fitted("patchcore"), x) > finals(fitted("patchcore"), screws[2])).all()
    assert (fitted("patchcore").predict(x) == -1).all()


def test_padim_is_the_mahalanobis_distance_of_each_place(screws):
    model = PaDiM(components=6, shrinkage=0.02, device="cpu").fit(screws[0], calibration=screws[1])
    learned, new = (
        model._features(model._seen(x))[:, model.channels_].double().numpy() for x in (screws[0], screws[2])
    )
    found = model._places(model._features(model._seen(screws[2])))["latent"].numpy()
    assert found.shape == (8, 8, 16) and len(model.channels_) == 6
    for row, column in ((0, 0), (3, 7), (7, 15)):
        own, others = learned[:, :, row, column], new[:, :, row, column]
        inverse = np.linalg.inv(np.cov(own, rowvar=False) + 0.02 * np.eye(6))
        apart = others - own.mean(0)
        assert np.allclose(found[:, row, column], np.sqrt((apart @ inverse * apart).sum(1)), rtol=1e-3)


def test_padim_does_not_depend_on_how_training_images_are_cut(screws, fitted, monkeypatch):
    expected = finals(fitted("padim"), screws[2])
    monkeypatch.setattr(shared, "PIXELS", 5 * 64 * 128)
    assert close(finals(KINDS["padim"]().fit(screws[0], calibration=screws[1]), screws[2]), expected)


@pytest.mark.parametrize("k", [1, 3])
def test_feature_neighbours_is_the_cosine_search_of_scikit_learn(k, fitted, screws):
    model = fitted("feature_neighbours", n_neighbors=k)
    with torch.no_grad():
        bank, new = (
            load_backbone()(x.float() / 255)[0].mean((2, 3)).double().numpy() for x in (screws[0], screws[2])
        )
    expected = NearestNeighbors(n_neighbors=k, metric="cosine").fit(bank).kneighbors(new)[0].mean(1)
    assert np.allclose(finals(model, screws[2]), expected, rtol=1e-2, atol=1e-5)


# --- DualAD on features


def test_dualad_with_features_is_one_on_features_and_without_the_old_one(screws):
    assert type(DualAD(features=DEFAULT)) is FeatureDualAD
    assert type(DualAD()) is type(DualAD(features="none")) is type(DualAD(features=None)) is DualAD
    x, new = screws[0][..., :32], screws[2][..., :32]
    tiny = {"width": 4, "latent_dim": 4, "steps": 3, "batch_size": 8, "device": "cpu"}
    one, other = DualAD(**tiny).fit(x), DualAD(features="none", **tiny).fit(x)
    assert np.array_equal(finals(one, new), finals(other, new)) and hasattr(other, "reconstruct")


SWITCHES = {
    "image_discriminator": ({"D"}, set()),
    "feature_constraint": ({"sphere", "C"}, {"critic"}),
    "hypersphere": ({"sphere"}, set()),
    "critic": ({"C"}, {"critic"}),
    "mutual_information": ({"T_g", "T_l"}, set()),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_removes_its_part(switch, fitted, screws):
    parts, scores = SWITCHES[switch]
    whole, without = fitted("feature_dualad"), fitted("feature_dualad", **{switch: False})
    assert set(whole.parts_) == {"G", "D", "sphere", "C", "T_g", "T_l"}
    assert set(without.parts_) == set(whole.parts_) - parts
    assert set(whole.fusion_.weights) == {"pixel", "neighbours", "critic"}
    assert set(without.fusion_.weights) == set(whole.fusion_.weights) - scores
    assert not np.array_equal(finals(without, screws[2]), finals(whole, screws[2]))


def test_it_restores_features_and_no_images(fitted, screws):
    model = fitted("feature_dualad")
    assert not hasattr(model, "reconstruct") and not hasattr(model, "encode")


def test_clones_and_parameters(fitted):
    model = clone(fitted("feature_dualad"))
    assert type(model) is FeatureDualAD and model.get_params() == fitted("feature_dualad").get_params()
    assert not model.__sklearn_is_fitted__()
    assert clone(DualAD(features=DEFAULT, steps=7)).get_params()["steps"] == 7
    model.set_params(steps=3, features="efficientnet_lite1")
    assert model.steps == 3 and model.backbone == "efficientnet_lite1"
    with pytest.raises(ValueError, match="views"):
        model.set_params(views="strong")  # of pixels alone


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_scores(screws, tmp_path):
    parameters = {**QUICK, "steps": 130, "view": "places"}
    whole = FeatureDualAD(**parameters).fit(screws[0], calibration=screws[1])
    steps = []

    def stop(step):
        steps.append(step)
        if len(steps) == 110:
            raise KeyboardInterrupt

    path = tmp_path / "training.pt"
    with pytest.raises(KeyboardInterrupt):
        FeatureDualAD(**parameters).fit(screws[0], calibration=screws[1], checkpoint=path, after_step=stop)
    assert path.exists()
    resumed, steps = FeatureDualAD(**parameters), []
    resumed.fit(screws[0], calibration=screws[1], checkpoint=path, after_step=steps.append)
    assert len(steps) == 30  # the first hundred were kept
    assert np.array_equal(finals(resumed, screws[2]), finals(whole, screws[2]))


def test_a_whole_view_has_scores_and_no_heat_map(fitted, screws):
    model = fitted("whole")
    assert set(model.fusion_.weights) == {"pixel", "neighbours", "mahalanobis", "critic"}
    for kind in ("whole", "feature_neighbours"):
        with pytest.raises(DataError, match="whole images, so it has no heat maps"):
            fitted(kind).anomaly_map(screws[2])


@pytest.mark.parametrize("kind", ["whole", "feature_neighbours"])
def test_what_has_no_heat_map_has_none_beside_its_scores(kind, fitted, screws):
    with pytest.raises(DataError, match="no heat maps"):
        fitted(kind).scores_and_maps(screws[2])


def test_small_images_are_seen_whole_unless_asked_otherwise(screws):
    for side, view, whole in (
        (96, "auto", True),
        (128, "auto", False),
        (96, "places", False),
        (128, "whole", True),
    ):
        model = FeatureDualAD(view=view)
        model.image_shape_ = (1, 64, side)
        assert model._whole is whole
    with pytest.raises(DataError, match="view must be one of 'auto', 'places', 'whole'"):
        FeatureDualAD(view="object", device="cpu").fit(screws[0])


def test_damage_of_the_screws_is_told_from_sound_screws(screws):
    torch.manual_seed(2)
    model = FeatureDualAD(**{**QUICK, "width": 64, "steps": 100, "copies": 2}, view="places")
    model.fit(screws[0], calibration=screws[1])
    x = screws[2].float() / 255
    damaged = torch.cat([defects.damage(x, kind)[0] for kind in ("scar", "spot", "paste", "stain")])
    sound = np.tile(finals(model, x), 4)
    assert (finals(model, damaged) > sound).mean() > 0.7


def test_the_seed_is_all_that_a_fit_depends_on(screws):
    backbone._load.cache_clear()  # a network that is loaded in the middle of a fit
    torch.manual_seed(5)
    one = KINDS["feature_dualad"]().fit(screws[0], calibration=screws[1])
    torch.manual_seed(6)
    other = KINDS["feature_dualad"]().fit(screws[0], calibration=screws[1])
    assert np.array_equal(finals(one, screws[2]), finals(other, screws[2]))
