"""The checks of lesson 06: right answers pass, wrong ones fail with a message that names the misconception."""

import numpy as np
import pytest
import torch
from checking import fails, todo

from dualad_lib.neighbours import Bank
from dualad_lib.teaching import checks
from dualad_lib.teaching.checks import NEIGHBOUR_CHANGES
from dualad_lib.teaching.exercises import answer_tables
from dualad_lib.teaching.grading import JUDGES


def test_neighbour_changes():
    check = checks.check_neighbour_changes
    assert check(dict.fromkeys(NEIGHBOUR_CHANGES)) is False and check(None) is False
    right = {key: answer for key, (answer, _) in NEIGHBOUR_CHANGES.items()}
    assert check(right)
    for key, (answer, reason) in NEIGHBOUR_CHANGES.items():
        for other in {"rises", "stays", "falls"} - {answer}:
            fails(check, right | {key: other}, key, reason)


def test_the_answers_on_neighbours_are_true():
    """The keys of the exercise that a toy can try, held against the library's own search."""
    random = torch.Generator().manual_seed(0)
    bank, patches = (torch.randn(n, 6, generator=random) for n in (200, 40))

    def score(bank, patches=patches):
        return Bank(bank).nearest(patches)[0][:, 0]

    def answer(after):
        before = score(bank)
        if torch.allclose(after, before, atol=1e-5):
            return "stays"
        assert (after <= before + 1e-5).all()
        return "falls"

    of = {key: answer for key, (answer, _) in NEIGHBOUR_CHANGES.items()}
    more = torch.cat([bank, torch.randn(200, 6, generator=random)])
    assert answer(score(more)) == of["more good photographs of the same place join the bank"]
    twice = torch.cat([bank, bank])
    assert answer(score(twice)) == of["the bank gets a second copy of everything it holds"]
    with_pit = torch.cat([bank, patches])
    assert answer(score(with_pit)) == of["a photograph with this very pit was in the bank all along"]
    order = torch.randperm(len(patches), generator=random)
    shuffled = score(bank, patches[order]).sort().values
    assert torch.allclose(shuffled, score(bank).sort().values, atol=1e-5)
    assert of["the vectors of its cells are shuffled to other positions"] == "stays"


def test_relative_distance():
    check = checks.check_relative_distance
    assert check(todo) is False

    def right(patches, bank, spacing):
        distances, index = Bank(bank).nearest(patches)
        return distances[:, 0] / spacing[index[:, 0]]

    assert check(right)
    fails(check, lambda p, b, s: torch.cdist(p, b).amin(1), "distance itself")
    fails(check, lambda p, b, s: torch.cdist(p, b).amin(1) / s.mean(), "same number")
    fails(check, lambda p, b, s: (torch.cdist(p, b) / s).amin(1), "smallest RATIO")
    fails(check, lambda p, b, s: torch.cdist(p, b).amax(1) / s[torch.cdist(p, b).argmax(1)], "farthest")
    fails(check, lambda p, b, s: right(p, b, s) * s[torch.cdist(p, b).argmin(1)] ** 2, "do not multiply")
    fails(check, lambda p, b, s: torch.cdist(p, b).amin(1) * right(p, b, s), "squared")
    fails(check, lambda p, b, s: right(p, b, s) + 1, "you give")
    fails(check, lambda p, b, s: torch.cdist(p, b), "one number a patch")


def test_local_distance():
    check = checks.check_local_distance
    assert check(todo) is False

    def around(f, good, reach, start=lambda k: max(0, k), last=1, pool=torch.amin):
        rows = [[0.0] * f.shape[1] for _ in f]
        for y, row in enumerate(f):
            for x, own in enumerate(row):
                near = good[:, start(y - reach) : y + reach + last, start(x - reach) : x + reach + last]
                rows[y][x] = float(pool(torch.cdist(own[None], near.flatten(0, 2)), 1))
        return torch.tensor(rows)

    def cross(f, good, reach):
        return torch.minimum(row(f, good, reach), column(f, good, reach))

    def row(f, good, reach):
        return torch.cat([around(f[[y]], good[:, [y]], reach) for y in range(len(f))])

    def column(f, good, reach):
        return row(f.transpose(0, 1), good.transpose(1, 2), reach).T

    def rolled(f, good, reach):
        moves = range(-reach, reach + 1)
        near = [(torch.roll(good, (y, x), (1, 2)) - f).norm(dim=-1).amin(0) for y in moves for x in moves]
        return torch.stack(near).amin(0)

    def never_at_nought(f, good, reach):
        return around(f, good, max(1, reach))

    assert check(around)
    fails(check, lambda f, g, r: around(f, g, 99), "ALL good cells")
    fails(check, lambda f, g, r: around(f, g, 0), "same position alone")
    fails(check, rolled, "opposite side")
    fails(check, lambda f, g, r: around(f, g, r, last=0), "ends BEFORE its end")
    fails(check, lambda f, g, r: around(f, g, r, start=lambda k: k), "max(0, ...)")
    fails(check, cross, "a cross")
    fails(check, row, "along the rows")
    fails(check, column, "along the columns")
    fails(check, lambda f, g, r: around(f, g, r, pool=torch.mean), "MEAN")
    fails(check, lambda f, g, r: around(f, g, r).square(), "squared")
    fails(check, lambda f, g, r: around(f, g, r) + 1, "you give")
    fails(check, lambda f, g, r: around(f, g, r)[0], "one number a cell")
    fails(check, never_at_nought, "wrong for 0")
    fails(check, lambda f, g, r: around(f, g, min(3, r)), "wrong for 9")


def test_the_grader_knows_the_checks_and_their_tables():
    assert JUDGES["checks"] is checks
    assert answer_tables(list(NEIGHBOUR_CHANGES)) == [NEIGHBOUR_CHANGES]
    assert answer_tables(list(checks.PROMISES)) == [checks.PROMISES]
    assert answer_tables(["no such question"]) == []


TIMES = {"A": (np.arange(5), torch.rand(5), torch.arange(5) > 2)}


def test_pairs_show_the_outline_on_the_bare_photograph_alone():
    from dualad_lib import plots_parts

    maps, masks = np.random.default_rng(0).random((2, 16, 40)), np.zeros((2, 16, 40), bool)
    masks[:, 4:8, 4:8] = True
    figure = plots_parts.pairs(np.zeros((2, 3, 16, 40), np.uint8), maps, masks, ["a", "b"], (0.0, 1.0))
    panels = figure.axes[:4]
    assert [axis.get_title() for axis in panels] == ["a", "its heat map", "b", "its heat map"]
    assert [len(axis.collections) for axis in panels] == [1, 0, 1, 0]
    hidden = [float(np.max(axis.images[-1].get_alpha())) for axis in panels]
    assert hidden[0] == hidden[2] == 0 and min(hidden[1], hidden[3]) > 0.5


@pytest.mark.parametrize("name", ["heat_maps", "pairs", "timelines", "banks", "bars and strips"])
def test_the_lessons_figures_take_arrays_and_tensors(name):
    from dualad_lib import plots, plots_parts

    images = torch.randint(0, 255, (3, 3, 16, 40), dtype=torch.uint8)
    maps, masks = torch.rand(3, 16, 40), torch.zeros(3, 16, 40, dtype=torch.bool)
    masks[0, 4:8, 4:8] = True
    figures = {
        "heat_maps": lambda: [
            plots_parts.heat_maps(images),
            plots_parts.heat_maps(images, maps, masks, ["a", "b", "c"], scale=(0.2, 0.9)),
            plots_parts.heat_maps(images[:, :1], maps.numpy(), columns=3),
        ],
        "timelines": lambda: [
            plots_parts.timelines(TIMES, threshold=0.5),
            plots_parts.timelines(TIMES, threshold=0.5, alarms={"A": 1.0}),
        ],
        "pairs": lambda: [
            plots_parts.pairs(images, maps),
            plots_parts.pairs(images, maps.numpy(), masks, ["a", "b", "c"], (0.2, 0.9)),
        ],
        "bars and strips": lambda: [
            plots_parts.rate_bars({"a": {"x": 0.1, "y": 1.0}, "b": {"x": 0.0, "y": 0.2}}, 0.05),
            plots_parts.strips({"a": np.arange(4), "b": torch.arange(3)}, 2.0),
            plots_parts.rate_histogram({"a": np.array([0.0, 0.1]), "b": np.array([0.05])}, 0.05),
        ],
        "banks": lambda: [plots_parts.banks(torch.rand(9, 2), {"first": [0, 1], "last": torch.tensor([8])})],
    }
    for figure in figures[name]():
        assert plots.png(figure)[:4] == b"\x89PNG"
