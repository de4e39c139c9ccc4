"""Checks of lesson 04: the right answer passes, each wrong one fails with a message that names its misconception."""

import math
import random

import numpy as np
import pytest
import torch
from checking import fails, todo
from torch.nn.functional import softplus

from dualad_lib.losses import jsd_mutual_information, squared_error
from dualad_lib.teaching import checks


@pytest.mark.parametrize(
    ("check", "stub"),
    [
        (checks.check_information_changes, dict.fromkeys(checks.INFORMATION_CHANGES)),
        (checks.check_strangers, todo),
        (checks.check_turn_loss, todo),
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


def turn(seen=None, rest="error - weight * information", strangers=None, redraw=lambda z: z, T=lambda M: M):
    """An answer of the usual form. seen(z, spectator): what T is shown; rest: the loss; T(M): what T computes with."""
    seen = seen or (lambda z, spectator: z.detach() if spectator else z)
    strangers = strangers or (lambda z: z.roll(1, 0))

    def function(E, M, x, weight, spectator):
        z = x @ E
        error = squared_error(redraw(z) @ E.T, x)
        shown, own = seen(z, spectator), T(M)
        information = jsd_mutual_information((x @ own * shown).sum(1), (x @ own * strangers(shown)).sum(1))
        eval(rest, {}, {**locals()}).backward()
        return E.grad, M.grad

    return function


def by_hand(E, M, x, weight, spectator):
    """Other means: two losses, gradients asked for, the loss of the classifier, all strangers of the batch."""
    z = x @ E
    logits = x @ M @ (z.detach() if spectator else z).T
    alone = ~torch.eye(len(x), dtype=torch.bool)
    player = weight * (softplus(-logits.diagonal()).mean() + softplus(logits[alone]).mean())
    error = (x - z @ E.T).square().mean()
    if spectator:
        return torch.autograd.grad(error, E)[0], torch.autograd.grad(player, M)[0]
    return torch.autograd.grad(error + player, (E, M))


def test_turn_loss():
    check = checks.check_turn_loss
    assert check(turn())
    assert check(by_hand)
    assert check(turn(rest="error - (1 if spectator else weight) * information"))
    assert check(turn(strangers=lambda z: z.roll(-1, 0)))
    assert check(turn(strangers=deranged))
    assert check(lambda *given: list(turn()(*given)))

    fails(check, turn(rest="error + weight * information"), "Without a spectator", "LOWER", "minus")
    fails(check, turn(rest="error + (weight if spectator else -weight) * information"), "T LOWERS")
    fails(check, turn(seen=lambda z, spectator: z), "With spectator=True", "feels the spectator", "Detach z")
    fails(check, turn(seen=lambda z, spectator: z.detach()), "spectator alone")
    fails(check, turn(T=lambda M: M.detach()), "T never learns")
    fails(check, turn(rest="error - (0 if spectator else weight) * information"), "never learns", "not 0")
    fails(check, turn(rest="error if spectator else error - weight * information"), "never learns")
    fails(check, turn(rest="error - information"), "forgotten")
    fails(check, turn(rest="weight * (error - information)"), "before the reconstruction error")
    fails(check, turn(rest="-weight * information"), "missing")
    fails(check, turn(rest="-error - weight * information"), "rises by your turn")
    fails(check, turn(rest="20 * error - weight * information"), "count once")
    fails(check, turn(rest="error - weight ** 2 * information"), "0.09 times")
    fails(check, turn(redraw=lambda z: z.detach()), "redrawn")
    fails(check, turn(strangers=lambda z: z), "own image")
    fails(check, turn(strangers=lambda z: z[[0, 2, 3, 1]]), "own image")
    fails(check, turn(strangers=lambda z: z.roll(1)), "another loss")


def test_turn_loss_names_what_is_cut_off_or_forgotten():
    check = checks.check_turn_loss
    fails(check, torch.no_grad()(turn()), "Nothing to be learned")
    fails(check, lambda E, M, *rest: turn()(E.detach(), M.detach(), *rest), "Nothing to be learned")

    def on_copies(E, M, *rest):
        turn()(*(part.detach().clone().requires_grad_() for part in (E, M)), *rest)
        return E.grad, M.grad

    fails(check, on_copies, "not of copies")

    def against(E, M, *rest):
        copies = [part.detach().clone().requires_grad_() for part in (E, M)]
        lowered, raised = turn(rest="error + weight * information")(*copies, *rest), turn()(E, M, *rest)
        return lowered[0], raised[1]

    fails(check, against, "against T")

    def constants(E, M, x, weight, spectator):
        with torch.set_grad_enabled(not spectator):
            z = x @ E
            information = jsd_mutual_information((x @ M * z).sum(1), (x @ M * z.roll(1, 0)).sum(1))
        (squared_error(x @ E @ E.T, x) - weight * information).backward()
        return E.grad, M.grad

    fails(check, constants, "With spectator=True", "never learns", "no_grad")
    fails(check, lambda E, M, *rest: E.sum(), "two things")
    fails(check, lambda E, M, *rest: (E.sum(), M.sum()), "shape")
    fails(check, lambda E, M, *rest: (E * math.nan, M), "NaN")
    fails(check, 3, "without calling")
