"""The exercises' checks: the right answer passes, each wrong one fails with a message that names its misconception."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checking import fails, todo
from scipy import stats
from sklearn.metrics import roc_auc_score

from dualad_lib import losses
from dualad_lib.teaching import checks


def pairs(labels, scores):
    return [(a, n) for a in scores[labels == 1] for n in scores[labels == 0]]


ALL = [
    checks.check_auroc,
    checks.check_honest_choice,
    checks.check_score_changes,
    checks.check_extremes,
    checks.check_shift_tolerant_score,
    checks.check_denoising_step,
]


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_an_open_stub_is_not_an_error(check, capsys):
    is_answers = check in (checks.check_score_changes, checks.check_extremes)
    keys = checks.SCORE_CHANGES if check is checks.check_score_changes else checks.EXTREMES
    assert check(dict.fromkeys(keys) if is_answers else todo) is False
    assert check(None) is False
    assert "not done yet" in capsys.readouterr().out


def test_a_right_answer_says_so(capsys):
    assert checks.check_auroc(roc_auc_score) is True
    assert capsys.readouterr().out.startswith("passed")


def test_auroc():
    def with_ties(labels, scores):
        return np.mean([(a > n) + 0.5 * (a == n) for a, n in pairs(labels, scores)])

    assert checks.check_auroc(with_ties)
    fails(checks.check_auroc, lambda y, s: np.mean([a < n for a, n in pairs(y, s)]), "reversed")
    fails(checks.check_auroc, lambda y, s: np.mean([a > n for a, n in pairs(y, s)]), "Ties", "half")
    fails(checks.check_auroc, lambda y, s: np.mean([a >= n for a, n in pairs(y, s)]), "Ties", "half")
    fails(checks.check_auroc, lambda y, s: 100 * roc_auc_score(y, s), "per cent")
    fails(checks.check_auroc, lambda y, s: sum(a > n for a, n in pairs(y, s)), "number of pairs")
    fails(checks.check_auroc, lambda y, s: sum(a > n for a, n in pairs(y, s)) / len(y) ** 2, "too many pairs")
    fails(checks.check_auroc, lambda y, s: np.array([a > n for a, n in pairs(y, s)]), "shape")

    def accuracy(labels, scores):  # careful enough to pass the separated and the tied case
        if len(set(scores)) == 1:
            return 0.5
        return np.mean((scores > np.median(scores)) == labels)

    fails(checks.check_auroc, accuracy, "accuracy")

    def normal_first(labels, scores):
        n = int((labels == 0).sum())
        return roc_auc_score([0] * n + [1] * (len(labels) - n), scores)

    fails(checks.check_auroc, normal_first, "come first")

    def soft(labels, scores):
        difference = scores[labels == 1].mean() - scores[labels == 0].mean()
        return 0.5 if difference == 0 else 1 - np.clip(0.4 - difference, 0, 1)

    fails(checks.check_auroc, soft, "order")
    fails(checks.check_auroc, 0.5, "without calling")


def test_honest_choice():
    assert checks.check_honest_choice(lambda development, test: test[int(np.argmax(development))])
    fails(checks.check_honest_choice, lambda development, test: max(test), "flatters")
    fails(checks.check_honest_choice, lambda development, test: max(development), "too good on average")
    fails(checks.check_honest_choice, lambda development, test: np.argmax(development), "position")
    fails(checks.check_honest_choice, lambda development, test: np.mean(test), "mean over all settings")
    fails(checks.check_honest_choice, lambda development, test: test[-1], "report")


@pytest.mark.parametrize(
    ("check", "key", "choices"),
    [
        (checks.check_score_changes, checks.SCORE_CHANGES, ["same", "mirrored", "can change"]),
        (checks.check_extremes, checks.EXTREMES, ["useless", "can work"]),
    ],
)
def test_predictions(check, key, choices):
    right = {name: answer for name, (answer, _) in key.items()}
    assert check(right)
    for name, (answer, reason) in key.items():
        for other in set(choices) - {answer}:
            fails(check, right | {name: other}, name, reason)
    fails(check, right | {next(iter(key)): "maybe"}, "answer with one of")
    fails(check, {"another": "same"}, "Keep the dictionary")


SHIFTS = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]


def errors(x, x_hat, shifts=SHIFTS, crop=True):
    """(shifts, N), by rolling; the crop hides what wraps round."""
    rolled = torch.stack([torch.roll(x_hat, shift, (2, 3)) for shift in shifts])
    difference = (x - rolled)[..., 1:-1, 1:-1] if crop else x - rolled
    return difference.square().flatten(2).mean(2)


def test_shift_tolerant_score():
    check = checks.check_shift_tolerant_score
    straight = [(a, b) for a, b in SHIFTS if a == 0 or b == 0]
    assert check(lambda x, x_hat: errors(x, x_hat).amin(0))
    fails(check, lambda x, x_hat: errors(x, x_hat, [(0, 0)]).amin(0), "plain squared error")
    fails(check, lambda x, x_hat: errors(x, x_hat).mean(0), "SMALLEST")
    fails(check, lambda x, x_hat: errors(x, x_hat).amax(0), "SMALLEST")
    fails(check, lambda x, x_hat: errors(x, x_hat).amin(), "shape", "not over images")
    fails(check, lambda x, x_hat: errors(x, x_hat)[errors(x, x_hat).mean(1).argmin()], "whole batch")
    fails(check, lambda x, x_hat: errors(x, x_hat, [s for s in SHIFTS if s != (0, 0)]).amin(0), "unshifted")
    fails(check, lambda x, x_hat: errors(x, x_hat, straight).amin(0), "Diagonal")
    fails(check, lambda x, x_hat: errors(x, zero_shifted(x_hat), [(0, 0)], crop=False).amin(0), "score 0")
    fails(check, padded, "border")
    fails(check, lambda x, x_hat: 10 * errors(x, x_hat).amin(0), "factor")
    fails(check, lambda x, x_hat: errors(x, x_hat).amin(0).sqrt(), "square root")


def zero_shifted(x_hat):
    return torch.nn.functional.pad(x_hat, (1, 0, 1, 0))[..., :-1, :-1]


def padded(x, x_hat):
    """Shifts whose border is filled with zeros and compared all the same."""
    wide = torch.nn.functional.pad(x_hat, (1, 1, 1, 1))
    height, width = x.shape[2:]
    cuts = [wide[..., 1 + a : 1 + a + height, 1 + b : 1 + b + width] for a, b in SHIFTS]
    return torch.stack([(x - cut).square().flatten(1).mean(1) for cut in cuts]).amin(0)


def test_denoising_step():
    check = checks.check_denoising_step

    def step(seen="x + noise", target="x", reduced="mean", returned="W - rate * W.grad"):
        def run(W, x, noise, rate):
            W = W.clone().requires_grad_()
            room = {"x": x, "noise": noise, "W": W, "rate": rate}
            getattr((eval(seen, room) @ W - eval(target, room)).square(), reduced)().backward()
            return eval(returned, room)

        return run

    assert check(step())
    assert check(step(returned="(W - rate * W.grad).detach().numpy()"))
    fails(check, step(seen="x"), "has to see")
    fails(check, step(target="x + noise"), "clean image")
    fails(check, step(returned="W + rate * W.grad"), "uphill")
    fails(check, step(returned="W"), "as they were")
    fails(check, step(reduced="sum"), "mean over images")
    fails(check, step(returned="W - W.grad"), "rate")
    fails(check, step(seen="x - noise"), "one step")
    fails(check, step(returned="W.grad.mean()"), "shape")


SOURCES = Path(__file__).resolve().parents[1] / "notebooks" / "sources"


def exercises():
    """(lesson, check, stub's name) of every coded exercise in the lessons."""
    for source in sorted(SOURCES.glob("*.py")):
        text = source.read_text(encoding="utf-8")
        for check, name in re.findall(r"^checks\.(check_\w+)\((\w+)\)", text, re.MULTILINE):
            if f"def {name}(" in text:
                yield pytest.param(text, check, name, id=f"{source.stem}-{name}")


@pytest.mark.parametrize(("text", "check", "name"), list(exercises()))
def test_the_printed_solution_passes_its_check(text, check, name):
    blocks = re.findall(r"^# ```python\n(.*?)^# ```", text, re.DOTALL | re.MULTILINE)
    (solution,) = [block for block in blocks if f"def {name}(" in block]
    code = "\n".join(line[2:] for line in solution.splitlines())
    function = code[code.index("def ") :].split("\n\n")[0]  # what follows it needs the lesson's variables
    # what a lesson has in scope
    room = {**vars(losses), "math": math, "np": np, "pd": pd, "t": stats.t, "torch": torch}
    exec(function, room)
    assert getattr(checks, check)(room[name])
