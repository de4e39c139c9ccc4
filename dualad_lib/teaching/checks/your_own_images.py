"""Checks of the lesson on your own images."""

import numpy as np

from .checking import CheckFailed, compare_answers, numbers, reports

PROMISES = {
    "new good parts like those that calibrated, same camera": (
        "holds",
        "Calibration images and new images are exchangeable: that is all the promise needs.",
    ),
    "a detector that finds no defect at all": (
        "holds",
        "The promise is about good parts. It holds for every detector, also for a useless one.",
    ),
    "the calibration images were also trained on": (
        "breaks",
        "A detector knows its training images: their scores are too low, and so is the threshold.",
    ),
    "other views of the calibration parts were trained on, of the new parts none": (
        "breaks",
        "A twin is nearly the image itself. New parts have no twin among the training images.",
    ),
    "12 calibration images, with dualad fit": (
        "breaks",
        "The smallest p-value is 1/13 = 7.7 %, which is above 5 %: at least 19 images are needed.",
    ),
    "new parts under a brighter lamp": (
        "breaks",
        "They differ from the calibration images in more than chance: not exchangeable.",
    ),
    "calibration images and new parts under a brighter lamp, training images not": (
        "holds",
        "Training images need not resemble the others. Detection suffers, the promise does not.",
    ),
    "read as: of 100 alarms 5 are false": (
        "breaks",
        "5 % of the GOOD parts raise an alarm. How many alarms are false depends on how rare defects are.",
    ),
}


@reports("the promise needs exchangeable images and enough of them, and nothing of the detector")
def check_promises(answers):
    """answers: dict from each case in PROMISES to "holds" or "breaks"."""
    compare_answers(answers, PROMISES, ("holds", "breaks"))


@reports("the new image's place among the calibration images, ties and all")
def check_conformal_p_value(function):
    """function(calibration, score) -> p in (0, 1]: (1 + how many calibration scores are at least as high) / (n + 1)."""
    call = numbers(function, "one number", shape=())
    calibration = np.array([1.0, 2.0, 2.0, 3.0, 5.0, 8.0, 9.0])
    n = len(calibration)
    score = 2.0
    given = call(calibration, score)
    above, equal = (calibration > score).sum(), (calibration == score).sum()
    right = (1 + above + equal) / (n + 1)
    wrong = {
        "Ties count as at least as high: compare with >=. With > a detector that gives every image one score would "
        "raise an alarm for all of them.": (1 + above) / (n + 1),
        "The new image itself is missing, above and below: it is one of n + 1. Yours can be 0, and no finite number "
        "of images proves that much.": (above + equal) / n,
        "The 1 above is missing: the new image is at least as high as itself.": (above + equal) / (n + 1),
        "Divide by n + 1: the new image is one of them. Yours can be larger than 1.": (1 + above + equal) / n,
        "The direction is reversed: count the scores that are at least as HIGH. A high score is odd and must get a "
        "small p-value.": (1 + (calibration <= score).sum()) / (n + 1),
        "That is 1 - p: a high score must get a small p-value.": 1 - right,
        "You return per cent. Give a number between 0 and 1.": 100 * right,
        "That is a number of images. Divide by n + 1.": 1 + above + equal,
    }
    if not np.isclose(given, right):
        for message, value in wrong.items():
            if np.isclose(given, value):
                raise CheckFailed(message)
        raise CheckFailed(
            f"For calibration scores {calibration} and the score 2 it is {right}; you give {given:.4f}."
        )
    for score, right in ((20.0, 1 / 8), (0.0, 1.0), (8.0, 3 / 8)):
        if not np.isclose(call(calibration, score), right):
            raise CheckFailed(
                f"For the score {score:g} it is {right}; you give {call(calibration, score):.4f}."
            )
    shuffled = np.random.default_rng(0).permutation(calibration)
    if not np.isclose(call(shuffled, 4.0), 4 / 8):
        raise CheckFailed("Calibration scores come in any order: count, or sort them first.")


@reports("whole parts are held back, drawn part by part")
def check_hold_back(function):
    """function(parts (n,), share, random) -> (n,) bool: all photographs of a `share` of the parts, at least one part.

    random: a NumPy generator. Any way to draw is right that gives each part the same chance.
    """
    sizes = {
        f"part {name}": size
        for name, size in zip("ABCDEFGHIJ", (1, 2, 2, 3, 3, 4, 5, 6, 10, 24), strict=True)
    }
    parts = np.random.default_rng(7).permutation(np.repeat(list(sizes), list(sizes.values())))
    draws = [_held_parts(function, parts, 0.3, seed) for seed in range(300)]
    counts = {len(held) for held in draws}
    if counts == {7}:
        raise CheckFailed("That marks the parts to LEARN from: True is for those that are held back.")
    if 3 in counts and max(counts) == 3:
        if min(counts) < 3:
            raise CheckFailed(
                f"3 of the 10 parts are wanted, and sometimes you hold back {min(counts)}: may one part be drawn "
                "twice? `random.choice` puts back what it drew, unless you say replace=False."
            )
    elif counts != {3}:
        raise CheckFailed(
            f"`share` counts PARTS, whatever number of photographs each has: 0.3 of 10 parts are 3, and you hold back "
            f"{min(counts)}" + (f" to {max(counts)}." if len(counts) > 1 else ".")
        )
    if all(held == draws[0] for held in draws):
        raise CheckFailed(
            "You hold back the same parts whatever `random` draws. The first ones, say, were made first, and "
            "tomorrow's part was not: let chance choose, with the generator that you are given."
        )
    if _held_parts(function, parts, 0.3, 0) != draws[0]:
        raise CheckFailed(
            "The same generator gives other parts the second time: draw with `random`, or nobody can repeat it."
        )
    chance = {name: np.mean([name in held for held in draws]) for name in sizes}
    often, seldom = max(chance, key=chance.get), min(chance, key=chance.get)
    if chance[often] > 0.42 or chance[seldom] < 0.18:
        raise CheckFailed(
            f"Each part must have the same chance. Yours holds back {often} ({sizes[often]} photographs) in "
            f"{100 * chance[often]:.0f} % of the draws and {seldom} ({sizes[seldom]}) in {100 * chance[seldom]:.0f} %. "
            "Whoever draws PHOTOGRAPHS prefers the parts with many: draw from the names of the parts, each named once."
        )
    few = np.array([40, 3, 12, 3, 7, 40, 3, 12])
    if len(_held_parts(function, few, 0.5, 0)) != 2:
        raise CheckFailed(
            "Half of the parts 3, 7, 12 and 40 are two. Their numbers have gaps: use `np.unique`."
        )
    if len(_held_parts(function, few, 0.1, 0)) != 1:
        raise CheckFailed(
            "0.1 of four parts rounds to none, and then nothing sets a threshold: at least one part."
        )


def _held_parts(function, parts, share, seed):
    """The parts, a set of names, whose photographs the student's function holds back all; CheckFailed for any other."""
    call = numbers(function, f"one True or False a photograph, shape ({len(parts)},)", shape=parts.shape)
    held = call(parts.copy(), share, np.random.default_rng(seed))
    if not np.isin(held, (0, 1)).all():
        raise CheckFailed("Give True or False for each photograph, neither positions nor names.")
    held = held.astype(bool)
    inside, outside = set(parts[held].tolist()), set(parts[~held].tolist())
    both = sorted(inside & outside)
    if both:
        raise CheckFailed(
            f"{both[0]!r} lies on both sides: some of its photographs set the threshold, of the others the detector "
            "learns, and a twin that was learned from scores too low. Draw parts, then take ALL photographs of these."
        )
    if held.all():
        raise CheckFailed("You hold back every photograph: none is left to learn from.")
    return inside
