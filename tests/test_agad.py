"""AGAD: second reconstructions, labelled anomalies, restarts of D, and the flaw in its evaluation."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from dualad_lib import AGAD, DataError
from dualad_lib.detectors.agad import LABELLED, batch_statistics
from dualad_lib.training import Step

X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BLACK = torch.zeros(12, 1, 8, 8)
BOTH, LABELS = torch.cat([X, BLACK]), [0] * 40 + [1] * 12
TINY = {"width": 4, "latent_dim": 6, "steps": 4, "batch_size": 16, "device": "cpu"}


def terms(model, x=X[:10]):
    turns, _ = model._game()
    model.parts_.train()
    return turns[0].loss(Step(0, 0.0, {"train": x}))


@pytest.mark.parametrize("generator", ["plain", "unet", "unet++"])
def test_every_generator(generator):
    model = AGAD(generator=generator, **TINY).fit(X)
    assert model.reconstruct(X[:3]).shape == (3, 1, 8, 8)
    assert set(model.history_) == {"adversarial", "context", "latent", "adcon", "discriminator", "restarts"}


def test_the_second_reconstruction_is_driven_away():
    away = terms(AGAD(w_adcon=1.0, **TINY).fit(X))["adcon"]
    assert -1 <= away.item() < 0
    assert terms(AGAD(w_adcon=0.0, **TINY).fit(X))["adcon"].item() == 0


def test_no_labelled_terms_without_labels():
    assert not any(name.startswith("anomalous") for name in terms(AGAD(**TINY).fit(X)))


def test_errors_on_labelled_anomalies_are_driven_up():
    model = AGAD(w_con=1.0, mixed=False, **TINY).fit(BOTH, labels=LABELS)
    found = terms(model)
    assert {"anomalous_adversarial", "anomalous_context", "anomalous_latent"} <= set(found)
    with torch.no_grad():
        model.parts_.train()
        error = (model._generate(BLACK[:1].expand(LABELLED, -1, -1, -1)) - 0).abs().mean()
    assert found["anomalous_context"].item() == pytest.approx(1 / (error.item() + 1e-3), rel=1e-3)


def test_labelled_anomalies_score_higher_for_it():
    without = AGAD(**{**TINY, "steps": 60, "seed": 1}, w_adcon=0.1).fit(X)
    told = AGAD(**{**TINY, "steps": 60, "seed": 1}, w_adcon=0.1).fit(BOTH, labels=LABELS)
    assert told.anomaly_scores(BLACK).final.mean() > 1.5 * without.anomaly_scores(BLACK).final.mean()


@pytest.mark.parametrize("labels", [[0] * 5, [0] * 50 + [2, 1], [0] * 52, [1] * 52])
def test_labels_that_say_nothing_are_refused(labels):
    with pytest.raises(DataError, match="labels"):
        AGAD(**TINY).fit(BOTH, labels=labels)


@pytest.mark.parametrize("labels", [["good"] * 52, [[0]] * 51 + [[0, 1]]])
def test_labels_that_are_no_numbers_are_refused(labels):
    with pytest.raises(DataError, match="one 0 .normal. or 1 .anomalous. for each"):
        AGAD(**TINY).fit(BOTH, labels=labels)


def test_a_discriminator_that_has_won_starts_anew():
    calm = AGAD(restart_below=0.0, **TINY).fit(X)
    restless = AGAD(restart_below=100.0, **TINY).fit(X)
    assert sum(calm.history_["restarts"]) == 0
    assert restless.history_["restarts"] == [1.0] * 4
    turns, _ = restless._game()
    D, step = restless.parts_["D"], Step(0, 0.0, {"train": restless._images(X[:10])})
    before = [weight.clone() for weight in D.parameters()]
    for turn in turns:
        turn.loss(step)
    assert not any(torch.equal(a, b) for a, b in zip(before, D.parameters(), strict=True))


def test_batch_statistics_make_scores_depend_on_company_and_leave_no_trace():
    model = AGAD(**{**TINY, "steps": 20}).fit(X)
    before = model.anomaly_scores(X).final
    with batch_statistics(model):
        alone, together = model.anomaly_scores(X[:4]).final, model.anomaly_scores(X).final[:4]
    assert not np.allclose(alone, together)
    assert np.array_equal(model.anomaly_scores(X).final, before)


def test_a_checkpoint_knows_the_anomalies(tmp_path):
    from dualad_lib.training import TrainingError

    AGAD(**TINY).fit(BOTH, labels=LABELS, checkpoint=tmp_path / "c.pt")
    AGAD(**TINY).fit(BOTH, labels=LABELS, checkpoint=tmp_path / "c.pt")
    with pytest.raises(TrainingError, match="another training"):
        AGAD(**TINY).fit(torch.cat([X, 1 - BLACK]), labels=LABELS, checkpoint=tmp_path / "c.pt")


def test_with_batches_apart_eval_mode_has_the_statistics_of_normal_images_alone():
    """Normal images are black, anomalies white: the first layer's average is that of black ones."""
    black, white = torch.zeros(30, 1, 8, 8), torch.ones(30, 1, 8, 8)
    images, labels = torch.cat([black, white]), torch.arange(60) >= 30
    model = AGAD(mixed=False, **{**TINY, "learning_rate": 0.0, "steps": 30}).fit(images, labels=labels)
    first = next(m for m in model.parts_["G"].modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert first.running_mean.abs().max() == 0
    assert first.momentum == 0.1


def test_mixed_batches_hide_which_kind_an_image_is():
    """Apart, the network sees a batch of white images as it sees one of black ones; mixed, they stay apart."""
    black, white = torch.zeros(30, 1, 8, 8), torch.ones(30, 1, 8, 8)
    for mixed in (False, True):
        model = AGAD(mixed=mixed, **TINY).fit(torch.cat([black, white]), labels=torch.arange(60) >= 30)
        first = next(m for m in model.parts_["G"].modules() if isinstance(m, torch.nn.BatchNorm2d))
        model.parts_.train()
        with hooked(first) as seen, torch.no_grad():
            ours, theirs = model._both(black[:8], white[:8])
        assert len(ours) == 8 and (theirs is not None and len(theirs) == 8) == mixed
        middle = seen[0][..., 2:-2, 2:-2]  # away from the border
        assert (middle.std(0).max() > 0.5) == mixed


@contextmanager
def hooked(module):
    """A list of the module's outputs inside."""
    seen = []
    handle = module.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    yield seen
    handle.remove()
