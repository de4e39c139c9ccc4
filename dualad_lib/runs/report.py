"""Tables for the README, drawn from the committed results files and from nothing else."""

from pathlib import Path

from ..errors import RunError
from ..files import atomic_write
from .provenance import ROOT
from .results import read_results

RESULTS = ROOT / "figures" / "results"
DATASETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
DETECTORS = {
    "pca": "PCA, 32 components, reconstruction error",
    "knn": "1-nearest neighbour, raw pixels",
    "isolation_forest": "isolation forest",
    "ocsvm": "one-class SVM",
    "kde": "kernel density on 32 components",
    "autoencoder": "autoencoder",
    "dualad_d": "+ image discriminator",
    "dualad_d_fc": "+ Feature Constraint",
    "dualad": "+ mutual information = DualAD",
}


def mean_table(rows):
    """Markdown table of mean AUROC in percent over the ten classes: a line a score, a column a data set.

    The best figure of each column is bold. A mean over fewer than ten classes names their number.
    """
    lines = []
    for detector, title in DETECTORS.items():
        scores = dict.fromkeys(row["score"] for row in rows if row["detector"] == detector)
        for score in sorted(scores, key=["pixel", "latent", "dual", "score"].index):
            name = title if score == "score" else f"{title}, {score} score"
            lines.append((name, [_mean(rows, dataset, detector, score) for dataset in DATASETS]))
    best = [max((line[1][i][0] for line in lines if line[1][i]), default=None) for i in range(len(DATASETS))]
    table = [f"| detector | {' | '.join(DATASETS.values())} |", "|---|" + "---:|" * len(DATASETS)]
    for name, means in lines:
        cells = [_cell(mean, top) for mean, top in zip(means, best, strict=True)]
        table.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(table)


def _mean(rows, dataset, detector, score):
    keys = {"dataset": dataset, "detector": detector, "score": score, "protocol": "p2", "setting": ""}
    found = [
        row for row in rows if all(row[k] == v for k, v in keys.items()) and row["evaluation"] == "honest"
    ]
    if not found:
        return None
    return sum(row["auroc"] for row in found) / len(found), len({row["normal_class"] for row in found})


def _cell(mean, best):
    if mean is None:
        return ""
    value, classes = mean
    text = f"{100 * value:.1f}" + ("" if classes == 10 else f" ({classes} classes)")
    return f"**{text}**" if value == best else text


#: What stands between `<!-- NAME -->` and `<!-- /NAME -->` in the README, and how it is made.
TABLES = {
    "autoencoder-baseline": lambda: mean_table(all_results("01_autoencoder_baseline")),
    "dualad": lambda: mean_table(all_results("05_dual_scoring")),
}


def all_results(study):
    """Rows of all results files of a study, figures/results/STUDY*.csv."""
    return [row for path in sorted(RESULTS.glob(f"{study}*.csv")) for row in read_results(path)]


def render(text):
    """The README's text with each marked table drawn anew."""
    for name, draw in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise RunError(f"the README needs the markers {start} and {end} once each.")
        before, rest = text.split(start)
        text = f"{before}{start}\n{draw()}\n{end}{rest.split(end)[1]}"
    return text


def collect(folder):
    """Take over the results files of a run into figures/results, read and written anew; return their paths there.

    A file that is there already is replaced: it must hold the whole study.
    """
    from .results import write_results

    files = sorted(Path(folder).glob("*.csv"))
    if not files:
        raise RunError(f"{folder} holds no results file (*.csv).")
    for path in files:
        write_results(read_results(path), RESULTS / path.name)
    return [RESULTS / path.name for path in files]


def report(readme=None):
    """Write the README's tables; return whether anything changed."""
    path = Path(readme or ROOT / "README.md")
    old = path.read_text(encoding="utf-8")
    new = render(old)
    if new != old:
        with atomic_write(path) as temporary:
            temporary.write_text(new, encoding="utf-8")
    return new != old
