"""Figures of merit against hand-worked examples and their definitions."""

import numpy as np
import pytest
import torch

from dualad_lib import DataError, evaluation
from dualad_lib.evaluation import (
    auroc,
    average_precision,
    equal_error_threshold,
    evaluate,
    fpr_at_tpr,
    hter,
    per_region_overlap,
    pixel_auroc,
)

LABELS = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.6, 0.5, 0.9])


def test_auroc_counts_pairs():
    # six pairs: 0.5 beats 0.1 and 0.4, loses to 0.6; 0.9 beats all three
    assert auroc(LABELS, SCORES) == pytest.approx(5 / 6)


def test_auroc_counts_ties_half():
    assert auroc([0, 1], [0.3, 0.3]) == pytest.approx(0.5)


def test_average_precision_by_hand():
    # ranked: 0.9 (anomaly), 0.6, 0.5 (anomaly): precision 1/1 and 2/3 at the two anomalies
    assert average_precision(LABELS, SCORES) == pytest.approx((1 + 2 / 3) / 2)


def test_fpr_at_tpr_by_hand():
    # all anomalies are found only from threshold 0.5 down; one of three normals (0.6) lies above
    assert fpr_at_tpr(LABELS, SCORES) == pytest.approx(1 / 3)
    assert fpr_at_tpr(LABELS, SCORES, tpr=0.5) == 0.0


def test_hter_by_hand():
    # threshold 0.55: one of three normals alarms, one of two anomalies is missed
    assert hter(LABELS, SCORES, 0.55) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert hter(LABELS, SCORES, 0.9) == pytest.approx((0 + 1) / 2)  # the threshold itself raises no alarm


def test_evaluate_holds_the_three_figures():
    assert set(evaluate(LABELS, SCORES)) == {"auroc", "average_precision", "fpr95"}


@pytest.mark.parametrize(
    ("labels", "scores", "word"),
    [
        ([0, 0], [1.0, 2.0], "both"),
        ([0, 2], [1.0, 2.0], "both"),
        ([0, 1, 1], [1.0, 2.0], "length"),
        ([0, 1], [1.0, np.nan], "NaN"),
    ],
)
def test_unusable_input_is_refused(labels, scores, word):
    with pytest.raises(DataError, match=word):
        auroc(labels, scores)


def squares():
    """Two images of 20 x 20: one large and one small region in the first, none in the second."""
    masks = np.zeros((2, 20, 20), bool)
    masks[0, :10, :10] = True
    masks[0, 15:17, 15:17] = True
    return masks


def test_a_perfect_map_has_full_overlap():
    masks = squares()
    assert per_region_overlap(masks, masks.astype(float)) == pytest.approx(1)
    assert pixel_auroc(masks, masks.astype(float)) == 1


def test_regions_count_the_same_however_small():
    masks = squares()
    maps = masks.astype(float)
    maps[0, 15:17, 15:17] = -1.0  # the small one is missed
    assert per_region_overlap(masks, maps) == pytest.approx(0.5, abs=0.01)
    assert pixel_auroc(masks, maps) > 0.95


def test_maps_that_say_nothing():
    masks = squares()
    maps = np.random.default_rng(0).random(masks.shape)
    assert per_region_overlap(masks, maps) == pytest.approx(0.15, abs=0.05)
    assert per_region_overlap(masks, np.zeros(masks.shape)) == pytest.approx(0.15, abs=0.01)


def test_overlap_by_hand():
    # pixels by falling value: region, background, region, background, background
    masks, maps = np.array([[[1, 0, 1, 0, 0]]], bool), np.array([[[0.9, 0.8, 0.7, 0.2, 0.1]]])
    # two regions of one pixel: at rate 0 one is found; the other only after the first false alarm, at rate 1/3
    assert per_region_overlap(masks, maps) == pytest.approx(0.5)
    assert per_region_overlap(masks, maps, limit=1.0) == pytest.approx(0.5 / 3 + 2 / 3)


def test_overlap_needs_both_kinds_of_pixels():
    with pytest.raises(DataError, match="marked and unmarked"):
        per_region_overlap(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)))


def test_equal_error_threshold_by_hand():
    # above 0.55: one of three normals (0.6) and one of two anomalies (0.9): errors 1/3 and 1/2; above 0.45: 1/3 and 0
    assert equal_error_threshold(LABELS, SCORES) == pytest.approx(0.55)
    assert 0.4 < equal_error_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9]) < 0.6
    assert hter([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], 0.5) == 0


def test_the_overlap_wants_maps_as_large_as_masks():
    masks = np.zeros((1, 4, 4), bool)
    masks[0, 0, 0] = True
    with pytest.raises(DataError, match="alike"):
        per_region_overlap(masks, np.zeros((1, 2, 2)))


Y, S = np.repeat([0, 1], [60, 30]), np.random.default_rng(0).normal(size=90)
MARKED = np.zeros((1, 4, 8), bool)
MARKED[0, 0, :4] = True


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evaluation.fpr_at_tpr(Y, S, 95), "tpr is a share"),
        (lambda: evaluation.fpr_at_tpr(Y, S, float("nan")), "tpr is a share"),
        (lambda: evaluation.hter(Y, S, float("nan")), "threshold must be a number"),
        (lambda: evaluation.per_region_overlap(MARKED, MARKED + 0.0, 30), "limit is a false-alarm rate"),
        (lambda: evaluation.per_region_overlap(MARKED, MARKED + np.nan), "maps hold NaN"),
        (lambda: evaluation.pixel_auroc(MARKED, (MARKED + 0.0).transpose(0, 2, 1)), "alike"),
        (lambda: evaluation.pixel_auroc(MARKED * 0.9, MARKED + 0.0), "masks must hold 0 and 1"),
        (lambda: evaluation.auroc(Y, np.ma.masked_less(S, 0)), "masked"),
        (lambda: evaluation.auroc([None, 1], [1, 2]), "labels must hold both"),
    ],
)
def test_what_would_give_a_wrong_figure_is_refused(call, words):
    with pytest.raises(DataError, match=words):
        call()


def test_tensors_with_a_gradient_are_measured():
    scores = torch.tensor(S, requires_grad=True)
    assert evaluation.auroc(torch.tensor(Y), scores) == evaluation.auroc(Y, S)
