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
# # 05 · Two scores in one, and what each part was worth
#
# {{ colab_badge }}
#
# The detector gives two numbers for an image: one for the picture that it draws, one for the code that it draws
# it from. An alarm needs *one*. Adding two numbers sounds easy, and the published code loses one of them by it.
# Then comes the course's question: which part earned its place?
#
# **After this lesson you will be able to**
#
# - compute a latent score that knows in which directions codes vary (Mahalanobis);
# - show that the sum of two raw scores may be no sum at all, and mend it without a label;
# - weigh scores by evidence that you make yourself, and say how far that can be trusted;
# - set a threshold with a promised rate of false alarms, and check the promise;
# - read an ablation: which step is larger than chance, and does something simpler do as much?
#
# **You need** lessons [01](01_autoencoder_baseline.ipynb) to [04](04_mutual_information.ipynb).
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about 75 minutes of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

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
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from dualad_lib import load_one_class, plots
from dualad_lib.course import interactive, record
from dualad_lib.course.provenance import results_folder
from dualad_lib.data import DATASETS
from dualad_lib.detectors import create
from dualad_lib.detectors.base import hold_back
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import tables
from dualad_lib.experiments.results import study_rows
from dualad_lib.scoring import SMOOTH, roughness, threshold_at
from dualad_lib.teaching import checks
from dualad_lib.transforms import PSEUDO_ANOMALIES, pseudo_anomalies

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # bag
more_classes = [9, 1]  # further normal classes, on which ways to fuse are compared: ankle boot, trouser
seed = 0
width = 8
latent_dim = 32  # d, numbers in the code z
steps = 300  # batches that train one network
batch_size = 64
learning_rate = 2e-3
n_splits = 2000  # random splits that check the promise of a threshold
n_bootstrap = 500

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = bag, 1 = anything else
settings = {
    "width": width,
    "latent_dim": latent_dim,
    "steps": steps,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
}


def two_scores(k):
    """Lesson 01's autoencoder with class k as the normal one, and its raw scores of all images that we need."""
    task = load_one_class(dataset, k, seed=seed)
    train_images, held = hold_back(task.train, seed)  # nine tenths train, one tenth is held out
    model = create("autoencoder", seed=seed, **settings).fit(train_images, calibration=held)
    images = {"train": train_images, "held": held, "test": task.test}
    # raw scores: for each group a dict of "pixel" and "latent", arrays (n,)
    raw = {name: model._raw(group) for name, group in images.items()}
    return SimpleNamespace(name=task.normal_name, y=task.test_labels.numpy(), model=model, raw=raw, **images)


bag = two_scores(normal_class)
print(f"test images: {np.sum(y == 0)} bags, {np.sum(y == 1)} that are none; held out: {len(bag.held)} bags")
for name, values in bag.raw["test"].items():
    print(
        f"{name:6}  AUROC {100 * auroc(y, values):.1f}   a normal image has about {np.median(values[y == 0]):.3f}"
    )

# %% [markdown]
# ## 1. Two scores, two opinions
#
# The **pixel score** is the mean squared error between an image and what the autoencoder draws. The **latent
# score** asks how far the code $z$ lies from the codes of normal images. These spread widely in some directions
# and hardly at all in others, so each direction is measured in its own standard deviation, as in lesson 01:
#
# $$d(z,z')=\sqrt{(z-z')^\top\,\Sigma^{-1}\,(z-z')}\qquad\qquad s_{lat}(x)=\min_i\,d(z,z_i)$$
#
# $\Sigma$ is the covariance matrix of the normal training codes $z_i$. This is the **Mahalanobis distance**
# (1936), here to the *nearest* training code.
# %% tags=["machinery"]
draw = np.random.default_rng(seed)
spread = np.array([[4.0, 2.4], [2.4, 2.0]])
cloud = draw.multivariate_normal((0, 0), spread, 250)
ends = np.array([[2.6, 1.9], [-1.9, 2.6]])  # both equally far from the centre
far = np.sqrt(np.einsum("ni,ij,nj->n", ends, np.linalg.inv(spread), ends))
figure, ((axis,),) = plots.canvas(7.4, 3.9)
axis.scatter(*cloud.T, s=8, color=plots.NORMAL, alpha=0.6, linewidths=0, label="normal codes")
turn = np.linspace(0, 2 * np.pi, 200)
circle = np.stack([np.cos(turn), np.sin(turn)])
axis.plot(*(np.hypot(*ends[0]) * circle), ":", color="black", label="one Euclidean distance")
axis.plot(
    *(far[0] * np.linalg.cholesky(spread) @ circle), "--", color="black", label="one Mahalanobis distance"
)
for name, end, value in zip("AB", ends, far, strict=True):
    axis.plot(*end, marker="X", color=plots.ANOMALOUS, markersize=9)
    side = "left" if name == "A" else "right"
    axis.annotate(
        f"{name}: {value:.1f} deviations", end, (8 if name == "A" else -8, 6), textcoords="offset points", fontsize=9,
        ha=side,
    )  # fmt: skip
axis.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", xlim=(-7, 9), ylim=(-4.2, 4.2))
axis.legend(loc="lower right", frameon=False)
plots.show(
    figure,
    alt="An oblong cloud of normal codes. A and B lie equally far from its centre by the ruler. A lies along "
    "the cloud, "
    f"{far[0]:.1f} deviations out; B across it, {far[1]:.1f} deviations out. A dashed ellipse joins the "
    "points that are as far as A by Mahalanobis.",
)

# %% [markdown]
# To a ruler A and B are equally far from the middle; in deviations B is more than three times as far. A matrix
# $W$ with $WW^\top=\Sigma^{-1}$ turns the cloud into a round one (**whitening**); there the ordinary
# distance is the Mahalanobis distance. A tenth of a round covariance is mixed in first, so that the inverse
# exists.
# %%
z, z_test = (bag.model.encode(images).double() for images in (bag.train, bag.test))
sigma = z.T.cov()
sigma = 0.9 * sigma + 0.1 * sigma.diagonal().mean() * torch.eye(latent_dim)
W = torch.linalg.cholesky(sigma.inverse())
s_lat = torch.cdist(z_test @ W, z @ W).min(1).values.numpy()
print("the library's latent score:", np.allclose(s_lat, bag.raw["test"]["latent"], rtol=1e-3))

# %% [markdown]
# On bags the latent score is better. Is the pixel score good for anything? Look where the two disagree most.
#
# **Predict:** what will the anomalies look like that only the pixel score finds odd, and what the others?

# %% tags=["machinery"]
ranks = {n: bag.raw["test"][n].argsort().argsort() for n in ("pixel", "latent")}
order = np.where(y == 1, ranks["pixel"] - ranks["latent"], 0).argsort()
high_pixel, high_latent = bag.test[order[-8:]], bag.test[order[:8]]
figure = plots.image_grid({"pixel: odd\nlatent: usual": high_pixel, "pixel: usual\nlatent: odd": high_latent})
plots.show(
    figure,
    alt="Two rows of eight anomalies. Above, those that the pixel score ranks far higher than the latent score: "
    "striped, checked and patterned clothes. Below, the reverse: sandals, sneakers, and plain light tops.",
)

# %% [markdown]
# Above stand stripes, checks and patterns: drawn a little wrong, they cost a large error, while the code is not
# far from a bag's. Below stand sandals, sneakers and plain tops, easy to draw, but with an unusual *code*.
#
# But any two scores have such extremes, so we count. Let each alarm for 5 % of the held-out bags: how many
# anomalies that one misses does the other find?
# %%
finds = {n: bag.raw["test"][n] > threshold_at(bag.raw["held"][n], 0.05) for n in ("pixel", "latent")}
for one, other in (("latent", "pixel"), ("pixel", "latent")):
    missed = (y == 1) & ~finds[one]
    print(
        f"{one} finds {100 * finds[one][y == 1].mean():.0f} %, with {100 * finds[one][y == 0].mean():.1f} % false "
        f"alarms; of what it misses {other} finds {100 * finds[other][missed].mean():.0f} %"
    )

# %% [markdown]
# A second score helps where it finds what the first one misses. Of what the latent score misses, the pixel
# score finds {{ pixel_finds_missed | pct0 }} %, and it alarms for {{ pixel_false | pct }} % of the bags anyway.
# So it helps little.
#
# ## 2. A sum that is no sum
#
# **Predict** the AUROC of `pixel + latent` from the sizes of the scores above.


# %%
def variance_share(parts):
    """How much of the variance of the sum each part brings: cov(part, sum) / var(sum). The shares sum to 1."""
    total = sum(parts.values())
    return {name: np.cov(part, total)[0, 1] / total.var(ddof=1) for name, part in parts.items()}


raw_sum = sum(bag.raw["test"].values())
raw_shares = variance_share(bag.raw["test"])
print(
    f"AUROC of pixel + latent {100 * auroc(y, raw_sum):.2f}; "
    f"of latent alone {100 * auroc(y, bag.raw['test']['latent']):.2f}"
)
print(f"the pixel score's share of the variance of the sum: {100 * raw_shares['pixel']:.2f} %")

# %% [markdown]
# The sum *is* the latent score. A squared pixel error is a small number and a distance of codes a large one, so
# the pixel score moves hardly any image from its place in the order. Nobody decided that; the units did.
#
# The code published with the DualAD paper scores with
# $\text{MSE}+50\,\lVert z-c\rVert^2$; [appendix A2](A2_published_dualad.ipynb) takes it apart.
#
# ## 3. Standardise, on images that trained nothing
#
# "0.02" as a squared error and "1.5" as a distance can't be compared. "Two deviations above what is usual for
# bags" can. But on which bags is the usual measured?
# %% tags=["machinery"]
figure, ((axis,),) = plots.canvas(8.6, 2.9)
boxes = [
    (0, 2, 5.4, "nine tenths\ntrain the network", plots.COLOURS[0]),
    (5.4, 2, 0.9, "a tenth,\nheld out", plots.COLOURS[4]),
    (0, 0.55, 1.6, "bags", plots.COLOURS[2]),
    (1.6, 0.55, 4.7, "everything else", plots.COLOURS[1]),
]
for left, bottom, wide, text, colour in boxes:
    axis.barh(bottom, wide, left=left, height=0.9, color=colour + "55", edgecolor=colour, linewidth=1.5)
    axis.text(left + wide / 2, bottom, text, ha="center", va="center", fontsize=9)
notes = [
    (2, "training files, bags alone"),
    (0.55, "test files, with labels"),
]
for bottom, text in notes:
    axis.text(-0.15, bottom, text, ha="right", va="center", fontsize=9)
axis.annotate(
    "scales, weights, threshold", (6.3, 2), (6.9, 2), va="center", fontsize=9, arrowprops={"arrowstyle": "<-"}
)
axis.annotate(
    "AUROC, nothing else", (6.3, 0.55), (6.9, 0.55), va="center", fontsize=9, arrowprops={"arrowstyle": "<-"}
)
axis.text(
    3.15, -0.45, "settings (width, steps ...) were chosen on a development split:\ntraining files of all classes, "
    "divided once more (lesson 00)", ha="center", va="center", fontsize=9, style="italic",
)  # fmt: skip
axis.set(xlim=(-2.6, 9.6), ylim=(-0.9, 2.6))
axis.axis("off")
plots.show(
    figure,
    alt="Who sees what. Training files hold bags alone: nine tenths train the network, a tenth is held out and sets "
    "scales, weights and threshold. Test files, with labels, give the AUROC and nothing else. Settings were chosen on "
    "a "
    "development split of the training files of all classes.",
)

# %% [markdown]
# Not on the training images: the network has practised on those, and each is its own nearest neighbour. So `fit`
# holds out a **tenth** of the normal images. They train nothing, and all that follows is set on them.
#
# Both scores are positive and have a long tail of high values, so we take logarithms first:
#
# $$u(x)=\frac{\log s(x)-m}{\sigma},\qquad m,\sigma:\text{mean and deviation of }\log s\text{ on the held-out tenth}$$


# %%
@dataclass(frozen=True)
class LogStandard:
    mean: float
    deviation: float

    @classmethod
    def fit(cls, scores):
        logs = np.log(np.maximum(scores, 1e-12))
        return cls(float(logs.mean()), float(max(logs.std(), 1e-6)))

    def __call__(self, scores):
        return (np.log(np.maximum(scores, 1e-12)) - self.mean) / self.deviation


# %%
u = {name: LogStandard.fit(bag.raw["held"][name])(bag.raw["test"][name]) for name in ("pixel", "latent")}
standard_shares = variance_share(u)

# %% tags=["machinery"]
figure, ((left, right),) = plots.canvas(9.2, 3.9, 1, 2)
for axis, parts, unit in ((left, bag.raw["test"], "raw"), (right, u, "in deviations from usual")):
    inside = (-3.4, np.quantile([*parts.values()], 0.998)) if parts is u else (-np.inf, np.inf)
    for kind, colour, marker, name in (
        (1, plots.ANOMALOUS, "x", "anomalous"),
        (0, plots.NORMAL, "o", "normal"),
    ):
        chosen = y == kind
        axis.scatter(
            *(np.clip(parts[score][chosen], *inside) for score in ("pixel", "latent")), s=10, color=colour,
            marker=marker, alpha=0.6, linewidths=0.7, label=name,
        )  # fmt: skip
    axis.set(xlabel=f"pixel score, {unit}", ylabel=f"latent score, {unit}")
reach = bag.raw["test"]["latent"].max()
left.set(xlim=(-reach / 2, reach / 2), ylim=(0, reach * 1.02), title="one scale on both axes")
limits = (inside[0] - 0.2, inside[1] + 0.2)
right.set(xlim=limits, ylim=limits, title="standardised (what lies further out: at the rim)")
right.legend(loc="lower right", markerscale=1.5, frameon=False)
plots.show(
    figure,
    alt="Test images in the plane of the two scores. Left, raw, with one scale on both axes: all points form a "
    "vertical "
    "line, the pixel score has no say. Right, standardised: two clouds of similar width in both directions, with "
    "anomalies above and to the right of the normal images.",
)

# %% [markdown]
# On the left the pixel score varies so little that all points lie on a line. On the right both have a say: the
# pixel score now brings {{ share_pixel_standard | pct0 }} % of the variance of a plain sum.
#
# ## 4. Weigh, by evidence that we make ourselves
#
# With equal weights we could stop here. But a poor score should have less say, and to know which one is poor we
# need anomalies. There are none, so we make some: **pseudo-anomalies** are held-out normal images that are
# broken on purpose.
# %% tags=["machinery"]
x = bag.held[:6].float() / 255
figure = plots.image_grid(
    {"normal": x, **{kind: pseudo_anomalies(x, kind) for kind in PSEUDO_ANOMALIES}}, size=0.7
)
plots.show(
    figure,
    alt="Six held-out bags in the first row, and below them the same bags broken in seven ways: sheared, squeezed, "
    "halves swapped, left half mirrored, dilated, eroded, and mixed with another bag.",
)


# %% [markdown]
# Swapped halves are no bag, but a squeezed bag is one, and a symmetric bag, mirrored, is the *same*. They count as
# anomalies all the same.
#
# A score that tells normal from pseudo-anomalous with AUROC $a$ gets the weight
#
# $$w=\left(\frac{\max(a-0.5,\;0.001)}{1.02-a}\right)^2$$
#
# A score that guesses gets next to nothing; the 1.02 keeps a perfect one from getting everything. It is a rule
# of thumb, and it bets: the square gives most of the weight to the score that looks better.
# %%
def separation_weight(normal, anomalous):
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    a = auroc(labels, np.concatenate([normal, anomalous]))
    return (max(a - 0.5, 0.001) / (1.02 - a)) ** 2


# %%
@dataclass(frozen=True)
class Fusion:
    scales: dict
    weights: dict

    @classmethod
    def fit(cls, normal, anomalous=None):
        scales = {name: LogStandard.fit(values) for name, values in normal.items()}
        if anomalous is None:
            return cls(scales, dict.fromkeys(scales, 1.0))
        return cls(scales, {name: separation_weight(normal[name], anomalous[name]) for name in scales})

    def __call__(self, raw, names=None):
        names = list(names or raw)
        total = sum(self.weights[name] for name in names)
        return sum(self.weights[name] / total * self.scales[name](raw[name]) for name in names)


# %%
def fuse(study):
    """The fusion that a detector's own held-out images ask for; the evidence stays in `study.told`."""
    x = study.held.float() / 255
    broken = [study.model._raw(pseudo_anomalies(x, kind)) for kind in PSEUDO_ANOMALIES]
    whole = study.raw["held"]
    together = {name: np.concatenate([scores[name] for scores in broken]) for name in whole}
    labels = np.repeat([0, 1], [len(x), len(x) * len(broken)])
    study.told = {name: auroc(labels, np.concatenate([whole[name], together[name]])) for name in whole}
    return Fusion.fit(whole, together)


bag.fusion = fuse(bag)
same = np.allclose(bag.fusion(bag.raw["test"]), bag.model.anomaly_scores(bag.test).dual)
total = sum(bag.fusion.weights.values())
print(f"weights: {', '.join(f'{name} {100 * w / total:.0f} %' for name, w in bag.fusion.weights.items())}")
print("the library's dual score is the same:", same)

# %% [markdown]
# ### How far that can go
#
# Here are two more normal classes, ankle boots and trousers, and five ways to one number. The last is an
# **oracle**: the best of 21 weights, found *on the test labels*. It may not be used; it shows how much there
# was to gain.
#
# **Predict:** which honest row wins where, and by how much does the oracle beat the better single score?

# %%
studies = [bag, *(two_scores(k) for k in more_classes)]


def ways(study):
    raw, labels = study.raw["test"], study.y
    study.fusion = fuse(study)
    equal = Fusion.fit(study.raw["held"])
    u = {name: equal.scales[name](raw[name]) for name in raw}
    shares = np.linspace(0, 1, 21)  # of the pixel score
    on_test = [auroc(labels, share * u["pixel"] + (1 - share) * u["latent"]) for share in shares]
    study.oracle = shares[int(np.argmax(on_test))]
    return {
        "pixel alone": auroc(labels, raw["pixel"]),
        "latent alone": auroc(labels, raw["latent"]),
        "equal weights": auroc(labels, equal(raw)),
        "separation weights": auroc(labels, study.fusion(raw)),
        "oracle (not allowed)": max(on_test),
    }


compared = pd.DataFrame({study.name: ways(study) for study in studies})
(100 * compared).round(1)

# %%
# Where the weights come from: how well each score tells broken images from whole ones.
evidence = {
    study.name: {
        "pixel: AUROC on broken copies, %": study.told["pixel"],
        "latent: AUROC on broken copies, %": study.told["latent"],
        "weight of pixel, %": study.fusion.weights["pixel"] / sum(study.fusion.weights.values()),
        "the oracle's weight of pixel, %": study.oracle,
    }
    for study in studies
}
(100 * pd.DataFrame(evidence)).round(1)

# %% tags=["machinery"]
figure, (axes,) = plots.canvas(9.6, 3.9, 1, len(studies), sharey=True)
for axis, study in zip(axes, studies, strict=True):
    held_u, test_u = (
        np.stack([study.fusion.scales[name](study.raw[group][name]) for name in ("pixel", "latent")], 1)
        for group in ("held", "test")
    )
    for kind, colour, marker, name in (
        (1, plots.ANOMALOUS, "x", "anomalous"),
        (0, plots.NORMAL, "o", "normal"),
    ):
        axis.scatter(
            *np.clip(test_u[study.y == kind], -3, 6.5).T, s=8, color=colour, marker=marker, alpha=0.5, linewidths=0.6,
            label=name,
        )  # fmt: skip
    w = study.fusion.weights["pixel"] / sum(study.fusion.weights.values())
    for share, line, name in (
        (0.5, "--", "equal weights"),
        (w, "-", "separation weights"),
        (study.oracle, ":", "oracle"),
    ):
        limit = threshold_at(share * held_u[:, 0] + (1 - share) * held_u[:, 1], 0.05)
        if share > 0.99:
            axis.axvline(limit, color="black", linestyle=line, label=name)
        else:
            axis.axline(
                (0, limit / (1 - share)),
                slope=-share / (1 - share),
                color="black",
                linestyle=line,
                label=name,
            )
    axis.set(
        xlim=(-3, 6.5),
        ylim=(-3, 6.5),
        xlabel="pixel score, in deviations",
        title=f"normal: {study.name}",
        aspect="equal",
    )
axes[0].set_ylabel("latent score, in deviations")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
listed = "; ".join(
    f"{s.name}: separation {s.fusion.weights['pixel'] / sum(s.fusion.weights.values()):.2f}, oracle {s.oracle:.2f}"
    for s in studies
)
plots.show(
    figure,
    alt="Test images of three normal classes in the plane of the standardised scores, with three straight "
    "alarm lines each. "
    f"Share of the pixel score: {listed}; equal weights 0.5.",
)

# %% [markdown]
# A weighted sum is a straight line here, and what lies above and to the right of it raises the alarm.
#
# On bags the evidence is right: the latent score is better and gets nearly all the weight, so separation
# weights are ahead of equal ones. On ankle boots and trousers the *pixel* score is better, but the broken
# copies say otherwise. Both fusions end between the two scores, and equal weights, which believe nobody, are
# ahead. From these copies we could not know it.
#
# On these three, in five seeds, the oracle beats the better single score by at most {{ oracle_high | pct }}
# points: the right weight wins little, while the wrong score loses much. But the three were chosen after a look
# at test labels, to show what can happen. Here are the plain autoencoders of all ten classes of two sets,
# trained on all images, one seed:
# %% tags=["machinery"]
# Measured by `dualad reproduce` and `dualad reproduce --study pixel_score`.
pixel_study, main = study_rows("pixel_score"), study_rows("tables")
sets = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}


def renamed(rows, detector, setting, name):
    """Rows of a detector's setting, as rows of a detector of that name: what `tables.paired` compares."""
    chosen = [row for row in rows if (row["detector"], row["setting"]) == (detector, setting)]
    return [{**row, "detector": name, "setting": ""} for row in chosen]


ten_rows = [
    *main,
    *renamed(pixel_study, "autoencoder", "equal weights", "equal"),
    *renamed(pixel_study, "autoencoder", "relative, equal weights", "divided"),
    *renamed(pixel_study, "dualad_d_fc", "equal weights", "package"),
    *renamed(pixel_study, "dualad_d_fc", "relative, equal weights", "both"),
]
by_evidence, below, above = {}, {}, {}
for data, title in sets.items():
    row = by_evidence[data] = tables.paired(ten_rows, data, ("autoencoder", "dual"), ("equal", "dual"))
    print(
        f"{title}: separation minus equal weights {row['mean']:+.1f} ({row.low:+.1f} to {row.high:+.1f}) points"
    )
    for name, weighed in (("autoencoder", "separation"), ("equal", "equal")):
        scores = tables.by_class(ten_rows, data).drop(columns="mean").loc[name]
        parts = scores.loc[["pixel", "latent"]]
        below[data, name] = int((scores.loc["dual"] < parts.min()).sum())
        above[data, name] = int((scores.loc["dual"] > parts.max()).sum())
        print(
            f"  {weighed} weights: dual below both its parts on {below[data, name]} of {scores.shape[1]} classes, "
            f"above both on {above[data, name]}"
        )

# %% [markdown]
# Both intervals (Student's, 95 %, over ten classes) hold zero: neither way to weigh is ahead. But with either,
# the dual score is never below *both* its parts, and on {{ above_both }} of 20 classes above both. Read it as
# an **insurance**.
#
# ### Play
#
# Optional, in JupyterLab or Colab: which weight is best by eye (on *test* labels, so to use it would be a
# leak), and what changes along the first direction of the codes?
# %%
_ = interactive.explore_scores(bag.raw["held"], bag.raw["test"], bag.y)
_ = interactive.explore_codes(bag.model, bag.held)

# %% [markdown]
# ## 5. What each part was worth
#
# Here is the table that the course has been building, a part more in each row. *Dual* has separation weights.
# From "+ FC" on, *latent* is itself fused from three scores: two distances of $h$, read in four turns, and the
# critic's doubt ([lesson 03](03_feature_constraint.ipynb)). Below stand three cheap rivals, among them lesson
# 01's bar: PCA's pixel score divided by the image's **roughness**, the mean squared difference of neighbouring
# pixels (plus 0.001 wherever we divide, for some image may have none).
#
# **Predict:** which step adds most to the *dual* column, which adds nothing, and which rival is the strongest?

# %%
stages = {"autoencoder": "autoencoder", "+ D": "dualad_d", "+ FC": "dualad_d_fc", "+ MI": "dualad"}
fitted = {"autoencoder": bag.model}
for name, detector in list(stages.items())[1:]:
    fitted[name] = create(detector, seed=seed, **settings).fit(task.train)
fitted |= {
    "PCA": create("pca", seed=seed).fit(task.train),
    "nearest neighbour": create("knn", seed=seed).fit(task.train),
}
found = {name: model.anomaly_scores(task.test) for name, model in fitted.items()}


def rough(images):
    """What a pixel score is divided by: roughness of images (N, 1, 28, 28) of bytes, plus 0.001. Returns (N,)."""
    return roughness(images.float() / 255).numpy() + SMOOTH


def pca_divided(k, seed=seed):
    """PCA of normal class k: its pixel scores of the test images, divided."""
    own = load_one_class(dataset, k, seed=seed)
    return create("pca", seed=seed).fit(own.train).anomaly_scores(own.test).final / rough(own.test)


# %%
table = {name: {score: 100 * auroc(y, values) for score, values in s.items()} for name, s in found.items()}
linear = pca_divided(normal_class)
table["PCA, divided"] = {"score": 100 * auroc(y, linear)}
table = pd.DataFrame(table).T.rename(columns={"score": "its one score"})
weights = fitted["+ MI"].fusion_.weights
print(
    f"weight of the pixel score in the full detector: {100 * weights['pixel'] / sum(weights.values()):.0f} %"
)
table.round(1).astype(object).fillna("")

# %% [markdown]
# How large must a step be to count? The test images are a draw, so we draw them again, with replacement,
# {{ n_draws }} times. The training had a seed, too: the broad bars hold five.
# %%
random = np.random.default_rng(seed)
groups = [np.flatnonzero(y == kind) for kind in (0, 1)]
draws = [np.concatenate([random.choice(g, len(g)) for g in groups]) for _ in range(n_bootstrap)]
names = list(stages)
better = max(("pixel", "latent"), key=lambda score: table.loc["+ MI", score])
step_pairs = {b: (found[a].dual, found[b].dual) for a, b in pairwise(names)}
step_pairs[f"dual score, not {better}"] = (getattr(found["+ MI"], better), found["+ MI"].dual)
step_pairs["PCA, divided, not DualAD"] = (found["+ MI"].dual, linear)
step_rows = {}
for name, (a, b) in step_pairs.items():
    change = [100 * (auroc(y[i], b[i]) - auroc(y[i], a[i])) for i in draws]
    low, high = np.quantile(change, [0.025, 0.975])
    step_rows["step", name] = {"mean": 100 * (auroc(y, b) - auroc(y, a)), "low": low, "high": high}
step_rows = pd.DataFrame(step_rows).T
classes = {study.name: k for study, k in zip(studies, [normal_class, *more_classes], strict=True)}
pca_seeds = {
    name: [auroc(s.y, pca_divided(k, seed + i)) for i in range(5)]
    for s, (name, k) in zip(studies, classes.items(), strict=True)
}
print("PCA, divided, lowest to highest of five seeds:", end=" ")
print(", ".join(f"{name} {100 * min(of):.1f} to {100 * max(of):.1f}" for name, of in pca_seeds.items()))

# %% tags=["machinery"]
# Measured by `dualad bands 05_dual_scoring --seeds 5`.
five = pd.read_csv(results_folder() / "bands_05_dual_scoring.csv", index_col="metric")
figure, ((axis,),) = plots.canvas(8.2, 3.2)
listed = []
steps_of = ("d", "fc", "mi", "dual", "pca")
for place, (short, ((_, name), row)) in enumerate(zip(steps_of, step_rows.iterrows(), strict=True)):
    once, seeds = place == 0, ""  # one entry of each kind in the legend
    if f"gain_{short}" in five.index:
        low, high = 100 * five.loc[f"gain_{short}", ["min", "max"]].astype(float)
        seeds = f"; five seeds {low:+.1f} to {high:+.1f}"
        axis.plot(
            [low, high], [place, place], color=plots.COLOURS[2], linewidth=10, alpha=0.3, solid_capstyle="butt",
            label="lowest to highest of five seeds" if once else None,
        )  # fmt: skip
    axis.errorbar(
        row["mean"], place, xerr=[[row["mean"] - row.low], [row.high - row["mean"]]], fmt="o", capsize=3,
        color=plots.COLOURS[2], label="this seed; 95 % of the draws of test images" if once else None,
    )  # fmt: skip
    listed.append(f"{name} {row['mean']:+.1f} ({row.low:+.1f} to {row.high:+.1f}{seeds})")
axis.axvline(0, color="black", linewidth=0.9, linestyle=":")
axis.set_yticks(range(len(step_rows)), [name for _, name in step_rows.index])
axis.set(xlabel="points of AUROC", ylim=(len(step_rows) - 0.5, -0.5))
axis.legend(loc="lower right", fontsize=9)
plots.show(figure, alt=f"What each part adds to the dual score, with 95 % intervals: {'; '.join(listed)}.")

# %% [markdown]
# On bags the large step is that of the package called FC: at least {{ fc_seeds_low | pct }} points with every
# seed. By lesson 03's count it is mostly *reading* $h$ in turns, then training on copies (which lifts the pixel
# score), and hardly a constraint. The discriminator's step is smaller and above zero, too; that of mutual
# information can't be told from zero. *Dual* changes nothing, since *latent* has nearly all the weight.
#
# Of the rivals, PCA and one nearest neighbour stay behind the latent scores. But **PCA, divided, is level with all of
# DualAD or better**: over five seeds it has at least {{ pca_seeds_low | pct }}, DualAD at most
# {{ full_seeds_high | pct }}, though with other test images it might not lead (the interval).
#
# ### The simplest rival
#
# An ablation compares a part with its absence, and seldom with something simpler. So let us divide the pixel
# scores of our three *plain* autoencoders, too. The weights are equal here: on boots and trousers that was
# better, and it was frozen with the division on development splits of Fashion-MNIST
# ([RESULTS](../RESULTS.md#from-nothing-but-one-classs-images)).
#
# **Predict** for bags: where does the pixel score go, and how near does the dual score come to "+ FC"?


# %%
def divided(study):
    """The raw scores of a study's held-out and test images, the pixel score divided by roughness."""
    raw = {}
    for group in ("held", "test"):
        unit = rough(getattr(study, group))
        raw[group] = {**study.raw[group], "pixel": study.raw[group]["pixel"] / unit}
    return raw


ratios = [divided(study) for study in studies]
rival = pd.DataFrame(
    {
        study.name: {
            "pixel": compared.loc["pixel alone", study.name],
            "pixel, divided": auroc(study.y, raw["test"]["pixel"]),
            "latent": compared.loc["latent alone", study.name],
            "dual, equal weights": compared.loc["equal weights", study.name],
            "dual, equal weights, divided": auroc(study.y, Fusion.fit(raw["held"])(raw["test"])),
            "PCA, divided": pca_seeds[study.name][0],
        }
        for study, raw in zip(studies, ratios, strict=True)
    }
)
finds["divided"] = ratios[0]["test"]["pixel"] > threshold_at(ratios[0]["held"]["pixel"], 0.05)
divided_finds = finds["divided"][(y == 1) & ~finds["latent"]].mean()
print(
    f"of the anomalies that latent misses on bags, the divided pixel score finds {100 * divided_finds:.0f} %, with "
    f"{100 * finds['divided'][y == 0].mean():.1f} % false alarms"
)
for part, row in (("pixel", "pixel, divided"), ("dual", "dual, equal weights, divided")):
    of = [100 * five.loc[f"divided_{part}_{i}", ["min", "max"]].astype(float) for i in (1, 2, 3)]
    print(f"{row}, five seeds:", ", ".join(f"{low:.1f} to {high:.1f}" for low, high in of))
(100 * rival).round(1)

# %% [markdown]
# One division lifts the pixel score of bags by {{ divided_pixel_1 - pixel_1 | pct0 }} points. Of what the
# latent score misses it now finds {{ divided_finds_missed | pct0 }} %, with other seeds up to
# {{ divided_seeds_high | pct0 }} %. And with each the fused score is better than *both* its parts, here within two
# points of "+ FC".
# Mending a score brought more than weighing it.
#
# On the other two classes the divided pixel score alone is better still. And PCA, divided, needs no network: it
# is first on bags and boots, and level on trousers.
#
# But the idea came on bags, while looking at test images; digits had no say in it. So here are all classes of
# both sets, trained on *all* images, with one seed. "Division alone" is what a plain autoencoder gains by the
# division and equal weights; all else has separation weights. **Predict:** does PCA, divided, stay ahead?
# %% tags=["machinery"]
linear_by_class = pd.read_csv(results_folder() / "benchmark_divided.csv").query("part == 'pca'")
linear_by_class = linear_by_class.set_index(["dataset", "normal_class"]).divided
ten_rows += [
    {
        **row,
        "detector": "linear",
        "score": "dual",
        "auroc": linear_by_class[row["dataset"], int(row["normal_class"])],
    }
    for row in main
    if row["dataset"] in sets and row["detector"] == "pca"
]
compare = {
    "+ D": ("dualad_d", "autoencoder"),
    "+ FC": ("dualad_d_fc", "dualad_d"),
    "+ MI": ("dualad", "dualad_d_fc"),
    "division alone": ("divided", "autoencoder"),
    "division minus DualAD": ("divided", "dualad"),
    "PCA, divided, minus DualAD": ("linear", "dualad"),
}
ten = pd.DataFrame(
    {
        (title, line): tables.paired(ten_rows, data, (one, "dual"), (other, "dual"))
        for data, title in sets.items()
        for line, (one, other) in compare.items()
    }
).T
figure = plots.paired_differences(ten, "points of AUROC")
listed = "; ".join(
    f"{a}, {b}: {r['mean']:+.1f} ({r.low:+.1f} to {r.high:+.1f})" for (a, b), r in ten.iterrows()
)
plots.show(figure, alt=f"Mean differences over ten classes with their 95 % intervals. {listed}.")
shown = {"autoencoder": "plain", "divided": "divided", "dualad": "DualAD", "linear": "PCA, divided"}
one_seed = [row for row in ten_rows if int(row["seed"]) == 0]
for data, title in sets.items():
    scores = tables.by_class(one_seed, data).xs("dual", level="score").loc[[*shown]]
    print(f"{title:14}", *(f"{name:>13}" for name in shown.values()))
    for label, column in zip([*DATASETS[data], "mean"], scores.T.to_numpy(), strict=True):
        print(f"  {label:12}", *(f"{value:13.1f}" for value in column))
behind = tables.paired(ten_rows, "mnist", ("dualad", "dual"), ("divided", "dual"))
both = tables.paired(ten_rows, "fashion_mnist", ("both", "dual"), ("package", "dual"))
print(
    f"Fashion-MNIST, the division on top of + FC, equal weights in both: {both['mean']:+.2f} "
    f"({both.low:+.2f} to {both.high:+.2f})"
)


clothes = tables.by_class(one_seed, "fashion_mnist").drop(columns="mean").xs("dual", level="score")
gain = (clothes.loc["divided"] - clothes.loc["autoencoder"]).drop(clothes.columns[8])  # without bags


def half(row):
    return row.high - row["mean"]


# %% [markdown]
# **Which part earned its place?** In DualAD, the package called FC. (On other classes no run separates reading
# from copies.) Mutual information brings nothing on clothes, and on digits it loses less than a tenth of a point.
#
# But on clothes one division brings a plain autoencoder nearly as much, {{ division_fashion | f1 }} points, and
# ten classes cannot tell the result from the whole DualAD. On digits DualAD stays ahead, by
# {{ behind_mnist | f1 }}. The two hardly add up: on top of the package the division brings half a point.
#
# And PCA, divided? With all training images DualAD is ahead of it on both sets, by
# {{ behind_pca_fashion | f1 }} on clothes and {{ behind_pca_mnist | f1 }} on digits. On the
# photographs of CIFAR-10 the package brings some thirty points (lesson 03); there no division was tried.
#
# <details><summary>How PCA was measured here</summary>
#
# PCA with its 32 directions and the division, as lesson 01 tried them on development splits. (The idea itself
# came on test bags; without bags the division alone brings {{ division_without_bags | f1 }} points on clothes.)
# The intervals are Student's over the classes. `python tests/benchmarks/divided.py --parts pca` measured it, in half
# a minute.
#
# </details>
#
# ## 6. An alarm with a promise
#
# AUROC needs no threshold. An alarm does. Take the scores of the $n$ held-out normal images in order, and set the
# threshold at number
#
# $$r=\lceil(n+1)(1-\alpha)\rceil$$
#
# from below. Here is the promise: a new normal image that comes from the same source as the held-out ones is
# equally likely to fall into each of the $n+1$ gaps between them, so it exceeds number $r$ with a chance of
# at most $\alpha$, whatever the shape of the scores (Vovk et al., 2005).
#
# One trap: the held-out images also set scales and weights, and would judge themselves. So the library scores
# each with scales and weights that the *others* set, and then the promise holds nearly, not exactly.
# %%
full = fitted["+ MI"]
alpha = full.false_alarm_rate
c = full.calibration_scores_  # of the held-out bags
r = math.ceil((len(c) + 1) * (1 - alpha))
print(f"n = {len(c)}, r = {r}: {np.sum(c > full.threshold_)} held-out scores lie above the threshold")
alarm = found["+ MI"].dual > full.threshold_
fa, caught = alarm[y == 0].mean(), alarm[y == 1].mean()
print(f"promised at most {100 * alpha:.0f} % false alarms; on the test bags {100 * fa:.1f} %")
print(f"caught among all that is no bag: {100 * caught:.0f} %")

# %% [markdown]
# We promised at most 5 % and measured {{ fa_full | pct }} %. But the promise is an average over all held-out sets
# that might have been drawn, and ours is one. Mix the held-out scores with those
# of the test bags, which trained nothing either, and deal anew {{ n_dealt }} times. This is no test of the
# detector: the mean *must* come out right, and shuffling would hide even a leak. A test has to train anew; the
# last lines printed do, with five seeds.
#
# **Predict:** how far do single false-alarm rates lie from their mean, and how much do the catches vary?
# %%
normal_scores = np.concatenate([full.calibration_scores_, found["+ MI"].dual[y == 0]])
anomalous_scores = found["+ MI"].dual[y == 1]
rates, catches = [], []
for _ in range(n_splits):
    dealt = random.permutation(normal_scores)
    threshold = threshold_at(dealt[: len(c)], alpha)
    rates.append(np.mean(dealt[len(c) :] > threshold))
    catches.append(np.mean(anomalous_scores > threshold))
rates, catches = np.array(rates), np.array(catches)
(fa_low, fa_high), (caught_low, caught_high) = (np.quantile(of, [0.025, 0.975]) for of in (rates, catches))
for name, of, low, high in (
    ("false alarms", rates, fa_low, fa_high),
    ("caught", catches, caught_low, caught_high),
):
    print(f"{name}: mean {100 * of.mean():.1f} %; 95 % of the deals {100 * low:.1f} to {100 * high:.1f} %")
own = bag.raw["test"]["latent"][y == 0]
trained_latent = own > threshold_at(bag.raw["train"]["latent"], alpha)
print(
    f"lesson 01's latent score, threshold from training images: {100 * trained_latent.mean():.0f} % false alarms"
)
for name, metric in (("false alarms", "fa_full"), ("caught", "found_full")):
    low, mean, high = (100 * five.loc[metric, which] for which in ("min", "mean", "max"))
    print(f"trained anew, five seeds, {name}: mean {mean:.1f} %, {low:.1f} to {high:.1f} %")

# %% tags=["machinery"]
figure, ((left, right),) = plots.canvas(9.6, 3.3, 1, 2)
for axis, of, ours, edges in (
    (left, rates, fa, np.arange(-0.25, 100 * rates.max() + 0.75, 0.5)),
    (right, catches, caught, np.arange(0, 101, 2.5)),
):
    axis.hist(100 * of, edges, color=plots.COLOURS[2] + "66", edgecolor=plots.COLOURS[2])
    axis.axvline(
        100 * of.mean(), color="black", linestyle=":", linewidth=2, label=f"mean of the deals: {100 * of.mean():.1f} %"
    )  # fmt: skip
    axis.axvline(
        100 * ours, color=plots.ANOMALOUS, linestyle="--", linewidth=1.8, label=f"ours: {100 * ours:.1f} %"
    )  # fmt: skip
left.axvline(100 * alpha, color="black", linewidth=1.6, label=f"promised: {100 * alpha:.0f} %")
left.set(xlabel="false alarms among new normal images (%)", ylabel="deals")
right.set(xlabel="anomalies caught at the same threshold (%)", xlim=(0, 100))
left.legend(loc="upper right", fontsize=9)
right.set_ylim(top=1.3 * right.get_ylim()[1])
right.legend(loc="upper left", fontsize=9, frameon=True, framealpha=1, edgecolor="none")
plots.show(
    figure,
    alt=f"Histograms over {n_splits} random deals. False alarms: mean {100 * rates.mean():.1f} %, 95 % of the deals "
    f"{100 * fa_low:.1f} to {100 * fa_high:.1f} %, promised {100 * alpha:.0f} %, ours {100 * fa:.1f} %. Anomalies "
    f"caught: mean {100 * catches.mean():.0f} %, 95 % of the deals {100 * caught_low:.0f} to "
    f"{100 * caught_high:.0f} %, ours {100 * caught:.0f} %.",
)

# %% [markdown]
# Single deals lie far apart, 95 % of them between {{ fa_low | pct0 }} and {{ fa_high | pct0 }} %. Whoever needs
# the promise for a *single* one must set a higher threshold, or hold out more images. (The right histogram has
# gaps, for the threshold is one of few high scores.) Trained anew, five seeds agree with the promise on average.
#
# "100 % false alarms" is the mistake to avoid: each image that *trained* the detector is its own nearest
# neighbour at distance zero, so the threshold is zero and every bag raises an alarm.
#
# ## What is still missing
#
# At an AUROC of {{ table_full_dual | pct }} our alarm catches anything from {{ found_seeds_low | pct0 }} to
# {{ found_seeds_high | pct0 }} % of the anomalies, as the seed will have it. Distrust a catch rate that comes
# without its spread. And bags on black are easy: on photographs, and on small defects of real parts, networks
# trained on nothing but one class do far worse ([RESULTS](../RESULTS.md)). They don't know what images look like.
#
# ## Recap
#
# - A second score helps when it errs on *other images*. A raw sum listens to the larger unit.
# - Standardise on held-out normal images, weigh by evidence, and remember that the evidence is made up.
# - Of DualAD's parts the package called FC is the large step. One division does nearly as much on clothes, and PCA,
#   divided, at least as much on a small sample of bags: compare a part with the simplest rival.
# - A threshold keeps its promise on average, to images like those that it was set on. What it catches depends on
#   the luck of the held-out images.
#
# **Next:** [lesson 06](06_features_that_know_images.ipynb) gives the same parts better eyes: features of a
# network that has seen a million photographs.

# %% tags=["machinery"]
weight_shares = [s.fusion.weights["pixel"] / sum(s.fusion.weights.values()) for s in studies]
single = compared.loc[["pixel alone", "latent alone"]].max()
record(
    share_pixel_raw=raw_shares["pixel"],
    share_pixel_standard=standard_shares["pixel"],
    auroc_raw_sum=auroc(y, raw_sum),
    latent_matches=float(np.abs(s_lat / bag.raw["test"]["latent"] - 1).max()),
    **{f"weight_pixel_{i}": w for i, w in enumerate(weight_shares, 1)},
    **{
        f"{short}_{i}": compared.loc[row].iloc[i - 1]
        for short, row in {
            "pixel": "pixel alone",
            "latent": "latent alone",
            "equal": "equal weights",
            "separation": "separation weights",
            "oracle": "oracle (not allowed)",
        }.items()
        for i in range(1, len(studies) + 1)
    },
    worst_equal=compared.loc["equal weights"].min(),
    worst_separation=compared.loc["separation weights"].min(),
    gain_oracle=(compared.loc["oracle (not allowed)"] - single).max(),
    table_pca=table.loc["PCA", "its one score"] / 100,
    table_pca_divided=table.loc["PCA, divided", "its one score"] / 100,
    table_knn=table.loc["nearest neighbour", "its one score"] / 100,
    **{
        f"table_{short}_{score}": table.loc[name, score] / 100
        for short, name in {"ae": "autoencoder", "d": "+ D", "fc": "+ FC", "full": "+ MI"}.items()
        for score in ("pixel", "latent", "dual")
    },
    **{
        f"gain_{short}": row["mean"] / 100
        for short, (_, row) in zip(steps_of, step_rows.iterrows(), strict=True)
    },
    **{
        f"gain_{short}_low": row["low"] / 100
        for short, (_, row) in zip(steps_of, step_rows.iterrows(), strict=True)
    },
    n_draws=n_bootstrap,
    n_held=len(c),
    n_dealt=n_splits,
    fa_full=fa,
    found_full=caught,
    fa_mean=rates.mean(),
    fa_low=fa_low,
    fa_high=fa_high,
    fa_below=np.mean(rates <= fa),
    found_mean=catches.mean(),
    found_low=caught_low,
    found_high=caught_high,
    found_seeds_low=five.loc["found_full", "min"],
    found_seeds_high=five.loc["found_full", "max"],
    n_false=int(np.sum(alarm[y == 0])),
    pca_seeds_low=min(pca_seeds[bag.name]),
    pca_seeds_high=max(pca_seeds[bag.name]),
    full_seeds_high=five.loc["table_full_dual", "max"],
    divided_seeds_low=five.loc["divided_finds_missed", "min"],
    divided_seeds_high=five.loc["divided_finds_missed", "max"],
    above_both=sum(above[data, "autoencoder"] for data in sets),
    fc_seeds_low=five.loc["gain_fc", "min"],
    oracle_high=five.loc["gain_oracle", "max"],
    weight_pixel_full=weights["pixel"] / sum(weights.values()),
    pixel_finds_missed=finds["pixel"][(y == 1) & ~finds["latent"]].mean(),
    pixel_false=finds["pixel"][y == 0].mean(),
    latent_finds_missed=finds["latent"][(y == 1) & ~finds["pixel"]].mean(),
    **{
        f"divided_{n}_{i}": rival.loc[row].iloc[i - 1]
        for n, row in {
            "pixel": "pixel, divided",
            "dual": "dual, equal weights, divided",
            "pca": "PCA, divided",
        }.items()
        for i in range(1, len(studies) + 1)
    },
    divided_finds_missed=divided_finds,
    gain_divided=rival[bag.name].pipe(
        lambda own: own["dual, equal weights, divided"] - own[["pixel, divided", "latent"]].max()
    ),
    division_fashion=ten.loc[("Fashion-MNIST", "division alone"), "mean"],
    division_without_bags=gain.mean(),
    behind_pca_fashion=-ten.loc[("Fashion-MNIST", "PCA, divided, minus DualAD"), "mean"],
    behind_pca_mnist=-ten.loc[("MNIST", "PCA, divided, minus DualAD"), "mean"],
    behind_mnist=behind["mean"],
    behind_mnist_half=half(behind),
    gain_both=both["mean"],
    gain_both_half=half(both),
    **{f"evidence_{data}": row["mean"] for data, row in by_evidence.items()},
    **{f"evidence_{data}_half": half(row) for data, row in by_evidence.items()},
    fa_trained_latent=trained_latent.mean(),
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** What does each change do to the *order* of the fused scores: `"same"` or `"can change"`?

# %%
answers = {
    "x1000, raw sum": None,  # pixel score times 1000, then pixel + latent
    "x1000, standardised": None,  # pixel score times 1000, then LogStandard and a weighted mean
    "squared, standardised": None,  # pixel score squared, then the same
    "plus 1, standardised": None,  # 1 added to each pixel score, then the same
    "weights doubled": None,  # both weights of the Fusion times 2
    "one image removed": None,  # another TEST image is left out
}
checks.check_fusion_changes(answers)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write the standardised logarithm of $a \cdot s$ and of $s^p$. What becomes of the factor, what of the power?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Adding a constant is the odd one out: $\log(1 + s)$ is no shift and no factor of $\log s$.
#
# </details>
# <details><summary>Solution</summary>
#
# Can change, same, same, can change, same, same. In a raw sum a factor decides who has the say. The logarithm
# turns a factor into a shift and a power into a factor, and standardising takes away shifts and factors. Adding
# 1 is neither: $\log(1 + s)$ is nearly a straight line for small $s$, so it is another score. The weights are
# divided by their sum. And a score that changes with the other test images would be a leak.
#
# </details>
#
# **2. Code.** Write the threshold with the promise, without the library.


# %%
def my_threshold(calibration, rate):
    """calibration: (n,) scores of held-out normals, in no order. The smallest threshold that keeps the promise."""
    raise NotImplementedError


checks.check_threshold(my_threshold)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The new image is one more draw from the same urn: among $n + 1$ scores each rank is equally likely for it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sort, and take the score of rank $\lceil (n + 1)(1 - \alpha) \rceil$, counted from 1. If there is none, take
# the largest.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def my_threshold(calibration, rate):
#     n = len(calibration)
#     r = math.ceil((n + 1) * (1 - rate))
#     return np.sort(calibration)[min(r, n) - 1]
# ```
#
# With fewer than $1 / \alpha - 1$ images the promise can't be kept; the largest score is all there is.
#
# </details>
#
# **3. Explain.** A colleague writes: "We set the weight of the latent score to 50, which gave the best AUROC on
# half of the test images; we report on the other half." Which leak is this, which is it not, and what does the
# number 50 mean on another data set?
#
# <details><summary>Hint</summary>
#
# Three questions: Who chose? Who reported? And what unit has the number 50, if it adds a squared pixel error
# to a squared length of codes?
#
# </details>
# <details><summary>Solution</summary>
#
# The reported images did not choose, so the number is right on average for this procedure. But the procedure
# needs labelled anomalies of the very kinds it is tested on, so it is no one-class method and belongs in
# another column. And 50 has units: (squared error per pixel) per (squared length of a code). With another image
# size, code length or training the same 50 gives one part all the say, as in section 2.
#
# </details>
#
# **4. Explain.** Somebody tries the weights of section 4 without the kinds "mix" and "erode", sees the AUROC of
# ankle boots rise, and keeps it that way. Why may the better number *not* be reported, and on which data could
# the choice have been made?
#
# <details><summary>Hint</summary>
#
# Which labels told that those two kinds mislead?
#
# </details>
# <details><summary>Solution</summary>
#
# The kinds were dropped after a look at test labels, so they became a tuned setting. Make the choice with
# `load_one_class(..., split="development")`, once for all classes, freeze it, and only then measure on the test
# set. The same goes for "equal or separation weights?", and for the three classes that we picked.
#
# </details>
#
# **5. Try.** Break the promise: count the alarms of `full` among *brighter* test bags, `(1.3 * x).clamp(0, 1)`
# with `x = task.test[y == 0].float() / 255`. Predict first. Which words of the promise no longer hold?
#
# <details><summary>Hint</summary>
#
# `full.anomaly_scores(images).dual` takes floats between 0 and 1 as well; compare with `full.threshold_`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# x = task.test[y == 0].float() / 255
# for factor in (1, 1.1, 1.3):
#     brighter = full.anomaly_scores((factor * x).clamp(0, 1)).dual
#     print(factor, 100 * np.mean(brighter > full.threshold_))
# ```
#
# We got 1.5, 2.5 and 7.5 %, and with two other seeds 3.5, 9.5 and 21 %, and 7.5, 14 and 28.5 %. They are the same
# bags, but no longer "from the same source as the held-out ones". Nothing warns us, for the threshold knows only
# the light that it was set in.
#
# </details>
#
# ## References
#
# - P. C. Mahalanobis. *On the generalised distance in statistics.* Proceedings of the National Institute of
#   Sciences of India 2, 1936.
# - V. Vovk, A. Gammerman, G. Shafer. *Algorithmic learning in a random world.* Springer, 2005.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
