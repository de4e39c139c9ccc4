"""Checks of lesson 04: the right answer passes, each wrong one fails with a message that names its misconception."""

import math
import random

import numpy as np
import pytest
import torch
from checking import fails, todo
from torch.nn.functional import softplus

from dualad_lib.losses import jsd_mutual_information
from dualad_lib.teaching import checks


@pytest.mark.parametrize(
    ("check", "stub"),
    [
        (checks.check_information_changes, dict.fromkeys(checks.INFORMATION_CHANGES)),
        (checks.check_strangers, todo),
        (checks.check_jsd_all_pairs, todo),
    ],
)
def test_an_open_stub_is_not_an_error(check, stub, capsys):
    assert check(stub) is False
    assert check(None) is False
    assert "not done yet" in capsys.readouterr().out


def test_information_changes():
    check, key = checks.check_information_changes, checks.INFORMATION_CHANGES
    right = {name: answer for name, (answer, _) in key.items()}
    assert check(right)
    for name, (answer, reason) in key.items():
        for other in {"same", "lower", "higher"} - {answer}:
            fails(check, right | {name: other}, name, reason)
    fails(check, right | {"doubled": "twice"}, "answer with one of")
    fails(check, {"doubled": "same"}, "Keep the dictionary")


def deranged(z):
    """A random order without fixed points."""
    order = torch.randperm(len(z))
    while (order == torch.arange(len(z))).any():
        order = torch.randperm(len(z))
    return z[order]


def test_strangers():
    torch.manual_seed(0)
    check = checks.check_strangers
    assert check(lambda z: z.roll(1, 0))
    assert check(lambda z: torch.cat([z[1:], z[:1]]))
    assert check(deranged)
    fails(check, lambda z: z, "joint pairs")
    fails(check, lambda z: z[torch.randperm(len(z))], "stay", "about one")
    fails(check, lambda z: z[torch.randint(len(z), (len(z),))], "replacement")
    fails(check, lambda z: z.roll(1), "flattened")
    fails(check, lambda z: z.roll(1, 1), "broken up")
    fails(check, lambda z: z + torch.randn_like(z), "no code of the batch")
    fails(check, lambda z: z.flip(0), "middle")
    fails(check, lambda z: z[:1].expand_as(z), "replacement")
    fails(check, lambda z: z[1:], "shape")
    fails(check, torch.zeros(5, 3), "without calling")


def test_an_answer_that_draws_is_judged_alike_each_time():
    """Codes drawn with replacement keep their places in one of four pairs, and the check looks at a pair, too."""

    def drawn(z):
        return z[torch.randint(len(z), (len(z),))]

    for seed in range(40):
        torch.manual_seed(seed)
        fails(checks.check_strangers, drawn, "replacement")
        fails(checks.check_strangers, lambda z: z[torch.randperm(len(z))], "about one")
    np.random.seed(3), random.seed(3), torch.manual_seed(3)
    here = np.random.rand(), random.random(), torch.rand(())
    np.random.seed(3), random.seed(3), torch.manual_seed(3)
    fails(checks.check_strangers, lambda z: z + np.random.rand() + random.random(), "no code")
    assert here == (np.random.rand(), random.random(), torch.rand(()))


def off_diagonal(t):
    return t[~torch.eye(len(t), dtype=torch.bool)]


def logarithms(t):
    joint, marginal = t.diagonal().sigmoid(), off_diagonal(t).sigmoid()
    return joint.log().mean() + (1 - marginal).log().mean() + 2 * math.log(2)


def test_jsd_all_pairs():
    check, joint = checks.check_jsd_all_pairs, torch.diagonal
    assert check(lambda t: jsd_mutual_information(joint(t), off_diagonal(t)))
    fails(check, lambda t: jsd_mutual_information(joint(t), t), "diagonal is among")
    fails(check, lambda t: jsd_mutual_information(joint(t), off_diagonal(t)) - 2 * math.log(2), "2 log 2")
    fails(check, lambda t: -jsd_mutual_information(joint(t), off_diagonal(t)), "sign")
    fails(check, lambda t: 2 * math.log(2) - jsd_mutual_information(joint(t), off_diagonal(t)), "classifier")
    fails(check, lambda t: jsd_mutual_information(off_diagonal(t), joint(t)), "exchanged")
    fails(check, lambda t: jsd_mutual_information(joint(t), joint(t.roll(1, 0))), "one stranger")
    fails(check, logarithms, "softplus")

    def half(t):
        return -softplus(-joint(t)).mean() + (1 - off_diagonal(t).sigmoid()).log().mean() + 2 * math.log(2)

    fails(check, half, "softplus")
    fails(check, lambda t: t, "shape")
    fails(check, lambda t: joint(t).mean() - off_diagonal(t).mean(), "one test matrix")

    def total(t, divisor):
        first = -softplus(-joint(t)).mean() + 2 * math.log(2)
        return first - softplus(off_diagonal(t)).sum() / divisor

    fails(check, lambda t: total(t, len(t) ** 2), "N (N - 1)")
    fails(check, lambda t: total(t, 1), "sum over the strangers")
