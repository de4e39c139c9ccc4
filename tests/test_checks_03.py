"""Lesson 03's checks: the right answer passes, each wrong one fails with a message that names its misconception."""

import pytest
import torch
from checking import fails, todo

from dualad_lib.losses import enclosure
from dualad_lib.teaching import checks


@pytest.mark.parametrize("check", [checks.check_best_radius, checks.check_transformation_score])
def test_an_open_stub_is_not_an_error(check, capsys):
    assert check(todo) is False
    assert check(None) is False
    assert "not done yet" in capsys.readouterr().out


def test_shrinkings(capsys):
    check, key = checks.check_shrinkings, checks.SHRINKINGS
    assert check(dict.fromkeys(key)) is False
    right = {name: answer for name, (answer, _) in key.items()}
    assert check(right)
    for name, (answer, reason) in key.items():
        fails(check, right | {name: "same" if answer == "changes" else "changes"}, name, reason)
    fails(check, right | {"radius": "maybe"}, "answer with one of")
    fails(check, {"another": "same"}, "Keep the dictionary")


def squares(z, centre):
    return (z - centre).square().mean(1)


def test_best_radius():
    check = checks.check_best_radius
    assert check(lambda z, c, outside: squares(z, c).quantile(1 - outside).sqrt())
    assert check(lambda z, c, outside: squares(z, c).sort().values[int((1 - outside) * len(z))].sqrt())
    fails(check, lambda z, c, outside: squares(z, c).quantile(1 - outside), "R^2")
    fails(check, lambda z, c, outside: (z - c).norm(dim=1).quantile(1 - outside), "MEANS")
    fails(check, lambda z, c, outside: (z - c).square().sum(1).quantile(1 - outside), "Both at once")
    fails(check, lambda z, c, outside: squares(z, c).quantile(outside).sqrt(), "MISS")
    fails(check, lambda z, c, outside: squares(z, c).max().sqrt(), "every code")
    fails(check, lambda z, c, outside: squares(z, c).sqrt().mean(), "mean distance")
    fails(check, lambda z, c, outside: squares(z, c).mean().sqrt(), "root of the mean")
    fails(check, lambda z, c, outside: squares(z, 0 * c).quantile(1 - outside).sqrt(), "origin")
    fails(check, lambda z, c, outside: squares(z, c).quantile(0.9).sqrt(), "outside = 0.3")
    fails(check, lambda z, c, outside: squares(z, c), "shape")


def test_the_minimum_of_enclosure_is_where_the_check_has_it():
    z, centre = torch.randn(1001, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(3)
    radii = torch.linspace(0.5, 2.5, 2001)
    for outside in (0.1, 0.3):
        best = radii[torch.stack([enclosure(z, centre, r, outside) for r in radii]).argmin()]
        assert best == pytest.approx(squares(z, centre).quantile(1 - outside).sqrt().item(), rel=0.01)


def picked(values):
    return torch.stack([values[t, :, t] for t in range(len(values))])


def test_transformation_score():
    check = checks.check_transformation_score

    def own(logits, axis=2):
        return picked(logits.log_softmax(axis))

    assert check(lambda logits: -own(logits).mean(0))
    assert check(lambda logits: -logits.log_softmax(2).diagonal(dim1=0, dim2=2).mean(1))
    fails(check, lambda logits: own(logits).mean(0), "minus")
    fails(check, lambda logits: -own(logits).sum(0), "You sum")
    fails(check, lambda logits: -own(logits)[0], "Only the upright copy")
    fails(check, lambda logits: -own(logits).amin(0), "least certain")
    fails(check, lambda logits: -picked(logits).mean(0), "average logits")
    fails(check, lambda logits: -own(logits).exp().mean(0).log(), "average the probabilities")
    fails(check, lambda logits: 1 - own(logits).exp().mean(0), "one minus")
    fails(check, lambda logits: -own(logits, 0).mean(0), "over the copies")
    fails(check, lambda logits: -own(logits, 1).mean(0), "over the images")
    fails(check, lambda logits: -logits.log_softmax(2).amax(2).mean(0), "prefers")
    fails(check, lambda logits: -logits.log_softmax(2).mean((0, 2)), "answer t of copy t")
    fails(check, lambda logits: -own(logits).mean(), "shape")
    fails(check, lambda logits: -own(logits).mean(1), "shape")
    fails(check, lambda logits: -own(logits).mean(0) + 1, "you give")
