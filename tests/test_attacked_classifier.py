"""The attacked classifier, the simple ways to see an attack, and the study that measures detectors on it."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dualad_lib import PCA, Autoencoder, DataError
from dualad_lib.adversarial.attacks import bim
from dualad_lib.adversarial.classifier import (
    EVERY,
    MAIN,
    STRENGTHS,
    adaptive,
    differentiable_score,
    load_attacked,
    train_classifier,
)
from dualad_lib.adversarial.detectors import (
    AttackDetector,
    classify,
    feature_squeezing,
    max_softmax_probability,
    median,
    roughness,
)
from dualad_lib.data import load_labelled
from dualad_lib.detectors import LRGDAN
from dualad_lib.experiments import attacked, world_tables
from dualad_lib.experiments.results import COLUMNS
from dualad_lib.networks import ConvClassifier

SMALL = {"epochs": 8, "width": 6, "boundary_steps": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("attacked")


@pytest.fixture(scope="module")
def target(folder):
    return load_attacked("digits", 3, folder, **SMALL)


def test_the_classifier_learns_and_the_same_seed_gives_the_same(target):
    data = load_labelled("digits")
    right = classify(target.classifier, data.held.images).argmax(1) == data.held.labels
    assert right.float().mean() > 0.9
    a, b = (train_classifier(data.train.images[:80], data.train.labels[:80], 10, 1, 4) for _ in range(2))
    assert torch.equal(classify(a, data.held.images), classify(b, data.held.images))
    assert not any(p.requires_grad for p in a.parameters()) and not a.training


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28)])
def test_logits_of_any_image(shape):
    net = ConvClassifier(shape, 7, width=4).eval()
    assert net(torch.rand(2, *shape)).shape == (2, 7)


def test_attacked_images_are_versions_of_the_rightly_named_and_inside_their_bounds(target):
    assert (classify(target.classifier, target.x).argmax(1) == 3).all()
    assert len(target.x) <= len(target.clean) and target.clean.dtype == torch.uint8
    for (attack, eps), images in target.adversarial.items():
        assert images.shape == (target.x if eps else target.x[::EVERY]).shape
        assert images.min() >= 0 and images.max() <= 1
        if eps is not None:
            assert (images - target.x).abs().max() <= eps / 255 + 1e-6, attack
    lost = [int(target.fooled(target.adversarial["bim", eps]).sum()) for eps in STRENGTHS]
    assert lost == sorted(lost) and lost[-1] > 0


def test_a_kept_classifier_is_found_again_and_trained_once(target, folder, monkeypatch):
    monkeypatch.setattr("dualad_lib.adversarial.classifier.train_classifier", None)
    again = load_attacked("digits", 3, folder, **SMALL)
    assert torch.equal(classify(again.classifier, target.x), classify(target.classifier, target.x))
    assert again.adversarial.keys() == target.adversarial.keys()
    assert not list(folder.glob("*.tmp*"))


def test_a_damaged_one_is_made_again(target, folder, tmp_path, monkeypatch):
    (kept,) = folder.glob("digits-3-*.safetensors")
    monkeypatch.setattr(
        "dualad_lib.adversarial.classifier._attacked", lambda *rest, **options: load_file(kept)
    )
    copy = tmp_path / kept.name
    for content in (b"", kept.read_bytes()[:-100]):
        copy.write_bytes(content)
        with pytest.warns(UserWarning, match="is damaged .* and is made again"):
            assert torch.equal(load_attacked("digits", 3, tmp_path, **SMALL).x, target.x)
        assert copy.stat().st_size == kept.stat().st_size


def test_a_class_that_is_not_there_is_named(folder):
    with pytest.raises(DataError, match="classes 0 to 9, not 14"):
        load_attacked("digits", 14, folder)


def test_roughness_is_zero_of_a_flat_image_and_known_of_a_checkerboard():
    flat = torch.full((1, 1, 9, 9), 0.4)
    assert roughness(flat).item() == pytest.approx(0, abs=1e-6)
    board = (torch.arange(9)[:, None] + torch.arange(9)) % 2 * 1.0
    inside = 4 / 9  # a pixel and its neighbourhood: five of its kind, four of the other
    assert roughness(board[None, None]).item() == pytest.approx(inside, abs=1e-6)


def test_median_takes_out_a_single_pixel():
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 1
    assert median(x).abs().max() == 0 and median(torch.ones(1, 3, 4, 4)).min() == 1


def test_doubt_and_squeezing_of_known_probabilities():
    def classifier(x):
        bright = x.flatten(1).amax(1)
        return torch.stack([bright.clamp_min(1e-9).log(), (1 - bright).clamp_min(1e-9).log()], 1)

    x = torch.full((1, 1, 4, 4), 0.2)
    assert max_softmax_probability(classifier, x).item() == pytest.approx(0.2)
    assert feature_squeezing(classifier, x).item() == pytest.approx(0, abs=1e-6)
    x[..., 1, 1] = 0.9
    assert feature_squeezing(classifier, x).item() == pytest.approx(2 * 0.7, abs=1e-5)


def test_a_suspicion_is_a_detector(target):
    model = AttackDetector("max_softmax_probability", target.classifier).fit(
        target.train, calibration=target.held
    )
    alarms = model.predict(target.clean) == -1
    assert alarms.mean() < 0.3
    with pytest.raises(DataError, match="score must be one of"):
        AttackDetector("luck").fit(target.train)
    with pytest.raises(DataError, match="give classifier="):
        AttackDetector("feature_squeezing").fit(target.train)


@pytest.mark.parametrize("kind", [Autoencoder, LRGDAN])
def test_the_score_with_a_gradient_is_the_detectors_own(target, kind):
    model = kind(width=4, steps=4, batch_size=16).fit(target.train)
    score = differentiable_score(model)
    assert np.allclose(score(target.x).detach().numpy(), model.anomaly_scores(target.x).pixel, rtol=1e-4)
    x = target.x.clone().requires_grad_()
    assert torch.autograd.grad(score(x).sum(), x)[0].abs().sum() > 0
    if kind is LRGDAN:
        model.set_params(judged="code").recalibrate(target.held)
        assert differentiable_score(model) is None  # it goes by no picture


def test_an_adaptive_attack_is_less_conspicuous_than_a_blind_one(target):
    model = AttackDetector("roughness").fit(target.train)
    known = adaptive(model, target)
    ((attack, eps),) = known
    assert (attack, eps) == ("adaptive", MAIN) and MAIN in STRENGTHS
    assert (known["adaptive", eps] - target.x).abs().max() <= eps / 255 + 1e-6
    blind = bim(target.classifier, target.x, target.y, eps / 255)
    assert roughness(known["adaptive", eps]).mean() < roughness(blind).mean()
    assert adaptive(PCA(n_components=2).fit(target.train), target) == {}
    sure = adaptive(AttackDetector("max_softmax_probability", target.classifier).fit(target.train), target)[
        "adaptive", eps
    ]
    assert (
        max_softmax_probability(target.classifier, sure).mean()
        <= max_softmax_probability(target.classifier, blind).mean() + 1e-6
    )


def test_a_cell_has_a_row_for_each_attack_that_succeeded(tmp_path, monkeypatch):
    monkeypatch.setattr(attacked, "TINY", SMALL)
    monkeypatch.setattr(attacked, "LEAST", 3)
    options = {"profile": "smoke", "output": tmp_path}
    rows = attacked.measure("pca", "digits", 3, command="made", **options)
    assert set(rows[0]) == set(COLUMNS) and rows[0]["setting"] == ""
    settings = [row["setting"] for row in rows]
    assert len(set(settings)) == len(settings) > 3 and any(";eps=16/255;fooled=" in s for s in settings)
    assert attacked.identify("pca", "digits", 3, **options).rows() == rows
    assert attacked.identify("pca", "digits", 3, seed=1, **options).rows() is None
    monkeypatch.setattr("dualad_lib.adversarial.classifier.train_classifier", None)
    more = attacked.measure("roughness", "digits", 3, **options)
    assert any(row["setting"].startswith("attack=adaptive;eps=8/255") for row in more)
    assert all(row["protocol"] == "one_vs_rest" and row["auroc"] is not None for row in more)


def test_tables_of_attacks_by_hand():
    def row(detector, setting, auroc, score="score"):
        return {"detector": detector, "setting": setting, "auroc": auroc, "score": score}

    rows = [
        row("pca", "", 0.7),
        row("pca", "attack=bim;eps=8/255;fooled=3/4", 0.5),
        row("pca", "attack=bim;eps=8/255;fooled=3/4", 0.6),  # another seed
        row("pca", "attack=bim;eps=2/255;fooled=1/4", 0.9),
        row("pca", "attack=boundary;fooled=2/2", 0.4),
        row("lrgdan", "parts=AE;attack=bim;eps=8/255;fooled=3/4", 0.8),
        row("dualad", "attack=bim;eps=8/255;fooled=3/4", 0.1, "pixel"),
        row("pca", "attack=adaptive;eps=8/255;fooled=0/4", 0.2),
    ]
    table = world_tables.attack_table(rows)
    assert list(table.columns) == ["bim", "boundary", "adaptive", "other classes"]
    assert table.loc["pca"].tolist() == pytest.approx([55, 40, 20, 70])
    assert list(table.index) == ["pca", "lrgdan, AE"] and table.loc["lrgdan, AE", "bim"] == pytest.approx(80)
    assert world_tables.lost(rows).to_dict() == {
        ("bim", "8/255"): 0.75,
        ("bim", "2/255"): 0.25,
        ("boundary", ""): 1,
    }
