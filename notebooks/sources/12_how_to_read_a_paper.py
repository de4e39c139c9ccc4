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
# # 12 · How to read a paper
#
# {{ colab_badge }}
#
# Three systems of this course were published with figures above 90, and none of the three, built as
# printed, comes near them here. That is no reason to sneer: most of their ideas are good, and lessons 09 to 11
# build them so that they work. But somewhere between the idea and the table something went wrong, and in each case
# a reader could have grown suspicious without running a line of code. This lesson shows what to look for. It takes
# four stories, with one experiment and one picture each, and ends in a list of questions that you can take to the
# next paper you read.
#
# **After this lesson you will be able to**
#
# - tell from one row of an ablation that its baseline was broken;
# - find out whether a score belongs to an image or to the batch that it came in;
# - say what the best of many looks at a test set is worth;
# - test a formula before you believe it.
#
# **You need** lessons [01](01_autoencoder_baseline.ipynb) (the autoencoder) and [00](00_start_here.ipynb)
# (leaks). The systems themselves are in lessons [09](09_lrgdan.ipynb), [10](10_agad.ipynb) and
# [11](11_adegan.ipynb); you can read them before or after.
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
import numpy as np
import pandas as pd
import torch

from dualad_lib import AGAD, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.detectors.agad import batch_statistics
from dualad_lib.evaluation import auroc
from dualad_lib.experiments.report import committed
from dualad_lib.experiments.results import study_rows
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8: bag
seed = 0
width = 8  # channels of the first convolution
steps = 160  # batches that train the one detector of this lesson
look_every = 10  # steps between two looks at the test set, which nobody should take
n_pictures = 50  # detectors of the first story, each one picture and no more

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
task

# %% [markdown]
# ## 1. The first row of the ablation
#
# An **ablation** takes a system apart: it begins with a simple version and adds one part at a time, so that
# each part can show what it brings. The paper of LR-GDAN has one for MNIST. Its first row is a single
# autoencoder, scored by its reconstruction error, with an AUROC of 51.0. Then come an image discriminator
# (53.1), a second autoencoder (97.2) and mutual information (98.5). The conclusion seems plain: the second
# autoencoder is what counts.
#
# **Predict** before you go on. Lesson 01 trained an autoencoder, and PCA stood beside it. What would you expect
# in the first row?
# %% tags=["machinery"]
# Published: LR-GDAN, table 1. Measured: figures/results/tables_mnist.csv and lrgdan_mnist.csv.
small = pd.DataFrame(study_rows("lrgdan"))
small = small.query("dataset == 'mnist' and protocol == 'one_vs_rest'")
small = small.pivot_table(index="normal_class", columns="setting", values="auroc")
small = small[["AE", "AE, augmented", "AE+D", "dual AE+D", "full"]].dropna()
measured, digits = small.mean(), small.index
main = pd.DataFrame(committed()).query("dataset == 'mnist' and detector == 'pca'")
pca = main[main.normal_class.isin(digits)].groupby("normal_class").auroc.mean().mean()
ablation = {
    "AE": {"published": 0.510, "measured here": measured["AE"]},
    "AE + D": {"published": 0.531, "measured here": measured["AE+D"]},
    "+ AE 2": {"published": 0.972, "measured here": measured["dual AE+D"]},
    "+ MI": {"published": 0.985, "measured here": measured["full"]},
    "PCA": {"measured here": pca},
}
figure = plots.auroc_bars(ablation, legend="AUROC on MNIST")
plots.show(
    figure,
    alt="Bars of AUROC on MNIST. Published: one autoencoder 51.0 and with a discriminator 53.1, both near the "
    "dotted line of chance; with a second autoencoder 97.2, with mutual information 98.5. Measured here, in the same "
    f"order: {', '.join(f'{100 * measured[row]:.1f}' for row in ('AE', 'AE+D', 'dual AE+D', 'full'))}, and PCA "
    f"{100 * pca:.1f}.",
)

# %% [markdown]
# Fifty is what a coin has. PCA, the linear autoencoder that needs no training loop at all, has {{ pca | pct }}, and
# the small network of our own, built after the paper, has {{ ae | pct }} (both over {{ n_digits | int }} digits).
# So the published first row is no weak autoencoder: it is a broken one. (With the paper's augmentation ours has
# {{ ae_augmented | pct }}.) What is said about the rows below rests on it, because most of the step from 53 to 97
# needs no second autoencoder. Ours, with one, *falls* to {{ ae_dual | pct }}: lesson 09 says why.
#
# How does one break an autoencoder so thoroughly? It is easy. In lesson 09 you can watch a generator that draws
# the same picture for every input. The score is then the distance of each image to that one picture. We can
# have such detectors without any training: take {{ n_pictures | int }} training images, and let each be the
# picture.
#
# **Predict:** where do their AUROCs lie?

# %%
x, pictures = task.test.float() / 255, task.train[:n_pictures].float() / 255
one_picture = [auroc(y, (x - picture).abs().flatten(1).mean(1).numpy()) for picture in pictures]
low, middle, high = np.quantile(one_picture, [0, 0.5, 1])
print(f"{n_pictures} detectors of one picture: AUROC from {low:.2f} to {high:.2f}, median {middle:.2f}")

# %% [markdown]
# A network that answers everything with one picture can land on either side of chance, and the luck of the draw
# decides which. So 51.0 may be such a network; we cannot know.
#
# **Ask of every ablation:** is its first row as good as the simplest thing that you know? If it is not, the
# later rows say nothing yet.
#
# ## 2. The company an image keeps
#
# AGAD was published with 98.3 on CIFAR-10, without a single label. Of what is trained from scratch only large
# contrastive networks come near (94 to 95, lesson 08), and most methods that reconstruct have between 55 and 70. Being
# far above everybody is not a fault. But it is a reason to ask how the test images were scored.
#
# The public code that AGAD's family of methods grew from does two things. It never calls `eval()` before it tests,
# so that batch norm takes mean and deviation from *the batch that is being scored*. And its test set is sorted, so
# that a batch holds one side only. (Lesson 00 shows both on a network of ours. Here we sort by class.)
#
# Let us train AGAD as printed (lesson 10: an autoencoder that must fail on its own drawings; `mixed=False` keeps these
# in batches of their own) on bags, and score the same test images in three ways. Not one weight changes between them.
# (The training also notes what the test set says every {{ look_every | int }} steps. Nobody should do that; the third
# story tells what for.)
# %%
watched = {"in eval mode": [], "batch statistics, sorted": []}


def scores_in_batches(model, order, batch_size=64):
    """Scores of the test images in a given order, each batch normalised by itself."""
    scores = np.empty(len(order))
    with batch_statistics(model):
        scores[order.numpy()] = model.anomaly_scores(task.test[order], batch_size).final
    return scores


by_class = task.test_classes.argsort(stable=True)


def look(step):
    """AUROC on the TEST set while the detector trains: for this lesson only."""
    if (step.number + 1) % look_every == 0:
        model.parts_.eval()
        watched["in eval mode"].append(auroc(y, model.anomaly_scores(task.test).final))
        watched["batch statistics, sorted"].append(auroc(y, scores_in_batches(model, by_class)))
        model.parts_.train()


model = AGAD(mixed=False, steps=steps, width=width, seed=seed)
model = model.fit(task.train, after_step=look)

# %% [markdown]
# **Predict** the AUROC of the three ways: in eval mode; each batch by itself, in a shuffled test set; each
# batch by itself, in a sorted one.
# %%
shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
ways = {
    "eval mode": model.anomaly_scores(task.test).final,
    "own batch, shuffled": scores_in_batches(model, shuffled),
    "own batch, sorted": scores_in_batches(model, by_class),
}
aurocs = {name: auroc(y, scores) for name, scores in ways.items()}
figure = plots.auroc_bars({name: {"AUROC": value} for name, value in aurocs.items()})
listed = ", ".join(f"{name} {100 * value:.1f}" for name, value in aurocs.items())
plots.show(figure, alt=f"Three bars of AUROC in per cent of the same trained network: {listed}.")

# %% [markdown]
# Shuffled, the flaw moves the AUROC by {{ 100 * (shuffled_set - eval_mode) | f1 }} points; sorting adds
# {{ 100 * (sorted_set - shuffled_set) | f1 }} to the very same network. On CIFAR-10, over ten classes, the sorted
# flaw lifts {{ cifar_honest | f1 }} to {{ cifar_sorted | f1 }}: much of the way to 98.3. Nothing was trained on a
# label, and yet labels came in by the back door: the *order* of the test set carried them, and batch norm read
# them. A batch that holds only bags has one mean, and a batch of shirts has another. So the network also answers
# "what is this batch?".
#
# Somebody who uses a detector has one image. Take one of the test set, and score it three times: alone, among
# bags, and among everything else.
# %%
one = torch.randint(len(y), (1,), generator=torch.Generator().manual_seed(seed))
company = {"alone, in eval mode": model.anomaly_scores(task.test[one]).final[0]}
for name, label in (("bags", 0), ("others", 1)):
    friends = task.test[y == label][:63]
    with batch_statistics(model):
        together = model.anomaly_scores(torch.cat([task.test[one], friends]), 64).final
    company[f"among 63 {name}"] = together[0]
pd.Series(company, name="score of the same image").round(4).to_frame()

# %% [markdown]
# One image has three scores, and among others it looks {{ company_ratio | f2 }} times as anomalous as among bags.
# Only the first is its own; the others belong to the batch. That is why every detector of this library has to pass
# a test: what an image gets may not depend on who stands beside it.
#
# **Ask of every evaluation:** could each test image have been scored alone?
#
# ## 3. The best of many looks
#
# A training has many steps, and after each of them one could test. The code that AGAD grew from does so after
# every epoch, and keeps the weights with which the *test* set had its best AUROC. Papers rarely say it in so
# many words. They say "we report the best result", or nothing.
#
# **Predict:** how much does that add to our honest figure, in points?

# %%
places = list(range(look_every, look_every * len(watched["in eval mode"]) + 1, look_every))
figure = plots.sweep(places, watched, xlabel="step", log2=False)
best_place = int(np.argmax(watched["in eval mode"]))
figure.axes[0].annotate(
    "the best look",
    (places[best_place], 100 * watched["in eval mode"][best_place]),
    xytext=(34, -4),
    textcoords="offset points",
    va="center",
    arrowprops={"arrowstyle": "->"},
)
plots.show(
    figure,
    alt="AUROC on the test set over the steps of one training, in eval mode and with the statistics of sorted batches. "
    "The first falls, jumps and settles; the second climbs and stays. An arrow marks the best look in eval mode.",
)

# %% [markdown]
# Here it adds {{ 100 * (best_look - eval_mode) | f1 }} points; over ten classes of CIFAR-10, trained for longer, it
# added {{ cifar_best_step - cifar_honest | f1 }}. The honest line wanders from {{ lowest_look | pct }} to
# {{ best_look | pct }}. What makes this so tempting is that it looks like ordinary care: one keeps the best
# weights. The difference is only *which images* say what is best. Held-out training images may, test images may
# not.
#
# The same leak has many clothes. It may be the best of several seeds, of several numbers of clusters, of
# several weights of a loss. ADe-GAN tries seven numbers of patterns, and reports the one that has the highest
# AUROC on the test set.
#
# **Ask of every figure:** which images chose the step, the seed, the threshold and the weights?
#
# ## 4. A formula whose signs fight each other
#
# The last story needs no network. ADe-GAN combines two findings about an image. The first is an error $e$ of
# its reconstruction, and the second is the probability $m$ of its most probable *pattern* (a kind of normal
# image). Its paper defines the anomaly score as
#
# $$A = -\frac{1}{n_c} \log p + (1 - \log p)\, \log q, \qquad \log p = P_{\mathcal{N}}(e), \qquad \log q = -m$$
#
# where $n_c$ is the number of patterns, and $P_{\mathcal{N}}$ has to do with a normal distribution that was
# fitted to the errors of normal images. Is it the logarithm of its density, as the name $\log p$ says? Or the
# density, as the letter $P$ may suggest? Or the cumulative probability? The text leaves that open, and so we
# have to try.
#
# An anomaly score must rise when an image is restored worse. **Predict** which of the three readings does.

# %%
e = torch.linspace(-3, 5, 81, dtype=torch.float64)  # in deviations from the mean error of normal images
n_patterns, m = 10, 0.9
normal = torch.distributions.Normal(0.0, 1.0)
readings = {
    "log density": normal.log_prob(e),
    "density": normal.log_prob(e).exp(),
    "cumulative probability": normal.cdf(e),
}
score = {name: -log_p / n_patterns - (1 - log_p) * m for name, log_p in readings.items()}

# %% tags=["machinery"]
figure, axes = plots.canvas(9, 2.8, 1, 3)
for axis, (name, a) in zip(axes[0], score.items(), strict=True):
    axis.plot(e, a, color="#0072b2")
    axis.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axis.set(title=name, xlabel="error e, in deviations")
axes[0][0].set_ylabel("score A")
plots.show(
    figure,
    alt="Three panels of the score A over the error e, from -3 to 5 deviations. With the logarithm of the density A "
    "rises to the mean error and then falls without end. With the density it rises to the mean error and falls back "
    "to where it began. With the cumulative probability it rises all the way and levels off.",
)
agad = pd.DataFrame(study_rows("agad")).query("dataset == 'cifar10' and setting == 'apart'")
cifar = 100 * agad.groupby("evaluation").auroc.mean()
falling = {name: (a.diff() < 0).double().mean().item() for name, a in score.items()}

# %% [markdown]
# With the logarithm of the density, the reading that the symbols suggest, the score has its summit in the
# middle of the normal images and *falls* for every error beyond: the worse an image is restored, the more
# normal it is called. Only the third reading rises all the way. (It also levels off, so that in floating point
# all large errors get the same score. Lesson 11 rewrites it in a form that does not.)
#
# A pencil shows it: $A = -m + (m - \frac{1}{n_c}) \log p$ rises where $\log p$ does. Whoever takes a *small* $A$ as
# odd instead holds a sure pattern against an image. So two of the three cannot be right either way.
#
# **Ask of every formula:** put in a clearly normal case and a clearly anomalous one. Does it move the right way?
#
# ## 5. What to take to the next paper
#
# | ask | a good sign | a bad sign |
# |---|---|---|
# | Is the simplest method there, as good as you know it? | PCA or neighbours in the table | a first row at chance |
# | Could each test image have been scored alone? | `eval()` | scores rescaled batch by batch |
# | Which images chose step, seed and weights? | "fixed beforehand" | "we report the best" |
# | Does each formula move the right way? | limits discussed | a probability written as a logarithm |
# | How much would another seed change? | intervals | one figure with two decimals |
# | Does the code do what the text says? | a command for each table | "available on request" |
#
# When an answer is not in the paper, look into its code; when there is none, rebuild the smallest row of its
# smallest table. That costs an afternoon, and it often settles the matter.
#
# And turn the list on yourself. Each of these four mistakes is easy to make, and three of them do not hurt while
# one makes them: a broken baseline flatters, a leaky batch flatters, the best step flatters. What protects is not
# honesty but habits: tests that run by themselves, settings that are frozen before the test set is read, and a
# simple rival in every table. This project has made some of these mistakes too, and found them by looking for them.
# %% tags=["machinery"]
record(
    pca=pca,
    ae=measured["AE"],
    ae_augmented=measured["AE, augmented"],
    ae_dual=measured["dual AE+D"],
    n_digits=len(digits),
    n_pictures=n_pictures,
    lowest_picture=min(one_picture),
    highest_picture=max(one_picture),
    look_every=look_every,
    eval_mode=aurocs["eval mode"],
    shuffled_set=aurocs["own batch, shuffled"],
    sorted_set=aurocs["own batch, sorted"],
    company_ratio=company["among 63 others"] / company["among 63 bags"],
    lowest_look=min(watched["in eval mode"]),
    best_look=max(watched["in eval mode"]),
    falling_log_density=falling["log density"],
    falling_cumulative=falling["cumulative probability"],
    cifar_honest=cifar["honest"],
    cifar_best_step=cifar["best step"],
    cifar_sorted=cifar["batch statistics"],
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** Six sentences from papers. Which leak or flaw does each point to: `"baseline"`, `"batch"`,
# `"best look"`, `"formula"`, or is it `"fine"`?
# %%
answers = {
    "Scores are rescaled to [0, 1] with the minimum and maximum of the test set's batch.": None,
    "We train for 200 epochs and report the best AUROC.": None,
    "The number of clusters was chosen on other classes than those reported.": None,
    "Without our module the same network is at chance; with it, it has 97.": None,
    "The score is the log-likelihood of the error; images above a threshold are anomalous.": None,
    "The threshold was set for 5 % false alarms on held-out training images.": None,
}
checks.check_paper_flags(answers)


# %% [markdown]
# <details><summary>Hint</summary>
#
# For each sentence ask the four questions of the lesson in turn. In the fifth: is a *likely* error large or
# small?
#
# </details>
# <details><summary>Solution</summary>
#
# Batch, best look, fine, baseline, formula, fine. In the fifth, a high likelihood belongs to a *usual* error,
# so that normal images would lie above the threshold: the sign is wrong. In the third, looking at labels is
# allowed, because they are labels of other classes, which are not reported.
#
# </details>
#
# **2. Code.** A test for formulas. Write a function that tells how often a score moves the wrong way: of all
# pairs of images with different errors, the share in which the image with the *larger* error has the *smaller*
# score. 0 is a score that never falls, 1 is one that always does.
# %%
def wrong_way(errors, scores):
    """errors, scores: (N,) arrays. Returns a number in [0, 1]."""
    raise NotImplementedError


checks.check_wrong_way(wrong_way)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `errors[:, None] > errors[None, :]` is a table of all pairs, true where the first error is larger.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Among those pairs, count the ones in which the first score is smaller. Equal scores do not count as wrong.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def wrong_way(errors, scores):
#     errors, scores = np.asarray(errors), np.asarray(scores)
#     larger = errors[:, None] > errors[None, :]
#     smaller = scores[:, None] < scores[None, :]
#     return float((larger & smaller).sum() / larger.sum())
# ```
#
# Try it on the three readings: `{name: wrong_way(e.numpy(), a.numpy()) for name, a in score.items()}`.
#
# </details>
#
# **3. Explain.** A reviewer writes: "The authors forgot `eval()`, but their test set was shuffled, so that the
# comparison is fair." What do you answer? Use the three bars of section 2, and think of the person who has one
# image.
#
# <details><summary>Hint</summary>
#
# What share of a shuffled test set is normal, and does the user know that share?
#
# </details>
# <details><summary>Solution</summary>
#
# A shuffled test set takes the labels out of the order, so that the large flattery is gone. But each score
# still depends on the other images of its batch, and through them on the share of anomalies in the test set,
# which in use is different and unknown. A method that is compared with others in this way answers another
# question than they do, and for a single image it has no answer at all.
#
# </details>
#
# **4. Try.** Take a paper on anomaly detection that you like, and fill in the table of section 5 for it. Then
# name the one row of its tables that you would rebuild first, and say why.
#
# ## References
#
# - Chen et al. *Latent regularized generative dual adversarial network for abnormal detection.* IJCAI 2020.
# - J. Shi, N. Zhang. *AGAD: Adversarial generative anomaly detection.* arXiv 2304.04211, 2023.
# - Chai et al., ADe-GAN: see lesson [11](11_adegan.ipynb).
# - S. Akcay, A. Atapour-Abarghouei, T. P. Breckon. *GANomaly.* ACCV 2018, and *Skip-GANomaly*, IJCNN 2019.
# - Z. C. Lipton, J. Steinhardt. *Troubling trends in machine learning scholarship.* Queue 17, 2019.
