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
# # 04 · The mutual-information regulariser
#
# {{ colab_badge }}
#
# A code that anomalies can be seen in should say much about its image. So let us measure how much it says,
# and train the encoder to say more. Both halves of that sentence are harder than they sound. In this lesson
# we measure where the answer is known, build the term, and then find out what it does to a detector.
#
# **After this lesson you will be able to**
#
# - say what mutual information is, and why it can't simply be counted from samples;
# - train a network to estimate it, in three forms, and check each against a known answer;
# - build a regulariser that the encoder and the estimator raise *together*;
# - tell an estimate that rose from a code that says more;
# - recognise a wrong sign, an estimator that never learns, and a test that is trivial.
#
# **You need** [lesson 01](01_autoencoder_baseline.ipynb) (code, latent score),
# [lesson 02](02_image_discriminator.ipynb) (the loss of a discriminator) and, for the last table,
# [lesson 03](03_feature_constraint.ipynb) (the Feature Constraint).
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about an hour and a half of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

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
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, normalize, softplus

from dualad_lib import load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import measure, write_results
from dualad_lib.losses import discriminator_loss, squared_error
from dualad_lib.networks import ConvAutoencoder
from dualad_lib.scoring import Gaussian, nearest_distance
from dualad_lib.teaching import checks
from dualad_lib.training import Player, Turn, seeded, train, warmup_cosine

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8 = bag
seed = 0
toy_dim = 4  # coordinates of each toy variable
toy_correlations = [0.3, 0.6, 0.9, 0.95, 0.99]
toy_steps = 300
toy_readings = 20000  # fresh pairs that a trained network is read on
width = 8
latent_dim = 64  # d, numbers in the code z
steps = 100  # batches that train one network
batch_size = 64
learning_rate = 2e-3
w_information = 0.01  # beside a reconstruction loss of weight 1
w_strong = 0.1  # ten times as much
narrow_dim = 4  # the experiment in which information is scarce: a short code ...
narrow_noise = 0.5  # ... with noise, in deviations of the code
reader_steps = 200
pair_classes = [8, 2, 1]  # normal classes of the comparison that differs in this part alone ...
pair_seeds = [0]  # ... and its seeds
table_classes = [8]  # normal classes of the running table
profile = "lesson"  # written into the rows of the results
results_folder = None  # a folder where the table's cells are kept as they are finished

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
toy_rho = max(rho for rho in toy_correlations if rho <= 0.9)  # the correlation that we look at closely
task

# %% [markdown]
# ## 1. What it is
#
# **Mutual information** compares two worlds. In one, image and code belong together, as the encoder made
# them: pairs $(x, z)$ from $p(x, z)$, the **joint** distribution. In the other they were drawn apart: any
# image, any code, $p(x)\,p(z)$, the product of the **marginals**. How different are the two worlds?
#
# $$I(x; z) = \mathbb{E}_{p(x, z)} \log \frac{p(x, z)}{p(x)\, p(z)}$$
#
# It is zero when the code says nothing of its image, and never negative. With the natural logarithm the unit
# is the **nat**, about 1.44 bits. Here is where the new term goes:

# %%
figure = plots.loss_graph(parts=("D", "FC"), new=("MI",))
plots.show(
    figure,
    alt="The graph of the course with all parts so far: autoencoder, discriminator D below x-hat, the "
    "Feature Constraint's critic C below the encoder and its sphere below z. New, with a heavy dashed "
    "outline: statistics networks T_g and T_l above the encoder, which look at x and z and give the term "
    "I_JS of x and z, to be raised.",
)

# %% [markdown]
# Mind one thing in this figure. $D$ and the sphere play *against* the autoencoder. The new networks play
# *with* it. (The part is not in the DualAD paper. It comes from LR-GDAN, Chen et al., 2020, and from Deep
# InfoMax, Hjelm et al., 2019.)
#
# ### A toy with a known answer
#
# We must not trust an estimator that we have never seen right. So we take two variables whose information is
# known: $x$ and $z$ with $d$ coordinates each, normal, where each pair of coordinates has the correlation
# $\rho$. Then
#
# $$I(x; z) = -\frac{d}{2} \log (1 - \rho^2) .$$


# %%
def true_information(rho, d=toy_dim):
    return -d / 2 * math.log(1 - rho**2)  # nats


def gaussian_pairs(n, rho, d=toy_dim):
    x = torch.randn(n, d)
    return x, rho * x + math.sqrt(1 - rho**2) * torch.randn(n, d)


# %%
truth = [true_information(rho) for rho in toy_correlations]
print({rho: round(value, 2) for rho, value in zip(toy_correlations, truth, strict=True)})

# %% [markdown]
# ### Why not simply count?
#
# Cut every axis into 8 cells, count how often each cell is hit, put the shares into the formula. In one
# dimension that works.
#
# **Predict:** $x$ and $z$ are *independent*, so the right answer is 0. What does counting say in 4
# dimensions, from 2000 pairs?


# %%
def entropy(*parts):
    shares = np.unique(np.column_stack(parts), axis=0, return_counts=True)[1] / len(parts[0])
    return -np.sum(shares * np.log(shares))


def counted_information(x, z):
    x, z = (np.clip(np.floor(v + 4), 0, 7) for v in (x.numpy(), z.numpy()))  # 8 cells an axis
    return entropy(x) + entropy(z) - entropy(x, z)  # the same I, written with entropies


# %%
torch.manual_seed(seed)
counted = {d: counted_information(*gaussian_pairs(2000, 0.0, d)) for d in (1, 2, 3, 4)}
for d, value in counted.items():
    print(f"{d} dimensions: {value:.2f} nats counted, 0 is right; {8 ** (2 * d):,} cells")

# %%
record(counted_1=counted[1], counted_4=counted[4], n_pixels=math.prod(task.image_shape))

# %% [markdown]
# In one dimension counting gives {{ counted_1 | f2 }} nats, in four {{ counted_4 | f2 }}, and the truth is 0.
# The cells multiply, and almost every pair sits alone in its cell. Alone in a cell, $x$ seems to determine
# $z$ exactly. An image has {{ n_pixels }} axes. Counting is out.
#
# ## 2. First version: let a network tell the worlds apart
#
# **MINE** (Belghazi et al., 2018) trains a **statistics network** $T(x, z)$, one number a pair, through this
# inequality of Donsker and Varadhan. It holds for *every* $T$:
#
# $$I(x; z) \ge \mathbb{E}_{p(x, z)}\, T - \log \mathbb{E}_{p(x) p(z)}\, e^{T}$$
#
# Equality holds when $T$ is the log of the ratio in the definition, up to a constant. So: write the right
# side as a function, and let $T$ climb.


# %%
def donsker_varadhan(joint, marginal):
    return joint.mean() - (marginal.flatten().logsumexp(0) - math.log(marginal.numel()))


# %% [markdown]
# `joint` are the values of $T$ on pairs that belong together. For `marginal` we need strangers. In a batch
# that is easy: give each $x$ the $z$ of its neighbour, `z.roll(1, 0)`. (Section 4 says why not a random
# shuffle.)
#
# For the toy we even know the best $T$. Does the formula give the truth with it?


# %%
def log_ratio(x, z, rho):
    """log p(x, z) / (p(x) p(z)), the best T that there is."""
    excess = (rho**2 * (x**2 + z**2) - 2 * rho * x * z) / (2 * (1 - rho**2))
    return true_information(rho) - excess.sum(-1)


# %%
x, z = gaussian_pairs(toy_readings, toy_rho)
exact = donsker_varadhan(log_ratio(x, z, toy_rho), log_ratio(x, z.roll(1, 0), toy_rho)).item()
print(f"best T: {exact:.2f} nats; truth: {true_information(toy_rho):.2f}")

# %% [markdown]
# Now a network that knows nothing of Gaussians has to find it.


# %%
class PairNetwork(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        layers = [nn.Linear(2 * toy_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, x, z):
        return self.net(torch.cat([x, z], -1)).squeeze(-1)


# %%
def train_toy(bound, draw):
    """Train a network to raise `bound` on the pairs that `draw()` gives; return it and the estimates."""
    torch.manual_seed(seed)
    T, history = PairNetwork(), []
    optimiser = torch.optim.Adam(T.parameters(), 3e-3)
    for _ in range(toy_steps):
        x, z = draw()
        estimate = bound(T(x, z), T(x, z.roll(1, 0)))
        optimiser.zero_grad()
        (-estimate).backward()  # minus: an optimiser goes down, and we want up
        optimiser.step()
        history.append(estimate.item())
    return T, history


# %%
@torch.no_grad()
def values_on_fresh_pairs(T, rho):
    x, z = gaussian_pairs(toy_readings, rho)
    return T(x, z), T(x, z.roll(1, 0))


# %% [markdown]
# **Predict:** one network for each correlation, trained on {{ n_toy_steps }} batches of 256 fresh pairs and
# read on pairs that it never saw. Where will the estimate leave the truth?

# %%
by_dv = {
    rho: train_toy(donsker_varadhan, lambda r=rho: gaussian_pairs(256, r))[0] for rho in toy_correlations
}
read_dv = [donsker_varadhan(*values_on_fresh_pairs(T, rho)).item() for rho, T in by_dv.items()]
pd.DataFrame({"rho": toy_correlations, "truth": truth, "estimate": read_dv}).round(2)

# %%
record(
    n_toy_steps=toy_steps,
    truth_low=truth[1],
    dv_low=read_dv[1],
    truth_high=truth[-1],
    dv_high=read_dv[-1],
)

# %% [markdown]
# Little information is measured well: {{ dv_low | f2 }} nats where {{ truth_low | f2 }} is right. At the
# other end the truth is {{ truth_high | f2 }} and the network reads {{ dv_high | f2 }}. Don't take that number for more
# than one draw: over five seeds the same training read between −29.8 and 7.4
# (`figures/results/bands_04_mutual_information.csv`). Nothing in the
# definition is to blame: it is the estimator. Three of its weaknesses can be seen one by one.
#
# **Few samples.** Give it the same 64 pairs at every step. **Small batches.** Give it fresh pairs, 16 at a
# time.
#
# **Predict:** what does each network read on its *training* pairs, and what on fresh ones?

# %%
torch.manual_seed(seed)
pool = gaussian_pairs(64, 0.5)
T, history = train_toy(donsker_varadhan, lambda: pool)
few_train, few_fresh = history[-1], donsker_varadhan(*values_on_fresh_pairs(T, 0.5)).item()
print(f"same 64 pairs: {few_train:.0f} on them, {few_fresh:.0f} fresh; truth {true_information(0.5):.2f}")

# %%
T, history = train_toy(donsker_varadhan, lambda: gaussian_pairs(16, toy_rho))
small_train = np.mean(history[-50:])
small_fresh = donsker_varadhan(*values_on_fresh_pairs(T, toy_rho)).item()
print(
    f"batches of 16: {small_train:.1f} in training, {small_fresh:.1f} fresh; truth {true_information(toy_rho):.2f}"
)

# %% [markdown]
# And the third, without any training: the best $T$, read in batches. Each batch gives one estimate, and we
# average many.

# %%
batch_sizes, average = [8, 64, 512, 4096], []
for size in batch_sizes:
    pairs = [gaussian_pairs(size, toy_rho) for _ in range(max(4, toy_readings // size))]
    logits = [(log_ratio(x, z, toy_rho), log_ratio(x, z.roll(1, 0), toy_rho)) for x, z in pairs]
    average.append(np.mean([donsker_varadhan(*pair).item() for pair in logits]))
pd.DataFrame({"batch": batch_sizes, "average estimate": average, "truth": true_information(toy_rho)}).round(2)

# %%
record(
    few_train=few_train,
    few_fresh=few_fresh,
    small_train=small_train,
    small_fresh=small_fresh,
    truth_middle=true_information(toy_rho),
    batch_8=average[0],
    batch_4096=average[-1],
)

# %% [markdown]
# - On 64 pairs the estimate climbs to {{ few_train | int }} nats, and reads {{ few_fresh | int }} on fresh
#   ones. The bound holds for the true averages and not for averages over 64 pairs. Nothing stops it: $T$ may
#   grow without end.
# - With fresh batches of 16 it "sees" {{ small_train | f1 }} nats in training and {{ small_fresh | f1 }} on
#   fresh pairs; {{ truth_middle | f2 }} is right.
# - Even the *best* $T$ reads {{ batch_8 | f2 }} in batches of 8 and {{ batch_4096 | f2 }} in batches of 4096.
#   The reason stands in the formula: the logarithm of an average. The average of a logarithm is something
#   else, so small batches are biased, and so is their gradient. A few rare strangers with a huge $e^T$ carry
#   the second term, and a small batch does not hold them.
#
# There is a law behind it. An estimate that can be trusted from $n$ samples can't exceed about $\log n$
# nats, whatever the method (McAllester & Stratos, 2020). Remember that for images.
#
# ## 3. Second version: Jensen-Shannon
#
# Telling two worlds apart is a task that you know. It is a **classifier**: "belongs together" against
# "strangers", on logits, with the cross-entropy of lesson 02.
#
# $$I_{JS} = \mathbb{E}_{p(x, z)} \log \sigma(T) + \mathbb{E}_{p(x) p(z)} \log (1 - \sigma(T)) + 2 \log 2$$
#
# $\sigma$ is the sigmoid. $\log \sigma(T) = -\text{softplus}(-T)$ and
# $\log(1 - \sigma(T)) = -\text{softplus}(T)$, so in code:


# %%
def jsd_mutual_information(joint, marginal):
    return -softplus(-joint).mean() - softplus(marginal).mean() + 2 * math.log(2)


# %%
x, z = gaussian_pairs(1000, toy_rho)
joint, marginal = log_ratio(x, z, toy_rho), log_ratio(x, z.roll(1, 0), toy_rho)
print(f"I_JS          {jsd_mutual_information(joint, marginal).item():.6f}")
print(f"2 log 2 - L_D {2 * math.log(2) - discriminator_loss(joint, marginal).item():.6f}")

# %% [markdown]
# It *is* the discriminator's loss, turned upside down. Three things follow.
#
# 1. $T$ that knows nothing gives 0. A perfect classifier gives $2 \log 2 \approx 1.386$, and no more. The
#    estimate is bounded, and each pair counts on its own: no logarithm of an average.
# 2. It is not in nats of $I$. It is (twice) the Jensen-Shannon divergence of the two worlds.
# 3. The best logit of a classifier is the log of the ratio (Goodfellow et al., 2014). That is the very $T$
#    that Donsker-Varadhan wants. So *train* by Jensen-Shannon, and *read* by Donsker-Varadhan.
#
# First a detail that costs people a day. Why not write $\log \sigma(T)$ as it stands?
#
# **Predict** value and gradient of both forms for a pair with $T = -200$.

# %%
for name, form in {"log(sigmoid)": lambda t: t.sigmoid().log(), "softplus": lambda t: -softplus(-t)}.items():
    t = torch.tensor(-200.0, requires_grad=True)
    value = form(t)
    value.backward()
    print(f"{name:13} value {value.item():8.1f}   gradient {t.grad.item():.1f}")

# %% [markdown]
# The sigmoid of −200 is 0 in single precision, its logarithm is minus infinity, and the gradient is not a
# number. One such pair in one batch kills the network. Softplus is exact. Logits and softplus, always.
#
# **Predict:** the same tasks, trained by $I_{JS}$ and read by Donsker-Varadhan. Better or worse than
# before at the high end?

# %%
by_jsd = {
    rho: train_toy(jsd_mutual_information, lambda r=rho: gaussian_pairs(256, r))[0]
    for rho in toy_correlations
}
values = [values_on_fresh_pairs(T, rho) for rho, T in by_jsd.items()]
read_jsd = [donsker_varadhan(*pair).item() for pair in values]
own_units = [jsd_mutual_information(*pair).item() for pair in values]

# %%
lines = {"trained by JSD, read by DV": read_jsd, "trained and read by DV": read_dv, "truth": truth}
xlabel = "true information (nats)"
figure = plots.sweep(truth, lines, xlabel=xlabel, ylabel="estimate (nats)", scale=1, log2=False)
listed = "; ".join(f"{name}: " + ", ".join(f"{v:.2f}" for v in line) for name, line in lines.items())
plots.show(figure, alt=f"Estimates against the true information, both in nats. {listed}.")

# %%
lines = {"$I_{JS}$": own_units, r"ceiling, $2 \log 2$": [2 * math.log(2)] * len(truth)}
figure = plots.sweep(truth, lines, xlabel=xlabel, ylabel="$I_{JS}$", scale=1, log2=False)
listed = ", ".join(f"{v:.2f}" for v in own_units)
plots.show(
    figure, alt=f"I_JS rises with the true information and bends towards its ceiling of 1.39: {listed}."
)

# %%
middle = toy_correlations.index(toy_rho)
record(
    jsd_read_low=read_jsd[1],
    jsd_read_middle=read_jsd[middle],
    jsd_read_high=read_jsd[-1],
    dv_middle=read_dv[middle],
    jsd_read_error=abs(read_jsd[middle] / truth[middle] - 1),
    jsd_low=own_units[1],
    jsd_middle=own_units[middle],
    jsd_high=own_units[-1],
)

# %% [markdown]
# Trained by $I_{JS}$, the networks read {{ jsd_read_low | f2 }} (truth {{ truth_low | f2 }}),
# {{ jsd_read_middle | f2 }} ({{ truth_middle | f2 }}) and {{ jsd_read_high | f2 }} ({{ truth_high | f2 }}).
# Trained by Donsker-Varadhan they read {{ dv_low | f2 }}, {{ dv_middle | f2 }} and {{ dv_high | f2 }}. Train
# on the one, read by the other. (The library only trains, by $I_{JS}$; the readings are ours.) At the high end a
# reading is still a noisy number, and it can lie above the truth: a few strangers with a huge $e^T$ decide it.
#
# The second figure is the price. $I_{JS}$ itself rises with the truth, but from {{ truth_middle | f2 }} to
# {{ truth_high | f2 }} nats it only goes from {{ jsd_middle | f2 }} to {{ jsd_high | f2 }}, and the ceiling is
# 1.39. Where a classifier is right already, it has little left to learn. This flat end will matter.
#
# And the few samples? They hurt $I_{JS}$ as well, but it can't run away.

# %%
T, history = train_toy(jsd_mutual_information, lambda: pool)
few_jsd_train = history[-1]
few_jsd_fresh = jsd_mutual_information(*values_on_fresh_pairs(T, 0.5)).item()
print(f"same 64 pairs, by JSD: {few_jsd_train:.2f} on them, {few_jsd_fresh:.2f} fresh")

# %%
T, _ = train_toy(jsd_mutual_information, lambda: gaussian_pairs(16, toy_rho))
small_jsd_fresh = donsker_varadhan(*values_on_fresh_pairs(T, toy_rho)).item()
print(f"batches of 16, by JSD: {small_jsd_fresh:.2f} nats fresh, truth {true_information(toy_rho):.2f}")

# %%
record(few_jsd_train=few_jsd_train, few_jsd_fresh=few_jsd_fresh, small_jsd_fresh=small_jsd_fresh)

# %% [markdown]
# On the 64 pairs it reaches {{ few_jsd_train | f2 }}, nearly the ceiling, and {{ few_jsd_fresh | f2 }} on
# fresh ones. *Any* estimate read on the training pairs is worthless: read on pairs that were held out. Fresh
# batches of 16 do it little harm: {{ small_jsd_fresh | f2 }} nats, against {{ small_fresh | f1 }} above.
#
# ### A third form: InfoNCE
#
# Do not ask "do these two belong together?" but "*which* of these $M$ candidates belongs to this one?" A
# cross-entropy over candidates then gives a bound in nats (van den Oord et al., 2018):
#
# $$I(x; z) \ge \log M + \text{mean over } i \text{ of } \log \frac{e^{T(x_i, z_i)}}{\sum_j e^{T(x_i, z_j)}}$$


# %%
def info_nce(similarity, positive):
    candidates = torch.isfinite(similarity[0]).sum().log()
    return candidates - cross_entropy(similarity, positive)


# %% [markdown]
# The second term is a logarithm of a probability, so it is at most 0.
#
# **Predict:** the best $T$, and $M = 8$, 64 or 512 candidates. What does the curve look like?


# %%
def read_nce(rho, m):
    values = []
    for _ in range(max(4, 1024 // m)):
        x, z = gaussian_pairs(m, rho)
        similarity = log_ratio(x[:, None], z[None], rho)  # (M, M): every x with every z
        values.append(info_nce(similarity, torch.arange(m)).item())
    return np.mean(values)


# %%
candidates = [8, 64, 512]
lines = {f"$M$ = {m}": [read_nce(rho, m) for rho in toy_correlations] for m in candidates}
nce_high = {m: lines[f"$M$ = {m}"][-1] for m in candidates}
figure = plots.sweep(truth, {**lines, "truth": truth}, xlabel, "InfoNCE (nats)", scale=1, log2=False)
listed = ", ".join(f"{nce_high[m]:.2f} with {m} candidates (cap {math.log(m):.2f})" for m in candidates)
plots.show(figure, alt=f"InfoNCE against the true information. Each curve bends to its cap log M: {listed}.")

# %%
record(nce_8=nce_high[8], nce_64=nce_high[64], cap_8=math.log(8), cap_64=math.log(64))

# %% [markdown]
# Each curve bends towards its cap $\log M$: {{ nce_8 | f2 }} of {{ cap_8 | f2 }}, {{ nce_64 | f2 }} of
# {{ cap_64 | f2 }}, where the truth is {{ truth_high | f2 }}. The bound is tame and never far above the truth,
# but a batch of 64 can't speak of more than {{ cap_64 | f2 }} nats.
#
# The library uses this form for colour images. There every image is seen in two strongly different **views**
# (crop, colour, side), and the last feature maps $h$ and $h'$ of the two views should say much about each
# other: what they share is the object and not its colour. The statistics network is a cosine:


# %%
class ViewStatistics(nn.Module):
    def __init__(self, features, hidden=256, out=128, temperature=0.5):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, out))
        self.temperature = temperature

    def forward(self, h):
        v = normalize(self.project(h.flatten(1)), dim=1)
        itself = torch.eye(len(v), dtype=torch.bool, device=v.device)
        return (v @ v.T / self.temperature).masked_fill(itself, -torch.inf)


# %% [markdown]
# All views stand in one batch, first all first views, then all second ones. Each view has the others as
# candidates, and minus infinity on the diagonal keeps it from choosing itself.
#
# On the toy, $x$ and $z$ are the two "views". **Predict:** a cosine over a temperature of 0.5 lies between
# −2 and 2. What does that do to the estimate?


# %%
def train_views(temperature, rho, n=64):
    torch.manual_seed(seed)
    T_v = ViewStatistics(toy_dim, 64, 32, temperature)
    optimiser, other = torch.optim.Adam(T_v.parameters(), 3e-3), torch.arange(2 * n).roll(n)
    for _ in range(toy_steps):
        optimiser.zero_grad()
        (-info_nce(T_v(torch.cat(gaussian_pairs(n, rho))), other)).backward()
        optimiser.step()
    with torch.no_grad():
        return np.mean([info_nce(T_v(torch.cat(gaussian_pairs(n, rho))), other).item() for _ in range(50)])


# %%
soft, sharp = train_views(0.5, toy_rho), train_views(0.05, toy_rho)
print(f"temperature 0.5: {soft:.2f} nats; 0.05: {sharp:.2f}; truth {true_information(toy_rho):.2f}")

# %%
record(views_soft=soft, views_sharp=sharp)

# %% [markdown]
# {{ views_soft | f2 }} nats at temperature 0.5, {{ views_sharp | f2 }} at 0.05, and
# {{ truth_middle | f2 }} is right. A soft $T$ can't say "surely", so its *estimate* is poor. As a training
# signal it is liked for that: it does not stop asking when a pair is half clear. A good regulariser and a
# good measure are two things. Our images are grey, so this form rests until we meet colour.
#
# ## 4. Strangers, but which?
#
# We made strangers with a cyclic shift. Most people shuffle: `z[torch.randperm(n)]`.
#
# **Predict:** how many codes of a batch of 64 come back to their own image in a random shuffle? And of 8?


# %%
def marginal_bias(n, batches):
    """Fixed points of a shuffle, and I_JS of the best T with shuffled and with shifted strangers."""
    rows = []
    for _ in range(batches):
        (x, z), order = gaussian_pairs(n, toy_rho), torch.randperm(n)
        fixed = (order == torch.arange(n)).sum().item()
        joint = log_ratio(x, z, toy_rho)
        readings = [jsd_mutual_information(joint, log_ratio(x, s, toy_rho)) for s in (z[order], z.roll(1, 0))]
        rows.append([fixed, *(reading.item() for reading in readings)])
    return np.mean(rows, axis=0)


# %%
sizes = [4, 8, 16, 64, 256]
rows = [marginal_bias(n, batches=8192 // n) for n in sizes]
columns = ["fixed points a batch", "I_JS, shuffled", "I_JS, shifted"]
pd.DataFrame(rows, columns=columns, index=pd.Index(sizes, name="batch")).round(2)

# %%
record(
    fixed_8=rows[1][0],
    fixed_64=rows[3][0],
    shuffled_8=rows[1][1],
    shifted_8=rows[1][2],
    shuffled_64=rows[3][1],
    shifted_64=rows[3][2],
)

# %% [markdown]
# About one, whatever the size: {{ fixed_8 | f2 }} of 8 and {{ fixed_64 | f2 }} of 64. (Each of $n$ codes
# stays with a chance of $1/n$.) That one pair is told to $T$ as "strangers" although it belongs together, and
# the better $T$ is, the more it is punished. In batches of 8 the shuffled estimate is
# {{ shuffled_8 | f2 }} and the shifted one {{ shifted_8 | f2 }}; in batches of 64 {{ shuffled_64 | f2 }} and
# {{ shifted_64 | f2 }}. The shift costs nothing and has no fixed point. (Scoring all $n^2$ pairs without the
# diagonal is as good: exercise 3.)
#
# A shift has one trap of its own. If a batch holds two copies of an image *side by side*, the neighbour is
# no stranger. The library stacks copies as two halves for that reason.
#
# ## 5. On images
#
# Now $x$ is an image. A $T$ that looked at raw pixels would have to learn to see first. The encoder sees
# already, so $T$ looks at a **feature map** from the middle of it, and at the code.


# %%
def forward_features(G, x):
    """The map before the encoder's last block, and the code."""
    middle = G.encoder.features[:-1](x)  # (N, c, 7, 7)
    return middle, G.encoder.code(G.encoder.features[-1](middle).flatten(1))


# %% [markdown]
# (Mind two letters. $T$, $T_g$ and $T_l$ are networks here; $T_t$ of lesson 03 stays a transformation. And what the
# networks see is the map in the *middle* of the encoder, `seen`, not $h$ at its end.)
#
# Two networks ask two questions. The **global** one, $T_g$, averages the map over its positions: does this
# code belong to this image?


# %%
class GlobalStatistics(nn.Module):
    def __init__(self, channels, latent_dim, hidden=256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(channels + latent_dim, hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(hidden, 1),
        )

    def forward(self, seen, z):
        return self.net(torch.cat([seen.mean((2, 3)), z], 1)).squeeze(1)


# %% [markdown]
# The **local** one, $T_l$, asks at *every position*: does this code belong to the image that I see a corner
# of? A code that answers everywhere must hold what the corners have in common, not one telling detail. The
# 1 × 1 convolutions are one small network, used at all positions.


# %%
class LocalStatistics(nn.Module):
    def __init__(self, channels, latent_dim, hidden=128):
        super().__init__()
        self.see = nn.Conv2d(channels, hidden, 1)
        self.know = nn.Linear(latent_dim, hidden)
        self.net = nn.Sequential(
            nn.LeakyReLU(0.1), nn.Conv2d(hidden, hidden, 1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, 1, 1)
        )

    def forward(self, seen, z):
        return self.net(self.see(seen) + self.know(z)[:, :, None, None]).squeeze(1)


# %%
G = ConvAutoencoder(task.image_shape, width, latent_dim)
seen, z = forward_features(G, task.train[:5].float() / 255)
T_g, T_l = GlobalStatistics(seen.shape[1], latent_dim), LocalStatistics(seen.shape[1], latent_dim)
print("map", tuple(seen.shape), "code", tuple(z.shape))
print("T_g", tuple(T_g(seen, z).shape), "T_l", tuple(T_l(seen, z).shape))

# %% [markdown]
# ### Who raises it?
#
# Everybody. The statistics networks raise the estimate because that makes it *true*. The encoder raises it
# because that is what we want from it. No min-max, no game:
#
# $$\min_{G,\, T_g,\, T_l}\; \mathcal{L}_{rec} - w_I\, \big( I_{JS}^{(g)}(x; z) + I_{JS}^{(l)}(x; z) \big)$$
#
# In the course's training loop a **turn** has one loss and the players that lower it. So this part is *one
# turn with two players*. We also want to see other arrangements, so the arrangement is a setting:
#
# - `together`: encoder and $T$ lower the same loss.
# - `apart`: $T$ raises the estimate in a turn of its own, on codes that it gets as constants. The encoder
#   follows its own weight: with weight 0 it does not care, and $T$ is a mere **spectator**.
# - `frozen`: $T$ stays as it was drawn.


# %%
def estimates(T, seen, z):
    return {name: jsd_mutual_information(t(seen, z), t(seen.roll(1, 0), z)) for name, t in T.items()}


# %% [markdown]
# The pair of strangers: another image's map with this code. Now the training. `channel` is something that
# the code passes before anybody uses it. Until section 7 it does nothing.


# %%
def make_turns(G, T, channel, weight, game, w_rec):
    def encoder_turn(step):
        x = step.images["train"]
        seen, z = forward_features(G, x)
        z = channel(z)
        found, error = estimates(T, seen, z), squared_error(G.decode(z), x)
        step.shared.update(seen=seen, z=z)  # for the next turn, as constants
        step.log(error=error.detach(), **{name: value.detach() for name, value in found.items()})
        return {"reconstruction": w_rec * error, "information": -weight * sum(found.values())}

    def statistics_turn(step):
        return {"statistics": -sum(estimates(T, step.shared["seen"], step.shared["z"]).values())}

    if game == "together":
        return [Turn(encoder_turn, player("G", G), player("T", T))]
    alone = [Turn(encoder_turn, player("G", G))]
    return alone if game == "frozen" else [*alone, Turn(statistics_turn, player("T", T))]


# %%
def player(name, part):
    optimiser = torch.optim.AdamW(part.parameters(), learning_rate, betas=(0.9, 0.99))
    return Player(name, part, optimiser, warmup_cosine(), clip=5.0)


# %%
def play(weight, game="together", d=latent_dim, noise=0.0, w_rec=1.0):
    with seeded(seed):
        G = ConvAutoencoder(task.image_shape, width, d)
        c = G.encoder.features[-1][0].in_channels  # channels of the map in the middle
        T = nn.ModuleDict({"I_g": GlobalStatistics(c, d), "I_l": LocalStatistics(c, d, hidden=64)})
    channel = NoisyChannel(d, noise) if noise else nn.Identity()
    turns = make_turns(G, T, channel, weight, game, w_rec)
    history = train(turns, task.train, steps=steps, batch_size=batch_size, seed=seed)
    return SimpleNamespace(G=G.eval(), channel=channel.eval(), history=history, noise=noise)


# %% [markdown]
# **Predict:** the spectator only watches an ordinary autoencoder. How high will its estimate climb? And how
# much does the encoder's help add?

# %%
without = play(weight=0, game="apart")
with_part = play(weight=w_information)
strong = play(weight=w_strong)

# %%
runs = {"without": without, "with": with_part, f"weight {w_strong}": strong}
curves = {name: run.history["I_g"] for name, run in runs.items()}
figure = plots.losses(curves, log=False, ylabel="$I_{JS}$ by $T_g$")


def last(run, name):
    return float(np.mean(run.history[name][-20:]))


listed = ", ".join(f"{name} {last(run, 'I_g'):.2f}" for name, run in runs.items())
plots.show(
    figure, alt=f"Estimate of the global statistics network against the step. All rise; ends: {listed}."
)

# %%
record(
    own_without=last(without, "I_g"),
    own_with=last(with_part, "I_g"),
    own_strong=last(strong, "I_g"),
    weight=w_information,
    weight_strong=w_strong,
)

# %% [markdown]
# Nobody helps the spectator, and it still ends at {{ own_without | f2 }}: an autoencoder's code says much of
# its image without being asked. With the encoder's help the estimate ends at {{ own_with | f2 }}, and with
# the larger weight at {{ own_strong | f2 }}. The part does what its loss asks.
#
# ### Does the code say more?
#
# That is another question. The estimate compares the code with the encoder's *own map*, and the encoder made
# both. It can raise the estimate in two ways: put more of the image into the code, or make map and code easy
# to match. We need a judge from outside: a **fresh** $T$, trained on frozen codes, read on held-out images,
# and with eyes that are the same for every encoder. Its eyes are the image, averaged to 7 × 7 pixels.

# %%
held_out = task.test[y == 0]  # normal images that no network here was trained on


@torch.no_grad()
def codes(run, images):
    return torch.cat(
        [run.channel(forward_features(run.G, batch.float() / 255)[1]) for batch in images.split(512)]
    )


def pixel_eyes(run, images):
    return adaptive_avg_pool2d(images.float() / 255, 7).flatten(1)  # (N, 49)


@torch.no_grad()
def own_eyes(run, images):
    return torch.cat(
        [forward_features(run.G, batch.float() / 255)[0].mean((2, 3)) for batch in images.split(512)]
    )


# %%
def standardised(train, test):
    mean, deviation = train.mean(0), train.std(0) + 0.02
    return (train - mean) / deviation, (test - mean) / deviation


def friends_and_strangers(T, eyes, code, noise, shift):
    code, h = code + noise * torch.randn_like(code), eyes[:, :, None, None]
    return T(h, code), T(h.roll(shift, 0), code)


# %%
def fresh_reading(eyes, code, noise=0.0, seed=seed):
    """Train a fresh T_g on (train, test) pairs of what it sees and codes; read it on the second of each."""
    eyes, code = standardised(*eyes), standardised(*code)
    with seeded(seed):
        T = GlobalStatistics(eyes[0].shape[1], code[0].shape[1], hidden=128)
        optimiser = torch.optim.AdamW(T.parameters(), 2e-3)
        for _ in range(reader_steps):
            i = torch.randint(len(eyes[0]), (128,))
            loss = -jsd_mutual_information(*friends_and_strangers(T, eyes[0][i], code[0][i], noise, shift=1))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            pairs = [friends_and_strangers(T, eyes[1], code[1], noise, shift) for shift in range(1, 9)]
    return np.mean(
        [[bound(*pair).item() for bound in (jsd_mutual_information, donsker_varadhan)] for pair in pairs], 0
    )


# %% [markdown]
# A judge errs too. Three fresh networks that differ in their seed alone say by how much.

# %%
eyes = [pixel_eyes(without, images) for images in (task.train, held_out)]
code = [codes(without, images) for images in (task.train, held_out)]
repeated = [fresh_reading(eyes, code, seed=s)[0] for s in (1, 2, 3)]
print("three judges:", ", ".join(f"{value:.3f}" for value in repeated))

# %%
record(
    reading_wobble=max(repeated) - min(repeated),
    n_held_out=len(held_out),
    log_held_out=math.log(len(held_out)),
)

# %% [markdown]
# They read the same code and differ by {{ reading_wobble | f3 }}. Do not make much of less than that.
#
# Beside the readings we measure what the course is about: the reconstruction, the shape of the cloud of
# codes, and AUROC. **Directions** is the number of directions that the codes effectively use,
# $(\sum_i \lambda_i)^2 / \sum_i \lambda_i^2$ with the variances $\lambda_i$ along the principal axes.


# %%
def directions(z):
    variances = torch.linalg.eigvalsh(z.T.cov())
    return (variances.sum() ** 2 / variances.square().sum()).item()


@torch.no_grad()
def pixel_scores(run, images):
    x = images.float() / 255
    x_hat = torch.cat([run.G.decode(z) for z in codes(run, images).split(512)])
    return (x - x_hat).square().flatten(1).mean(1).numpy()


# %%
def judge(run):
    bank, found = codes(run, task.train), codes(run, task.test)
    gaussian = Gaussian.fit(bank)
    s_lat = nearest_distance(gaussian.whiten(bank), gaussian.whiten(found)).numpy()
    code = bank, found[y == 0]
    pixels, own = (
        fresh_reading((e(run, task.train), e(run, held_out)), code, run.noise) for e in (pixel_eyes, own_eyes)
    )
    return {
        "error": last(run, "error"),
        "estimate I_g": last(run, "I_g"),
        "fresh T": pixels[0],
        "fresh T, nats": pixels[1],
        "fresh T, own map": own[0],
        "directions": directions(bank),
        "AUROC pixel": 100 * auroc(y, pixel_scores(run, task.test)),
        "AUROC latent": 100 * auroc(y, s_lat),
    }


# %% [markdown]
# **Predict** for each row: which way does it go from *without* to *with*, and further to the large
# weight?

# %%
judged = pd.DataFrame({name: judge(run) for name, run in runs.items()})
judged.round(3)

# %%
a, b, c = (judged[name] for name in runs)
record(
    reading_without=a["fresh T"],
    reading_with=b["fresh T"],
    reading_strong=c["fresh T"],
    nats_without=a["fresh T, nats"],
    nats_with=b["fresh T, nats"],
    nats_strong=c["fresh T, nats"],
    own_map_without=a["fresh T, own map"],
    own_map_strong=c["fresh T, own map"],
    error_without=a["error"],
    error_with=b["error"],
    error_strong=c["error"],
    directions_without=a["directions"],
    directions_with=b["directions"],
    directions_strong=c["directions"],
    pixel_without=a["AUROC pixel"],
    pixel_with=b["AUROC pixel"],
    pixel_strong=c["AUROC pixel"],
    latent_without=a["AUROC latent"],
    latent_with=b["AUROC latent"],
    latent_strong=c["AUROC latent"],
    estimate_gain=b["estimate I_g"] - a["estimate I_g"],
    reading_gain=b["fresh T"] - a["fresh T"],
)

# %% [markdown]
# Read it row by row.
#
# - The **estimate** went up by {{ estimate_gain | f2 }}, from {{ own_without | f2 }} to {{ own_with | f2 }}.
# - The **fresh** $T$, with eyes of its own, reads {{ reading_without | f3 }} without the part and
#   {{ reading_with | f3 }} with it, a difference of {{ reading_gain | f3 }}, where judges differ by
#   {{ reading_wobble | f3 }} and the ceiling is 1.386. In nats: {{ nats_without | f1 }} and
#   {{ nats_with | f1 }}. With {{ n_held_out }} images to read on, $\log n$ is {{ log_held_out | f1 }}, so
#   numbers of that size mean "a lot" and no more.
# - With the **large weight** the fresh reading is {{ reading_strong | f3 }} through the image and
#   {{ own_map_strong | f3 }} through the encoder's own map (without the part:
#   {{ reading_without | f3 }} and {{ own_map_without | f3 }}). The encoder's own $T$ says
#   {{ own_strong | f2 }}. Compare these: the estimate can rise while an outsider reads less. Map and code
#   became easy to match, in few directions: {{ directions_without | f1 }} without, {{ directions_strong | f1 }}
#   with the large weight. The reconstruction error goes from {{ error_without | f3 }} to
#   {{ error_strong | f3 }}.
# - **AUROC** of the latent score: {{ latent_without | f1 }} without, {{ latent_with | f1 }} with,
#   {{ latent_strong | f1 }} with the large weight. Of the pixel score: {{ pixel_without | f1 }},
#   {{ pixel_with | f1 }}, {{ pixel_strong | f1 }}.
#
# So a higher estimate is no proof of a code that says more, and one that says more is no proof of a better
# detector. Look at the pictures as well:

# %%
shown = torch.cat([task.test[y == 0][:5], task.test[y == 1][:: int(np.sum(y)) // 5][:5]])
rows = {"$x$": shown}
with torch.no_grad():
    for name, run in runs.items():
        rows[name] = run.G.decode(codes(run, shown))
figure = plots.image_grid(rows)
plots.show(
    figure,
    alt="Five normal and five anomalous test images and their reconstructions by three networks: without the "
    "part, with it, and with the large weight. The first two rows of reconstructions look alike; those with "
    "the large weight are more blurred and closer to a few standard shapes.",
)

# %% [markdown]
# ## 6. What can go wrong
#
# ### The wrong sign
#
# One loss, two players, and a forgotten minus: `rec + w * information`. Everybody now *lowers* the estimate.
# Or only the encoder has the wrong sign, and $T$ still raises: that makes a min-max out of a team.
#
# **Predict** both curves. Where is the floor of $I_{JS}$?

# %%
sign_bug = play(weight=-w_strong, game="together")
against = play(weight=-w_strong, game="apart")
for name, run in {"both lower it": sign_bug, "encoder against T": against}.items():
    print(f"{name:18} I_g {last(run, 'I_g'):10.2f}   error {last(run, 'error'):.3f}")

# %% [markdown]
# ### A statistics network that never learns
#
# The other common bug: $T$ is not in any optimiser, or its values are cut from the graph. The encoder alone
# raises the estimate of a $T$ that was drawn at random.

# %%
frozen = play(weight=w_strong, game="frozen")
failures = {"both lower it": sign_bug, "encoder against T": against, "frozen T": frozen}
failed = pd.DataFrame({name: judge(run) for name, run in failures.items()})
failed.insert(0, "without", judged["without"])
failed.round(3)

# %%
bug, foe, ice = (failed[name] for name in failures)
record(
    own_sign_bug=bug["estimate I_g"],
    own_against=foe["estimate I_g"],
    own_frozen=ice["estimate I_g"],
    error_sign_bug=bug["error"],
    directions_sign_bug=bug["directions"],
    reading_sign_bug=bug["fresh T"],
    reading_against=foe["fresh T"],
    reading_frozen=ice["fresh T"],
    latent_sign_bug=bug["AUROC latent"],
    latent_against=foe["AUROC latent"],
    latent_frozen=ice["AUROC latent"],
    pixel_frozen=ice["AUROC pixel"],
)

# %% [markdown]
# - **Both lower it:** the estimate is {{ own_sign_bug | int }}. $I_{JS}$ has a ceiling and no floor, so the
#   loss falls for ever, and on a plot of losses that looks like success. The reconstruction pays for it
#   ({{ error_sign_bug | f3 }} against {{ error_without | f3 }}), and a fresh $T$ reads
#   {{ reading_sign_bug | f2 }} instead of {{ reading_without | f2 }}: information was thrown away. And the
#   latent score? {{ latent_sign_bug | f1 }}, against {{ latent_without | f1 }}. A broken part need not show
#   in the AUROC. So print the estimate: one that
#   falls below zero *on training pairs*, and goes on falling, is a wrong sign.
# - **Encoder against $T$:** the estimate stays at {{ own_against | f2 }}, as if the code said nothing. A fresh
#   $T$ reads {{ reading_against | f2 }}. The encoder has not thrown the information away, the decoder needs
#   it; it hides it from this one $T$, which always comes a step late.
# - **Frozen $T$:** the estimate ends at {{ own_frozen | f2 }}, near zero, although the fresh reading is
#   {{ reading_frozen | f2 }}. A bound is tight only at its best $T$. What the encoder follows here is the
#   gradient of random weights. Neither number nor gradient means anything.
#
# ### A test that is trivial
#
# A tempting shortcut: let $T$ compare the code *with itself*, $(z, z)$ against $(z, \text{shifted } z)$. Its
# estimate looks splendid.
#
# **Predict:** we give every image a *random* code that has nothing to do with it. What do $T(z, z')$ and
# $T(x, z)$ report?


# %%
torch.manual_seed(seed)
random_code = [torch.randn(len(images), narrow_dim) for images in (task.train, held_out)]
trivial = fresh_reading(random_code, random_code)[0]
proper = fresh_reading([pixel_eyes(None, task.train), pixel_eyes(None, held_out)], random_code)[0]
print(f"code against itself: {trivial:.2f}; code against image: {proper:.2f}; ceiling 1.39; truth 0")

# %%
record(trivial=trivial, proper=proper)

# %% [markdown]
# The code against itself: {{ trivial | f2 }} of 1.39. The code against the image: {{ proper | f2 }}. Random
# numbers are equal to themselves, and that is all that the first test has found. It says nothing about
# images. (The second is a little *below* zero where $T$ fitted its training pairs: read on held-out pairs, a
# bound errs downwards.)
#
# Our own $T_g$ is half a step away from this trap, by the way. It compares the code with a map from which
# that code was computed. That is why the outsider's reading was worth the trouble.
#
# ## 7. Why so little? Two explanations, one experiment
#
# **Explanation 1: it was already paid for.** Reconstruct $x$ from $z$, and call the network's answer the
# centre of a normal distribution, $q(x \mid z)$. Then (Barber & Agakov, 2003)
#
# $$I(x; z) \;\ge\; H(x) + \mathbb{E} \log q(x \mid z) \;=\; \text{constant} - \text{const}' \cdot
# \mathcal{L}_{rec} .$$
#
# The squared error *is* a bound on mutual information, and lowering it raises that bound. The regulariser
# asks a second time. With {{ code_length }} numbers a code there is room for all that $T$ can see, the
# classifier is right almost always, and the ceiling is near ({{ reading_without | f2 }} of 1.39).
#
# **Explanation 2: it asks for the wrong thing.** An anomaly is visible when the code says *what makes the
# image normal*. How *much* the code says is another matter: any telling detail raises $I$ as well.
#
# Explanation 1 has two halves: the reconstruction asks for the same, and the ceiling is near. Where information is
# **scarce** the second half falls away. If the ceiling alone was to blame, a code with little room should now gain
# from the part, and the detector with it. So we make it scarce, with a known limit. The code
# gets {{ n_narrow }} numbers, each is scaled to variance 1, and then noise of deviation $\sigma$ is added. No
# encoder can send more through this channel than
#
# $$I(x; z) \le \frac{d}{2} \log \Big( 1 + \frac{1}{\sigma^2} \Big) . \qquad \text{(Shannon, 1948)}$$


# %%
class NoisyChannel(nn.Module):
    def __init__(self, d, noise):
        super().__init__()
        self.scale, self.noise = nn.BatchNorm1d(d, affine=False), noise  # variance 1, nothing to learn

    def forward(self, z):
        z = self.scale(z)
        return z + self.noise * torch.randn_like(z) if self.training else z  # a judge adds noise of its own


# %%
capacity = narrow_dim / 2 * math.log(1 + 1 / narrow_noise**2)
print(f"d = {narrow_dim}, noise {narrow_noise}: at most {capacity:.2f} nats")

# %% [markdown]
# (Without the scaling the encoder would win by shouting: ten times larger codes, the same noise. The latent
# score is read from codes without noise.) Four runs:
# an untrained encoder, the autoencoder, the autoencoder with the part, and the part *alone*, without any
# reconstruction.
#
# **Predict** the order of the fresh readings, and the order of the latent AUROC. Are they the same?

# %%
narrow = {"d": narrow_dim, "noise": narrow_noise}
scarce = {
    "untrained": play(0, "apart", w_rec=0, **narrow),
    "without": play(0, "apart", **narrow),
    "with": play(w_information, **narrow),
    "part alone": play(w_strong, w_rec=0, **narrow),
}

# %%
judged_scarce = pd.DataFrame({name: judge(run) for name, run in scarce.items()})
judged_scarce.round(3)

# %%
bars = {
    name: {"pixel": column["AUROC pixel"] / 100, "latent": column["AUROC latent"] / 100}
    for name, column in judged_scarce.items()
}
figure = plots.auroc_bars(bars)
listed = "; ".join(
    f"{name}: latent {column['AUROC latent']:.1f}, fresh reading {column['fresh T']:.2f}"
    for name, column in judged_scarce.items()
)
plots.show(figure, alt=f"Bars of AUROC with a narrow and noisy code. {listed}.")

# %%
nothing, plain, part, only = (judged_scarce[name] for name in scarce)
record(
    code_length=latent_dim,
    n_narrow=narrow_dim,
    capacity=capacity,
    scarce_untrained=nothing["fresh T"],
    scarce_without=plain["fresh T"],
    scarce_with=part["fresh T"],
    scarce_alone=only["fresh T"],
    scarce_nats_without=plain["fresh T, nats"],
    scarce_own_map_without=plain["fresh T, own map"],
    scarce_own_map_with=part["fresh T, own map"],
    scarce_own_map_alone=only["fresh T, own map"],
    scarce_directions_without=plain["directions"],
    scarce_directions_alone=only["directions"],
    scarce_latent_untrained=nothing["AUROC latent"],
    scarce_latent_without=plain["AUROC latent"],
    scarce_latent_with=part["AUROC latent"],
    scarce_latent_alone=only["AUROC latent"],
    scarce_error_without=plain["error"],
    alone_gain=only["fresh T"] - nothing["fresh T"],
)

# %% [markdown]
# Now the readings are far from the ceiling: the autoencoder's code gives {{ scarce_without | f2 }}, or
# {{ scarce_nats_without | f1 }} nats of the {{ capacity | f1 }} that fit through.
#
# - **The part works.** Alone, without a decoder, it takes an untrained encoder from
#   {{ scarce_untrained | f2 }} to {{ scarce_alone | f2 }}. It can teach an encoder to see.
# - **The reconstruction does the same job.** It reaches {{ scarce_without | f2 }} without the part. Adding
#   the part gives {{ scarce_with | f2 }}. Through the own map the two are {{ scarce_own_map_without | f2 }} and
#   {{ scarce_own_map_with | f2 }}. So it was not the ceiling. The reconstruction asks for the same: that half of
#   explanation 1 stands.
# - **And the detector?** Latent AUROC {{ scarce_latent_without | f1 }} without, {{ scarce_latent_with | f1 }}
#   with, {{ scarce_latent_alone | f1 }} for the part alone, {{ scarce_latent_untrained | f1 }} for the untrained
#   encoder. By the outsider's reading the part alone says less than the autoencoder ({{ scarce_alone | f2 }} against
#   {{ scarce_without | f2 }}), so a part of the gap is plain lack of information. Through its own map it says nearly as
#   much ({{ scarce_own_map_alone | f2 }} against {{ scarce_own_map_without | f2 }}), but section 5 told us not to trust
#   that one. Explanation 2 is compatible with this, and not shown by it.
#
# A reading may still be no stand-in for a detector. The part spends the code on whatever separates *one bag
# from another* most easily: alone it uses {{ scarce_directions_alone | f1 }} directions of the code, the
# autoencoder {{ scarce_directions_without | f1 }}. Nothing asks it to describe what all bags share. One class,
# one seed and one small network: an explanation that survived a test, and no law.
#
# ## 8. The table
#
# One run proves nothing. So first a fair pair, in the library's own detector: `DualAD` with $D$ and the
# Feature Constraint switched off is the autoencoder with this part and nothing else. Both start from the same
# weights and see the same batches. We repeat it over classes.
#
# **Predict:** in how many of the {{ n_pairs }} pairs does the latent score rise?

# %%
settings = {
    "width": width,
    "latent_dim": latent_dim,
    "steps": steps,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
}
alone = {"image_discriminator": False, "feature_constraint": False}
command = f"dualad run 04_mutual_information --profile {profile} -p dataset {dataset}"
how = {"profile": profile, "output": results_folder, "command": command}
done = {}  # finished cells


# %%
def cell(detector, k, s, setting="", **switches):
    """The rows of one trained detector; each is trained once."""
    key = (detector, k, s, setting)
    if key not in done:
        done[key] = measure(detector, dataset, k, seed=s, params=settings | switches, setting=setting, **how)
    return done[key]


# %%
rows = []
for k in pair_classes:
    for s in pair_seeds:
        rows += cell("autoencoder", k, s)
        rows += cell("dualad", k, s, setting="information alone", **alone)
pair = pd.DataFrame(rows)
pair["part"] = np.where(pair.setting == "", "without", "with")
pair["class"] = [task.class_names[k] for k in pair.normal_class]
pair["auroc"] *= 100


# %%
by_pair = pair.pivot_table(index=["class", "seed"], columns=["score", "part"], values="auroc", sort=False)
by_pair.round(1)

# %%
change = pd.DataFrame({n: by_pair[n]["with"] - by_pair[n]["without"] for n in ("pixel", "latent", "dual")})
change.describe().loc[["mean", "std", "min", "max"]].round(1)

# %%
record(
    n_pairs=len(change),
    n_up=int((change.latent > 0).sum()),
    pair_latent_without=by_pair["latent"]["without"].mean(),
    pair_latent_with=by_pair["latent"]["with"].mean(),
    pair_pixel_without=by_pair["pixel"]["without"].mean(),
    pair_pixel_with=by_pair["pixel"]["with"].mean(),
    change_latent=change.latent.mean(),
    change_latent_low=change.latent.min(),
    change_latent_high=change.latent.max(),
    change_pixel=change.pixel.mean(),
    change_pixel_low=change.pixel.min(),
    change_pixel_high=change.pixel.max(),
)

# %% [markdown]
# The latent score rose in {{ n_up }} of {{ n_pairs }} pairs. On average it went from
# {{ pair_latent_without | f1 }} to {{ pair_latent_with | f1 }}, a change of {{ change_latent | f1 }} points,
# with single pairs between {{ change_latent_low | f1 }} and {{ change_latent_high | f1 }}. The pixel score
# went from {{ pair_pixel_without | f1 }} to {{ pair_pixel_with | f1 }}, single pairs between
# {{ change_pixel_low | f1 }} and {{ change_pixel_high | f1 }}. A change that turns its sign from pair to pair
# is not an effect that we have shown. With so few pairs the mean hangs on single ones, and on one class alone
# we might have told a nicer story, in either direction.
#
# And where a score does rise, is it *because of the information*? The control for that is a **placebo**:
# something that disturbs the training and measures nothing. The frozen $T$ of section 6 is one, at the large
# weight. Its scores were {{ pixel_frozen | f1 }} (pixel) and {{ latent_frozen | f1 }} (latent), against
# {{ pixel_with | f1 }} and {{ latent_with | f1 }} with the part and {{ pixel_without | f1 }} and
# {{ latent_without | f1 }} without. One run at another weight is a hint and no proof. The fair placebo has the
# same weight and several seeds, and you can give it (exercise 6).
#
# Now the running table: each stage adds one part. The last step, from `dualad_d_fc` to `dualad`, is this
# lesson's.

# %%
stages = {"autoencoder": "autoencoder", "dualad_d": "+ D", "dualad_d_fc": "+ FC", "dualad": "+ MI"}
rows = [row for k in table_classes for stage in stages for row in cell(stage, k, seed)]

# %%
if results_folder is not None:
    everything = [row for finished in done.values() for row in finished]
    write_results(everything, Path(results_folder) / f"04_mutual_information_{dataset}.csv")
table = pd.DataFrame(rows)
table["class"] = [task.class_names[k] for k in table.normal_class]
table["auroc"] *= 100
table["stage"] = [stages[name] for name in table.detector]
table = table.pivot_table(index=["stage", "score"], columns="class", values="auroc", sort=False)
table["mean"] = table.mean(axis=1)
table.round(1)

# %%
means = {name: (table["mean"][name] / 100).to_dict() for name in stages.values()}
figure = plots.auroc_bars(means)
listed = ", ".join(f"{d} {s} {100 * v:.1f}" for d, group in means.items() for s, v in group.items())
plots.show(figure, alt=f"Bars of mean AUROC over {len(table_classes)} classes, in per cent: {listed}.")

# %%
record(
    n_table_classes=len(table_classes),
    **{f"mean_{score}_{s}": value for s, name in stages.items() for score, value in means[name].items()},
)

# %% [markdown]
# From `dualad_d_fc` to `dualad`: pixel {{ mean_pixel_dualad_d_fc | pct }} to {{ mean_pixel_dualad | pct }},
# latent {{ mean_latent_dualad_d_fc | pct }} to {{ mean_latent_dualad | pct }}, dual
# {{ mean_dual_dualad_d_fc | pct }} to {{ mean_dual_dualad | pct }}. From the plain autoencoder to
# `dualad_d_fc` the dual score goes from {{ mean_dual_autoencoder | pct }} to
# {{ mean_dual_dualad_d_fc | pct }}. Compare the two steps, and hold both against the changes from pair to pair
# above.
#
# **Does the part earn its place?** As a *regulariser beside a reconstruction loss* it has not shown that here:
# {{ change_latent | f1 }} points of latent AUROC on average, single pairs between
# {{ change_latent_low | f1 }} and {{ change_latent_high | f1 }}, and a large weight gave
# {{ latent_strong | f1 }} where {{ latent_without | f1 }} stood without it. As a *tool to measure* it earned
# its place: it told us what the code says, and it shows bugs that an AUROC need not show. Where there is no
# decoder, as in Deep InfoMax, it is the whole training signal, and it works. The library keeps it at a small
# weight and as a switch, so that you can check us. On all ten classes of complete MNIST and Fashion-MNIST
# this step of the table stayed within a tenth of a point of zero ([lesson 08](08_benchmark.ipynb)).
#
# ## Recap
#
# - $I(x; z)$ compares pairs that belong together with strangers. Counting fails: {{ counted_4 | f1 }} nats
#   for independent variables in four dimensions.
# - Donsker-Varadhan is right at the best $T$, and dangerous to train on: {{ few_train | int }} nats from 64
#   pairs. Train by Jensen-Shannon, read by Donsker-Varadhan: {{ jsd_read_middle | f2 }} of
#   {{ truth_middle | f2 }}. InfoNCE can't exceed $\log M$.
# - Strangers come from a shift. A shuffle leaves about one pair a batch at home.
# - Encoder and $T$ raise the estimate together: {{ own_without | f2 }} to {{ own_with | f2 }}. A fresh judge
#   reads {{ reading_without | f2 }} and {{ reading_with | f2 }}.
# - An estimate that falls without end is a wrong sign. One that stays at 0 is a $T$ that does not learn, or an
#   encoder that plays against it.
#
# **Next:** two scores, one number. How to fuse them without a label, and what the dual score is worth.
#
# ## Exercises
#
# **1. Predict.** A code $z$ is replaced by $z'$. Compared with $I(x; z)$, is $I(x; z')$ the `"same"`,
# `"lower"` or `"higher"`?

# %%
answers = {
    "doubled": None,  # z' = 2 z
    "coordinates reordered": None,  # z' = z with its numbers in another, fixed order
    "noise added": None,  # z' = z + independent noise
    "rounded": None,  # z' = z, each number rounded to a whole one
    "random number appended": None,  # z' = z and one independent random number
    "another image's code": None,  # z' = the code of an image drawn at random
}
checks.check_information_changes(answers)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Can somebody who holds $z'$ alone get $z$ back? Then nothing is lost.
#
# </details>
# <details><summary>Hint 2</summary>
#
# And can a computation on $z$ alone bring in anything new about $x$?
#
# </details>
# <details><summary>Solution</summary>
#
# Same, same, lower, lower, same, lower (it is zero). What can be undone loses nothing: doubling, reordering,
# dropping the random number again. What can't be undone loses. And nothing done to $z$ alone can add: that is
# the *data-processing inequality*. Note the first: $I$ does not know the scale of a code. A latent score
# does.
#
# </details>
#
# **2. Code.** Make strangers: give each position of the batch the code of another image. Every code is used
# once, and none stays at home.


# %%
def strangers(z):
    """z: (N, d), N of at least 2. Returns (N, d): the same codes, none in its own row."""
    raise NotImplementedError


checks.check_strangers(strangers)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A random permutation leaves about one code at home. Which simple permutation leaves none?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Move every row down by one, and the last one to the top.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def strangers(z):
#     return z.roll(1, 0)  # the 0 matters: without it torch rolls the flattened tensor
# ```
#
# </details>
#
# **3. Code.** Use all strangers of a batch. $T$ was evaluated on all pairs: `t[i, j]` $= T(x_i, z_j)$. Write
# $I_{JS}$ with the diagonal as joint pairs and *everything else* as marginal pairs.


# %%
def jsd_all_pairs(t):
    """t: (N, N) logits. Returns a scalar."""
    raise NotImplementedError


checks.check_jsd_all_pairs(jsd_all_pairs)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The diagonal is `t.diagonal()`. You need everything else as one long vector.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A boolean mask, `~torch.eye(len(t), dtype=torch.bool)`, picks it. Then call `jsd_mutual_information(joint,
# marginal)`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def jsd_all_pairs(t):
#     joint = t.diagonal()
#     marginal = t[~torch.eye(len(t), dtype=torch.bool)]  # N (N - 1) pairs
#     return jsd_mutual_information(joint, marginal)
# ```
#
# The estimate is less noisy, because each code meets $N - 1$ strangers and not one. It costs $N$ times as
# many evaluations of $T$.
#
# </details>
#
# **4. Explain.** A colleague trains with InfoNCE, batch size 64, reads 4.1 nats, and concludes that her code
# holds about 4.1 nats. With batch size 512 she reads 6.2. What do you tell her?
#
# <details><summary>Hint</summary>
#
# Compute $\log 64$ and $\log 512$, and put them beside what she read.
#
# </details>
# <details><summary>Solution</summary>
#
# $\log 64 = 4.16$ and $\log 512 = 6.24$. She reads the cap both times. All that she knows is that the
# information is larger than 6.2. A deterministic encoder of continuous images has no finite $I$ at all: from
# enough numbers, the image can be found again exactly.
#
# </details>
#
# **5. Explain.** You print $I_{JS}$ on held-out pairs, and it is negative and falls. Which two causes do you look for,
# and which second number tells them apart?
#
# <details><summary>Hint</summary>
#
# $I_{JS}$ of a $T$ that knows nothing is 0. What does it take to get *below* that?
#
# </details>
# <details><summary>Solution</summary>
#
# A wrong sign (everybody lowers it), or a $T$ that has learned its training pairs by heart. Print $I_{JS}$ on the
# *training* pairs beside it. With a wrong sign it is negative and falls, too, and the loss looks like success. Learned
# by heart, it is near its ceiling, $2 \log 2$ (section 3's 64 pairs). At a healthy start both are near 0 and rise.
#
# </details>
#
# **6. Try.** Give the placebo: `play(w_information, "frozen")` beside `without` and `with_part`, each for
# several values of `seed`, and `judge` all three. First predict: which share of the change does the placebo
# reach? Then look with other eyes: 14 × 14 or 2 × 2 pixels in `pixel_eyes`. Which readings change?
#
# ## References
#
# - C. E. Shannon. *A mathematical theory of communication.* Bell System Technical Journal 27, 1948.
# - M. D. Donsker, S. R. S. Varadhan. *Asymptotic evaluation of certain Markov process expectations for large
#   time, IV.* Communications on Pure and Applied Mathematics 36, 1983.
# - D. Barber, F. Agakov. *The IM algorithm: a variational approach to information maximization.* NIPS 2003.
# - S. Nowozin, B. Cseke, R. Tomioka. *f-GAN: training generative neural samplers using variational divergence
#   minimization.* NIPS 2016.
# - M. I. Belghazi et al. *Mutual information neural estimation* (MINE). ICML 2018.
# - A. van den Oord, Y. Li, O. Vinyals. *Representation learning with contrastive predictive coding*
#   (InfoNCE). 2018. arXiv:1807.03748.
# - R. D. Hjelm et al. *Learning deep representations by mutual information estimation and maximization* (Deep
#   InfoMax). ICLR 2019.
# - B. Poole, S. Ozair, A. van den Oord, A. A. Alemi, G. Tucker. *On variational bounds of mutual
#   information.* ICML 2019.
# - D. McAllester, K. Stratos. *Formal limitations on the measurement of mutual information.* AISTATS 2020.
# - M. Tschannen, J. Djolonga, P. K. Rubenstein, S. Gelly, M. Lucic. *On mutual information maximization for
#   representation learning.* ICLR 2020.
# - J. Tack, S. Mo, J. Jeong, J. Shin. *CSI: novelty detection via contrastive learning on distributionally
#   shifted instances.* NeurIPS 2020.
# - I. Goodfellow et al. *Generative adversarial nets.* NIPS 2014.
# - C. Chen et al. *Latent regularized generative dual adversarial network for abnormal detection* (LR-GDAN).
#   IJCAI 2020.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
