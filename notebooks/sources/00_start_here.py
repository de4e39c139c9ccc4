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
# # 00 · Start here
#
# {{ colab_badge }}
#
# A machine has seen a thousand pictures of bags, and nothing else. Now it gets a new picture. Is this a bag?
# That is **anomaly detection** from one class: we know what is normal, and have no list of what is not.
#
# **After this lesson you will be able to**
#
# - set up a one-class task and say which image may be used for what;
# - compute the AUROC by hand, and say what accuracy hides;
# - run five classical detectors, and read their results with an interval;
# - show with numbers how three common mistakes make a detector look better than it is.
#
# **You need** Python and a little PyTorch. You need to know nothing about anomaly detection.
#
# **It takes** {{ run_seconds | int }} seconds and {{ run_memory_mb | int }} MB of memory on
# {{ run_device }}, and about 45 minutes of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

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

# %% [markdown]
# First, where this leads. A spindle under load, photographed every few hours for ten days. From the first days' good
# photographs a detector learns what is normal; then it gets one of the last.

# %%
from dualad_lib import PatchCore, plots, plots_parts
from dualad_lib.data import load_inspection
from dualad_lib.data.inspection import split_by_time

screws = load_inspection("ball_screws_sample")  # Schlagenhauf et al., 2021, CC BY-SA 4.0, made smaller
early, _ = split_by_time(screws.times, screws.places, first=20)
finder = PatchCore(side=320, false_alarm_rate=0.1).fit(screws.images[early])
place = screws[screws.places == 2]  # 57 photographs of one spot
chosen = [20, 53]
heat = finder.anomaly_map(place.images[chosen])
figure = plots_parts.heat_maps(place.images[chosen], heat, place.masks[chosen], ["day 4", "day 10"])
plots.show(
    figure,
    alt="Two photographs of a shiny metal thread. Day 4 has no heat on it. On day 10 a dark pit has broken out of the "
    "track; the outline that an engineer drew around it and the hottest spot of the detector's heat map coincide.",
)

# %% [markdown]
# Nobody showed it a pit. The blue outline is what an engineer marked afterwards, and the detector never saw that
# either; the heat is its own, drawn only where it is strongest. How it does this, and why you should not believe it
# yet, is lesson [13](06_features_that_know_images.ipynb). We begin with the smallest case that has all of the problem
# in it.

# %%
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn

from dualad_lib import KDE, PCA, IsolationForest, NearestNeighbours, OneClassSVM, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc, average_precision, bootstrap_interval, fpr_at_tpr

# %% [markdown]
# The next cell holds everything that you may want to change. Each value is used further down, and none is
# set again.

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"  # small real sample that ships with the course
normal_class = 8  # 8 = bag
seed = 0
n_components = 32  # directions that PCA keeps
n_bootstrap = 300  # draws for an interval
n_random = 200  # detectors that guess
leak_classes = [0, 2, 4, 6, 8]  # normal classes of the two experiments on leaks
leak_epochs = 12

# %% [markdown]
# ## 1. The data, and who may see what
#
# **Fashion-MNIST** (Xiao et al., 2017) holds grey pictures of 28 × 28 pixels in ten classes of clothing. We
# name one class **normal**. Every other class is then **anomalous**.

# %%
task = load_one_class(dataset, normal_class, protocol="one_vs_rest", seed=seed)
task

# %%
x, x_test = task.train, task.test  # uint8 images, (N, C, H, W)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
print(f"train {tuple(x.shape)}, all of class {task.normal_name!r}")
print(f"test  {tuple(x_test.shape)}: {np.sum(y == 0)} normal, {np.sum(y == 1)} anomalous")

# %%
normal_test, anomalous_test = x_test[y == 0], x_test[y == 1]
spread = np.linspace(0, len(anomalous_test) - 1, 9).astype(int)
rows = {"train": x[:9], "test, normal": normal_test[:9], "test, anomalous": anomalous_test[spread]}
figure = plots.image_grid(rows)
plots.show(
    figure,
    alt=f"Three rows of nine small grey images: training images ({task.normal_name}), normal test images of "
    "the same class, and test images of other classes.",
)

# %%
record(n_train=len(x), n_test=len(x_test), n_normal=int(np.sum(y == 0)), n_anomalous=int(np.sum(y == 1)))

# %% [markdown]
# Look along a row before you look down. The normal images differ a lot among themselves: handles, shapes,
# stripes. A detector must allow for that, and still reject an image that it has never been warned of.
#
# Three rules make a result worth reading. This set-up is called **protocol P2**, or *one-vs-rest*:
#
# 1. **Training** sees the {{ n_train }} training images of the normal class, and no other image.
# 2. **Testing** uses the whole test set: {{ n_normal }} normal and {{ n_anomalous }} anomalous images. Their
#    labels are used once, to measure the finished detector.
# 3. **Choosing** (how many components, how many epochs, which score) never uses the test set. Where a choice
#    needs anomalies, it is made on a **development split**: a part of the *training files*, held back.

# %%
development = load_one_class(dataset, normal_class, split="development", seed=seed)
print("to learn from:", len(development.train), "normal images")
print("to choose by: ", len(development.test), "images, from the training files of all classes")

# %% [markdown]
# The development split does contain other classes, with labels. In a real task you may have no such images.
# So a choice made on it is made *once, for all classes together*, and then frozen.
#
# ## 2. A detector is a function that gives a number
#
# An **anomaly score** $s(x)$ is one number an image. Higher means *more anomalous*. Where to raise the
# alarm, at which **threshold**, is a second question.
#
# Our first detector uses **PCA**, principal component analysis. It finds the few directions along which
# normal images differ most. Keep those directions of an image, forget the rest, and build the image again:
# this is its **reconstruction** $\hat x$. A normal image survives. An image of another kind should lose
# more, so we score
#
# $$s_{pix}(x) = \text{mean over pixels of } (x - \hat x)^2 .$$
#
# **Predict:** which anomalies will PCA trained on one class rebuild *well*, although it never saw their
# kind?

# %%
pca = PCA(n_components=n_components, seed=seed).fit(x)
s = pca.anomaly_scores(x_test).final  # (N,), one number an image
print("first scores:", np.round(s[:5], 4))

# %%
order = np.argsort(s)
easy, hard = order[y[order] == 0], order[y[order] == 1]
picked = np.concatenate([easy[:2], easy[-2:], hard[:3], hard[-3:]])
x_hat = pca.reconstruct(x_test[picked])
names = [task.class_names[k] for k in task.test_classes[picked].tolist()]
figure = plots.image_grid(
    {"image": x_test[picked], "rebuilt": x_hat},
    titles=[f"{n}\n{v:.3f}" for n, v in zip(names, s[picked], strict=True)],
    size=0.95,
)
plots.show(
    figure,
    alt="Ten test images above their PCA reconstructions, with class and score: two normal images of low "
    "and two of high score, three anomalies of lowest and three of highest score. The lowest anomalies are "
    "rebuilt about as well as normal images.",
)

# %% [markdown]
# From the left: two normal images with low scores, two with high ones, the three anomalies with the lowest
# scores and the three with the highest. Anomalies with little in them, dark or smooth, are rebuilt well
# enough to pass. A normal image with a rare pattern scores high. Neither is a bug. It is what this score
# measures.

# %%
figure = plots.score_histograms(s[y == 0], s[y == 1], threshold=pca.threshold_, xlabel="$s_{pix}$, PCA")
plots.show(
    figure,
    alt="Histograms of the PCA score. Normal scores lie low and narrow; anomalous scores are spread to "
    "higher values, and the two overlap. A dashed threshold cuts off the upper end of the normal scores.",
)

# %% [markdown]
# `fit` held back a tenth of the normal training images and set the threshold on them, so that about 5 % of
# normal images should raise a false alarm. No label was needed.
#
# ## 3. How good is it? Not accuracy
#
# **Predict:** a "detector" calls *every* image anomalous. What share of this test set does it get right?

# %%
always = np.ones_like(y)
share_right = np.mean(always == y)
print(f"always alarm: {100 * share_right:.1f} % right")
alarm = s > pca.threshold_
print(f"PCA at its threshold: {100 * np.mean(alarm == y):.1f} % right")

# %%
record(
    accuracy_always=share_right,
    accuracy_pca=np.mean(alarm == y),
    false_alarms=alarm[y == 0].mean(),
    found=alarm[y == 1].mean(),
)

# %% [markdown]
# The alarm that never stops is right in {{ accuracy_always | pct }} % of the cases, and PCA at its threshold
# in {{ accuracy_pca | pct }} %. PCA raises few false alarms ({{ false_alarms | pct }} % of the normal
# images) and finds {{ found | pct }} % of the anomalies; since most of this test set is anomalous, what it
# misses counts most. **Accuracy** depends on the threshold and on how many anomalies somebody put into the
# test set. We want a figure that depends on neither.
#
# **AUROC** asks one question about *pairs*. Take one anomalous and one normal image: how often does the
# anomalous one have the higher score? Ties count one half.
#
# $$\text{AUROC} = P(s_a > s_n) + \tfrac12\, P(s_a = s_n)$$
#
# **Predict** it for these six scores before you run the cell. There are 3 × 3 pairs, one of them a tie.

# %%
toy_labels = np.array([0, 0, 0, 1, 1, 1])
toy_scores = np.array([0.1, 0.4, 0.35, 0.8, 0.3, 0.4])

# %%
s_n, s_a = toy_scores[toy_labels == 0], toy_scores[toy_labels == 1]
above = s_a[:, None] > s_n[None, :]  # (3 anomalies, 3 normals)
tied = s_a[:, None] == s_n[None, :]
by_hand = np.mean(above + 0.5 * tied)  # P(s_a > s_n) + 1/2 P(s_a = s_n)
print(above.astype(int) + 0.5 * tied)
print(f"by hand {by_hand:.4f}, library {auroc(toy_labels, toy_scores):.4f}")

# %% [markdown]
# Each row is an anomaly. The first beats all three normal images. The second, with 0.3, beats one: it hides
# among the normal scores. The third beats two and ties with one.
#
# The name comes from the **ROC curve**: move the threshold from high to low and draw the share of anomalies
# found against the share of false alarms. AUROC is the area under it. 100 % is a perfect order, 50 % is a
# coin, below 50 % the order is turned round.

# %%
coin = np.random.default_rng(seed).random(len(y))
figure = plots.roc_curve({f"PCA-{n_components}": (y, s), "a coin": (y, coin)})
plots.show(
    figure,
    alt=f"ROC curves. PCA reaches an area of {100 * auroc(y, s):.1f} per cent; random scores follow the "
    "diagonal.",
)

# %%
record(auroc_coin=auroc(y, coin))

# %% [markdown]
# The coin was thrown once for each image and came out at {{ auroc_coin | pct }}, not at 50.0. Remember that;
# we come back to it.
#
# AUROC forgets how the errors lie, so we print two more figures beside it. **AP**, average precision, asks
# how clean the list of alarms is, from the top (a coin gets the share of anomalies,
# {{ accuracy_always | pct }} % here, so compare it with that). **FPR95** is the share of false alarms at the
# threshold that finds 95 % of the anomalies. *Lower* is better there.
#
# ## 4. Five detectors in ten lines
#
# | detector | how it sees an image as normal |
# |---|---|
# | PCA | a few directions are enough to rebuild it |
# | 1-nearest neighbour | some training image is close to it, pixel by pixel |
# | isolation forest (Liu et al., 2008) | random questions about pixels need long to single it out |
# | one-class SVM (Schölkopf et al., 2001) | it lies inside a smooth boundary around the training images |
# | KDE, kernel density estimate | many training images lie near it, along the principal components |
#
# **Predict** their order. Write it down: a prediction that you only think can't be wrong.

# %%
detectors = {
    "PCA": PCA(n_components=n_components, seed=seed),
    "nearest neighbour": NearestNeighbours(seed=seed),
    "isolation forest": IsolationForest(seed=seed),
    "one-class SVM": OneClassSVM(seed=seed),
    "KDE": KDE(n_components=n_components, seed=seed),
}
scores = {name: detector.fit(x).anomaly_scores(x_test).final for name, detector in detectors.items()}

# %% [markdown]
# A test set is one draw from all test sets that could have been. The **bootstrap** shows how much that
# matters: draw images from the test set with replacement, compute AUROC again, repeat. The middle 95 % of
# the results are the interval.

# %%
table = pd.DataFrame(
    {name: [auroc(y, v), average_precision(y, v), fpr_at_tpr(y, v)] for name, v in scores.items()}
)
intervals = {name: bootstrap_interval(auroc, y, v, n=n_bootstrap, seed=seed) for name, v in scores.items()}
table = table.T.set_axis(["AUROC", "AP", "FPR95"], axis=1)
table[["low", "high"]] = [intervals[name] for name in table.index]
(100 * table).round(1)

# %%
bars = {name: {"AUROC": (row.AUROC, row.low, row.high)} for name, row in table.iterrows()}
figure = plots.auroc_bars(bars)
listed = ", ".join(f"{name} {100 * row.AUROC:.1f}" for name, row in table.iterrows())
plots.show(figure, alt=f"Bars of AUROC in per cent with 95 per cent intervals: {listed}.")

# %%
record(
    auroc_pca=table.AUROC["PCA"],
    auroc_knn=table.AUROC["nearest neighbour"],
    auroc_isolation_forest=table.AUROC["isolation forest"],
    auroc_ocsvm=table.AUROC["one-class SVM"],
    auroc_kde=table.AUROC["KDE"],
    auroc_pca_low=table.low["PCA"],
    auroc_pca_high=table.high["PCA"],
    fpr95_pca=table.FPR95["PCA"],
)

# %% [markdown]
# PCA gets {{ auroc_pca | pct }} with an interval from {{ auroc_pca_low | pct }} to
# {{ auroc_pca_high | pct }}; nearest neighbour {{ auroc_knn | pct }}, isolation forest
# {{ auroc_isolation_forest | pct }}, one-class SVM {{ auroc_ocsvm | pct }}, KDE {{ auroc_kde | pct }}. Two
# readings matter:
#
# - A difference that is small beside the intervals is not a ranking. With {{ n_normal }} normal test images
#   a point or two is noise.
# - To find 95 % of the anomalies, PCA wakes you for {{ fpr95_pca | pct }} % of the normal images. A
#   good-looking AUROC can still be a poor alarm.
#
# None of these needs a GPU or a network. They stand in every table of this course, because a deep method has
# to earn its place *above* them.
#
# ## 5. How to look better than you are
#
# The next three experiments break the rules above, on purpose. All three mistakes can be found in published
# code.
#
# ### Leak 1: choose by the test set
#
# First the purest case. We make many "detectors" that never look at an image: their scores are random
# numbers. Each is worth exactly 50 %. Then we report the best one.
#
# **Predict:** how far above 50 does the best of {{ n_guesses }} guesses come? Does the size of the test set
# matter?

# %%
random = np.random.default_rng(seed)
guesses = random.random((n_random, len(y)))  # one row a detector, one number a test image
of_guesses = np.array([auroc(y, guess) for guess in guesses])

# %% [markdown]
# Now the same on a small test set, 25 normal and 25 anomalous images, as many industrial data sets have. And
# the honest way: choose the guess on one half of such images, report it on fresh ones.

# %%
few = np.concatenate([np.flatnonzero(y == k)[:25] for k in (0, 1)])
fresh = np.concatenate([np.flatnonzero(y == k)[25:50] for k in (0, 1)])
on_few = np.array([auroc(y[few], guess[few]) for guess in guesses])
on_fresh = np.array([auroc(y[fresh], guess[fresh]) for guess in guesses])
print(f"all {len(y)} test images: mean {100 * of_guesses.mean():.1f}, best {100 * of_guesses.max():.1f}")
print(f"{len(few)} test images:   mean {100 * on_few.mean():.1f}, best {100 * on_few.max():.1f}")
print(f"that best one, on {len(fresh)} fresh images: {100 * on_fresh[on_few.argmax()]:.1f}")

# %%
record(
    n_guesses=n_random,
    best_guess=of_guesses.max(),
    best_guess_few=on_few.max(),
    best_guess_fresh=on_fresh[on_few.argmax()],
)

# %% [markdown]
# The best guess reaches {{ best_guess | pct }} on the whole test set and {{ best_guess_few | pct }} on fifty
# images. On fresh images the same guess is at {{ best_guess_fresh | pct }}: one more coin. Nothing was
# learned. Choosing among many *is* training, on the data that you choose by.
#
# Now the case that is common in papers: a network is trained, its test AUROC is printed after every epoch,
# and the best epoch is reported. We use a small **autoencoder**, a network that must rebuild its input
# through a narrow middle. Lesson 01 builds one with care. Here it is a black box whose score, as for PCA, is
# the squared error.


# %%
def small_autoencoder(pixels, batch_norm=False):
    """pixels -> 64 -> 16 -> 64 -> pixels."""
    layers, sizes = [], (pixels, 64, 16, 64)
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b) if batch_norm else nn.Identity(), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Linear(64, pixels), nn.Sigmoid())


def flat(images):
    return images.flatten(1).float() / 255  # (N, C, H, W) -> (N, C * H * W), in [0, 1]


def error(network, x):
    with torch.no_grad():
        return (network(x) - x).square().mean(1).numpy()


# %%
def train_epochs(network, x, epochs):
    """Train on x; yield the number of the epoch after each pass over the images."""
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = (network(x[batch]) - x[batch]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield epoch


# %% [markdown]
# For each of {{ n_leak_classes }} normal classes we train once, on the development split's training part.
# After each epoch we note two AUROCs: on the test set, and on the development split's other part.


# %%
def watch_epochs(k):
    """Test and development AUROC after each epoch, with class k as the normal class."""
    test, dev = (load_one_class(dataset, k, split=split, seed=seed) for split in ("test", "development"))
    torch.manual_seed(seed)
    network, rows = small_autoencoder(flat(dev.train).shape[1]), []
    for _ in train_epochs(network, flat(dev.train), leak_epochs):
        rows.append([auroc(part.test_labels, error(network, flat(part.test))) for part in (test, dev)])
    return np.array(rows).T  # (2, epochs)


# %%
curves = {k: watch_epochs(k) for k in leak_classes}
class_names = task.class_names
figure = plots.sweep(
    range(1, leak_epochs + 1),
    {class_names[k]: on_test for k, (on_test, _) in curves.items()},
    xlabel="epoch",
    ylabel="test AUROC (%)",
    log2=False,
)
plots.show(
    figure,
    alt="Test AUROC against the epoch, one line for each normal class. The lines go up and down by several "
    "points; for some classes the best epoch is an early one.",
)

# %% [markdown]
# **Predict:** three ways to report these curves. (a) Always the last epoch. (b) One epoch for *all* classes,
# chosen on the development split. (c) For each class the epoch with the best test AUROC. How many points lie
# between (a) and (c)?

# %%
test_curves = np.array([curves[k][0] for k in leak_classes])  # (classes, epochs)
dev_curves = np.array([curves[k][1] for k in leak_classes])
chosen = dev_curves.mean(0).argmax()
report = pd.DataFrame(
    {
        "last epoch": test_curves[:, -1],
        "chosen honestly": test_curves[:, chosen],
        "best on test": test_curves.max(1),
    },
    index=[class_names[k] for k in leak_classes],
)
report.loc["mean"] = report.mean()
(100 * report).round(1)

# %%
record(
    n_leak_classes=len(leak_classes),
    auroc_last_epoch=report["last epoch"]["mean"],
    auroc_honest_epoch=report["chosen honestly"]["mean"],
    auroc_best_epoch=report["best on test"]["mean"],
    honest_epoch=int(chosen) + 1,
    largest_flattery=(report["best on test"] - report["last epoch"]).max(),
)

# %% [markdown]
# The last epoch gives {{ auroc_last_epoch | pct }} on average, the best test epoch
# {{ auroc_best_epoch | pct }}, and for one class the gap is {{ 100 * largest_flattery | f1 }} points. One
# network, one training: only the report differs.
#
# Choosing one epoch for all classes (number {{ honest_epoch }}) on the development split gives
# {{ auroc_honest_epoch | pct }}. Read that number with care too. No test image had a say, so it is honest.
# But it cost labelled anomalies from the training files, and a pure one-class method has none. The rule in
# this course: the *last* epoch of a schedule fixed beforehand, or a choice made once on development splits,
# and said so.
#
# ### Leak 2: let test images see one another
#
# **Batch normalisation** (Ioffe & Szegedy, 2015) rescales each hidden unit by its mean and spread *over the
# batch*. In training mode it uses the batch at hand; `network.eval()` switches to averages remembered from
# training. Forget `eval()`, and the score of an image depends on its neighbours. Many test files are sorted
# by class, so the neighbours are of the same class.
#
# **Predict:** same network, same images. What does forgetting `eval()` do to AUROC when the test set is (a)
# shuffled, (b) sorted by class?


# %%
def scores_in_batches(network, x, order, batch_size=100):
    """Scores of x, computed in batches taken in the given order."""
    s = np.empty(len(x))
    for batch in torch.as_tensor(order).split(batch_size):
        s[batch.numpy()] = error(network, x[batch])
    return s


# %%
def batch_norm_leak(k):
    """AUROC of one network: evaluated properly, then in training mode on a shuffled and on a sorted test set."""
    part = load_one_class(dataset, k, seed=seed)
    torch.manual_seed(seed)
    x, x_test = flat(part.train), flat(part.test)
    network = small_autoencoder(x.shape[1], batch_norm=True)
    list(train_epochs(network, x, leak_epochs))
    shuffled, by_class = torch.randperm(len(x_test)), part.test_classes.argsort(stable=True)
    remembered = {name: value.clone() for name, value in network.state_dict().items()}
    results = [auroc(part.test_labels, error(network.eval(), x_test))]
    for order in (shuffled, by_class):
        network.load_state_dict(remembered)
        results.append(auroc(part.test_labels, scores_in_batches(network.train(), x_test, order)))
    return results


# %%
leak = pd.DataFrame(
    {class_names[k]: batch_norm_leak(k) for k in leak_classes},
    index=["eval(), as it should be", "no eval(), shuffled", "no eval(), sorted by class"],
).T
leak.loc["mean"] = leak.mean()
(100 * leak).round(1)

# %%
figure = plots.auroc_bars({name: row.to_dict() for name, row in leak.iterrows()}, legend="scored with")
means = ", ".join(f"{name} {100 * value:.1f}" for name, value in leak.loc["mean"].items())
plots.show(
    figure, alt=f"Bars of AUROC per normal class for three ways to score with one network. Means: {means}."
)

# %%
record(
    auroc_eval=leak.loc["mean"].iloc[0],
    auroc_train_shuffled=leak.loc["mean"].iloc[1],
    auroc_train_sorted=leak.loc["mean"].iloc[2],
)

# %% [markdown]
# Used properly the network reaches {{ auroc_eval | pct }} on average. In training mode it falls to
# {{ auroc_train_shuffled | pct }} on the shuffled test set and rises to {{ auroc_train_sorted | pct }} on the sorted
# one. Two things were done here. Forgetting `eval()` costs {{ 100 * (auroc_eval - auroc_train_shuffled) | f1 }}
# points on the shuffled set. Sorting the same files then adds
# {{ 100 * (auroc_train_sorted - auroc_train_shuffled) | f1 }}, by nothing but their *order*. Why? In a batch of one
# class, mean and spread of the batch tell the network which class it has before it. Each image is helped by
# ninety-nine neighbours of its own class. In use, images arrive one by one, and the help is gone.
#
# ### Leak 3: rescale the scores of a batch
#
# A harmless-looking line: `s = (s - s.min()) / (s.max() - s.min())`, done for each batch. Over the whole
# test set it would change no pair.

# %%
by_class = task.test_classes.argsort(stable=True).numpy()
rescaled = s.copy()
for batch in np.split(by_class, range(100, len(by_class), 100)):
    rescaled[batch] = (s[batch] - s[batch].min()) / (s[batch].max() - s[batch].min())
print(
    f"PCA: {100 * auroc(y, s):.1f}; rescaled batch by batch, sorted by class: {100 * auroc(y, rescaled):.1f}"
)

# %%
record(auroc_rescaled=auroc(y, rescaled))

# %% [markdown]
# This time the mistake does harm: {{ auroc_rescaled | pct }} instead of {{ auroc_pca | pct }}. In each batch
# the lowest score becomes 0 and the highest 1, so a batch of anomalies looks like a batch of normal images.
# A leak need not flatter. It makes the number mean nothing.
#
# **The test for all of this:** the score of an image may not change with the batch size, with the order of
# the test set, or with the other images. Every detector in this course is held to that by a test. Try it:

# %%
alone = pca.anomaly_scores(x_test[:1]).final[0]
print(f"in company {s[0]:.6f}, alone {alone:.6f}")

# %% [markdown]
# ## 6. The course and its one question
#
# DualAD (Wan & Feng, 2024) is an autoencoder with several parts around it. This course builds it part by
# part, and asks the same question of each: **which part earns its place?** The figure below is the first of
# a series. Each lesson adds its part.

# %%
figure = plots.loss_graph(parts=("D", "FC", "MI"))
plots.show(
    figure,
    alt="The whole of DualAD as a graph. An image x goes through the encoder to the code z and through the "
    "decoder to the reconstruction x-hat, with a reconstruction loss between x and x-hat. An image "
    "discriminator D looks at x-hat, a critic C names transformations from inside the encoder, a sphere with "
    "centre c and radius R acts on z, and statistics networks look at x and z.",
)

# %% [markdown]
# | step | what it adds | what it should improve |
# |---|---|---|
# | 01 | the autoencoder $G$: $z = G_e(x)$, $\hat x = G_d(z)$ | the baseline that all else is measured against |
# | next | an image discriminator $D$ | sharper reconstructions |
# | then | the Feature Constraint: a sphere with centre $c$ and radius $R$ | compact codes of normal images |
# | then | mutual information between $x$ and $z$ | codes that keep what matters |
# | last | all of it, scored in image space *and* in code space | the dual score, and the bill for each part |
#
# You need not understand these words yet. Come back to the figure after each lesson.
#
# ## Recap
#
# - One class is known. Everything else is found by being *unlike* it, and is never seen in training.
# - AUROC is the share of (anomalous, normal) pairs in the right order. It needs no threshold and ignores how
#   many of each there are.
# - PCA got {{ auroc_pca | pct }} in one line, the isolation forest {{ auroc_isolation_forest | pct }}. Those are the
#   numbers to beat.
# - Best-epoch-on-test added {{ 100 * (auroc_best_epoch - auroc_last_epoch) | f1 }} points, and class-sorted
#   batches {{ 100 * (auroc_train_sorted - auroc_eval) | f1 }}. Neither detector got better.
#
# ## Exercises
#
# **1. Predict.** What does each change to the scores do to AUROC: `"same"`, `"mirrored"` ($a$ becomes $1-a$)
# or `"can change"`? Replace each `None`, then run the cell.

# %%
from dualad_lib.teaching import checks

answers = {
    "times ten": None,  # s * 10
    "logarithm": None,  # log(s), all s > 0
    "minus": None,  # -s
    "rounded": None,  # s rounded to one decimal
    "batch mean": None,  # s minus the mean score of the image's batch
}
checks.check_score_changes(answers)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# AUROC asks one question of each pair (anomalous, normal): which scores higher? For each change ask whether
# the answer for any pair can turn round, or become a tie.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Three of the five act on every score in the same way. Two do not: one can make different scores equal, one
# treats images of different batches differently.
#
# </details>
# <details><summary>Solution</summary>
#
# Same, same, mirrored, can change, can change. The first two keep the order of the scores and so every pair.
# Minus turns every pair round. Rounding makes ties. The batch mean differs from batch to batch, so pairs
# across batches can turn round.
#
# </details>
#
# **2. Code.** Write AUROC without a library, from pairs. The check knows the usual slips and tells you which
# one it was.


# %%
def my_auroc(labels, scores):
    """labels (N,): 0 normal, 1 anomalous. scores (N,): higher = more anomalous. Returns a number in [0, 1]."""
    raise NotImplementedError


checks.check_auroc(my_auroc)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Begin with two arrays: the scores of the anomalies and those of the normal images. Every number of the first
# meets every number of the second.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `a[:, None] - b[None, :]` holds all differences. A positive one counts 1, a zero counts one half. Then take
# the mean over all of them.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def my_auroc(labels, scores):
#     s_a, s_n = scores[labels == 1], scores[labels == 0]
#     difference = s_a[:, None] - s_n[None, :]
#     return np.mean((difference > 0) + 0.5 * (difference == 0))
# ```
#
# This takes memory for all pairs. Libraries sort once and add up ranks, which gives the same number (it is
# the Mann–Whitney statistic; Hanley & McNeil, 1982).
#
# </details>
#
# **3. Code.** You have one AUROC a setting, on the development split and on the test set. Return what you
# may report.


# %%
def honest_report(development, test):
    """Two lists of AUROC, one entry a setting, in the same order. Returns one number."""
    raise NotImplementedError


checks.check_honest_choice(honest_report)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Two things happen: a setting is *chosen*, and a number is *reported*. Which list may do which?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Find the position of the best entry in `development` (`np.argmax`), and look up that position in `test`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def honest_report(development, test):
#     return test[int(np.argmax(development))]
# ```
#
# </details>
#
# **4. Explain.** A paper says: "We stop training when the AUROC on the validation set is best. The
# validation set is half of the test images, and we report on the other half." Is this honest? What does it
# hide? Answer in three sentences.
#
# <details><summary>Hint</summary>
#
# Ask two questions one after the other: were the reported images used to choose? And what did the choosing
# need that a user with normal images alone has not got?
#
# </details>
# <details><summary>Solution</summary>
#
# It is honest about the *images*: those that choose do not report, so the number is right on average for
# this procedure. But it is no one-class method any more: it needs labelled anomalies, of the very kinds that
# it will be tested on. A user without such labels can't get this number, so it may not stand in one column
# with methods that use none.
#
# </details>
#
# **5. Try.** Set `normal_class = 6` (shirts) and run all again. Why is this class harder? Look at the images
# before you look at the numbers.
#
# ## References
#
# - H. Xiao, K. Rasul, R. Vollgraf. *Fashion-MNIST: a novel image dataset for benchmarking machine learning
#   algorithms.* 2017. arXiv:1708.07747.
# - J. A. Hanley, B. J. McNeil. *The meaning and use of the area under a receiver operating characteristic
#   (ROC) curve.* Radiology 143, 1982.
# - B. Efron. *Bootstrap methods: another look at the jackknife.* Annals of Statistics 7, 1979.
# - F. T. Liu, K. M. Ting, Z.-H. Zhou. *Isolation forest.* ICDM 2008.
# - B. Schölkopf, J. C. Platt, J. Shawe-Taylor, A. J. Smola, R. C. Williamson. *Estimating the support of a
#   high-dimensional distribution.* Neural Computation 13, 2001.
# - S. Ioffe, C. Szegedy. *Batch normalization: accelerating deep network training by reducing internal
#   covariate shift.* ICML 2015.
# - L. Ruff et al. *A unifying review of deep and shallow anomaly detection.* Proceedings of the IEEE 109,
#   2021.
# - Wan, Feng. DualAD. IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
