"""Tolerance bands: judged after a run, measured over seeds."""

from pathlib import Path
from statistics import mean, stdev

from dualad_lib.course.runner import run
from dualad_lib.errors import RunError
from dualad_lib.files import atomic_write


def judge(outcome):
    """Rows (metric, value, band, verdict) of an outcome and whether it passed.

    Bands hold for the lesson profile with the notebook's own parameters, and are judged only there.
    """
    result, bands = outcome.result, outcome.lesson.bands
    if result is None:
        return [("-", "-", "-", "FAILED")], False
    reason = ""
    if result["profile"] != "lesson":
        reason = f"not judged ({result['profile']})"
    elif not result["default_parameters"]:
        reason = "not judged (parameters)"
    rows, passed = [], True
    for metric in [*result["metrics"], *(name for name in bands if name not in result["metrics"])]:
        value = result["metrics"].get(metric)
        band, verdict = "-", "-"
        if metric in bands:
            low, high = bands[metric]
            band = reason or f"{low:g} to {high:g}"
            if not reason:
                good = value is not None and low <= value <= high
                verdict, passed = "pass" if good else "FAIL", passed and good
        rows.append((metric, number(value), band, verdict))
    return rows or [("-", "-", reason or "-", "-")], passed


def summary(outcomes):
    """The table at the end of a run as text, and whether everything passed."""
    rows = [("lesson", "metric", "value", "band", "verdict", "seconds", "peak MB")]
    passed = True
    for outcome in outcomes:
        judged, good = judge(outcome)
        passed = passed and good
        result = outcome.result or {}
        seconds, memory = result.get("seconds"), result.get("peak_memory_mb")
        ends = (number(seconds), number(memory))
        for place, row in enumerate(judged):
            rows.append(
                (outcome.lesson.name if place == 0 else "", *row, *(ends if place == 0 else ("", "")))
            )
    return table(rows), passed


def measure_bands(name, seeds=5, output=None, folder=None, course=None, say=print):
    """Run a lesson's lesson profile with seed = 0 .. seeds - 1; return rows of min, mean, max, sd and a proposed band.

    The band is mean +- max(4 sd, 2 % of the mean), widened to hold every value seen. Seeds already run are not run
    again; with `output` the rows are also written there as CSV. Raises RunError when a run fails.
    """
    if seeds < 2:
        raise RunError(f"a spread needs at least 2 seeds, not {seeds}")
    results = []
    for seed in range(seeds):
        place = Path(folder or "runs/bands") / f"seed{seed}"
        (outcome,) = run([name], "lesson", {"seed": str(seed)}, place, course=course, say=say)
        if outcome.error:
            raise RunError(f"seed {seed} failed, so there is no band\n{outcome.error}")
        results.append(outcome.result)
    rows = []
    for metric in results[0]["metrics"]:
        values = [result["metrics"].get(metric) for result in results]
        if None in values:
            raise RunError(f"metric {metric} was not measured with every seed: {values}")
        centre, spread = mean(values), stdev(values)
        margin = max(4 * spread, 0.02 * abs(centre))
        rows.append(
            {
                "lesson": results[0]["lesson"],
                "metric": metric,
                "seeds": seeds,
                "min": min(values),
                "mean": centre,
                "max": max(values),
                "sd": spread,
                "low": min(centre - margin, *values),
                "high": max(centre + margin, *values),
            }
        )
    if not rows:
        raise RunError(f"{results[0]['lesson']} records no metric")
    if output:
        import pandas as pd  # where it is used: a run without --output needs none

        with atomic_write(output) as path:
            pd.DataFrame(rows, dtype=object).to_csv(path, index=False, lineterminator="\n")
    return rows


def number(value):
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def table(rows):
    """Rows of texts, the first being the head, as aligned plain text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
