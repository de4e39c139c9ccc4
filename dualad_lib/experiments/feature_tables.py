"""Tables of RESULTS.md of the studies `features` and `photographs`: what frozen features give, and DualAD upon them."""

import pandas as pd

from .markdown import table

WHOLE = {"cifar10": "CIFAR-10", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
SPLITS = {
    ("magnetic_tiles", "parts"): "tiles, new parts",
    ("ball_screws", "time"): "screws, later days",
    ("ball_screws", "places"): "screws, new places",
}
TITLES = {
    "pca": "PCA of pixels",
    "feature_neighbours": "FeatureNeighbours (DN2)",
    "padim": "PaDiM",
    "patchcore": "PatchCore",
}
STAGES = {
    "features, AE": "DualAD, autoencoder alone",
    "features, AE+D": "... + D",
    "features, AE+D+FC": "... + D + FC",
    "features": "... + D + FC + MI = DualAD",
}
FINAL = ("score", "dual")
#: Lines of README's table: title, which rows, detector, setting.
SUMMARY = (
    ("PCA of pixels", "main", "pca", ""),
    ("nearest neighbours of pixels", "main", "knn", ""),
    ("autoencoder", "main", "autoencoder", ""),
    ("**DualAD**, from nothing but the class", "main", "dualad", ""),
    ("nearest neighbours of features", "whole", "feature_neighbours", ""),
    ("PatchCore", "whole", "patchcore", ""),
    ("**DualAD on features**", "whole", "dualad", "features"),
)


def whole_table(rows):
    """Markdown table: mean AUROC in percent over ten classes by whole images' features, "pixel / latent / dual"."""
    frame, lines = pd.DataFrame(rows), []
    if frame.empty:
        return "Not measured yet."
    for detector, setting, title in _lines():
        own = frame[(frame.detector == detector) & (frame.setting == setting)]
        if len(own):
            lines.append([title, *(_by_score(own[own.dataset == name]) for name in WHOLE)])
    return table(["detector", *WHOLE.values()], lines)


def _by_score(rows):
    classes = rows.normal_class.nunique()
    if not classes:
        return ""
    means = 100 * rows.groupby("score").auroc.mean()
    said = " / ".join(f"{means[name]:.1f}" for name in ("score", "pixel", "latent", "dual") if name in means)
    return said if classes == 10 else f"{said} ({classes} classes)"


def photographs_table(rows, measures):
    """Markdown table of real parts, means over splits in percent: "image AUROC / pixel AUROC" on each kind of split."""
    frame = pd.DataFrame([row for row in rows if row["score"] in FINAL])
    if frame.empty:
        return "Not measured yet."
    maps = pd.DataFrame([m for m in measures if m["measure"] == "pixel_auroc"])
    lines = []
    for detector, setting, title in _lines():
        cells = []
        for (dataset, protocol), _ in SPLITS.items():
            image, pixel = (
                100 * _of(found, dataset, detector, protocol, setting)[column].mean()
                for found, column in ((frame, "auroc"), (maps, "value"))
            )
            cells.append(
                "" if pd.isna(image) else f"{image:.1f}" + ("" if pd.isna(pixel) else f" / {pixel:.1f}")
            )
        if any(cells):
            lines.append([title, *cells])
    return table(["image AUROC / pixel AUROC", *SPLITS.values()], lines)


def summary_table(main, whole, photographs, measures):
    """Markdown table of README: the fused score of seven detectors, mean AUROC in percent, a column a question.

    main: rows of the main tables; whole, photographs: those of the studies on features; measures: by pixel.
    """
    frames = {name: pd.DataFrame(rows) for name, rows in (("main", main), ("whole", whole))}
    parts, maps = pd.DataFrame(photographs), pd.DataFrame(measures)
    maps = maps[maps.measure == "pixel_auroc"]
    lines = []
    for title, source, detector, setting in SUMMARY:
        cells = [title]
        for dataset in ("mnist", "fashion_mnist", "cifar10"):
            rows = frames[source][frames[source].dataset == dataset]
            rows = rows[(rows.detector == detector) & rows.score.isin(FINAL)]
            rows = rows[rows.setting == setting] if source == "whole" else rows
            cells.append(_mean(rows.groupby("normal_class").auroc.mean()))
        tiles = _of(parts[parts.score.isin(FINAL)], "magnetic_tiles", detector, "parts", setting)
        learned = source == "main" and detector != "pca"  # was not measured on these splits
        cells += ["" if learned else _mean(tiles.auroc)]
        cells += ["" if learned else _mean(_of(maps, "ball_screws", detector, "places", setting).value)]
        lines.append(cells)
    heads = ["mean AUROC, %", "MNIST", "Fashion-MNIST", "CIFAR-10", "tiles, by image", "screws, by pixel"]
    return table(heads, lines)


def _mean(values):
    return f"{100 * values.mean():.1f}" if len(values) else ""


def alarms_table(measures):
    """Markdown table: false alarms in percent where 5 are promised, mean over splits (lowest, highest), splits."""
    frame = pd.DataFrame([m for m in measures if m["measure"] == "false_alarms"])
    if frame.empty:
        return "Not measured yet."
    lines = []
    for detector, setting, title in _lines():
        cells = []
        for dataset, protocol in SPLITS:
            found = 100 * _of(frame, dataset, detector, protocol, setting).value
            said = f"{found.mean():.1f} ({found.min():.1f}, {found.max():.1f}), {len(found)}"
            cells.append(said if len(found) else "")
        if any(cells):
            lines.append([title, *cells])
    return table(["false alarms, %", *SPLITS.values()], lines)


def kinds_table(measures):
    """Markdown table of the tiles: image AUROC in percent of each kind of defect against sound tiles, by split mean."""
    frame = pd.DataFrame([m for m in measures if m["measure"].startswith("auroc ")])
    if frame.empty:
        return "Not measured yet."
    kinds, lines = sorted(frame.measure.unique()), []
    for detector, setting, title in _lines():
        own = _of(frame, "magnetic_tiles", detector, "parts", setting)
        if len(own):
            means = 100 * own.groupby("measure").value.mean()
            lines.append([title, *(f"{means[kind]:.1f}" for kind in kinds)])
    return table(["image AUROC, tiles", *(kind.removeprefix("auroc ").lower() for kind in kinds)], lines)


def practitioner_table(rows):
    """Markdown table of benchmark_practitioner.csv: seconds, images a second and memory of each command."""
    if not rows:
        return "Not measured yet."
    lines = []
    for row in rows:
        count = f"{row['images']} of {row['image']}" if int(row["images"]) else f"model of {row['image']}"
        rate = row["images_a_second"] if int(row["images"]) else ""
        lines.append([f"`{row['command']}`", count, row["seconds"], rate, row["peak_gb"]])
    heads = ["command", "images", "seconds", "images a second", "peak memory, GB"]
    return f"On {rows[0]['machine']}.\n\n{table(heads, lines, text=(0, 1))}"


def peers_table(rows):
    """Markdown table of benchmark_anomalib.csv: ours / anomalib's, and how many times as fast ours is."""
    if not rows:
        return "Not measured yet."
    value = {(row["dataset"], row["what"], row["measure"]): float(row["value"]) for row in rows}
    lines = []
    for dataset, name in dict.fromkeys((r["dataset"], r["what"].split(": ", 1)[1]) for r in rows):
        cells = [f"{name}, {dataset}"]
        for measure, scale, digits in (
            ("image AUROC", 100, 1),
            ("pixel AUROC", 100, 1),
            ("fit", 1, 1),
            ("scored", 1, 0),
        ):
            both = [scale * value[dataset, f"{side}: {name}", measure] for side in ("ours", "anomalib")]
            cells.append(" / ".join(f"{figure:.{digits}f}" for figure in both))
        ratio = [
            value[dataset, f"ours over anomalib: {name}", f"{m}, times as fast"] for m in ("fit", "scored")
        ]
        cells.append(f"fit {ratio[0]:.1f}, scoring {ratio[1]:.1f}")
        lines.append(cells)
    heads = ["image AUROC", "pixel AUROC", "fit, s", "images a second", "times as fast"]
    return table(["ours / anomalib", *heads], lines)


def _lines():
    """(detector, setting, title) of each line."""
    yield from ((name, "", title) for name, title in TITLES.items())
    yield from (("dualad", name, title) for name, title in STAGES.items())


def _of(frame, dataset, detector, protocol, setting):
    full = ", ".join(filter(None, (protocol, setting)))
    return frame[(frame.dataset == dataset) & (frame.detector == detector) & (frame.setting == full)]
