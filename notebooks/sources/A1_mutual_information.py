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
# # A1 · More about mutual information
#
# {{ colab_badge }}
#
# Further material to [lesson 04](04_mutual_information.ipynb), for those who want a number in nats. Other
# estimators and how each of them fails, the question where strangers come from, and the experiment that asks what
# the regulariser does when information is scarce. Nothing in the course depends on it.
#
# **After this appendix you will be able to**
#
# - estimate mutual information in nats by two further bounds, and name the price of each;
# - explain why few pairs, small batches and shuffled strangers spoil an estimate;
# - tell what a bound can't say: from $n$ samples none can promise much more than $\log n$ nats.
#
# **You need** lesson 04.
#
# **It takes** {{ run_minutes | f1 }} minutes and {{ run_memory_mb | int }} MB of memory on {{ run_device }},
# and about an hour of yours. Last verified: {{ run_date }}, torch {{ run_torch }}.

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
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, normalize

from dualad_lib import load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc
from dualad_lib.losses import jsd_mutual_information, squared_error
from dualad_lib.networks import ConvAutoencoder, GlobalStatistics, LocalStatistics, forward_features
from dualad_lib.scoring import Gaussian, nearest_distance
from dualad_lib.training import Player, Turn, seeded, train, warmup_cosine

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # bag
seed = 0
toy_dim = 4  # coordinates of each toy variable
toy_correlations = [0.3, 0.6, 0.9, 0.95, 0.99]
toy_steps = 300
toy_readings = 20000  # fresh pairs that a trained network is read on
width = 8
steps = 300
batch_size = 64
learning_rate = 2e-3
w_information = 0.01
w_alone = 0.1  # where nothing but the part trains the encoder
narrow_dim = 4  # a short code ...
narrow_noise = 0.5  # ... with noise, in deviations of the code
judge_steps = 200

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = bag, 1 = anything else


def true_information(rho, d=toy_dim):
    return -d / 2 * math.log(1 - rho**2)  # nats


def gaussian_pairs(n, rho, d=toy_dim):
    x = torch.randn(n, d)
    return x, rho * x + math.sqrt(1 - rho**2) * torch.randn(n, d)


def log_ratio(x, z, rho):
    """log p(x, z) / (p(x) p(z)), the best T that there is."""
    excess = (rho**2 * (x**2 + z**2) - 2 * rho * x * z) / (2 * (1 - rho**2))
    return true_information(rho) - excess.sum(-1)


truth = [true_information(rho) for rho in toy_correlations]
rho_middle = max(rho for rho in toy_correlations if rho <= 0.9)

# %% [markdown]
# ## 1. Why not simply count?
#
# The toy is lesson 04's with {{ n_toy_dim }} numbers on each side: pairs of normal variables, each with
# correlation $\rho$, so that $I = -\tfrac d2 \log(1 - \rho^2)$. Cut every axis into 8 cells, count how often each
# cell is hit, and put the shares into the formula of $I$.
#
# **Predict:** $x$ and $z$ are *independent*, so 0 is right. What does counting say, from 2000 pairs?


# %%
def entropy(*parts):
    shares = np.unique(np.column_stack(parts), axis=0, return_counts=True)[1] / len(parts[0])
    return -np.sum(shares * np.log(shares))


def counted_information(x, z):
    x, z = (np.clip(np.floor(v + 4), 0, 7) for v in (x.numpy(), z.numpy()))  # 8 cells an axis
    return entropy(x) + entropy(z) - entropy(x, z)  # the same I, written with entropies


torch.manual_seed(seed)
counted = {d: counted_information(*gaussian_pairs(2000, 0.0, d)) for d in (1, 2, 3, 4)}
for d, value in counted.items():
    print(f"{d} dimensions: {value:.2f} nats counted, 0 is right; {8 ** (2 * d):,} cells")

# %% [markdown]
# The cells multiply until almost every pair sits alone in one, and alone in a cell $x$ seems to determine $z$
# exactly. In four dimensions that makes {{ counted_4 | f1 }} nats out of nothing. An image has hundreds of axes;
# counting is out.
#
# ## 2. Donsker and Varadhan: a bound in nats
#
# MINE (Belghazi et al., 2018) trains the network $T$ of lesson 04 through another inequality. It holds for
# *every* $T$:
#
# $$I(x; z) \ge \text{mean over pairs of } T - \log \big( \text{mean over strangers of } e^{T} \big)$$
#
# Equality holds when $T$ is the log of the ratio of densities, up to a constant.


# %%
def donsker_varadhan(joint, marginal):
    return joint.mean() - (marginal.flatten().logsumexp(0) - math.log(marginal.numel()))


# %% [markdown]
# A classifier's best logit is the same log ratio. So there are two ways to a number in nats: train and read by this
# bound, or *train* by lesson 04's $I_{JS}$ and *read* by this one.
#
# **Predict:** which of them will leave the truth first as it grows?


# %%
class PairNetwork(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        layers = [nn.Linear(2 * toy_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, x, z):
        return self.net(torch.cat([x, z], -1)).squeeze(-1)


def train_toy(bound, draw):
    """Train a network to raise `bound` on the pairs that `draw()` gives; return it and the estimates."""
    torch.manual_seed(seed)
    T, history = PairNetwork(), []
    optimiser = torch.optim.Adam(T.parameters(), 3e-3)
    for _ in range(toy_steps):
        x, z = draw()
        estimate = bound(T(x, z), T(x, z.roll(1, 0)))
        optimiser.zero_grad()
        (-estimate).backward()
        optimiser.step()
        history.append(estimate.item())
    return T, history


@torch.no_grad()
def read(T, rho, bound=donsker_varadhan):
    x, z = gaussian_pairs(toy_readings, rho)
    return bound(T(x, z), T(x, z.roll(1, 0))).item()


# %%
trained_by = {"trained and read by DV": donsker_varadhan, "trained by JS, read by DV": jsd_mutual_information}
lines = {
    name: [read(train_toy(bound, lambda r=rho: gaussian_pairs(256, r))[0], rho) for rho in toy_correlations]
    for name, bound in trained_by.items()
}
by_dv, by_js = lines.values()

# %% tags=["machinery"]
figure = plots.sweep(
    truth, {**lines, "truth": truth}, "true information (nats)", "estimate (nats)", scale=1, log2=False
)
listed = "; ".join(f"{name}: " + ", ".join(f"{v:.2f}" for v in line) for name, line in lines.items())
plots.show(figure, alt=f"Estimates against the true information, both in nats. {listed}.")

# %% [markdown]
# Small amounts are measured well by both. At the high end the network that was trained by DV falls behind, and the
# one trained by JS stays near the truth. Each point there is one draw: a few strangers with a huge $e^T$ carry the
# second term. That can push a reading down, and where none is drawn it lifts one above the truth, bound or not.
# Three weaknesses of the bound can be seen one by one.
#
# **Few pairs.** The network gets the same 64 pairs at every step, and is read on them and on fresh ones. **Small
# batches.** Fresh pairs, 16 at a time. **Averages of logarithms.** No training at all: the *best* $T$, read in
# batches of different sizes, many of them averaged.

# %%
torch.manual_seed(seed)
pool = gaussian_pairs(64, 0.5)
weak = {}
for name, bound in {"DV": donsker_varadhan, "JS": jsd_mutual_information}.items():
    T, history = train_toy(bound, lambda: pool)
    weak[name] = history[-1], read(T, 0.5, bound)
    print(f"same 64 pairs, {name}: {weak[name][0]:6.1f} on them, {weak[name][1]:10.1f} fresh")
T, history = train_toy(donsker_varadhan, lambda: gaussian_pairs(16, rho_middle))
small_train, small_fresh = np.mean(history[-50:]), read(T, rho_middle)
print(
    f"batches of 16, DV: {small_train:.1f} in training, {small_fresh:.1f} fresh; "
    f"truth {true_information(rho_middle):.2f}"
)

# %%
batch_sizes, average = [8, 64, 512, 4096], []
for size in batch_sizes:
    drawn = [gaussian_pairs(size, rho_middle) for _ in range(max(4, toy_readings // size))]
    logits = [(log_ratio(x, z, rho_middle), log_ratio(x, z.roll(1, 0), rho_middle)) for x, z in drawn]
    average.append(np.mean([donsker_varadhan(*pair).item() for pair in logits]))
pd.DataFrame(
    {"batch": batch_sizes, "average estimate": average, "truth": true_information(rho_middle)}
).round(2)

# %% [markdown]
# On the 64 pairs the DV estimate climbs to {{ few_train | int }} nats, because nothing stops it: the bound holds
# for true averages and not for averages over 64 pairs. $I_{JS}$ has its ceiling and can't run away upwards, though
# on fresh pairs it falls below zero, too. With fresh batches of 16 the DV network "sees" {{ small_train | f1 }}
# nats in training and has lost touch with the truth outside. And even the best $T$ reads {{ batch_8 | f2 }} in
# batches of 8, where {{ truth_middle | f2 }} is right. A mean of logarithms is not the logarithm of a mean, so
# small batches are biased, and so is their gradient. That is why the course trains by $I_{JS}$. A limit of another
# kind: no *lower bound* that is to hold for every distribution can promise much more than $\log n$ nats from $n$
# samples (McAllester & Stratos, 2020).
#
# ## 3. InfoNCE: which of these belongs to it?
#
# A third form does not ask "do these two belong together?" but "*which* of these $M$ candidates belongs to this
# one?" A cross-entropy over candidates gives a bound in nats (van den Oord et al., 2018):
#
# $$I(x; z) \ge \log M + \text{mean over } i \text{ of } \log \frac{e^{T(x_i, z_i)}}{\sum_j e^{T(x_i, z_j)}}$$


# %%
def info_nce(similarity, positive):
    candidates = torch.isfinite(similarity).sum(1).log().mean()
    return candidates - cross_entropy(similarity, positive)


# %% [markdown]
# **Predict:** the best $T$, with $M = 8$, 64 or 512 candidates. What do the curves look like?


# %%
def read_nce(rho, m):
    values = []
    for _ in range(max(4, 1024 // m)):
        x, z = gaussian_pairs(m, rho)
        values.append(info_nce(log_ratio(x[:, None], z[None], rho), torch.arange(m)).item())
    return np.mean(values)


candidates = [8, 64, 512]
nce = {f"$M$ = {m}": [read_nce(rho, m) for rho in toy_correlations] for m in candidates}

# %% tags=["machinery"]
figure = plots.sweep(
    truth, {**nce, "truth": truth}, "true information (nats)", "InfoNCE (nats)", scale=1, log2=False
)
listed = ", ".join(
    f"{nce[f'$M$ = {m}'][-1]:.2f} with {m} candidates (cap {math.log(m):.2f})" for m in candidates
)
plots.show(figure, alt=f"InfoNCE against the true information. Each curve bends to its cap log M: {listed}.")

# %% [markdown]
# Each curve bends towards its cap $\log M$. The bound is tame, but a batch of 64 can't speak of more than
# {{ cap_64 | f2 }} nats, whatever the truth.
#
# The library uses this form for colour images. There every image is seen in two strongly different **views** (crop,
# colour, side), and what the two share is the object and not its colour. $T$ is a cosine of two projections over a
# temperature, and minus infinity on the diagonal keeps a view from choosing itself.


# %%
class ViewStatistics(nn.Module):
    def __init__(self, features, hidden=256, out=128, temperature=0.5):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, out))
        self.temperature = temperature

    def forward(self, h):
        v = normalize(self.project(h.flatten(1)), dim=1)
        itself = torch.eye(len(v), dtype=torch.bool, device=v.device)
        return (v @ v.T / self.temperature).masked_fill(itself, -torch.inf)


# %% [markdown]
# **Predict:** a cosine over a temperature of 0.5 lies between −2 and 2. What does that do to the estimate on the
# toy, where $x$ and $z$ are the two views?


# %%
def train_views(temperature, rho, n=64):
    torch.manual_seed(seed)
    T_v = ViewStatistics(toy_dim, 64, 32, temperature)
    optimiser, other = torch.optim.Adam(T_v.parameters(), 3e-3), torch.arange(2 * n).roll(n)
    for _ in range(toy_steps):
        optimiser.zero_grad()
        (-info_nce(T_v(torch.cat(gaussian_pairs(n, rho))), other)).backward()
        optimiser.step()
    with torch.no_grad():
        return np.mean([info_nce(T_v(torch.cat(gaussian_pairs(n, rho))), other).item() for _ in range(50)])


soft, sharp = train_views(0.5, rho_middle), train_views(0.05, rho_middle)
print(f"temperature 0.5: {soft:.2f} nats; 0.05: {sharp:.2f}; truth {true_information(rho_middle):.2f}")

# %% [markdown]
# A soft $T$ can't say "surely", so its *estimate* is poor. As a training signal it has its use (CSI, Tack et al.,
# 2020): it does not stop asking when a pair is half clear. A good regulariser and a good measure are two things.
#
# ## 4. Strangers, but which?
#
# We make strangers with a cyclic shift. Most people shuffle: `z[torch.randperm(n)]`.
#
# **Predict:** how many codes of a batch of 64 come back to their own image in a random shuffle? And of 8?


# %%
def marginal_bias(n, batches):
    """Codes that a shuffle leaves at home, and I_JS of the best T with shuffled and with shifted strangers."""
    rows = []
    for _ in range(batches):
        (x, z), order = gaussian_pairs(n, rho_middle), torch.randperm(n)
        fixed = (order == torch.arange(n)).sum().item()
        joint = log_ratio(x, z, rho_middle)
        readings = [
            jsd_mutual_information(joint, log_ratio(x, s, rho_middle)) for s in (z[order], z.roll(1, 0))
        ]
        rows.append([fixed, *(reading.item() for reading in readings)])
    return np.mean(rows, axis=0)


sizes = [4, 8, 16, 64, 256]
biased = [marginal_bias(n, batches=8192 // n) for n in sizes]
columns = ["left at home, a batch", "I_JS, shuffled", "I_JS, shifted"]
pd.DataFrame(biased, columns=columns, index=pd.Index(sizes, name="batch")).round(2)

# %% [markdown]
# About one, whatever the size, since each of $n$ codes stays with a chance of $1/n$. That one is told to $T$ as a
# stranger although it is none. In batches of 8 this lowers the estimate from {{ shifted_8 | f2 }} to
# {{ shuffled_8 | f2 }}; a shift leaves nobody at home and costs nothing. It has one trap of its own: if a batch
# holds two copies of an image side by side, the neighbour is no stranger. The library stacks copies as two halves
# for that reason.
#
# ## 5. When information is scarce
#
# Lesson 04 gave two reasons why the regulariser adds nothing: the reconstruction asks for the same, and the ceiling
# is near. Here we try to take the second away. The code gets {{ n_narrow }} numbers, each scaled to variance 1, and
# then noise of deviation $\sigma$ is added, so that no encoder can send more through this channel than
#
# $$I(x; z) \le \frac{d}{2} \log \Big( 1 + \frac{1}{\sigma^2} \Big) \qquad \text{(Shannon, 1948)}$$


# %%
class NoisyChannel(nn.Module):
    def __init__(self, d, noise):
        super().__init__()
        self.scale, self.noise = nn.BatchNorm1d(d, affine=False), noise  # variance 1, nothing to learn

    def forward(self, z):
        z = self.scale(z)
        return z + self.noise * torch.randn_like(z) if self.training else z  # a judge adds noise of its own


capacity = narrow_dim / 2 * math.log(1 + 1 / narrow_noise**2)
print(f"d = {narrow_dim}, noise {narrow_noise}: at most {capacity:.2f} nats")

# %% [markdown]
# (Without the scaling the encoder would win by shouting: ten times larger codes, the same noise.) Four encoders:
# untrained, the autoencoder, the autoencoder with the part, and the part *alone*, without any reconstruction.


# %%
def player(name, part):
    optimiser = torch.optim.AdamW(part.parameters(), learning_rate, betas=(0.9, 0.99))
    return Player(name, part, optimiser, warmup_cosine(), clip=5.0)


def play(w_rec, weight):
    """Train an autoencoder with a noisy code; weight: of the part, 0 for none of it."""
    with seeded(seed):
        G = ConvAutoencoder(task.image_shape, width, narrow_dim)
        channels = forward_features(G, task.train[:2].float() / 255)[0].shape[1]
        T = nn.ModuleList([GlobalStatistics(channels, narrow_dim), LocalStatistics(channels, narrow_dim)])
    channel = NoisyChannel(narrow_dim, narrow_noise)

    def turn(step):
        x = step.images["train"]
        seen, _, z = forward_features(G, x)
        z = channel(z)
        terms = {"reconstruction": w_rec * squared_error(G.decode(z), x)}
        if weight:
            found = [jsd_mutual_information(t(seen, z), t(seen.roll(1, 0), z)) for t in T]
            terms["information"] = -weight * sum(found)
        return terms

    players = [player("G", G), *([player("T", T)] if weight else [])]
    train([Turn(turn, *players)], task.train, steps=steps, batch_size=batch_size, seed=seed)
    return SimpleNamespace(G=G.eval(), channel=channel.eval())


# %%
held_out = task.test[y == 0]


@torch.no_grad()
def codes(run, images):
    return torch.cat([run.channel(run.G.encode(batch.float() / 255)) for batch in images.split(512)])


def judge(run):
    """I_JS of a fresh T between 7 x 7 pixels and noisy codes, on held-out bags; and the AUROC of the latent score."""
    bank, tested = codes(run, task.train), codes(run, task.test)
    sight, held_sight = (adaptive_avg_pool2d(x.float() / 255, 7).flatten(1) for x in (task.train, held_out))
    mean, deviation = sight.mean(0), sight.std(0) + 0.02
    sight, held_sight = (sight - mean) / deviation, (held_sight - mean) / deviation
    with seeded(seed):
        T = GlobalStatistics(sight.shape[1], narrow_dim, hidden=128)
        optimiser = torch.optim.AdamW(T.parameters(), 2e-3)

        def reading(a, b, shift):
            a, b = a[:, :, None, None], b + narrow_noise * torch.randn_like(b)
            return jsd_mutual_information(T(a, b), T(a.roll(shift, 0), b))

        for _ in range(judge_steps):
            i = torch.randint(len(sight), (128,))
            optimiser.zero_grad()
            (-reading(sight[i], bank[i], 1)).backward()
            optimiser.step()
        with torch.no_grad():
            said = np.mean([reading(held_sight, codes(run, held_out), shift).item() for shift in range(1, 9)])
    gaussian = Gaussian.fit(bank)
    latent = nearest_distance(gaussian.whiten(bank), gaussian.whiten(tested)).numpy()
    return {"an outsider's reading": said, "latent AUROC": 100 * auroc(y, latent)}


# %% [markdown]
# **Predict** the order of the readings, and the order of the latent AUROC. Are they the same?

# %%
scarce = {
    "untrained": play(0, 0),
    "reconstruction": play(1, 0),
    "reconstruction and part": play(1, w_information),
    "part alone": play(0, w_alone),
}
judged = pd.DataFrame({name: judge(run) for name, run in scarce.items()}).T
judged.round(2)

# %% [markdown]
# The part works: alone, without a decoder, it takes the reading from {{ untrained_reading | f2 }} to
# {{ alone_reading | f2 }}. But the reconstruction alone reaches {{ without_reading | f2 }}, and adding the part
# does not raise that. Is there room above? Below 2 log 2 = 1.39, yes. But a channel has a ceiling of its own: in
# section 4 the best $T$ read {{ shifted_8 | f2 }} from {{ truth_middle | f2 }} nats, about what ours can carry. So
# this does not decide between lesson 04's two reasons. It agrees with the first, on one seed. And the two orders
# are not the same: the part leaves the reading where it was, while the latent AUROC goes from
# {{ without_latent | pct }} to {{ with_latent | pct }}. One seed; it may be luck.

# %% tags=["machinery"]
middle = toy_correlations.index(rho_middle)
record(
    n_toy_dim=toy_dim,
    counted_1=counted[1],
    counted_4=counted[4],
    dv_low=by_dv[1],
    js_low=by_js[1],
    js_read_error=abs(by_js[middle] / truth[middle] - 1),
    dv_high=by_dv[-1],
    js_high=by_js[-1],
    truth_low=truth[1],
    truth_middle=truth[middle],
    few_train=weak["DV"][0],
    few_fresh=weak["DV"][1],
    few_js_train=weak["JS"][0],
    few_js_fresh=weak["JS"][1],
    small_train=small_train,
    small_fresh=small_fresh,
    batch_8=average[0],
    batch_4096=average[-1],
    nce_64=nce["$M$ = 64"][-1],
    cap_64=math.log(64),
    views_soft=soft,
    views_sharp=sharp,
    fixed_64=biased[3][0],
    shuffled_8=biased[1][1],
    shifted_8=biased[1][2],
    n_narrow=narrow_dim,
    capacity=capacity,
    **{
        f"{short}_{key}": judged.loc[name, column] * factor
        for short, name in zip(("untrained", "without", "with", "alone"), scarce, strict=True)
        for key, column, factor in (("reading", "an outsider's reading", 1), ("latent", "latent AUROC", 0.01))
    },
)

# %% [markdown]
# ## Exercises
#
# **1. Explain.** A colleague trains with InfoNCE, batch size 64, reads 4.1 nats, and concludes that her code
# holds about 4.1 nats. With batch size 512 she reads 6.2. What do you tell her?
#
# <details><summary>Hint</summary>
#
# Compute $\log 64$ and $\log 512$, and put them beside what she read.
#
# </details>
# <details><summary>Solution</summary>
#
# $\log 64 = 4.16$ and $\log 512 = 6.24$. She reads the cap both times. All that she knows is that the information
# is larger than 6.2. A deterministic encoder of continuous images has no finite $I$ at all: even one number, known
# without noise, has endlessly many digits.
#
# </details>
#
# **2. Try.** Let $T$ compare a code *with itself*, $(z, z)$ against $(z, \text{shifted } z)$, for codes that are pure
# chance. First predict its $I_{JS}$. What does the test tell about images?
#
# <details><summary>Solution</summary>
#
# Near its ceiling, because each code knows itself. It tells nothing about images. So a $T$ that sees a map of the
# encoder itself may measure how well the encoder agrees with itself (lesson 04, section 4).
#
# </details>
#
# ## References
#
# - C. E. Shannon. *A mathematical theory of communication.* Bell System Technical Journal 27, 1948.
# - M. D. Donsker, S. R. S. Varadhan. *Asymptotic evaluation of certain Markov process expectations for large
#   time, IV.* Communications on Pure and Applied Mathematics 36, 1983.
# - M. I. Belghazi et al. *Mutual information neural estimation* (MINE). ICML 2018.
# - A. van den Oord, Y. Li, O. Vinyals. *Representation learning with contrastive predictive coding*
#   (InfoNCE). 2018. arXiv:1807.03748.
# - B. Poole, S. Ozair, A. van den Oord, A. A. Alemi, G. Tucker. *On variational bounds of mutual
#   information.* ICML 2019 (the bounds, side by side).
# - D. McAllester, K. Stratos. *Formal limitations on the measurement of mutual information.* AISTATS 2020.
# - J. Tack, S. Mo, J. Jeong, J. Shin. *CSI: novelty detection via contrastive learning on distributionally
#   shifted instances.* NeurIPS 2020.
