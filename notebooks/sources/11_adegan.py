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
# # 09 · ADe-GAN: many kinds of normal
#
# {{ colab_badge }}
#
# Until now one class was normal. In a shop everything is normal that is on sale: nine kinds of things, and nobody
# has sorted them. The anomaly is the tenth. ADe-GAN (Chai et al.) learns *patterns* in the normal images, without
# labels, and asks two questions of a new image: can it be rebuilt, and which pattern is it?
#
# **After this lesson you will be able to**
#
# - set up the leave-one-out protocol, and say when nine against one is harder than one against nine;
# - train a generator from a pattern and noise, and look at the patterns that it found;
# - read a formula that leaves its symbols open, and test each reading of it;
# - say what choosing the number of patterns on the test set is worth.
#
# **You need** lessons [02](02_image_discriminator.ipynb) and [05](05_dual_scoring.ipynb).
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about 45 minutes of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

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
from torch.nn.functional import log_softmax, one_hot

from dualad_lib import ADeGAN, NearestNeighbours, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import tables
from dualad_lib.experiments.results import study_rows
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
left_out = 8  # 8 = bag, the anomaly
hard_class = 6  # 6 = shirt
seed = 0
patterns = 10
width = 8
noise_dim = 16  # numbers in the noise z_n
noise = 0.1  # their deviation, sigma
steps = 600  # batches that train one detector
learning_rate = 2e-3
batch_size = 64
sweep_patterns = [2, 5, 10, 20]
sweep_steps = 150

# %%
task = load_one_class(dataset, anomaly_class=left_out, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
x_test = task.test.float() / 255
settings = {"width": width, "noise_dim": noise_dim, "noise": noise, "batch_size": batch_size, "seed": seed}
settings["learning_rate"] = learning_rate
task

# %% [markdown]
# ## 1. Nine against one
#
# **Protocol:** one class is the *anomaly*, the other nine are normal. Their training images train, unlabelled; the
# whole test set tests. The paper's mean on MNIST is 90.7.
#
# **Predict:** the distance to the *fifth* nearest neighbour (the fifth, so that one odd training image decides nothing)
# has {{ knn_p2 | pct }} with bags as the normal class. What will it have with bags as the anomaly? And with shirts?

# %%
one_class = load_one_class(dataset, left_out, seed=seed)
nearest = {}
for name, part in {
    "bags normal": one_class,
    "bags left out": task,
    "shirts left out": load_one_class(dataset, anomaly_class=hard_class, seed=seed),
}.items():
    scores = NearestNeighbours(n_neighbors=5).fit(part.train).anomaly_scores(part.test).final
    nearest[name] = auroc(part.test_labels.numpy(), scores)
pd.Series(nearest).mul(100).round(1)

# %%
record(
    knn_p2=nearest["bags normal"],
    knn_loo=nearest["bags left out"],
    knn_hard=nearest["shirts left out"],
)

# %% [markdown]
# {{ knn_p2 | pct }}, {{ knn_loo | pct }}, {{ knn_hard | pct }}. Bags left out are *easier* than bags alone: they look
# like nothing else in the shop. Shirts are the opposite: with T-shirts, pullovers and coats as normal, a shirt has near
# neighbours everywhere. That is one detector; others may see more. But much of the difficulty lies in the question.
#
# ## 2. The parts
#
# | part | does |
# |---|---|
# | $G_c(z_c, z_n)$ | draws an image of pattern $z_c$ (one of $n_c$) with noise $z_n$ |
# | $D$ | tells real images from drawn ones |
# | $E_x(x)$ | takes an image apart: a probability for each pattern, and noise |
#
# And the losses, beside the game of $G_c$ and $D$:
#
# - $\mathcal{L}_{sl}$: a *drawn* image has a pattern and noise that we know. $E_x$ must find both.
# - $\mathcal{L}_{recon} = \lVert x - G_c(E_x(x)) \rVert$: a real image must come back.
# - $\mathcal{L}_{ip}$: an image drawn *between* two patterns must look like none. $E_x$ should give every pattern
#   $1 / n_c$.
#
# The last is this method's pseudo-anomaly (lesson 05): drawn, not found.


# %%
def uniform_cross_entropy(logits):
    return -log_softmax(logits, 1).mean()


# %% [markdown]
# **Predict** its smallest value for ten patterns, and where it is reached.

# %%
sure, unsure = torch.tensor([[9.0, *[0.0] * 9]]), torch.zeros(1, 10)
print(f"sure {uniform_cross_entropy(sure):.2f}, unsure {uniform_cross_entropy(unsure):.3f}")
print(f"log 10 = {math.log(10):.3f}")

# %% [markdown]
# ### A game that $D$ must not win at once
#
# On a development split of MNIST the game as printed was over within a few steps. The loss of $D$ fell to 0. $G_c$ drew
# one black image for every pattern. Three things, all ours, keep it going:
#
# - the last layer of $G_c$ begins at the mean brightness of the images, as the library's autoencoder does;
# - $G_c$ has two turns in every step, one against $D$ and one with $E_x$, and an optimiser for each. In a common one
#   the large gradients of $\mathcal{L}_{recon}$ set the scale of Adam's steps, and the small ones of the game move
#   nothing;
# - $D$ is kept smooth by a **gradient penalty** (R1, Mescheder et al., 2018): the mean of
#   $\lVert \nabla_x D(x) \rVert^2$ over real images, added to the loss of $D$ with weight 1/2. $D(x)$ is the logit. A
#   $D$ that jumps from "drawn" to "real" within a hair's breadth is always right, and its gradient tells $G_c$ nothing.


# %%
def gradient_penalty(logits, x):
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


# %% [markdown]
# **Predict** the penalty of $D(x) = 3a + b^2$ for an image of two pixels, $a$ = 0.2 and $b$ = 1.

# %%
x = torch.tensor([[0.2, 1.0]]).view(1, 1, 1, 2).requires_grad_()
print(gradient_penalty(3 * x[:, 0, 0, 0] + x[:, 0, 0, 1].square(), x).item())

# %% [markdown]
# The gradient is $(3, 2b) = (3, 2)$, and $9 + 4 = 13$.
#
# ## 3. Which patterns does it find?
#
# The lines of progress: `pattern` and `noise` are the halves of $\mathcal{L}_{sl}$, `recon` is ten times
# $\mathcal{L}_{recon}$, `between` is $\mathcal{L}_{ip}$, `penalty` is R1 with its half.
#
# **Predict:** ten patterns, nine classes. How many patterns will be one class? What changes along a row of drawn
# images, where only the noise differs?

# %%
model = ADeGAN(patterns=patterns, steps=steps, **settings).fit(task.train, label="ADe-GAN")

# %%
columns = 6
z_n = noise * torch.randn(columns, noise_dim, generator=torch.Generator().manual_seed(seed))
drawn = {
    f"{c}": model.generate(one_hot(torch.full((columns,), c), patterns).float(), z_n) for c in range(patterns)
}
figure = plots.image_grid(drawn, title="a row a pattern, a column a noise")
plots.show(
    figure,
    alt=f"{patterns} rows of {columns} generated images, a row for each pattern, the same noise down each column. "
    "Rows differ in outline, columns hardly at all; the shapes are coarse and checkered, none is a garment.",
)

# %%
probabilities, _ = model.extract(task.test[y == 0])
kinds, found = task.test_classes[y == 0], probabilities.argmax(1)
counts = pd.crosstab(pd.Series(kinds, name="class"), pd.Series(found, name="pattern"))
counts.index = [task.class_names[k] for k in counts.index]
purity = counts.max().sum() / counts.to_numpy().sum()
dealt = pd.crosstab(
    np.random.default_rng(seed).permutation(kinds), found.numpy()
)  # the same patterns, dealt out anew
counts

# %%
record(
    purity=purity,
    purity_chance=dealt.max().sum() / len(kinds),
    n_used=int((counts.sum() > 0.02 * len(kinds)).sum()),
    d_loss=sum(model.history_["discriminator"][-50:]) / 50,
)

# %% [markdown]
# Look at the figure. Rows differ: a pattern stands for a shape. Columns hardly do: at a deviation of
# {{ noise_deviation | f1 }}, noise changes little. (Try `noise = 1.0`.) All are coarse blots, none is a picture of a
# garment. *You* see that at a glance. Does $D$? Its loss ends at {{ d_loss | f2 }}, and a $D$ that knows nothing has
# $2 \log 2 = 1.39$ (lesson 02). Our three props saved $G_c$ from a $D$ that knows all, and left it one that teaches
# little.
#
# Now the table. If each pattern were named after the class that it holds most of, {{ purity | pct }} % of the images
# would be named right (patterns dealt out at random: {{ purity_chance | pct }} %). {{ n_used | int }} of
# {{ n_patterns | int }} patterns hold more than 2 % of the images. Find one that holds several kinds of tops at once. A
# pattern is not a class. Nobody told it what a class is.
#
# What $\mathcal{L}_{sl}$ asks is that patterns can be *told apart*, not that they *mean* something. The deviation
# $\sigma$ of the noise decides how much is left for patterns to say, and the paper gives it no number.

# %%
record(n_patterns=patterns, noise_deviation=noise)

# %% [markdown]
# ## 4. A formula with three readings
#
# The paper's eq. 9 to 11, with $e = \lVert x - G_c(E_x(x)) \rVert$:
#
# $$\log p = P_{\mathcal{N}}(e), \qquad \log q = -\max_c P(x \in c), \qquad
# A = -\frac{1}{n_c} \log p + (1 - \log p) \log q$$
#
# (The paper prints argmax, the *number* of a pattern; it can only mean max.) It is called an anomaly score. **Predict**
# for each reading whether $A$ rises with $e$:
#
# 1. $\log p$ is the logarithm of a normal *density* at $e$;
# 2. $\log p$ is that density itself;
# 3. $\log p$ stands for the *cumulative* probability of $e$, a number in [0, 1].

# %%
u = torch.linspace(-3, 6, 10, dtype=torch.float64)  # e in deviations from its mean on normal images
sure = torch.tensor(0.9, dtype=torch.float64)  # max_c P
normal = torch.distributions.Normal(0.0, 1.0)
readings = {
    "log density": normal.log_prob(u),
    "density": normal.log_prob(u).exp(),
    "cumulative": normal.cdf(u),
}
curves = {name: -p / patterns + (1 - p) * -sure for name, p in readings.items()}
curves = pd.DataFrame({name: a.numpy() for name, a in curves.items()}, index=u.numpy().round(1))
curves.round(4).rename_axis("u")

# %% [markdown]
# Only the third rises all the way. And look at its end: it creeps towards $-1 / n_c$ = {{ minus_share | f2 }}. (The
# table is rounded.) From about 8 deviations on, 1 minus the cumulative probability is 0 in double precision, in single
# from about 5. Images beyond *tie*. A little algebra helps. Write $u$ for $e$ in deviations from its mean on held-out
# normal images, $P(u)$ for its cumulative probability, and $m = \max_c P(x \in c)$. Then
#
# $$A = -\frac{1}{n_c} - (1 - P(u))\left(m - \frac{1}{n_c}\right)$$
#
# so that $-\log(1 - P(u)) - \log(m - 1/n_c)$ puts images into the same order, and never saturates. The library scores
# with that (`scoring.eq_11`). Read it aloud: an image is odd if it can't be rebuilt, *or* if it belongs to no pattern.
# Either is enough.
#
# **Predict** before the next two tables: $E_x$ names the pattern of a *drawn* image with near certainty. How sure is it
# of a real garment, and of a bag? And what is the pattern then worth as a score?

# %%
sure_of = {
    "drawn": torch.cat([model.extract(images)[0] for images in drawn.values()]),
    "real, normal": probabilities,
    "real, left out": model.extract(task.test[y == 1])[0],
}
sure_of = {name: p.amax(1).mean().item() for name, p in sure_of.items()}
pd.Series(sure_of).round(2)

# %%
record(
    sure_drawn=sure_of["drawn"],
    sure_normal=sure_of["real, normal"],
    sure_left_out=sure_of["real, left out"],
)

# %% [markdown]
# Drawn {{ sure_drawn | f2 }}, normal {{ sure_normal | f2 }}, left out {{ sure_left_out | f2 }}. It is no less sure of
# what it has never seen. A score that counts on doubt has nothing to count on, and may point the wrong way.

# %%
scores = model.anomaly_scores(task.test)
error = torch.from_numpy((scores.pixel - model.error_[0]) / model.error_[1])
confident = torch.from_numpy(1 - scores.latent)
tried = {"error alone": scores.pixel, "1 - max P alone": scores.latent}
for name, p in {
    "log density": normal.log_prob(error),
    "density": normal.log_prob(error).exp(),
    "cumulative": normal.cdf(error),
}.items():
    tried[f"eq. 11, {name}"] = (-p / patterns + (1 - p) * -confident).numpy()
tried["eq. 11, cumulative, without ties"] = scores.dual
result = {name: auroc(y, values) for name, values in tried.items()}
pd.Series(result).mul(100).round(1)

# %%
record(
    minus_share=-1 / patterns,
    auroc_error=result["error alone"],
    auroc_pattern=result["1 - max P alone"],
    auroc_density=result["eq. 11, density"],
    auroc_log_density=result["eq. 11, log density"],
    auroc_cumulative=result["eq. 11, cumulative"],
    auroc_eq_11=result["eq. 11, cumulative, without ties"],
)

# %% [markdown]
# Error alone {{ auroc_error | pct }}; pattern alone {{ auroc_pattern | pct }}; eq. 11 with cumulative probability
# {{ auroc_eq_11 | pct }}, with the density {{ auroc_density | pct }}, with its logarithm
# {{ auroc_log_density | pct }}. With ties the third has {{ auroc_cumulative | pct }}: the repair is right, and matters
# only where errors are enormous. The neighbour of section 1: {{ knn_loo | pct }}.
#
# **Does the pattern earn its place?** Compare "error alone" with eq. 11: the pattern changes it by
# {{ 100 * (auroc_eq_11 - auroc_error) | f1 }} points. The argument of the paper was: $E_x$ knows the patterns of normal
# images, so what it is not sure of is no normal image. But it met patterns on *drawn* images alone. Of real images
# $\mathcal{L}_{recon}$ asks that they come back, not that they have one pattern. And $\mathcal{L}_{ip}$ teaches that
# whatever lies between two drawn patterns has none. Real garments may be treated as if they lay between. That is a
# guess; its test is a training with `between=False`, which we have not measured.
#
# Lesson 10 would ask: drawn and real images come to $E_x$ in batches of their own; is it that? On a development split
# of MNIST common batches made eq. 11 worse, not better (one training each; no table of it is kept). So that is not
# the reason. What would make the pattern matter is a $G_c$ whose pictures look like garments to more
# than our weak $D$.
#
# ## 5. How many patterns?
#
# The paper tries $n_c$ = 2, 4, ..., 14, gets 80.1 to 90.7, and reports the best, chosen by its AUROC *on the test set*.
#
# **Predict:** how many points lie between the best number of patterns and the mean over all? Each is trained
# {{ sweep_steps | int }} steps.

# %%
sweep = []
for n in sweep_patterns:
    tried = ADeGAN(patterns=n, steps=sweep_steps, **settings).fit(task.train, label=f"{n}")
    sweep.append(auroc(y, tried.anomaly_scores(task.test).final))
figure = plots.sweep(sweep_patterns, {"eq. 11": sweep}, xlabel="patterns")
listed = ", ".join(f"{n}: {100 * value:.1f}" for n, value in zip(sweep_patterns, sweep, strict=True))
plots.show(figure, alt=f"A line of the AUROC on the test set over 2 to 20 patterns: {listed}.")

# %%
record(
    steps=steps,
    sweep_steps=sweep_steps,
    sweep_best=max(sweep),
    sweep_mean=float(np.mean(sweep)),
    sweep_ten=sweep[sweep_patterns.index(patterns)],
)

# %% [markdown]
# Best {{ sweep_best | pct }}, mean {{ sweep_mean | pct }}: choosing with {{ n_test_labels | int }} test labels is worth
# up to {{ 100 * (sweep_best - sweep_mean) | f1 }} points here. Ten was fixed beforehand and has {{ sweep_ten | pct }}.
# Should that be the best as well, it is luck: we may report it because we did not look. (With {{ steps | int }} steps
# ten had {{ auroc_eq_11 | pct }}. What two trainings of the same number differ by is a warning, too.)

# %%
record(n_test_labels=len(y))

# %% [markdown]
# ## 6. The full measurements
#
# Complete data. "k=5, PCA-64" is the fifth neighbour again, in the first 64 principal components. HTER is the mean of
# false-alarm rate and miss rate at a threshold set on normal images; a coin has 50. `classes`: how many were left out
# in turn.
#
# **Predict** the order of eq. 11, the error alone, PCA and the fifth neighbour on MNIST.

# %%
committed_rows = study_rows("adegan")
full = tables.study(committed_rows, ["dataset", "detector", "setting"])
full.round(1)

# %% [markdown]
# By digit, with the rows of the paper's table 1 below. A row without a mean has not all digits yet.

# %%
by_digit = tables.left_out([row for row in committed_rows if not row["setting"].startswith("patterns")])
by_digit.round(1).astype(object).fillna("")

# %% [markdown]
# And the sweep of section 5 on complete data, digit 0 left out, eq. 11.

# %%
rows = pd.DataFrame(committed_rows).query("dataset == 'mnist' and detector == 'adegan' and score == 'dual'")
rows = rows[(rows.normal_class == 0) & ((rows.setting == "") | rows.setting.str.startswith("patterns"))]
counts_tried = rows.setting.replace("", f"patterns={patterns}").str.removeprefix("patterns=").astype(int)
sweep_full = pd.Series(100 * rows.auroc.to_numpy(), index=counts_tried.to_numpy()).sort_index()
sweep_full.round(1).rename_axis("patterns")

# %%
digits = by_digit["mean"]
eq_11, alone = by_digit.loc["adegan, dual"], by_digit.loc["adegan, pixel"]
some = by_digit.loc["dualad, dual"].drop("mean").dropna().index
record(
    digits_knn=digits["knn, k=5"],
    digits_projected=digits["knn, k=5, PCA-64"],
    digits_pca=digits["pca"],
    digits_error=digits["adegan, pixel"],
    digits_pattern=digits["adegan, latent"],
    digits_dual=digits["adegan, dual"],
    sweep_full_best=sweep_full.max(),
    sweep_full_mean=sweep_full.mean(),
    sweep_full_ten=sweep_full[patterns],
    n_sweep_full=len(sweep_full),
    n_digits_gain=int((eq_11 > alone).drop("mean").sum()),
    worst_digit=eq_11.min(),
    n_dualad=len(some),
    dualad_some=by_digit.loc["dualad, dual", some].mean(),
    projected_some=by_digit.loc["knn, k=5, PCA-64", some].mean(),
    eq_11_some=eq_11[some].mean(),
)

# %% [markdown]
# Published on MNIST: 90.7 with the best number of patterns. Missing in that table is the row of the fifth neighbour:
# {{ digits_knn | f1 }} on raw pixels, {{ digits_projected | f1 }} in 64 components, in seconds and without training.
#
# Ours, over ten digits, each left out once: eq. 11 has {{ digits_dual | f1 }}, the error alone
# {{ digits_error | f1 }}, the pattern alone {{ digits_pattern | f1 }}. **Which part earns its place?** Of the score,
# the pattern does not, on complete data either: eq. 11 loses {{ digits_error - digits_dual | f1 }} points to its own
# first half in the mean, and gains on {{ n_digits_gain | int }} of ten digits. Look at the worst,
# {{ worst_digit | f1 }}, far below a coin: a simple digit is rebuilt well by a network that can draw nine others. Of
# the training's parts ($D$, $\mathcal{L}_{sl}$, $\mathcal{L}_{ip}$) none was switched off here, so of them we can't
# say.
#
# The sweep over {{ n_sweep_full | int }} numbers of patterns, one digit left out: the best has
# {{ sweep_full_best | f1 }}, the mean is {{ sweep_full_mean | f1 }}, and ten, which was fixed beforehand, has
# {{ sweep_full_ten | f1 }}.
#
# And this course's own detector, in the same protocol? DualAD has {{ dualad_some | f1 }} over the
# {{ n_dualad | int }} digits measured, where the neighbour in 64 components has {{ projected_some | f1 }} and ADe-GAN
# {{ eq_11_some | f1 }}.
#
# **Verdict.** Not reproduced: {{ digits_dual | f1 }} against 90.7. PCA has {{ digits_pca | f1 }}. Section 4 explains
# the smaller part: the pattern costs {{ digits_error - digits_dual | f1 }} points. The larger part is the error itself,
# {{ 90.7 - digits_error | f1 }} points below the paper, and for that we have no measured reason. Three times as many
# steps on a development split did not help (not in the table). Suspects on our side: small networks, and a game that
# needed three props to go on at all. What has no row is not measured yet: `dualad reproduce --study adegan`.
#
# ## Recap
#
# - Nine kinds of normal: hard where the tenth lies between them (shirts, {{ knn_hard | pct }}), easy where it stands
#   apart (bags, {{ knn_loo | pct }}). Nearest neighbours are the row to beat.
# - Patterns are found without labels, and are not classes. On real images their probability said little, because it was
#   learned on drawn ones.
# - A formula that leaves its symbols open is read by testing what each reading orders. Then it is written so that
#   floating point can follow.
# - The best of a sweep on test labels is not a result.
#
# ## Exercises
#
# **1. Predict.** Two images are alike but for what is named. Under reading 3, has the second a higher $A$ (`"up"`), a
# lower one (`"down"`) or the `"same"`? Before the change the error is usual and the pattern sure, unless the line says
# otherwise.

# %%
answers = {
    "larger error, same pattern probability": None,
    "same usual error, surer of its pattern": None,
    "same usual error, all patterns equally probable": None,  # beside a sure one
    "enormous error, surer of its pattern": None,  # to two decimals
}
checks.check_eq_11(answers)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Use the rewritten form: $-1/n_c - (1 - P(u))(m - 1/n_c)$. What is $1 - P(u)$ for an enormous error?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# answers = {
#     "larger error, same pattern probability": "up",
#     "same usual error, surer of its pattern": "down",
#     "same usual error, all patterns equally probable": "up",
#     "enormous error, surer of its pattern": "same",
# }
# ```
#
# </details>
#
# **2. Code.** The stable form of eq. 11.


# %%
def stable_eq_11(u, confidence, n):
    """u: (N,) error in deviations from its mean. confidence: (N,) max_c P. n: patterns. (N,), in the order of A."""
    raise NotImplementedError


checks.check_stable_eq_11(stable_eq_11)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# $1 - P(u)$ is $P(-u)$ for the normal distribution.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.special.log_ndtr` is $\log P$ without the detour over a number that rounds to 0.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def stable_eq_11(u, confidence, n):
#     u, confidence = torch.as_tensor(u).double(), torch.as_tensor(confidence).double()
#     return -torch.special.log_ndtr(-u) - (confidence - 1 / n).clamp_min(1e-300).log()
# ```
#
# </details>
#
# **3. Explain.** Bags left out have {{ knn_loo | pct }}, shirts {{ knn_hard | pct }}. Explain both with the picture
# of a region that training images fill. Which detectors suffer most from nine kinds of normal?
#
# <details><summary>Hint</summary>
#
# How much of the image space lies near *some* normal training image, in either protocol?
#
# </details>
# <details><summary>Solution</summary>
#
# Nine classes fill nine regions, and what lies between them is near one or the other: a shirt lies between pullover
# and coat. A bag lies far from all nine, and nothing else counts as anomalous any more. Detectors that summarise suffer
# most, because their summary of nine regions also covers the gaps. Section 6 has it for PCA, {{ digits_pca | f1 }}
# against {{ digits_knn | f1 }} of the neighbour, which keeps every image. One centre or one sphere should fare no
# better; we have not measured them.
#
# </details>
#
# ## References
#
# - H. Chai et al. *Improving anomaly detection with a self-supervised task based on generative adversarial
#   network.* (ADe-GAN.)
# - X. Chen et al. *InfoGAN.* NeurIPS 2016 (a generator whose code an extractor must find again).
# - D. Berthelot et al. *Understanding and improving interpolation in autoencoders via an adversarial
#   regularizer.* ICLR 2019.
# - L. Mescheder, A. Geiger, S. Nowozin. *Which training methods for GANs do actually converge?* ICML 2018 (R1).
