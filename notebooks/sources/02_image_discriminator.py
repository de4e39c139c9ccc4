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
# # 02 · The image discriminator
#
# {{ colab_badge }}
#
# Put a photograph beside what an autoencoder makes of it, and nobody mistakes one for the other: the
# reconstruction is blurred. In this lesson a second network learns to see that too, and the autoencoder learns
# to fool it. The question is whether a detector whose pictures look more real finds more anomalies.
#
# **After this lesson you will be able to**
#
# - say why the squared error blurs, and what a sharp picture costs;
# - write a GAN by hand: two losses, two optimisers, two turns;
# - read the curves of such a game, and notice when one side has won;
# - tell an edge that was found from one that was invented;
# - judge whether a new part has earned its place in a detector.
#
# **You need** [lesson 01](01_autoencoder_baseline.ipynb): its autoencoder, its training loop, its two scores.
# You need not have met a GAN before.
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
import math

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import softplus

from dualad_lib import Autoencoder, load_one_class, plots
from dualad_lib.course import record
from dualad_lib.course.provenance import results_folder
from dualad_lib.detectors import create
from dualad_lib.evaluation import auroc
from dualad_lib.experiments.results import study_rows
from dualad_lib.experiments.tables import paired
from dualad_lib.losses import squared_error
from dualad_lib.networks import ConvAutoencoder
from dualad_lib.teaching import checks

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8: bag
seed = 0
width = 8  # channels of the first convolution, in G and in D
latent_dim = 32  # d, numbers in the code z
steps = 300  # batches of one training
batch_size = 64
learning_rate = 2e-3  # of G
discriminator_rate = 5e-4  # of D
w_adversarial = 0.005  # weights beside a reconstruction loss of weight 1, as in the library
w_matching = 0.1
ahead = 20  # D's learning rate times this: too far ahead
fresh_steps = 80  # batches that train a fresh discriminator
toy_steps = 600
table_classes = [8, 1, 7, 0]  # normal classes of the comparison: bag, trouser, sneaker, T-shirt

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
normal = task.test[y == 0].float() / 255  # (n, C, H, W)
task

# %% [markdown]
# ## 1. Spot the photograph
#
# Eight bags that were not trained on, and what lesson 01's autoencoder makes of them.

# %%
settings = {
    "width": width,
    "latent_dim": latent_dim,
    "steps": steps,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
}
blurring = Autoencoder(**settings, seed=seed).fit(task.train)
figure = plots.image_grid({"$x$": normal[:8], r"$\hat{x}$": blurring.reconstruct(normal[:8])}, size=1.1)
plots.show(
    figure,
    alt="Eight bags and below each its reconstruction by the autoencoder: most outlines come back, soft at their "
    "edges, the last bag's hardly; prints and seams are gone, thin handles are faint or missing.",
)

# %% [markdown]
# Most of the shapes are there, but prints and seams are wiped out, and thin handles faint or gone. In lesson 01
# the mean square of the difference of the two rows *is* the pixel score, so a perfectly normal bag pays for
# every print that its reconstruction has lost.
#
# If you can tell the rows apart, a network can learn to. And what one network can see, another can be trained
# to hide. So we add a judge, the **discriminator** $D$, which is shown real images and reconstructions. The
# autoencoder, from now on $G$, plays against it: a new loss $\mathcal{L}_{adv}$ teaches it to fool $D$. New parts
# are dashed; $D$'s own loss is not drawn.

# %%
figure = plots.loss_graph(new=("D",))
label = next(text for text in figure.axes[0].texts if "adv" in text.get_text())
label.set_text(r"$\mathcal{L}_{adv}$: fool $D$")
plots.show(
    figure,
    alt="The autoencoder as a graph, and new below it, dashed: a discriminator D that is given the reconstruction "
    "x-hat and real images x, and under it L_adv, the loss by which the autoencoder learns to fool D.",
)

# %% [markdown]
# ## 2. Why the squared error blurs
#
# Take "images" of one row of 16 pixels, dark on the left and bright on the right. The edge stands at one of four
# places, all equally likely.


# %%
places = torch.arange(6, 10)
pixels = torch.arange(16)
all_four = (pixels >= places[:, None]).float()  # (4, 16): every image there is


def edges(n):
    """(n, 16): n of these images, drawn at random."""
    return all_four[torch.randint(4, (n,))]


def small_network(inputs, outputs, hidden=64):
    layers = [nn.Linear(inputs, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


# %% [markdown]
# A small network, the *painter*, is trained with the squared error to draw such a row. It is fed four random
# numbers, so it could draw a different row each time, but nothing tells it where the edge should be. A decoder
# is in the same position with each detail that its code does not hold.
#
# **Predict:** which row does it draw?

# %%
torch.manual_seed(seed)
painter = nn.Sequential(small_network(4, 16), nn.Sigmoid())
optimiser = torch.optim.Adam(painter.parameters(), 1e-3, betas=(0.5, 0.99))
for _ in range(toy_steps):
    loss = squared_error(painter(torch.randn(128, 4)), edges(128))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %%
variance = (all_four - all_four.mean(0)).square().mean()  # V: the error of the mean of the four


def in_variances(drawn):
    """The squared error of drawings (n, 16) against images that they know nothing of, in units of V."""
    return ((drawn[:, None] - all_four).square().mean() / variance).item()


with torch.no_grad():
    blurred = painter(torch.randn(2000, 4))
print(f"error of the painter: {in_variances(blurred):.2f} V")
lines = {
    "one of the images": all_four[1],
    "mean of the four": all_four.mean(0),
    "painter, one row": blurred[0],
}
figure = plots.sweep(pixels.tolist(), lines, "pixel", "brightness", scale=1, log2=False)
plots.show(
    figure,
    alt="Brightness of 16 pixels. One image jumps from 0 to 1 at one pixel. The mean of all four images is "
    "a ramp in steps of a quarter, and the row drawn by the painter lies on that ramp.",
)

# %% [markdown]
# It draws a ramp: the *mean* of the four images, which looks like none of them. Of all answers that do not
# depend on the place, the mean has the smallest squared error, namely the variance $V$ of the images. Blur is
# the right answer to the question that we asked.
#
# ## 3. A forger and a judge
#
# We need another question: does this look like an image of the data? No formula says that, but it can be
# learned. A **generative adversarial network**, or GAN (Goodfellow et al., 2014), is a pair of networks trained
# against each other. The **generator** $G$ makes images; for now it is the painter, later the autoencoder. The
# discriminator $D$ gets real images and made ones and says which is which, and $G$ is trained to be taken for real.
#
# $D$ is an ordinary classifier with two classes. It answers with a **logit**: positive means "real", negative
# means "made", and the sigmoid $\sigma(t) = 1 / (1 + e^{-t})$ turns it into a probability. Its loss is the binary
# cross-entropy. Written for logits, with $x$ real, $\hat x$ made, and $E$ for the mean over images:
#
# $$\mathcal{L}_D = E\,\mathrm{softplus}(-D(x)) + E\,\mathrm{softplus}(D(\hat x)),
# \qquad \mathrm{softplus}(t) = \log(1 + e^t)$$


# %%
def discriminator_loss(real, fake):
    return softplus(-real).mean() + softplus(fake).mean()


# %% [markdown]
# A $D$ that knows nothing says 0 to everything and pays $2\log 2 \approx 1.39$. There are two ways to this
# number: either there is nothing to tell apart, or $D$ has not learned to.
#
# The generator wants the opposite:
#
# $$\mathcal{L}_{adv} = E\,\mathrm{softplus}(-D(\hat x))$$


# %%
def adversarial_loss(fake):
    return softplus(-fake).mean()


# %% [markdown]
# The surer $D$ is that an image was made, the harder this loss pulls its logit up; once the image passes for
# real, it lets go. (Why not simply the negative of $D$'s second term? See exercise 3.)
#
# ## 4. The toy again, with a judge
#
# A new painter and a small $D$ each get their own optimiser, and each step has two turns. In the painter's turn
# the gradient passes *through* $D$ on its way back, while $D$ stands still. In $D$'s turn the drawings are
# **detached**, so that nothing leads from its loss back into the painter. (The painter's turn leaves a
# gradient in $D$'s weights, too; `moves_D.zero_grad()` wipes it.)
#
# **Predict** what the drawings will look like, and their squared error in units of $V$.

# %%
torch.manual_seed(seed)
painter = nn.Sequential(small_network(4, 16), nn.Sigmoid())
D_edges = small_network(16, 1)
moves_painter = torch.optim.Adam(painter.parameters(), 1e-3, betas=(0.5, 0.99))
moves_D = torch.optim.Adam(D_edges.parameters(), 1e-3, betas=(0.5, 0.99))
drawings = {}
for step in range(1, toy_steps + 1):
    x, x_hat = edges(128), painter(torch.randn(128, 4))
    loss = squared_error(x_hat, x) + adversarial_loss(D_edges(x_hat))  # the painter's turn
    moves_painter.zero_grad()
    loss.backward()
    moves_painter.step()
    loss = discriminator_loss(D_edges(x), D_edges(x_hat.detach()))  # D's turn
    moves_D.zero_grad()
    loss.backward()
    moves_D.step()
    if step in (toy_steps // 20, toy_steps // 6, toy_steps // 3, toy_steps):
        with torch.no_grad():
            drawings[f"step {step}"] = painter(torch.randn(2000, 4))

# %%
drawings = {"data": edges(2000), "no judge": blurred} | drawings
titles = [f"{name}\nerror {in_variances(drawn):.1f} $V$" for name, drawn in drawings.items()]
stacks = 0.85 * torch.stack([drawn[:16] for drawn in drawings.values()])  # 16 rows, one above the other
figure = plots.image_grid({"16 rows": stacks}, titles=titles, size=1.35)
plots.show(
    figure,
    alt="Six pictures of 16 rows each, one row a drawing. The data have sharp edges at four places. Without a judge "
    "all rows show the same soft ramp. In the game the rows begin grey, then show a ramp, and at the last step "
    "nearly sharp edges at different places. Errors: "
    + ", ".join(titles).replace("\n", " ").replace("$", "")
    + ".",
)


# %% [markdown]
# The last four pictures are the game. After a grey start comes the ramp, and then it breaks up, row by row, into
# edges at different places. The random numbers, worthless until now, decide where.
#
# The sharp drawings cost about *twice* as much as the ramp, and so does the data itself when one of its images
# is held against another. If the place cannot be known, a sharp edge is a **guess**. Image and guess vary
# independently around the mean, each with variance $V$, and the two add up. (To look perfectly real never has to
# cost more than this factor of two; Blau & Michaeli, 2018.)
#
# Our pixel score *is* the squared error. Does a detector suffer? Section 7 will tell.
#
# ## 5. The game on bags
#
# The discriminator for images has three convolutions and one linear layer. There is no batch norm: with it, the
# verdict on an image would depend on the rest of its batch. The last map, flattened, is the **feature** vector
# $f(x)$.
# %%
class ConvDiscriminator(nn.Module):
    def __init__(self, image_shape, width=16):
        super().__init__()
        channels, height, wide = image_shape
        layers = []
        for after in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(channels, after, 4, 2, 1), nn.LeakyReLU(0.2)]
            channels, height, wide = after, height // 2, wide // 2
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.logit = nn.Linear(channels * height * wide, 1)

    def forward(self, x):
        f = self.features(x)  # (N, m)
        return self.logit(f).squeeze(1), f


# %% [markdown]
# $\mathcal{L}_{adv}$ is content with any picture that looks real. **Feature matching** (Salimans et al., 2016;
# here image by image, as in DualAD) asks for *this* bag, but as $D$ sees it rather than pixel by pixel:
#
# $$\mathcal{L}_{fm} = \text{mean over images and features of } (f(\hat x) - f(x))^2$$


# %%
def feature_matching(f_hat, f):
    return (f_hat - f).square().mean()


# %% [markdown]
# $G$ gets the sum of three losses, the two new ones with the library's small weights: 0.005 for
# $\mathcal{L}_{adv}$ (in the toy it was 1) and 0.1 for $\mathcal{L}_{fm}$. The features of the real image are a
# target, so they need no gradient.


# %%
def loss_of_G(D, x, x_hat, w_adversarial, w_matching):
    fake, f_hat = D(x_hat)
    with torch.no_grad():
        _, f = D(x)
    reconstruction, matching = squared_error(x_hat, x), feature_matching(f_hat, f)  # L_rec, L_fm
    total = reconstruction + w_adversarial * adversarial_loss(fake) + w_matching * matching
    return total, {"L_rec": reconstruction.item(), "L_fm": matching.item()}


def loss_of_D(D, x, x_hat):
    (real, _), (fake, _) = D(x), D(x_hat.detach())
    return discriminator_loss(real, fake)


def move(optimiser, network, loss):
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()


# %% [markdown]
# The loop is that of lesson 01 with a second turn in it. $G$'s rate falls to zero as before, $D$'s, which is
# smaller, does not.


# %%
def play(w_adversarial, w_matching, rate_D=discriminator_rate):
    """Return G, D and the history of the game."""
    torch.manual_seed(seed)
    G, D = ConvAutoencoder(task.image_shape, width, latent_dim), ConvDiscriminator(task.image_shape, width)
    moves_G = torch.optim.AdamW(G.parameters(), learning_rate, betas=(0.9, 0.99))
    moves_D = torch.optim.Adam(D.parameters(), rate_D, betas=(0.5, 0.99))
    warmup, history = max(1, round(0.08 * steps)), []
    for step in range(steps):
        factor = min(1, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        moves_G.param_groups[0]["lr"] = learning_rate * factor
        x = task.train[torch.randint(len(task.train), (batch_size,))].float() / 255
        _, x_hat = G(x)
        loss, terms = loss_of_G(D, x, x_hat, w_adversarial, w_matching)
        move(moves_G, G, loss)  # G's turn
        loss = loss_of_D(D, x, x_hat)
        move(moves_D, D, loss)  # D's turn
        history.append({"L_D": loss.item()} | terms)
    return G.eval(), D.eval(), pd.DataFrame(history)


# %% [markdown]
# We play three games from the same seed, that is, with the same first weights and the same batches:
#
# - **spectator**: both weights are 0. $D$ learns, but nobody listens, and $G$ is lesson 01's autoencoder;
# - **with D**: the game as described;
# - **D too far ahead**: the same game, but $D$ learns at {{ ahead | int }} times its rate.
#
# **Predict** the loss of $D$ at the end of each, between 0 and 1.39.

# %%
torch.set_flush_denormal(True)  # numbers too small to matter count as 0: they would slow a CPU down
G_plain, D_plain, watched = play(0, 0)
G_game, D_game, played = play(w_adversarial, w_matching)
G_behind, D_ahead, too_far = play(w_adversarial, w_matching, rate_D=ahead * discriminator_rate)

# %% tags=["machinery"]
# Lowest and highest of five seeds, from `dualad bands`, which runs the whole lesson five times.
five = pd.read_csv(results_folder() / "bands_02_image_discriminator.csv", index_col="metric")


def with_range(metric, value, scale=100, digits=0, sign=""):
    """A number of this run as text, and in brackets its range over five seeds."""
    value = round(scale * value, digits) + 0.0
    if metric not in five.index:
        return f"{value:{sign}.{digits}f}"
    low, high = (f"{scale * five.loc[metric, end] + 0.0:{sign}.{digits}f}" for end in ("min", "max"))
    return f"{value:{sign}.{digits}f} ({low} to {high})"


# %%
histories = {"spectator": watched, "with D": played, "D too far ahead": too_far}
curves = {name: history.L_D for name, history in histories.items()}
curves["2 log 2: knows nothing"] = [2 * math.log(2)] * steps
ends = {name: history.L_D.tail(20).mean() for name, history in histories.items()}
figure = plots.losses(curves, log=False, ylabel=r"$\mathcal{L}_D$")
figure.axes[0].set_ylim(0, 2)  # some single batches of the D too far ahead lie higher
figure.axes[0].legend(loc="upper right", ncols=2)
plots.show(
    figure,
    alt="Loss of the discriminator against the step, for three games. Those of the spectator and of the game with D "
    "begin together near the line of 2 log 2, part near step 100, and end at "
    f"{ends['spectator']:.1f} and {ends['with D']:.1f}. That of the D too far ahead jumps up and down, mostly below "
    f"the others, and ends at {ends['D too far ahead']:.1f}.",
)
print("loss of D over the last 20 steps")
for metric, (name, value) in zip(
    ("loss_D_spectator", "loss_D_game", "ahead_loss_D"), ends.items(), strict=True
):
    print(f"    {name}: {with_range(metric, value, 1, 1)}")

# %% [markdown]
# (In brackets, here and below: lowest and highest of five seeds, of another machine.)
#
# The spectator wins more and more: blur is easy to recognise, and towards the end $G$ hardly moves any more. In the
# game, under the same schedule, $D$ ends closer to knowing nothing: $G$ has learned to hide from it. (From others,
# too? Exercise 6.) And the $D$ that learns too fast ends as the winner. But none of these curves measures quality.
# Each says only how one player does *against the other*.
#
# ## 6. Are the pictures better?
#
# **Predict:** what comes back, outlines, prints, seams? And which game draws best?


# %%
@torch.no_grad()
def rebuild(G, images):
    return torch.cat([G(batch)[1] for batch in images.split(512)])


shown = normal[:5]
rows = {
    "$x$": shown,
    "autoencoder": rebuild(G_plain, shown),
    "with D": rebuild(G_game, shown),
    "D too far ahead": rebuild(G_behind, shown),
}
figure = plots.image_grid(rows, size=1.35)
plots.show(
    figure,
    alt="Five bags with their reconstructions in three rows. The autoencoder's are soft. With D the outlines are "
    "harder, the fourth bag's handle is a line, and along the lower edges stands a row of small dark teeth; prints and "
    "seams come back in neither. With D too far ahead the bags are covered with dots, and their outlines are frayed.",
)
for name, history in {"with D": played, "D too far ahead": too_far}.items():
    last = history.tail(20).mean()
    print(f"{name}: L_rec {last.L_rec:.3f}, weighted L_fm {w_matching * last.L_fm:.3f}")

# %% [markdown]
# With $D$ outlines are harder. The fourth bag's handle is nearly a line again, but of the first one's only two
# stumps stand. But look along the lower edges: those little teeth are on no photograph. (Transposed convolutions, as
# in our decoder, draw such regular dots easily; Odena et al., 2016.) Prints and seams have not come back.
#
# In the last row $D$ has won, and the pictures are spoilt. $D$'s features of image and reconstruction lie so far
# apart that $\mathcal{L}_{fm}$ outweighs the reconstruction error. We go on with the healthy game.
#
# *Sharper* and *truer* are two things, then, and we can measure both. An edge is a difference of neighbouring
# pixels; $\nabla x$ stands for all of them, across and down.
#
# $$\text{edge energy} = \frac{\text{mean } (\nabla\hat x)^2}{\text{mean } (\nabla x)^2}, \qquad
# \text{edges found} = \frac{\text{mean } \nabla\hat x \cdot \nabla x}{\text{mean } (\nabla x)^2}$$
#
# The first says how much edge is drawn, the second how much of the image's own edge is in it. What is drawn beyond
# that, energy minus found, we call **invented**: stronger than the uncertainty of its place allows.
#
# **Predict** both for the toy's ramp, and for its sharp guess.


# %%
def edge_report(x, x_hat):
    def differences(v):
        return torch.cat([v.diff(dim=-1).flatten(1), v.diff(dim=-2).flatten(1)], 1)

    true, drawn = differences(x), differences(x_hat)
    energy = (drawn.square().mean() / true.square().mean()).item()
    found = ((drawn * true).mean() / true.square().mean()).item()
    return {"edge energy": energy, "edges found": found, "invented": energy - found}


rows_of_edges = edges(2000)[:, None, None]  # as images of height 1
reports = {
    "toy, ramp": edge_report(rows_of_edges, blurred[:, None, None]),
    "toy, with a judge": edge_report(rows_of_edges, drawings[f"step {toy_steps}"][:, None, None]),
    "bags, autoencoder": edge_report(normal, rebuild(G_plain, normal)),
    "bags, with D": edge_report(normal, rebuild(G_game, normal)),
}

# %% tags=["machinery"]
short = dict(zip(list(reports)[2:], ("plain", "game"), strict=True))
cells = {
    row: {
        name: with_range(f"{name.replace(' ', '_')}_{short.get(row)}", value)
        for name, value in report.items()
    }
    for row, report in reports.items()
}
pd.DataFrame(cells).T.add_suffix(", %")


# %% [markdown]
# The toy's ramp climbs in four steps of $1/4$, and one of them stands where the true edge is: a quarter is
# found. Its energy, four times $(1/4)^2$, is a quarter too, so nothing is invented. The sharp guess is right one
# time in four, so it finds no more on average, and the rest of its edge is invented.
#
# On bags the plain autoencoder behaves like the ramp, only fainter (so the last column falls just below zero). With
# $D$ the edge energy rises by {{ 100 * (edge_energy_game - edge_energy_plain) | int }} points, the edges found by
# only {{ 100 * (edges_found_game - edges_found_plain) | int }}. Most of what $D$ has brought is invented. (More by
# the judge than by the features: over five seeds $\mathcal{L}_{adv}$ alone invents 6 to 15 %, $\mathcal{L}_{fm}$
# alone 1 to 7, both together 8 to 16; `figures/results/bands_02_image_discriminator.csv`.)
#
# ## 7. Is the detector better?
#
# Section 4 told us to expect a price. Here it is, the squared error of test images:


# %%
def pixel_errors(G):
    x = task.test.float() / 255
    return (x - rebuild(G, x)).square().flatten(1).mean(1).numpy()


games = {"autoencoder": G_plain, "with D": G_game, "D too far ahead": G_behind}
errors = {name: pixel_errors(G) for name, G in games.items()}
for name, label in (("bags", 0), ("others", 1)):
    plain, game = (errors[who][y == label].mean() for who in ("autoencoder", "with D"))
    print(f"error of {name}: autoencoder {plain:.4f}, with D {game:.4f} ({100 * (game / plain - 1):+.0f} %)")

# %% [markdown]
# It is far below the toy's factor of two: these edges are much weaker than real ones. And anomalies pay it as
# well as bags, in nearly the same proportion. The AUROC asks only which of two images has the higher score, so we
# have to measure.
#
# From here to lesson 05 each lesson adds one part to the autoencoder and measures what it brings, with the
# library's detectors. We compare **in pairs**: with the part and without it, from the same seed, on the same
# class. The first line below shows why.
#
# **Predict:** which score gains most from $D$ on bags: pixel, latent, or *dual* (a weighted mean of the two, taken
# apart in [lesson 05](05_dual_scoring.ipynb))? And on other classes?

# %%
found = {}
for k in table_classes:
    one = load_one_class(dataset, k, seed=seed)
    for stage in ("autoencoder", "dualad_d"):
        scores = create(stage, **settings, seed=seed).fit(one.train).anomaly_scores(one.test)
        for kind in ("pixel", "latent", "dual"):
            found[task.class_names[k].split("/")[0].lower(), stage, kind] = auroc(
                one.test_labels.numpy(), getattr(scores, kind)
            )
table = pd.Series(found).unstack([1, 2], sort=False)
added = table["dualad_d"] - table["autoencoder"]

# %% tags=["machinery"]
groups = {"bag": added.iloc[0], ", ".join(added.index[1:]) + " (mean)": added.iloc[1:].mean()}
value = with_range("bag_latent", table["autoencoder", "latent"].iloc[0], digits=1)
print(f"latent AUROC on bags without D: {value}")
pd.DataFrame(
    {
        kind: [
            with_range(f"{who}_{kind}_gain", group[kind], digits=1, sign="+")
            for who, group in zip(("bag", "others"), groups.values(), strict=True)
        ]
        for kind in added
    },
    index=[*groups],
).rename_axis(columns="points that D adds to")

# %% [markdown]
# The seed alone moves the latent score by more than any gain in the table. In pairs much of that luck cancels: on
# bags $D$ adds {{ bag_latent_gain | pct }} points to the latent score and {{ bag_dual_gain | pct }} to the dual, and
# something with each of five seeds. Why the code gains, which $D$ never sees, the table does not say. The pixel
# score, which reads the very pictures that $D$ has changed, is undecided: the library's gains with some seeds and
# loses with others, our hand-made game's gains with each, between 0.1 and 2.9 points.
#
# Stop here, and $D$ is a success. But on the three other classes only {{ others_dual_gain | pct }} points of the
# dual score are left, so we ask more of them. The course's full tables ([lesson 08](08_benchmark.ipynb) reads them)
# hold ten of each of three data sets, with all training images, larger networks and one seed. Now each class gives
# one pair:

# %%
rows = study_rows("tables")  # committed with the course
names = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
gains = {
    (score, title): paired(rows, name, ("dualad_d", score), ("autoencoder", score))
    for score in ("pixel", "latent", "dual")
    for name, title in names.items()
}
figure = plots.paired_differences(pd.DataFrame(gains).T, "points of AUROC that $D$ adds")
plots.show(
    figure,
    alt="Mean gain by D over ten classes with its interval, for three scores and three data sets: "
    + "; ".join(f"{score} {title} {one['mean']:+.1f}" for (score, title), one in gains.items())
    + ".",
)

# %% [markdown]
# Each mark is a mean over ten classes, each line its 95 % interval (Student's). Every class is trained anew, so it
# holds the luck of training, too. On the dual score $D$ brings {{ full_mnist | pct }} points on MNIST and {{
# full_fashion_mnist | pct }} on Fashion-MNIST. On the colour photographs of CIFAR-10 it *costs* {{ (0 -
# full_cifar10) | pct }}; that interval just holds zero, but that of the latent score, which loses {{ (0 -
# full_cifar10_latent) | pct }}, does not. And the price feared in section 4 does not show: the pixel score gains a
# little on MNIST, and elsewhere its intervals hold zero.
#
# <details><summary>For the curious: does the AUROC notice the broken game?</summary>
#
# Not reliably. Beside the healthy game from the same seed, the pixel AUROC of the one that $D$ has won differs by
# {{ ahead_pixel_gain | pct }} points in this run, and over five seeds by anything from
# {{ ahead_pixel_low | pct }} to {{ ahead_pixel_high | pct }}. An AUROC may rise while the pictures fall apart: look
# at both.
#
# </details>
#
# ## What it means
#
# - The squared error asks for the mean of what might be, and that is blur.
# - A judge asks for what looks real. Where the code lacks a detail, that is a guess, and on bags most of the new
#   edges are invented.
# - A loss of $D$ says how one player does against the other. Look at the pictures.
# - Compare in pairs, and on more than one class.
# - $D$ costs a second network, a second learning rate, two weights and new ways to fail. It brings tenths of a point
#   to the dual score on two data sets and seems to cost more on the third. So far it has hardly earned its place.
#
# **Next:** in [lesson 03](03_feature_constraint.ipynb) DualAD's second game is played on the code, where a score
# reads directly what the game changes.


# %% tags=["machinery"]
# Not for reading: hands this run's numbers to whoever runs the course.
def _gradient(loss):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(G_game.parameters()))])


_x = task.train[:batch_size].float() / 255
_leaked = _gradient(discriminator_loss(D_game(_x)[0], D_game(G_game(_x)[1])[0]))
_wanted = _gradient(adversarial_loss(D_game(G_game(_x)[1])[0]))
_sharp = drawings[f"step {toy_steps}"]


def tells_apart(D, G):
    with torch.no_grad():
        real, fake = D(normal)[0], D(rebuild(G, normal))[0]
    return auroc(np.repeat([1, 0], len(normal)), torch.cat([real, fake]).numpy())


def fresh_auroc(G):
    torch.manual_seed(seed + 1)
    D = ConvDiscriminator(task.image_shape, width)
    optimiser = torch.optim.Adam(D.parameters(), discriminator_rate, betas=(0.5, 0.99))
    x = task.train.float() / 255
    x_hat = rebuild(G, x)
    for _ in range(fresh_steps):
        i = torch.randint(len(x), (batch_size,))
        move(optimiser, D, loss_of_D(D, x[i], x_hat[i]))
    return tells_apart(D, G)


def judge_auroc(D):
    """AUROC of -D(x): what is no bag should look less real."""
    with torch.no_grad():
        return auroc(y, -torch.cat([D(x)[0] for x in (task.test.float() / 255).split(512)]).numpy())


by_pixels = {name: auroc(y, error) for name, error in errors.items()}
judges = {"own_plain": tells_apart(D_plain, G_plain), "own_game": tells_apart(D_game, G_game)}
judges |= {"fresh_plain": fresh_auroc(G_plain), "fresh_game": fresh_auroc(G_game)}
record(
    toy_error_blurred=in_variances(blurred),
    toy_error_sharp=in_variances(_sharp),
    toy_jump_blurred=blurred.diff(dim=1).abs().amax(1).mean().item(),
    toy_jump_sharp=_sharp.diff(dim=1).abs().amax(1).mean().item(),
    loss_D_spectator=ends["spectator"],
    loss_D_game=ends["with D"],
    loss_plain=watched.L_rec.tail(20).mean(),
    loss_game=played.L_rec.tail(20).mean(),
    **{
        f"{name.replace(' ', '_')}_{who}": value
        for row, who in short.items()
        for name, value in reports[row].items()
    },
    **{
        f"error_{kind}_{who}": float(errors[name][y == label].mean())
        for name, who in (("autoencoder", "plain"), ("with D", "game"))
        for label, kind in ((0, "normal"), (1, "anomalous"))
    },
    **judges,
    judge_auroc=judge_auroc(D_game),
    judge_low=five.loc["judge_auroc", "min"],
    judge_high=five.loc["judge_auroc", "max"],
    judge_spectator=judge_auroc(D_plain),
    **{
        f"{who}_{kind}_gain": group[kind]
        for who, group in zip(("bag", "others"), groups.values(), strict=True)
        for kind in added
    },
    ahead=ahead,
    fresh_steps=fresh_steps,
    ahead_loss_D=ends["D too far ahead"],
    ahead_loss=last.L_rec,
    game_pixel_gain=by_pixels["with D"] - by_pixels["autoencoder"],
    ahead_pixel_gain=by_pixels["D too far ahead"] - by_pixels["with D"],
    ahead_pixel_low=five.loc["ahead_pixel_gain", "min"],
    ahead_pixel_high=five.loc["ahead_pixel_gain", "max"],
    pixel_plain=by_pixels["autoencoder"],
    pixel_game=by_pixels["with D"],
    ahead_auroc=by_pixels["D too far ahead"],
    detach_cosine=torch.cosine_similarity(_leaked, _wanted, dim=0).item(),
    n_table_classes=len(table_classes),
    **{f"bag_{kind}": table["autoencoder", kind].iloc[0] for kind in added},
    **{f"bag_{kind}_d": table["dualad_d", kind].iloc[0] for kind in added},
    **{f"others_{kind}": table["autoencoder", kind].iloc[1:].mean() for kind in added},
    **{f"others_{kind}_d": table["dualad_d", kind].iloc[1:].mean() for kind in added},
    **{f"full_{name}": gains["dual", title]["mean"] / 100 for name, title in names.items()},
    full_cifar10_latent=gains["latent", "CIFAR-10"]["mean"] / 100,
)

# %% [markdown]
# ## Exercises
#
# **1. Predict.** Three games have ended. Say what each reading means: `"D ahead"`, `"D asleep"` (there would be
# something to learn, and $D$ has not learned it) or `"balance"` (there is nothing to learn). (The *margin* is
# the mean of $D(x)$ minus the mean of $D(\hat x)$; a *fresh* $D$ is a new one, trained on the finished images,
# and what is given is its loss.)
# %%
answers = {
    "L_D near 0, margin growing": None,
    "L_D = 2 log 2, a fresh D gets 0.9": None,
    "L_D = 2 log 2, a fresh D gets 2 log 2 too": None,
}
checks.check_game_readings(answers)


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# $2\log 2$ is what a discriminator pays that always says one half. It may say so because there is nothing to
# see, or because it has not looked.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The fresh $D$ is the witness: if it can learn to tell the two apart, there was something to learn.
#
# </details>
# <details><summary>Solution</summary>
#
# D ahead, D asleep, balance. A loss of $2\log 2$ has two reasons, and the curves of the game alone cannot tell
# them apart: a learning rate of 0 for $D$ gives a perfect-looking plateau from the first step on. A fresh
# discriminator can. (A common cure for a $D$ that runs ahead is to bound how steep it can be: Miyato et al., 2018.)
#
# </details>
#
# **2. Code.** The best possible $D$ compares how likely an image is among real and among made ones: with
# densities $p$ and $q$ it says $\log p(x)/q(x)$. Write it for two normal distributions,
# $p = N(\mu_p, \sigma_p^2)$ real and $q = N(\mu_q, \sigma_q^2)$ made.
# %%
def best_logit(x, mean_p, std_p, mean_q, std_q):
    """x: (N,) numpy array; the others numbers. Returns (N,): log p(x) / q(x)."""
    raise NotImplementedError


checks.check_best_logit(best_logit)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The density of a normal distribution is $\exp(-(x - \mu)^2 / 2\sigma^2) / (\sqrt{2\pi}\,\sigma)$. Take its
# logarithm first, then subtract the two.
#
# </details>
# <details><summary>Hint 2</summary>
#
# $\sqrt{2\pi}$ stands in both and cancels. $\sigma$ does not: a term $-\log\sigma_p + \log\sigma_q$ stays.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def best_logit(x, mean_p, std_p, mean_q, std_q):
#     log_p = -0.5 * ((x - mean_p) / std_p) ** 2 - np.log(std_p)
#     log_q = -0.5 * ((x - mean_q) / std_q) ** 2 - np.log(std_q)
#     return log_p - log_q  # the constants log sqrt(2 pi) cancel, the log std do not
# ```
#
# With equal deviations it is a straight line: a linear discriminator is then enough. Goodfellow et al. show that
# the best $D$ has the loss $2\log 2 - 2\,\mathrm{JSD}(p, q)$. The Jensen-Shannon divergence JSD measures how far
# two distributions are apart: it is 0 if they are equal, and at most $\log 2$.
#
# </details>
#
# **3. Code.** The loss of $G$ that comes to mind first is $E\log(1 - \sigma(D(\hat x)))$, the negative of $D$'s
# second term, to be made small. Write it so that it stays finite at a logit of 200. Then **predict:**
# $D$ gives a made image a logit of −8. How strongly does this loss pull it up, and how strongly does
# $\mathcal{L}_{adv}$?


# %%
def saturating_loss(fake):
    """fake: (N,) tensor of logits D(x_hat). Returns one number, lower = better for G."""
    raise NotImplementedError


checks.check_saturating_loss(saturating_loss)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Simplify by hand before you code: $1 - \sigma(t) = 1 / (1 + e^t)$. What is its logarithm?
#
# </details>
# <details><summary>Hint 2</summary>
#
# $\log(1 + e^t)$ is `softplus(t)`, which torch computes without overflow. Mind the sign, and take the mean.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def saturating_loss(fake):
#     return -torch.nn.functional.softplus(fake).mean()
# ```
#
# $1 - \sigma(t) = 1 / (1 + e^t)$, so its logarithm is $-\mathrm{softplus}(t)$. Its slope at −8 is
# $-\sigma(-8) \approx -0.0003$, that of $\mathcal{L}_{adv}$ is $-\sigma(8) \approx -0.9997$. Where help is
# needed most the first one hardly pulls: it **saturates**, and ours is called **non-saturating**.
#
# </details>
#
# **4. Explain.** "An adversary makes reconstructions better, so anomalies stand out more." Which step of this
# sentence is wrong? Name one kind of anomaly that $D$ should help to find, and one that it should hide.
#
# <details><summary>Hint</summary>
#
# "Better" to whom? Look at section 4: what happened to the squared error when the edges became sharp?
#
# </details>
# <details><summary>Solution</summary>
#
# "Better" means two things. The reconstructions look more like normal images, and their squared error is
# *larger* (section 4). Whether anomalies stand out depends on the gap. It should help where an anomaly is
# rebuilt too well by blur, such as plain or smooth images: a $G$ that has to draw normal texture cannot copy
# them. It should hurt where normal images have fine details that the code cannot hold: a guessed detail costs up
# to twice as much, so normal images score higher, and small defects drown in that. (On bags, section 7, both
# kinds of image paid nearly alike.)
#
# </details>
#
# **5. Try.** Write the game by hand: copy `play`, delete all between `_, x_hat = G(x)` and `history.append`, and
# write both turns without the lesson's functions. Your history must pass `.equals(played)`. Then leave out the
# `.detach()`, the classic slip: what happens to $G$?
#
# <details><summary>Hint 1</summary>
#
# Order: $D$ on $\hat x$, `no_grad` and $D$ on $x$, the three losses, then zero, backward, clip to 5, step. For
# $D$'s turn: $D$ on $x$, $D$ on the detached $\hat x$, its loss, and the same four calls.
#
# </details>
# <details><summary>Hint 2</summary>
#
# For the slip: `torch.autograd.grad(loss, list(G_game.parameters()))` gives a gradient as a list of tensors.
# Compare that of $\mathcal{L}_D$, not detached, with that of $\mathcal{L}_{adv}$.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# fake, f_hat = D(x_hat)  # G's turn
# with torch.no_grad():
#     f = D(x)[1]
# reconstruction, matching = (x_hat - x).square().mean(), (f_hat - f).square().mean()
# loss = reconstruction + w_adversarial * softplus(-fake).mean() + w_matching * matching
# moves_G.zero_grad()
# loss.backward()
# nn.utils.clip_grad_norm_(G.parameters(), 5.0)
# moves_G.step()
# real, fake = D(x)[0], D(x_hat.detach())[0]  # D's turn
# loss = softplus(-real).mean() + softplus(fake).mean()
# moves_D.zero_grad()
# loss.backward()
# nn.utils.clip_grad_norm_(D.parameters(), 5.0)
# moves_D.step()
# ```
#
# (The history also wants `terms = {"L_rec": reconstruction.item(), "L_fm": matching.item()}`.) Without the
# `.detach()` torch stops with a `RuntimeError`: the graph behind $\hat x$ was freed by $G$'s own turn. Were
# $\hat x$ made afresh, $\mathcal{L}_D$ would leave its gradient in $G$'s parameters, but `moves_D` never steps
# them, and `moves_G.zero_grad()` wipes it away. So here the slip costs an error or time. With *one* optimiser for
# both players it would do harm:
#
# ```python
# def gradient(loss):
#     return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(G_game.parameters()))])
#
# x = task.train[:batch_size].float() / 255
# leaked = gradient(discriminator_loss(D_game(x)[0], D_game(G_game(x)[1])[0]))  # no detach
# wanted = gradient(adversarial_loss(D_game(G_game(x)[1])[0]))
# print(torch.cosine_similarity(leaked, wanted, dim=0).item())
# ```
#
# The cosine is {{ detach_cosine | f2 }}, where −1 would be the exact opposite: $G$ would be taught to be caught.
#
# </details>
#
# **6. Try.** Does $G$ look real, or has it only learned to fool *its* $D$? Let that $D$ tell test images from
# their reconstructions, and beside it a fresh $D$, trained for {{ fresh_steps | int }} batches on the finished
# reconstructions. Predict which is the better judge. And could $-D(x)$ itself be a detector's score? Measure its
# AUROC.
#
# <details><summary>Hint</summary>
#
# Training the fresh one is the second turn of `play`, with a $G$ that stands still.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def tells_apart(D, G):
#     with torch.no_grad():
#         real, fake = D(normal)[0], D(rebuild(G, normal))[0]
#     return auroc(np.repeat([1, 0], len(normal)), torch.cat([real, fake]).numpy())
#
#
# def fresh_auroc(G):
#     torch.manual_seed(seed + 1)
#     D = ConvDiscriminator(task.image_shape, width)
#     optimiser = torch.optim.Adam(D.parameters(), discriminator_rate, betas=(0.5, 0.99))
#     x = task.train.float() / 255
#     x_hat = rebuild(G, x)
#     for _ in range(fresh_steps):
#         i = torch.randint(len(x), (batch_size,))
#         move(optimiser, D, loss_of_D(D, x[i], x_hat[i]))
#     return tells_apart(D, G)
#
# for D, G in ((D_plain, G_plain), (D_game, G_game)):
#     print(tells_apart(D, G), fresh_auroc(G))
# with torch.no_grad():
#     less_real = -D_game(task.test.float() / 255)[0].numpy()
# print(auroc(y, less_real))
# ```
#
# (The folded cell above the exercises runs the same code; here are its values, with `seed = 0`, in per cent.)
#
# Its own $D$ has an AUROC of {{ own_plain | pct }} as a spectator and {{ own_game | pct }} in the game, and it
# is lower in the game with each of five seeds. A judge that $G$ never met has {{ fresh_plain | pct }} and
# {{ fresh_game | pct }}. The forger has learned the habits of one inspector.
#
# And $-D(x)$ as a score? The last line prints {{ judge_auroc | pct }}: worse than a coin, as with each of five
# seeds ({{ judge_low | pct0 }} to {{ judge_high | pct0 }}). $D$ was asked whether an image is a photograph or a
# reconstruction, not whether it is a bag, and a photograph of a shoe is a photograph. Others use $D$ differently:
# AnoGAN (Schlegl et al., 2017) adds the distance of its features of $x$ and $\hat x$ to the score, GANomaly (Akcay
# et al., 2018) trains with that distance and scores by the code.
#
# </details>
#
# ## References
#
# - I. Goodfellow et al. *Generative adversarial nets.* NeurIPS 2014.
# - T. Salimans et al. *Improved techniques for training GANs.* NeurIPS 2016. (Feature matching.)
# - A. Odena, V. Dumoulin, C. Olah. *Deconvolution and checkerboard artifacts.* Distill, 2016.
# - Y. Blau, T. Michaeli. *The perception-distortion tradeoff.* CVPR 2018.
# - T. Miyato et al. *Spectral normalization for generative adversarial networks.* ICLR 2018.
# - T. Schlegl et al. *Unsupervised anomaly detection with generative adversarial networks* (AnoGAN). IPMI
#   2017. (GANs enter anomaly detection.)
# - S. Akcay, A. Atapour-Abarghouei, T. P. Breckon. *GANomaly.* ACCV 2018.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
