"""Spectrograms against tones of known pitch, and WAV folders of known content."""

import hashlib
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from dualad_lib import DataError, load_one_class
from dualad_lib.data import load_part, places
from dualad_lib.data.readers.spoken_digits import read_spoken_digits, spoken_clips, spoken_speakers
from dualad_lib.data.sound import MelSpectrogram, hertz, mel, read_events, read_wav

RATE = 8000
ROOT = Path(__file__).resolve().parents[1]


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


def test_a_silent_clip_is_black_and_a_click_lights_nothing_else():
    click = np.zeros(4000)
    click[2000] = 2**-15  # the least that 16 bits hold
    silent, clicked = MelSpectrogram()([np.zeros(4000), click])
    assert silent.max() == 0
    assert clicked.max() == 1 and (clicked > 0).any(1).sum() <= 2  # columns


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


def test_an_event_at_the_end_of_a_recording_and_a_short_recording_are_not_lost(tmp_path):
    """2.875 s give clips at 0, 1 and 1.875 s; the event at 2.3 s lies in the last alone. Half a second is one clip."""
    wavfile.write(tmp_path / "a.wav", RATE, np.arange(round(2.875 * RATE), dtype=np.int16))
    wavfile.write(tmp_path / "b.wav", RATE, np.zeros(RATE // 2, np.int16))
    (tmp_path / "labels.txt").write_text("a.wav\t2.3\t2.7\tgunshot\nb.wav\t\t\t\n")
    clips, events, names = read_events(tmp_path, tmp_path / "labels.txt")
    assert [len(clip) for clip in clips] == [RATE, RATE, RATE, RATE // 2]
    assert events.tolist() == [False, False, True, False] and events.dtype == bool
    assert names.tolist() == ["a.wav"] * 3 + ["b.wav"]
    assert round(float(clips[2][-1]) * 2**15) == round(2.875 * RATE) - 1


def test_the_mel_scale_and_its_inverse():
    assert mel(1000.0) == pytest.approx(1000, abs=0.1) and mel(0.0) == 0
    assert hertz(mel(np.array([30.0, 440.0, 4000.0]))) == pytest.approx([30, 440, 4000])


# ---------------------------------------------------------------- the spoken digits that ship


def test_shipped_digits_are_the_documented_file():
    path = places.shipped("spoken_digits.npz")
    content = path.read_bytes()
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(content).hexdigest() in readme and f"{len(content):,} bytes" in readme
    assert len(content) < 3e6
    for name in ("data/README.md", "LICENSE-CC-BY-SA-4.0"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "Jakobovski/free-spoken-digit-dataset" in text and "CC BY-SA 4.0" in text and "Changes" in text


def test_both_divisions_hold_every_clip_once_and_unheard_speakers_do_not_train():
    counts = {"spoken_digits": (270, 30), "spoken_digits_unheard": (200, 100)}
    pixels = []
    for dataset, (train_count, test_count) in counts.items():
        train, test = (load_part(dataset, part) for part in ("train", "test"))
        assert train.images.shape[1:] == test.images.shape[1:] == (1, 32, 32)
        assert train.labels.bincount().tolist() == [train_count] * 10
        assert test.labels.bincount().tolist() == [test_count] * 10
        pixels.append(int(train.images.sum()) + int(test.images.sum()))
    assert pixels[0] == pixels[1]
    heard = torch.cat([load_part("spoken_digits", part).images for part in ("train", "test")]).flatten(1)
    speakers = np.concatenate([spoken_speakers(part) for part in ("train", "test")])
    stranger = torch.from_numpy(np.isin(speakers, ("theo", "yweweler")))
    for part, chosen in (("train", ~stranger), ("test", stranger)):
        assert torch.equal(load_part("spoken_digits_unheard", part).images.flatten(1), heard[chosen])


@pytest.mark.parametrize("protocol", ["80_20", "one_vs_rest", "leave_one_class_out"])
@pytest.mark.parametrize("split", ["test", "development"])
def test_spoken_digits_work_in_every_protocol(protocol, split):
    task = load_one_class("spoken_digits", 3, protocol, split)
    assert len(task.train) and 0 < int(task.test_labels.sum()) < len(task.test_labels)


def test_example_clips_give_the_images_that_ship():
    """Each is a training clip of its digit and speaker."""
    clips, speakers = spoken_clips()
    images = (255 * MelSpectrogram()(clips)).round()
    train, names = load_part("spoken_digits", "train"), spoken_speakers("train")
    for digit, (image, speaker) in enumerate(zip(images, speakers, strict=True)):
        own = train.images[(train.labels == digit) & torch.from_numpy(names == speaker)]
        assert (own - image).abs().amax((1, 2, 3)).min() <= 1


def test_the_script_makes_the_file_from_recordings(tmp_path, monkeypatch, capsys):
    (tmp_path / "wav").mkdir()
    for number, (digit, speaker, index) in enumerate(
        (digit, speaker, index) for digit in (0, 1) for speaker in ("ada", "bob") for index in (0, 5)
    ):
        samples = (2**14 * tone(300 + 100 * number)).astype(np.int16)
        wavfile.write(tmp_path / "wav" / f"{digit}_{speaker}_{index}.wav", RATE, samples)
    script = ROOT / "data" / "make_spoken_digits.py"
    main = runpy.run_path(str(script))["main"]
    monkeypatch.setitem(main.__globals__, "SAMPLE", tmp_path / "made.npz")
    monkeypatch.setattr(sys, "argv", [script.name, str(tmp_path / "wav")])
    assert main() == 0
    first = (tmp_path / "made.npz").read_bytes()
    assert main() == 0 and (tmp_path / "made.npz").read_bytes() == first
    with np.load(tmp_path / "made.npz", allow_pickle=False) as made:
        assert made["train_labels"].tolist() == made["test_labels"].tolist() == [0, 0, 1, 1]
        assert made["speaker_names"][made["test_speakers"]].tolist() == ["ada", "bob"] * 2
        assert made["clip_lengths"].tolist() == [4800] * 2 and made["clip_speakers"].tolist() == [0, 1]
    monkeypatch.setattr(sys, "argv", [script.name, str(tmp_path / "wav"), "--check"])
    assert main() == 0
    wavfile.write(tmp_path / "wav" / "0_ada_5.wav", RATE, (2**14 * tone(2500)).astype(np.int16))
    assert main() == 1
    assert "DIFFER" in capsys.readouterr().out
