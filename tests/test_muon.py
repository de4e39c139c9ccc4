"""Muon: orthogonal updates, kernels that keep their length, and that it learns."""

import pytest
import torch

from dualad_lib.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_an_orthogonal_matrix_has_the_singular_vectors_and_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrix, rounds=5)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ found @ v.T  # diagonal where the singular vectors are the same
    assert torch.allclose(inside, torch.diag(inside.diagonal()), atol=1e-4)


def test_no_gradient_moves_nothing_but_the_length():
    kernel = torch.nn.Parameter(torch.randn(4, 3, 3, 3))
    before = kernel.detach().clone()
    optimiser = Muon([kernel])
    optimiser.step()
    assert torch.equal(kernel, before)
    kernel.grad = torch.zeros_like(kernel)
    optimiser.step()
    assert kernel.norm().item() == pytest.approx(2.0)
    assert torch.allclose(kernel / kernel.norm(), before / before.norm(), atol=1e-6)


def test_a_step_goes_against_the_gradient_equally_far_in_every_direction():
    kernel = torch.nn.Parameter(torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)))
    gradient = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    kernel.grad = gradient
    start = kernel.detach() * 2 / kernel.detach().norm()
    Muon([kernel], lr=0.1).step()
    moved = start - kernel.detach()
    assert (moved * gradient).sum() > 0
    values = torch.linalg.svdvals(moved.flatten(1) / 0.1)
    assert values.min() > 0.3 and values.max() < 1.3


def test_kernels_in_channels_last_learn_as_any_others():
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=layout)
        optimiser = Muon(conv.parameters() if conv.bias is None else [conv.weight], lr=0.05)
        x = torch.rand(8, 3, 6, 6).to(memory_format=layout)
        for _ in range(5):
            optimiser.zero_grad()
            conv(x).square().mean().backward()
            optimiser.step()
        found.append(conv.weight.detach().contiguous())
    assert torch.allclose(*found, atol=1e-5)


def test_it_goes_on_from_its_state():
    def run(steps, state=None):
        optimiser = Muon([kernel], lr=0.05)
        if state:
            optimiser.load_state_dict(state)
        for _ in range(steps):
            kernel.grad = (kernel.detach() - target).detach()
            optimiser.step()
        return optimiser.state_dict()

    start, target = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    kernel = torch.nn.Parameter(start.clone())
    run(6)
    whole = kernel.detach().clone()
    kernel = torch.nn.Parameter(start.clone())
    run(3, run(3))
    assert torch.equal(kernel, whole)
