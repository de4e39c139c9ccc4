"""ADe-GAN rebuilt: patterns of real images, what is made within and between them, its score."""

import numpy as np
import pytest
import torch

from dualad_lib import FeatureADeGAN, RebuiltADeGAN
from dualad_lib.evaluation import auroc
from dualad_lib.neighbours import Bank, nearest_mixture
from dualad_lib.training import Step

TINY = {"width": 4, "latent_dim": 6, "patterns": 3, "steps": 5, "batch_size": 16, "device": "cpu"}
X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def bars(n, seed):
    """Noisy images of three patterns, a horizontal bar, a vertical one, and both; and which it is."""
    random = np.random.default_rng(seed)
    x, kind = random.uniform(0, 0.3, (n, 1, 12, 12)).astype(np.float32), random.integers(3, size=n)
    for image, k, place in zip(x, kind, random.integers(4, 6, size=n), strict=True):
        if k != 1:
            image[0, place : place + 3] += 0.7
        if k != 0:
            image[0, :, place : place + 3] += 0.7
    return torch.from_numpy(x.clip(0, 1)), kind


def game(**changed):
    model = RebuiltADeGAN(**{**TINY, **changed}).fit(X)
    model._seen = X
    model.parts_.train()
    return model, model._game()[0][0].loss


def test_patterns_begin_after_their_share_of_the_training():
    history = RebuiltADeGAN(**{**TINY, "steps": 10, "starts": 0.4}).fit(X).history_
    assert len(history["views"]) == 10 and len(history["pattern"]) == len(history["between"]) == 6


def test_the_interpolations_are_switches():
    assert "between" not in RebuiltADeGAN(**TINY, between=False).fit(X).history_
    apart, alone = (game(within=within, between=False, w_pattern=0.0) for within in (True, False))
    step = Step(4, 0.9, {"train": X[:12]})
    found = []
    for model, loss in (apart, alone):
        model.parts_.load_state_dict(apart[0].parts_.state_dict())
        torch.manual_seed(0)
        found.append(loss(step)["views"].item())
    assert found[0] < found[1]  # fewer images to be told from


def test_what_is_mixed_lies_between_two_codes_of_different_patterns():
    model, _ = game()
    z = torch.nn.functional.normalize(torch.randn(20, 6), dim=1)
    of = torch.arange(20) % 3
    mixed = model._mixed(z, of)
    assert mixed.shape == (10, 6) and torch.allclose(mixed.norm(dim=1), torch.ones(10))
    for code in mixed:
        residues = [
            torch.linalg.lstsq(torch.stack([z[i], z[j]], 1), code[:, None]).solution.flatten()
            for i in range(20)
            for j in range(i)
            if of[i] != of[j]
        ]
        pairs = [(i, j) for i in range(20) for j in range(i) if of[i] != of[j]]
        exact = [
            w
            for w, (i, j) in zip(residues, pairs, strict=True)
            if torch.allclose(w[0] * z[i] + w[1] * z[j], code, atol=1e-5)
        ]
        assert exact and all((w > 0).all() for w in exact[:1])
    assert not len(model._mixed(z, torch.zeros(20, dtype=torch.long)))  # of one pattern alone: nothing


def test_a_training_in_which_all_is_one_pattern_goes_on():
    assert np.isfinite(
        RebuiltADeGAN(**{**TINY, "patterns": 2, "batch_size": 2}).fit(X).history_["views"]
    ).all()


def test_more_patterns_than_images():
    probabilities, z = RebuiltADeGAN(**{**TINY, "patterns": 60}).fit(X).extract(X[:4])
    assert probabilities.shape == (4, 60) and torch.allclose(probabilities.sum(1), torch.ones(4))
    assert z.shape == (4, 6) and torch.allclose(z.norm(dim=1), torch.ones(4), atol=1e-5)


def test_an_image_is_drawn_from_images_of_the_pattern_that_is_named():
    model = RebuiltADeGAN(**TINY, drawn_with=4).fit(X)
    drawn = model.reconstruct(X[:6])
    assert drawn.shape == (6, 1, 8, 8) and drawn.min() >= 0 and drawn.max() <= 1
    x = X[:6]
    named = model.extract(x)[0].argmax(1)
    drawn = model._draw(x, model._codes(x)).flatten(1)
    for image, pattern in zip(drawn, named, strict=True):
        own, rest = (
            model.drawn_from_[chosen].flatten(1) for chosen in (model.of_ == pattern, model.of_ != pattern)
        )
        for images, wanted in ((own, True), (rest, False)):
            if 1 < len(images) < 60:
                apart = (images[1:] - images[0]).T
                left = image - images[0]
                left = left - apart @ torch.linalg.lstsq(apart, left[:, None]).solution[:, 0]
                assert (left.norm() < 1e-3) == wanted


def test_drawn_from_any_is_drawn_from_all():
    model = RebuiltADeGAN(**TINY, one_pattern=False).fit(X)
    assert (model.of_ == 0).all()
    all_of_them = model.drawn_from_.flatten(1)
    _, ten = Bank(all_of_them).nearest(X.flatten(1), 10)
    drawn = nearest_mixture(X.flatten(1), all_of_them[ten]).view_as(X).clamp(0, 1)
    assert torch.allclose(model.reconstruct(X), drawn, atol=1e-5)


def test_an_empty_pattern_is_never_named():
    model = RebuiltADeGAN(**{**TINY, "patterns": 60}).fit(X)
    empty = torch.bincount(model.of_, minlength=60) == 0
    assert empty.any()
    with torch.no_grad():
        pointing = torch.nn.functional.normalize(model.parts_["E"].directions[empty][:1], dim=1)
    assert torch.isfinite(model._draw(X[:1], pointing)).all()


def test_a_file_keeps_bank_and_scales(tmp_path):
    model = RebuiltADeGAN(**TINY).fit(X)
    model.save(tmp_path / "m.safetensors")
    again = RebuiltADeGAN.load(tmp_path / "m.safetensors")
    assert np.allclose(again.anomaly_scores(X).dual, model.anomaly_scores(X).dual)
    for name in ("pixel", "latent"):
        assert np.allclose(getattr(again.anomaly_scores(X), name), getattr(model.anomaly_scores(X), name))


# ------------------------------------------------------------------------------------------------ on features

SEEN = {
    "side": 64,
    "precision": "float32",
    "width": 16,
    "latent_dim": 6,
    "patterns": 3,
    "steps": 10,
    "device": "cpu",
}


def test_on_features_a_feature_is_drawn_from_features_of_its_pattern(tmp_path):
    model = FeatureADeGAN(**SEEN, drawn_with=4).fit(X)
    features = model._pooled(X)
    assert set(model.history_) == {"views", "pattern", "between"}
    drawn, of = model._draw(features, model._codes(features)), model._named(model._codes(features))
    assert drawn.shape == features.shape
    for pattern in of.unique():
        own = model.drawn_from_[model.of_ == pattern]
        rows = of == pattern
        _, four = Bank(own).nearest(features[rows], min(4, len(own)))
        assert torch.allclose(drawn[rows], nearest_mixture(features[rows], own[four]), atol=1e-5)
    scores = model.anomaly_scores(X[:5])
    assert np.allclose(scores.pixel, (features - drawn)[:5].square().mean(1), rtol=1e-3)
    model.save(tmp_path / "m.safetensors")
    again = FeatureADeGAN.load(tmp_path / "m.safetensors").anomaly_scores(X[:5])
    for name in ("pixel", "latent", "dual"):
        assert np.allclose(getattr(again, name), getattr(scores, name))


def test_on_features_a_view_is_noise_in_deviations_of_each_channel():
    model = FeatureADeGAN(**SEEN, pretext=0.5).fit(X)
    deviation = model.parts_["E"].encoder.deviation
    torch.manual_seed(0)
    x = torch.zeros(4000, len(deviation))
    assert torch.allclose(model._view(x).std(0) / deviation, torch.full_like(deviation, 0.5), rtol=0.1)


@pytest.mark.slow
def test_it_finds_the_patterns_of_real_images_and_what_has_none():
    x, kind = bars(600, 0)
    settings = {"width": 8, "latent_dim": 16, "patterns": 9, "batch_size": 48, "steps": 120, "device": "cpu"}
    model = RebuiltADeGAN(**settings).fit(x)
    found = model.extract(x)[0].argmax(1).numpy()
    counts = np.array([[(found[kind == k] == c).sum() for c in range(9)] for k in range(3)])
    assert counts.max(0).sum() > 0.9 * len(x)
    test, _ = bars(100, 1)
    other = torch.rand(100, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    scores = model.anomaly_scores(torch.cat([test, other]))
    for values in (scores.pixel, scores.latent, scores.dual):
        assert auroc(np.repeat([0, 1], 100), values) > 0.95
