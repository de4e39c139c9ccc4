"""Spectrograms against tones of known pitch, and WAV folders of known content."""

import numpy as np
import pytest
from scipy.io import wavfile

from dualad_lib import DataError
from dualad_lib.data.sound import MelSpectrogram, read_events, read_spoken_digits, read_wav

RATE = 8000


def tone(frequency, seconds=0.6, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def test_a_tone_lights_the_band_of_its_pitch():
    mel = MelSpectrogram()
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 34)[1:-1] / 2595) - 1)
    for frequency in (300, 1000, 2500):
        image = mel([tone(frequency)])[0, 0]
        assert image.shape == (32, 32) and image.min() >= 0 and image.max() == 1
        row = 31 - int(image.mean(1).argmax())  # low bands below
        assert row == np.abs(centres - frequency).argmin()


def test_filters_cover_all_bands_and_sum_to_one():
    filters = MelSpectrogram(bands=48).filters()
    assert filters.shape == (48, 129) and np.allclose(filters.sum(1), 1) and (filters >= 0).all()


def test_short_clips_are_filled_up_and_long_ones_cut_where_they_are_loud():
    mel = MelSpectrogram()
    short = mel([tone(500, 0.1)])[0, 0]
    assert short[:, -1].max() == 0 and short[:, 0].max() > 0.5
    quiet = np.zeros(3 * RATE)
    quiet[2 * RATE : 2 * RATE + 4000] = tone(500, 0.5)
    assert mel([quiet])[0, 0].amax(0).min() > 0.3  # no silent column
    assert mel([np.array([0.1])]).shape == (1, 1, 32, 32)


def test_loudness_does_not_matter():
    mel = MelSpectrogram()
    assert np.allclose(mel([tone(700)]), mel([0.1 * tone(700)]), atol=1e-4)


@pytest.mark.parametrize("clip", [np.zeros(0), np.zeros((10, 2))])
def test_what_is_no_clip_is_refused(clip):
    with pytest.raises(DataError, match="row of samples"):
        MelSpectrogram()([clip])


@pytest.mark.parametrize(("kind", "scale"), [(np.int16, 2**15), (np.uint8, 128), (np.float32, 1)])
def test_wav_samples_lie_between_minus_one_and_one(tmp_path, kind, scale):
    samples = np.array([0, 0.5, -0.5])
    stored = (samples * scale + (128 if kind is np.uint8 else 0)).astype(kind)
    wavfile.write(tmp_path / "a.wav", RATE, np.stack([stored, stored], 1))
    read, rate = read_wav(tmp_path / "a.wav")
    assert rate == RATE and read == pytest.approx(samples)


def test_a_broken_wav_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"a\.wav is not a readable WAV"):
        read_wav(tmp_path / "a.wav")


def test_spoken_digits_are_read_by_their_names(tmp_path):
    for digit, speaker, index in ((3, "ada", 4), (3, "ada", 5), (7, "bob", 20)):
        wavfile.write(tmp_path / f"{digit}_{speaker}_{index}.wav", RATE, np.zeros(100, np.int16))
    clips, digits, speakers, is_test = read_spoken_digits(tmp_path)
    assert len(clips) == 3 and digits.tolist() == [3, 3, 7]
    assert speakers.tolist() == ["ada", "ada", "bob"] and is_test.tolist() == [True, False, False]
    with pytest.raises(DataError, match="holds no DIGIT_SPEAKER"):
        read_spoken_digits(tmp_path / "nowhere")


def test_clips_that_overlap_an_event_are_marked(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, np.zeros(4 * RATE, np.int16))
    wavfile.write(tmp_path / "b.wav", RATE, np.zeros(2 * RATE, np.int16))
    (tmp_path / "labels.txt").write_text("a.wav\t1.5\t2.2\tgunshot\nb.wav\n")
    clips, events, names = read_events(tmp_path, tmp_path / "labels.txt")
    assert [len(clip) for clip in clips] == [RATE] * 6
    assert events.tolist() == [False, True, True, False, False, False]
    assert names.tolist() == ["a.wav"] * 4 + ["b.wav"] * 2
    with pytest.raises(DataError, match="resample"):
        read_events(tmp_path, tmp_path / "labels.txt", rate=16000)
