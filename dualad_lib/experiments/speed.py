"""Tables of RESULTS.md of speed, drawn from figures/results/benchmark_*.csv, which tests/benchmarks writes."""

from pathlib import Path

import pandas as pd

from .markdown import table
from .results import read_texts


def benchmark(name, folder):
    """Rows of FOLDER/benchmark_NAME.csv as dicts of strings; [] where it has not been measured."""
    path = Path(folder) / f"benchmark_{name}.csv"
    return read_texts(path) if path.exists() else []


def faster_table(rows):
    """Markdown tables of DualAD now beside an earlier state of the code, one a machine: seconds, how many times as
    fast, AUROC.
    """
    if not rows:
        return "Not measured yet."
    return "\n\n".join(_faster_on(machine, own) for machine, own in pd.DataFrame(rows).groupby("machine"))


def _faster_on(machine, rows):
    lines = []
    for (dataset, normal_class), pair in rows.groupby(["dataset", "class"], sort=False):
        before, now = (pair[pair.state == state].iloc[0] for state in ("before", "now"))
        cells = [f"{dataset}, class {normal_class}, {int(now['images']):,} images"]
        for name in ("fit_seconds", "score_2000_seconds", "score_one_ms"):
            old, new = float(before[name]), float(now[name])
            cells.append(f"{old:.3g} / {new:.3g} ({_times(old / new)} times)")
        cells.append(" / ".join(f"{100 * float(row['auroc']):.1f}" for row in (before, now)))
        lines.append(cells)
    heads = ["before / now", "fit, s", "2,000 scores, s", "one score, ms", "AUROC"]
    return f"On {machine}; the times are of one thread.\n\n{table(heads, lines)}"


#: Methods of the frontier, in the order of its legend, as it names them.
FRONTIER = {
    "dualad": "DualAD",
    "dualad_published": "DualAD as published",
    "autoencoder": "Autoencoder",
    "GEOM": "GEOM",
    "PyOD AutoEncoder": "PyOD AutoEncoder",
    "PyOD DeepSVDD": "PyOD DeepSVDD",
    "feature_neighbours": "ImageNet features",
    "pca": "PCA",
    "knn": "nearest neighbour",
    "isolation_forest": "isolation forest",
    "ocsvm": "one-class SVM",
    "kde": "kernel density",
}


def frontier_lines(rows):
    """What `plots.frontier` draws, data set -> method -> (seconds, AUROCs in percent): means over classes.

    A length of training that not all classes of its data set have is left out: its mean would not compare.
    """
    frame = pd.DataFrame(rows)
    if frame.empty:
        return {}
    frame = frame.astype({"seconds": float, "auroc": float})
    panels = {}
    for dataset, own in frame.groupby("dataset", sort=False):
        classes = own.normal_class.nunique()
        lines = {}
        for method, name in FRONTIER.items():
            points = own[own.method == method].groupby("setting")
            points = points.agg(seconds=("seconds", "mean"), auroc=("auroc", "mean"), n=("auroc", "size"))
            points = points[points.n == classes].sort_values("seconds")
            if len(points):
                lines[name] = (points.seconds.tolist(), (100 * points.auroc).tolist())
        panels[dataset] = lines
    return panels


def ceiling_table(rows):
    """Markdown table of a training step: its time, its arithmetic beside the machine's ceiling, what takes longest."""
    if not rows:
        return "Not measured yet."
    heads = ["ms a step", "GFLOP a step", "of matrix-product ceiling", "of convolution ceiling", "most time"]
    lines = []
    for row in rows:
        shares = (f"{100 * float(row[name]):.0f} %" for name in ("of_matmul", "of_convolution"))
        top = ", ".join(row["most_time"].replace("aten::", "").split("; ")[:3])
        step = f"{float(row['milliseconds_a_step']):.0f}", f"{float(row['gflop_a_step']):.1f}"
        lines.append([row["detector"], *step, *shares, top])
    said = f"On {rows[0]['machine']}, {rows[0]['dataset']}, the settings of the tables."
    return f"{said}\n\n{table(['detector', *heads], lines, text=(0, 5))}"


def growth_table(rows):
    """Markdown table of how cost grows: a line an axis and detector, seconds of fit (and of scoring 1,000 images)."""
    if not rows:
        return "Not measured yet."
    lines = []
    for axis, detector in dict.fromkeys((row["axis"], row["detector"]) for row in rows):
        own = [row for row in rows if (row["axis"], row["detector"]) == (axis, detector)]
        points = []
        for row in own:
            scored = float(row["score_seconds_1000"])
            points.append(f"{row['value']}: {float(row['fit_seconds']):.1f} + {scored:.1f}")
        lines.append([axis, detector, "; ".join(points)])
    heads = ["axis", "detector", "seconds of fit (+ of scoring 1,000 images)"]
    return f"On {rows[0]['machine']}.\n\n{table(heads, lines, text=(0, 1, 2))}"


def workers_table(rows):
    """Markdown table of ways to divide the cores: workers, threads of each, seconds of one small grid."""
    if not rows:
        return "Not measured yet."
    lines = ([row["workers"], row["threads"], f"{float(row['seconds']):.0f}"] for row in rows)
    said = (
        f"On {rows[0]['machine'].split(',')[0]}, {rows[0]['cells']} cells of `dualad` on the shipped sample."
    )
    return f"{said}\n\n{table(['workers', 'threads of each', 'seconds'], lines, text=())}"


def _times(ratio):
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"
