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
# # 08 · The benchmark: reading and making tables
#
# {{ colab_badge }}
#
# Most numbers of the course came from one class of a small sample. A table in a paper has ten classes, three
# data sets and a dozen methods, and its rows differ by tenths of a point. Which of those tenths are real? In
# this lesson you measure one cell of such a table, then read the tables of this project, and at the end set
# published figures beside them.
#
# **After this lesson you will be able to**
#
# - measure one cell of a benchmark so that it can be trusted, and hundreds of them so that nothing is lost;
# - tell the interval over seeds from the interval over classes, and say which question each answers;
# - compare two methods class by class, and set what they cost beside what they gain;
# - read a table of published figures with the suspicion it deserves.
#
# **You need** lessons [00](00_start_here.ipynb) to [05](05_dual_scoring.ipynb).
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
from scipy.stats import t

from dualad_lib import plots
from dualad_lib.course import record
from dualad_lib.experiments import measure, tables
from dualad_lib.experiments.report import committed
from dualad_lib.experiments.results import study_rows
from dualad_lib.experiments.settings import profile_settings
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
detector = "dualad"
normal_class = 8  # 8: bag
seed = 0
profile = "lesson"
cells_folder = None  # where finished cells are kept, one file each
datasets = ["mnist", "fashion_mnist", "cifar10"]  # whose committed tables are read below

# %% [markdown]
# ## 1. One cell
#
# A cell is one detector, trained on one class with one seed, and scored on the whole test set. `measure` does
# that. Why not simply call `fit`? A table has hundreds of cells, and now and then a computer stops. Given a
# folder, `measure` keeps each cell as one file, written whole or not at all; it reads that file instead of
# training again, as long as the detector's code and parameters are the same; and a training that was killed
# goes on where it was.
#
# One more number stands in the rows. The **half total error rate** (HTER) is the mean of false-alarm rate and
# miss rate at the detector's own threshold, which was set for 5 % false alarms on held-out images (lesson 05).
# A coin has 50 %. FPR95 is the false-alarm rate of the threshold that finds 95 % of the anomalies, which one
# could only choose with the labels of the test set.
#
# **Predict** for the full DualAD on bags: if the AUROC is high, must the HTER be low?

# %%
rows = measure(
    detector,
    dataset,
    normal_class,
    seed=seed,
    profile=profile,
    params=profile_settings(profile, dataset, detector),
    output=cells_folder,
    command=f"dualad run 08_benchmark -p dataset {dataset} -p detector {detector}",
)
columns = ["score", "auroc", "fpr95", "hter", "train_seconds", "score_seconds"]
pd.DataFrame(rows)[columns].round(3).astype(object).fillna("")

# %% [markdown]
# The order is good, and the alarm is not as good: with an AUROC of {{ final_auroc | pct }} %, the detector's own
# threshold still has a half total error of {{ final_hter | pct }} %. By FPR95 a threshold with
# {{ final_fpr95 | pct }} % false alarms would find 95 % of the anomalies: the order is there, the line lies
# elsewhere. AUROC never asks where.
#
# The table prints three decimals. How many of them are real? Other test images would give another number; that is
# lesson 00's bootstrap. Another seed draws other first weights. And another class is another problem.
#
# ## 2. The tables of this project
#
# `figures/results/tables_*.csv` holds a row for each score of each trained model: full data, ten classes,
# protocol one_vs_rest, and the command that made it. What was chosen, and on what? The last step of a fixed
# schedule always counts. The settings were chosen once, on development splits (lesson 00), and frozen;
# RESULTS.md names their classes.
#
# Below is the mean AUROC over the ten classes, of the fused score where a detector has two. `dualad_d` is the
# autoencoder with the image discriminator, `dualad_d_fc` has the Feature Constraint as well, and `dualad` mutual
# information too. `divided` is lesson 05's simple rival: the plain autoencoder, its squared error divided by the
# roughness of the image, fused with equal weights. It was measured on the two grey sets.
#
# Three classics are new: an *isolation forest* cuts at random pixels and asks how soon an image stands alone, a
# *one-class SVM* (`ocsvm`) draws a border around the normal images, and a *kernel density* (`kde`) asks how many lie
# near.
#
# **Predict** before you look: which of the three parts adds most, and which least? And does the plain
# autoencoder beat one nearest neighbour on raw pixels?
# %%
divided = [
    {**row, "detector": "divided", "setting": ""}
    for row in study_rows("pixel_score")
    if (row["detector"], row["setting"]) == ("autoencoder", "relative, equal weights")
]
committed_rows = [*committed(), *divided]
means = tables.mean_over_classes(committed_rows)
means = means[means.classes == 10]  # a mean over fewer classes is compared with nothing
final = means[means.index.get_level_values("score").isin(["score", "dual"])]["mean"]
table = final.droplevel("score").unstack("dataset")[datasets]
order = ["pca", "knn", "isolation_forest", "ocsvm", "kde", "autoencoder", "divided"]
order += ["dualad_d", "dualad_d_fc", "dualad"]
table.loc[order].round(1).astype(object).fillna("")

# %% [markdown]
# One line stands apart: with the Feature Constraint, the mean on CIFAR-10 jumps from {{ without_fc_cifar10 | f1 }} to
# {{ with_fc_cifar10 | f1 }}. Mutual information adds nothing anywhere, and on CIFAR-10 the discriminator even costs.
# And the plain autoencoder beats one nearest neighbour, which learns nothing, on MNIST alone.
#
# How much would such a mean move with another seed? Whoever has several seeds can take one mean for each of them, and
# from the spread of those means an interval. Only the full DualAD has several, three on the grey sets (RESULTS.md: ±
# 0.1 and ± 0.2) and two on CIFAR-10; every other row has one, and nobody knows how far it would move. So a few tenths
# should not impress you. (Pairs, below, use only seeds that both have, so they can differ from this table by a tenth
# or two.)
#
# Nor does an interval over seeds answer the other question: *would this method win on other kinds of objects?*
# For that, the classes are the sample.
#
# ## 3. Compare in pairs
#
# Classes differ a lot, and one hard class pulls every mean down. So we compare two methods **in pairs**: on the
# same classes, difference by difference. A class that is hard for both then costs neither. The figure has the mean
# difference between the full DualAD and six others, with its 95 % interval over the classes; mind the three scales.
#
# **Predict:** against which of the six does an interval hold zero?

# %%
rivals = [
    ("pca", "score"),
    ("knn", "score"),
    ("autoencoder", "dual"),
    ("dualad_d", "dual"),
    ("dualad_d_fc", "dual"),
    ("divided", "dual"),
]
ours = ("dualad", "dual")
known = set(means.index)
pairs = pd.DataFrame(
    {
        (name, rival[0]): tables.paired(committed_rows, name, ours, rival)
        for name in datasets
        for rival in rivals
        if {(name, *ours), (name, *rival)} <= known
    }
).T

# %% tags=["machinery"]
figure, (axes,) = plots.canvas(10.5, 2.9, 1, len(datasets), sharey=True)
for axis, name in zip(axes, datasets, strict=True):
    for place, (rival, _) in enumerate(rivals):
        if (name, rival) in pairs.index:
            row = pairs.loc[name, rival]
            reach = [[row["mean"] - row.low], [row.high - row["mean"]]]
            axis.errorbar(row["mean"], place, xerr=reach, fmt="o", color=plots.COLOURS[0], capsize=3)
        else:
            axis.annotate("not measured", (0, place), (6, -3), textcoords="offset points", fontsize=8)
    axis.axvline(0, color="black", linewidth=0.9, linestyle=":")
    axis.set(title=name, xlabel="points of AUROC")
axes[0].set_yticks(range(len(rivals)), [f"minus {rival}" for rival, _ in rivals])
axes[0].set_ylim(len(rivals) - 0.5, -0.5)
plots.show(
    figure,
    alt="The full DualAD minus each rival, mean over the classes with its 95 % interval, a panel with a scale of its "
    "own for each data set. "
    + "; ".join(
        f"{a}, {b}: {r['mean']:+.1f} ({r.low:+.1f} to {r.high:+.1f})" for (a, b), r in pairs.iterrows()
    ),
)

# %% [markdown]
# An interval to the right of zero says that the full detector is better on classes *like these*. One that holds
# zero says that these ten classes cannot tell. Against the first four, every interval lies right of zero. The fifth
# lacks mutual information alone. On Fashion-MNIST and CIFAR-10 the interval holds zero. On MNIST, hidden behind its
# dot, it just does not: {{ mean_dualad_mnist | f2 }} points, {{ low_dualad_mnist | f2 }} to
# {{ high_dualad_mnist | f2 }}, on one seed. Another seed moves the mean as much, so call it nothing.
#
# The sixth is one division, and nearly as good as the whole. DualAD is ahead of it by
# {{ mean_divided_mnist | f1 }} points on MNIST ({{ low_divided_mnist | f1 }} to {{ high_divided_mnist | f1 }});
# on Fashion-MNIST, with {{ mean_divided_fashion_mnist | f1 }} ({{ low_divided_fashion_mnist | f1 }} to
# {{ high_divided_fashion_mnist | f1 }}), ten classes cannot tell.
#
# The interval is a rough guide. It treats the ten classes as a random sample, and they are none: each of them
# is also an anomaly in the other nine tasks. Counting wins assumes less, and says less. Eight of ten sounds
# like much, but a fair coin, thrown ten times, is as one-sided as that in one series out of nine.
#
# ## 4. Which part earns its place?
#
# What does each part add to the fused score when it joins those above it, in points? The figure has the means,
# stage by stage and score by score; the table has the steps, with the number of classes that gained.
# %%
parts = {name: tables.ablation(committed_rows, name) for name in datasets}
parts = {name: table for name, table in parts.items() if len(table)}
figure = plots.ablation_heatmap(parts)
plots.show(
    figure,
    alt="Mean AUROC of each stage (rows) and score (columns), a panel for each data set. "
    + " ".join(
        f"{name}: "
        + "; ".join(f"{stage} dual {row.dual:.1f}" for stage, row in table.dropna().iterrows())
        + "."
        for name, table in parts.items()
    ),
)

# %%
steps = {name: tables.steps(committed_rows, name) for name in parts}
steps = pd.concat({name: table for name, table in steps.items() if len(table)})
steps.round(2)

# %% [markdown]
# The Feature Constraint earns its place on all three data sets; on CIFAR-10 it brings
# {{ mean_dualad_d_fc_cifar10 | f1 }} points. The discriminator adds a few tenths on grey images; on CIFAR-10 it
# lost on eight of ten classes, but the interval holds zero. Mutual information, there with a contrastive term, adds
# nothing.
#
# Be careful with the name of the winner. "Feature Constraint" is a package: it reads the feature map, trains on
# copies, averages over copies, and adds a critic and a sphere. Lesson 03 took it apart, and RESULTS.md does so on
# all images of three classes of each grey set, one seed. The copies bring most of the gain on clothes, the critic
# more than half on digits, and the sphere nothing on top. On CIFAR-10 nobody has taken it apart. So do not read
# this line as praise for a sphere.
#
# ## 5. What it costs
#
# Median seconds a class, for training and for scoring the test set. They were measured on two CPU cores; on CIFAR-10
# the four networks had one core each.
#
# **Predict:** how many times as long as the plain autoencoder does the full DualAD take on grey images? Which
# part makes the difference?
# %%
costs = tables.cost(committed_rows)
costs = costs.unstack("dataset").swaplevel(axis=1)[datasets]
costs.loc[["knn", "autoencoder", "dualad_d", "dualad_d_fc", "dualad"]].round(1).astype(object).fillna("")

# %% [markdown]
# On Fashion-MNIST the whole takes {{ times_fashion_mnist | f1 }} times as long as the autoencoder, and most of it
# goes to the part that brings the points: it trains on copies of each image and scores several. (Don't read
# CIFAR-10 row by row: some cells ran beside other work, and a discriminator cannot shorten a training.) A point of
# AUROC has a price. Whether it is a good one depends on what a missed anomaly costs *you*, and on the cheapest
# rival: the division costs no second of training.
#
# ## 6. Published figures
#
# Papers set rows from other papers beside their own, and so do we. Each dot below is a published mean, and the
# line is our DualAD.
#
# **Predict:** on which data set do the most published figures lie above ours? What will those methods have in
# common?

# %% tags=["machinery"]
published = {name: tables.beside_published(committed_rows, name) for name in datasets}
figure, axes = plots.canvas(11, 4.4, 1, len(datasets))
doubt = "artefact"
for axis, (name, rows_of) in zip(axes[0], published.items(), strict=True):
    rows_of = rows_of.sort_values("published")
    for place, (_, row) in enumerate(rows_of.iterrows()):
        odd = doubt in row.verdict
        axis.plot(
            row.published,
            place,
            "s" if odd else "o",
            color="#d55e00" if odd else "#0072b2",
            mfc="none" if odd else None,
        )
    axis.axvline(final[name, "dualad", "dual"], color="black", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(rows_of)), rows_of.method, fontsize=8)
    axis.set(title=name, xlabel="published AUROC (%)")
    axis.grid(axis="x", alpha=0.4)
plots.show(
    figure,
    alt="Published mean AUROC of a dozen methods, a panel for each data set; a dashed line is DualAD as measured. "
    + " ".join(
        f"{name}: {(r.published > final[name, 'dualad', 'dual']).sum()} of {len(r)} lie above the line."
        for name, r in published.items()
    )
    + " A hollow square marks AGAD, very likely an artefact of its evaluation.",
)

# %% [markdown]
# Leave the hollow square, AGAD, aside for a moment. Then every figure that is above ours by a point or more is
# on CIFAR-10, and of one of two kinds: contrastive methods with large networks (CSI, UniCon-HA), and features
# that were trained on other images (PANDA, Mean-Shifted, GeneralAD).
#
# Three habits for such a table:
#
# - **Who ran it?** A method often loses some points when somebody else runs it.
# - **Too good?** When a method without labels is far above its whole family, ask for the code and test it:
#   shuffle the test set, score the images one by one. [Lesson 12](12_how_to_read_a_paper.ipynb) does this to
#   AGAD. Being far above proves nothing by itself: when GEOM came out, it was far above too.
# - **What did it start from?** Features pretrained on a million images are another task. If you have
#   photographs and no reason against such features, use them (lesson 06).
#
# And a row above ours is there to be learned from. GEOM once stood above ours. Our critic names transformations
# too, four on CIFAR-10 where GEOM has 72, and with newer networks and training it is ahead now.
#
# Then turn the habits on us. Who ran it? We did, nobody else, with one seed or few. What did it start from?
# From nothing, with settings chosen on development splits. And the paper of DualAD itself has no row, because
# its tables were not available to us; [appendix A2](A2_published_dualad.ipynb) runs the configuration of its
# code.
#
# ## Recap
#
# - A cell is a function call with a file; a table is many of them, and none is done twice.
# - Seeds tell how repeatable a number is. Classes, in pairs, tell which method is better on classes like these.
# - Cost stands beside quality, and a published figure beside what is known against it.

# %% tags=["machinery"]
spent = {name: costs[name].sum(axis=1) for name in datasets}
record(
    **{f"auroc_{row['score']}": row["auroc"] for row in rows},
    **{f"final_{name}": rows[-1][name] for name in ("auroc", "fpr95", "hter")},
    without_fc_cifar10=final["cifar10", "dualad_d", "dual"],
    with_fc_cifar10=final["cifar10", "dualad_d_fc", "dual"],
    times_fashion_mnist=spent["fashion_mnist"]["dualad"] / spent["fashion_mnist"]["autoencoder"],
    **{
        f"{what}_{part}_{name}": steps.loc[(name, part), what]
        for name in datasets
        for part in ("dualad_d", "dualad_d_fc", "dualad")
        for what in ("mean", "low", "high", "won")
    },
    **{
        f"{what}_divided_{name}": pairs.loc[(name, "divided"), what]
        for name in ("mnist", "fashion_mnist")
        for what in ("mean", "low", "high", "won")
    },
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** Three intervals: over `"seeds"`, over `"classes"`, over test `"images"`. Which one answers?

# %%
answers = {
    "would another first draw of weights move this mean?": None,
    "does A beat B on other kinds of objects?": None,
    "does this AUROC hold for 200 other photographs of the same class?": None,
    "was the best of three runs shown?": None,
    "is a gain on ten classes, each won by a little, more than luck?": None,
}
checks.check_intervals(answers)

# %% [markdown]
# <details><summary>Hint</summary>
#
# What would you have to draw again to see the number move: the weights, the kind of object, or the photographs?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# answers = {
#     "would another first draw of weights move this mean?": "seeds",
#     "does A beat B on other kinds of objects?": "classes",
#     "does this AUROC hold for 200 other photographs of the same class?": "images",
#     "was the best of three runs shown?": "seeds",
#     "is a gain on ten classes, each won by a little, more than luck?": "classes",
# }
# ```
#
# </details>
#
# **2. Code.** The paired comparison of section 3: the mean difference, and half of its 95 % interval.


# %%
def paired_interval(a, b):
    """a, b: (n,) AUROC of two methods on the same n classes. Returns (mean of a - b, half of the 95 % interval)."""
    raise NotImplementedError


checks.check_paired_interval(paired_interval)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Differences first. What the classes have in common is then gone.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The error of a mean of $n$ numbers is their deviation over $\sqrt n$. `t.ppf(0.975, n - 1)` of `scipy.stats` is
# Student's quantile.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def paired_interval(a, b):
#     d = a - b
#     return d.mean(), t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
# ```
#
# </details>
#
# **3. Explain.** Ten seeds of method A give a mean of 95.0 ± 0.1, ten of method B 94.7 ± 0.1. A reviewer
# says: A is better. What would you show, or ask for, before you agree?
#
# <details><summary>Hint</summary>
#
# Which question does an interval over seeds answer? And which did the reviewer ask?
#
# </details>
# <details><summary>Solution</summary>
#
# The intervals say that both numbers are repeatable on these classes. Ask for the differences class by
# class: 0.3 points may be one class in ten. Then ask what was tuned, on which split, and how often. A
# difference of 0.3 points is easily made by choosing the best of a few settings on the test set (lesson 00,
# leak 1).
#
# </details>
#
# **4. Try.** `dualad reproduce --profile smoke --executor python` measures a small table of digits in about
# a minute. Kill it half-way with Ctrl-C and start it again. Which cells are trained the second time?
#
# <details><summary>Solution</summary>
#
# Only those that have no line yet in `runs/reproduce-smoke/finished.log`; the others are read.
#
# </details>
#
# ## References
#
# - J. Demšar. *Statistical comparisons of classifiers over multiple data sets.* JMLR 7, 2006.
# - L. Ruff et al. *Deep one-class classification.* ICML 2018.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
