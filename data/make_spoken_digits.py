"""Make data/spoken_digits.npz, the spectrograms of spoken digits that ship with this project.

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset
    python data/make_spoken_digits.py free-spoken-digit-dataset/recordings
    python data/make_spoken_digits.py free-spoken-digit-dataset/recordings --check

Reads the 3,000 WAV files of the Free Spoken Digit Dataset and turns each into a log-mel spectrogram with the defaults
of `MelSpectrogram`, 32 bands and 32 frames, low bands below, as whole numbers 0 to 255. Arrays in the file:
train_images, test_images uint8 (N, 32, 32); train_labels, test_labels uint8 (N,), the digit; train_speakers,
test_speakers uint8 (N,), places in speaker_names; clips int16, ten recordings one after the other, one a digit;
clip_lengths (10,) says how long each is and clip_speakers (10,) who speaks. Recordings 0 to 4 of each speaker and digit
are the test part, as the set's authors say.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np

from dualad_lib.data.readers.spoken_digits import read_spoken_digits
from dualad_lib.data.sound import MelSpectrogram
from dualad_lib.files import atomic_write

SAMPLE = Path(__file__).resolve().parent / "spoken_digits.npz"


def make_sample(folder):
    """Read a folder of recordings; return the sample's arrays by name."""
    clips, digits, speakers, is_test = read_spoken_digits(folder)
    images = (255 * MelSpectrogram()(clips)[:, 0]).round().numpy().astype(np.uint8)
    names, speakers = np.unique(speakers, return_inverse=True)
    arrays = {"speaker_names": names}
    for part, chosen in {"train": ~is_test, "test": is_test}.items():
        arrays[f"{part}_images"] = images[chosen]
        arrays[f"{part}_labels"] = digits[chosen].astype(np.uint8)
        arrays[f"{part}_speakers"] = speakers[chosen].astype(np.uint8)
    # To look at: of each digit the first training recording of one speaker, who changes from digit to digit.
    shown = [
        np.flatnonzero(~is_test & (digits == k) & (speakers == k % len(names)))[0] for k in np.unique(digits)
    ]
    arrays["clips"] = np.concatenate([np.round(32768 * clips[i]).astype(np.int16) for i in shown])
    arrays["clip_lengths"] = np.array([len(clips[i]) for i in shown], np.int32)
    arrays["clip_speakers"] = speakers[shown].astype(np.uint8)
    return arrays


def main():
    """Write or check the sample; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="of the WAV files DIGIT_SPEAKER_INDEX.wav")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with the recordings")
    options = parser.parse_args()
    arrays = make_sample(options.folder)
    if options.check:
        with np.load(SAMPLE, allow_pickle=False) as sample:
            # Another build of the Fourier transform may round to the neighbouring grey level.
            same = all(
                np.array_equal(sample[name], values)
                or (name.endswith("images") and np.abs(sample[name].astype(int) - values).max() <= 1)
                for name, values in arrays.items()
            )
        print(f"{len(arrays['train_images']) + len(arrays['test_images'])} clips", end=" ")
        print("equal the recordings" if same else "DIFFER from the recordings")
        return 0 if same else 1
    with atomic_write(SAMPLE) as temporary:
        np.savez_compressed(temporary, **arrays)
    content = SAMPLE.read_bytes()
    print(f"{SAMPLE.name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
