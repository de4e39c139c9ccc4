"""The exercises of lesson 02: right answers pass, each wrong one is told its misconception."""

import numpy as np
import pytest
import torch
from checking import fails, todo
from torch.nn.functional import logsigmoid, softplus

from dualad_lib.teaching import checks


@pytest.mark.parametrize("check", [checks.check_best_logit, checks.check_saturating_loss])
def test_an_open_stub_is_not_an_error(check, capsys):
    assert check(todo) is False
    assert check(lambda *args: None) is False
    assert check(None) is False
    assert capsys.readouterr().out.count("not done yet") == 3


def test_game_readings(capsys):
    check, key = checks.check_game_readings, checks.GAME_READINGS
    right = {name: answer for name, (answer, _) in key.items()}
    assert check(dict.fromkeys(key)) is False
    assert check(right)
    assert "passed" in capsys.readouterr().out
    for name, (answer, reason) in key.items():
        for other in {"D ahead", "D asleep", "balance"} - {answer}:
            fails(check, right | {name: other}, name, reason)
    fails(check, right | {next(iter(key)): "draw"}, "answer with one of")
    fails(check, {"another": "balance"}, "Keep the dictionary")


def log_p(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std)


def ratio(x, mean_p, std_p, mean_q, std_q):
    return log_p(x, mean_p, std_p) - log_p(x, mean_q, std_q)


def test_best_logit():
    check = checks.check_best_logit
    assert check(ratio)

    def with_torch(x, mean_p, std_p, mean_q, std_q):
        x = torch.from_numpy(x)
        p, q = torch.distributions.Normal(mean_p, std_p), torch.distributions.Normal(mean_q, std_q)
        return p.log_prob(x) - q.log_prob(x)

    assert check(with_torch)
    fails(check, lambda *a: -ratio(*a), "reversed")
    fails(check, lambda *a: 1 / (1 + np.exp(-ratio(*a))), "sigmoid")
    fails(check, lambda *a: np.exp(ratio(*a)), "logarithm")
    fails(check, lambda x, m, s, n, t: log_p(x, m, s), "p alone")
    fails(check, lambda x, m, s, n, t: log_p(x, m, s) - 0.5 * np.log(2 * np.pi), "p alone")
    fails(check, lambda x, m, s, n, t: 2 * ratio(x, m, s, n, t) + np.log(s) - np.log(t), "1/2")
    fails(check, lambda x, m, s, n, t: ratio(x, m, s, n, t) + np.log(s) - np.log(t), "log std", "narrower")
    fails(
        check,
        lambda x, m, s, n, t: (abs(x - n) / t - abs(x - m) / s) / 2 - np.log(s) + np.log(t),
        "square",
    )
    fails(check, lambda x, m, s, n, t: ratio(x, m, np.sqrt(s), n, np.sqrt(t)) * 1.0 + 0.3, "you give")
    fails(
        check,
        lambda x, m, s, n, t: ((x - n) ** 2 / t - (x - m) ** 2 / s) / 2 - np.log(s) + np.log(t),
        "the variance",
    )
    fails(check, lambda x, *a: ratio(x, *a).mean(), "shape")
    fails(check, 0.5, "without calling")


def test_saturating_loss():
    check = checks.check_saturating_loss
    assert check(lambda fake: -softplus(fake).mean())
    assert check(lambda fake: logsigmoid(-fake).mean())
    fails(check, lambda fake: softplus(fake).mean(), "reversed")
    fails(check, lambda fake: softplus(-fake).mean(), "non-saturating")
    fails(check, lambda fake: logsigmoid(fake).mean(), "ONE MINUS")
    fails(check, lambda fake: -softplus(fake).sum(), "Average")
    fails(check, lambda fake: (1 - fake.sigmoid()).mean().log(), "logarithm of the mean")
    fails(check, lambda fake: (1 - fake.sigmoid()).log().mean(), "200", "softplus")
    fails(check, lambda fake: (1 - fake.sigmoid() + 1e-7).log().mean(), "200")
    fails(check, lambda fake: -softplus(fake).mean() - 1, "you give")
    fails(check, lambda fake: -softplus(fake), "shape")
    fails(check, torch.zeros(4), "without calling")
