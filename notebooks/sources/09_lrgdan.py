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
# # 09 · LR-GDAN: a second autoencoder, and what to ask it
#
# {{ colab_badge }}
#
# One autoencoder restores what it is shown. An anomaly detector made of it lives on the hope that it restores the
# wrong things badly, and lesson 01 showed how thin that hope is: a good autoencoder restores everything. LR-GDAN
# (Chen et al., IJCAI 2020) takes a *second* autoencoder and asks it for something else. This lesson builds the idea
# so that it works, and shows in one table what the paper's own version of it gives.
#
# **After this lesson you will be able to**
#
# - ask a network for something that only one kind of image makes possible;
# - turn information into a score: what does this image tell about what was done to it?
# - take a score apart, and say which part sees what;
# - spot a game that punishes what the score needs.
#
# **You need** lessons [02](02_image_discriminator.ipynb) (two players), [03](03_feature_constraint.ipynb) (a critic
# that names transformations) and [04](04_mutual_information.ipynb) (mutual information).
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

from dualad_lib import LRGDAN, RebuiltLRGDAN, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import tables
from dualad_lib.experiments.report import committed
from dualad_lib.experiments.results import study_rows
from dualad_lib.teaching import checks
from dualad_lib.transforms import SPOILS, dihedral, spoilt

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8: bag
stranger = 1  # 1: trouser, the anomaly of the pictures
seed = 0
width = 8  # channels of the first convolution
steps = 250  # batches that train one detector

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
normal, anomaly = task.class_names[normal_class].lower(), task.class_names[stranger].lower()
settings = {"width": width, "steps": steps, "seed": seed}
task

# %% [markdown]
# ## 1. A question that only some can answer
#
# Turn a picture upside down, squeeze it, and show it to somebody: "what did I do to it, and what did it look
# like before?" For a picture of a bag that is easy, if you know bags: the handle belongs on top, and bags are
# about as wide as high. For a picture of something that you have never seen it is not. Is this long thing a
# trouser, or a squeezed shirt that lies on its side?
#
# That is the whole idea. **The answer needs to know what is usual**, and the plain question "draw what you see"
# does not. Here is what is done to images. (`dihedral` turns and mirrors, in eight ways; `spoilt` squeezes, leans
# and so on, in nine, of which eight are shown.)

# %%
few = task.train[:8].float() / 255
with torch.random.fork_rng():
    torch.manual_seed(seed)
    kinds = torch.arange(8) % len(SPOILS) + 1
    turned = dihedral(few, torch.arange(8))
    both = dihedral(spoilt(few, kinds), torch.arange(8))
figure = plots.image_grid(
    {"x": few, "turned": turned, "and spoilt": both}, titles=[SPOILS[k - 1] for k in kinds.tolist()]
)
plots.show(
    figure,
    alt=f"Three rows of eight pictures of the class {normal}: as they are, turned or mirrored in eight ways, and "
    "turned and spoilt besides: squeezed, flattened, enlarged, shrunk, leaning to either side, shifted, and lifted.",
)

# %% [markdown]
# Cover the titles and the first row: the last is hard even for you, but for seams and streaks that anybody sees.
#
# ## 2. Four players
#
# - **$G$**, the first autoencoder, sees the image upright and restores it. Its code $z = G_e(x)$ says what is on
#   it.
# - **$D'$**, the second, has the same structure and weights of its own. It sees the image turned and spoilt,
#   $\tilde x$, has to restore the upright $x$, and has to find $G$'s code of it: $D'_e(\tilde x)$ should be
#   $G_e(x)$. (The paper's latent representation loss.)
# - **$D$**, the discriminator of lesson 02, tells images from what the two autoencoders draw. They play against it.
# - **$T$**, statistics networks as in lesson 04, ask what $D'$ knows of $t$, what was done to the image:
#   *globally*, from its last feature map, and *locally*, from each place of a map in the middle.
#
# The distance of two codes is the root mean square of their difference. $G$ is not moved by it: if both sides were,
# they would soon meet in one point for all images, and agree about nothing.


# %%
def code_distance(z_hat, z):
    return ((z_hat - z).square().mean(1) + 1e-12).sqrt().mean()


# %% [markdown]
# And the information? A bound for it, InfoNCE (more in [appendix A1](A1_mutual_information.ipynb)), asks: of $K$
# candidates, how well does $T$ find the right one? With the $K$ things that can be done to an image as candidates
# it reads
#
# $$I(\tilde x; t) \ge \log K + \text{mean } \log p(t \mid \tilde x).$$
#
# Training raises the right side. Now comes the step from a loss to a score: the bound is a *mean over images*, so each
# image has its own share of it, $\log K + \log p(t \mid \tilde x)$. Turn a new image in some ways and let $T$ name
# each: the less information it gives, the higher its score. (It is a bound if the $K$ are equally frequent. The library
# asks twice: for the turn, one of 8, and for the spoil, one of 10 with "as it was" among them. A new image is turned
# four ways and not spoilt, and both answers count.)


# %%
def information_of(log_p, t):
    """Nats that each copy gives about what was done to it. log_p: (N, K) log-probabilities; t: (N,) the truth."""
    return np.log(log_p.shape[1]) + log_p[np.arange(len(t)), t]


sure = np.log([[0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25], [0.97, 0.01, 0.01, 0.01]])
information_of(sure, np.array([0, 0, 1])).round(2)

# %% [markdown]
# Sure and right gives almost $\log 4$, undecided gives nothing, and sure but wrong gives *less* than nothing. An
# image of a kind that $T$ does not know does the second or the third.
#
# **Predict:** bags against {{ n_kinds | int }} other kinds of clothes. Which of them gives $T$ nearly as much
# information as a bag does?
#
# `RebuiltLRGDAN` in the library trains all four together.

# %%
model = RebuiltLRGDAN(**settings).fit(task.train)

# %% [markdown]
# ## 3. See it restore
#
# **Predict** what $D'$ makes of trousers that lie on their side.

# %%
show_normal = task.test[y == 0][:4].float() / 255
show_strange = task.test[task.test_classes == stranger][:4].float() / 255
upright = torch.cat([show_normal, show_strange])
lying = dihedral(upright, 5)  # a quarter turn
restored = model.reconstruct(lying)
figure = plots.image_grid(
    {"x": upright, "D' sees": lying, "D' restores": restored}, titles=[normal] * 4 + [anomaly] * 4
)
plots.show(
    figure,
    alt=f"Eight pictures in three rows: upright, a quarter turned, and what D' restores. On the left four of the "
    f"class {normal}, which come back upright and blurred; on the right four of the class {anomaly}, which come back "
    "as blurred bags.",
)


# %% tags=["machinery"]
def error(restored, x):
    return (restored - x).square().mean((1, 2, 3))


errors = error(model.reconstruct(dihedral(task.test.float() / 255, 5)), task.test.float() / 255).numpy()
error_normal, error_strange = errors[y == 0].mean(), errors[task.test_classes.numpy() == stranger].mean()

# %% [markdown]
# Bags come back upright. Trousers come back as *bags*: $D'$ was asked how the thing looked before it was turned, and
# a bag is all it can think of. Its mean squared error is {{ error_normal | f3 }} on bags and
# {{ error_strange | f3 }} on trousers.
#
# ## 4. Ask each part
#
# Six things are now known of an image, and each is put in the same unit: deviations from what is usual on held-out
# normal images, as in lesson 05. The score is their mean.
#
# **Predict:** is the mean better than its best part?

# %%
evidence = model.evidence(task.test)
parts = pd.DataFrame(
    {
        "of": ["G", "G", "D'", "D'", "D' and G", "T", "all"],
        "AUROC (%)": [100 * auroc(y, values) for values in evidence.values()],
    },
    index=list(evidence),
)
parts.round(1)

# %% [markdown]
# "mahalanobis" and "neighbours" are distances of the last feature map from those of normal images, "upright" those
# of $G$, "code" how far $D'$ is from $G$'s code. All but the upright are means over four turned copies. Information
# alone has {{ part_information | pct }}, all together have {{ part_fused | pct }}: the parts err on different
# images, so their mean errs less.
#
# Which images? Here is the information that each class gives, and beside it $G$'s distance.

# %%
others = [k for k in range(len(task.class_names)) if k != normal_class]
classes = task.test_classes.numpy()


def against(k, values):
    """AUROC of the normal class against class k alone."""
    chosen = (classes == normal_class) | (classes == k)
    return auroc(y[chosen], values[chosen])


by_class = {
    task.class_names[k]: {
        "G's distance": against(k, evidence["upright mahalanobis"]),
        "information": against(k, evidence["information"]),
    }
    for k in others
}
figure = plots.auroc_bars(by_class, floor=60, legend="asked")
listed = "; ".join(
    f"{name} {100 * a:.0f} and {100 * b:.0f}"
    for name, (a, b) in ((n, tuple(v.values())) for n, v in by_class.items())
)
plots.show(
    figure,
    alt=f"Bars of AUROC of {normal} against each other class, by G's distance and by information: {listed}.",
)

# %% tags=["machinery"]
gains = {k: by_class[task.class_names[k]] for k in others}
gains = {k: found["information"] - found["G's distance"] for k, found in gains.items()}
record(
    n_kinds=len(others),
    error_normal=error_normal,
    error_strange=error_strange,
    part_information=parts["AUROC (%)"]["information"] / 100,
    part_upright=parts["AUROC (%)"]["upright mahalanobis"] / 100,
    part_fused=parts["AUROC (%)"]["fused"] / 100,
    **{f"gain_{k}": value for k, value in gains.items()},
)

# %% [markdown]
# Shirts, which $G$'s distance often takes for bags, give themselves away: information is {{ 100 * gain_6 | f1 }} points
# better on them. With ankle boots it is the other way round, by {{ -100 * gain_9 | f1 }}. A boot is about as wide as
# high, too, and narrower on top: turn one, and $T$ names the turn as if it were a bag's. Who had only one of the two
# scores would miss what the other sees.
#
# ## 5. Which part earns its place?
#
# The rows are those of the paper's own ablation: one autoencoder; a discriminator with it; the second autoencoder;
# and the information. Every row is scored by all that its networks know, so the first one has $G$'s distances: a
# rival worth beating. **Predict** the sign of each step.

# %%
off = {"image_discriminator": False, "dual": False, "mutual_information": False}
stages = {
    "one autoencoder": off,
    "with D": {**off, "image_discriminator": True},
    "with D'": {"mutual_information": False},
}
fitted = {name: RebuiltLRGDAN(**settings, **parts).fit(task.train) for name, parts in stages.items()}
fitted["with information"] = model
reached = {name: auroc(y, found.anomaly_scores(task.test).final) for name, found in fitted.items()}
figure = plots.auroc_bars({name: {"score": value} for name, value in reached.items()}, floor=80)
listed = ", ".join(f"{name} {100 * value:.1f}" for name, value in reached.items())
plots.show(figure, alt=f"Bars of AUROC, in per cent, each part added to the one before: {listed}.")

# %% tags=["machinery"]
record(**{f"stage_{i}": value for i, value in enumerate(reached.values())})

# %% [markdown]
# From {{ stage_0 | pct }} to {{ stage_3 | pct }}. On this class and seed to *name* what was done adds most; on complete
# data it is the smaller part of the gain ([RESULTS](../RESULTS.md)).
#
# ## 6. What the paper's version gives
#
# In the paper $D'$ is asked for something else. It restores images, and it has to **fail** on what $G$ made of them:


# %%
def dual_game(own, other, k=0.4, cap=None):
    return own - k * (other if cap is None else torch.minimum(other, cap * own.detach()))


# %% [markdown]
# `own` is its error on images, `other` its error on reconstructions. `k` is the paper's 0.4. `cap` is ours: failing
# pays only up to so many times `own`. Here we play as printed, without it and from the first step (`warm_up=0`).
# $G$ wants the opposite: that $D'$ restores its drawings, and finds its code in them.
#
# Then an image is scored by what is left of it after *both* autoencoders, $\text{mean } |x - D'(G(x))|$.
#
# **Predict:** what does $D'$ draw when it is shown $G(x)$ and $x$ is perfectly normal? And what is that worth as a
# score? (Here $G$ and $D'$ play alone, so that the game can be seen.)

# %%
printed = LRGDAN(image_discriminator=False, mutual_information=False, cap=None, warm_up=0.0, **settings).fit(
    task.train
)


@torch.no_grad()
def drawn(model, images):
    """G(x) and D'(G(x)) of images, with the paper's standardisation taken back."""
    scale = model.parts_["scale"]
    x_hat = model._through("G", scale(model._images(images)))[1]
    pictures = {"G(x)": x_hat, "D'(G(x))": model._through("A", x_hat)[1]}
    return {name: (p * scale.deviation + scale.mean).clamp(0, 1).cpu() for name, p in pictures.items()}


shown = torch.cat([task.test[y == 0][:3], task.test[task.test_classes == stranger][:3]])
figure = plots.image_grid({"x": shown.float() / 255, **drawn(printed, shown)})
plots.show(
    figure,
    alt=f"Three pictures of the class {normal} and three of the class {anomaly}; G draws the same grey block for all "
    "of them, and D' answers with black.",
)

# %% tags=["machinery"]
record(
    printed_normal=auroc(y, printed.anomaly_scores(task.test).final),
    brightness=auroc(y, task.test.float().mean((1, 2, 3)).numpy()),
)

# %% [markdown]
# $D'$ does what it was paid for: it fails, on $G$'s drawings of *normal* images, the only ones it met. And $G$, who
# wants to be restored, makes it easy: it draws one and the same for all. Where every image gets one black answer,
# $|x - D'(G(x))|$ says only how bright it is, and bags are bright: AUROC {{ printed_normal | pct }}, where
# brightness alone has {{ brightness | pct }}. The paper's game punishes exactly what the paper's score needs.
#
# Complete data, **protocol 1**: 80 % of a class train, 20 % test, beside as many anomalies, one seed. In the table the
# paper's game is gentler than printed: it begins after a fifth of the training, and failing pays up to a cap, twice
# `own`. "G asked", "D' asked": the rebuilt model, scored by that network's parts alone.

# %%
kept = {
    "the paper's game and score": "",
    "no game, D' asked for the code": "judged=code, no game",
    "rebuilt, one autoencoder": "rebuilt, AE",
    "rebuilt, G asked": "rebuilt, G asked",
    "rebuilt, D' asked": "rebuilt, D' asked",
    "rebuilt": "rebuilt",
}


def means(data):
    """Mean AUROC of each row in per cent, over the classes and seeds that all of them have."""
    rows = [row for row in study_rows("lrgdan") if (row["dataset"], row["protocol"]) == (data, "80_20")]
    table = 100 * pd.DataFrame(rows).pivot_table(
        index=["normal_class", "seed"], columns="setting", values="auroc"
    )
    return table[list(kept.values())].dropna().mean().set_axis(list(kept))


published = {"MNIST": 98.5, "Fashion-MNIST": 99.5}
found = pd.DataFrame({"MNIST": means("mnist"), "Fashion-MNIST": means("fashion_mnist")})
pd.concat([pd.DataFrame(published, index=["as published"]), found]).round(1)

# %% tags=["machinery"]
rows = [row for row in study_rows("lrgdan") if row["protocol"] == "80_20"]
step = {
    data: tables.paired_settings([r for r in rows if r["dataset"] == data], "rebuilt", "rebuilt, AE")
    for data in ("mnist", "fashion_mnist")
}
dualad = tables.mean_over_classes(committed())["mean"]
record(
    p1_printed=found["MNIST"]["the paper's game and score"],
    p1_rebuilt=found["MNIST"]["rebuilt"],
    p1_rebuilt_fashion=found["Fashion-MNIST"]["rebuilt"],
    dualad_mnist=dualad["mnist", "dualad", "dual"],
    dualad_fashion=dualad["fashion_mnist", "dualad", "dual"],
    **{f"{data}_{name}": step[data][name] for data in step for name in ("mean", "low", "high", "won")},
)

# %% [markdown]
# With the paper's game MNIST has {{ p1_printed | f1 }} where 98.5 was published; with our question it has
# {{ p1_rebuilt | f1 }}. The 99.5 on Fashion-MNIST we cannot reach: {{ p1_rebuilt_fashion | f1 }} (95.0 over two seeds,
# as in RESULTS).
#
# Against one autoencoder with the same distances it gains, over two seeds, {{ mnist_mean | f1 }} points on MNIST
# and {{ fashion_mnist_mean | f1 }} on Fashion-MNIST. It is better on {{ mnist_won | int }} of the digits, and on
# {{ fashion_mnist_won | int }} of the kinds of clothes; only sandals lose. The 95 % interval over the classes
# begins at {{ mnist_low | f2 }} on MNIST, and at {{ fashion_mnist_low | f2 }} on Fashion-MNIST, where the gain is
# thus not beyond doubt.
#
# Two more things belong to an honest account. DualAD puts the same kind of question to *one* autoencoder (lesson
# 03), and on the usual split it has {{ dualad_mnist | f1 }} and {{ dualad_fashion | f1 }}. It is another split, so
# tenths do not count: the question needs no second network. (On CIFAR-10 features plain neighbours beat both
# autoencoders: [RESULTS](../RESULTS.md).) And how a paper can print 51.0 for a plain autoencoder, so that every
# step from there looks large, is the first story of [lesson 12](12_how_to_read_a_paper.ipynb).
#
# ## Recap
#
# - Ask a network for what only the usual kind of image makes possible: what was done to it, and what was there
#   before.
# - A bound on information is a mean over images. Each image's own share of it is a score.
# - Parts that err on different images can be worth more together: a point on our bags, and on complete data next to
#   nothing beside $D'$ alone.
# - A score must not ask for what the training has punished. When you read of a game, write down what each player is
#   paid for, and look whether the score is paid, too.
#
# ## Exercises
#
# **1. Predict.** The paper's game (section 6). Who wants which error `"up"`, `"down"`, or has `"nothing"` to say
# about it? (By the paper's eq. 1 to the letter $G$, too, lowers `dual_game`.)

# %%
answers = {
    "D', its error on images": None,
    "D', its error on reconstructions": None,
    "G, the error of D' on reconstructions": None,
    "G, the error of D' on images": None,
    "G by eq. 1 to the letter, the error of D' on reconstructions": None,
}
checks.check_dual_wishes(answers)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Write down whose weights each loss depends on. A player that can't change a number has nothing to say about it.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# answers = {
#     "D', its error on images": "down",
#     "D', its error on reconstructions": "up",
#     "G, the error of D' on reconstructions": "down",
#     "G, the error of D' on images": "nothing",
#     "G by eq. 1 to the letter, the error of D' on reconstructions": "up",
# }
# ```
#
# $D'(x)$ does not depend on $G$ at all. So its error on images, `own`, is firm ground: no move of $G$ can spoil it.
#
# </details>
#
# **2. Code.** The paper also reports the *half total error rate* (HTER): the mean of false-alarm rate and miss
# rate, at a threshold that is given. A coin has a half. Write it.


# %%
def half_total_error(y, scores, threshold):
    """y: (N,) 0 normal, 1 anomalous. scores: (N,). One number in [0, 1]; an alarm is a score above the threshold."""
    raise NotImplementedError


checks.check_half_total_error(half_total_error)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two rates, each over its own images: alarms among the normal ones, silence among the anomalies. Why not the share
# of errors among all images?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def half_total_error(y, scores, threshold):
#     alarm = scores > threshold
#     return (alarm[y == 0].mean() + (~alarm[y == 1]).mean()) / 2
# ```
#
# With nine anomalies to one normal image, "always alarm" is right in nine of ten cases, and has an HTER of a half, as
# it should.
#
# </details>
#
# **3. Explain.** Colleagues build such a detector for digits. They turn and mirror the images, but spoil none.
# Information then helps a lot where the digit 3 is normal, and hardly where it is the digit 8. Explain it to them, and
# name one thing that can be done to an 8 which would help.
#
# <details><summary>Hint</summary>
#
# Turn an 8 upside down. What does $T$ get to know?
#
# </details>
# <details><summary>Solution</summary>
#
# An 8 that is mirrored or upside down is still nearly an 8. The question "how was it turned?" has half an answer at
# best, standing or lying, even for the normal class, so the information says little about whether an image is normal. A
# 3 changes under nearly every turn. Things that change an 8: squeezing it, leaning it, swapping its lower half for that
# of another one. That is why this lesson spoils images besides turning them: with complete data,
# it lifts the digit 8 from 96.7 to 97.7 (one seed, and a digit that it was chosen on).
#
# </details>
#
# ## References
#
# - Chen et al. *Latent regularized generative dual adversarial network for abnormal detection.* IJCAI 2020.
# - I. Golan, R. El-Yaniv. *Deep anomaly detection using geometric transformations.* NeurIPS 2018 (naming what was
#   done to an image as a score).
# - F. Ye et al. *Attribute restoration framework for anomaly detection* (ARNet). 2020 (restoring what was taken
#   away).
# - D. Berthelot, T. Schumm, L. Metz. *BEGAN: Boundary equilibrium generative adversarial networks.* 2017 (the game
#   of $D'$, with a $k$ that is controlled instead of fixed).
# - M. I. Belghazi et al. *Mutual information neural estimation.* ICML 2018.
# - R. D. Hjelm et al. *Learning deep representations by mutual information estimation and maximization.* ICLR 2019.
