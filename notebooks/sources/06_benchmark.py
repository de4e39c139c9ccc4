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
# classes, three data sets, many methods. This notebook is one cell of such a table, and then the tables
# themselves.
#
# **After this lesson you will be able to**
#
# - measure one cell of a benchmark so that it can be trusted, and a thousand of them so that nothing is
#   lost;
# - tell the interval over seeds from the interval over classes, and say which question each answers;
# - compare two methods class by class;
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
    subprocess.run([*python, "dualad_lib.runs.environment"], check=True)  # light packages that are missing
    importlib.invalidate_caches()

from dualad_lib.runs.environment import describe

print(describe())

# %%
import numpy as np
import pandas as pd
from scipy.stats import t

from dualad_lib import checks, plots
from dualad_lib.runs import measure, record, tables
from dualad_lib.runs.report import committed
from dualad_lib.runs.settings import profile_settings

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
# that, and, when it is given a folder, three things more: it keeps the cell as one file, written whole or not
# at all; it reads the file instead of training again, as long as the detector's code and parameters are the
# same; and a training that was killed goes on where it was.
#
# `dualad reproduce` runs this notebook once for each cell, on as many cores, GPUs or machines as there are.

# %%
rows = measure(
    detector,
    dataset,
    normal_class,
    seed=seed,
    profile=profile,
    params=profile_settings(profile, dataset, detector),
    output=cells_folder,
    command=f"dualad run 06_benchmark -p dataset {dataset} -p detector {detector}",
    label=detector,
)
columns = ["score", "auroc", "average_precision", "fpr95", "hter", "train_seconds", "score_seconds"]
pd.DataFrame(rows)[columns].round(3).astype(object).fillna("")

# %%
record(**{f"auroc_{row['score']}": row["auroc"] for row in rows})

# %% [markdown]
# (`hter` is the mean of false-alarm and miss rate at the detector's own threshold; only the final score has
# one. The network here is wider than the one in lesson 05's table, so the numbers differ from those.)
#
# Numbers with three decimals. How many of them are real? Other test images would give another number: that
# is the bootstrap interval of lesson 00. Another seed draws other first weights and other batches. Another
# class is another problem. The next sections take the last two apart.
#
# ## 2. The tables of this project
#
# `figures/results/06_benchmark_*.csv` holds a row for each score of each trained model: full data, ten
# classes, protocol P2. The column `command` says how each was made. Everything below, and the tables of the
# README, is drawn from these files. AUROC in %, means over the ten classes; `dualad_d` is the autoencoder with
# $D$, `dualad_d_fc` has the Feature Constraint as well, `dualad` mutual information too.
#
# **Predict** two things before you look. Which of the three parts (+ $D$, + FC, + MI) adds most, and which least? And
# does the plain autoencoder beat one nearest neighbour on raw pixels? By its pixel score, by its latent score?

# %%
committed_rows = committed()
means = tables.mean_over_classes(committed_rows)
means = means[means.classes == 10]  # a mean over fewer classes is compared with nothing
means["mean"].unstack("dataset")[datasets].round(1).astype(object).fillna("")

# %% [markdown]
# Where a method was trained with several seeds there is an interval: Student's, of the seeds' means. It answers one
# question: *how much would this mean move if I ran it again?* The next cell lists the methods that have several
# seeds. Of all others there is one. Then nobody knows, and a difference of a few tenths should not impress you.

# %%
several = means[means.seeds > 1].round(2)
several if len(several) else print("one seed each so far: no interval")

# %% [markdown]
# It does not answer: *would this method win on other images?* For that, compare methods **in pairs**: on the
# same classes, difference by difference. A class that is hard for both then costs neither.
#
# ## 3. Paired comparison

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
# Read it like this. An interval (95 %) right of zero: the full detector is better on classes *like these*. One
# that holds zero: these ten classes cannot tell. One left of zero: it is worse. Does that occur? Look at the
# rival that lacks mutual information alone.
#
# The interval is a rough guide: it treats the ten classes as a random sample, and they are none; each is also
# an anomaly in the other nine tasks. "won" counts classes and assumes nothing about the size of a difference.
# Eight of ten sounds like much, and a fair coin does as well or as badly in one of nine series.
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
# AUROC in %; each panel has its own colours; a gap is not measured yet. Go down a column to see what a part
# adds to a score, and along a row to see what fusing adds: on the two grey data sets the dual score of the
# autoencoder, and of + D, is above both single ones. With the Feature Constraint it equals the latent score,
# because the fusion gives the weak pixel score next to no weight.
#
# As numbers: what each part adds to the dual score when it joins those above it, in points, with the interval
# over the classes.
#
# Is the order the one that you wrote down in section 2?

# %%
steps = {name: tables.steps(committed_rows, name) for name in parts}
steps = pd.concat({name: table for name, table in steps.items() if len(table)})
steps.round(2)

# %%
record(
    **{
        f"{what}_{part}_{name}": steps.loc[(name, part), what]
        for name in ("mnist", "fashion_mnist")
        for part in ("dualad_d", "dualad_d_fc", "dualad")
        for what in ("mean", "won")
    }
)

# %% [markdown]
# In points, with the classes that gained: D {{ mean_dualad_d_mnist | f2 }} on MNIST
# ({{ won_dualad_d_mnist | int }} of 10) and {{ mean_dualad_d_fashion_mnist | f2 }} on Fashion-MNIST
# ({{ won_dualad_d_fashion_mnist | int }}); the FC package {{ mean_dualad_d_fc_mnist | f2 }}
# ({{ won_dualad_d_fc_mnist | int }}) and {{ mean_dualad_d_fc_fashion_mnist | f2 }}
# ({{ won_dualad_d_fc_fashion_mnist | int }}); MI {{ mean_dualad_mnist | f2 }} ({{ won_dualad_mnist | int }}) and
# {{ mean_dualad_fashion_mnist | f2 }} ({{ won_dualad_fashion_mnist | int }}).
#
# The largest step is the Feature Constraint's, and it is a package of five changes: it reads $h$, averages
# over copies, trains on copies, and adds a critic and a sphere. Lesson 03 took it apart on one class with one
# seed, and there the first three made the gain. So do not read this row as praise for a constraint. Nor does
# a mean say that all gained: count the classes.
#
# ## 5. What it costs

# %%
tables.cost(committed_rows).unstack("dataset").swaplevel(axis=1)[datasets].round(1).astype(object).fillna("")

# %% [markdown]
# Median seconds a class, training and scoring the test set, on two CPU cores. A point of AUROC has a price, and
# the classical detectors have the best one.
#
# ## 6. Published figures
#
# Tables in papers set rows from other papers beside their own. So do we, with a column that most leave out.

# %%
published = pd.concat({name: tables.beside_published(committed_rows, name) for name in datasets})
pd.set_option("display.max_colwidth", None)
published.round(1).astype(object).fillna("")

# %% [markdown]
# Three habits for such a table.
#
# - **Who ran it?** Deep SVDD and OCGAN lose 1 to 8 points when somebody else runs them.
# - **Too good?** When a method without labels is far above its whole family, ask for the code and test it:
#   shuffle the test set, score the images one by one. Lesson 00 shows how batch statistics see the test set
#   without a line of cheating. Being far above proves nothing by itself: GEOM was, too.
# - **What did it start from?** Features pretrained on a million labelled images are another task. They win
#   it. If you have photographs and no reason against it, use them.
#
# And a row above ours is there to be learned from. Ask what it paid: GEOM, at 86 on CIFAR-10, trains a wide
# residual network to tell 72 transformations apart. Ours has five minutes on two cores.
#
# The paper of DualAD itself has no row: its tables were not available to us. Lesson 05 runs the configuration
# of its code.
#
# ## Recap
#
# - A cell is a function call with a file; a table is many of them, and none is done twice.
# - Seeds tell how repeatable a number is. Classes, in pairs, tell which method is better.
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
