"""The README's tables of the studies `features` and `photographs`: what frozen features give, and DualAD upon them."""

import pandas as pd

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


def whole_table(rows):
    """Markdown table: mean AUROC in percent over ten classes by whole images' features, "pixel / latent / dual"."""
    lines = [f"| detector | {' | '.join(WHOLE.values())} |", "|---|" + "---:|" * len(WHOLE)]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return "Not measured yet."
    for detector, setting, title in _lines():
        own = frame[(frame.detector == detector) & (frame.setting == setting)]
        if len(own):
            lines.append(f"| {title} | {' | '.join(_by_score(own[own.dataset == name]) for name in WHOLE)} |")
    return "\n".join(lines)


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
    lines = [
        f"| image AUROC / pixel AUROC | {' | '.join(SPLITS.values())} |",
        "|---|" + "---:|" * len(SPLITS),
    ]
    for detector, setting, title in _lines():
        cells = []
        for (dataset, protocol), _ in SPLITS.items():
            image, pixel = (
                100 * _of(table, dataset, detector, protocol, setting)[column].mean()
                for table, column in ((frame, "auroc"), (maps, "value"))
            )
            cells.append(
                "" if pd.isna(image) else f"{image:.1f}" + ("" if pd.isna(pixel) else f" / {pixel:.1f}")
            )
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def alarms_table(measures):
    """Markdown table: false alarms in percent where 5 are promised, mean over splits (lowest, highest), splits."""
    frame = pd.DataFrame([m for m in measures if m["measure"] == "false_alarms"])
    if frame.empty:
        return "Not measured yet."
    lines = [f"| false alarms, % | {' | '.join(SPLITS.values())} |", "|---|" + "---:|" * len(SPLITS)]
    for detector, setting, title in _lines():
        cells = []
        for dataset, protocol in SPLITS:
            found = 100 * _of(frame, dataset, detector, protocol, setting).value
            said = f"{found.mean():.1f} ({found.min():.1f}, {found.max():.1f}), {len(found)}"
            cells.append(said if len(found) else "")
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _lines():
    """(detector, setting, title) of each line."""
    yield from ((name, "", title) for name, title in TITLES.items())
    yield from (("dualad", name, title) for name, title in STAGES.items())


def _of(frame, dataset, detector, protocol, setting):
    full = ", ".join(filter(None, (protocol, setting)))
    return frame[(frame.dataset == dataset) & (frame.detector == detector) & (frame.setting == full)]
