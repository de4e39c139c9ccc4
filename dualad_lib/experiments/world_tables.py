"""Tables of RESULTS.md beyond the main ones, drawn from figures/results: attacked signs, inspected tiles, sounds."""

import pandas as pd

from .literature import ADVERSARIAL_SIGNS
from .markdown import table

FINAL = ("score", "dual")


def signs_table(rows):
    """Markdown table: AUROC in percent of each detector against each attack at 8/255, beside the published row."""
    found = attack_table(rows)
    if found.empty:
        return "Not measured yet."
    lines = [[name, *map(_figure, line)] for name, line in found.iterrows()]
    for name, figures in ADVERSARIAL_SIGNS.items():
        cells = [_figure(figures.get(attack, float("nan"))) for attack in found.columns]
        lines.append([f"*{name}, as published*", *cells])
    return table(["detector", *found.columns], lines)


def attack_of(setting):
    """What a row's setting says, as texts: {"attack": "fgsm", "eps": "8/255", "fooled": "200/231"}; {} for ""."""
    return dict(part.split("=") for part in setting.split(";") if part)


def attack_table(rows, eps="8/255", scores=("score", "dual")):
    """AUROC in percent, mean over seeds: a line a detector, a column an attack at one bound (or without a bound).

    "other classes" are clean test images. Rows as `read_results` gives them; NaN where an attack has no row.
    """
    chosen = []
    for row in rows:
        attack = attack_of(row["setting"])
        if row["score"] in scores and attack.get("eps", eps) == eps:
            name = ", ".join(filter(None, (row["detector"], attack.get("parts"))))
            kind = attack.get("attack", "other classes")
            chosen.append({"detector": name, "attack": kind, "auroc": 100 * row["auroc"]})
    frame = pd.DataFrame(chosen, columns=["detector", "attack", "auroc"])
    found = frame.pivot_table(index="detector", columns="attack", values="auroc", sort=False)
    order = ("fgsm", "bim", "deepfool", "boundary", "adaptive", "other classes")
    return found.reindex(columns=[name for name in order if name in found.columns])


def lost(rows):
    """Share of the rightly named images that each attack made the classifier lose: Series by (attack, eps or "")."""
    found = {}
    for row in rows:
        attack = attack_of(row["setting"])
        if attack.get("attack", "adaptive") != "adaptive":  # that one differs from detector to detector
            fooled, asked = map(int, attack["fooled"].split("/"))
            found[attack["attack"], attack.get("eps", "")] = fooled / asked
    return pd.Series(found, dtype=float)


def tiles_table(rows, measures):
    """Markdown table of the magnetic tiles: image AUROC, pixel AUROC, PRO, and false alarms where 5 % are promised."""
    frame = pd.DataFrame(
        [row for row in rows if row["score"] in FINAL and row["setting"] in ("", "patches=32")]
    )
    if frame.empty:
        return "Not measured yet."
    image = 100 * frame.groupby(["detector", "setting"], sort=False).auroc.mean()
    own = pd.DataFrame([row for row in measures if row["profile"] == "paper" and row["shift"] == "none"])
    own = own.groupby(["detector", "setting", "measure"]).value.agg(["mean", "min", "max", "count"])
    lines = []
    for (detector, setting), auroc in image.items():
        maps = [_figure(100 * _value(own, (detector, setting, name))) for name in ("pixel_auroc", "pro")]
        alarms = own.loc[(detector, setting, "false_alarms")]
        mean, low, high = 100 * alarms[["mean", "min", "max"]]
        said = f"{mean:.1f} ({low:.1f}, {high:.1f}), {alarms['count']:.0f}"
        name = detector + (", patches of 32" if setting else "")
        lines.append([name, f"{auroc:.1f}", *maps, said])
    heads = ["detector", "image AUROC", "pixel AUROC", "PRO", "false alarms, % (lowest, highest), splits"]
    return table(heads, lines)


def sound_table(rows):
    """Markdown table: mean AUROC in percent over the ten words, speakers who train and strangers."""
    frame = pd.DataFrame([row for row in rows if row["score"] in FINAL])
    if frame.empty:
        return "Not measured yet."
    found = 100 * frame.pivot_table(index="detector", columns="dataset", values="auroc", sort=False)
    found = found[["spoken_digits", "spoken_digits_unheard"]]
    lines = ([name, *map(_figure, line)] for name, line in found.iterrows())
    return table(["detector", "speakers who also train", "strangers"], lines)


def _value(own, key):
    return own["mean"].get(key, float("nan"))


def _figure(value):
    return "" if pd.isna(value) else f"{value:.1f}"
