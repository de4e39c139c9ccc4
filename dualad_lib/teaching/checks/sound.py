"""Checks of the lesson on sound."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

SOUND_CHANGES = {
    "the speaker comes nearer: each sample times two": (
        "same",
        "Every energy is four times as large, the loudest too: their ratio stays, and with it the image.",
    ),
    "the plug is turned: each sample times minus one": (
        "same",
        "The strength of a wave does not know its sign: phase was dropped in step 2.",
    ),
    "the recording is played backwards": (
        "mirrored",
        "The last frame comes first; each has the frequencies that it had.",
    ),
    "a tenth of a second of silence comes before": (
        "shifted right",
        "Time runs to the right, and silence adds black columns at the left.",
    ),
    "every frequency is a little higher, the rhythm is kept": (
        "shifted up",
        "Pitch runs upwards, and the columns stay where they are.",
    ),
}


@reports("you know what the image keeps of a sound, and what it forgets")
def check_sound_changes(answers):
    """answers: dict from each change in SOUND_CHANGES to "same", "mirrored", "shifted right" or "shifted up"."""
    compare_answers(answers, SOUND_CHANGES, ("same", "mirrored", "shifted right", "shifted up"))


@reports("decibels under the loudest point, silence below the floor")
def check_to_image(function):
    """function(energy, floor) -> max(0, 1 + 10 log10(energy / max energy) / floor), (bands, frames) in [0, 1]."""
    import torch

    call = numbers(function, "one number a band and frame", shape=(4, 5))
    energy = 10 ** np.random.default_rng(0).uniform(-7, 2, (4, 5))
    energy[0, 0], floor = 250.0, 50.0
    ratio = energy / energy.max()

    def scaled(ratio, factor=10, log=np.log10):
        return np.clip(1 + factor * log(ratio) / floor, 0, 1)

    right, given = scaled(ratio), call(torch.from_numpy(energy), floor)
    wrong = {
        "20 log10 is for amplitudes. These are energies, squared already: 10 log10.": scaled(ratio, 20),
        "That is the natural logarithm. Decibels count powers of ten: log10.": scaled(ratio, 10, np.log),
        "Without the factor 10 these are bels, and 50 of them are silent here.": scaled(ratio, 1),
        "Silence is white and the loudest point black: add 1, so that the loudest point is 1.": np.clip(
            -10 * np.log10(ratio) / floor, 0, 1
        ),
        "Decibels under WHAT? Divide by the loudest energy of the clip, else a loud clip is white and a soft one "
        "black.": scaled(energy),
        "The result leaves [0, 1]: what is more than `floor` under the loudest point is silence, 0.": 1
        + 10 * np.log10(ratio) / floor,
        "You stretch each clip from its softest to its loudest point. The floor is fixed, else a clip without silence "
        "gets some.": (np.log10(ratio) - np.log10(ratio).min()) / -np.log10(ratio).min(),
        "That is the energy in proportion, without a logarithm.": ratio,
    }
    if not np.allclose(given, right, atol=1e-4):
        for message, value in wrong.items():
            if np.allclose(given, value, atol=1e-4):
                raise CheckFailed(message)
        raise CheckFailed(
            f"For energies up to {energy.max():.0f} and a floor of {floor:.0f} dB the mean of the image is "
            f"{right.mean():.4f}; yours is {given.mean():.4f}."
        )
    energy[1:] = 0
    silent = as_array(function(torch.from_numpy(energy), floor))
    if not np.allclose(silent[1:], 0):
        raise CheckFailed("An energy of 0 must become 0, silence: clamp it before taking the logarithm.")
