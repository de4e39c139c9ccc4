"""The tables of RESULTS.md and the figures, drawn from the committed results files and from nothing else."""

import math
from collections import defaultdict
from pathlib import Path

from .. import plots
from ..course.provenance import ROOT, results_folder
from ..data import DATASETS as CLASSES
from ..data.task import OLD_PROTOCOLS
from ..detectors import SYSTEMS
from ..errors import RunError
from ..files import atomic_write
from . import tables
from .feature_tables import (
    alarms_table,
    kinds_table,
    peers_table,
    photographs_table,
    practitioner_table,
    summary_table,
    whole_table,
)
from .grid import MAIN
from .literature import published_system
from .markdown import table
from .results import (
    OLD_NAMES,
    PROTOCOL_NAMES,
    merged_measures,
    merged_results,
    read_measures,
    read_results,
    study_rows,
    write_measures,
    write_results,
)
from .speed import benchmark, ceiling_table, faster_table, frontier_lines, growth_table, workers_table
from .systems import feature_table, lesson_of
from .world_tables import signs_table, sound_table, tiles_table

RESULTS = results_folder()
FIGURES = ROOT / "figures"
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
STAGES = {"dualad_d": "+ D", "dualad_d_fc": "+ FC", "dualad": "+ MI"}
SCORES = ("pixel", "latent", "dual", "score")


def mean_table(rows):
    """Markdown table of mean AUROC in percent over the ten classes: a line a score, a column a data set.

    The best figure of each column is bold. With several seeds a 95 % interval follows. A mean over fewer than ten
    classes names their number and is never the best.
    """
    means = tables.mean_over_classes(rows).sort_index()
    best = means[means.classes == tables.CLASSES]["mean"].groupby(level=0).max()
    known, lines = {(detector, score) for _, detector, score in means.index}, []
    for detector, title in DETECTORS.items():
        for score in SCORES:
            if (detector, score) in known:
                name = title if score == "score" else f"{title}, {score} score"
                cells = [_cell(means, (dataset, detector, score), best.get(dataset)) for dataset in DATASETS]
                lines.append([name, *cells])
    return table(["detector", *DATASETS.values()], lines)


def _cell(means, key, best):
    if key not in means.index:
        return ""
    line = means.loc[key]
    text = f"{line['mean']:.1f}"
    if not math.isnan(line["half"]):
        text += f" ± {line['half']:.1f}"
    if line["classes"] != tables.CLASSES:
        return text + f" ({line['classes']:.0f} classes)"
    return f"**{text}**" if line["mean"] == best else text


def class_table(rows, detector="dualad", score="dual"):
    """Markdown table of a detector's AUROC in percent, a line a data set, a column a class."""
    columns, lines = [*range(10), "mean"], []
    for dataset, title in DATASETS.items():
        found = tables.by_class(rows, dataset)
        if (detector, score) in found.index:
            line = found.loc[(detector, score)]
            cells = ["" if math.isnan(line.get(k, math.nan)) else f"{line[k]:.1f}" for k in columns]
            lines.append([title, *cells])
    return table(["data set", *map(str, columns)], lines)


def parts_table(rows):
    """Markdown table of the points that each part adds to the dual score: a line a part, a column a data set.

    Mean, 95 % interval over the classes, and how many of the classes gained.
    """
    steps = {dataset: tables.steps(rows, dataset) for dataset in DATASETS}
    lines = []
    for stage in STAGES:
        found = [steps[d].loc[stage] if stage in steps[d].index else None for d in DATASETS]
        if any(step is not None for step in found):
            lines.append([DETECTORS[stage], *("" if step is None else _step(step) for step in found)])
    return table(["points on the dual score", *DATASETS.values()], lines)


PACKAGE = {"sphere": "sphere alone", "copies": "copies alone", "copies, critic": "copies and critic"}


def package_table(rows, study):
    """Markdown table of the Feature Constraint taken apart: mean AUROC of the dual score on the classes of the study.

    rows: of the main tables, for nothing of the package and all of it. study: of "feature_constraint".
    """
    study = [row for row in study if row["score"] == "dual" and row["seed"] == 0]
    main = [row for row in rows if row["score"] == "dual" and row["seed"] == 0 and row["setting"] == ""]
    named = {
        "nothing of it": [row for row in main if row["detector"] == "dualad_d"],
        **{title: [row for row in study if row["setting"] == name] for name, title in PACKAGE.items()},
        "copies, critic and sphere": [row for row in main if row["detector"] == "dualad_d_fc"],
    }
    classes = {}  # by data set, those that all settings have
    for dataset in DATASETS:
        own = [row for row in study if row["dataset"] == dataset]
        found = [{row["normal_class"] for row in own if row["setting"] == name} for name in PACKAGE]
        if common := set.intersection(*found):
            classes[dataset] = sorted(common)
    heads = [f"{DATASETS[d]}, class {', '.join(map(str, found))}" for d, found in classes.items()]
    lines = []
    for title, own in named.items():
        cells = [title]
        for dataset, chosen in classes.items():
            found = [100 * r["auroc"] for r in own if r["dataset"] == dataset and r["normal_class"] in chosen]
            cells.append(f"{sum(found) / len(found):.1f}" if found else "")
        lines.append(cells)
    return table(["dual score", *heads], lines)


def network_table(rows, study):
    """Markdown table of the stages on either network, MNIST, seed 0: mean AUROC by score, pixel / latent / dual.

    rows: of the main tables. study: of "network".
    """
    columns = {
        "network of the tables": [row for row in rows if row["setting"] == "" and row["dataset"] == "mnist"],
        "pooled": [row for row in study if row["setting"] == "pooled"],
    }
    lines = []
    for stage in ("autoencoder", *STAGES):
        cells = []
        for found in columns.values():
            own = [row for row in found if row["detector"] == stage and row["seed"] == 0]
            by_score = {name: [r["auroc"] for r in own if r["score"] == name] for name in SCORES[:3]}
            whole = all(len(values) == 10 for values in by_score.values())
            cells.append(
                " / ".join(f"{10 * sum(values):.1f}" for values in by_score.values()) if whole else ""
            )
        if any(cells):
            lines.append([DETECTORS[stage], *cells])
    return table(["MNIST, pixel / latent / dual", *columns], lines)


def pixel_score_table(rows, study):
    """Markdown table of what pixel score and weights of the fusion bring, seed 0: mean AUROC, pixel / latent / dual.

    rows: of the main tables. study: of "pixel_score".
    """
    ways = {
        "squared error, weights by separation": ("", rows),
        "squared error, equal weights": ("equal weights", study),
        "relative error, equal weights": ("relative, equal weights", study),
    }
    lines = []
    for detector in ("dualad_d_fc", "autoencoder"):
        for title, (setting, found) in ways.items():
            own = [r for r in found if (r["detector"], r["setting"], r["seed"]) == (detector, setting, 0)]
            cells = []
            for dataset in ("mnist", "fashion_mnist"):
                scores = [
                    [r["auroc"] for r in own if (r["dataset"], r["score"]) == (dataset, name)]
                    for name in SCORES[:3]
                ]
                whole = all(len(values) == 10 for values in scores)
                cells.append(" / ".join(f"{10 * sum(values):.1f}" for values in scores) if whole else "")
            if any(cells):
                lines.append([f"{DETECTORS[detector]}: {title}", *cells])
    return table(["pixel / latent / dual", "MNIST", "Fashion-MNIST"], lines)


def _step(step):
    return f"{step['mean']:+.2f} [{step.low:+.2f}, {step.high:+.2f}], {step.won:.0f} of {step.classes:.0f}"


def cost_table(rows):
    """Markdown table of a class's median seconds, training + scoring the test set: a line a detector."""
    cost, lines = tables.cost(rows), []
    for detector, title in DETECTORS.items():
        found = [cost.loc[(d, detector)] if (d, detector) in cost.index else None for d in DATASETS]
        if any(f is not None for f in found):
            cells = ["" if f is None else f"{f.train_seconds:.0f} + {f.score_seconds:.0f}" for f in found]
            lines.append([title, *cells])
    return table(["seconds a class", *DATASETS.values()], lines)


MACHINES = 16  # of the cluster in `path_table`


def path_table(rows):
    """Markdown table of what the whole table costs by each path: a line a path, a column a data set.

    A data set that is not measured with all methods on all classes has no figure.
    """
    hours = tables.hours(rows)
    hours = hours[hours.number == len(DETECTORS) * tables.CLASSES]
    known = [hours.loc[d] if d in hours.index else None for d in DATASETS]
    alone = [_hours(h.total) if h is not None else "" for h in known]
    shared = [_hours(max(h.total / MACHINES, h.longest)) if h is not None else "" for h in known]
    lines = [
        ["laptop, two cores: `dualad reproduce --workers 1 --threads 2`", *alone],
        [f"cluster of {MACHINES} such machines, reckoned: `--scheduler ADDRESS --threads 2`", *shared],
    ]
    return table(["all methods, one seed", *DATASETS.values()], lines)


def _hours(value):
    return f"{value:.1f} h" if value >= 1 else f"{60 * value:.0f} min"


STUDIES = ("lrgdan", "agad", "adegan")


def systems_table(rows):
    """Markdown table of the studies of lessons 09 to 11: a line a setting, published figure and verdict beside it.

    rows: of all studies. Baselines of a study stand with their one score.
    """
    heads = (
        "lesson",
        "data set",
        "protocol",
        "detector and setting",
        "evaluation",
        "AUROC",
        "HTER",
        "classes",
    )
    lines = []
    titles = {**DATASETS, "coil100": "COIL-100"}
    for study in STUDIES:
        own = [row for row in rows if row["study"] == study]
        found = tables.study(own, ["dataset", "protocol", "detector", "setting", "evaluation"])
        for (dataset, protocol, detector, setting, evaluation), line in found.iterrows():
            figure, verdict = published_system(detector, dataset, protocol, setting, evaluation)
            beside = "" if figure is None else f"{figure:.1f}, {verdict or _verdict(line, figure, dataset)}"
            named = [titles.get(dataset, dataset), PROTOCOL_NAMES.get(protocol, protocol)]
            named += [f"{detector} {setting}".strip(), evaluation]
            errors = "" if math.isnan(line["HTER"]) else f"{line['HTER']:.1f}"
            figures = [f"{line['AUROC']:.1f}", errors, f"{line.classes:.0f}"]
            lines.append([lesson_of(SYSTEMS[study])[:2], *named, *figures, beside])
    return table([*heads, "published, verdict"], lines, text=(0, 1, 2, 3, 4, 8))


def left_out_table(rows):
    """Markdown table of one MNIST digit left out: a line a detector and score, a column a digit, published rows last.

    rows: of the study adegan. A sweep's settings and rows of a few digits stay out: their means would not compare.
    """
    found = tables.left_out([row for row in rows if not row["setting"].startswith("patterns")]).dropna()
    lines = ([name, *(f"{value:.1f}" for value in figures)] for name, figures in found.iterrows())
    return table(["AUROC", *map(str, found.columns)], lines)


def _verdict(line, figure, dataset):
    if line.classes < len(CLASSES[dataset]):
        return "not comparable, few classes"
    return "reproduced" if figure - 1 <= line["AUROC"] else "not reproduced"


#: What stands between `<!-- NAME -->` and `<!-- /NAME -->` in RESULTS.md, and how it is made.
TABLES = {
    "photographs": lambda: photographs_table(
        study_rows("photographs", RESULTS), read_measures("photographs", RESULTS / "measures")
    ),
    "practitioner": lambda: practitioner_table(benchmark("practitioner", RESULTS)),
    "peers": lambda: peers_table(benchmark("anomalib", RESULTS)),
    "kinds": lambda: kinds_table(read_measures("photographs", RESULTS / "measures")),
    "alarms": lambda: alarms_table(read_measures("photographs", RESULTS / "measures")),
    "whole": lambda: whole_table(study_rows("features", RESULTS)),
    "results": lambda: mean_table(committed()),
    "classes": lambda: class_table(committed()),
    "parts": lambda: parts_table(committed()),
    "package": lambda: package_table(committed(), study_rows("feature_constraint", RESULTS)),
    "network": lambda: network_table(committed(), study_rows("network", RESULTS)),
    "pixel": lambda: pixel_score_table(committed(), study_rows("pixel_score", RESULTS)),
    "cost": lambda: cost_table(committed()),
    "paths": lambda: path_table(committed()),
    "systems": lambda: systems_table(studied()),
    "left-out": lambda: left_out_table(study_rows("adegan", RESULTS)),
    "features": lambda: feature_table([*committed(), *studied(), *_on_features()]),
    "signs": lambda: signs_table(study_rows("signs", RESULTS)),
    "tiles": lambda: tiles_table(study_rows("tiles", RESULTS), read_measures("tiles", RESULTS / "measures")),
    "sound": lambda: sound_table(study_rows("sound", RESULTS)),
    "faster": lambda: faster_table(benchmark("faster", RESULTS)),
    "ceiling": lambda: ceiling_table(benchmark("ceiling", RESULTS)),
    "growth": lambda: growth_table(benchmark("growth", RESULTS)),
    "workers": lambda: workers_table(benchmark("workers", RESULTS)),
}

#: The one table of README.
SUMMARY = {
    "summary": lambda: summary_table(
        committed(),
        study_rows("features", RESULTS),
        study_rows("photographs", RESULTS),
        read_measures("photographs", RESULTS / "measures"),
    )
}


def committed():
    """Rows of the committed benchmark: full data, protocol P2, all methods."""
    return study_rows(MAIN, RESULTS)


def studied():
    """Rows of the studies beside the main tables, each with its study's name."""
    return [{**row, "study": name} for name in STUDIES for row in study_rows(name, RESULTS)]


def _on_features():
    return [row for name in ("features", "photographs") for row in study_rows(name, RESULTS)]


def render(text, tables=None, page="RESULTS.md"):
    """The text of a page with each marked table drawn anew (default: those of RESULTS.md)."""
    for name, draw in (tables or TABLES).items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise RunError(f"{page} needs the markers {start} and {end} once each.")
        before, rest = text.split(start)
        text = f"{before}{start}\n{draw()}\n{end}{rest.split(end)[1]}"
    return text


def collect(folder):
    """Take over the results files of a run into figures/results, and the measures beside them; return the files' paths.

    A row replaces the one of the same score of the same model; all other rows that are there stay.
    """
    files = sorted(Path(folder).glob("*.csv"))
    if not files:
        raise RunError(f"{folder} holds no results file (*.csv).")
    results, measures = defaultdict(list), defaultdict(list)  # two files of old and new name may go into one
    for path in files:
        rows = read_results(path)
        if other := sorted({row["profile"] for row in rows} - {"paper"}):
            raise RunError(
                f"{path} holds rows of the profile {', '.join(map(repr, other))}: the tables show those of 'paper' "
                "alone. Give each profile a folder of its own (dualad reproduce --output)."
            )
        results[RESULTS / _now(path.name)] += [
            {
                **row,
                "command": _now(row["command"]),
                "protocol": OLD_PROTOCOLS.get(row["protocol"], row["protocol"]),
            }
            for row in rows
        ]
    for path in sorted((Path(folder).parent / "measures").glob("*.csv")):
        rows = [row for row in read_measures(path.stem, path.parent) if path.stem.endswith(row["dataset"])]
        if rows:
            measures[RESULTS / "measures" / _now(path.name)] += [
                {**row, "command": _now(row["command"])} for row in rows
            ]
    # all files, theirs and ours, are read before one is written
    merged = {path: merged_results(rows, path) for path, rows in results.items()}
    merged_too = {path: merged_measures(rows, path) for path, rows in measures.items()}
    for path, rows in merged.items():
        write_results(rows, path)
    for path, rows in merged_too.items():
        write_measures(rows, path)
    return list(results)


def _now(text):
    """The name of a file, or a command, with a study's old name replaced."""
    for old, new in OLD_NAMES.items():
        text = text.replace(f"--study {old}", f"--study {new}")
        text = text.replace(f"{old}_", f"{new}_", 1) if text.startswith(f"{old}_") else text
    return text


def report(page=None):
    """Write the tables of RESULTS.md and of README, and the figures; return whether a table changed."""
    pages = {Path(page or ROOT / "RESULTS.md"): TABLES}
    if page is None:
        pages[ROOT / "README.md"] = SUMMARY
    changed = False
    for path, tables_of in pages.items():
        old = path.read_text(encoding="utf-8")
        new = render(old, tables_of, path.name)
        if new != old:
            changed = True
            with atomic_write(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
    draw_figures(committed(), FIGURES)
    draw_frontier(benchmark("frontier", RESULTS), FIGURES)
    return changed


def draw_figures(rows, folder):
    """Write the ablation as a heat map, `ablation.png`, into a folder."""
    parts = {
        title: tables.ablation(rows, dataset).rename(index=STAGES) for dataset, title in DATASETS.items()
    }
    parts = {title: table for title, table in parts.items() if len(table)}
    if parts:
        with atomic_write(Path(folder) / "ablation.png") as temporary:
            plots.ablation_heatmap(parts).savefig(temporary, metadata={"Software": None})


def draw_frontier(rows, folder):
    """Write AUROC against seconds, `frontier.png`, into a folder."""
    panels = {DATASETS[dataset]: lines for dataset, lines in frontier_lines(rows).items()}
    if panels:
        with atomic_write(Path(folder) / "frontier.png") as temporary:
            figure = plots.frontier(panels, bold=("DualAD", "Autoencoder"))
            figure.savefig(temporary, metadata={"Software": None})
