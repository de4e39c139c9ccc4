"""The checks of lesson 14: right answers pass, wrong ones fail with a message that names the misconception."""

import numpy as np
import torch
from checking import fails, todo

from dualad_lib.data.sound import MelSpectrogram
from dualad_lib.teaching import checks


def test_sound_changes():
    check, table = checks.check_sound_changes, checks.SOUND_CHANGES
    assert check(dict.fromkeys(table)) is False and check(None) is False
    right = {key: answer for key, (answer, _) in table.items()}
    assert check(right)
    for key, (answer, reason) in table.items():
        for other in {"same", "mirrored", "shifted right", "shifted up"} - {answer}:
            fails(check, right | {key: other}, key, reason)


def test_the_answers_on_sounds_are_true():
    """The keys of the exercise, held against the library itself."""

    def look(clip):
        return MelSpectrogram()([clip])[0, 0]

    rate, t = 8000, np.arange(256 + 31 * 128) / 8000  # exactly 32 frames
    clip = 0.4 * np.sin(2 * np.pi * 500 * t) * (t < 0.2) + 0.1 * np.sin(2 * np.pi * 2000 * t) * (t > 0.15)
    image = look(clip)
    assert torch.allclose(look(2 * clip), image, atol=1e-5) and torch.allclose(look(-clip), image, atol=1e-5)
    assert torch.allclose(look(clip[::-1].copy()), image.flip(1), atol=0.02)
    late = look(np.concatenate([np.zeros(4 * 128), clip])[: len(clip)])
    assert torch.allclose(late[:, 5:], image[:, 1:-4], atol=1e-3) and late[:, :2].max() == 0

    def row(hz):
        return int(look(np.sin(2 * np.pi * hz * np.arange(rate) / rate)).mean(1).argmax())

    assert row(1500) < row(1000)  # rows are counted from the top


def test_to_image():
    check = checks.check_to_image

    def right(energy, floor):
        decibels = 10 * energy.clamp_min(1e-10).log10()
        return ((decibels - decibels.max()) / floor + 1).clamp(0, 1)

    assert check(todo) is False and check(right)

    def ratio(energy):
        return energy / energy.max()

    fails(check, lambda e, f: (20 * ratio(e).log10() / f + 1).clamp(0, 1), "amplitudes")
    fails(check, lambda e, f: (10 * ratio(e).log() / f + 1).clamp(0, 1), "natural")
    fails(check, lambda e, f: (ratio(e).log10() / f + 1).clamp(0, 1), "bels")
    fails(check, lambda e, f: (-10 * ratio(e).log10() / f).clamp(0, 1), "Silence is white")
    fails(check, lambda e, f: (10 * e.log10() / f + 1).clamp(0, 1), "under WHAT")
    fails(check, lambda e, f: 10 * ratio(e).log10() / f + 1, "leaves [0, 1]")
    fails(check, lambda e, f: 1 - ratio(e).log10() / ratio(e).log10().min(), "You stretch")
    fails(check, lambda e, f: ratio(e), "without a logarithm")
    fails(check, lambda e, f: ratio(e).sqrt(), "mean of the image")
    fails(check, lambda e, f: torch.where(e > 0, right(e, f), 0.5), "must become 0")
