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
# # 10 · AGAD: anomalies that a network draws
#
# {{ colab_badge }}
#
# Whoever has only normal images may want to make anomalies of them. AGAD (Shi & Zhang, 2023) lets a network draw
# them: its own reconstructions are *pseudo-anomalies*, and it must learn to tell, or to treat, them otherwise than real
# images. In this lesson the idea is built as printed, then taken apart, then rebuilt so that it works.
#
# **After this lesson you will be able to**
#
# - build AGAD's game, and see what its generator really learns from it;
# - say what a pseudo-anomaly must be for anything to be learned from it, and measure that;
# - let a few labelled anomalies help, on the kinds that they name and on those that they do not;
# - set a rebuilt method beside the printed one, and beside a plain classifier.
#
# **You need** lessons [02](02_image_discriminator.ipynb) (the discriminator) and
# [03](03_feature_constraint.ipynb) (the critic that names transformations).
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
import pandas as pd
import torch

from dualad_lib import AGAD, RebuiltAGAD, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.data import load_labelled_anomalies
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import tables
from dualad_lib.experiments.results import study_rows
from dualad_lib.losses import absolute_error
from dualad_lib.teaching import checks
from dualad_lib.transforms import dihedral

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8: bag
seed = 0
width = 8  # channels of the first convolution
steps = 160  # batches that train AGAD as printed
rebuilt_steps = 120  # batches that train it rebuilt, each of them with many views
share = 0.05  # labelled anomalies for each normal image
known_kinds = [0, 2, 4, 6]  # kinds of labelled anomalies: T-shirt, pullover, coat, shirt

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
task

# %% [markdown]
# ## 1. A generator that must fail
#
# $G$ is an autoencoder with skip connections (a U-Net: each step of the decoder also sees the encoder's map of the same
# size, so nothing has to pass a narrow code). It restores $x$ as $\hat x = G(x)$. This drawing looks *nearly* like a
# normal image, and is none. AGAD hands it to $G$ again, and asks $G$ to fail on it. The hope is that whoever fails on
# what is nearly normal will fail on real anomalies too. Besides the losses that you know ($\lvert x - \hat x \rvert$,
# and those of a discriminator $D$ from lesson 02) there is one new one, the **contextual adversarial loss**:


# %%
def contextual_adversarial(x_hat, again):
    return -absolute_error(x_hat, again)


# %% [markdown]
# `again` is $G(\hat x)$, and $\hat x$ is held fixed: $G$ shall not draw other pictures, it shall fail on those that it
# draws. An image's score is its error, the mean of $(x - \hat x)^2$.
#
# **Predict** two pictures: $G(x)$ of trousers, when $G$ has seen bags alone; and $G(G(x))$ of a bag, on which $G$ was
# asked to fail. (`mixed=False`: images and drawings go through $G$ in batches of their own, as the paper has it.)

# %%
printed = AGAD(mixed=False, steps=steps, width=width, seed=seed).fit(task.train)
scores_printed = printed.anomaly_scores(task.test).final

some = torch.cat([task.test[y == 0][:4], task.test[y == 1][::90][:4]])
x_hat = printed.reconstruct(some)
again = printed.reconstruct((255 * x_hat).round().to(torch.uint8))
figure = plots.image_grid({"x": some.float() / 255, "G(x)": x_hat, "G(G(x))": again})
plots.show(
    figure,
    alt="Four bags and four other garments, under them what G makes of them, and in the last row what G makes of that. "
    "G redraws the other garments as well as the bags. In the last row bright clouds spread over the background.",
)
print(
    f"AUROC of AGAD as printed, on {task.class_names[normal_class].lower()}: {100 * auroc(y, scores_printed):.1f}"
)

# %% [markdown]
# $G$ redraws whatever it is shown, trousers as well as bags, so its error says little: AUROC
# {{ auroc_printed | pct }}. The last row shows that it did learn to spoil what it drew itself, by bright clouds. But
# trousers that come from outside are no drawing of $G$, and they are copied well.
#
# (The paper reports 98.3 on CIFAR-10 for this method. How such a figure can come about, from the statistics of the
# test batch, is one of the stories of lesson [12](12_how_to_read_a_paper.ipynb).)
#
# ## 2. What a drawing teaches
#
# Perhaps the error is only a poor judge. Let a **critic** $C$ judge instead: a network that is shown bags and redrawn
# bags, and names which is which. To be fair, the drawings are kept near the originals: $x + \tfrac12 (G(x) - x)$, half
# of $G$'s own error away. Here $G$ has a narrow code as in lesson 01, and $C$ reads its encoder's last feature map.
#
# **Predict** two AUROCs of this critic on the test set: bags against *redrawn* bags, and bags against other garments.

# %%
settings = {"width": width, "steps": rebuilt_steps, "latent_dim": 32, "seed": seed}
drawn_alone = RebuiltAGAD(turned=False, contrast=False, **settings).fit(task.train)


def redrawn(model, images):
    """Images moved half the way to what the model makes of them, uint8 as they came."""
    x = images.float() / 255
    return (255 * (x + model.strength * (model.reconstruct(images) - x)).clamp(0, 1)).round().to(torch.uint8)


def named_redrawn(model, images):
    return model.contexts(images)[:, -2]  # the last but one context is "redrawn"


bags = task.test[y == 0]
against_drawings = auroc(
    torch.arange(2 * len(bags)) >= len(bags),
    named_redrawn(drawn_alone, torch.cat([bags, redrawn(drawn_alone, bags)])),
)
against_others = auroc(y, named_redrawn(drawn_alone, task.test))
error_of_g = auroc(y, drawn_alone.anomaly_scores(task.test).pixel)
print(
    f"bags against redrawn bags {100 * against_drawings:.1f}, against other garments {100 * against_others:.1f}"
)
print(f"the error of this narrow G, against other garments {100 * error_of_g:.1f}")

# %% [markdown]
# The critic solves the task that it was given ({{ against_drawings | pct }}), but for the one that we have
# ({{ against_others | pct }}) it is no better than this narrow $G$'s own error ({{ error_of_g | pct }}). A drawing
# differs from its original in *how* it is drawn, its **strokes** (here a faint halo), so $C$ need not look at what it
# shows. What $C$ learns from a pseudo-anomaly is of use only if naming it takes knowledge of bags.
#
# ## 3. Rebuilt
#
# So let there be more than one way to be wrong. Each image is shown in several **contexts**, and the critic names the
# context:
#
# - *upright*, as it should be;
# - *turned* by 90, 180 or 270 degrees, as in lesson 03: its strokes are right, only what it shows is wrong;
# - *redrawn* by $G$, as above: this is the paper's own pseudo-anomaly, at a fixed strength;
# - later, *told of*: an anomaly that somebody has labelled.
#
# All of them stand in the same batch, so that no statistic of a batch gives the answer away. And two **views** of
# an image (jittered, as in lesson 03) are to be nearer to each other in the critic's features than to all else in
# the batch: the "self-contrast" of the paper's abstract, as InfoNCE, with the other images of the batch as candidates
# ([appendix A1](A1_mutual_information.ipynb), section 3).

# %%
views = {f"{90 * n}°": dihedral(some[:4].float() / 255, t) for n, t in enumerate((0, 6, 3, 5))}
views["redrawn"] = redrawn(drawn_alone, some[:4]).float() / 255
plots.show(
    plots.image_grid(views),
    alt="Four bags in five contexts, one a row: upright, turned by 90, 180 and 270 degrees, and redrawn: there they "
    "are upright again, with a faint bright halo around them.",
)

# %% [markdown]
# An image's score joins three things, as in lesson 05: how badly $G$ restores it, how surely $C$ names its context,
# averaged over the turned copies of the image, and how far it lies from the nearest training image in $C$'s
# features.
#
# **Predict** which part carries most: *turned*, *redrawn* or the contrast. Each is left out once.

# %%
variants = {
    "rebuilt": {},
    "not redrawn": {"redrawn": False},
    "not turned": {"turned": False},
    "no contrast": {"contrast": False},
}
rebuilt = {name: RebuiltAGAD(**parts, **settings).fit(task.train) for name, parts in variants.items()}
aurocs = {name: auroc(y, model.anomaly_scores(task.test).final) for name, model in rebuilt.items()}
aurocs = {"as printed": auroc(y, scores_printed), **aurocs}
pd.DataFrame({"AUROC": aurocs}).mul(100).round(1)

# %% [markdown]
# Rebuilt, AGAD reaches {{ auroc_rebuilt | pct }}. Of the parts the turned contexts carry most: without them
# {{ auroc_not_turned | pct }} is left, still far above the printed version, whose score was an error alone. The
# paper's own pseudo-anomaly, the drawing, does not earn its place: without it there is
# {{ auroc_not_redrawn | pct }}.
#
# ## 4. A few labels
#
# Suppose that somebody has labelled a few anomalies: {{ labelled | int }} images of four kinds (T-shirt, pullover,
# coat, shirt), from the training files. As printed, AGAD turns its losses round for them. Minus a loss would reward
# an error without end, so the paper takes the reciprocal, which rewards it less the larger it is already (section 5
# has the result):


# %%
def reciprocal(loss, least=1e-3):
    return 1 / (loss + least)


# %% [markdown]
# Rebuilt, they need no loss of their own: "told of" is one more context that $C$ can name. The rival is a plain
# classifier in the same network, trained on the same images and labels, without other contexts.
#
# **Predict** all six numbers: three detectors, on the four kinds that were labelled and on the five that were not.

# %%
anomalies = load_labelled_anomalies(dataset, normal_class, share, seed=seed, kinds=known_kinds)
images = torch.cat([task.train, anomalies])
labels = torch.arange(len(images)) >= len(task.train)
plain = {"redrawn": False, "turned": False, "contrast": False}  # what is left is a classifier
detectors = {
    "rebuilt, no labels": rebuilt["rebuilt"],
    "rebuilt, with labels": RebuiltAGAD(**settings).fit(images, labels=labels),
    "plain classifier": RebuiltAGAD(**plain, **settings).fit(images, labels=labels),
}
named = torch.isin(task.test_classes, torch.tensor(known_kinds)).numpy()
parts = {"kinds labelled": (y == 0) | named, "kinds not labelled": (y == 0) | ~named}
found = {name: model.anomaly_scores(task.test).final for name, model in detectors.items()}
told = {
    kind: {name: auroc(y[part], values[part]) for name, values in found.items()}
    for kind, part in parts.items()
}
(100 * pd.DataFrame(told)).round(1)

# %% [markdown]
# On the kinds that were named, the classifier needs no help. On those that nobody named it falls to
# {{ unnamed_classifier | pct }}, where the rebuilt AGAD with the same labels keeps {{ unnamed_told | pct }}.
# Without any label it has {{ unnamed_none | pct }}: labels help with what they name, at a price. (With them the
# score is the contexts' alone, without distances; that may be part of the price.)
#
# ## 5. What the paper's version gives
#
# All of that was a small network on a sample of bags. The claim is about CIFAR-10, and the next table is read from
# committed measurements on its full data: means over `classes` classes (compare no row of 1 with one of 10). Labels
# are of every second kind, so that some kinds are named by nobody; as printed, of all kinds. "On features": through
# a frozen network that knows photographs (lesson [06](06_features_that_know_images.ipynb)), $G$'s error and two
# distances, with labels a critic besides. Nothing is turned or redrawn there. Published are 98.3 without labels and
# 99.8 with 5 %.
#
# **Predict:** what do 5 % of labels add on kinds that they do not name?

# %%
rows = [row for row in study_rows("agad") if row["dataset"] == "cifar10"]
full = tables.study(rows, ["detector", "setting", "evaluation"])
with_labels = "labelled=0.05 of every other kind"
lines = {
    "as printed": ("agad", "apart"),
    "as printed, 5 % labels": ("agad", "labelled=0.05, apart"),
    "rebuilt": ("agad_rebuilt", "rebuilt"),
    "rebuilt, 5 % labels": ("agad_rebuilt", f"rebuilt, {with_labels}"),
    "plain classifier, 5 % labels": ("agad_rebuilt", f"classifier, {with_labels}"),
    "neighbours on features": ("feature_neighbours", "side=160"),
    "on features": ("agad_features", "rebuilt"),
    "on features, 5 % labels": ("agad_features", f"rebuilt, {with_labels}"),
    "plain classifier on features, 5 % labels": ("agad_features", f"classifier, {with_labels}"),
}
columns = {"AUROC": "honest", "kinds labelled": "known kinds", "not labelled": "unknown kinds"}
cifar = pd.DataFrame(
    {
        column: {name: full.AUROC.get((*key, evaluation), float("nan")) for name, key in lines.items()}
        for column, evaluation in columns.items()
    }
)
cifar["classes"] = [full.classes.get((*key, "honest"), 0) for key in lines.values()]
cifar[cifar.classes > 0].round(1).astype(object).fillna("")

# %% [markdown]
# Rebuilt, and from pixels alone, it has {{ cifar_rebuilt | f1 }} where the printed one has {{ cifar_printed | f1 }}.
# What carries it is the critic of contexts, the idea of lesson 03.
#
# On features and with 5 % of labels, kinds that nobody named are found at {{ features_unnamed | f1 }}, where the
# classifier alone has {{ features_classifier | f1 }}. The distances do that, not the drawings: without any label they
# have {{ features_no_labels | f1 }} there, and plain neighbours of the same features have {{ features_knn | f1 }} over
# all kinds. No honest row reaches the published figures.
#
# How many labels does it take? **Predict** two pairs of curves, from 1 to 20 %: the rebuilt system and the classifier,
# on the kinds that are named and on those that are not.

# %%
shares = (0.01, 0.03, 0.05, 0.1, 0.2)


def by_share(method, kinds):
    """AUROC in per cent of a method on features at each share of labels, on kinds known or unknown to them."""
    cells = [
        ("agad_features", f"{method}, labelled={share:g} of every other kind", kinds) for share in shares
    ]
    return [full.AUROC[cell] for cell in cells]


curves = {
    f"{name}, {kinds}": by_share(method, f"{which} kinds")
    for kinds, which in (("named", "known"), ("not named", "unknown"))
    for name, method in (("rebuilt", "rebuilt"), ("classifier", "classifier"))
}
percent = [round(100 * share) for share in shares]
figure = plots.sweep(percent, curves, "labels, in % of the normal images", scale=1)
told_of = "; ".join(f"{name}: {', '.join(f'{v:.1f}' for v in line)}" for name, line in curves.items())
plots.show(figure, alt=f"Four lines of AUROC on CIFAR-10 at {percent} per cent of labels. {told_of}.")

# %% [markdown]
# At 1 % the rebuilt system is ahead on both. From 3 % on the classifier leads on the kinds that are named, by a
# point at most. On the others it climbs, and at 20 % it has {{ classifier_most | f1 }}: less than the rebuilt
# system without a single label. And the paper's own part? A critic of drawings alone has {{ drawn_alone | f1 }} on
# features, worse than a coin, and added to the distances it takes {{ features_rebuilt | f1 }} down to
# {{ features_drawn | f1 }}.
#
# ## Recap
#
# - A generator that must fail on its own drawings learns to spoil drawings. Anything else it copies as before.
# - A critic learns whatever tells its two sides apart. Shown images and their drawings, strokes were enough, and it
#   was almost perfect: {{ against_drawings | pct }}.
# - A pseudo-anomaly teaches something where only who knows the *content* can name it. Turned images are such, as in
#   lesson 03. The drawings can be left out.
# - A few labels find what they name, and for that a plain classifier is enough. What nobody named is found by what
#   is known of normal images, so report both kinds apart.

# %% tags=["machinery"]
record(
    auroc_printed=aurocs["as printed"],
    against_drawings=against_drawings,
    against_others=against_others,
    error_of_g=error_of_g,
    auroc_rebuilt=aurocs["rebuilt"],
    auroc_not_redrawn=aurocs["not redrawn"],
    auroc_not_turned=aurocs["not turned"],
    auroc_no_contrast=aurocs["no contrast"],
    labelled=len(anomalies),
    cifar_printed=cifar.AUROC["as printed"],
    cifar_rebuilt=cifar.AUROC["rebuilt"],
    features_unnamed=cifar["not labelled"]["on features, 5 % labels"],
    features_no_labels=cifar["not labelled"]["on features"],
    features_knn=cifar.AUROC["neighbours on features"],
    features_classifier=cifar["not labelled"]["plain classifier on features, 5 % labels"],
    features_rebuilt=cifar.AUROC["on features"],
    features_drawn=full.AUROC["agad_features", "rebuilt, drawn", "honest"],
    drawn_alone=full.AUROC["agad_features", "drawn alone", "honest"],
    classifier_most=curves["classifier, not named"][-1],
    **{
        f"{short}_{by}": told[kind][name]
        for short, kind in (("named", "kinds labelled"), ("unnamed", "kinds not labelled"))
        for by, name in (
            ("none", "rebuilt, no labels"),
            ("told", "rebuilt, with labels"),
            ("classifier", "plain classifier"),
        )
    },
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** A critic learns to tell upright bags from each of these. What does it learn to see: `"strokes"`,
# `"content"`, or `"nothing"`?

# %%
answers = {
    "bags that a network redrew": None,
    "bags upside down": None,
    "bags upside down and redrawn, against upright ones that nobody redrew": None,
    "bags upside down, against upright ones, half of either redrawn": None,
    "other bags from the same training files": None,
}
checks.check_pseudo_anomalies(answers)

# %% [markdown]
# <details><summary>Hint</summary>
#
# For each, name something that differs between the two sides in *every* pair. If there are two such things, which is
# seen more easily?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# answers = {
#     "bags that a network redrew": "strokes",
#     "bags upside down": "content",
#     "bags upside down and redrawn, against upright ones that nobody redrew": "strokes",
#     "bags upside down, against upright ones, half of either redrawn": "content",
#     "other bags from the same training files": "nothing",
# }
# ```
#
# The third is the trap: content differs there as well, but the critic need not look at it.
#
# </details>
#
# **2. Code.** In section 2 a drawing was moved half of its own error away from the original, so that badly drawn images
# made strong pseudo-anomalies, and well drawn ones weak ones. Make them all equally strong: move each image towards its
# drawing until the root mean square of the change is `size`. An image that is drawn perfectly stays as it is.


# %%
def at_strength(x, x_hat, size):
    """x, x_hat: images (N, C, H, W) and their drawings; returns images moved towards x_hat, each by `size`."""
    raise NotImplementedError


checks.check_at_strength(at_strength)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Divide the error $\hat x - x$ of each image by its own root mean square, over all but the first dimension.
#
# </details>
# <details><summary>Hint 2</summary>
#
# 0 / 0 is NaN. `clamp_min` keeps the divisor from being 0.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def at_strength(x, x_hat, size):
#     error = x_hat - x
#     own = error.square().mean((1, 2, 3), keepdim=True).sqrt()
#     return x + size * error / own.clamp_min(1e-9)
# ```
#
# Equal strength makes a fair task, and a drawing is still a drawing.
#
# </details>
#
# **3. Code.** A method that learns from batches may also *score* by batches, and then an image's score depends on the
# images beside it. Write the test that finds this out. `score` is somebody's scoring function.


# %%
def depends_on_company(score, x):
    """score: function (n, C, H, W) -> (n,) array. x: images. True if an image's score depends on the other images."""
    raise NotImplementedError


checks.check_depends_on_company(depends_on_company)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Score all images at once, and then each by itself. What must be equal?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Floating point: two ways to the same number differ in the last digits. `torch.allclose` forgives that.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def depends_on_company(score, x):
#     together = torch.as_tensor(score(x)).double()
#     alone = torch.cat([torch.as_tensor(score(x[i : i + 1])) for i in range(len(x))]).double()
#     return not torch.allclose(together, alone, rtol=1e-4, atol=1e-6)
# ```
#
# Run it on any scoring function before you believe its AUROC.
#
# </details>
#
# **4. Explain.** A factory asks: "we have 40 pictures of scratches. Shall we label them, and train AGAD on them?" What
# do you measure before you answer, and what would make you say no?
#
# <details><summary>Hint</summary>
#
# Section 4. And what would a plain classifier do with 40 pictures of scratches?
#
# </details>
# <details><summary>Solution</summary>
#
# Hold a kind out. Label some kinds, and report the AUROC on the others alone, beside the one without labels. If
# unknown kinds are found no better than before, the labels buy nothing but known kinds, and for known kinds a
# classifier is the honest competitor: train one and compare. If unknown kinds are found *worse*, the labels cost
# what anomaly detection is for, and the answer is no.
#
# </details>
#
# **5. Try.** Draw stronger or weaker: `strength=0.1` and `strength=1.0` in section 2 and in section 3. Predict both
# AUROCs first. Is there a strength at which a drawing teaches content?
#
# ## References
#
# - J. Shi, N. Zhang. *AGAD: Adversarial generative anomaly detection.* arXiv 2304.04211, 2023.
# - O. Ronneberger, P. Fischer, T. Brox. *U-Net: convolutional networks for biomedical image segmentation.* MICCAI 2015.
# - I. Golan, R. El-Yaniv. *Deep anomaly detection using geometric transformations.* NeurIPS 2018.
# - J. Tack, S. Mo, J. Jeong, J. Shin. *CSI: novelty detection via contrastive learning.* NeurIPS 2020.
