"""The checks of lessons 08 to 11: right answers pass, wrong ones fail with a message that names the misconception."""

import numpy as np
import pytest
import torch
from checking import fails, todo
from torch.nn.functional import normalize

from dualad_lib.evaluation import hter
from dualad_lib.losses import info_nce, uniform_cross_entropy
from dualad_lib.scoring import eq_11
from dualad_lib.teaching import checks

PREDICTED = {
    "intervals": (checks.check_intervals, checks.INTERVALS, ("seeds", "classes", "images")),
    "dual_wishes": (checks.check_dual_wishes, checks.DUAL_WISHES, ("up", "down", "nothing")),
    "pseudo_anomalies": (
        checks.check_pseudo_anomalies,
        checks.PSEUDO_ANOMALIES,
        ("strokes", "content", "nothing"),
    ),
    "paper_flags": (
        checks.check_paper_flags,
        checks.PAPER_FLAGS,
        ("baseline", "batch", "best look", "formula", "fine"),
    ),
    "pattern_changes": (checks.check_pattern_changes, checks.PATTERN_CHANGES, ("up", "down", "same")),
}


@pytest.mark.parametrize("name", PREDICTED)
def test_predictions(name, capsys):
    check, table, choices = PREDICTED[name]
    assert check(dict.fromkeys(table)) is False and check(None) is False
    right = {key: answer for key, (answer, _) in table.items()}
    assert check(right)
    for key, (answer, reason) in table.items():
        for other in set(choices) - {answer}:
            fails(check, right | {key: other}, key, reason)


@pytest.mark.parametrize(
    "name",
    [
        "paired_interval",
        "half_total_error",
        "at_strength",
        "depends_on_company",
        "wrong_way",
        "between_codes",
        "stable_eq_11",
    ],
)
def test_an_open_stub_is_not_an_error(name):
    assert getattr(checks, f"check_{name}")(todo) is False


def test_paired_interval():
    from scipy.stats import t

    def with_(half):
        return lambda a, b: ((a - b).mean(), half(a - b))

    def student(d, q=0.975, ddof=1):
        return t.ppf(q, len(d) - 1) * d.std(ddof=ddof) / np.sqrt(len(d))

    check = checks.check_paired_interval
    assert check(with_(student))
    fails(check, lambda a, b: ((b - a).mean(), student(a - b)), "sign")
    fails(check, lambda a, b: (a.mean(), student(a - b)), "mean difference")
    fails(check, with_(lambda d: student(d, ddof=0)), "ddof=1")
    fails(check, with_(lambda d: student(d, q=0.95)), "ONE side")
    fails(check, with_(lambda d: 2 * student(d)), "whole interval")
    fails(check, with_(lambda d: 0.0), "you give 0.00000")


def test_half_total_error():
    check = checks.check_half_total_error
    assert check(hter)
    fails(check, lambda y, s, t: 0.0, "you give 0.0000")
    fails(check, lambda y, s, t: 1 - hter(y, s, t), "turned round")
    fails(check, lambda y, s, t: ((s > t) == (y == 1)).mean(), "right answers")
    fails(check, lambda y, s, t: (s > t)[y == 0].mean(), "never rings")
    fails(check, lambda y, s, t: (s <= t)[y == 1].mean(), "always rings")
    fails(check, lambda y, s, t: hter(y, s, t - 1e-9) if len(y) > 2 else 1.0, "compare with >")


def test_at_strength():
    def right(x, x_hat, size):
        error = x_hat - x
        return x + size * error / error.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-9)

    check = checks.check_at_strength
    assert check(right)
    fails(check, lambda x, x_hat, size: 2 * x - right(x, x_hat, size), "AWAY")
    fails(check, lambda x, x_hat, size: x + size * (x_hat - x), "SHARE")
    fails(check, lambda x, x_hat, size: x + size * (x_hat - x).sign(), "straight")
    fails(
        check,
        lambda x, x_hat, size: x + size * (x_hat - x) / (x_hat - x)[:4].square().mean().sqrt(),
        "as a whole",
    )
    fails(check, lambda x, x_hat, size: x + 2 * (right(x, x_hat, size) - x), "The first image has moved by")


def test_depends_on_company():
    check = checks.check_depends_on_company

    def right(score, x):
        alone = np.concatenate([score(x[i : i + 1]) for i in range(len(x))])
        return not np.allclose(score(x), alone, atol=1e-6)

    assert check(right)
    fails(check, lambda score, x: True, "guilty")
    fails(check, lambda score, x: 1, "Return True or False")
    fails(
        check,
        lambda score, x: not np.allclose(score(x)[:1], score(x[:1]), atol=1e-6),
        "first image only",
    )


def test_stable_eq_11():
    check = checks.check_stable_eq_11
    assert check(lambda u, confidence, n: eq_11(u, confidence, n, 0.0, 1.0))
    fails(check, lambda u, c, n: -1 / n - (1 - torch.special.ndtr(u)) * (c - 1 / n), "A itself")
    fails(check, lambda u, c, n: -torch.special.log_ndtr(-u) + (c - 1 / n).log(), "LESS odd")
    fails(check, lambda u, c, n: -torch.special.log_ndtr(-u), "term is missing")
    fails(check, lambda u, c, n: -(c - 1 / n).log() + 0 * u, "error's term is missing")
    fails(check, lambda u, c, n: -torch.special.log_ndtr(u) - (c - 1 / n).log(), "not log")
    fails(check, lambda u, c, n: u - c, "order is not")
    single = lambda u, c, n: -torch.special.log_ndtr(-u.float()) - (c - 1 / n).log()  # noqa: E731
    assert check(single)


def test_between_codes():
    def mixed(keep=lambda a, b: a != b, length=lambda z: normalize(z, dim=1), turn=False):
        def function(first, second, of_first, of_second, share):
            kept = keep(of_first, of_second)
            w = share[kept][:, None]
            w = 1 - w if turn else w
            return length(w * first[kept] + (1 - w) * second[kept])

        return function

    check = checks.check_between_codes
    assert check(mixed())
    fails(check, mixed(keep=lambda a, b: a == a), "within a pattern")
    fails(check, mixed(keep=lambda a, b: a == b), "ONE pattern")
    fails(check, mixed(length=lambda z: z), "on the sphere")
    fails(check, mixed(turn=True), "FIRST")
    fails(check, mixed(length=lambda z: -z), "brought back")
    fails(check, lambda *given: torch.zeros(3, 3), "different patterns")
    fails(check, 3, "without calling")


def test_the_answers_on_patterns_and_on_company_are_true():
    """The keys of the exercises, held against the library itself."""
    similar = torch.tensor([[-torch.inf, 1.0, 0.5, 0.2]])

    def contrast(similarity):
        return -info_nce(similarity, torch.tensor([1])) + torch.isfinite(similarity[0]).sum().log()

    def changed(**values):
        now = similar.clone()
        for place, value in values.items():
            now[0, int(place[1:])] = value
        return contrast(now)

    assert changed(_1=1.5) < contrast(similar) and changed(_2=-torch.inf) < contrast(similar)
    assert contrast(torch.cat([similar, torch.tensor([[0.1]])], 1)) > contrast(similar)
    assert uniform_cross_entropy(torch.tensor([[5.0, 0]])) > uniform_cross_entropy(torch.tensor([[1.0, 0]]))
    norm = torch.nn.BatchNorm1d(1)
    x, more = torch.randn(8, 1), torch.randn(9, 1)
    assert torch.allclose(norm(x).flip(0), norm(x.flip(0)), atol=1e-6)
    assert not torch.allclose(norm(torch.cat([x, more]))[:8], norm(x))
    norm.eval()
    assert torch.equal(norm(torch.cat([x, more]))[:8], norm(x))


def test_wrong_way():
    def right(errors, scores):
        larger = errors[:, None] > errors[None, :]
        return float((larger & (scores[:, None] < scores[None, :])).sum() / larger.sum())

    check = checks.check_wrong_way
    assert check(right)
    fails(check, lambda e, s: 1 - right(e, s), "RIGHT way")
    fails(check, lambda e, s: right(e, s) * np.ones(2), "one number")
    fails(check, lambda e, s: float((np.diff(s) < 0).mean()), "not neighbours")
