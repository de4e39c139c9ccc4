"""The checks of lesson 13: right answers pass, wrong ones fail with a message that names the misconception."""

import pytest
import torch
from checking import fails, todo

from dualad_lib.teaching import checks


def ball(moved, x, eps):
    return torch.minimum(torch.maximum(moved, x - eps), x + eps)


def right(x, now, gradient, step, eps):
    return ball(now + step * gradient.sign(), x, eps).clamp(0, 1)


def test_predictions():
    check, table = checks.check_attackers, checks.ATTACKERS
    assert check(dict.fromkeys(table)) is False and check(None) is False
    answers = {key: answer for key, (answer, _) in table.items()}
    assert check(answers)
    for key, (answer, reason) in table.items():
        fails(check, answers | {key: "no" if answer == "yes" else "yes"}, key, reason)


def test_an_open_stub_is_not_an_error():
    assert checks.check_attack_step(todo) is False


def test_the_attack_step_and_its_other_order_of_bounds():
    assert checks.check_attack_step(right)
    assert checks.check_attack_step(
        lambda x, now, g, step, eps: ball((now + step * g.sign()).clamp(0, 1), x, eps)
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, now, g, s, e: ball(now + s * g.sign(), now, e).clamp(0, 1), "around the original"),
        (lambda x, now, g, s, e: (now + s * g.sign()).clamp(0, 1), "ten steps arrive anywhere"),
        (lambda x, now, g, s, e: ball(now + s * g.sign(), x, e), "leave [0, 1]"),
        (lambda x, now, g, s, e: ball(now - s * g.sign(), x, e).clamp(0, 1), "RAISES"),
        (lambda x, now, g, s, e: ball(now + s * g, x, e).clamp(0, 1), "not its sign"),
        (lambda x, now, g, s, e: ball(x + s * g.sign(), x, e).clamp(0, 1), "begin again"),
        (lambda x, now, g, s, e: (x + e * g.sign()).clamp(0, 1), "FGSM"),
        (lambda x, now, g, s, e: x[0], "shape"),
        (lambda x, now, g, s, e: x * 0, "away from"),
        (lambda x, now, g, s, e: right(x, now.add_(0.01), g, s, e), "in place"),
    ],
)
def test_wrong_steps_are_named(wrong, words):
    fails(checks.check_attack_step, wrong, words)


def test_what_the_predictions_say_of_the_library_holds():
    """BIM stays within eps of the original, DeepFool ends in doubt and BIM sure of itself, on a known border."""
    from dualad_lib.adversarial import attacks

    w = torch.tensor([1.0, -2.0, 0.5, 0.25]) * 20
    net = lambda x: torch.stack([torch.zeros(len(x)), x.flatten(1) @ w + 4], 1)  # noqa: E731
    x, y = torch.full((1, 1, 2, 2), 0.5), torch.tensor([1])
    bim, deepfool = attacks.bim(net, x, y, 0.2), attacks.deepfool(net, x)
    assert (bim - x).abs().max() <= 0.2 + 1e-6
    assert net(deepfool).softmax(1).max() < 0.55 and net(bim).softmax(1).max() > 0.95
