"""Figures of inspected parts: photographs under their heat maps, scores over time, banks that cover a cloud."""

import numpy as np

from .plots import ANOMALOUS, COLOURS, DPI, HATCHES, MARKERS, NORMAL, styled

MARK = "#56B4E9"  # outline of what a person marked, light enough for dark photographs
ALARM = COLOURS[3]
COVER = 0.75  # of the photograph that the hottest heat hides


@styled
def heat_maps(
    images, maps=None, masks=None, titles=None, columns=2, scale=None, label="anomaly score", width=4.4
):
    """Photographs, each under its heat map and with the outline of what a person marked.

    images: uint8 (N, C, H, W), C 1 or 3. maps: (N, H, W), higher = more anomalous; None: the photographs alone. masks:
    bool (N, H, W). titles: N short texts. scale: (low, high) values of the map, one scale for all; below low the
    photograph shows bare. Default: the highest twentieth of all values.
    """
    images = np.moveaxis(np.asarray(images), 1, -1)
    images = np.repeat(images, 3, -1) if images.shape[-1] == 1 else images
    maps = None if maps is None else np.asarray(maps, dtype=float)
    rows = -(-len(images) // columns)
    height = width * images.shape[1] / images.shape[2] + (0.35 if titles else 0.08)
    bar = 0.8 if maps is not None else 0
    figure, axes = _axes((width * columns + bar, height * rows), rows, columns)
    for axis in axes.flat:
        axis.axis("off")
    low, high = scale or ((0, 1) if maps is None else (np.quantile(maps, 0.95), maps.max()))
    for k, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image)
        if maps is not None:
            heat = np.clip((maps[k] - low) / max(high - low, 1e-12), 0, 1)
            axis.imshow(maps[k], cmap="inferno", vmin=low, vmax=high, alpha=COVER * heat**0.5)
        if masks is not None and np.asarray(masks[k]).any():
            axis.contour(np.asarray(masks[k], dtype=float), [0.5], colors=MARK, linewidths=1.6)
        if titles:
            axis.set_title(titles[k], fontsize=10)
    if maps is not None:
        bar = figure.colorbar(_scale("inferno", low, high), ax=axes.ravel().tolist(), fraction=0.03, pad=0.01)
        bar.set_label(label)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    return figure


def pairs(images, maps, masks=None, titles=None, scale=None, label="anomaly score"):
    """Each photograph bare at the left, with the outline of what a person marked, and under its heat map at the right.

    Arguments as in `heat_maps`; titles stand above the left one.
    """
    images, maps = np.asarray(images), np.asarray(maps, dtype=float)
    low = (scale or (np.quantile(maps, 0.95),))[0]
    both = np.stack([np.full_like(maps, low), maps], 1).reshape(-1, *maps.shape[1:])
    outlines = None if masks is None else np.asarray(masks)
    if outlines is not None:
        outlines = np.stack([outlines, np.zeros_like(outlines)], 1).reshape(-1, *maps.shape[1:])
    titles = titles and [text for title in titles for text in (title, "its heat map")]
    scale = scale or (low, maps.max())
    return heat_maps(np.repeat(images, 2, 0), both, outlines, titles, scale=scale, label=label)


@styled
def timelines(panels, threshold=None, xlabel="day", ylabel="score", alarms=None):
    """Scores of places over time, a panel a place above the next.

    panels: dict from a place's name to (times (n,), scores (n,), marked bool (n,)). threshold: a dashed line. alarms:
    dict from a place's name to the time of its alarm, a vertical line. Each photograph is a dot, a diamond where an
    engineer marked it; the first mark is named.
    """
    figure, axes = _axes((8.6, 1.25 * len(panels) + 0.7), len(panels), 1)
    everything = np.concatenate([np.asarray(scores, dtype=float) for _, scores, _ in panels.values()])
    bottom, top = everything.min(), everything.max()
    for axis, (name, (times, scores, marked)) in zip(axes[:, 0], panels.items(), strict=True):
        times, scores, marked = np.asarray(times), np.asarray(scores), np.asarray(marked, dtype=bool)
        axis.plot(times, scores, color="#999999", linewidth=0.8, zorder=1)
        for chosen, colour, marker, text in (
            (~marked, NORMAL, "o", "not marked"),
            (marked, ANOMALOUS, "D", "marked by the engineer"),
        ):
            axis.scatter(
                times[chosen], scores[chosen], s=22, color=colour, marker=marker, label=text, zorder=2
            )
        if threshold is not None:
            axis.axhline(threshold, color="black", linestyle="--", linewidth=1.2, label="threshold")
        if alarms and name in alarms:
            axis.axvline(alarms[name], color=ALARM, linewidth=2, zorder=0)
            _note(axis, alarms[name], 0.93, "alarm", ALARM)
        if marked.any():
            _note(axis, times[marked][0], 0.1, "first mark", ANOMALOUS)
        axis.set(ylim=(bottom - 0.05 * (top - bottom), top + 0.08 * (top - bottom)))
        axis.text(0.01, 0.9, name, transform=axis.transAxes, va="top", fontweight="bold")
        axis.label_outer()
    middle = axes[len(panels) // 2, 0]
    middle.set_ylabel(ylabel)
    axes[-1, 0].set_xlabel(xlabel)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _note(axis, time, height, text, colour):
    """A short text at the left of a time, in a share of the axis' height."""
    place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "xytext": (-5, 0)}
    place["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axis.annotate(text, (time, height), ha="right", va="center", color=colour, fontsize=9, **place)


@styled
def banks(points, chosen):
    """A cloud of points and what was chosen of it, a panel a way to choose.

    points: (n, 2). chosen: dict from a name to indices. A thin line joins each point to the nearest chosen one.
    """
    points = np.asarray(points, dtype=float)
    figure, axes = _axes((4.0 * len(chosen), 3.4), 1, len(chosen))
    for axis, (name, index) in zip(axes[0], chosen.items(), strict=True):
        kept = points[np.asarray(index)]
        nearest = kept[np.linalg.norm(points[:, None] - kept[None], axis=-1).argmin(1)]
        for a, b in zip(points, nearest, strict=True):
            axis.plot([a[0], b[0]], [a[1], b[1]], color="#bbbbbb", linewidth=0.5, zorder=1)
        axis.scatter(*points.T, s=8, color=NORMAL, label="cells", zorder=2)
        axis.scatter(*kept.T, s=48, color=ANOMALOUS, marker="D", edgecolor="black", label="kept", zorder=3)
        axis.set(xticks=[], yticks=[], title=name, aspect="equal")
        axis.grid(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def rate_bars(rates, promised=None, ylabel="false alarms (%)", title=None):
    """Rates as grouped bars, in per cent, each with its number.

    rates: dict from a series to a dict from a group to a share in [0, 1]. promised: a dashed line.
    """
    groups = list(next(iter(rates.values())))
    figure, axis = _axes((1.6 * len(groups) + 1.5, 3.0), 1, 1)
    axis = axis[0, 0]
    width = 0.8 / len(rates)
    for k, (name, values) in enumerate(rates.items()):
        place = np.arange(len(groups)) + (k - (len(rates) - 1) / 2) * width
        heights = [100 * values[group] for group in groups]
        bars = axis.bar(
            place, heights, 0.92 * width, color=COLOURS[k], hatch=HATCHES[k], edgecolor="white", label=name
        )
        axis.bar_label(bars, fmt="%.0f", fontsize=9, padding=1)
    if promised is not None:
        axis.axhline(100 * promised, color="black", linestyle="--", linewidth=1.2, label="promised")
    axis.set(xticks=range(len(groups)), xticklabels=groups, ylabel=ylabel, ylim=(0, 112), title=title)
    axis.grid(False, axis="x")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=len(rates) + 1)
    return figure


@styled
def strips(groups, threshold, xlabel="anomaly score"):
    """Scores as dots on a line a group, the names at the left, and a dashed threshold.

    groups: dict name -> (n,); the last one holds the anomalies.
    """
    figure, axis = _axes((8.0, 0.62 * len(groups) + 0.9), 1, 1)
    axis, jitter = axis[0, 0], np.random.default_rng(0)
    for k, scores in enumerate(groups.values()):
        y = -k + jitter.uniform(-0.22, 0.22, len(scores))
        colour = ANOMALOUS if k == len(groups) - 1 else NORMAL
        axis.scatter(scores, y, s=22, color=colour, marker=MARKERS[k], alpha=0.8)
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1.4)
    axis.text(threshold, 0.62, " alarm", ha="left", va="center")
    axis.set(
        yticks=-np.arange(len(groups)),
        yticklabels=list(groups),
        xlabel=xlabel,
        ylim=(0.45 - len(groups), 0.85),
    )
    axis.grid(False, axis="y")
    return figure


@styled
def rate_histogram(rates, promised, xlabel="false alarms (%)", ylabel="divisions"):
    """How often a division had which rate, a panel a row above the next: dict name -> (n,) in [0, 1]."""
    figure, axes = _axes((7.0, 1.6 * len(rates) + 0.7), len(rates), 1)
    most = max(np.max(values) for values in rates.values())
    for axis, (name, values) in zip(axes[:, 0], rates.items(), strict=True):
        axis.hist(100 * np.asarray(values), np.arange(0, 100 * most + 4, 4), color=NORMAL, edgecolor="white")
        axis.axvline(100 * promised, color="black", linestyle="--", linewidth=1.4, label="promised")
        axis.text(0.99, 0.9, name, transform=axis.transAxes, ha="right", va="top", fontweight="bold")
        axis.set(xlim=(0, 100 * most + 4), ylabel=ylabel)
        axis.label_outer()
    axes[-1, 0].set_xlabel(xlabel)
    return figure


def _scale(colours, low, high):
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(low, high), colours)


def _axes(size, rows, columns):
    """A figure outside pyplot and its axes as a 2-D array."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)
