# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · Features that know images
#
# {{ colab_badge }}
#
# So far every network learned from a few images alone. On photographs of real parts that failed: on magnetic
# tiles all of DualAD ended at an AUROC of {{ tiles_dualad | pct }}, where a coin has 50.
#
# Now take a network that was trained to name dogs, trucks and teapots.
# **Can it tell us where the part is broken?**
#
# **After this lesson you will be able to**
#
# - turn a frozen network and a nearest neighbour into a detector with heat maps;
# - keep a thirtieth of its memory, and say why *which* thirtieth matters;
# - say why a distance needs a unit;
# - say which parts of DualAD earn their place on features;
# - find out with a blind rival whether a score has seen the damage at all.
#
# **You need** lesson [05](05_dual_scoring.ipynb) (thresholds and false alarms); for section 5 also lessons 02
# to 04.
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about 75 minutes of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

# %% tags=["bootstrap"]
# Installs the course's library where it is missing, as on Colab; torch is never touched.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("dualad_lib") is None:
    source = os.environ.get("DUALAD_SOURCE") or "git+https://github.com/dualad-course/dualad"
    python = [sys.executable, "-m"]
    subprocess.run([*python, "pip", "install", "--quiet", "--no-deps", source], check=True)
    subprocess.run([*python, "dualad_lib.course.environment"], check=True)  # light packages that are missing
    importlib.invalidate_caches()

from dualad_lib.course.environment import describe

print(describe())

# %%
import time
import warnings
from copy import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from dualad_lib import DualAD, PatchCore, plots, plots_parts
from dualad_lib.course import record
from dualad_lib.course.provenance import results_folder
from dualad_lib.data import load_inspection
from dualad_lib.data.inspection import SHIFTS, camera, split_development
from dualad_lib.errors import DataError
from dualad_lib.evaluation import auroc, pixel_auroc
from dualad_lib.experiments.results import study_rows
from dualad_lib.neighbours import Bank
from dualad_lib.networks.backbone import load_backbone
from dualad_lib.scoring import threshold_at
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "ball_screws_sample"  # "ball_screws": all fifteen places, looked up
image_size = 320  # the longer side, in pixels
first = 15  # photographs of each place that fill the bank
held_back = 5  # the next ones of each place, for the threshold
bank_size = 5000  # cells in the bank of section 4
sizes = [100, 400, 1600]  # of the banks that are compared in section 3
steps = 60  # batches that train one DualAD
batch_size = 16
copies = 1  # damaged copies of each photograph for the critic
widths = [0.25, 0.5, 1, 2, 8]  # of the drawn cracks, in pixels
seed = 0

# %% [markdown]
# ## 1. Where is it broken?
#
# A ball screw moves the table of a machine tool. In the end its track pits: pieces of the surface break out. For
# ten days a camera photographed one such spindle, and an engineer outlined the pits (Schlagenhauf, Landwehr and
# Fleischer, 2021). Five places of it, 57 photographs each, ship with the course.
# %%
data = load_inspection(dataset, image_size=image_size)
names = [f"{int(name.partition('_')[0]) / 1000:g} mm" for name in data.place_names]  # along the thread
days = (data.times - data.times.min()).numpy() / 86400
number = torch.cat([torch.arange(1, 1 + int((data.places == p).sum())) for p in range(len(names))])


def at(place, numbers):
    """Photographs by place and number, 1 the earliest."""
    own = torch.nonzero(data.places == names.index(place))[:, 0]
    return own[torch.tensor(numbers) - 1]


def titled(chosen):
    return [f"{names[data.places[i]]}, no. {number[i]}, day {days[i]:.0f}" for i in chosen]


# %%
two_days = at("635 mm", [20, 57])
figure = plots_parts.heat_maps(data.images[two_days], titles=titled(two_days), columns=1, width=7.5)
plots.show(
    figure,
    alt="Two photographs of one place of the spindle, on the third and on the tenth day: a bright metal thread, seen "
    "at a slant. On the second one the track is scratched, there is dirt at the upper edge, and two small dark pits.",
)

# %% [markdown]
# Find the two pits in the second photograph. Now ask a detector that has looked at the first {{ first }}
# photographs of this place, all of them good.
# %%
good_of_place = data.images[at("635 mm", range(1, first + 1))]
quick = PatchCore(false_alarm_rate=0.5).fit(good_of_place)  # its threshold is not asked for here
quick_map = torch.from_numpy(quick.anomaly_map(data.images[two_days]))
figure = plots_parts.pairs(
    data.images[two_days],
    quick_map,
    data.masks[two_days],
    titled(two_days),
    (float(quick_map[0].max()), float(quick_map.max())),  # colours begin where the good photograph ends
)
plots.show(
    figure,
    alt="The two photographs, the engineer's outlines in the left column, heat maps in the right one. On the third day "
    "nothing is hot. On the tenth both outlined pits are hot, one of them most of all, and so is the dirt at the top.",
)

# %% [markdown]
# The blue outlines are the engineer's; the detector never saw them. Colours begin where the
# good photograph ends, so that it is bare by construction. The hottest spot of the other is a pit.
#
# We build such a detector. Of each place the first {{ first }} photographs are known as good, the next
# {{ held_back }} set the threshold, and all later ones test. Settings may be chosen at two of the five places,
# 277.5 and 635 mm; sections 4 and 5 are scored at the other three.
# %%
bank = torch.nonzero(number <= first)[:, 0]
held = torch.nonzero((number > first) & (number <= first + held_back))[:, 0]
late = torch.nonzero(number > first + held_back)[:, 0]
print(f"{len(bank)} photographs for the bank, {len(held)} for the threshold, {len(late)} to test")
print(f"marked by the engineer: {int(data.labels[late].sum())} of those that test")

# %% [markdown]
# ## 2. A frozen network and a nearest neighbour
#
# The network is EfficientNet-Lite0, trained on the million photographs of ImageNet. We **freeze** it (no weight
# changes any more) and cut it open: after each stage it holds a **feature map** $F$, coarser and richer than the one
# before. Its grid points we call **positions**; a *place* is always one on the spindle.
# %%
network = load_backbone()
with torch.no_grad():
    levels = network(data.images[two_days[-1:]] / 255, levels=(0, 1, 2, 3))
for level, each in enumerate(levels):
    print(f"level {level}: {each.shape[1]:3d} channels on {each.shape[2]} x {each.shape[3]} positions")

# %% tags=["machinery"]
channels, channel_titles = [], []
for level in (0, 2, 3):
    own = levels[level][0]
    own = own[own.flatten(1).std(1).topk(2).indices]  # the channels in which most happens
    low, high = own.amin((1, 2), keepdim=True), own.amax((1, 2), keepdim=True)
    grey = (255 * (own - low) / (high - low)).byte()[:, None]
    channels.append(F.interpolate(grey, data.images.shape[2:], mode="nearest"))
    channel_titles += [f"a channel of level {level}"] * len(own)
figure = plots_parts.heat_maps(torch.cat(channels), titles=channel_titles, columns=2, width=4.2)
plots.show(
    figure,
    alt="Two channels each of three levels for the last photograph. Level 0 draws the edges of the thread, and the "
    "pits; in level 2 the thread's stripes can be guessed; level 3 is a mosaic of a few large cells in which no thread "
    "can be made out.",
)


# %% [markdown]
# Level 0 draws edges, the pits among them. In level 3 each number sums up a wide surrounding.
#
# We want one vector for each small square of the photograph. As PatchCore does (section 3), we take levels 2
# and 3, average each over 3 × 3 positions and lay both on the finer grid. A **cell** of this grid is 8 × 8
# pixels, with one vector.
# %%
@torch.no_grad()
def features_of(images):
    """uint8 (n, 3, H, W) -> (n, h, w, c): a vector for each cell of 8 x 8 pixels."""
    fine, coarse = network(images / 255, levels=(2, 3))
    fine, coarse = (F.avg_pool2d(m, 3, 1, 1, count_include_pad=False) for m in (fine, coarse))
    coarse = F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, coarse], 1).permute(0, 2, 3, 1)


def features(images):
    return torch.cat([features_of(batch) for batch in images.split(16)])


f = features(data.images)
tuple(f.shape)


# %% [markdown]
# And now the detector, which is one sentence: *a cell is as odd as it is far from the nearest cell of a good
# photograph.*
#
# $$s(p) = \min_{q \in \text{bank}} \lVert F_p - F_q \rVert$$
#
# The **bank** holds the vectors of all good cells, and the one at which the minimum is reached is the **nearest
# neighbour** of $p$. *Near* means alike to the network.
#
# A photograph scores the mean of its highest hundredth of cells: a pit is small, and a mean over all would
# drown it.
# %%
def distances(f, bank):
    """(n, h, w, c) and (m, c) -> (n, h, w): how far each cell is from the nearest cell of the bank."""
    return torch.stack([torch.cdist(one.flatten(0, 1), bank).amin(1).view(one.shape[:2]) for one in f])


def image_scores(heat, share=0.01):
    flat = heat.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), 1).values.mean(1)


def enlarged(heat):
    """From cells to pixels."""
    return F.interpolate(heat[:, None], data.images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


# %% [markdown]
# Nothing was trained. **Predict:** in no. 57 a pit was hottest. Is it in no. 51, too, a day before?
# %%
seen = at("635 mm", [20, 51, 57])
own_bank = f[at("635 mm", range(1, first + 1))].flatten(0, 2)
own_heat = distances(f[seen], own_bank)
figure = plots_parts.pairs(
    data.images[seen],
    enlarged(own_heat),
    data.masks[seen],
    titled(seen),
    (float(own_heat[0].max()), float(own_heat.max())),  # again from the hottest spot of no. 20 on
    label="distance to the nearest",
)
plots.show(
    figure,
    alt="Three photographs of the place at 635 mm, outlines left, heat maps right. Number 20, which sets "
    "the scale, is bare. In numbers 51 and 57 the pits are hot, and the upper edge and the scratched track below, too.",
)


# %% [markdown]
# The pits glow, and with them scratched track and the upper edge, in no. 51 even hotter than the pit. All of it
# *is* new, and we asked for "new", not for "damage".
#
# ## 3. What to keep: the coreset
#
# Now all five places share one bank. Most of its cells show nearly the same smooth metal, and every new cell is
# compared with all. Can we keep a thirtieth?
#
# **PatchCore** (Roth et al., 2022) keeps a **coreset**: few cells, chosen so that *every* cell has one of them
# nearby. The greedy way to it: take next whatever is farthest from all that you have.
# %%
def greedy_coreset(vectors, count, seed=0, projection=64):
    """Indices (count,) of vectors (M, d) that cover all others: each next one is the farthest from those chosen."""
    if not 1 <= count <= len(vectors):
        raise DataError(f"a coreset of {count} asked for, of {len(vectors)} vectors.")
    generator = torch.Generator().manual_seed(seed)
    x = vectors.float()
    if x.shape[1] > projection:  # keeps distances nearly as they were, and makes the search cheap
        x = x @ (torch.randn(x.shape[1], projection, generator=generator) / projection**0.5).to(x.device)
    squares = x.square().sum(1)
    chosen = torch.empty(count, dtype=torch.long, device=x.device)
    chosen[0] = int(torch.randint(len(x), (), generator=generator))
    least = torch.full_like(squares, torch.inf)
    for number in range(1, count):
        last = chosen[number - 1 : number]  # stays on the device: reading it back would stall a GPU
        apart = torch.addmv(squares + squares[last], x, x[last[0]], alpha=-2)
        least = torch.minimum(least, apart)
        chosen[number] = least.argmax()
    return chosen


# %% [markdown]
# **Predict** on paper: 200 points in a dense heap, 20 in a thin arm. You may keep eight. Which does chance
# keep, and which the greedy rule?
# %%
random = np.random.default_rng(seed)
turn = random.uniform(0.2, 2.6, 20)
arm = np.stack([4 * np.cos(turn), 4 * np.sin(turn)], 1) + random.normal(0, 0.1, (20, 2))
toy = np.concatenate([random.normal(0, 0.7, (200, 2)), arm])
ways = {"by chance": random.permutation(220)[:8], "greedy": greedy_coreset(torch.from_numpy(toy), 8)}
figure = plots_parts.banks(toy, ways)
plots.show(
    figure,
    alt="A dense heap of points and a thin arm around it, twice. By chance all eight kept points lie in the heap and "
    "the arm is far from any. Greedily kept points spread evenly over both, so that every point has one nearby.",
)


# %% [markdown]
# Chance keeps what is frequent, the greedy rule what is *different*. On real cells we measure two things. The
# **covering radius** is how far the worst-covered good cell lies from the bank. **Pixel AUROC** is the chance that a
# pixel inside an outline is hotter than one outside, taken within each photograph and then averaged, here over
# marked photographs of the two places for choosing.


# %%
def within(maps, photographs):
    """Pixel AUROC of each marked photograph for itself. maps: (n, H, W)."""
    masks = data.masks[photographs]
    return [pixel_auroc(mask[None], own[None]) for mask, own in zip(masks, maps, strict=True)]


cells = f[bank].flatten(0, 2)
development, reported = split_development(data)
marked = data.masks.flatten(1).any(1)  # photographs with an outline
choosing = late[torch.isin(late, development) & marked[late]][::2]
starts = range(seed, seed + 3)  # three draws each: the greedy rule, too, begins with a cell by chance
draws = {  # the first 100 of a greedy choice are the choice of 100
    "greedy": [greedy_coreset(cells, max(sizes), start) for start in starts],
    "by chance": [torch.randperm(len(cells), generator=torch.Generator().manual_seed(n)) for n in starts],
}


def nearest_of(f, bank):
    """Distance to the nearest cell of a `Bank`, and its number, (n, h, w) each: does what `distances` does, faster."""
    apart, index = torch.empty(f.shape[:3]), torch.empty(f.shape[:3], dtype=torch.long)
    for k, one in enumerate(f):  # one by one, into tensors that are there, for the sake of memory
        apart[k], index[k] = (found.view(f.shape[1:3]) for found in bank.nearest(one.flatten(0, 1)))
    return apart, index


def cover(chosen):
    """(covering radius, pixel AUROC, milliseconds of a photograph) of a bank of some cells."""
    small = Bank(cells[chosen])
    started = time.perf_counter()
    heat, _ = nearest_of(f[choosing], small)
    spent = 1000 * (time.perf_counter() - started) / len(choosing)
    radius = float(nearest_of(f[bank], small)[0].max()) if len(small) < len(cells) else 0.0
    return radius, np.mean(within(enlarged(heat), choosing)), spent


# %%
covers = {way: np.array([[cover(own[:k]) for k in sizes] for own in each]) for way, each in draws.items()}
everything = cover(slice(None))
ranges = {way: [take(each[..., 1], 0) for take in (np.mean, np.min, np.max)] for way, each in covers.items()}
lines = dict(ranges)
lines[f"all {len(cells)} cells"] = [everything[1]] * len(sizes)
figure = plots.sweep(sizes, lines, xlabel="cells in the bank", ylabel="pixel AUROC (%)")
plots.show(
    figure,
    alt="Pixel AUROC against the number of cells in the bank, means of three draws in bands from the lowest to the "
    "highest. With 100 and 400 cells the bands are wide and overlap. With 1600 the greedy bank reaches the line of all "
    "cells in every draw, and a random bank stays below it.",
)

# %%
kinds = {}
for way, each in covers.items():
    radius, pixel, spent = each[:, -1].mean(0)
    kinds[f"{sizes[-1]} {way}"] = [radius, 100 * pixel, spent]
kinds["all"] = [everything[0], 100 * everything[1], everything[2]]
pd.DataFrame(kinds, ["covering radius", "pixel AUROC", "ms a photograph"]).T.round(1)

# %% [markdown]
# A thirtieth of the cells, chosen greedily, is as good as all of them, and far faster. As many drawn by chance lose
# about {{ pixel_all - chance_mean | pct0 }} points. The radius hints why: some good cell lies far from all that
# chance kept, and will look damaged for ever.
#
# ## 4. A distance needs a unit
#
# On smooth metal a large distance is an event. Where good cells lie that far from *each other*, as they may on a
# dirty thread, the same distance means nothing. Two units come to mind:
#
# **A unit for each direction.** The **Mahalanobis distance** of lesson 05, here from the mean of the good cells,
# measures each direction in its own standard deviation.
#
# **A unit for each cell of the bank.** Call the mean distance of a cell $q$ to its own 20 nearest in the bank its
# **spacing** $\delta_q$. Find the nearest neighbour $q$ of $p$ as before, and divide by its spacing:
#
# $$s(p) = \frac{\lVert F_p - F_{q} \rVert}{\delta_q}.$$
#
# A score of 3 says: three times as far from the nearest good cell as good cells there are from each other. (The idea
# of the **local outlier factor**, Breunig et al., 2000. PatchCore, too, weighs its image score so, though not its
# map.) A coreset's cells lie far apart even where good cells are dense, so we draw the bank by chance, and larger.
#
# **Predict:** which of the two beats the plain distance? And what pixel AUROC does a **blind map** get, a bright
# stripe across the middle of the frame, the same for every photograph?


# %%
def spacings(bank):
    """(m,): how far each cell of a bank lies from its 20 nearest others, on average."""
    return bank.nearest(bank.vectors, 21)[0][:, 1:].mean(1)  # the first is the cell itself


def searched(f, bank, spacing):
    """(n, h, w, c) -> two maps (n, h, w): distance to the nearest of a bank, and the same in units of its spacing."""
    apart, index = nearest_of(f, bank)
    return apart, apart / spacing[index]


chance = draws["by chance"][0]
kept = Bank(cells[chance[:bank_size]])
spacing = spacings(kept)
mean, root = cells.mean(0), torch.linalg.cholesky(torch.linalg.inv(torch.cov(cells.T)))
tested = late[torch.isin(late, reported)]  # at the three places on which nothing was chosen
pitted = marked[tested]
# the outlines, a cell wider: a hottest spot in there is a hit
hit = F.max_pool2d(data.masks[tested[pitted]].float()[:, None], 17, 1, 8)[:, 0] > 0


def whitened(vectors):
    """In deviations of each direction of the good cells: the length of the result is the Mahalanobis distance."""
    return (vectors - mean) @ root


def relative(f):
    return searched(f, kept, spacing)[1]


def on_pits(maps):
    """Maps (n, H, W) of the pitted photographs -> mean pixel AUROC within one, and how many are hottest on a pit."""
    hottest = maps.flatten(1).argmax(1, keepdim=True)
    return np.mean(within(maps, tested[pitted])), int(hit.flatten(1).gather(1, hottest).sum())


# %%
plain, heat = searched(f, kept, spacing)
units = {"plain distance": plain, "Mahalanobis": whitened(f).norm(dim=-1), "units of the spacing": heat}
y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in f.shape[1:3]), indexing="ij")
stripe = -(y**2 + x**2 / 10).expand(heat.shape)
print(f"{'':20}  pixel AUROC   hottest on a pit, of {int(pitted.sum())}")
first_draw = {}
for name, own in {**units, "a blind stripe": stripe}.items():
    pixel, hits = first_draw[name] = on_pits(enlarged(own[tested[pitted]]))
    print(f"{name:20}  {100 * pixel:11.1f}   {hits:16d}")

# %%
one = at("585 mm", [54])
both = torch.cat([own[one] / own[held].amax() for own in units.values()])  # 1: the hottest good cell
shown = one.repeat(len(units) + 1)
figure = plots_parts.heat_maps(
    data.images[shown],
    enlarged(torch.cat([torch.zeros_like(both[:1]), both])),
    torch.cat([data.masks[one], torch.zeros_like(data.masks[shown[1:]])]),
    [*titled(one), *units],
    scale=(0.8, float(both.max())),
    label="1: hottest good cell",
)
plots.show(
    figure,
    alt="A late photograph with the outline of its pit, and under three heat maps in which 1 is the hottest good cell. "
    "By plain and by Mahalanobis distance the pit is lukewarm. In units of the spacing it is by far the hottest spot.",
)

# %% [markdown]
# In the picture only units of the spacing lift the pit well above the dirt. But the stripe has seen nothing and gets
# {{ pixel_stripe | pct }}, more than all three: the photographs show only two pits, both halfway up the frame,
# on the track at which the camera was aimed. So a high pixel AUROC does not prove that anyone *looked*.
#
# Count instead what a person would: in how many photographs is the hottest spot on a pit, or within a cell of it?
# The stripe has none, and a random spot would be right {{ hit_area | pct0 }} % of the time. The plain distance has
# {{ hits_plain | int }} such **hits**, units of the spacing **{{ hits_relative | int }} of {{ pitted | int }}**.
# Barely half, and of two pits only; section 7 asks whether any other map would do as well.
#
# Mahalanobis is *worse* than no unit, though it also gave up the neighbours for a mean. The spacing wins: is that the
# unit, or a lucky bank? Count on more banks, three draws of each.
# %%
with_pit = f[tested[pitted]]


def hits_of(bank, unit):
    """How many photographs are hottest on a pit: by plain distance, and in units of each cell of the bank."""
    return [on_pits(enlarged(own))[1] for own in searched(with_pit, bank, unit)]


hits_of_all, _ = hits_of(Bank(cells), torch.ones(len(cells)))
print(f"{'hottest on a pit':18}  plain distance   units of the spacing")
print(f"{f'all {len(cells)} cells':18}  {hits_of_all}")
hits_by = {}
for way, count in (("by chance", bank_size), ("by chance", max(sizes)), ("greedy", max(sizes))):
    banks = [Bank(cells[own[:count]]) for own in draws[way]]
    hits_by[way, count] = np.array([hits_of(each, spacings(each)) for each in banks]).T
    print(
        "{:18}  {:14}   {}".format(
            f"{count} {way}", *(", ".join(map(str, row)) for row in hits_by[way, count])
        )
    )

# %% [markdown]
# In every bank the unit hits more often than the plain distance to *all* cells. So it is the unit. And by plain
# distance the coreset keeps up with all cells, while by units it is the worst bank, as we feared.
#
# ## 5. DualAD on features: the four parts again
#
# `DualAD(features=...)` plays the game of the lessons before on $F$:
#
# | part | what it does on $F$ |
# |---|---|
# | $G$ | restores a disturbed feature from those around it |
# | $D$ | tells features from restored ones |
# | sphere | holds the codes of the cells together |
# | critic | tells good cells from cells with drawn damage |
# | $T$ | ties a cell's code to other cells of its photograph |
# | dual score | $G$'s error, distance in units of the spacing, and critic, weighted on other drawn damage |
#
# (*Drawn damage*: lines, spots and patches, drawn into good photographs.) We begin with DualAD's own neighbours and
# add one part a row. **Predict:** which step moves the hits?

# %%
off = {"image_discriminator": False, "feature_constraint": False, "mutual_information": False}
stages = {
    "+ G": off,
    "+ D": off | {"image_discriminator": True},
    "+ sphere and critic": off | {"image_discriminator": True, "feature_constraint": True},
    "+ T: the whole of it": {},
}


def measured(verdicts, maps):
    """Image AUROC of the tested photographs, and how many of the pitted ones are hottest on a pit."""
    return auroc(data.labels[tested], verdicts), on_pits(maps[pitted])[1]


def judged(model):
    scores, maps = model.scores_and_maps(data.images[tested])
    return measured(scores.dual, torch.from_numpy(maps))


rows = {"by hand (section 4)": measured(image_scores(heat[tested]), enlarged(heat[tested]))}
for name, switches in stages.items():
    whole = DualAD(
        features="efficientnet_lite0",
        steps=steps,
        batch_size=batch_size,
        copies=copies,
        seed=seed,
        **switches,
    )
    whole.fit(data.images[bank], calibration=data.images[held])
    if name == "+ G":
        alone = copy(whole)  # the same, with all weight on the neighbours
        alone.fusion_ = replace(alone.fusion_, weights={"pixel": 0.0, "neighbours": 1.0})
        rows["its neighbours alone"] = judged(alone)
    rows[name] = judged(whole)  # the last of them is the whole of it

# %%
table = pd.DataFrame.from_dict(rows, orient="index", columns=["image AUROC", "hottest on a pit"])
total = sum(whole.fusion_.weights.values())
shares = {name: w / total for name, w in whole.fusion_.weights.items()}
print("weights of the fused score:", ", ".join(f"{name} {100 * w:.0f} %" for name, w in shares.items()))
table.mul([100, 1]).round(1)

# %% [markdown]
# The first step trains nothing: DualAD's own neighbours see one level more and a larger bank, which is worth
# {{ hits_gain | f1 }} hits on average of five seeds. Then *no part adds a hit*; over five seeds all of them together
# add {{ hits_whole_high - hits_alone_low | int }} at most. (By image the first row drew a lucky bank: on average of
# five seeds it has {{ image_hand_mean | pct }}, the whole of DualAD {{ image_whole_mean | pct }}.)
#
# That is nearly built in: {{ share_neighbours | pct0 }} % of the weight, set on drawn damage, sits on neighbours of
# *frozen* features, which no training touches. (Trained briefly;
# [longer here](../RESULTS.md#on-features-that-know-images).)
#
# ## 6. Right, and why
#
# Numbers hide where the heat lies. So look at three places in their last days. Colours begin at the hottest spot
# of all held-back good photographs.

# %%
bare = float(whole.anomaly_map(data.images[held]).max())  # what the hottest good cell reaches

right = torch.cat([at("585 mm", [54]), at("597.5 mm", [54]), at("635 mm", [57])])
whole_map = whole.anomaly_map(data.images[right])
figure = plots_parts.pairs(
    data.images[right], whole_map, data.masks[right], titled(right), (bare, float(whole_map.max()))
)
plots.show(
    figure,
    alt="Three late photographs of three places, outlines left and heat right. In each the heat peaks on the "
    "outline of the pit: one pit at 585 mm and at 597.5 mm, two at 635 mm. Dirt and scratches glow faintly.",
)

# %% [markdown]
# The heat peaks on an outlined pit. We picked these three, the last at a place for choosing; by the table the hottest
# spot is right in {{ hits_whole | int }} of {{ pitted | int }} photographs.
#
# **Why there?** A nearest neighbour can be looked at. Take a photograph's hottest cell by the score of section
# 4 and an ordinary one, of median score, each beside its nearest in the bank.
# %% tags=["machinery"]
height, wide = f.shape[1:3]
reach, cell = 28, data.images.shape[2] // height


def crop(photograph, position):
    """The 56 x 56 pixels around the middle of a cell."""
    y, x = (cell * int(k) + cell // 2 for k in divmod(int(position), wide))
    padded = F.pad(data.images[photograph][None].float(), [reach] * 4, mode="reflect")[0].byte()
    return padded[:, y : y + 2 * reach, x : x + 2 * reach]


crops, crop_titles, offers = [], [], []
for i in right[[0, 2]]:
    for position, what in (
        (heat[i].flatten().argmax(), "hottest"),
        (heat[i].flatten().median(0).indices, "ordinary"),
    ):
        _, nearest = kept.nearest(f[i].flatten(0, 1)[position][None])
        source = int(chance[nearest[0, 0]])
        crops += [crop(i, position), crop(bank[source // (height * wide)], source % (height * wide))]
        offers.append(float(heat[i].flatten()[position]))
        crop_titles += [f"{names[data.places[i]]}: {what} cell", f"nearest good: {offers[-1]:.1f} spacings"]
outline = torch.zeros(len(crops), 2 * reach, 2 * reach, dtype=torch.bool)
outline[:, reach - cell // 2 : reach + cell // 2, reach - cell // 2 : reach + cell // 2] = True
figure = plots_parts.heat_maps(torch.stack(crops), masks=outline, titles=crop_titles, columns=4, width=2.2)
plots.show(
    figure,
    alt="Two rows of four crops, the cell outlined: the hottest cell of a late photograph beside the nearest good "
    "cell, an ordinary cell beside its own. The hottest cells show a torn pit, and the nearest good ones smooth metal "
    "with an edge; the ordinary cells and their nearest neighbours look alike.",
)


# %% [markdown]
# For an ordinary cell the bank has a near twin. For a pit its best offer is sound metal,
# {{ hottest_spacings | f1 }} spacings away at 585 mm. That is all this detector knows: *I have seen nothing like
# this.*
#
# ## 7. Ten days, one line each
#
# Now let it watch. For the score of section 4 the {{ held_back }} photographs of each place that were held back set
# a threshold with 5 % false alarms. Three photographs in a row above it are an alarm.
#
# **Predict:** how many days before the engineer's first mark comes the alarm? And at the place that never pits?
# %%
def first_of(true, run=1):
    """Number of the first photograph at which `run` in a row are true, counted at the last of them; None: never."""
    for k in range(run, len(true) + 1):
        if all(true[k - run : k]):
            return k
    return None


scores = image_scores(heat)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # in the smoke profile there are too few for a promise
    threshold = threshold_at(scores[held].numpy(), 0.05)
panels, alarms = {}, {}
for p, name in enumerate(names):
    own = data.places == p
    panels[name] = (days[own], scores[own], data.labels[own] > 0)
    above = (scores[own] > threshold) & (number[own] > first + held_back)
    alarm = first_of(above, 3)
    if alarm:
        alarms[name] = at(name, [alarm])

# %%
alarm_days = {name: float(days[i].item()) for name, i in alarms.items()}
unmarked = late[data.labels[late] == 0]
false_later = float((scores[unmarked] > threshold).float().mean())
print(f"later photographs without a mark above the threshold: {100 * false_later:.0f} %")
for name, (when, _, is_marked) in panels.items():
    mark = f"first mark on day {when[is_marked][0]:.1f}" if is_marked.any() else "never marked"
    print(f"{name:>8}: alarm", f"on day {alarm_days[name]:.1f}," if name in alarm_days else "never,", mark)
figure = plots_parts.timelines(panels, threshold, "days", "score, in units of the spacing", alarm_days)
for axis in figure.axes:
    for own, grey, what in ((bank, "#bbbbbb", "fills the\nbank"), (held, "#e2e2e2", "sets the\nthreshold")):
        axis.axvspan(days[own].min(), days[own].max(), color=grey, alpha=0.6, linewidth=0, zorder=-1)
        axis.text(days[own].mean(), 0.6, what, transform=axis.get_xaxis_transform(), ha="center", fontsize=9)
plots.show(
    figure,
    alt="The score of five places over ten days, marked photographs set apart, a threshold, and each place's alarm. "
    "All five hover at the threshold from day four to eight and rise together on the ninth, also where nothing is ever "
    "marked. At 277.5 and 635 mm the alarm comes on day six, two days before the first mark. Grey bands show the first "
    "days, whose photographs fill the bank and set the threshold.",
)

# %% [markdown]
# Three alarms come before the first mark, two by about two days: early warnings? (Over five seeds the
# earliest comes between day 4 and day 6.) But one comes nearly four days late, and one where nothing is ever
# marked. And where 5 % was promised, {{ false_later | pct0 }} % of the later unmarked photographs are above the
# threshold. (At 585 mm the marks vanish for three days, and pits do not heal.)
#
# Look at what raised them. Colours begin at the threshold; the outlines are of the last day.
# %%
told = torch.cat([alarms[name] for name in names if name in alarms])
last = torch.cat([at(names[data.places[i]], [int((data.places == data.places[i]).sum())]) for i in told])
told_titles = [f"{names[data.places[i]]}, alarm on day {days[i]:.1f}" for i in told]
before = at(names[0], [31])  # of the three in a row at 277.5 mm the one before the last
told, last = torch.cat([told, before]), torch.cat([last, at(names[0], [int((data.places == 0).sum())])])
told_titles.append(f"{names[0]}, just before, day {days[before[0]]:.1f}")
figure = plots_parts.heat_maps(
    data.images[told],
    enlarged(heat[told]),
    data.masks[last],
    told_titles,
    scale=(threshold, 1.5 * threshold),
    label="in units of the spacing",
)
plots.show(
    figure,
    alt="The photographs that raised an alarm, each with the heat above the threshold and the outlines of the "
    "last day; the sixth, the one before the alarm at 277.5 mm, is green. No heat touches an outline. At 277.5 mm it "
    "lies on the track below, at 585 and 597.5 mm at the upper edge, at 635 mm faintly at the lower edge. At "
    "477.5 mm, without outline, patches lie all over the track.",
)

# %% [markdown]
# At none of the five is it the pit, not even at 585 mm, where one was already marked. The sixth, which helped to raise
# the early alarm, is *green*, as one at 635 mm that day: the picture had changed. On the ninth day all
# five lines rise, also at 477.5 mm, where no pit ever comes.
#
# Damage, or time? Ask a rival that looks at no photograph: a **calendar**, whose score is the day. **Predict** its
# image AUROC.
# %%
calendar = torch.from_numpy(days).float()
by_image = {}
for where, chosen in {"all five places": late, "the three of section 4": tested}.items():
    by_image[where] = [auroc(data.labels[chosen], own[chosen]) for own in (scores, calendar)]
    print(
        "image AUROC at {}: our detector {:.1f}, the calendar {:.1f}".format(
            where, *100 * np.array(by_image[where])
        )
    )

# %% [markdown]
# Without a look the calendar is ahead of our detector at the five places. At the three ours leads, but on
# average of five seeds by {{ image_hand_mean - image_date_three | pct0 }} points only. Such an AUROC does not show
# that anyone knows *whether* a part is pitted.
#
# ***Where*** is another matter. Its fair rivals are our own heat maps: those of 477.5 mm, which never pits,
# from the same days, and those of the same place without a mark. Lay the pits' outlines on them. **Predict:**
# how often is the hottest spot inside?
# %%
is_marked, day, sound = data.labels[late] > 0, calendar[late], names.index("477.5 mm")
maps, dealt = enlarged(heat), {}
for name, allowed in {
    "its own": lambda i: late == i,
    "of 477.5 mm, same days": lambda i: (data.places[late] == sound) & ((day - calendar[i]).abs() <= 0.5),
    "of its place, no mark": lambda i: (data.places[late] == data.places[i]) & ~is_marked,
}.items():
    dealt[name] = np.mean(
        [
            float(near.flatten()[maps[j].argmax()])
            for i, near in zip(tested[pitted], hit, strict=True)
            for j in late[allowed(i)]
        ]
    )
    print(f"heat maps {name:23} hottest on the pit {100 * dealt[name]:3.0f} %")


# %% [markdown]
# Without the pit that spot is hardly ever the hottest (over five seeds in at most
# {{ share_unmarked_high | pct0 }} % of the maps). So neither frame nor days nor place explain the hits: where this
# detector points at a pit, it has seen it. To know *whether*, it needs good photographs that show all that may
# change on a good part: lesson [07](07_your_own_images.ipynb).
#
# ## 8. When it fails
#
# **A crack thinner than a cell.** Draw a line across the track of good photographs, and make it thinner and
# fainter. **Predict:** at which width is the crack lost?
# %%
def cracked(images, width, darker=0.5):
    """A line across each photograph, `width` pixels wide, `darker` by this share than what it crosses."""
    height, length = images.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(length), indexing="ij")
    along = (y - 0.45 * height) * 0.94 + (x - 0.55 * length) * 0.34
    across = (x - 0.55 * length) * 0.94 - (y - 0.45 * height) * 0.34
    covered = (width / 2 + 0.5 - across.abs()).clamp(0, min(1, width)) * (along.abs() < 0.12 * height)
    return (images * (1 - darker * covered)).round().byte()


good = data.images[held]
looks = {
    "8 pixels wide, dark": (8, 0.5),
    "1 pixel, dark": (1, 0.5),
    "a quarter of a pixel, faint": (0.25, 0.15),
}
drawn = torch.cat([cracked(good[:1], *look) for look in looks.values()])
figure = plots_parts.pairs(drawn, enlarged(relative(features(drawn))), titles=[*looks], scale=(1.2, 3))
plots.show(
    figure,
    alt="One good photograph with three drawn cracks, and their heat maps. Under the crack of eight pixels and under "
    "the one of one pixel lies a glow of nearly the same size, several cells wide. The faint thin one stays cold.",
)

# %%
two = np.repeat([0, 1], len(held))
cracks = {
    darker: [
        auroc(two, torch.cat([scores[held], image_scores(relative(features(cracked(good, w, darker))))]))
        for w in widths
    ]
    for darker in (0.5, 0.15)
}
lines = {f"{100 * darker:.0f} % darker": found_at for darker, found_at in cracks.items()}
figure = plots.sweep(widths, lines, xlabel="width of the crack in pixels")
plots.show(
    figure,
    alt="AUROC of good photographs with a drawn crack against the same without, over the width of the crack, for two "
    "strengths. The dark one is found at a quarter of a pixel, the faint one from one pixel on; at a "
    "quarter it is chance.",
)

# %% [markdown]
# On this smooth track not the size of the cell decides but the contrast: a crack below a pixel only darkens the
# pixels under it. The dark one is found at a quarter of a pixel, the faint one is lost below a whole one.
#
# **A camera that changed.** Another lamp, blur or noise, on the photographs that set the threshold. **Predict:** how
# many raise an alarm?
# %%
shifted = {"none": scores[held]}
for name, change in SHIFTS.items():
    shifted[name] = image_scores(relative(features(camera(good, **change))))
rates = {name: float((s > threshold).float().mean()) for name, s in shifted.items()}
pd.DataFrame({"false alarms, %": rates}).mul(100).round(0).astype(int)

# %% [markdown]
# Thirty per cent more light, a blur of one pixel, or a little noise, and *every* good photograph raises an alarm.
# Lesson 07 says what to do.
#
# ## What it means
#
# - A frozen network and a nearest neighbour, untrained, are hottest on a pit in {{ hits_relative | int }} of
#   {{ pitted | int }} photographs of two pits, and hardly ever there without the pit. (On magnetic tiles PatchCore
#   has {{ tiles_features | pct }} by image, on [another split](../RESULTS.md#on-features-that-know-images).)
# - A greedy coreset keeps what is different. A distance needs a unit, and the unit a bank drawn by chance.
# - On these frozen features DualAD's parts add at most one hit.
# - A measure needs a blind rival: a calendar for *whether*, a stripe for *where*.
# - A detector finds what is *new*. Whether that is damage or another day, your good photographs decide.
#
# **Next:** lesson [07](07_your_own_images.ipynb), from your own photographs to an alarm.
# %% tags=["machinery"]
# Of five seeds, measured by `dualad bands 06_features_that_know_images --seeds 5`.
five = pd.read_csv(results_folder() / "bands_06_features_that_know_images.csv", index_col="metric")

record(
    tiles_dualad=np.mean(
        [
            row["auroc"]
            for row in study_rows("tiles")
            if (row["detector"], row["score"], row["setting"]) == ("dualad", "dual", "")
        ]
    ),
    tiles_features=np.mean(
        [
            row["auroc"]
            for row in study_rows("photographs")
            if (row["dataset"], row["detector"]) == ("magnetic_tiles", "patchcore")
        ]
    ),
    first=first,
    held_back=held_back,
    radius_greedy=covers["greedy"][0, -1, 0],
    radius_chance=covers["by chance"][0, -1, 0],
    pixel_greedy=covers["greedy"][0, -1, 1],
    pixel_chance=covers["by chance"][0, -1, 1],
    greedy_mean=ranges["greedy"][0][-1],
    chance_mean=ranges["by chance"][0][-1],
    pixel_all=everything[1],
    pixel_stripe=first_draw["a blind stripe"][0],
    hits_stripe=first_draw["a blind stripe"][1],
    hit_area=float(hit.float().mean()),
    pixel_mahalanobis=first_draw["Mahalanobis"][0],
    hits_mahalanobis=first_draw["Mahalanobis"][1],
    pixel_plain=first_draw["plain distance"][0],
    hits_plain=first_draw["plain distance"][1],
    pixel_relative=first_draw["units of the spacing"][0],
    hits_relative=first_draw["units of the spacing"][1],
    hits_plain_all=hits_of_all,
    hits_greedy=int(hits_by["greedy", max(sizes)][0, 0]),
    hits_relative_greedy=int(hits_by["greedy", max(sizes)][1].max()),
    image_plain=auroc(data.labels[tested], image_scores(plain[tested])),
    image_relative=table.loc["by hand (section 4)", "image AUROC"],
    pitted=int(pitted.sum()),
    **{
        f"{kind}_{short}": convert(table.loc[row, column])
        for short, row in {
            "alone": "its neighbours alone",
            "g": "+ G",
            "d": "+ D",
            "fc": "+ sphere and critic",
            "whole": "+ T: the whole of it",
        }.items()
        for kind, column, convert in (("image", "image AUROC", float), ("hits", "hottest on a pit", int))
    },
    hits_alone_low=five.loc["hits_alone", "min"],
    hits_whole_high=five.loc["hits_whole", "max"],
    hits_gain=five.loc["hits_alone", "mean"] - five.loc["hits_relative", "mean"],
    image_hand_mean=five.loc["image_relative", "mean"],
    image_whole_mean=five.loc["image_whole", "mean"],
    share_neighbours=shares["neighbours"],
    hottest_spacings=offers[0],
    image_five=by_image["all five places"][0],
    image_date=by_image["all five places"][1],
    image_three=by_image["the three of section 4"][0],
    image_date_three=by_image["the three of section 4"][1],
    false_later=false_later,
    share_own=dealt["its own"],
    share_sound=dealt["of 477.5 mm, same days"],
    share_unmarked=dealt["of its place, no mark"],
    share_unmarked_high=five.loc["share_unmarked", "max"],
    alarm_earliest=min(alarm_days.values(), default=None),
    alarm_latest=max(alarm_days.values(), default=None),
    alarm_sound=alarm_days.get("477.5 mm"),
    crack_dark_thin=cracks[0.5][0],
    crack_faint_thin=cracks[0.15][0],
    crack_faint_wide=cracks[0.15][-1],
    fa_bright_little=rates["brightness +10 %"],
    fa_bright=rates["brightness +30 %"],
    fa_blur=rates["blur 1 px"],
    fa_noise=rates["noise 5 %"],
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** The score of a cell, or of the photograph it is in, by plain distance to the nearest: does it
# rise (`"rises"`), fall or at most stay (`"falls"`), or stay exactly what it was (`"stays"`)?
# %%
answers = {
    "a pit three cells wide has grown": None,
    "the lamp is 30 % brighter, the bank is not": None,
    "more good photographs of the same place join the bank": None,
    "the bank gets a second copy of everything it holds": None,
    "a photograph with this very pit was in the bank all along": None,
    "the vectors of its cells are shuffled to other positions": None,
}
checks.check_neighbour_changes(answers)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The score of a cell is one minimum, over the bank. Ask only: does that minimum change?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# answers = {
#     "a pit three cells wide has grown": "rises",
#     "the lamp is 30 % brighter, the bank is not": "rises",
#     "more good photographs of the same place join the bank": "falls",
#     "the bank gets a second copy of everything it holds": "stays",
#     "a photograph with this very pit was in the bank all along": "falls",
#     "the vectors of its cells are shuffled to other positions": "stays",
# }
# ```
#
# </details>
#
# **2. Code.** The distance in units of the spacing, of a list of cells.


# %%
def relative_distance(patches, bank, spacing):
    """patches: (n, c). bank: (m, c). spacing: (m,) of each of the bank. Returns (n,)."""
    raise NotImplementedError


checks.check_relative_distance(relative_distance)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# First the nearest neighbour, by plain distance. Only then the unit, and it is that neighbour's.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.cdist(patches, bank).min(1)` gives `values` and `indices`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# import torch
#
#
# def relative_distance(patches, bank, spacing):
#     nearest = torch.cdist(patches, bank).min(1)
#     return nearest.values / spacing[nearest.indices]
# ```
#
# </details>
#
# **3. Code.** The bank does not know *where* a cell was. But this camera hardly moved! So compare each cell of one
# photograph with good cells from about its own position alone, at most `reach` rows and `reach` columns away.
# Predict: can this distance be smaller than the plain one?


# %%
def local_distance(f, good, reach):
    """f: (h, w, c), one photograph. good: (n, h, w, c), good ones. Returns (h, w): to the nearest within reach."""
    raise NotImplementedError


checks.check_local_distance(local_distance)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# For the cell at `y, x` cut a window out of `good`; in it the task is the old one. At the edge of the frame the
# window is smaller.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A slice that begins at -1 begins at the *last* row. And it ends before its end: `y + reach + 1`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# import torch
#
#
# def local_distance(f, good, reach):
#     height, width, _ = f.shape
#     least = torch.empty(height, width)
#     for y in range(height):
#         for x in range(width):
#             rows = slice(max(0, y - reach), y + reach + 1)
#             columns = slice(max(0, x - reach), x + reach + 1)
#             least[y, x] = torch.cdist(f[y, x][None], good[:, rows, columns].flatten(0, 2)).min()
#     return least
# ```
#
# It is never smaller, for it is a minimum over fewer cells. What it can see and the plain one can't: a good cell in
# the wrong place. What it pays: a part or a camera that moves by more than `reach` cells looks new everywhere.
# (PaDiM goes as far as a mean and a covariance for every position, a reach of nought.)
#
# </details>
#
# **4. Explain.** A colleague trains on photographs from January, tests on sound parts from January and damaged
# ones from June, and reports 99 % AUROC. What may the detector have learned? Which one photograph would tell
# you? And would a high *pixel* AUROC prove the opposite?
#
# <details><summary>Hint</summary>
#
# What differs between January and June besides the damage? Section 7 asked a score that saw no photograph.
#
# </details>
# <details><summary>Solution</summary>
#
# It may have learned the month: dirt, lamp, wear, another batch. A sound part photographed in June tells: if it
# raises an alarm, the detector knows the date. (A score that can't see the damage, like our calendar, tells, too:
# if it does as well, the AUROC proves nothing about damage.) A high pixel AUROC proves little, for our blind stripe
# got the highest. Better count how often the hottest spot is on the damage, and how often the maps of sound parts
# from June are hottest at the same spot.
#
# </details>
#
# ## References
#
# - K. Roth et al. *Towards total recall in industrial anomaly detection.* CVPR 2022 (PatchCore).
# - T. Defard et al. *PaDiM: a patch distribution modeling framework for anomaly detection and localization.*
#   ICPR 2021.
# - L. Bergman, N. Cohen, Y. Hoshen. *Deep nearest neighbor anomaly detection.* 2020 (DN2).
# - M. Breunig et al. *LOF: identifying density-based local outliers.* SIGMOD 2000.
# - V. Zavrtanik, M. Kristan, D. Skočaj. *DRAEM.* ICCV 2021; C.-L. Li et al. *CutPaste.* CVPR 2021 (drawn damage).
# - M. Tan, Q. Le. *EfficientNet.* ICML 2019; R. Liu. *Higher accuracy with EfficientNet-Lite.* TensorFlow blog,
#   2020.
# - T. Schlagenhauf, M. Landwehr, J. Fleischer. *Industrial machine tool component surface defect dataset.* Data
#   in Brief 39, 2021 (BSData, CC BY-SA 4.0; photographs here reduced in size, outlines drawn from its
#   annotation).
