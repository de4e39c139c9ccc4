# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 14 · Sound: a spectrogram is an image
#
# {{ colab_badge }}
#
# A worn bearing, a breaking window, a cough: many anomalies are heard, not seen. In this lesson a sound becomes
# an image, and every detector of this course then works on it without a change. But what does it listen to? We
# train on one spoken word, and ask whether the detector hears the *word* or the *speaker*.
#
# **After this lesson you will be able to**
#
# - turn a recording into a log-mel spectrogram, step by step, and say what is lost on the way;
# - say which transformations of a spectrogram make another sound, and which the same one;
# - find out whether a detector hears the word or the speaker;
# - read recordings with labelled events, and choose the image that fits the question.
#
# **You need** lessons [01](01_autoencoder_baseline.ipynb), [03](03_feature_constraint.ipynb) and
# [05](05_dual_scoring.ipynb).
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about an hour of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

# %% tags=["bootstrap"]
# Installs the course's library where it is missing, as on Colab; torch is never touched.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("dualad_lib") is None:
    source = os.environ.get("DUALAD_SOURCE") or "git+https://github.com/dualad-course/dualad"
    python = [sys.executable, "-m"]
    subprocess.run([*python, "pip", "install", "--quiet", "--no-deps", source], check=True)
    subprocess.run([*python, "dualad_lib.course.environment"], check=True)  # light packages that are missing
    importlib.invalidate_caches()

from dualad_lib.course.environment import describe

print(describe())

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.io import wavfile

from dualad_lib import PCA, Autoencoder, DualAD, NearestNeighbours, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.data import load_part
from dualad_lib.data.readers.spoken_digits import spoken_clips, spoken_speakers
from dualad_lib.data.sound import MelSpectrogram, read_events
from dualad_lib.detectors import IsolationForest
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import tables
from dualad_lib.experiments.results import study_rows
from dualad_lib.teaching import checks
from dualad_lib.transforms import dihedral

# %% tags=["parameters"]
normal_class = 7  # the word "seven" is normal, the other nine are anomalies
seed = 0
width = 8
latent_dim = 32
steps = 100  # batches that train one detector
batch_size = 64
recordings = 24  # that section 6 makes, half of them with events
seconds = 10  # each

# %%
words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
normal_word = words[normal_class]
settings = {
    "width": width,
    "latent_dim": latent_dim,
    "steps": steps,
    "batch_size": batch_size,
    "seed": seed,
}

# %% [markdown]
# Here are four words, each said by six speakers. Time runs to the right, pitch upwards, and what is loud is
# bright.

# %%
task = load_one_class("spoken_digits", normal_class, seed=seed)
speakers, y = spoken_speakers("test"), task.test_labels.numpy()
names = list(np.unique(speakers))
some = [normal_class, *(k for k in (0, 6, 9, 1) if k != normal_class)][:4]
rows = {
    f'"{words[k]}"': torch.cat(
        [task.test[(task.test_classes == k) & torch.from_numpy(speakers == name)][:1] for name in names]
    )
    for k in some
}
figure = plots.image_grid(rows, titles=names, size=1.1)
plots.show(
    figure,
    alt="Spectrograms: a row for each of four words, a column for each of six speakers. Words differ in where bright "
    "bands rise and fall, and so do speakers, in length, pitch and background.",
)

# %% [markdown]
# Look along a row: what is common to all six is the word. Look down a column: what is common is the speaker.
# **Predict** which of the two is the larger difference for a nearest neighbour. (Section 4 answers.) But first,
# where do such images come from?
#
# ## 1. From a row of numbers to an image
#
# The [Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset) has 3,000 recordings: six
# speakers say each digit fifty times. Here is one recording of them, as it came. To hear it, put
# `from IPython.display import Audio; Audio(clip, rate=rate)` into a cell below the next.
#
# **Predict** before you go on: where in the image will the vowels be, above or below, and where the hiss of the
# *s*?

# %%
rate = 8000  # samples a second
clips, clip_speakers = spoken_clips()
clip = torch.from_numpy(clips[normal_class])
print(f'"{normal_word}", {clip_speakers[normal_class]}: {len(clip)} samples, {len(clip) / rate:.2f} seconds')

# %% [markdown]
# **Step 1, cut.** A sound changes, so we look at it through a window of 256 samples, 32 milliseconds. The window
# moves on by half of its length at a time, and each position gives one *frame*. (A Hann window fades each piece in
# and out. A piece that begins abruptly would seem to hold frequencies that only its edges make.)
#
# **Step 2, Fourier transform.** It takes each piece apart into waves of equally spaced frequencies, the *bins*.
# Bin 0 is at 0 Hz, and bin 1 is the wave that fits into the window once. We keep how strong each wave is, and
# drop where it starts (its phase).
#
# **Predict:** how many bins do 256 samples have? At which frequency is bin 16?

# %%
window, hop = 256, 128
pieces = clip.unfold(0, window, hop) * torch.hann_window(window)  # (frames, window)
power = torch.fft.rfft(pieces).abs().square().T  # (bins, frames)
bins = np.fft.rfftfreq(window, 1 / rate)
print(f"{len(bins)} bins from {bins[0]:.0f} to {bins[-1]:.0f} Hz, bin 16 is {bins[16]:.0f} Hz")

# %% [markdown]
# That is half of the samples, and one more: no wave faster than half of the sampling rate fits between the
# samples.
#
# **Step 3, mel bands.** A step from 200 to 300 Hz is plain to hear, one from 3,000 to 3,100 hardly. On the
# *mel* scale equal steps sound equally large. Each band of the image collects the bins under a triangle, narrow
# at low frequencies and wide at high ones.
#
# **Predict:** of 32 bands between 0 and 4,000 Hz, how many lie below 1,000?


# %%
def mel(hertz):
    """Pitch in mel, on which steps sound equally large. O'Shaughnessy, 1987: 2595 log10(1 + f / 700)."""
    return 2595 * np.log10(1 + hertz / 700)


def hertz(mel):
    """The frequency of a pitch in mel: the inverse of `mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


# %%
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


# %%
energy = torch.from_numpy(mel_filters(32, window, rate)).float() @ power  # (bands, frames)
middles = hertz(np.linspace(0, mel(rate / 2), 34))[1:-1]  # where each band peaks
print(
    f"{(middles < 1000).sum()} of {len(middles)} bands peak below 1,000 Hz, the highest at {middles[-1]:.0f} Hz"
)

# %% [markdown]
# **Step 4, decibels.** **Predict:** if the loudest point is white and everything else in proportion, what share
# of the image is brighter than a tenth of white?

# %%
linear = energy / energy.max()
image = MelSpectrogram(frames=energy.shape[1])([clip])[0, 0]  # all four steps
panels = {
    "power of each frequency": ((power / power.max()).flip(0), bins[::-1]),
    "mel bands": (linear.flip(0), middles[::-1]),
    "mel bands, decibels": (image, middles[::-1]),
}
figure = plots.sound(clip, panels, rate, hop, title=f'"{normal_word}"')
plots.show(
    figure,
    alt=f"The word {normal_word} four times over the same time axis: the waveform, loud and then dying away; its power "
    "spectrum, black but for a few points at low frequencies; the same in mel bands, nearly as black; and in decibels, "
    "where grey and white bands show at all frequencies, brightest below 1,000 Hz.",
)
bright = {name: float((x > 0.1).float().mean()) for name, x in {"linear": linear, "decibels": image}.items()}
print("share of points above a tenth: " + ", ".join(f"{n} {100 * v:.0f} %" for n, v in bright.items()))

# %% [markdown]
# In proportion the image is nearly black; in decibels {{ bright_decibels | pct0 }} % of it can be seen. What
# has a hundredth of the loudest energy is still heard well, but a squared error would never look at it. So we
# take a logarithm. With $e$ the energy of a point and $e_{\max}$ that of the loudest,
# $10 \log_{10}(e / e_{\max})$ is in *decibels*, and everything more than 60 of them below the loudest point we
# call silence:
#
# $$x = \max\left(0,\; 1 + \frac{10 \log_{10}(e / e_{\max})}{60}\right)$$
#
# The vowels are the bright bands below 1,000 Hz. The hiss of the *s* belongs at the left, above, and there is
# little of it: most of a hiss lies over 4,000 Hz, where 8,000 samples a second end. What was not recorded no
# image shows.
#
# **What was lost:** phase; loudness, for each clip has its own $e_{\max}$; pitch inside a band; and all but the
# loudest half second, because by default the image has 32 columns, filled up with silence. Each of these may be
# what you are after, and then it takes another image.
#
# ## 2. The detectors of this course, on sound
#
# **Protocol:** one word is normal. Its 270 training clips train, and all 300 test clips test. Each speaker is on
# both sides, with other recordings: keep that in mind. Nothing about the detectors is changed; they get images of
# 32 x 32. **Predict** the order of PCA, nearest neighbour, autoencoder and DualAD.

# %%
detectors = {
    "PCA": PCA(),
    "nearest neighbour": NearestNeighbours(),
    "isolation forest": IsolationForest(seed=seed),
    "autoencoder": Autoencoder(**settings),
    "DualAD": DualAD(**settings),
}
final = {name: model.fit(task.train).anomaly_scores(task.test).final for name, model in detectors.items()}
result = {name: {"final": auroc(y, values)} for name, values in final.items()}
figure = plots.auroc_bars(result)
told = "; ".join(f"{name} {100 * group['final']:.1f}" for name, group in result.items())
plots.show(
    figure,
    alt=f'AUROC of each detector\'s final score, with the word "{normal_word}" as normal class. {told}.',
)


# %% [markdown]
# It works: PCA has {{ auroc_pca | pct }}, and no network of ours is better than that. A result as good as this
# should make you suspicious. *What* do they hear? We ask twice: with sounds whose answer we know, and with a
# stranger.
#
# ## 3. What a transformation means for a sound
#
# Lesson 03 turned and mirrored images, and a critic had to say how. In a spectrogram the two sides of the image
# are not alike: one is time, the other pitch.
#
# | change of the image | to the sound | is it another sound? |
# |---|---|---|
# | shift along time | comes a little later | no |
# | shift along pitch by a band | another voice | no, if words are normal |
# | mirror left-right | played backwards | yes |
# | mirror up-down | high and low exchanged | yes |
# | transpose, or a quarter turn | time and pitch exchanged | yes, one that nobody makes |
#
# A transformation that makes another sound is a good *question* for the critic: "which one was it?" One that leaves
# the sound the same is a good *view*: "these two belong together". Exchange the two, and you teach the detector not
# to hear. DualAD's weak views turn and stretch a little and shift by a column at most (our `later` shifts by
# three). Its strong views were made for photographs: they crop, and they mirror half of the images. So we train a
# DualAD with strong views as well, change the normal test clips, and see who takes offence.


# %%
def backwards(x):
    """The clips played backwards: mirrored, and the silence that fills an image up stays at its end."""
    silent = (x.amax((1, 2)) == 0).flip(1).cumprod(1).sum(1)
    return torch.stack([one.flip(2).roll(-int(n), 2) for one, n in zip(x, silent, strict=True)])


def later(x, columns=3):
    return torch.cat([x[..., :1].expand(-1, -1, -1, columns), x[..., :-columns]], 3)


def higher(x):
    return torch.cat([x[:, :, 1:], x[:, :, -1:]], 2)


# %%
clean = task.test[task.test_labels == 0]
changes = {
    "48 ms later": later(clean),
    "a band higher": higher(clean),
    "backwards": backwards(clean),
    "high and low exchanged": dihedral(clean, 2),
    "time and pitch exchanged": dihedral(clean, 4),
}
figure = plots.image_grid(
    {"as it is": clean[::5], **{name: x[::5] for name, x in changes.items()}}, titles=names, size=0.95
)
plots.show(
    figure,
    alt="The normal word, once a speaker, and below them the same later, higher, backwards, upside down and with "
    "time and pitch exchanged. The first two rows look like the original, the others do not.",
)

# %% [markdown]
# **Predict** for each row: 50 (the detector does not notice) or 100 (it takes the change for an anomaly)? What
# would you *want*?

# %%
judges = {
    "nearest neighbour": detectors["nearest neighbour"],
    "DualAD, weak views": detectors["DualAD"],
    "DualAD, strong views": DualAD(views="strong", **settings).fit(task.train),
}
is_changed = np.repeat([0, 1], len(clean))
noticed = {
    name: {
        change: 100 * auroc(is_changed, model.anomaly_scores(torch.cat([clean, x])).final)
        for change, x in changes.items()
    }
    for name, model in judges.items()
}
pd.DataFrame(noticed).round(0)

# %% [markdown]
# Played backwards, the word is noticed by all but the DualAD with strong views ({{ backwards_strong | pct0 }}). It
# was taught that mirrored is the same, and its score averages both sides and all places, so it does not mind when a
# word comes either. The price: it tells our word from the others with {{ auroc_strong | pct }} instead of
# {{ auroc_dualad | pct }}.
#
# The harmless changes are noticed above all by the two others, which compare place with place. A view is not good
# or bad in itself. It says what shall not matter.
#
# ## 4. The word or the speaker?
#
# All six speakers are on both sides of the division. So take the nearest neighbour of every test clip among
# *all* training clips, whatever the word. **Predict:** how often is it the same word? And the same speaker?
# (Guessing: 10 % and 17 %.)

# %%
train = load_part("spoken_digits", "train")
train_speakers = spoken_speakers("train")
distance = torch.cdist(task.test.flatten(1).float(), train.images.flatten(1).float())
nearest = distance.argmin(1)
same_word = float((train.labels[nearest] == task.test_classes).float().mean())
same_speaker = float((train_speakers[nearest.numpy()] == speakers).mean())
print(f"the same word {100 * same_word:.0f} %, the same speaker {100 * same_speaker:.0f} %")

# %% [markdown]
# So the nearest clip is nearly always the same word *by the same speaker*, and section 2 was measured among
# friends. What is left when a stranger comes? For each speaker in turn, train on the other five, then ask three
# questions:
#
# 1. The stranger's ten words: are the other nine told from the normal one? (They should be: 100.)
# 2. The normal word: is the stranger told from the five that are known? (He should not be: 50.)
# 3. The stranger says the normal word, the five say other words. Who is the anomaly? (The five: 100.)
#
# **Predict** the three means for the nearest neighbour, and where DualAD will differ.


# %%
def ask(detector, stranger):
    """AUROC of the three questions when `stranger` (a name) does not train."""
    is_word, theirs = train.labels.numpy() == normal_class, speakers != stranger
    is_his = train_speakers == stranger
    detector.fit(train.images[is_word & ~is_his])
    his = detector.anomaly_scores(train.images[is_his]).final
    known = detector.anomaly_scores(task.test[torch.from_numpy(theirs)]).final
    his_word, his_others = his[is_word[is_his]], his[~is_word[is_his]]
    known_word, known_others = known[y[theirs] == 0], known[y[theirs] == 1]
    pairs = [(his_word, his_others), (known_word, his_word), (his_word, known_others)]
    return [auroc(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b])) for a, b in pairs]


# %%
questions = ["1: his words", "2: he or\nthe five", "3: his word or\ntheir others"]
asked = {
    "nearest neighbour": [ask(NearestNeighbours(), name) for name in names],
    "DualAD": [ask(DualAD(**settings), name) for name in names],
}
asked = {name: pd.DataFrame(found, index=names, columns=questions) for name, found in asked.items()}

# %% tags=["machinery"]
figure, ((axis,),) = plots.canvas(7.2, 3.6)
for k, (name, found) in enumerate(asked.items()):
    for place, question in enumerate(questions):
        at = place + (k - 0.5) * 0.34
        look = {"color": plots.COLOURS[k], "marker": plots.MARKERS[k]}
        axis.scatter(np.full(len(names), at), 100 * found[question], s=26, alpha=0.55, linewidths=0, **look)
        mean = 100 * found[question].mean()
        axis.plot([at - 0.11, at + 0.11], [mean, mean], color=plots.COLOURS[k], linewidth=2.4)
        axis.text(at + 0.13, mean, f"{mean:.0f}", va="center", fontsize=9)
    axis.scatter([], [], label=name, **look)
for place, wanted in enumerate((100, 50, 100)):
    axis.plot([place - 0.4, place + 0.4], [wanted, wanted], color="black", linestyle=":", linewidth=1.2)
axis.plot([], [], color="black", linestyle=":", label="what it should be")
axis.set_xticks(range(3), questions)
axis.grid(False, axis="x")
axis.set(ylabel="AUROC (%)", ylim=(min(20, 100 * min(f.min(axis=None) for f in asked.values()) - 3), 103))
figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
told = "; ".join(
    f"{name}: " + ", ".join(f"{100 * found[q].mean():.0f}" for q in questions)
    for name, found in asked.items()
)
plots.show(
    figure,
    alt="For each of three questions six points a detector, one a speaker who did not train, and their mean. The means "
    f"of {told}. A dotted line shows what each should be: 100, 50 and 100.",
)

# %% [markdown]
# Each point is one stranger, each bar the mean. A new voice alone is taken for an anomaly by both detectors
# (question 2: {{ stranger_told_knn | pct0 }} and {{ stranger_told_dualad | pct0 }}). In question 3 the right word
# in a new voice stands against wrong words in known voices, and for the nearest neighbour it is nearly a draw
# ({{ stranger_either_knn | pct0 }}); where points fall below 50 the voice is the larger anomaly. So it hears
# *both*: nobody had told it which one we meant.
#
# DualAD was told a little. It had to name mirrorings, and that takes the shape of the word; this may be why the
# wrong word weighs more for it in question 3. What to do? Train on more speakers, and divide the test by what
# must not matter, be it speaker, microphone, machine or day.
#
# ## 5. All ten words
#
# Was it just the word "seven"? Here are two divisions of the same 3,000 clips with each word as
# normal in turn, from a committed measurement (`dualad reproduce --study sound --executor python`). *Heard* is
# the authors' own, with all speakers on both sides. For *unheard* four speakers train, and the two others test.
#
# **Predict:** who loses most when the speakers are strangers? Does a network win in the first column, and in the
# second?

# %%
committed_rows = study_rows("sound")
full = tables.study(committed_rows, ["dataset", "detector"]).AUROC.unstack("dataset")
full = full.rename(columns={"spoken_digits": "heard", "spoken_digits_unheard": "unheard"})
full = full.reindex(["pca", "knn", "isolation_forest", "ocsvm", "kde", "autoencoder", "dualad"])
full.index = [
    "PCA",
    "nearest neighbour",
    "isolation forest",
    "one-class SVM",
    "kernel density",
    "autoencoder",
    "DualAD",
]
full.columns.name = None
full.assign(lost=full.heard - full.unheard).round(1)

# %%
gain, low, high, won, _ = tables.paired(
    committed_rows, "spoken_digits_unheard", ("dualad", "dual"), ("pca", "score")
)
print(
    f"unheard, DualAD - PCA: {gain:+.1f} points, 95 % interval {low:.1f} to {high:.1f}, {won:.0f} of 10 words"
)

# %% [markdown]
# Among known speakers nobody needs a network. With strangers, and 200 clips of four voices to learn from instead of
# 270 of six, all fall, and DualAD is ahead: what it adds to the autoencoder looks like nothing in the first column
# and is worth {{ 100 * unheard_dualad - 100 * unheard_autoencoder | f1 }} points in the second. Whether it beats
# PCA stays open, for the interval reaches zero; and ten words are many, but two strangers and one seed are few.
#
# ## 6. Recordings with events
#
# A microphone on a street does not deliver one word a file. It runs for minutes, and something happens now and
# then. [DCASE](https://dcase.community) (Detection and Classification of Acoustic Scenes and Events) lays such
# data out as a folder of WAV files and a tab-separated file of labels: `FILE ONSET OFFSET EVENT`, and a file
# without an event stands alone in its line. Those recordings are many gigabytes, so the next cell makes its
# own: noise of a street, deep and changing, and in half of the files a short beep that is weaker than the
# noise.

# %% tags=["machinery"]
random = np.random.default_rng(seed)
folder = Path(tempfile.mkdtemp())
labels = []
for number in range(recordings):
    noise = np.convolve(random.normal(size=seconds * rate), 0.9 ** np.arange(60), "same")
    slow = 1 + 0.5 * np.sin(2 * np.pi * (np.arange(len(noise)) / rate / 4 + random.random()))
    street = 0.05 * slow * noise
    name = f"street_{number:02}.wav"
    labels.append(name)
    if number % 2:
        onset = random.uniform(1, seconds - 2)
        t = np.arange(round(0.25 * rate)) / rate
        start = round(onset * rate)
        street[start : start + len(t)] += 0.06 * np.hanning(len(t)) * np.sin(2 * np.pi * 1800 * t)
        labels[-1] = f"{name}\t{onset:.3f}\t{onset + 0.25:.3f}\tbeep"
    wavfile.write(folder / name, rate, (32767 * street.clip(-1, 1)).astype(np.int16))
(folder / "labels.txt").write_text("\n".join(labels))

# %%
pieces, is_event, files = read_events(folder, folder / "labels.txt", seconds=1.0)
event_file = np.isin(files, files[is_event])
images = MelSpectrogram(frames=61)(pieces)  # a second has 61 frames
quiet, test = (
    images[~event_file],
    images[event_file],
)  # recordings without an event train, those with one test
is_beep = is_event[event_file].astype(int)
pick = np.concatenate([np.flatnonzero(is_event)[:3], np.flatnonzero(event_file & ~is_event)[:3]])
figure = plots.image_grid(
    {"": images[pick].repeat_interleave(2, 2)},
    titles=["beep"] * 3 + ["none"] * 3,
    size=1.3,
    title="one second each",
)
plots.show(
    figure,
    alt="Six spectrograms of a second of street noise, brighter at low frequencies. Clips with a beep have a short "
    "bright dash above the middle; where the beep only begins at the end of the clip none can be seen.",
)
print(f"{len(pieces)} clips of one second, {is_event.sum()} of them with a beep or a part of one")

# %% [markdown]
# A clip counts as an event if it holds any part of one, be it two milliseconds, so not every beep can be seen.
#
# **Predict** the AUROC of three detectors: a loudness meter (the energy of the clip); the nearest neighbour of
# the whole image; and the nearest neighbour of each *frame* among all training frames, where a clip gets the
# score of its worst frame.

# %%
loudness = np.array([np.square(piece).mean() for piece in pieces])[event_file]


def as_frames(images):
    """Images (N, 1, bands, frames) -> each column an image of its own, (N * frames, 1, bands, 1)."""
    return images.permute(0, 3, 1, 2).flatten(0, 1)[..., None]


few = {"false_alarm_rate": 0.1}  # too few clips for the threshold of a smaller one
by_frame = NearestNeighbours().fit(as_frames(quiet)).anomaly_scores(as_frames(test)).final
events = {
    "loudness": loudness,
    "nearest neighbour, whole image": NearestNeighbours(**few).fit(quiet).anomaly_scores(test).final,
    "nearest neighbour, worst frame": by_frame.reshape(len(test), -1).max(1),
}
found_events = {name: auroc(is_beep, values) for name, values in events.items()}
pd.Series(found_events).mul(100).round(1)

# %% [markdown]
# The frame finds more than the whole image. A beep may come at any moment, and no training image has *this* noise
# at *that* moment, so over a whole image the differences of the noise add up. A word has a beginning and is
# compared as a whole; noise has none, so compare frame with frame. (Loudness hears the street swell and not the
# beep; with {{ n_events | int }} clips its figure is chance. The beep was made to be found: a mechanism, no
# result.)
#
# **And machines?** A pump has no beginning either: use frames, and do not ask a critic about time. A fan has a
# pitch, so a band higher, harmless for words, is a fault. The image above forgets loudness and ends at 4,000
# Hz, where many faults only begin. And another hall or another microphone is the stranger of section 4: test
# across them.
#
# ## Recap
#
# - A recording becomes an image in four steps: cut, Fourier transform, mel bands, decibels. Every detector
#   works on it.
# - Which transformation is a question and which a view depends on the sound. Check with changes whose answer
#   you know.
# - Figures among known speakers say little about a new one. Divide the test by what must not matter.
# - For events the unit matters: frames for noise, whole clips for words.
#
# **Take with you** one sentence for your own data: *what is normal here that I never meant?* The nearest
# neighbour of a few test images, whatever their class, is the quickest way to find out.

# %% tags=["machinery"]
record(
    **{f"bright_{name}": value for name, value in bright.items()},
    auroc_pca=result["PCA"]["final"],
    auroc_knn=result["nearest neighbour"]["final"],
    auroc_isolation_forest=result["isolation forest"]["final"],
    auroc_ae=result["autoencoder"]["final"],
    auroc_dualad=result["DualAD"]["final"],
    **{
        f"{short}_{judge}": noticed[column][change] / 100
        for short, change in {
            "backwards": "backwards",
            "later": "48 ms later",
            "higher": "a band higher",
        }.items()
        for judge, column in {
            "gentle": "DualAD, weak views",
            "strong": "DualAD, strong views",
            "knn": "nearest neighbour",
        }.items()
    },
    auroc_strong=auroc(y, judges["DualAD, strong views"].anomaly_scores(task.test).final),
    same_word=same_word,
    same_speaker=same_speaker,
    **{
        f"stranger_{what}_{short}": float(value)
        for name, short in {"nearest neighbour": "knn", "DualAD": "dualad"}.items()
        for what, value in {
            **dict(zip(("words", "told", "either"), asked[name].mean(), strict=True)),
            "worst": asked[name][questions[2]].min(),
        }.items()
    },
    **{
        f"{column}_{short}": full.loc[name, column] / 100
        for name, short in {
            "PCA": "pca",
            "nearest neighbour": "knn",
            "autoencoder": "autoencoder",
            "DualAD": "dualad",
        }.items()
        for column in full
    },
    gain_pca=gain,
    low_pca=low,
    high_pca=high,
    won_pca=won,
    event_loudness=found_events["loudness"],
    event_image=found_events["nearest neighbour, whole image"],
    event_frame=found_events["nearest neighbour, worst frame"],
    n_events=int(is_event.sum()),
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** What becomes of the image of section 1: is it the `"same"`, `"mirrored"` left-right, `"shifted
# right"` or `"shifted up"`?

# %%
answers = {
    "the speaker comes nearer: each sample times two": None,
    "the plug is turned: each sample times minus one": None,
    "the recording is played backwards": None,
    "a tenth of a second of silence comes before": None,
    "every frequency is a little higher, the rhythm is kept": None,
}
checks.check_sound_changes(answers)

# %% [markdown]
# <details><summary>Hint</summary>
#
# What happens to $e$ and to $e_{\max}$ when each sample is doubled? And to a square when its sign turns?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# answers = {
#     "the speaker comes nearer: each sample times two": "same",
#     "the plug is turned: each sample times minus one": "same",
#     "the recording is played backwards": "mirrored",
#     "a tenth of a second of silence comes before": "shifted right",
#     "every frequency is a little higher, the rhythm is kept": "shifted up",
# }
# ```
#
# </details>
#
# **2. Code.** Step 4: from energies to an image in [0, 1].


# %%
def to_image(energy, floor):
    """energy: (bands, frames), 0 or more. floor: decibels under the loudest that are silence. (bands, frames)."""
    raise NotImplementedError


checks.check_to_image(to_image)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The formula stands in section 1, with 60 for the floor.
#
# </details>
# <details><summary>Hint 2</summary>
#
# An energy of 0 has no logarithm: `clamp_min(1e-10)` first.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def to_image(energy, floor):
#     decibels = 10 * energy.clamp_min(1e-10).log10()
#     return ((decibels - decibels.max()) / floor + 1).clamp(0, 1)
# ```
#
# </details>
#
# **3. Explain.** A detector is trained on a fan that runs well, with the images of this lesson. Then a part comes
# loose: 6 dB louder at all frequencies. Then a second fan, as good as the first, replaces it. What will the
# detector say each time, what should it say, and what would you change?
#
# <details><summary>Hint</summary>
#
# Which of the two changes survives $e_{\max}$? And which one is section 4 again?
#
# </details>
# <details><summary>Solution</summary>
#
# Louder by 6 dB at all frequencies is the same image: nothing is said, though something has come loose. Scale
# by a fixed level of the microphone instead of each clip's own $e_{\max}$, or hand the level to the detector as
# a number of its own. The second fan has a slightly other pitch and its own hum, as a new speaker has his own
# voice: an alarm, though nothing is wrong. Train on several fans, test on one that did not train, and set the
# threshold by that one's false alarms.
#
# </details>
#
# ## References
#
# - Z. Jackson et al. [*Free Spoken Digit Dataset*](https://github.com/Jakobovski/free-spoken-digit-dataset) (CC
#   BY-SA 4.0; the spectrograms here are made from it).
# - D. O'Shaughnessy. *Speech communication: human and machine.* Addison-Wesley 1987 (the mel formula).
# - A. Mesaros et al. *DCASE 2017 challenge setup: tasks, datasets and baseline system* (rare sound events).
# - Y. Koizumi et al. *Description and discussion on DCASE2020 challenge task 2: unsupervised anomalous sound
#   detection for machine condition monitoring.*
# - D. S. Park et al. *SpecAugment.* Interspeech 2019 (views of a spectrogram).
# - R. Geirhos et al. *Shortcut learning in deep neural networks.* Nature Machine Intelligence 2020.
