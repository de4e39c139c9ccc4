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


@reports("enough images for the smallest p-value to be an alarm")
def check_images_needed(function):
    """function(rate) -> the smallest n with 1 / (n + 1) <= rate, a whole number."""
    call = numbers(function, "one number", shape=())
    known = {0.05: 19, 0.1: 9, 0.01: 99, 0.03: 33, 0.5: 1}
    given = {rate: float(call(rate)) for rate in known}
    wrong = {
        "The new image is one of n + 1: with 19 calibration images the smallest p-value is 1/20, and that is 5 %. One "
        "image fewer is enough.": {0.05: 20, 0.1: 10, 0.01: 100, 0.03: 34, 0.5: 2},
        "Round up: with 32 images the smallest p-value is 1/33, which is above 3 %.": {**known, 0.03: 32},
        "Images come whole. Round up to the next number.": {rate: 1 / rate - 1 for rate in known},
        "That is the smallest p-value of so many images, not their number: solve 1 / (n + 1) = rate for n.": {
            rate: 1 / (rate + 1) for rate in known
        },
    }
    if given == known:
        return
    for message, values in wrong.items():
        if all(np.isclose(given[rate], values[rate]) for rate in known):
            raise CheckFailed(message)
    rate = next(rate for rate in known if given[rate] != known[rate])
    raise CheckFailed(
        f"For the rate {rate:g} it is {known[rate]}: 1 / ({known[rate]} + 1) is at most {rate:g}, and with one image "
        f"fewer it would not be. You give {given[rate]:g}."
    )
