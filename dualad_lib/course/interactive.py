"""Sliders over a trained detector, for a reader in JupyterLab or Colab; a batch run passes them by.

They need ipywidgets. What they show is play: whoever moves a slider until the test labels look best has chosen on them.
"""

import os

import torch

from .. import plots
from ..evaluation import auroc
from ..scoring import LogStandard, threshold_at
from .environment import BATCH


def explore_scores(held, test, labels):
    """Sliders for the weight of the pixel score and the false-alarm rate, over the histogram of the fused score.

    held, test: raw scores of held-out normal and of test images, dicts with "pixel" and "latent" -> (n,). labels: (n,)
    0 normal, 1 anomalous, of the test images. Returns the widget, or None where there can be none.
    """
    names = ("pixel", "latent")
    scales = {name: LogStandard.fit(held[name]) for name in names}
    held, test = ({name: scales[name](raw[name]) for name in names} for raw in (held, test))

    def draw(weight, rate):
        fused, calibration = (weight * u["pixel"] + (1 - weight) * u["latent"] for u in (test, held))
        threshold = threshold_at(calibration, rate)
        found, alarms = (float((fused[labels == kind] > threshold).mean()) for kind in (1, 0))
        text = (
            f"AUROC {100 * auroc(labels, fused):.1f}; at the threshold {100 * found:.0f} % of the anomalies are found, "
            f"and {100 * alarms:.1f} % of the normal images raise a false alarm"
        )
        normal, anomalous = fused[labels == 0], fused[labels == 1]
        figure = plots.score_histograms(normal, anomalous, threshold, xlabel="fused score", title=text)
        plots.show(figure, alt=f"Histograms of the fused score of normal and anomalous images. {text}.")

    return _sliders(
        draw,
        weight=("weight of the pixel score", 0.5, 0.0, 1.0, 0.05),
        rate=("false-alarm rate", 0.05, 0.01, 0.5, 0.01),
    )


def explore_codes(model, images, directions=6):
    """Sliders that walk through the latent space of an autoencoder: along which main direction, and how far.

    model: a fitted detector with `encode` and a decoder (Autoencoder, DualAD). images: (N, C, H, W), their codes span
    the space. Returns the widget, or None where there can be none.
    """
    z = model.encode(images)
    mean = z.mean(0)
    _, lengths, rows = torch.linalg.svd(z - mean, full_matrices=False)
    deviations = lengths / max(1, len(z) - 1) ** 0.5
    directions = min(directions, len(rows))

    def draw(direction, furthest):
        steps = torch.linspace(-furthest, furthest, 7)
        codes = mean + steps[:, None] * deviations[direction - 1] * rows[direction - 1]
        with torch.no_grad():
            drawn = model.network_.decode(codes.to(next(model.network_.parameters()).device)).cpu()
        titles = [f"{step:+.1f}" for step in steps.tolist()]
        figure = plots.image_grid({f"direction {direction}": drawn}, titles=titles)
        plots.show(
            figure, alt=f"Seven images drawn from codes along main direction {direction}, in deviations."
        )

    return _sliders(
        draw,
        direction=("main direction of the codes", 1, 1, directions, 1),
        furthest=("deviations from the mean", 2.0, 0.5, 5.0, 0.5),
    )


def _sliders(draw, **sliders):
    """A box of sliders, each (text, value, low, high, step), above what `draw` shows for their values."""
    if os.environ.get(BATCH):
        print("Sliders: open this notebook in JupyterLab or Colab and run the cell there.")
        return None
    try:
        import ipywidgets
    except ImportError:
        print("Sliders need ipywidgets: pip install ipywidgets, then run this cell again.")
        return None
    made = {}
    for name, (text, value, low, high, step) in sliders.items():
        kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
        made[name] = kind(
            value=value, min=low, max=high, step=step, description=text, continuous_update=False,
            style={"description_width": "initial"}, layout={"width": "32em"},
        )  # fmt: skip
    return ipywidgets.VBox([*made.values(), ipywidgets.interactive_output(draw, made)])
