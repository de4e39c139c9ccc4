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
# # A2 · The published DualAD, and more about fusing scores
#
# {{ colab_badge }}
#
# Further material to [lesson 05](05_dual_scoring.ipynb): when two scores beat one, with a formula that you can
# check; the configuration that was published with the DualAD paper, and the price of its flaws; and what becomes
# of a detector whose training images are not all normal. Nothing in the course depends on it.
#
# **After this appendix you will be able to**
#
# - compute the best weights of two scores when everything is known (Fisher), and say why a rule that sees no anomaly
#   can't;
# - put a price on a weight with units, on a loss that sees one image of each batch, and on an epoch chosen on
#   test labels;
# - tell what contaminated training images do to AUROC, and what they do to an alarm.
#
# **You need** lesson 05.
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
import math

import numpy as np
import pandas as pd
import torch

from dualad_lib import PublishedDualAD, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.detectors import create
from dualad_lib.detectors.base import hold_back
from dualad_lib.evaluation import auroc
from dualad_lib.scoring import Fusion
from dualad_lib.teaching import checks
from dualad_lib.transforms import PSEUDO_ANOMALIES, pseudo_anomalies

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # bag
seed = 0
width = 8
latent_dim = 32
steps = 300
batch_size = 64
learning_rate = 2e-3
n_toy = 20000  # draws of each kind in the toy
correlations = [0.0, 0.25, 0.5, 0.75]  # of the two toy scores
published_epochs = 20  # epochs of the published configuration
contamination = [0.0, 0.05, 0.1]  # shares of anomalies among the training images
n_leak_draws = 200

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = bag, 1 = anything else
train_images, held = hold_back(task.train, seed)
settings = {
    "width": width,
    "latent_dim": latent_dim,
    "steps": steps,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
}
random = np.random.default_rng(seed)

# %% [markdown]
# ## 1. When do two scores beat one?
#
# Take two scores A and B that are normally distributed with deviation 1, for normal and for anomalous images
# alike. Anomalies lie higher: by 1 in A and by 2 in B. Such a distance between means, in deviations, is called
# $d'$ ("d prime"), and it decides the AUROC of a score: $\text{AUROC} = \Phi(d' / \sqrt 2)$, with $\Phi$ the
# normal distribution function.
#
# Now weigh them: $s = w_A A + w_B B$. With $\delta = (1, 2)$ and the covariance matrix $\Sigma$ of the two scores
# among normal images, $d'$ is largest for $w \propto \Sigma^{-1} \delta$. That is **Fisher's linear
# discriminant** (1936).
#
# **Predict:** the plain sum A + B. Is it worse than A, between A and B, or better than B? And when A and B make
# the *same* mistakes, say with a correlation of 0.75?

# %%
delta = np.array([1.0, 2.0])  # d' of A and of B


def auroc_from(d_prime):
    return 0.5 * (1 + math.erf(d_prime / 2))  # Phi(d' / sqrt 2), since Phi(t) = (1 + erf(t / sqrt 2)) / 2


def weighed(w, sigma):
    """AUROC of the score w . (A, B), from the formula."""
    return auroc_from(w @ delta / math.sqrt(w @ sigma @ w))


def drawn(w, sigma):
    """The same from random numbers: draw normal and anomalous scores, weigh them, count pairs."""
    normal = random.multivariate_normal((0, 0), sigma, n_toy)
    anomalous = random.multivariate_normal(delta, sigma, n_toy)
    return auroc(np.repeat([0, 1], n_toy), np.concatenate([normal, anomalous]) @ w)


# %%
rows = []
for rho in correlations:
    sigma = np.array([[1, rho], [rho, 1]])
    w = np.linalg.solve(sigma, delta)  # Sigma^-1 delta
    values = auroc_from(delta[1]), weighed(np.ones(2), sigma), weighed(w, sigma), drawn(w, sigma)
    rows.append([rho, w[0] / np.abs(w).sum(), *(100 * value for value in values)])
columns = ["correlation", "Fisher's weight of A", "B alone", "A + B", "Fisher", "Fisher, drawn"]
toy = pd.DataFrame(rows, columns=columns).set_index("correlation")
toy.round(2)

# %% [markdown]
# With independent scores the plain sum is above the better score, although it adds a score of only
# {{ toy_weak | pct }}. With correlated ones the same sum falls *below* the better score. So a second score need
# not be good; it has to err on other images. At a correlation of one half Fisher's weight of A is zero, and
# beyond that it is *negative*: A is used to find B's mistakes and take them back. No rule with positive weights
# can do this. The catch is that $\delta$ needs anomalies, and we have none.
#
# ## 2. The published configuration
#
# The code published with the DualAD paper (Wan & Feng, 2024) scores with
#
# $$s = \text{MSE}(\hat x, x) + 50\, \lVert z - c \rVert^2 .$$
#
# `PublishedDualAD` is that configuration, flaws included: fully connected networks, its losses, its weights, and a
# centre $c$ that follows the codes of each batch. Its trainer runs 5 epochs over a whole class (the code also names
# 300). Our sample has a sixth of the images: {{ n_epochs }} epochs of it are still fewer steps than those 5. While
# it trains we write down the *test* AUROC after every epoch, for looking only.


# %%
def watched_fit(model):
    """Fit, and return the test AUROC after each epoch: for looking only."""
    an_epoch, curve = len(train_images) // model.batch_size, []

    def watch(step):
        if (step.number + 1) % an_epoch == 0:
            curve.append(auroc(y, model.anomaly_scores(task.test).dual))

    model.fit(train_images, calibration=held, after_step=watch)
    return curve


published = PublishedDualAD(epochs=published_epochs, seed=seed)
published_curve = watched_fit(published)

# %% [markdown]
# **Predict:** which share of the variance of this sum does the pixel score bring, after it was given a weight of
# 1 against 50?

# %%
raw = published._raw(task.test)
parts = {"pixel": raw["pixel"], "50 x latent": 50 * raw["latent"]}
total = sum(parts.values())
shares = {name: np.cov(part, total)[0, 1] / total.var(ddof=1) for name, part in parts.items()}
print({name: f"{100 * share:.3f} %" for name, share in shares.items()})
for name, score in {**raw, "sum": total}.items():
    print(f"AUROC of {name:6} {100 * auroc(y, score):.1f}")

# %% [markdown]
# The pixel score brings {{ 100 * share_pixel_raw | f3 }} % of the variance, so the "dual" score is the latent score
# with a decoration. A weight of 50 is a number with units, and nobody checked the units. Mind what so few steps at
# a learning rate of $10^{-5}$ leave, though: the mean squared error on the test images is
# {{ published_error | f3 }}, that of the mean training image {{ mean_image_error | f3 }}. This network has hardly
# learned to draw. So what follows shows how each flaw acts on a network that is hardly trained.
#
# ## 3. Flaw by flaw
#
# Three flaws can be switched, one at a time:
#
# 1. **First sample only.** $\lVert z - c \rVert^2$ is taken of the first image of each batch, in the loss, and in the
#    factor that balances this loss against the reconstruction error before training. `first_sample=False` takes the
#    mean.
# 2. **The weight 50.** We replace the sum by the fusions of lesson 05. No retraining: the network is the same.
# 3. **The best epoch on the test set** is what its trainer reports.
#
# **Predict** which of the three is worth most.

# %%
repaired = PublishedDualAD(first_sample=False, epochs=published_epochs, seed=seed)
repaired_curve = watched_fit(repaired)


def published_rows(model, curve):
    """Last-epoch AUROC under three ways to one number, and the leaky best epoch."""
    broken = [model._raw(pseudo_anomalies(held.float() / 255, kind)) for kind in PSEUDO_ANOMALIES]
    normal, test = model._raw(held), model._raw(task.test)
    broken = {name: np.concatenate([of[name] for of in broken]) for name in normal}
    return {
        "MSE + 50 ||z - c||^2": curve[-1],
        "standardised, equal weights": auroc(y, Fusion.fit(normal)(test)),
        "standardised, separation weights": auroc(y, Fusion.fit(normal, broken)(test)),
        "leaky: best epoch on test": max(curve),
    }


flaws = pd.DataFrame(
    {
        "first sample (published)": published_rows(published, published_curve),
        "mean": published_rows(repaired, repaired_curve),
    }
)
(100 * flaws).round(1)

# %% tags=["machinery"]
figure = plots.sweep(
    range(1, len(published_curve) + 1),
    {"first sample (published)": published_curve, "mean": repaired_curve},
    xlabel="epoch",
    ylabel="test AUROC (%)",
    log2=False,
    title="For looking only: no epoch may be chosen here",
)
spread = [float(np.std(curve[len(curve) // 2 :])) for curve in (published_curve, repaired_curve)]
plots.show(
    figure,
    alt="Test AUROC of the published score against the epoch, for both versions. Over the second half of training "
    f"it varies with a deviation of {100 * spread[0]:.1f} points with the first sample and {100 * spread[1]:.1f} with "
    "the mean.",
)

# %% [markdown]
# From {{ published_last | pct }} at the last epoch the honest repairs change
# {{ 100 * (published_mean - published_last) | f1 }} points (mean), {{ 100 * (published_equal - published_last) | f1 }}
# (equal weights) and {{ 100 * (published_separation - published_last) | f1 }} (separation weights). (Counted from one
# of the worst epochs. And no repair reaches the pixel score alone, {{ published_pixel | pct }}: they only stop the
# latent score from drowning it.) The first is no price at all: from epoch to epoch the curve varies by
# {{ jitter_first | pct }} points (one deviation, second half). Choosing the epoch on test labels is worth
# {{ 100 * leak_epoch | f1 }}, with the same training. (Against a typical epoch the leak is worth about half.) The curve
# is restless because the learning rate never falls and no loss asks for detection, so which epoch comes last is luck,
# and a leak turns luck into points. One class, one seed and a sample of the data: this shows how the flaws *work*, and
# is no verdict on the paper's figures.
#
# How far can a leak go? For once the truth is known: two scores of pure noise, any mixture of which is worth
# exactly 50. The weight is tuned on {{ n_few }} test images.
#
# **Predict** the mean AUROC of the best of 21 weights.

# %%
n_few, best = 50, []
share = np.linspace(0, 1, 21)[:, None]
for _ in range(n_leak_draws):
    a, b = random.normal(size=(2, n_few))  # two scores that know nothing; the second half are "anomalies"
    mixed = share * a + (1 - share) * b  # (21, n_few)
    above = mixed[:, n_few // 2 :, None] > mixed[:, None, : n_few // 2]  # all pairs, for each weight
    best.append(above.mean((1, 2)).max())
print(
    f"pure noise, best weight on the test set: {100 * np.mean(best):.1f} on average, {100 * max(best):.1f} at most"
)

# %% [markdown]
# Noise reaches {{ leak_noise | pct }} on average. Choosing on test labels is worth points even where there is
# nothing to choose from.
#
# ## 4. When not all training images are normal
#
# So far every training image was normal. In use, somebody collects "normal" images, and a few are not. We replace
# a share of the training images by anomalies from the *training* files of the other classes, and tell nobody. A
# tenth of all is held out as ever, so the held-out images are contaminated in the same share.
#
# **Predict** for 10 %: AUROC of DualAD, AUROC of nearest neighbour, and the share of anomalies found.

# %%
others = [k for k in range(len(task.class_names)) if k != normal_class]
odd = torch.cat([load_one_class(dataset, k, seed=seed).train for k in others])  # training files only
odd = odd[torch.from_numpy(random.permutation(len(odd)))]


def age(detector, share):
    """AUROC, and what the detector's own 5 % threshold does to normal and anomalous test images."""
    count = round(share * len(task.train))
    images = torch.cat([odd[:count], task.train[count:]])  # larger shares contain the smaller ones
    params = settings if detector == "dualad" else {}
    model = create(detector, seed=seed, **params).fit(images)
    s = model.anomaly_scores(task.test).final
    alarm = s > model.threshold_
    return {
        "detector": detector,
        "contamination": share,
        "AUROC": 100 * auroc(y, s),
        "false alarms, %": 100 * alarm[y == 0].mean(),
        "found, %": 100 * alarm[y == 1].mean(),
    }


ageing = pd.DataFrame([age(d, share) for d in ("dualad", "pca", "knn") for share in contamination])
ageing = ageing.pivot(index="contamination", columns="detector")
ageing.round(1)

# %% [markdown]
# At {{ contamination_last | pct0 }} % nearest neighbour loses {{ drop_knn | f1 }} points of AUROC: an odd image in its
# bank makes images like it look normal. DualAD loses {{ drop_dualad | f1 }} and PCA {{ drop_pca | f1 }}. For these two
# what is found falls faster still. False alarms stay rare ({{ alarms_clean | f1 }} and {{ alarms_aged | f1 }} %), so
# nobody notices, and DualAD finds {{ found_aged | int }} % of the anomalies where it found {{ found_clean | int }} %.
# Odd images in the held-out set push the threshold up. But at nearly the same false alarms most of the loss lies in the
# order itself, where scores are high. DualAD's AUROC, a mean over all thresholds, shows little more than a third of it.

# %% tags=["machinery"]
as_published = flaws["first sample (published)"]
drop = ageing["AUROC"].iloc[0] - ageing["AUROC"].iloc[-1]
record(
    toy_weak=auroc_from(delta[0]),
    toy_error=(toy["Fisher"] - toy["Fisher, drawn"]).abs().max() / 100,
    toy_sum_first=toy["A + B"].iloc[0] / 100,
    toy_sum_last=toy["A + B"].iloc[-1] / 100,
    n_epochs=published_epochs,
    share_pixel_raw=shares["pixel"],
    published_error=raw["pixel"].mean(),
    mean_image_error=(task.test.float() / 255 - (train_images.float() / 255).mean(0)).square().mean().item(),
    published_last=as_published.iloc[0],
    published_equal=as_published.iloc[1],
    published_separation=as_published.iloc[2],
    published_best=as_published.iloc[3],
    published_mean=flaws["mean"].iloc[0],
    published_pixel=auroc(y, raw["pixel"]),
    published_repaired=flaws["mean"].iloc[2],
    leak_epoch=as_published.iloc[3] - as_published.iloc[0],
    jitter_first=spread[0],
    jitter_mean=spread[1],
    n_few=n_few,
    leak_noise=np.mean(best),
    contamination_last=contamination[-1],
    drop_dualad=drop["dualad"],
    drop_pca=drop["pca"],
    drop_knn=drop["knn"],
    found_clean=ageing["found, %"]["dualad"].iloc[0],
    found_aged=ageing["found, %"]["dualad"].iloc[-1],
    alarms_clean=ageing["false alarms, %"]["dualad"].iloc[0],
    alarms_aged=ageing["false alarms, %"]["dualad"].iloc[-1],
)

# %% [markdown]
# ## Exercises
#
# **1. Code.** Write Fisher's weights, for any number of scores.


# %%
def fisher_weights(delta, covariance):
    """delta: (K,) distances of the means; covariance: (K, K) among normals. Returns w (K,), any positive multiple."""
    raise NotImplementedError


checks.check_fisher_weights(fisher_weights)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Two scores that say the same thing must not be counted twice. Dividing by variances alone does not know
# that.
#
# </details>
# <details><summary>Hint 2</summary>
#
# $w = \Sigma^{-1}\delta$. `np.linalg.solve` solves $\Sigma w = \delta$ without an inverse.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def fisher_weights(delta, covariance):
#     return np.linalg.solve(covariance, delta)
# ```
#
# </details>
#
# **2. Try.** Mend the contaminated detector: fit once, drop the 10 % of training images with the highest
# scores, fit again. Predict first what happens to AUROC and to the share found, at 10 % contamination and at none.
#
# <details><summary>Hint</summary>
#
# Score with `model.anomaly_scores(images).final`, keep what lies below `np.quantile(scores, 0.9)`, and fit `create`
# again. Where nothing is contaminated it drops good images, and the threshold falls with them.
#
# </details>
#
# ## References
#
# - R. A. Fisher. *The use of multiple measurements in taxonomic problems.* Annals of Eugenics 7, 1936.
# - J. A. Hanley, B. J. McNeil. *The meaning and use of the area under a receiver operating characteristic (ROC)
#   curve.* Radiology 143, 1982 (what AUROC means).
# - L. Ruff et al. *Deep one-class classification* (Deep SVDD). ICML 2018 (the distance to a centre).
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
