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
# # 06 · The benchmark: reading and making tables
#
# {{ colab_badge }}
#
# Most numbers of the course so far came from one to three classes of a small sample. A table in a paper has ten
# classes, three data sets, many methods. This notebook first measures one cell of such a table. Then it reads the
# tables of this project, and sets published figures beside them.
#
# **After this lesson you will be able to**
#
# - measure one cell of a benchmark so that it can be trusted, and hundreds of them so that nothing is
#   lost;
# - tell the interval over seeds from the interval over classes, and say which question each answers;
# - compare two methods class by class;
# - say what a point of AUROC costs in seconds;
# - read a table of published figures with the suspicion it deserves.
#
# **You need** lessons 00 to 05.
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about half an hour of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

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
from dualad_lib.experiments.settings import profile_settings
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
detector = "dualad"
normal_class = 8  # 8 = bag
seed = 0
profile = "lesson"
cells_folder = None  # where finished cells are kept, one file each
datasets = ["mnist", "fashion_mnist", "cifar10"]  # whose committed tables are read below

# %% [markdown]
# ## 1. One cell
#
# A cell is one detector, trained on one class with one seed, scored on the whole test set. `measure` does
# that. Why not simply call `fit`? A table has hundreds of cells, and a computer stops now and then. Given a folder,
# `measure` therefore does three things more:
#
# - it keeps the cell as one file, written whole or not at all;
# - it reads that file instead of training again, as long as the detector's code and parameters are the same;
# - a training that was killed goes on where it was.
#
# `dualad reproduce` runs this notebook once for each cell, on as many cores, GPUs or machines as there are.
#
# One more number stands in the rows. The **half total error rate** (HTER, `hter`) is the mean of false-alarm rate and
# miss rate at the detector's own threshold (lesson 05: set for 5 % false alarms). A coin has 50 %. Only the final score
# has a threshold, so only that one has it.
#
# **Predict** for the full DualAD on bags: AUROC of the final score, FPR95, and HTER. If the AUROC is high, must HTER
# be low?

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
    label=detector,
)
columns = ["score", "auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds"]
pd.DataFrame(rows)[columns].round(3).astype(object).fillna("")

# %%
record(**{f"auroc_{row['score']}": row["auroc"] for row in rows})
record(**{f"final_{name}": rows[-1][name] for name in ("auroc", "fpr95", "hter")})

# %% [markdown]
# The final score: AUROC {{ final_auroc | pct }} %, FPR95 {{ final_fpr95 | pct }} %, HTER {{ final_hter | pct }} %. A
# good order, and an alarm that is not so good. With test labels one could choose the threshold that finds 95 % of the
# anomalies: {{ final_fpr95 | pct }} % false alarms, and a half total error of {{ 50 * (final_fpr95 + 0.05) | f1 }} %.
# The detector has no such labels. If its own threshold keeps the promise of 5 % false alarms, it misses
# {{ 200 * final_hter - 5 | int }} % of the anomalies. AUROC sees none of this.
#
# (The network is wider than in lesson 05's table and trains longer, so the numbers differ from those.)
#
# The table prints three decimals. How many of them are real? Other test images would give another number: that
# is the bootstrap interval of lesson 00. Another seed draws other first weights and other batches. Another
# class is another problem. The next sections take the last two apart.
#
# ## 2. The tables of this project
#
# `figures/results/tables_*.csv` holds a row for each score of each trained model: full data, ten
# classes, protocol P2. The column `command` says how each was made. All of our numbers below, and the tables of
# RESULTS.md, are drawn from these files.
#
# What was chosen, and on what? The last step of a fixed schedule always counts. The settings were chosen once, on
# development splits (lesson 00), and frozen. Those splits hold labelled images of the other classes, and a user with
# normal images alone has none. RESULTS.md names the classes that were used.
#
# The next table has AUROC in %, means over the ten classes. `dualad_d` is the autoencoder with $D$, `dualad_d_fc` has
# the Feature Constraint (FC) as well, `dualad` mutual information (MI) too.
#
# **Predict** two things before you look. Which of the three parts (+ $D$, + FC, + MI) adds most, and which least? And
# does the plain autoencoder beat one nearest neighbour on raw pixels? By its pixel score, by its latent score?

# %%
committed_rows = committed()
means = tables.mean_over_classes(committed_rows)
means = means[means.classes == 10]  # a mean over fewer classes is compared with nothing
means["mean"].unstack("dataset")[datasets].round(1).astype(object).fillna("")

# %%
beside = {
    "knn": ("knn", "score"),
    "pixel": ("autoencoder", "pixel"),
    "latent": ("autoencoder", "latent"),
    "full": ("dualad", "dual"),
}
record(**{f"{k}_{name}": means.loc[(name, *row), "mean"] for name in datasets for k, row in beside.items()})

# %% [markdown]
# The second question first. One nearest neighbour, the autoencoder's pixel score and its latent score:
#
# | | nearest neighbour | pixel | latent |
# |---|---|---|---|
# | MNIST | {{ knn_mnist | f1 }} | {{ pixel_mnist | f1 }} | {{ latent_mnist | f1 }} |
# | Fashion-MNIST | {{ knn_fashion_mnist | f1 }} | {{ pixel_fashion_mnist | f1 }} | {{ latent_fashion_mnist | f1 }} |
# | CIFAR-10 | {{ knn_cifar10 | f1 }} | {{ pixel_cifar10 | f1 }} | {{ latent_cifar10 | f1 }} |
#
# By its pixel score the autoencoder loses on all three. By its latent score it is ahead on MNIST and behind on the two
# others. The parts come in section 4.
#
# ### If it ran again
#
# How much would such a mean move with another seed? For each seed take the mean over the ten classes. With several
# seeds there are several such means, and from their spread an interval (Student's, which is wider where there are
# few). The next cell lists the methods that have several seeds. A method that is not listed has one. Then nobody knows
# how far its mean would move, and a difference of a few tenths should not impress you.

# %%
several = means[means.seeds > 1].round(2)
several if len(several) else print("one seed each so far: no interval")

# %% [markdown]
# An interval over seeds does not answer another question: *would this method win on other kinds of objects?* For that
# the classes are the sample.
#
# ## 3. Paired comparison
#
# Classes differ more than methods do: a hard class pulls every mean down. So compare two methods **in pairs**, on the
# same classes, difference by difference. A class that is hard for both then costs neither.
#
# We compare the full DualAD with two cheap detectors, and with itself with one, two or three parts left out. `mean` is
# the mean difference in points, `low` and `high` are the ends of its 95 % interval over the classes, `won` counts the
# classes on which the full detector has the higher AUROC.
#
# **Predict:** against which of the five does the interval hold zero?

# %%
rivals = [
    ("pca", "score"),
    ("knn", "score"),
    ("autoencoder", "dual"),
    ("dualad_d", "dual"),
    ("dualad_d_fc", "dual"),
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
pairs.round(2)

# %%
figure = plots.paired_differences(pairs, xlabel="AUROC of the full DualAD minus that of the other, in points")
plots.show(
    figure,
    alt="Mean difference over the classes with its 95 % interval, for each data set and rival. "
    + "; ".join(f"{a}, {b}: {r['mean']:+.1f}" for (a, b), r in pairs.iterrows()),
)

# %% [markdown]
# Read it like this. An interval right of zero: the full detector is better on classes *like these*. One that holds
# zero: these ten classes cannot tell. One left of zero: it is worse.
#
# Against four of the five rivals every interval lies right of zero, on all three data sets. The fifth lacks mutual
# information alone. The axis has to reach to 40, so on the grey data sets its interval is hidden under the marker:
# take the numbers from the table. On MNIST {{ mean_dualad_mnist | f2 }} points, from {{ low_dualad_mnist | f2 }} to
# {{ high_dualad_mnist | f2 }}: all of it left of zero. The full detector is *worse* there, by less than a tenth of
# a point. On Fashion-MNIST {{ mean_dualad_fashion_mnist | f2 }} and on CIFAR-10 {{ mean_dualad_cifar10 | f2 }}, and
# both intervals hold zero.
#
# How far can you trust the interval? It is a rough guide. It treats the ten classes as a random sample, and they are
# none; each is also an anomaly in the other nine tasks. "won" assumes nothing about the size of a difference. Eight of
# ten sounds like much. A fair coin, thrown ten times, is as one-sided as that or more in one series out of nine.
#
# ## 4. Which part earns its place?

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

# %% [markdown]
# AUROC in %; each panel has its own colours; a gap is not measured yet.
#
# Go along a row to see what fusing adds. For the autoencoder the dual score is above both single ones, on all three
# data sets, and for + D on the grey ones. From the Feature Constraint on, it is the latent score, within about two
# tenths of a point: the fusion gives the weaker pixel score next to no weight (lesson 05 printed the weights).
#
# Go down a column to see what a part adds to a score. The pixel column of CIFAR-10 hardly moves, whatever joins: all
# that the parts bring there, they bring to the code.
#
# As numbers: what each part adds to the dual score when it joins those above it, in points, with the interval
# over the classes. Is the order the one that you wrote down in section 2?

# %%
steps = {name: tables.steps(committed_rows, name) for name in parts}
steps = pd.concat({name: table for name, table in steps.items() if len(table)})
steps.round(2)

# %%
record(
    **{
        f"{what}_{part}_{name}": steps.loc[(name, part), what]
        for name in datasets
        for part in ("dualad_d", "dualad_d_fc", "dualad")
        for what in ("mean", "low", "high", "won")
    }
)

# %% [markdown]
# In points on MNIST, Fashion-MNIST and CIFAR-10, and in brackets how many of the ten classes gained:
#
# - **FC**: {{ mean_dualad_d_fc_mnist | f2 }} ({{ won_dualad_d_fc_mnist | int }}),
#   {{ mean_dualad_d_fc_fashion_mnist | f2 }} ({{ won_dualad_d_fc_fashion_mnist | int }}) and
#   {{ mean_dualad_d_fc_cifar10 | f2 }} ({{ won_dualad_d_fc_cifar10 | int }}). It earns its place on all three.
# - **D**: {{ mean_dualad_d_mnist | f2 }} ({{ won_dualad_d_mnist | int }}), {{ mean_dualad_d_fashion_mnist | f2 }}
#   ({{ won_dualad_d_fashion_mnist | int }}) and {{ mean_dualad_d_cifar10 | f2 }} ({{ won_dualad_d_cifar10 | int }}). A
#   few tenths on the grey data sets. On CIFAR-10 most classes lose by it, though the interval just holds zero.
# - **MI**: {{ mean_dualad_mnist | f2 }} ({{ won_dualad_mnist | int }}), {{ mean_dualad_fashion_mnist | f2 }}
#   ({{ won_dualad_fashion_mnist | int }}) and {{ mean_dualad_cifar10 | f2 }} ({{ won_dualad_cifar10 | int }}). Nothing
#   on the grey data sets, and nothing on CIFAR-10, where it comes with a contrastive term between strong views of an
#   image.
#
# Be careful with the first line. FC is a package of five changes: it reads $h$, averages over copies, trains on copies,
# and adds a critic and a sphere. Lesson 03 took it apart. On the bags of the sample the first three changes made the
# gain. On full data the critic made most of it, on T-shirts, coats and bags, and the sphere nothing (RESULTS.md
# has that table). So do not read this line as praise for a sphere. Nor does a mean say that all classes gained: count
# them.
#
# ## 5. What it costs
#
# Median seconds a class, training and scoring the test set: of the grey data sets on two CPU cores, of CIFAR-10 two
# classes at a time, on one core each. (The median, because some cells ran beside other work. A second or two means
# nothing.)
#
# **Predict:** how many times as long as the plain autoencoder does the full DualAD take, on grey images and on
# CIFAR-10? Which part makes the difference?

# %%
costs = tables.cost(committed_rows)
costs.unstack("dataset").swaplevel(axis=1)[datasets].round(1).astype(object).fillna("")

# %%
seconds = {name: {d: costs.loc[(name, d)].sum() for d in ("knn", *parts[name].index)} for name in parts}
record(**{f"seconds_{d}_{name}": spent for name, row in seconds.items() for d, spent in row.items()})

# %% [markdown]
# Training and scoring together, on Fashion-MNIST: autoencoder {{ seconds_autoencoder_fashion_mnist | int }} s, + D
# {{ seconds_dualad_d_fashion_mnist | int }}, + FC {{ seconds_dualad_d_fc_fashion_mnist | int }}, + MI
# {{ seconds_dualad_fashion_mnist | int }}. On CIFAR-10: {{ seconds_autoencoder_cifar10 | int }},
# {{ seconds_dualad_d_cifar10 | int }}, {{ seconds_dualad_d_fc_cifar10 | int }}, {{ seconds_dualad_cifar10 | int }}. The
# whole is {{ seconds_dualad_fashion_mnist / seconds_autoencoder_fashion_mnist | f1 }} and
# {{ seconds_dualad_cifar10 / seconds_autoencoder_cifar10 | f1 }} times the autoencoder. The part that brings the points
# is the one that costs: FC trains on and scores several copies of each image.
#
# One nearest neighbour takes {{ seconds_knn_fashion_mnist | int }} s a class, and {{ seconds_knn_cifar10 | int }} on
# CIFAR-10. On Fashion-MNIST the full DualAD is {{ full_fashion_mnist - knn_fashion_mnist | f1 }} points above it, on
# CIFAR-10 {{ full_cifar10 - knn_cifar10 | f1 }}. A point of AUROC has a price. Whether it is a good one depends on what
# a missed anomaly costs *you*.
#
# ## 6. Published figures
#
# Tables in papers set rows from other papers beside their own. So do we, with a column that most leave out: the
# verdict. It compares our dual score with the published mean (a difference under one point is no ranking), or says what
# is known against that mean.
#
# **Predict:** on which data set do most published rows stand above ours? What will they have in common?

# %%
published = pd.concat({name: tables.beside_published(committed_rows, name) for name in datasets})
pd.set_option("display.max_colwidth", None)
published.round(1).astype(object).fillna("")

# %% [markdown]
# Leave AGAD aside for a moment. Then every row that is above ours by a point or more is on CIFAR-10, and of one of
# two kinds: contrastive ones (CSI, UniCon-HA), and features that were trained on other images (the last three).
#
# Three habits for such a table.
#
# - **Who ran it?** Deep SVDD and OCGAN lose 1 to 8 points when somebody else runs them.
# - **Too good?** When a method without labels is far above its whole family, ask for the code and test it:
#   shuffle the test set, score the images one by one. Lesson 00 shows how batch statistics see the test set, although
#   nobody gave it away on purpose. [Lesson 10](10_agad.ipynb) asks this of AGAD. Being far above proves nothing by
#   itself: when GEOM came out, it was far above too.
# - **What did it start from?** Features pretrained on a million images are another task. They are far ahead on
#   CIFAR-10. If you have photographs and no reason against it, use them.
#
# And a row above ours is there to be learned from. Ask what it paid: CSI and UniCon-HA train large networks for many
# epochs, ours has {{ seconds_dualad_cifar10 / 60 | int }} minutes of one core a class. GEOM once stood above ours. We
# learned from it: our critic names transformations too, four where GEOM has 72, and since it does so with a network
# that was built to learn much in little time, it is ahead.
#
# Then turn the habits on ours. Who ran it? We did, nobody else, with one seed or few. What did it start from? From
# nothing, with settings chosen on development splits (section 2).
#
# The paper of DualAD itself has no row: its tables were not available to us. Lesson 05 runs the configuration
# of its code.
#
# ## Recap
#
# - A cell is a function call with a file; a table is many of them, and none is done twice.
# - Seeds tell how repeatable a number is. Classes, in pairs, tell which method is better on classes like these.
# - Which part earns its place? On Fashion-MNIST D adds {{ mean_dualad_d_fashion_mnist | f2 }} points, FC
#   {{ mean_dualad_d_fc_fashion_mnist | f2 }}, MI {{ mean_dualad_fashion_mnist | f2 }}; on CIFAR-10
#   {{ mean_dualad_d_cifar10 | f2 }}, {{ mean_dualad_d_fc_cifar10 | f2 }} and {{ mean_dualad_cifar10 | f2 }}.
# - Cost stands beside quality, and a published figure beside what is known against it.
#
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
# ## References
#
# - J. Demšar. *Statistical comparisons of classifiers over multiple data sets.* JMLR 7, 2006.
# - L. Ruff et al. *Deep one-class classification.* ICML 2018.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
