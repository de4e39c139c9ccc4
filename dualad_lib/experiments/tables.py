"""From rows of results to what a reader compares: means with intervals, paired differences, costs, published figures.

Each function takes rows as `read_results` gives them and returns a pandas DataFrame; AUROC in percent. Of the main
tables only honest rows of protocol P2 without a special setting count; `study` and `left_out` take rows as they are. A
mean over fewer than ten classes is NaN or says their number, because classes differ more than methods do.
"""

from itertools import pairwise

import numpy as np
import pandas as pd

from .literature import LEFT_OUT, PUBLISHED
from .settings import ABLATION

CLASSES = 10
KEYS = ["dataset", "detector", "score", "normal_class", "seed"]


def honest(rows):
    """The rows that tables are made of, as a DataFrame with AUROC in percent; of a cell measured twice the last."""
    frame = pd.DataFrame(list(rows))
    if frame.empty:
        return pd.DataFrame(columns=[*KEYS, "auroc", "train_seconds", "score_seconds"])
    kept = (frame.protocol == "one_vs_rest") & (frame.evaluation == "honest") & (frame.setting == "")
    frame = frame[kept].drop_duplicates(KEYS, keep="last")
    return frame.assign(auroc=100 * frame.auroc)


def by_class(rows, dataset):
    """A line for each detector and score, a column a class and their mean, averaged over seeds."""
    frame = honest(rows)
    frame = frame[frame.dataset == dataset]
    table = frame.pivot_table(index=["detector", "score"], columns="normal_class", values="auroc", sort=False)
    return table.assign(mean=table.mean(axis=1).where(table.count(axis=1) == CLASSES))


def mean_over_classes(rows):
    """For each data set, detector and score its mean over the classes there are: columns mean, half, seeds, classes.

    half: of the 95 % interval (Student) of the seeds' means; NaN with one seed. It says how far another seed would
    move the mean on these classes, and nothing about other classes. Where `classes` is not 10, compare the mean with
    nothing.
    """
    frame = honest(rows)
    classes = frame.groupby(["dataset", "detector", "score"], sort=False).normal_class.nunique()
    seeds = frame.groupby(["dataset", "detector", "score", "seed"], sort=False).agg(
        auroc=("auroc", "mean"), classes=("normal_class", "nunique")
    )
    seeds = seeds[
        seeds.classes == seeds.groupby(level=[0, 1, 2]).classes.transform("max")
    ]  # unfinished seeds wait
    groups = seeds.auroc.groupby(level=[0, 1, 2], sort=False)
    table = groups.agg(["mean", "std", "count"])
    half = table["std"] * _student(table["count"]) / np.sqrt(table["count"])
    return pd.DataFrame({"mean": table["mean"], "half": half, "seeds": table["count"], "classes": classes})


def paired(rows, dataset, first, second):
    """Difference first - second of two (detector, score) pairs, class by class: mean, 95 % interval, classes won.

    The classes are the sample: both methods saw the same ones, so their difficulty cancels out. Only seeds that both
    were measured with count, because one seed's luck is no part. Returns a Series with mean, low, high, won, classes.
    """
    frame = honest([row for row in rows if row["dataset"] == dataset])
    seeds = [set(frame.seed[(frame.detector == d) & (frame.score == s)]) for d, s in (first, second)]
    both = [row for row in rows if row["seed"] in seeds[0] & seeds[1]]
    table = by_class(both, dataset).drop(columns="mean")
    return _interval(table.loc[first] - table.loc[second])


def paired_settings(rows, first, second):
    """Difference first - second of two settings of a study, class by class, as `paired` gives it.

    rows: of one data set and protocol. Only final scores count, and seeds that both settings have of a class.
    """
    frame = pd.DataFrame([row for row in rows if row["score"] in ("score", "dual")])
    frame = frame[frame.setting.isin((first, second))]
    table = 100 * frame.pivot_table(index=["normal_class", "seed"], columns="setting", values="auroc")
    table = table.reindex(columns=[first, second]).dropna()
    return _interval((table[first] - table[second]).groupby(level="normal_class").mean())


def _interval(difference):
    """Mean of differences by class, its 95 % interval (Student), classes won, and their number."""
    difference = difference.dropna()
    count, mean = len(difference), difference.mean()
    half = difference.std() * _student(count) / np.sqrt(count)
    won = (difference > 0).sum()
    return pd.Series({"mean": mean, "low": mean - half, "high": mean + half, "won": won, "classes": count})


def ablation(rows, dataset):
    """Stages of DualAD against pixel, latent and dual score: mean AUROC over the classes, NaN where some are missing.

    Empty where no stage is complete.
    """
    table = by_class(rows, dataset)["mean"].dropna().unstack("score")
    return table.reindex(index=ABLATION if len(table) else [], columns=["pixel", "latent", "dual"])


def steps(rows, dataset, score="dual"):
    """What each stage of DualAD adds to the one before it, as `paired` gives it: a line a stage; both are complete."""
    found = set(ablation(rows, dataset)[score].dropna().index)
    lines = {
        b: paired(rows, dataset, (b, score), (a, score)) for a, b in pairwise(ABLATION) if {a, b} <= found
    }
    return pd.DataFrame(lines, index=["mean", "low", "high", "won", "classes"]).T


def cost(rows):
    """Seconds of training and scoring a class, median over classes (first seeds), by data set and detector."""
    return (
        _cells(rows).groupby(["dataset", "detector"], sort=False)[["train_seconds", "score_seconds"]].median()
    )


def hours(rows):
    """Hours of the cells, one after the other with one seed: columns total, longest, and their number, by data set.

    Trainings whose seconds are not known (they went on from a checkpoint) are taken to last as long as their
    detector's mean.
    """
    frame = _cells(rows)
    train = frame.train_seconds.astype(float)
    train = train.fillna(train.groupby([frame.dataset, frame.detector]).transform("mean"))
    spent = frame.assign(spent=(train + frame.score_seconds) / 3600)
    return spent.groupby("dataset", sort=False).spent.agg(total="sum", longest="max", number="size")


def _cells(rows):
    """One row for each class of a detector, whatever its scores: the first seed's.

    Later seeds may have run on other threads or beside other work: their seconds do not compare.
    """
    return (
        honest(rows)
        .sort_values("seed", kind="stable")
        .drop_duplicates(["dataset", "detector", "normal_class"])
    )


def beside_published(rows, dataset, detector="dualad", score="dual"):
    """Published means of a data set and their sources, ours minus each, a verdict and a note in words."""
    ours = by_class(rows, dataset)["mean"].get((detector, score), np.nan)
    lines = []
    for row in PUBLISHED:
        figure = getattr(row, dataset)
        if figure is not None:
            lines.append(
                (
                    row.method,
                    row.source,
                    figure,
                    ours - figure,
                    row.verdict or _compare(ours - figure),
                    row.note,
                )
            )
    return pd.DataFrame(lines, columns=["method", "source", "published", "ours minus it", "verdict", "note"])


def study(rows, columns):
    """Rows of a study beside the main tables, grouped: mean AUROC and HTER in percent, classes and seeds of the mean.

    columns: names of columns of a results file, such as "setting" and "evaluation", in the order of the file's groups.
    Only final scores count: the dual one, or the only one. Class by class first, then the mean.
    """
    frame = pd.DataFrame(list(rows))
    if frame.empty:
        return pd.DataFrame(columns=["AUROC", "HTER", "classes", "seeds"])
    frame = frame[frame.score.isin(("score", "dual"))]
    frame = frame.assign(auroc=100 * frame.auroc, hter=100 * frame.hter.astype(float))
    classes = frame.groupby([*columns, "normal_class"], sort=False)[["auroc", "hter"]].mean()
    groups = classes.groupby(level=list(columns), sort=False)
    table = groups.mean().rename(columns={"auroc": "AUROC", "hter": "HTER"})
    return table.assign(
        classes=groups.auroc.size(), seeds=frame.groupby(list(columns), sort=False).seed.nunique()
    )


def left_out(rows, dataset="mnist"):
    """AUROC in % with one class left out as the anomaly: a line a detector, setting and score, a column a class, mean.

    Published rows come last, on MNIST. A mean stands where all classes are measured.
    """
    frame = pd.DataFrame(
        [row for row in rows if (row["dataset"], row["protocol"]) == (dataset, "leave_one_class_out")]
    )
    lines = {}
    if not frame.empty:
        for key, own in frame.groupby(["detector", "setting", "score"], sort=False):
            name = ", ".join(part for part in key if part not in ("", "score"))
            lines[name] = 100 * own.groupby("normal_class").auroc.mean()
    if dataset == "mnist":
        lines |= {f"{name}, as published": pd.Series(figures) for name, figures in LEFT_OUT.items()}
    table = pd.DataFrame(lines, index=range(CLASSES)).T
    return table.assign(mean=table.mean(axis=1, skipna=False))


def _compare(difference):
    if np.isnan(difference):
        return ""
    return "within a point" if abs(difference) < 1 else "ours is above" if difference > 0 else "ours is below"


def _student(count):
    from scipy.stats import t

    return t.ppf(0.975, np.asarray(count, float) - 1)
