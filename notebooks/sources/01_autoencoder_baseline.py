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
# # 01 · The autoencoder baseline
#
# {{ colab_badge }}
#
# A network that has only ever rebuilt bags should be bad at rebuilding shoes. That one sentence is the most
# used idea in image anomaly detection. In this lesson we build it from nothing, and then find out where the
# sentence is wrong.
#
# **After this lesson you will be able to**
#
# - write a convolutional autoencoder and train it in a loop of one page;
# - turn reconstructions into an anomaly score and measure it beside PCA;
# - show why the squared error fails: the one-pixel shift, the easy anomaly, the wide bottleneck;
# - read a second score from the code of the network;
# - recognise a training that is dead, and one whose reconstructions are nearly all the same.
#
# **You need** [lesson 00](00_start_here.ipynb) (one-class task, anomaly score, AUROC) and some PyTorch:
# modules, optimisers, convolutions.
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
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from dualad_lib import PCA, Autoencoder, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc
from dualad_lib.experiments import measure, write_results
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8 = bag
seed = 0
latent_dim = 64  # d, numbers in the code z
width = 16  # channels of the first convolution
steps = 200  # batches that train one network
batch_size = 64
learning_rate = 2e-3
bottlenecks = [2, 8, 32, 128]  # code lengths of the sweep
sweep_steps = 120
sweep_width = 8
table_classes = [1, 8]  # normal classes of the last table
table_detectors = ["pca", "knn", "isolation_forest"]  # beside the autoencoder
profile = "lesson"  # written into the rows of the results
results_folder = None  # a folder where the table's cells are kept as they are finished

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
task

# %% [markdown]
# ## 1. The idea, as a graph
#
# An **encoder** $G_e$ squeezes the image $x$ into a **code** $z$ of $d$ numbers. A **decoder** $G_d$ makes
# an image $\hat x$ from the code alone. The code is the **bottleneck**: an image has {{ n_pixels }} pixels
# and a code has {{ code_length }} numbers, so the network must find out what is common to its training
# images and keep only what differs.

# %%
figure = plots.loss_graph()
plots.show(
    figure,
    alt="The autoencoder as a graph: image x, encoder G_e, code z, decoder G_d, reconstruction x-hat in a "
    "row, and one loss, the mean squared difference of x and x-hat, drawn above them from x to x-hat.",
)

# %%
record(n_pixels=math.prod(task.image_shape), code_length=latent_dim, n_train=len(task.train))

# %% [markdown]
# This graph comes back in every lesson, each time with one part more.
#
# ## 2. Build it
#
# One block, used again and again: a 3 × 3 convolution, a normalisation, a non-linearity. **Batch norm**
# (Ioffe & Szegedy, 2015) rescales each channel: in training by the mean and spread of the batch, in `eval`
# mode by averages kept from training. Forget that mode when you score, and you have leak 2 of lesson 00. So
# our training loop ends by switching it on.


# %%
def conv_block(channels_in, channels_out, stride=1):
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.1),
    )


# %% [markdown]
# The encoder halves the side with stride 2 until it is at most 4, and widens the first two times. Before the
# last halving it takes one more look. What is left, the **feature map** $h$, is flattened and mapped to the
# code by one linear layer.


# %%
class ConvEncoder(nn.Module):
    def __init__(self, image_shape, width=16, latent_dim=64):
        super().__init__()
        channels, height, wide = image_shape
        blocks = [conv_block(channels, width)]
        halvings = 0
        while max(height, wide) > 4:
            before, after = width * 2 ** min(halvings, 2), width * 2 ** min(halvings + 1, 2)
            if max(height, wide) <= 8:
                blocks.append(conv_block(before, before))  # one more look, where the map is small and cheap
            blocks.append(conv_block(before, after, stride=2))
            height, wide, halvings = math.ceil(height / 2), math.ceil(wide / 2), halvings + 1
        self.feature_shape = (width * 2 ** min(halvings, 2), height, wide)
        self.features = nn.Sequential(*blocks)
        self.code = nn.Linear(math.prod(self.feature_shape), latent_dim)

    def forward(self, x):
        h = self.features(x)  # (N, 4w, 4, 4)
        return self.code(h.flatten(1))  # (N, d)


# %% [markdown]
# The decoder goes back: a linear layer, then **transposed convolutions** that double the side. The last
# doubling is cheaper: a convolution makes four channels of each image channel, and **pixel shuffle** lays
# them out as 2 × 2 pixels. A sigmoid keeps the output in $[0, 1]$, like the image.


# %%
class ConvDecoder(nn.Module):
    def __init__(self, image_shape, width=16, latent_dim=64):
        super().__init__()
        channels, height, wide = image_shape
        doublings = max(1, math.ceil(math.log2(max(height, wide) / 8)))
        self.start_shape = (2 * width, math.ceil(height / 2**doublings), math.ceil(wide / 2**doublings))
        self.start = nn.Linear(latent_dim, math.prod(self.start_shape))
        grow = [nn.LeakyReLU(0.1)]
        for _ in range(doublings - 1):
            grow += [nn.ConvTranspose2d(2 * width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.1)]
        grow += [nn.Conv2d(2 * width, 4 * channels, 3, 1, 1), nn.PixelShuffle(2), nn.Sigmoid()]
        self.grow = nn.Sequential(*grow)
        self.image_size = (height, wide)

    def forward(self, z):
        x_hat = self.grow(self.start(z).unflatten(1, self.start_shape))
        height, wide = self.image_size
        return x_hat[:, :, :height, :wide]  # sides that are no multiple of 2^k are grown larger, then cut


# %%
class ConvAutoencoder(nn.Module):
    def __init__(self, image_shape, width=16, latent_dim=64):
        super().__init__()
        self.encoder = ConvEncoder(image_shape, width, latent_dim)
        self.decoder = ConvDecoder(image_shape, width, latent_dim)

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        z = self.encode(x)
        return z, self.decode(z)


# %% [markdown]
# Try a network on four images before you train anything. Shapes first.

# %%
torch.manual_seed(seed)
G = ConvAutoencoder(task.image_shape, width, latent_dim)
x = task.train[:4].float() / 255  # (4, C, H, W), in [0, 1]
z, x_hat = G(x)
print("x", tuple(x.shape), "-> z", tuple(z.shape), "-> x_hat", tuple(x_hat.shape))
print(f"{sum(p.numel() for p in G.parameters()):,} numbers to learn")

# %% [markdown]
# ## 3. The loss
#
# $$\mathcal{L}_{rec} = \text{mean over images and pixels of } (\hat x - x)^2$$


# %%
def squared_error(x_hat, x):
    return (x_hat - x).square().mean()


# %%
mean_image = (task.train.float() / 255).mean(0)  # (C, H, W)
print(f"untrained network:     {squared_error(x_hat, x).item():.4f}")
print(f"always the mean image: {squared_error(mean_image.expand_as(x), x).item():.4f}")

# %% [markdown]
# The second number is worth knowing: a network that ignores its input and always answers with the mean
# training image gets that far. Only below it does the code carry information.
#
# ## 4. Train it
#
# The whole training: draw a batch, reconstruct, measure, step downhill. The learning rate rises over the
# first steps and then falls to zero along a cosine, so that the last step is as good a place to stop as any,
# and nobody has to pick an epoch.


# %%
def train(network, images, steps, learning_rate):
    """Train on uint8 images; return the loss of each step."""
    optimiser = torch.optim.AdamW(network.parameters(), learning_rate, betas=(0.9, 0.99))
    warmup, history = max(1, round(0.08 * steps)), []
    network.train()
    for step in range(steps):
        rate = min(1, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.param_groups[0]["lr"] = learning_rate * rate
        x = images[torch.randint(len(images), (batch_size,))].float() / 255
        _, x_hat = network(x)
        loss = squared_error(x_hat, x)  # L_rec
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        history.append(loss.item())
    network.eval()
    return history


# %%
history = train(G, task.train, steps, learning_rate)
figure = plots.losses({"reconstruction": history})
plots.show(
    figure,
    alt=f"Training loss against the step, on a logarithmic axis. It falls from {history[0]:.3f} to "
    f"{history[-1]:.3f}, fast at first and then ever more slowly.",
)

# %%
record(loss_first=history[0], loss_last=float(np.mean(history[-20:])))

# %% [markdown]
# The loss falls from {{ loss_first | f3 }} to {{ loss_last | f3 }}. It says how well *bags* are rebuilt. It
# says nothing yet about anomalies: no anomaly was seen.
#
# ## 5. Look, then measure
#
# **Predict:** the network now gets a shoe. Will it draw a shoe, a bag, or a blur?

# %%
normal = task.test[y == 0][:5]
others = [k for k in range(len(task.class_names)) if k != normal_class]
anomalous = torch.stack([task.test[task.test_classes == k][0] for k in others[-7:]])
shown = torch.cat([normal, anomalous]).float() / 255
with torch.no_grad():
    rebuilt = G(shown)[1]

# %%
names = [task.normal_name] * len(normal) + [task.class_names[k] for k in others[-7:]]
error_map = (shown - rebuilt).square()
figure = plots.image_grid(
    {"$x$": shown, r"$\hat{x}$": rebuilt, "error": error_map}, titles=names, maps=("error",)
)
plots.show(
    figure,
    alt="Twelve test images in columns, five normal and seven anomalous, with the image, its "
    "reconstruction and the map of squared errors. Normal images come back blurred but recognisable; "
    "anomalies come back as blurred versions of themselves, with errors along their edges.",
)

# %% [markdown]
# Look at the last row. The errors of the normal images are small and lie on edges and patterns. The
# anomalies have larger errors, but the network does *not* turn them into the normal class: it rebuilds rough
# outlines of things that it was never shown. What it learned is partly "how to draw bags" and partly "how to
# draw".
#
# The **pixel score** is the same error, kept apart for each image:
#
# $$s_{pix}(x) = \text{mean over pixels of } (x - \hat x)^2$$


# %%
@torch.no_grad()
def pixel_scores(network, images):
    s_pix = []
    for batch in images.split(512):
        x = batch.float() / 255
        s_pix.append((x - network(x)[1]).square().flatten(1).mean(1))  # (n,), one number an image
    return torch.cat(s_pix).numpy()


# %%
s_pix = pixel_scores(G, task.test)
pca = PCA(n_components=latent_dim, seed=seed).fit(task.train)
s_pca = pca.anomaly_scores(task.test).final
figure = plots.score_histograms(s_pix[y == 0], s_pix[y == 1], xlabel="$s_{pix}$, autoencoder")
plots.show(
    figure,
    alt="Histograms of the pixel score. Normal images lie lower on average, and a large part of the "
    "anomalous images overlaps with them.",
)

# %% [markdown]
# **Predict:** the autoencoder is non-linear and convolutional. PCA with the same code length is linear and
# took one line. Which has the higher AUROC on this task, and by how much?

# %%
figure = plots.roc_curve({"autoencoder": (y, s_pix), f"PCA-{latent_dim}": (y, s_pca)})
plots.show(
    figure,
    alt=f"ROC curves of two detectors. Autoencoder {100 * auroc(y, s_pix):.1f}, PCA "
    f"{100 * auroc(y, s_pca):.1f} per cent AUROC.",
)

# %%
record(auroc_notebook=auroc(y, s_pix), auroc_pca=auroc(y, s_pca))

# %% [markdown]
# The autoencoder reaches {{ auroc_notebook | pct }}, PCA {{ auroc_pca | pct }}. If you expected the network
# to win clearly, this is the moment to be suspicious of the idea, and not of the code. PCA *is* an
# autoencoder: the best linear one for this very loss (Baldi & Hornik, 1989).
#
# From here on we use the library's `Autoencoder`. It has the same network and the same loss. It also holds
# back a tenth of the normal images to calibrate, and keeps seeds, checkpoints and devices in order. And it
# lets the last layer begin at the mean brightness of the images. Ours began at mid-grey, and where images are
# mostly dark (thin handwritten ones) the first steps can push a sigmoid so far down that it draws black for ever.

# %%
model = Autoencoder(
    width=width,
    latent_dim=latent_dim,
    steps=steps,
    batch_size=batch_size,
    learning_rate=learning_rate,
    seed=seed,
).fit(task.train)
scores = model.anomaly_scores(task.test)
print(f"notebook {100 * auroc(y, s_pix):.1f}, library {100 * auroc(y, scores.pixel):.1f}")

# %%
record(auroc_pixel=auroc(y, scores.pixel))

# %% [markdown]
# ## 6. Why it fails: one pixel to the right
#
# We move each normal test image by one pixel. To a human nothing has happened.
#
# **Predict:** which is larger: the squared error between a bag and *the same bag one pixel further*, or the
# error between an anomaly and its reconstruction?

# %%
x = task.test[y == 0].float() / 255
shift_error = (x[..., 1:] - x[..., :-1]).square().flatten(1).mean(1).numpy()  # x against x, one column on
s_normal, s_anomalous = scores.pixel[y == 0], scores.pixel[y == 1]
smaller = np.mean(s_anomalous < np.median(shift_error))
for name, values in (("normal", s_normal), ("anomalous", s_anomalous), ("normal, shifted", shift_error)):
    print(f"{name:16} median squared error {np.median(values):.4f}")
print(f"{100 * smaller:.0f} % of the anomalies have a smaller error than the typical shift")


# %%
def middle(values):
    return np.argsort(values)[len(values) // 2 :][:4]  # four images around the median


moved, pair = middle(shift_error), middle(s_anomalous)
first = torch.cat([x[moved], task.test[y == 1][pair].float() / 255])
second = torch.cat([x[moved].roll(1, 3), model.reconstruct(task.test[y == 1][pair])])
titles = [f"shift\n{shift_error[i]:.3f}" for i in moved] + [f"rebuilt\n{s_anomalous[i]:.3f}" for i in pair]
figure = plots.image_grid({"x": first, "compared with": second}, titles=titles)
plots.show(
    figure,
    alt="Eight pairs of images with the squared error of each pair, all near the median of their kind. "
    "Four normal images against themselves moved by one pixel look the same. Four anomalies against their "
    "reconstructions look different. The errors of both kinds are about equal.",
)

# %%
record(shift_error_ratio=np.median(shift_error) / np.median(s_anomalous), share_below_shift=smaller)

# %% [markdown]
# The typical shift costs {{ shift_error_ratio | f2 }} times the error of the typical anomaly, and
# {{ share_below_shift | pct0 }} % of the anomalies score below it. The squared error compares pixel with
# pixel at the *same place*. It has no idea of shape. A sharp edge in a slightly wrong place is worse for it
# than a blur, so the network is trained to blur, and a normal image with fine patterns looks anomalous.
#
# Both kinds of pairs shown are typical ones. For your eye the left four are equal and the right four are
# not.
#
# ## 7. Why it fails: easy anomalies
#
# **Predict:** rank these by pixel score: sneakers, trousers, ankle boots. What could make an anomaly *easy
# to rebuild*?
#
# One guess that we can measure without any network: **roughness**, the mean squared difference of
# neighbouring pixels. A plain image has little of it.

# %%
x = task.test.float() / 255
across, down = x.diff(dim=3).square(), x.diff(dim=2).square()
roughness = (across.flatten(1).mean(1) + down.flatten(1).mean(1)).numpy()  # (N,)
correlation = np.corrcoef(roughness, scores.pixel)[0, 1]
print(f"correlation of roughness and pixel score: {correlation:.2f}")

# %%
rows = []
for k in range(len(task.class_names)):
    of_k = task.test_classes.numpy() == k
    against = of_k | (y == 0)
    area = 100 * auroc(y[against], scores.pixel[against]) if k != normal_class else None
    rows.append([task.class_names[k], np.median(scores.pixel[of_k]), roughness[of_k].mean(), area])
pd.DataFrame(rows, columns=["class", "median s_pix", "roughness", "AUROC (%)"]).round(3)

# %%
simple = np.argsort(s_anomalous)[:10]
figure = plots.image_grid(
    {"anomaly": task.test[y == 1][simple], "rebuilt": model.reconstruct(task.test[y == 1][simple])},
    titles=[f"{s_anomalous[i]:.4f}" for i in simple],
)
plots.show(
    figure,
    alt="The ten anomalies of lowest pixel score above their reconstructions. They are plain, without "
    "strong edges, and the reconstructions are blurred blobs that cover about the same pixels.",
)

# %%
record(
    correlation_roughness=correlation,
    auroc_roughness=auroc(y, roughness),
    anomalies_below_median=np.mean(s_anomalous < np.median(s_normal)),
)

# %% [markdown]
# The table reads class by class: the last column is the AUROC of that class alone against the normal images.
# The ten easiest anomalies are plain ones. Their reconstructions are poor drawings, and yet the error is
# small, because there were few edges to miss. Over the test set, score and roughness have a correlation of
# {{ correlation_roughness | f2 }}. Roughness says nothing about being a bag (as a score it has an AUROC of
# {{ auroc_roughness | pct }}), but it is mixed into $s_{pix}$: {{ anomalies_below_median | pct }} % of the
# anomalies score below the *median* normal image. The pixel score measures two things at once, how unusual
# an image is and how complicated it is. Only the first was asked for.
#
# ## 8. Why it fails: the bottleneck
#
# A shorter code forgets more. Perhaps it only needs the right length?
#
# **Predict** the shape of the curve: AUROC of the pixel score against the code length $d$, from 2 to 128,
# for the autoencoder and for PCA.


# %%
def sweep_once(d):
    """One small autoencoder and PCA with code length d: training loss and AUROC of both."""
    small = Autoencoder(
        latent_dim=d, width=sweep_width, steps=sweep_steps, learning_rate=learning_rate, seed=seed
    )
    s = small.fit(task.train).anomaly_scores(task.test)
    linear = PCA(n_components=d, seed=seed).fit(task.train).anomaly_scores(task.test).final
    return small, {"pixel": auroc(y, s.pixel), "latent": auroc(y, s.latent), "PCA": auroc(y, linear)}


# %% [markdown]
# As a floor we draw a third line: no code at all. The "reconstruction" is then the mean training image,
# whatever $x$ is.

# %%
s_mean = (task.test.float() / 255 - mean_image).square().flatten(1).mean(1).numpy()
auroc_mean_image = auroc(y, s_mean)

# %%
sweep = {d: sweep_once(d) for d in bottlenecks}
lines = {
    "autoencoder, pixel score": [sweep[d][1]["pixel"] for d in bottlenecks],
    "PCA": [sweep[d][1]["PCA"] for d in bottlenecks],
    "mean image, no code": [auroc_mean_image] * len(bottlenecks),
}
figure = plots.sweep(bottlenecks, lines, xlabel="code length $d$")
listed = "; ".join(
    f"{name}: " + ", ".join(f"{100 * v:.1f}" for v in values) for name, values in lines.items()
)
plots.show(figure, alt=f"AUROC in per cent against the code lengths {bottlenecks}. {listed}.")

# %%
final_loss = {d: float(np.mean(sweep[d][0].history_["reconstruction"][-20:])) for d in bottlenecks}
shortest, longest = min(bottlenecks), max(bottlenecks)
print({d: round(value, 4) for d, value in final_loss.items()})

# %%
record(
    shortest=shortest,
    longest=longest,
    n_sweep_steps=sweep_steps,
    loss_shortest=final_loss[shortest],
    loss_longest=final_loss[longest],
    sweep_shortest=lines["autoencoder, pixel score"][0],
    sweep_best=max(lines["autoencoder, pixel score"]),
    sweep_longest=lines["autoencoder, pixel score"][-1],
    sweep_pca_best=max(lines["PCA"]),
    auroc_mean_image=auroc_mean_image,
    sweep_pca_longest=lines["PCA"][-1],
)

# %% [markdown]
# From a code of {{ shortest }} to a code of {{ longest }} numbers the training loss goes from
# {{ loss_shortest | f4 }} to {{ loss_longest | f4 }}: longer codes draw bags better. The AUROC of the
# autoencoder goes from {{ sweep_shortest | pct }} to {{ sweep_longest | pct }}: longer codes detect *worse*
# here. A code long enough to draw every bag well can draw other things too. This is the **trade-off** that
# DualAD's authors start from: fidelity to normal images against distinguishing anomalies.
#
# Two more readings hurt a little. The mean image, which learned no code at all, gets
# {{ auroc_mean_image | pct }}. And PCA behaves differently from the network, with
# {{ sweep_pca_longest | pct }} at the long end: "longer is worse" is no law, it depends on what the model
# does with the extra numbers. On other classes the curves look different again (exercise 5).
#
# Mind how you read this figure. The networks are small and had {{ n_sweep_steps }} steps each; the `paper`
# profile trains larger ones for longer. And the figure is drawn from *test* labels, to understand. To choose
# $d$ from it would be leak 1 of lesson 00.
#
# ## 9. A second score: the place of the code
#
# So far we threw the code away. Yet $z$ has to say what the network sees. An unusual image may have an
# unusual *code*, even where its reconstruction is good. The **latent score** is the distance from a code to
# the nearest code of a training image:
#
# $$s_{lat}(x) = \min_i \lVert \tilde z - \tilde z_i \rVert_2, \qquad \tilde z_i: \text{codes of training images}$$
#
# The tilde stands for **whitening**: the codes are shifted, turned and scaled so that the training codes
# have mean zero and about the same spread in every direction. Otherwise the largest coordinate would decide
# alone.
#
# **Predict:** higher or lower AUROC than the pixel score? And will the two make the same mistakes?

# %%
z_train, z_test = model.encode(task.train), model.encode(task.test)
mean, covariance = z_train.mean(0), z_train.T.cov()
spread, axes = torch.linalg.eigh(covariance + 0.1 * covariance.diagonal().mean() * torch.eye(latent_dim))
whiten = axes / spread.sqrt()  # (d, d)
s_lat = torch.cdist((z_test - mean) @ whiten, (z_train - mean) @ whiten).amin(1).numpy()
print(f"latent, by hand: {100 * auroc(y, s_lat):.1f}; library: {100 * auroc(y, scores.latent):.1f}")

# %% [markdown]
# The library does the same, but for two details: its bank holds only the images that trained the network,
# and its whitening is a little different. Its **dual score** is a weighted mean of both scores, each
# standardised on the held-out normal images. The weights come from those images and from damaged copies of
# them: lesson 05 builds that. No label has a say in it.

# %%
results = {
    "autoencoder": {name: auroc(y, values) for name, values in scores.items()},
    f"PCA-{latent_dim}": {"score": auroc(y, s_pca)},
}
figure = plots.auroc_bars(results)
listed = ", ".join(f"{name} {100 * value:.1f}" for name, value in results["autoencoder"].items())
plots.show(figure, alt=f"Bars of AUROC. Autoencoder: {listed}. PCA: {100 * auroc(y, s_pca):.1f} per cent.")
rank = [np.argsort(np.argsort(values)) for values in (scores.pixel, scores.latent)]

# %%
record(
    auroc_latent=auroc(y, scores.latent),
    auroc_dual=auroc(y, scores.dual),
    rank_correlation=np.corrcoef(*rank)[0, 1],
)

# %% [markdown]
# From the same network: pixel {{ auroc_pixel | pct }}, latent {{ auroc_latent | pct }}, both together
# {{ auroc_dual | pct }}. The ranks of the two scores correlate with {{ rank_correlation | f2 }}: they agree in part
# and err on different images. Whether a second space *helps* depends on the class: section 11 has another one, and
# lesson 05 the rule. DualAD's other parts work on the code. Note what this score needs: a good *code*. Nothing in
# $\mathcal{L}_{rec}$ asks for one. It came along by luck, and later lessons ask for it.
#
# ## 10. What can go wrong
#
# **A dead training.** The learning rate is far too high.
#
# **Predict** what the loss curve looks like, and what the network then draws.

# %%
torch.manual_seed(seed)
dead = ConvAutoencoder(task.image_shape, sweep_width, latent_dim)
dead_history = train(dead, task.train, sweep_steps, learning_rate=500 * learning_rate)
baseline = squared_error(mean_image.expand(len(task.train), -1, -1, -1), task.train.float() / 255).item()
alive = sweep[longest][0].history_["reconstruction"]
figure = plots.losses(
    {"learning rate x 500": dead_history, "as above": alive, "mean image": [baseline] * sweep_steps}
)
plots.show(
    figure,
    alt="Loss curves. The healthy training falls well below the constant line of the mean image; the one "
    "with the 500 times larger learning rate stays at or above that line.",
)

# %%
with torch.no_grad():
    drawn = dead(shown[:8])[1]
shortest_model = sweep[shortest][0]
rows = {"x": shown[:8], "dead": drawn, f"code of {shortest}": shortest_model.reconstruct(shown[:8])}
figure = plots.image_grid(rows)
spread_dead = drawn.std(0).mean().item() / shown[:8].std(0).mean().item()
plots.show(
    figure,
    alt="Eight test images. The dead network draws nearly the same picture for each of them; the network with a "
    f"code of {shortest} numbers draws a few blurred standard shapes.",
)

# %%
record(
    loss_dead=float(np.mean(dead_history[-20:])),
    loss_mean_image=baseline,
    spread_dead=spread_dead,
    auroc_dead=auroc(y, pixel_scores(dead, task.test)),
)

# %% [markdown]
# The dead network ends at {{ loss_dead | f3 }}, where always answering with the mean image would give
# {{ loss_mean_image | f3 }}. Between different inputs its outputs vary {{ spread_dead | pct }} % as much as
# the images do: it **collapsed** to nearly one picture for everything. Its AUROC is {{ auroc_dead | pct }}, and not
# 50. The distance to one fixed picture still orders images, the wrong way round or the right way, as it
#     happens. With the mean image as that picture it was {{ auroc_mean_image | pct }}. So an AUROC away from
#     50 does not prove that anything was learned. Look at the reconstructions, and compare the loss with
#     that of the mean image.
#
# The third row is the same disease in mild form, and a surprise. With a code of {{ shortest }} numbers the
# network knows a few standard bags and draws the nearest one, badly. Yet this network had
# {{ sweep_shortest | pct }} in the sweep, against {{ sweep_longest | pct }} with a code of {{ longest }}. A
# poor drawing is not a poor detector: what counts is the *gap* between normal and anomalous errors.
#
# ## 11. The table
#
# One class proves little. `measure` trains a detector on a task and returns one row a score, in the form
# that all tables of this course have.

# %%
settings = {
    "autoencoder": {
        "width": width,
        "latent_dim": latent_dim,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
}
command = f"dualad run 01_autoencoder_baseline --profile {profile} -p dataset {dataset}"
how = {"seed": seed, "profile": profile, "output": results_folder, "command": command}
cells = [
    measure(detector, dataset, k, params=settings.get(detector), **how)
    for k in table_classes
    for detector in ["autoencoder", *table_detectors]
]
rows = [row for cell in cells for row in cell]

# %%
if results_folder is not None:
    write_results(rows, Path(results_folder) / f"01_autoencoder_baseline_{dataset}.csv")
table = pd.DataFrame(rows)
table["class"] = [task.class_names[k] for k in table.normal_class]
table["auroc"] *= 100
table = table.pivot_table(index=["detector", "score"], columns="class", values="auroc", sort=False)
table["mean"] = table.mean(axis=1)
table.round(1)

# %%
means = {}
for (detector, score), value in table["mean"].items():
    means.setdefault(detector, {})[score] = value / 100
figure = plots.auroc_bars(means)
listed = ", ".join(f"{d} {s} {100 * v:.1f}" for d, group in means.items() for s, v in group.items())
plots.show(figure, alt=f"Bars of mean AUROC over {len(table_classes)} classes, in per cent: {listed}.")

# %%
record(
    n_table_classes=len(table_classes),
    mean_pixel=means["autoencoder"]["pixel"],
    mean_latent=means["autoencoder"]["latent"],
    mean_dual=means["autoencoder"]["dual"],
    mean_pca=means.get("pca", {}).get("score"),
    mean_knn=means.get("knn", {}).get("score"),
    mean_isolation_forest=means.get("isolation_forest", {}).get("score"),
)

# %% [markdown]
# Means over {{ n_table_classes }} classes: autoencoder pixel {{ mean_pixel | pct }}, latent
# {{ mean_latent | pct }}, dual {{ mean_dual | pct }}; PCA {{ mean_pca | pct }}, nearest neighbour
# {{ mean_knn | pct }}, isolation forest {{ mean_isolation_forest | pct }}. Read the columns as well as the
# mean: an easy class lifts everybody. Where a classical row stands above the autoencoder's, say so: a network that
# trained for seconds lost to a method that takes less than one. (The row `pca` keeps 32 components, the library's
# default; sections 5 and 9 kept 64.) One seed and few classes give no ranking. The project's
# tables over all ten classes stand in `figures/results/`.
#
# ## Recap
#
# - An autoencoder is trained to rebuild normal images; $s_{pix}$ is its error. Here that gives
#   {{ auroc_pixel | pct }}, PCA {{ auroc_pca | pct }}.
# - The squared error punishes shifts ({{ shift_error_ratio | f2 }} times a typical anomaly) and rewards
#   plain images. A longer code lowers the loss and need not raise AUROC.
# - The code holds a second score, {{ auroc_latent | pct }}, although nothing was done for it.
# - A collapsed network still has an AUROC ({{ auroc_dead | pct }}). Look at the pictures.
#
# **Next:** an image discriminator that plays against the reconstruction. Does it earn its place?
#
# ## Exercises
#
# **1. Predict.** Three networks that learned nothing useful. Are their pixel scores `"useless"` (the same
# for every image) or do they say something about the image, so that they `"can work"`?

# %%
answers = {
    "copies everything": None,  # x_hat = x
    "mean image": None,  # x_hat = mean training image, whatever x is
    "noise": None,  # x_hat = random pixels, whatever x is
}
checks.check_extremes(answers)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write down $x - \hat x$ for each network. Does it still contain $x$?
#
# </details>
# <details><summary>Hint 2</summary>
#
# A score is useless only if it is the same for every image. A distance to something fixed is not.
#
# </details>
# <details><summary>Solution</summary>
#
# Useless, can work, can work. A perfect copy has error 0 everywhere: only ties, AUROC 50. The distance to
# the mean image is a simple detector. Even against noise the error depends on the image: large where it is
# far from medium grey. Measure the second:
#
# ```python
# s = (task.test.float() / 255 - mean_image).square().flatten(1).mean(1)
# auroc(y, s)
# ```
#
# </details>
#
# **2. Code.** Mend the one-pixel shift. Compare $x$ with all nine shifts of $\hat x$ by −1, 0 or 1 rows and
# columns, and keep for each image the smallest mean squared error. Leave out the outermost pixel on each
# side of $x$, so that each shift compares the same number of pixels.


# %%
def shift_tolerant_score(x, x_hat):
    """x, x_hat: (N, C, H, W). Returns (N,): the smallest error over nine shifts, for each image."""
    raise NotImplementedError


checks.check_shift_tolerant_score(shift_tolerant_score)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Cut the border off $x$ once. For each shift cut a window of the same size out of $\hat x$, one pixel further
# up, down, left or right.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Collect nine tensors of shape (N,), stack them, and take the minimum over the nine, `amin(0)`. A minimum
# over images would give one number for the whole batch.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def shift_tolerant_score(x, x_hat):
#     height, wide = x.shape[-2:]
#     inner, errors = x[..., 1:-1, 1:-1], []
#     for a in (0, 1, 2):
#         for b in (0, 1, 2):
#             window = x_hat[..., a : a + height - 2, b : b + wide - 2]
#             errors.append((inner - window).square().flatten(1).mean(1))  # (N,)
#     return torch.stack(errors).amin(0)  # over the shifts, not over the images
#
# x_all = task.test.float() / 255
# auroc(y, shift_tolerant_score(x_all, model.reconstruct(task.test)))
# ```
#
# Then ask the hard question: this forgives normal images their shifts. Does it forgive anomalies as much?
#
# </details>
#
# **3. Code.** Write the latent score on codes: the Euclidean distance to the *nearest* training code.


# %%
def nearest_code(z, z_train):
    """z: (N, d), z_train: (M, d). Returns (N,) distances."""
    raise NotImplementedError


checks.check_nearest_code(nearest_code)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# First all distances, a table (N, M): each test code to each training code. `torch.cdist` makes it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Then one number a row: the smallest, over dimension 1.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def nearest_code(z, z_train):
#     return torch.cdist(z, z_train).amin(1)
# ```
#
# Try it without whitening: `auroc(y, nearest_code(z_test, z_train))`.
#
# </details>
#
# **4. Explain.** A colleague trains ten times longer. The training loss halves and the AUROC of the pixel
# score falls. She suspects a bug. What do you tell her?
#
# <details><summary>Hint</summary>
#
# The loss looks at normal images alone. AUROC looks at something that the loss never sees. What?
#
# </details>
# <details><summary>Solution</summary>
#
# No bug is needed. The loss asks for good reconstructions of normal images, and AUROC asks for a *gap*
# between normal and anomalous errors. A network that draws better draws anomalies better too. If their
# errors fall faster than the normal ones, the gap closes. Compare the two medians before and after.
#
# </details>
#
# **5. Try.** Set `normal_class = 1` (trousers) and run all again. First predict whether the sweep has the
# same shape. Which property of the class decides?
#
# **6. Try.** `noise=0.3` in `Autoencoder(...)` trains a *denoising* autoencoder (Vincent et al., 2008):
# noise is added to the input, and the clean image has to come back. Predict which of the three scores gains,
# then measure it on a development split.
#
# ## References
#
# - P. Baldi, K. Hornik. *Neural networks and principal component analysis: learning from examples without
#   local minima.* Neural Networks 2, 1989.
# - G. E. Hinton, R. R. Salakhutdinov. *Reducing the dimensionality of data with neural networks.* Science
#   313, 2006.
# - P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol. *Extracting and composing robust features with
#   denoising autoencoders.* ICML 2008.
# - S. Ioffe, C. Szegedy. *Batch normalization: accelerating deep network training by reducing internal
#   covariate shift.* ICML 2015.
# - I. Loshchilov, F. Hutter. *Decoupled weight decay regularization* (AdamW). ICLR 2019.
# - P. Lippe. *UvA deep learning tutorials, tutorial 9: deep autoencoders.* From there comes the idea to show
#   the one-pixel shift.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
