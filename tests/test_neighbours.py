"""Banks of vectors beside the slow ways to the same answers."""

import numpy as np
import pytest
import torch

from dualad_lib import DataError, neighbours
from dualad_lib.neighbours import Bank, greedy_coreset, nearest_mixture


def cloud(n, d, seed=0, far=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + far


def brute(q, vectors, k):
    """Distances (n, k) and indices of the nearest, in float64, pair by pair."""
    q, vectors = q.double().numpy(), vectors.double().numpy()
    apart = np.sqrt(((q[:, None] - vectors[None]) ** 2).sum(-1))
    order = np.argsort(apart, 1, kind="stable")[:, :k]
    return np.take_along_axis(apart, order, 1), order


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("far", [0.0, 300.0])
def test_the_nearest_are_those_of_the_slow_search_also_far_from_the_origin(k, far):
    bank, q = cloud(40, 7, far=far), cloud(25, 7, 1, far)
    distances, index = Bank(bank).nearest(q, k)
    expected, order = brute(q, bank, k)
    assert distances.shape == index.shape == (25, k)
    assert np.allclose(distances, expected, rtol=1e-4)
    assert (index.numpy() == order).all()
    assert (distances.diff(dim=1) >= 0).all()


def test_the_nearest_are_those_of_cdist():
    bank, q = cloud(300, 20), cloud(50, 20, 1)
    expected = torch.cdist(q, bank, compute_mode="donot_use_mm_for_euclid_dist").topk(3, largest=False)
    distances, index = Bank(bank).nearest(q, 3)
    assert torch.allclose(distances, expected.values, rtol=1e-5)
    assert torch.equal(index, expected.indices)


def test_a_vector_of_the_bank_is_at_distance_nought_from_itself():
    bank = cloud(50, 9, far=1000.0)
    distances, index = Bank(bank).nearest(bank)
    assert (distances == 0).all() and torch.equal(index[:, 0], torch.arange(50))


def test_small_distances_far_from_the_origin_keep_their_digits():
    bank = cloud(30, 6, far=1000.0)
    q = bank + 0.01
    assert np.allclose(Bank(bank).nearest(q)[0], brute(q, bank, 1)[0], rtol=1e-3)


def test_distances_do_not_depend_on_how_queries_are_cut(monkeypatch):
    bank, q = Bank(cloud(64, 12)), cloud(100, 12, 1)
    whole = bank.nearest(q, 3)
    monkeypatch.setattr(neighbours, "CHUNK", 64 * 7)  # seven queries at once
    cut = bank.nearest(q, 3)
    assert torch.allclose(whole[0], cut[0], rtol=1e-6) and torch.equal(whole[1], cut[1])
    one_by_one = torch.cat([bank.nearest(row[None], 3)[0] for row in q])
    assert torch.allclose(whole[0], one_by_one, rtol=1e-5)


def test_half_precision_queries_and_vectors_are_taken_as_float32():
    bank, q = cloud(20, 5), cloud(8, 5, 1)
    found = Bank(bank.half()).nearest(q.bfloat16())[0]
    assert found.dtype == torch.float32
    assert np.allclose(found, brute(q.bfloat16(), bank.half(), 1)[0], rtol=1e-4)


@pytest.mark.parametrize("k", [0, 6, -1])
def test_more_neighbours_than_there_are_vectors_are_refused(k):
    with pytest.raises(DataError, match=f"{k} neighbours asked for, but the bank holds 5 vectors"):
        Bank(cloud(5, 3)).nearest(cloud(2, 3), k)


def test_spacing_is_the_mean_distance_to_the_nearest_others():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert Bank(line).spacing(1)[:, None].tolist() == [[1.0], [1.0], [2.0], [4.0]]
    assert Bank(line).spacing(2).tolist() == [2.0, 1.5, 2.5, 5.0]
    assert Bank(line).spacing(99).tolist() == Bank(line).spacing(3).tolist()  # no more than there are
    assert Bank(line[:1]).spacing(5).tolist() == [1.0]  # alone: a unit


# --- coresets


def k_centre(points, count, first):
    """The greedy algorithm, written out: the next centre is the point farthest from all centres so far."""
    chosen = [first]
    while len(chosen) < count:
        least = [min(np.linalg.norm(p - points[c]) for c in chosen) for p in points]
        chosen.append(int(np.argmax(least)))
    return chosen


def radius(points, chosen):
    """How far the point that is covered worst lies from its centre."""
    return torch.cdist(points.double(), points[chosen].double()).min(1).values.max().item()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_coreset_is_that_of_the_slow_algorithm(seed):
    points = cloud(60, 2, seed).double().float()
    chosen = greedy_coreset(points, 12, seed).tolist()
    assert chosen == k_centre(points.double().numpy(), 12, chosen[0])


def test_the_seed_draws_the_first():
    points = cloud(60, 2)
    assert greedy_coreset(points, 5, 3).tolist() == greedy_coreset(points, 5, 3).tolist()
    assert len({int(greedy_coreset(points, 1, seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize("dimensions", [2, 200])
def test_it_covers_better_than_a_random_choice(dimensions):
    """Also where it chooses in a random projection, of vectors that lie near a plane as features do."""
    basis = cloud(3, dimensions, 5)
    points = cloud(400, 3) ** 3 @ basis if dimensions > 64 else cloud(400, 2) ** 3
    own = radius(points, greedy_coreset(points, 20))
    generator = torch.Generator().manual_seed(0)
    chance = [radius(points, torch.randperm(len(points), generator=generator)[:20]) for _ in range(10)]
    assert own < 0.7 * min(chance)


def test_no_vector_is_chosen_twice_before_all_are():
    points = cloud(30, 4)
    assert sorted(greedy_coreset(points, 30).tolist()) == list(range(30))


@pytest.mark.parametrize("count", [0, 31])
def test_a_coreset_larger_than_the_set_is_refused(count):
    with pytest.raises(DataError, match=f"a coreset of {count} asked for, of 30 vectors"):
        greedy_coreset(cloud(30, 4), count)


def test_the_nearest_mixture_is_a_mixture_and_the_nearest():
    neighbours, x = cloud(4, 15).view(4, 3, 5), cloud(4, 5, seed=1)
    inside = 0.5 * neighbours[:, 0] + 0.8 * neighbours[:, 1] - 0.3 * neighbours[:, 2]
    assert torch.allclose(nearest_mixture(inside, neighbours, 0.0), inside, atol=1e-3)
    assert torch.allclose(nearest_mixture(x, neighbours, 1e6), neighbours.mean(1), atol=1e-4)  # equal weights
    moved = nearest_mixture(x + 7, neighbours + 7)
    assert torch.allclose(moved, nearest_mixture(x, neighbours) + 7, atol=1e-4)  # weights that sum to 1
    near = (x - nearest_mixture(x, neighbours, 0.0)).norm(dim=1)
    assert (near <= (x - neighbours.mean(1)).norm(dim=1) + 1e-5).all()
    alone = neighbours[:, :1]
    assert torch.allclose(nearest_mixture(x, alone), alone[:, 0])
