"""Sounds as images: log-mel spectrograms of WAV files, and the layouts in which two public sets keep them."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError

SILENCE = 1e-10  # energy below which a bin is silent, however quiet the rest of its clip


def mel(hertz):
    """Pitch in mel, on which steps sound equally large. O'Shaughnessy, 1987: 2595 log10(1 + f / 700)."""
    return 2595 * np.log10(1 + hertz / 700)


def hertz(mel):
    """The frequency of a pitch in mel: the inverse of `mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


def mel_filters(bands, window, rate):
    """Triangular filters at equal distances in mel: float array (bands, window / 2 + 1), each row summing to 1.

    Each rises from the middle of the band below to its own, and falls to the middle of the band above. window: samples
    of a Fourier transform; rate: samples a second.
    """
    edges = hertz(np.linspace(0, mel(rate / 2), bands + 2))
    bins = np.fft.rfftfreq(window, 1 / rate)
    low, middle, high = (edges[i : i + bands, None] for i in range(3))
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    filters = np.clip(np.minimum(rise, fall), 0, None)
    empty = filters.sum(1) == 0  # a band narrower than a bin takes its nearest one
    filters[empty, np.abs(bins - middle).argmin(1)[empty]] = 1
    return filters / filters.sum(1, keepdims=True)


@dataclass(frozen=True)
class MelSpectrogram:
    """Clips of any length -> images: log energy in mel bands over time, scaled to [0, 1].

    rate: samples a second; bands: rows of the image; frames: columns, cut from the loudest stretch or filled up with
    silence; window, hop: samples. floor: decibels under the loudest bin of a clip that count as silence. Silence is 0,
    so a silent clip is black.
    """

    rate: int = 8000
    bands: int = 32
    frames: int = 32
    window: int = 256
    hop: int = 128
    floor: float = 60.0

    def __call__(self, clips):
        """clips: list of float arrays in [-1, 1]. Returns float32 images (N, 1, bands, frames), low bands below."""
        filters = self.filters()
        images = [
            self._image(torch.as_tensor(np.asarray(clip), dtype=torch.float32), filters) for clip in clips
        ]
        return torch.stack(images)[:, None]

    def filters(self):
        """Triangular filters, float32 tensor (bands, window / 2 + 1), each summing to 1."""
        return torch.from_numpy(mel_filters(self.bands, self.window, self.rate)).float()

    def _image(self, clip, filters):
        if clip.ndim != 1 or len(clip) == 0:
            raise DataError(f"a clip must be a row of samples, not of shape {tuple(clip.shape)}.")
        clip = torch.nn.functional.pad(clip, (0, max(0, self.window - len(clip))))
        spectrum = torch.stft(
            clip,
            self.window,
            self.hop,
            window=torch.hann_window(self.window),
            center=False,
            return_complex=True,
        )
        energy = filters @ spectrum.abs().square()
        energy = self._cut(energy)
        decibels = 10 * torch.log10(energy.clamp_min(SILENCE))
        image = ((decibels - decibels.max()) / self.floor + 1).clamp(0, 1)
        return torch.where(energy > SILENCE, image, 0).flip(0)  # the loudest bin of silence is silent too

    def _cut(self, energy):
        """`frames` columns: the stretch with the most energy, or all and silence after it."""
        missing = self.frames - energy.shape[1]
        if missing >= 0:
            return torch.nn.functional.pad(energy, (0, missing))
        sums = energy.sum(0).cumsum(0)
        sums = torch.cat([sums.new_zeros(1), sums])
        start = int((sums[self.frames :] - sums[: -self.frames]).argmax())
        return energy[:, start : start + self.frames]


def read_wav(path):
    """(samples as float array in [-1, 1], samples a second); several channels are averaged."""
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not a readable WAV file ({error}).") from error
    if samples.dtype.kind == "i":
        samples = samples / float(np.iinfo(samples.dtype).max + 1)
    elif samples.dtype.kind == "u":
        samples = samples / 128.0 - 1
    samples = samples.astype(np.float32)
    return (samples if samples.ndim == 1 else samples.mean(1)), rate


def read_events(folder, labels, seconds=1.0, rate=None):
    """Recordings with labelled events, as DCASE's rare sound events are laid out, cut into clips.

    folder: of WAV files. labels: a text file of lines "FILE<tab>ONSET<tab>OFFSET<tab>EVENT" (seconds; a file without an
    event stands alone in its line). Returns (clips, is_event bool (N,), names (N,)): a clip is an event if it
    overlaps one.
    Clips follow each other; the last of a recording ends where it ends, and reaches into the one before if need be.
    """
    events = {}
    with open(labels, newline="", encoding="utf-8") as file:
        for line in csv.reader(file, delimiter="\t"):
            if line:
                events.setdefault(line[0], [])
                if len(line) >= 3 and line[1].strip():
                    events[line[0]].append((float(line[1]), float(line[2])))
    if not events:
        raise DataError(f"{labels} names no recording.")
    clips, found, names = [], [], []
    for name, marked in sorted(events.items()):
        samples, own = read_wav(Path(folder) / name)
        if rate is not None and own != rate:
            raise DataError(f"{name} has {own} samples a second, not {rate}: resample it.")
        length = round(seconds * own)
        last = max(0, len(samples) - length)
        for start in [*range(0, last, length), last]:
            clips.append(samples[start : start + length])
            begin, end = start / own, (start + length) / own
            found.append(any(onset < end and offset > begin for onset, offset in marked))
            names.append(name)
    return clips, np.array(found, bool), np.array(names)
