"""The figures of the course: one style, safe for colour-blind readers, never told apart by colour alone.

Every function returns a matplotlib Figure and leaves pyplot's global state alone. `show(figure, alt=...)` puts it
into a notebook as a PNG that carries its alternative text.
"""

import base64
import functools
import io
import itertools

import numpy as np

from .evaluation import as_array, auroc

# Okabe & Ito (2008), without the yellow that is too light for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
NORMAL, ANOMALOUS = COLOURS[0], COLOURS[1]
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "d", "*")
HATCHES = ("", "///", "...", "\\\\\\", "xx", "++", "oo")
#: Scores that have the same look in every figure that shows one of them; the others of that figure come after.
SCORES = ("pixel", "latent", "dual")
DPI = 96
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "mathtext.fontset": "cm",
}


def styled(function):
    """Run `function` with the course's style, whatever the reader's own matplotlib settings are."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        import matplotlib

        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
            return function(*args, **kwargs)

    return run


def show(figure, alt):
    """Display `figure` in the notebook as a PNG whose alternative text is `alt`.

    The text says what a reader who cannot see the figure should learn from it. It travels in the output's metadata
    (key `alt`), where JupyterLab and nbconvert look for it, and as the plain-text form of the output.
    Raises ValueError when `alt` is empty or only blanks.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("A figure needs alt text: show(figure, alt='what the figure shows').")
    from IPython.display import display

    alt = " ".join(alt.split())
    data = {"image/png": base64.b64encode(png(figure)).decode("ascii"), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


@styled
def png(figure):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


@styled
def image_grid(rows, titles=None, maps=(), size=0.85, title=None, captions=None):
    """Rows of images, each row with its name at the left.

    rows: dict from a row's name to its images, (K, C, H, W) or (K, H, W); uint8, or float in [0, 1].
    titles: K short texts above the columns.
    maps: names of the rows that are maps of non-negative numbers and no pictures: they get a sequential colour map
    with one scale for all of them, and a colour bar. Grey pictures always use the scale 0 to 1.
    captions: dict from a row's name to K short texts below its images.
    """
    captions = captions or {}
    rows = {name: _pictures(images, name in maps) for name, images in rows.items()}
    counts = {name: len(images) for name, images in rows.items()}
    if not rows or min(counts.values()) == 0 or len(set(counts.values())) > 1:
        raise ValueError(f"Every row needs the same number of images, at least one; got {counts}.")
    if titles is not None and len(titles) != next(iter(counts.values())):
        raise ValueError(f"{len(titles)} titles for {next(iter(counts.values()))} columns.")
    columns = next(iter(counts.values()))
    top = max((float(rows[name].max()) for name in maps), default=1.0) or 1.0
    name_width = 0.09 * max(len(name) for name in rows) + 0.2
    height = size * len(rows) + (0.25 if titles else 0.05) + (0.3 if title else 0) + 0.2 * len(captions)
    figure, axes = _axes((name_width + size * columns + (0.6 if maps else 0), height), len(rows), columns)
    for row, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image, caption in zip(row, images, captions.get(name, [""] * columns), strict=True):
            if name in maps:
                shown = axis.imshow(image, cmap="cividis", vmin=0, vmax=top)
            else:
                axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(caption, fontsize=9, labelpad=2)
            axis.grid(False)
            axis.spines[:].set_visible(False)
        large = 14 if name.startswith("$") else None  # symbols are hard to read at the size of words
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=4, fontsize=large)
    if titles is not None:
        for axis, text in zip(axes[0], titles, strict=True):
            axis.set_title(text, fontsize=9)
    if maps:
        # Beside all rows, so that the columns stay in line; at the foot, where the maps are.
        share = len(maps) / len(rows)
        figure.colorbar(shown, ax=axes.ravel().tolist(), fraction=0.05, pad=0.01, shrink=share, anchor=(0, 0))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def score_histograms(normal, anomalous, threshold=None, xlabel="anomaly score", title=None, bins=40):
    """Two histograms of anomaly scores on one axis, each scaled to area one.

    threshold: a dashed line, and beside it the share of both kinds whose score is higher. The longest half per cent of
    all scores is drawn in the last bin, which then says so.
    """
    normal, anomalous = (as_array(part).astype(float) for part in (normal, anomalous))
    everything = np.concatenate([normal, anomalous])
    if not np.isfinite(everything).all():
        raise ValueError("Scores hold NaN or infinity: find out why before drawing them.")
    low, high = everything.min(), np.quantile(everything, 0.995)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    figure, axis = _axes((6.8, 3.3))
    parts = ((normal, "normal", NORMAL, ""), (anomalous, "anomalous", ANOMALOUS, "///"))
    last = 0.0
    for values, name, colour, hatch in parts:
        heights, _, _ = axis.hist(
            np.clip(values, edges[0], edges[-1]), edges, density=True, histtype="stepfilled",
            facecolor=colour + "55", edgecolor=colour, linewidth=1.4, hatch=hatch, label=f"{name} ({len(values)})",
        )  # fmt: skip
        last = max(last, heights[-1])
    top = axis.get_ylim()[1]
    beyond = int((everything > edges[-1]).sum())
    if beyond:
        axis.annotate(
            f"the {beyond} highest scores,\nup to {everything.max():.3g}", (edges[-1], last),
            (edges[-1], last + 0.16 * top), ha="right", va="bottom", fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
            arrowprops={"arrowstyle": "->", "linewidth": 0.8},
        )  # fmt: skip
    if threshold is not None:
        axis.axvline(threshold, color="black", linestyle="--", linewidth=1.4, label="threshold")
        left = threshold > edges[0] + 0.7 * (edges[-1] - edges[0])  # there is more room
        where = {"ha": "right" if left else "left", "va": "top", "fontsize": 9}
        texts = [("alarm $\\rightarrow$", "black", "bold")]
        texts += [(f"{100 * (v > threshold).mean():.1f} % of {n}", c, "normal") for v, n, c, _ in parts]
        for k, (text, colour, weight) in enumerate(texts):
            point = (-6 if left else 6, -2 - 13 * k)
            axis.annotate(
                text, (threshold, 1), point, ("data", "axes fraction"), "offset points",
                color=colour, fontweight=weight, **where,
            )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel="density", xlim=(edges[0], edges[-1] + 0.01 * (edges[-1] - edges[0])))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def roc_curve(curves, title=None):
    """ROC curves with their AUROC (per cent) in the legend.

    curves: dict from a name to (labels, scores); labels 0 normal, 1 anomalous; higher scores = more anomalous.
    """
    from sklearn import metrics

    figure, axis = _axes((4.6, 4.2))
    for i, (name, (labels, scores)) in enumerate(curves.items()):
        area = 100 * auroc(labels, scores)
        false_alarms, hits, _ = metrics.roc_curve(as_array(labels), as_array(scores))
        axis.plot(
            false_alarms,
            hits,
            color=_pick(COLOURS, i),
            linestyle=_pick(LINES, i),
            label=f"{name}: {area:.1f}",
        )
    axis.plot([0, 1], [0, 1], color="#888888", linewidth=1.0, linestyle=":", label="chance: 50.0")
    axis.set(
        xlabel="false alarms among the normal images", ylabel="anomalies found",
        xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", title=title,
    )  # fmt: skip
    axis.legend(title="AUROC (%)", loc="lower right")
    return figure


@styled
def losses(history, log=True, xlabel="step", ylabel="loss", title=None):
    """Loss curves, one line style each: recorded values faint, their running mean over a twentieth of the run strong.

    history: dict from a name to a sequence of floats, one a step.
    """
    figure, axis = _axes((6.4, 3.0))
    for i, (name, values) in enumerate(history.items()):
        values = np.asarray(values, dtype=float)
        window = max(1, len(values) // 20)
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        colour = _pick(COLOURS, i)
        axis.plot(np.arange(1, len(values) + 1), values, color=colour, alpha=0.25, linewidth=0.8)
        centres = np.arange(len(smooth)) + (window + 1) / 2
        axis.plot(centres, smooth, color=colour, linestyle=_pick(LINES, i), label=name)
    if log and all(np.min(values) > 0 for values in history.values()):
        axis.set_yscale("log")
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.legend()
    return figure


@styled
def auroc_bars(results, floor=40, title=None, ylabel="AUROC (%)", legend="score"):
    """Grouped bars of AUROC in per cent: a group a detector, a bar a score, its value written above.

    results: dict from a detector's name to a dict from a score's name to its AUROC in [0, 1], or to a triple
    (AUROC, low, high) whose interval is drawn. Scores that a detector does not have are left out.
    floor: where the axis begins, in per cent; a dotted line marks chance at 50. legend: what the bars of a group are.
    """
    scores = list(dict.fromkeys(score for group in results.values() for score in group))
    places = {score: [] for score in scores}
    ticks, left = [], 0.0
    for detector, group in results.items():
        for k, score in enumerate(s for s in scores if s in group):
            value, low, high = _triple(group[score])
            places[score].append((left + k, 100 * value, 100 * (value - low), 100 * (high - value)))
        ticks.append((left + (len(group) - 1) / 2, detector))
        left += len(group) + 0.7
    figure, axis = _axes((min(10.0, max(4.5, 1.2 + 0.62 * left)), 3.4))
    highest = floor
    for i, score in zip(_looks(scores), scores, strict=True):
        x, y, below, above = np.array(places[score]).T
        axis.bar(
            x, y - floor, bottom=floor, width=0.86, label=score, color=_pick(COLOURS, i) + "99",
            edgecolor=_pick(COLOURS, i), hatch=_pick(HATCHES, i),
        )  # fmt: skip
        if np.any(below + above > 0):
            axis.errorbar(x, y, yerr=[below, above], fmt="none", ecolor="black", capsize=3, linewidth=1)
        for one, (value, over) in zip(x, zip(y, above, strict=True), strict=True):
            axis.text(
                one, max(value + over, floor) + 0.8, f"{value:.1f}", ha="center", va="bottom", fontsize=8
            )
        highest = max(highest, float(np.max(y + above)))
    if floor < 50:
        axis.axhline(50, color="black", linewidth=0.9, linestyle=":")
        axis.text(
            1.005, 50, "chance", ha="left", va="center", fontsize=8, transform=axis.get_yaxis_transform()
        )
    axis.set_xticks([place for place, _ in ticks], [_folded(name) for _, name in ticks])
    axis.grid(False, axis="x")
    axis.set(ylabel=ylabel, title=title, ylim=(floor, highest + 6), xlim=(-0.8, left - 0.3))
    if len(scores) > 1:
        figure.legend(*axis.get_legend_handles_labels(), title=legend, loc="outside right upper")
    return figure


@styled
def sweep(values, lines, xlabel, ylabel="AUROC (%)", scale=100, log2=True, title=None):
    """How results change with one setting: a line with its own marker and style for each name.

    values: the settings on the x axis; lines: dict from a name to one number a setting, or to (means, lows, highs),
    which draws the band between lows and highs. Numbers are multiplied by `scale` (100 turns AUROC into per cent).
    """
    figure, axis = _axes((6.4, 3.4))
    for i, (name, numbers) in zip(_looks(lines), lines.items(), strict=True):
        numbers = scale * np.asarray(numbers, dtype=float)
        if numbers.shape[-1] != len(values):
            raise ValueError(f"Line {name!r} has {numbers.shape[-1]} numbers for {len(values)} settings.")
        middle = numbers if numbers.ndim == 1 else numbers[0]
        axis.plot(
            values, middle, color=_pick(COLOURS, i), linestyle=_pick(LINES, i), marker=_pick(MARKERS, i), label=name
        )  # fmt: skip
        if numbers.ndim == 2:
            axis.fill_between(
                values, numbers[1], numbers[2], color=_pick(COLOURS, i), alpha=0.15, linewidth=0
            )
    if log2:
        axis.set_xscale("log", base=2)
        axis.set_xticks(values, [str(value) for value in values])
        axis.minorticks_off()
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.legend()
    return figure


@styled
def spheres(panels, title=None):
    """Codes of two numbers and the sphere around them: a panel a moment or a setting, each with its own scale.

    panels: dict from a panel's name to (normal codes, centre, radius), or with anomalous codes as a fourth. Codes are
    (N, 2) and centre (2,); the radius counts as in `losses.enclosure`, where distances are means over coordinates:
    the circle drawn is ||z - c||^2 / 2 = R^2.
    """
    side, turn = min(2.7, 11.0 / len(panels)), np.linspace(0, 2 * np.pi, 200)
    figure, axes = _axes((side * len(panels), side + 0.6), 1, len(panels))
    for axis, (name, (normal, centre, radius, *more)) in zip(axes[0], panels.items(), strict=True):
        centre, drawn = np.asarray(centre, dtype=float), 2**0.5 * float(radius)
        if more:
            axis.scatter(
                *np.asarray(more[0]).T, s=10, marker="x", linewidths=0.7, color=ANOMALOUS, label="anomalous"
            )
        axis.scatter(
            *np.asarray(normal).T, s=9, marker="o", alpha=0.7, linewidths=0, color=NORMAL, label="normal"
        )
        circle = centre[:, None] + drawn * np.array([np.cos(turn), np.sin(turn)])
        axis.plot(*circle, color="black", linewidth=1.6, label="sphere $(c, R)$")
        axis.plot(*centre, marker="+", markersize=10, color="black")
        everything = np.concatenate([np.asarray(part, dtype=float) for part in (normal, *more)])
        reach = max(1.1 * drawn, np.quantile(np.abs(everything - centre).max(1), 0.98))
        axis.set(
            xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach),
            aspect="equal", xlabel="$z_1$", title=name,
        )  # fmt: skip
    axes[0][0].set_ylabel("$z_2$")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def codes_2d(panels, spheres=None, share=0.99, title=None):
    """Codes of two numbers as a scatter: a panel a network or a moment, all with the same axes.

    panels: dict from a panel's name to a dict from a group's name to its codes (n, 2). A group has the same colour and
    mark in every panel; the first is the normal one, in dots. spheres: dict from a panel's name to (centre (2,),
    radius), the radius as in `spheres`. The axes hold the middle `share` of all codes in each direction, and all
    spheres; codes further out are drawn at the edge.
    """
    names = list(dict.fromkeys(name for groups in panels.values() for name in groups))
    everything = np.concatenate(
        [np.asarray(z, dtype=float) for groups in panels.values() for z in groups.values()]
    )
    corners = [np.quantile(everything, [(1 - share) / 2, (1 + share) / 2], axis=0)]
    for centre, radius in (spheres or {}).values():
        corners.append(np.add.outer([-1.5, 1.5], np.zeros(2)) * radius + np.asarray(centre, dtype=float))
    low, high = np.concatenate(corners).min(0), np.concatenate(corners).max(0)
    middle, reach = (low + high) / 2, 0.53 * max((high - low).max(), 1e-9)
    side = min(3.4, 9.0 / len(panels))
    figure, axes = _axes((side * len(panels) + 1.8, side + 0.55), 1, len(panels))
    handles, turn = {}, np.linspace(0, 2 * np.pi, 200)
    for axis, (panel, groups) in zip(axes[0], panels.items(), strict=True):
        for name in sorted(groups, key=names.index, reverse=True):  # the normal group on top
            i = names.index(name)
            look = {"alpha": 0.6, "linewidths": 0} if i == 0 else {"alpha": 0.75, "linewidths": 0.6}
            z = np.clip(np.asarray(groups[name], dtype=float), middle - reach, middle + reach)
            handles[name] = axis.scatter(
                *z.T, s=11, marker=_pick(MARKERS, i), color=_pick(COLOURS, i), **look
            )
        if panel in (spheres or {}):
            centre, radius = np.asarray(spheres[panel][0], dtype=float), 2**0.5 * float(spheres[panel][1])
            circle = centre[:, None] + radius * np.array([np.cos(turn), np.sin(turn)])
            (handles["sphere $(c, R)$"],) = axis.plot(*circle, color="black", linewidth=1.6)
            axis.plot(*centre, marker="+", markersize=10, color="black")
        axis.set(
            xlim=(middle[0] - 1.03 * reach, middle[0] + 1.03 * reach), xlabel="$z_1$", aspect="equal",
            ylim=(middle[1] - 1.03 * reach, middle[1] + 1.03 * reach), title=panel,
        )  # fmt: skip
    axes[0][0].set_ylabel("$z_2$")
    order = [name for name in (*names, "sphere $(c, R)$") if name in handles]
    figure.legend([handles[name] for name in order], order, loc="outside right upper", markerscale=1.8)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def ablation_heatmap(tables):
    """Mean AUROC of stages (rows) and scores (columns) as coloured cells with their values, a panel a data set.

    tables: dict from a data set's name to a DataFrame in percent, a row a stage, a column a score; gaps stay white.
    Each panel has its own colour range: what counts is what changes inside it.
    """
    figure, axes = _axes((1.2 + 3.1 * len(tables), 2.9), 1, len(tables))
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        values = table.to_numpy(dtype=float)
        known = values[np.isfinite(values)]
        low, high = (known.min(), known.max()) if len(known) else (0, 1)
        axis.imshow(values, cmap="cividis", vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            if np.isfinite(value):
                ink = "black" if value > (low + high) / 2 else "white"
                axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9, color=ink)
        axis.set_xticks(range(values.shape[1]), list(table.columns))
        axis.set_yticks(
            range(values.shape[0]), list(table.index) if axis is axes[0][0] else [""] * len(values)
        )
        axis.set(title=name)
        axis.grid(False)
    return figure


@styled
def frontier(panels, bold=()):
    """What each method reaches in how many seconds: a line a method, a panel a data set, seconds on a log axis.

    panels: dict from a data set's name to a dict from a method's name to (seconds, AUROCs in percent), equally long
    and in rising order of seconds. bold: methods with thick lines. No axis goes below 50, a coin's AUROC. One legend
    holds all methods, each with its own marker; those with a line have a colour each, single points are grey.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    lined = [n for n in names if any(len(lines.get(n, ((),))[0]) > 1 for lines in panels.values())]
    figure, axes = _axes((2.2 + 4.2 * len(panels), 3.8), 1, len(panels))
    handles = {}
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, (seconds, reached) in lines.items():
            i, thick = names.index(name), name in bold
            colour = _pick(COLOURS, lined.index(name)) if name in lined else "0.35"
            (handles[name],) = axis.plot(
                seconds, reached, color=colour, marker=_pick(MARKERS, i),
                linewidth=2.6 if thick else 1.2, markersize=7 if thick else 5, zorder=3 if thick else 2,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set(title=title, xlabel="CPU seconds, fit and 2,000 scores")
        axis.set_ylim(bottom=max(50, axis.get_ylim()[0]))
    axes[0][0].set_ylabel("AUROC (%)")
    figure.legend(handles.values(), handles.keys(), loc="outside right upper")
    return figure


@styled
def paired_differences(pairs, xlabel):
    """Mean differences with their intervals, a line each; zero is marked.

    pairs: DataFrame with columns mean, low, high and two levels of index (group, name), drawn from top to bottom.
    """
    figure, axis = _axes((7.5, 0.9 + 0.3 * max(1, len(pairs))))
    groups = list(dict.fromkeys(pairs.index.get_level_values(0)))
    for place, ((group, _), row) in enumerate(pairs.iterrows()):
        k = groups.index(group)
        axis.errorbar(
            row["mean"], place, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]],
            fmt=_pick(MARKERS, k), color=_pick(COLOURS, k), capsize=3, linewidth=1.3,
        )  # fmt: skip
    axis.axvline(0, color="black", linewidth=0.9, linestyle=":")
    axis.set_yticks(range(len(pairs)), [f"{group}: {name}" for group, name in pairs.index])
    axis.set(xlabel=xlabel, ylim=(len(pairs) - 0.5, -0.5))
    return figure


@styled
def score_plane(normal, anomalous, rules=None, xlabel="pixel score", ylabel="latent score", title=None):
    """Images in the plane of two scores, and the straight lines above which weighted sums of them raise an alarm.

    normal, anomalous: (n, 2), (m, 2) scores, in one unit on both axes. rules: dict from a name to (weight of the first
    score, weight of the second, threshold), drawn as weight_1 * x + weight_2 * y = threshold. The longest half per cent
    of the anomalies' tails is drawn at the edge.
    """
    normal, anomalous = (np.asarray(part, dtype=float) for part in (normal, anomalous))
    everything = np.concatenate([normal, anomalous])
    low, high = everything.min(0), np.quantile(everything, 0.995, axis=0)
    margin = 0.04 * np.maximum(high - low, 1e-9)
    figure, axis = _axes((5.6, 4.4))
    parts = ((anomalous, "anomalous", ANOMALOUS, "x", 0.45), (normal, "normal", NORMAL, "o", 0.75))
    for points, name, colour, marker, alpha in parts:
        x, y = np.clip(points, low, high).T
        axis.scatter(
            x, y, s=12, color=colour, marker=marker, alpha=alpha, linewidths=0.8, label=f"{name} ({len(points)})"
        )  # fmt: skip
    axis.set(
        xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]),
        xlabel=xlabel, ylabel=ylabel, title=title,
    )  # fmt: skip
    for i, (name, (first, second, threshold)) in enumerate((rules or {}).items()):
        look = {"color": "black", "linestyle": _pick(LINES, i), "linewidth": 1.6, "label": name}
        if abs(second) < 1e-9:
            axis.axvline(threshold / first, **look)
        else:
            axis.axline((0, threshold / second), slope=-first / second, **look)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
    return figure


@styled
def sound(samples, panels, rate, hop, title=None):
    """A waveform, and images of it below over the same time axis.

    samples: (n,) in [-1, 1], `rate` a second. panels: dict from a panel's name to (image, frequencies): image (H, W) in
    [0, 1], a column a frame, frames `hop` samples apart; frequencies (H,) in Hz, from the top row to the bottom one.
    """
    samples = np.asarray(samples, dtype=float)
    figure, axes = _axes((6.4, 1.3 + 1.6 * len(panels)), 1 + len(panels), 1)
    wave, *rest = axes[:, 0]
    wave.plot(np.arange(len(samples)) / rate, samples, color=NORMAL, linewidth=0.7)
    wave.set(title="waveform", ylabel="pressure", xlim=(0, len(samples) / rate))
    for axis, (name, (image, frequencies)) in zip(rest, panels.items(), strict=True):
        image, frequencies = np.asarray(image, dtype=float), np.asarray(frequencies, dtype=float)
        height, width = image.shape
        axis.imshow(
            image, cmap="gray", vmin=0, vmax=1, aspect="auto", extent=(0, width * hop / rate, height - 0.5, -0.5)
        )  # fmt: skip
        marks = {}
        for hz in (4000, 2000, 1000, 500, 250):
            place = int(np.abs(frequencies - hz).argmin())
            if hz <= 1.1 * frequencies.max() and all(abs(place - other) > height / 8 for other in marks):
                marks[place] = f"{hz:,}"
        axis.set_yticks(list(marks), list(marks.values()))
        axis.set(title=name, ylabel="Hz", xlim=(0, len(samples) / rate))
        axis.grid(False)
    axes[-1, 0].set_xlabel("seconds")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def who_chooses(normal, others, test_normal, test_anomalous):
    """Which images a detector learns from, which set its threshold, which choose its settings, which measure it.

    normal, others: how many training images there are of the normal class and of all others; test_normal and
    test_anomalous: of the test files. The drawing is not to scale. Its rules are those of `Detector.fit`, which holds
    back a tenth, and of `load_one_class(split="development")`, a fifth of each class.
    """
    fifth, rest = round(normal / 5), round(others / 5)
    jobs = {
        "learn": ("sets the weights", COLOURS[0], ""),
        "hold": ("sets the threshold", COLOURS[2], "..."),
        "develop": ("chooses settings, once for all classes", COLOURS[4], "\\\\"),
        "test": ("measures, and chooses nothing", COLOURS[1], "///"),
        "idle": ("not used", "#999999", ""),
    }
    rows = {
        "to fit a detector:\ntraining files": [
            ("learn", 3.6, "normal", round(0.9 * normal)), ("hold", 1.6, "held-out tenth", round(0.1 * normal)),
            ("idle", 4.8, "other classes", others),
        ],
        "to measure it:\ntest files": [
            ("test", 5.2, "normal", test_normal), ("test", 4.8, "anomalous", test_anomalous),
        ],
        "to choose a setting:\ntraining files again": [
            ("learn", 2.0, "normal", round(0.9 * (normal - fifth))),
            ("hold", 1.2, "tenth", round(0.1 * (normal - fifth))), ("develop", 2.0, "development split", fifth),
            ("idle", 2.8, "other classes", others - rest), ("develop", 2.0, "development split", rest),
        ],
    }  # fmt: skip
    figure, axis = _axes((9.4, 3.5))
    handles = {}
    for place, boxes in enumerate(rows.values()):
        left = 0.0
        for job, width, name, count in boxes:
            text, colour, hatch = jobs[job]
            (handles[text],) = axis.barh(
                place, width - 0.08, 0.72, left, color=colour + "33", edgecolor=colour, hatch=hatch, linewidth=1.4
            )  # fmt: skip
            axis.text(
                left + width / 2 - 0.04, place, f"{name}\n{count:,}", ha="center", va="center", fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
            )  # fmt: skip
            left += width
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set(xticks=[], xlim=(-0.05, 10.0), ylim=(len(rows) - 0.5, -0.5))
    axis.tick_params(left=False)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    order = [text for text, _, _ in jobs.values()]
    figure.legend([handles[text] for text in order], order, loc="outside lower center", ncols=3, fontsize=9)
    return figure


PARTS = ("D", "FC", "MI", "dual")


@styled
def loss_graph(parts=(), new=()):
    """The recurring figure of the course: the autoencoder, and around it the loss terms learned so far.

    parts: any of "D" (image discriminator), "FC" (feature constraint: sphere and critic), "MI" (mutual information)
    and "dual" (the auxiliary autoencoder D'); `new` names those that the lesson at hand adds, drawn with a heavy dashed
    outline. Boxes are networks, circles are tensors, rounded labels are loss terms.
    """
    parts, new = tuple(parts), tuple(new)
    unknown = [part for part in (*parts, *new) if part not in PARTS]
    if unknown:
        raise ValueError(f"Unknown part {unknown[0]!r}; the figure knows {', '.join(PARTS)}.")
    parts = tuple(part for part in PARTS if part in parts + new)
    from matplotlib.patches import Ellipse, FancyArrowPatch, Polygon

    bottom = -3.4 if {"D", "FC"} & set(parts) else -1.0
    top = 2.9 if "MI" in parts else 2.0
    right = 13.2 if "dual" in parts else 9.9
    figure, axis = _axes((0.72 * (right + 0.8), 0.72 * (top - bottom)))
    axis.set(xlim=(-0.8, right), ylim=(bottom, top), aspect="equal")
    axis.axis("off")

    def look(part):
        if part is None:
            return {"edgecolor": "black", "linewidth": 1.3}
        colour = COLOURS[1 + PARTS.index(part)]
        fresh = {"linestyle": "--", "linewidth": 2.4} if part in new else {"linewidth": 1.5}
        return {"edgecolor": colour, **fresh}

    def tensor(x, y, text, part=None):
        axis.add_patch(Ellipse((x, y), 1.0, 1.0, facecolor="white", **look(part)))
        axis.text(x, y, text, ha="center", va="center", fontsize=13)

    def network(x, y, text, part=None, funnel=0):
        """A trapezium narrowing to the right (funnel 1) or to the left (-1), or a box (0)."""
        left, right_ = {1: (0.75, 0.35), -1: (0.35, 0.75), 0: (0.5, 0.5)}[funnel]
        corners = [(x - 0.65, y - left), (x + 0.65, y - right_), (x + 0.65, y + right_), (x - 0.65, y + left)]
        fill = "#eeeeee" if part is None else COLOURS[1 + PARTS.index(part)] + "22"
        axis.add_patch(Polygon(corners, facecolor=fill, **look(part)))
        axis.text(x, y, text, ha="center", va="center", fontsize=13)

    def arrow(start, end, part=None, curve=0.0, style="-|>"):
        colour = look(part)["edgecolor"]
        axis.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle=style, mutation_scale=12, color=colour, linewidth=1.3,
                connectionstyle=f"arc3,rad={curve}", linestyle=look(part).get("linestyle", "-"),
            )
        )  # fmt: skip

    def term(x, y, text, part=None, ha="center"):
        shape = {"boxstyle": "round,pad=0.35", "facecolor": "white", **look(part)}
        axis.text(x, y, text, ha=ha, va="center", fontsize=11, bbox=shape, zorder=5)

    tensor(0, 0, "$x$")
    network(2.1, 0, "$G_e$", funnel=1)
    tensor(4.2, 0, "$z$")
    network(6.3, 0, "$G_d$", funnel=-1)
    tensor(8.4, 0, r"$\hat{x}$")
    for start, end in ((0.5, 1.45), (2.75, 3.7), (4.7, 5.65), (6.95, 7.9)):
        arrow((start, 0), (end, 0))
    height = 2.45 if "MI" in parts else 1.55
    arrow((0, 0.5), (0, height), style="-")
    arrow((8.4, 0.5), (8.4, height), style="-")
    arrow((0, height), (8.4, height), style="-")
    term(4.2, height, r"$\mathcal{L}_{rec}$: mean of $(x-\hat{x})^2$")
    if "MI" in parts:
        network(2.1, 1.5, "$T_g, T_l$", "MI")
        arrow((0.4, 0.35), (1.4, 1.35), "MI", curve=-0.1)
        arrow((3.85, 0.38), (2.8, 1.35), "MI", curve=0.1)
        arrow((2.75, 1.5), (3.5, 1.5), "MI")
        term(3.65, 1.5, r"$I_{JS}(x; z)$, raised", "MI", ha="left")
    if "FC" in parts:
        axis.add_patch(Ellipse((4.2, -1.75), 1.2, 1.2, facecolor=COLOURS[2] + "22", **look("FC")))
        axis.plot([4.2], [-1.75], marker="+", markersize=9, color="black")
        axis.annotate("", (4.2 + 0.42, -1.75 + 0.42), (4.2, -1.75), arrowprops={"arrowstyle": "->"})
        axis.text(4.1, -1.95, "$c$", ha="right", va="center", fontsize=11)
        axis.text(4.5, -1.85, "$R$", ha="left", va="center", fontsize=11)
        arrow((4.2, -0.5), (4.2, -1.15), "FC")
        arrow((4.2, -2.35), (4.2, -2.7), "FC")
        term(4.4, -3.0, r"$\mathcal{L}_{FC}$: $z$ near $c$", "FC")
        network(2.1, -1.75, "$C$", "FC")
        arrow((2.1, -0.55), (2.1, -1.25), "FC")
        arrow((2.1, -2.25), (2.1, -2.7), "FC")
        term(1.6, -3.0, r"$\mathcal{L}_{C}$: which $T_t$?", "FC")
    if "D" in parts:
        network(8.4, -1.75, "$D$", "D")
        arrow((8.4, -0.5), (8.4, -1.25), "D")
        axis.text(6.95, -1.75, "real $x$", ha="right", va="center", fontsize=11)
        arrow((7.05, -1.75), (7.75, -1.75), "D")
        arrow((8.4, -2.25), (8.4, -2.75), "D")
        term(8.4, -3.0, r"$\mathcal{L}_{adv}$: real or fake", "D")
    if "dual" in parts:
        network(10.6, 0, "$D'$", "dual")
        arrow((8.9, 0), (9.95, 0), "dual")
        arrow((11.25, 0), (11.9, 0), "dual")
        term(12.05, 0, r"$\mathcal{L}_{dual}$", "dual", ha="left")
    return figure


@styled
def canvas(width, height, rows=1, columns=1, **options):
    """An empty figure in the course's style, for a drawing of a lesson's own: (figure, axes (rows, columns)).

    options: what matplotlib's `subplots` takes, such as sharex. Names of axes and legends are the caller's to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _axes(size, rows=None, columns=None):
    """A figure outside pyplot and its axes: a 2-D array where `rows` is given, else one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots() if rows is None else figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def _pictures(images, is_map):
    """Images as float (K, H, W) or (K, H, W, 3), pictures in [0, 1]."""
    images = as_array(images)
    images = images / 255 if images.dtype == np.uint8 else images.astype(float)
    if not np.isfinite(images).all():
        raise ValueError(
            "Images hold NaN or infinity, which no colour shows: find out why before drawing them."
        )
    if not is_map and images.size and (images.min() < -0.5 or images.max() > 1.5):
        raise ValueError(
            f"Pictures are uint8, or float in [0, 1]; these go from {images.min():.3g} to {images.max():.3g}."
        )
    if images.ndim == 4:
        images = images[:, 0] if images.shape[1] == 1 else np.moveaxis(images, 1, -1)
    if images.ndim < 3:
        raise ValueError(f"Images must be (K, H, W) or (K, C, H, W), not {images.shape}.")
    if is_map:
        return images.mean(-1) if images.ndim == 4 else images
    return np.clip(images, 0, 1)


def _triple(value):
    return tuple(value) if np.ndim(value) else (value, value, value)


def _looks(names):
    """A number for the colour, mark and hatch of each name; one that begins with a name of SCORES has that score's."""
    names = list(names)
    scores = [
        next((k for k, score in enumerate(SCORES) if str(name).startswith(score)), None) for name in names
    ]
    known = [k for k in scores if k is not None]
    if not known or len(set(known)) < len(known):
        return range(len(names))
    others = itertools.count(len(SCORES))
    return [next(others) if k is None else k for k in scores]


def _pick(sequence, i):
    return sequence[i % len(sequence)]


def _folded(name):
    """A detector's name on two lines where it is long, so that neighbouring tick labels do not meet."""
    return name.replace("_", "\n").replace(" ", "\n") if len(name) > 6 else name
