"""Draws figures/cover.png, the picture of README and of the site: uv run python figures/cover.py

One place of the shipped ball screw: its last photograph, the heat map of DualAD on features over it, and its score over
ten days. The detector learned from the first 15 photographs of each of five places; the next 5 set the threshold.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from dualad_lib import DualAD
from dualad_lib.data import load_inspection

PLACE, FIRST, HELD = "635000_270", 15, 5
SIGNAL, MARK, QUIET = "#d55e00", "#0072b2", "#555555"

data = load_inspection("ball_screws_sample", image_size=320)
number = torch.cat([torch.arange((data.places == p).sum()) for p in range(len(data.place_names))])
bank, held = number < FIRST, (number >= FIRST) & (number < FIRST + HELD)
model = DualAD(features="efficientnet_lite0", seed=0).fit(data.images[bank], calibration=data.images[held])
own = data.places == data.place_names.index(PLACE)
scores, maps = model.scores_and_maps(data.images[own])
days = (data.times[own] - data.times.min()).numpy() / 86400
marked = data.labels[own].numpy() > 0
threshold = float(model.threshold_)
ahead = scores.final > threshold

last = len(days) - 1
image = data.images[own][last]
image = image.permute(1, 2, 0).numpy() if image.ndim == 3 else image.numpy()
heat = torch.nn.functional.interpolate(
    torch.as_tensor(maps[last])[None, None].float(), image.shape[:2], mode="bilinear"
)[0, 0].numpy()

plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
figure = plt.figure(figsize=(10, 4.5), layout="constrained", dpi=120)
grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1])
for row, title in enumerate(
    (
        f"photograph of day {days[last]:.0f}",
        "where it departs most from the first days",
    )
):
    axis = figure.add_subplot(grid[row, 0])
    axis.imshow(image)
    if row:  # the hottest tenth of the picture
        low = torch.from_numpy(heat).flatten().quantile(0.9).item()
        strength = ((heat - low) / (heat.max() - low)).clip(0, 1)
        axis.imshow(heat, cmap="autumn", alpha=0.8 * strength**0.5, vmin=low, vmax=heat.max())
        axis.contour(data.masks[own][last].float().numpy(), [0.5], colors="white", linewidths=1.8)
    axis.set_title(title, loc="left", fontsize=11)
    if row:
        axis.text(
            1, -0.03, "white: where the engineer marked pits", ha="right", va="top", transform=axis.transAxes
        )
    axis.set_axis_off()
axis = figure.add_subplot(grid[:, 1])
axis.plot(days, scores.final, color=QUIET, linewidth=1)
axis.scatter(days[~ahead], scores.final[~ahead], color=QUIET, s=16, label="below the threshold", zorder=3)
axis.scatter(days[ahead], scores.final[ahead], color=SIGNAL, s=30, marker="^", label="alarm", zorder=3)
axis.axhline(threshold, color="black", linestyle="--", linewidth=1)
axis.annotate("threshold", (days[0], threshold), xytext=(0, 4), textcoords="offset points")
first_mark = days[marked.argmax()]
axis.axvline(first_mark, color=MARK, linestyle=":", linewidth=2)
axis.annotate(
    "an engineer\nmarks a pit", (first_mark, axis.get_ylim()[1]), xytext=(-6, -4), textcoords="offset points",
    ha="right", va="top", color=MARK,
)  # fmt: skip
axis.set(xlabel="days", ylabel="anomaly score", title="ten days of one place")
axis.legend(frameon=False, loc="upper left")
figure.savefig(Path(__file__).parent / "cover.png")
print(
    "alarms:",
    int(ahead.sum()),
    "of",
    len(days),
    "first mark, day",
    round(float(first_mark), 1),
    "first alarms, days",
    days[ahead][:6].round(1),
)
