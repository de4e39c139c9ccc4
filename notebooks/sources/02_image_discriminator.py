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
# The reconstructions of lesson 01 were blurred. That was no accident: the squared error *asks* for blur. In
# this lesson a second network joins, the **discriminator** $D$. It looks at an image and says "real" or
# "reconstructed", and the autoencoder is made to fool it. The pictures become crisper. Whether the *detector*
# becomes better is another question, and we measure it.
#
# **After this lesson you will be able to**
#
# - say which picture the squared error likes best, and what a sharp picture costs;
# - check a discriminator against the one answer that is known, $\log p/q$;
# - write the adversarial game by hand: two losses, two optimisers, two turns;
# - read the curves of a game, and see from them when it has gone wrong;
# - tell edges that were found from edges that were invented.
#
# **You need** [lesson 01](01_autoencoder_baseline.ipynb): its autoencoder, its training loop, its two scores.
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
from torch.distributions import Normal
from torch.nn.functional import softplus

from dualad_lib import load_one_class, plots
from dualad_lib.course import record
from dualad_lib.evaluation import auroc, bootstrap_interval
from dualad_lib.experiments import measure, write_results
from dualad_lib.losses import squared_error
from dualad_lib.networks import ConvAutoencoder
from dualad_lib.scoring import Gaussian, nearest_distance
from dualad_lib.teaching import checks
from dualad_lib.training import Player, TrainingError, Turn, train

# %% tags=["parameters"]
dataset = "fashion_mnist_sample"
normal_class = 8  # 8 = bag
seed = 0
latent_dim = 64  # d, numbers in the code z
width = 8  # channels of the first convolution, in G and in D
steps = 150  # batches of one game
batch_size = 64
learning_rate = 2e-3  # of G
discriminator_rate = 5e-4  # of D
w_adversarial = 0.02  # weights beside a reconstruction loss of weight 1
w_matching = 0.5
loud = 50  # the adversarial weight times this: too loud
ahead = 20  # D's learning rate times this: too far ahead
more_seeds = 3  # further seeds on which the comparison is repeated
fresh_steps = 80  # batches that train a fresh discriminator
toy_steps = 600
n_bootstrap = 200
table_classes = [1, 8]  # normal classes of the last table
table_seeds = [0]
table_steps = 150
profile = "lesson"  # written into the rows of the results
results_folder = None  # a folder where the table's cells are kept as they are finished

# %%
task = load_one_class(dataset, normal_class, seed=seed)
y = task.test_labels.numpy()  # 0 = normal, 1 = anomalous
task

# %% [markdown]
# The new part, with a heavy dashed outline. Everything else you know.

# %%
figure = plots.loss_graph(new=("D",))
plots.show(
    figure,
    alt="The autoencoder as a graph, and new below it: a discriminator D that is given the reconstruction "
    "x-hat and real images x, and the loss L_adv, real or fake, under it.",
)

# %% [markdown]
# ## 1. The squared error likes blur
#
# Take images of one row of 16 pixels: dark on the left, bright on the right. The **edge** stands at one of
# four places, each as likely as the others. And let the code say nothing about the place. What should a
# decoder draw?


# %%
places = torch.arange(6, 10)
pixels = torch.arange(16)


def edges(n):
    """(n, 16): n rows of pixels with an edge at a random place."""
    place = places[torch.randint(len(places), (n, 1))]
    return (pixels >= place).float()


# %% [markdown]
# **Predict:** a network is trained with the squared error to draw such a row, and it cannot know the place.
# Which row does it draw: one of the four, or something else?
#
# Here the answer is known. Of all fixed rows $a$, the mean squared error $E\,(a - x)^2$ is smallest for the
# **mean** of the possible images, $a = E\,x$, and is then their **variance** $V$. The mean of four sharp
# edges is a ramp. No image of the data looks like it.

# %%
all_four = (pixels >= places[:, None]).float()  # (4, 16)
ramp = all_four.mean(0)
variance = (all_four - ramp).square().mean().item()  # V, the least error that is possible
print("ramp:", ramp[5:11].tolist(), f" V = {variance:.4f}")


# %%
def small_network(inputs, outputs, hidden=64):
    layers = [nn.Linear(inputs, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


# %% [markdown]
# The painter gets four random numbers, so that it *could* draw a different row each time. Nothing in its
# input tells it the place.

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
@torch.no_grad()
def judge(painter, n=2000):
    """Its rows, their squared error in units of V, and their largest step from pixel to pixel."""
    drawn = painter(torch.randn(n, 4))
    error = squared_error(drawn, edges(n)).item() / variance
    return drawn, error, drawn.diff(dim=1).abs().amax(1).mean().item()


blurred, error_blurred, jump_blurred = judge(painter)

# %%
lines = {"one image": all_four[1], "mean of all (known)": ramp, "squared error": blurred.mean(0)}
figure = plots.sweep(pixels.tolist(), lines, "pixel", "brightness", scale=1, log2=False)
plots.show(
    figure,
    alt="Brightness of 16 pixels. One image jumps from 0 to 1 at one pixel. The mean of all four images is "
    "a ramp in steps of a quarter, and the row drawn by the network lies on that ramp.",
)

# %%
record(toy_error_blurred=error_blurred, toy_jump_blurred=jump_blurred)

# %% [markdown]
# The network found the ramp: its error is {{ toy_error_blurred | f2 }} $V$, where 1.00 is the least possible,
# and its largest step is {{ toy_jump_blurred | f2 }}, where the ramp has 0.25 and every real image has 1. It
# used its random numbers for nothing. This is what happened to the handles of the bags: where the code is
# not sure, the mean of what might be is the cheapest answer.
#
# ## 2. What a discriminator knows
#
# We need a judge who sees that a ramp is no image of the data. Let $p$ be the distribution of real images
# and $q$ that of reconstructions. $D$ gives a **logit**: positive says "real", negative says
# "reconstructed". It is trained as any classifier of two classes, with binary cross-entropy. On logits:
#
# $$\mathcal{L}_D = E\,\mathrm{softplus}(-D(x)) + E\,\mathrm{softplus}(D(\hat x)),
# \qquad \mathrm{softplus}(t) = \log(1 + e^t)$$


# %%
def discriminator_loss(real, fake):
    return softplus(-real).mean() + softplus(fake).mean()


# %% [markdown]
# Which $D$ makes this smallest? Look at one image $x$. It is real with density $p(x)$ and reconstructed with
# density $q(x)$, and contributes $p(x)\,\mathrm{softplus}(-t) + q(x)\,\mathrm{softplus}(t)$, where $t$ is its
# logit. Set the derivative by $t$ to zero:
#
# $$D^*(x) = \log\frac{p(x)}{q(x)}$$
#
# So a perfect discriminator knows both densities, up to one number an image. At $p = q$ it says 0 everywhere,
# and the loss is $2 \log 2$. In general the smallest loss is $2\log 2 - 2\,\mathrm{JSD}(p, q)$, with the
# Jensen-Shannon divergence, which is 0 when $p = q$ and at most $\log 2$ (Goodfellow et al., 2014).
#
# Never believe a formula that you can test. Two normal distributions have a $\log p/q$ in closed form.

# %%
p, q = Normal(0.0, 1.0), Normal(1.5, 0.7)


def toy_discriminator(p, q):
    """Train D on samples of p ("real") and q; return it and its mean loss over the last tenth."""
    torch.manual_seed(seed)
    D, history = small_network(1, 1), []
    optimiser = torch.optim.Adam(D.parameters(), 2e-3)
    for _ in range(toy_steps):
        loss = discriminator_loss(D(p.sample((1024, 1))), D(q.sample((1024, 1))))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    return D, np.mean(history[-max(1, toy_steps // 10) :])


# %% [markdown]
# The smallest loss follows from the formula by adding up over a fine grid.

# %%
grid = torch.linspace(-8, 8, 4001)
ratio = p.log_prob(grid) - q.log_prob(grid)  # D*(x) = log p(x) / q(x)
density = p.log_prob(grid).exp() * softplus(-ratio) + q.log_prob(grid).exp() * softplus(ratio)
smallest = torch.trapezoid(density, grid).item()  # 2 log 2 - 2 JSD(p, q)
print(f"2 log 2 = {2 * math.log(2):.4f}, smallest loss for these p and q: {smallest:.4f}")

# %%
D_toy, loss_toy = toy_discriminator(p, q)
D_equal, loss_equal = toy_discriminator(p, p)
at = torch.linspace(-2, 3, 21)
with torch.no_grad():
    learned, learned_equal = D_toy(at[:, None])[:, 0], D_equal(at[:, None])[:, 0]
known = p.log_prob(at) - q.log_prob(at)

# %%
lines = {"$\\log p/q$ (known)": known, "learned $D$": learned, "learned $D$ where $q = p$": learned_equal}
figure = plots.sweep(at.tolist(), lines, "$x$", "logit", scale=1, log2=False)
plots.show(
    figure,
    alt="Logits against x. The known log p over q is a curve, high at the left, negative around 1.5; the "
    "learned discriminator follows it. Where q equals p the learned one stays near 0.",
)

# %%
record(
    toy_logit_error=(learned - known).abs().mean().item(),
    toy_loss=loss_toy,
    toy_loss_known=smallest,
    toy_loss_equal=loss_equal,
    two_log_two=2 * math.log(2),
)

# %% [markdown]
# The learned logit is off by {{ toy_logit_error | f2 }} on average, most of it where there are few samples.
# Its loss is {{ toy_loss | f3 }}, and {{ toy_loss_known | f3 }} is the smallest possible. Where $q = p$ the
# loss is {{ toy_loss_equal | f3 }}; $2\log 2$ is {{ two_log_two | f3 }}. Keep this number. It is what $D$ has
# when it knows nothing, and **that can have two reasons**: there is nothing to know, or $D$ has not learned
# it.
#
# ## 3. The other player
#
# The reconstruction wants to be taken for real. The obvious loss is minus the discriminator's second term,
# $-E\,\mathrm{softplus}(D(\hat x)) = E\log(1 - \sigma(D(\hat x)))$, where $\sigma(t) = 1 / (1 + e^{-t})$ is the
# sigmoid. (Elsewhere, as the deviation of a noise, $\sigma$ is a spread.) Then one player wins exactly what the other
# loses, a true **min-max** game.
#
# **Predict:** $D$ starts well and gives every reconstruction a logit of −8. How large is the gradient that
# the reconstruction gets from this loss? From $E\,\mathrm{softplus}(-D(\hat x))$ instead?


# %%
def adversarial_loss(fake):
    return softplus(-fake).mean()


# %%
logits = [-8.0, -4.0, -2.0, 0.0, 2.0]
rows = []
for logit in logits:
    fake = torch.tensor([logit], requires_grad=True)
    saturating = torch.autograd.grad(-softplus(fake).mean(), fake)[0].item()
    rows.append([logit, saturating, torch.autograd.grad(adversarial_loss(fake), fake)[0].item()])
gradients = pd.DataFrame(rows, columns=["D(x_hat)", "gradient, saturating", "gradient, non-saturating"])
gradients.round(4)

# %%
record(gradient_saturating=-rows[0][1], gradient_non_saturating=-rows[0][2])

# %% [markdown]
# Both pull the logit up (the gradients are negative). But where the reconstruction is worst, at −8, the
# obvious loss pulls with {{ gradient_saturating | f4 }} and the other with {{ gradient_non_saturating | f4 }}.
# The first **saturates**: it is silent exactly when help is needed. So everyone plays the second, the
# **non-saturating** form. It has the same goal, and is no longer the exact opposite of $\mathcal{L}_D$:
#
# $$\mathcal{L}_{adv} = E\,\mathrm{softplus}(-D(\hat x))$$
#
# ## 4. The toy again, with an adversary
#
# Now the edges. One new painter, one small $D$, and both losses.
#
# **Predict** two numbers: the largest step from pixel to pixel (the ramp had 0.25), and the squared error in
# units of $V$ (the ramp had 1).

# %%
torch.manual_seed(seed)
painter = nn.Sequential(small_network(4, 16), nn.Sigmoid())
D_edges = small_network(16, 1)
moves_painter = torch.optim.Adam(painter.parameters(), 1e-3, betas=(0.5, 0.99))
moves_D = torch.optim.Adam(D_edges.parameters(), 1e-3, betas=(0.5, 0.99))

# %%
for _ in range(toy_steps):
    x, x_hat = edges(128), painter(torch.randn(128, 4))
    loss = squared_error(x_hat, x) + adversarial_loss(D_edges(x_hat))
    moves_painter.zero_grad()
    loss.backward()
    moves_painter.step()
    loss = discriminator_loss(D_edges(x), D_edges(x_hat.detach()))
    moves_D.zero_grad()
    loss.backward()
    moves_D.step()

# %%
sharp, error_sharp, jump_sharp = judge(painter)
with torch.no_grad():
    loss_D_edges = discriminator_loss(D_edges(edges(2000)), D_edges(sharp)).item()
nearest = torch.cdist(sharp, all_four).argmin(1)  # which of the four edges each row looks like
shares = nearest.bincount(minlength=4) / len(sharp)

# %%
stacks = torch.stack([edges(16), blurred[:16], sharp[:16]])  # each picture: 16 drawings, one above the other
figure = plots.image_grid(
    {"16 drawings": 0.85 * stacks},  # a little below white, so that one sees where the picture ends
    titles=["data", "squared error", "with an adversary"],
    size=1.5,
)
plots.show(
    figure,
    alt="Three pictures of 16 rows, each row one drawing. The data have sharp edges at four places. With the "
    "squared error all rows have the same soft ramp. With an adversary the edges are nearly sharp and stand "
    "at different places, like the data.",
)

# %%
record(
    toy_error_sharp=error_sharp,
    toy_jump_sharp=jump_sharp,
    toy_loss_D=loss_D_edges,
    toy_smallest_share=shares.min().item(),
)

# %% [markdown]
# The largest step is {{ toy_jump_sharp | f2 }}: nearly a real edge. The loss of $D$ is
# {{ toy_loss_D | f3 }} of {{ two_log_two | f3 }}: it can hardly tell them from data. And the squared
# error is {{ toy_error_sharp | f2 }} $V$. It about *doubled*.
#
# That too is known. If the place cannot be known, then a sharp answer is a **guess**, an image $x'$ drawn
# like $x$ but independent of it, and $E\,(x' - x)^2 = 2V$. In this toy no better network helps: a
# drawing that is distributed like the data and knows nothing of the place costs $2V$. In general, looking
# real costs something, and *at most* twice the least error (Blau & Michaeli, 2018).
#
# One more thing to look at: of the four places, the least drawn has {{ toy_smallest_share | pct0 }} % of the
# drawings, where 25 % would be right. If it had none, we would speak of **mode collapse**: $\mathcal{L}_{adv}$
# asks that every drawing looks real, and not that every real image is drawn.
#
# Hold on to the question that this raises. Our pixel score *is* the squared error. Is a loss that doubles it
# good for detecting anything? It is if the errors of anomalies grow more than those of normal images. There
# is no theorem that they do.
#
# ## 5. The game on real images
#
# $D$ for images: three convolutions of stride 2, then one linear layer. The flattened last map is the
# **feature** $f(x)$. There is no batch norm: a batch is all real or all reconstructed, and the statistics
# of a whole batch would give the answer away.


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
# DualAD's published code has a fully connected one, 1024-512-256-128-1. It is in the library too, as
# `MLPDiscriminator`.
#
# $\mathcal{L}_{adv}$ wants *some* real-looking image. It does not care which one. **Feature matching**
# (Salimans et al., 2016; here image by image, as in DualAD and in Larsen et al., 2016) asks for *this* one,
# seen with the eyes of $D$:
#
# $$\mathcal{L}_{fm} = \text{mean over images and features of } (f(\hat x) - f(x))^2$$


# %%
def feature_matching(f_hat, f):
    return (f_hat - f).square().mean()


# %% [markdown]
# Each player has its own loss and its own optimiser. First $G$. Its loss is computed *through* $D$, so that
# the gradient passes $D$ on its way to the reconstruction; $D$ itself stands still. The features of the real
# image are a target, so they need no gradient.


# %%
def loss_of_G(D, x, x_hat, w_adversarial, w_matching):
    fake, f_hat = D(x_hat)
    with torch.no_grad():
        _, f = D(x)
    reconstruction, matching = squared_error(x_hat, x), feature_matching(f_hat, f)  # L_rec, L_fm
    total = reconstruction + w_adversarial * adversarial_loss(fake) + w_matching * matching
    return total, {"reconstruction": reconstruction.item(), "matching": matching.item()}


# %% [markdown]
# Then $D$. It gets the *same* reconstructions, but **detached**: as plain images, without the graph that
# leads back into $G$. We also keep the **margin**, $\text{mean } D(x) - \text{mean } D(\hat x)$: by how much
# $D$ prefers the real images.


# %%
def loss_of_D(D, x, x_hat):
    (real, _), (fake, _) = D(x), D(x_hat.detach())
    loss = discriminator_loss(real, fake)  # L_D
    return loss, {"discriminator": loss.item(), "margin": (real.mean() - fake.mean()).item()}


# %%
def move(optimiser, network, loss):
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()


# %% [markdown]
# The loop is that of lesson 01, with a second turn. With both weights at 0, $D$ still plays, but nobody
# listens to it: it becomes a **spectator**. That gives a fair comparison. Same networks, same seed, same
# batches, same $D$; the only difference is whether $G$ minds.


# %%
def play(w_adversarial, w_matching, seed=seed, rate_D=discriminator_rate):
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
        loss, more = loss_of_D(D, x, x_hat)
        move(moves_D, D, loss)  # D's turn
        history.append(terms | more)
    return G.eval(), D.eval(), pd.DataFrame(history)


# %% [markdown]
# **Predict** the loss of $D$ at the end, between 0 and {{ two_log_two | f2 }}: as a spectator, and in the
# game.

# %%
torch.set_flush_denormal(True)  # numbers too small to matter count as 0: they would slow a CPU down
G_plain, _, watched = play(0, 0)
G_game, D_game, played = play(w_adversarial, w_matching)

# %%
curves = {"spectator": watched.discriminator, "in the game": played.discriminator}
curves["2 log 2: knows nothing"] = [2 * math.log(2)] * steps
figure = plots.losses(curves, log=False, ylabel=r"$\mathcal{L}_D$")
plots.show(
    figure,
    alt="Loss of the discriminator against the step. Both curves begin at 2 log 2. The spectator's falls "
    "well below it; in the game the loss stays between the spectator's curve and 2 log 2.",
)

# %%
curves = {"spectator": watched.margin, "in the game": played.margin}
figure = plots.losses(curves, log=False, ylabel="margin: mean $D(x)$ - mean $D(\\hat{x})$")
plots.show(
    figure,
    alt="Margin of the discriminator against the step. The spectator's margin grows up to the last step; in "
    "the game it stays far lower.",
)

# %%
end_watched, end_played = watched.tail(20).mean(), played.tail(20).mean()
curves = {"autoencoder": watched.reconstruction, "autoencoder + D": played.reconstruction}
figure = plots.losses(curves, ylabel=r"$\mathcal{L}_{rec}$")
plots.show(
    figure,
    alt=f"Reconstruction loss against the step, on a logarithmic axis: at the end "
    f"{end_watched.reconstruction:.4f} for the autoencoder, {end_played.reconstruction:.4f} with D.",
)

# %%
record(
    loss_D_spectator=end_watched.discriminator,
    loss_D_game=end_played.discriminator,
    margin_spectator=end_watched.margin,
    margin_game=end_played.margin,
    margin_share=end_played.margin / end_watched.margin,
    loss_plain=end_watched.reconstruction,
    loss_game=end_played.reconstruction,
)

# %% [markdown]
# Read the first two figures together. The spectator ends with a loss of {{ loss_D_spectator | f2 }} and a
# margin of {{ margin_spectator | f1 }}: blurred reconstructions are easy to tell from images. In the game
# the loss is {{ loss_D_game | f2 }} and the margin {{ margin_game | f1 }}. $G$ hides, and with success.
#
# Yet the loss is not $2\log 2$ and the margin is not 0, as they would be in equilibrium. $D$ is ahead, for
# two reasons. $G$ also has to keep $\mathcal{L}_{rec}$ small, and the toy said what looking real costs: here
# {{ loss_game | f4 }} instead of {{ loss_plain | f4 }}. And its learning rate falls to 0 while that of $D$
# does not, so $D$ has the last word. Do not wait for either curve to fall and stay low, as a training loss
# should. Each says how one player does *against the other*, and not how good either is.
#
# ## 6. What changed in the pictures

# %%
normal = task.test[y == 0].float() / 255  # (n, C, H, W)
others = [k for k in range(len(task.class_names)) if k != normal_class]
anomalous = torch.stack([task.test[task.test_classes == k][0] for k in others[-5:]]).float() / 255


@torch.no_grad()
def rebuild(G, images):
    return torch.cat([G(batch)[1] for batch in images.split(512)])


# %%
shown = torch.cat([normal[:7], anomalous])
figure = plots.image_grid(
    {"$x$": shown, "autoencoder": rebuild(G_plain, shown), "with D": rebuild(G_game, shown)}
)
plots.show(
    figure,
    alt="Seven normal and five anomalous test images with their reconstructions by the autoencoder and by "
    "the autoencoder with D. With D the outlines have more contrast and the surfaces have grain; small "
    "details of the images come back in neither.",
)

# %% [markdown]
# A little crisper, yes. But look closely: is the new detail that *of the image*? Let us measure both. An edge is a
# difference of neighbouring pixels; write $\nabla x$ for all of them, across and down.
#
# $$\text{edge energy} = \frac{\text{mean } (\nabla\hat x)^2}{\text{mean } (\nabla x)^2}, \qquad
# \text{edges found} = \frac{\text{mean } \nabla\hat x \cdot \nabla x}{\text{mean } (\nabla x)^2}$$
#
# The first says how much edge is drawn. The second counts only what agrees with the image: a right edge adds
# to it, a wrong one takes away, and grain that is independent of the image adds nothing. So their difference
# is **invented**. (A right edge that is drawn with too much contrast counts as invented, too.)
#
# **Predict** all three for the toy: the ramp, and the sharp guess.


# %%
def edge_report(x, x_hat):
    def differences(v):
        return torch.cat([v.diff(dim=-1).flatten(1), v.diff(dim=-2).flatten(1)], 1)

    true, drawn = differences(x), differences(x_hat)
    energy = (drawn.square().mean() / true.square().mean()).item()
    found = ((drawn * true).mean() / true.square().mean()).item()
    return {"edge energy": energy, "edges found": found, "invented": energy - found}


# %% [markdown]
# In the toy every image is one row, so we hand it over as images of height 1.

# %%
x = edges(2000)[:, None, None]
reports = {
    "toy, ramp (known: 0.25 0.25 0)": edge_report(x, ramp.expand_as(x)),
    "toy, sharp guess (known: 1 0.25 0.75)": edge_report(x, edges(2000)[:, None, None]),
    "toy, with an adversary": edge_report(x, sharp[:, None, None]),
    "autoencoder": edge_report(normal, rebuild(G_plain, normal)),
    "autoencoder + D": edge_report(normal, rebuild(G_game, normal)),
}
pd.DataFrame(reports).T.round(2)

# %%
plain, game = reports["autoencoder"], reports["autoencoder + D"]
record(
    edge_energy_plain=plain["edge energy"],
    edge_energy_game=game["edge energy"],
    edges_found_plain=plain["edges found"],
    edges_found_game=game["edges found"],
    edges_invented_plain=plain["invented"],
    edges_invented_game=game["invented"],
)

# %% [markdown]
# The autoencoder draws {{ edge_energy_plain | pct0 }} % of the edge energy of its images, and invents
# {{ edges_invented_plain | pct0 }} %: blur draws only what it is sure of. With $D$ the energy is
# {{ edge_energy_game | pct0 }} %. {{ edges_found_game | pct0 }} points of these agree with the image (without $D$:
# {{ edges_found_plain | pct0 }}), and {{ edges_invented_game | pct0 }} are invented. The toy told us so.
# Where the code does not know, looking real means guessing. Part of the guess is a fine grid: the
# transposed convolutions of the decoder draw such **checkerboards** easily (Odena et al., 2016), and a small
# $D$ after so few steps takes them for texture. "Sharper" alone is a number that one can raise by cheating.
#
# Did $G$ learn to look real, or only to fool *its* $D$? We train a **fresh** discriminator on the finished
# reconstructions of the training images, and ask it about test images.
#
# **Predict** its AUROC in telling test images from their reconstructions: for the autoencoder, and with D.


# %%
def fresh_auroc(G):
    torch.manual_seed(seed + 1)
    D = ConvDiscriminator(task.image_shape, width)
    optimiser = torch.optim.Adam(D.parameters(), discriminator_rate, betas=(0.5, 0.99))
    x = task.train.float() / 255
    x_hat = rebuild(G, x)
    for _ in range(fresh_steps):
        i = torch.randint(len(x), (batch_size,))
        move(optimiser, D, loss_of_D(D, x[i], x_hat[i])[0])
    with torch.no_grad():
        real, fake = D(normal)[0], D(rebuild(G, normal))[0]
    is_real = np.repeat([1, 0], len(normal))
    return auroc(is_real, torch.cat([real, fake]).numpy())


# %%
fresh_plain, fresh_game = fresh_auroc(G_plain), fresh_auroc(G_game)
record(fresh_plain=fresh_plain, fresh_game=fresh_game, n_fresh=fresh_steps)

# %% [markdown]
# After {{ n_fresh }} steps the fresh one separates images and reconstructions with
# {{ fresh_plain | pct }} for the autoencoder and {{ fresh_game | pct }} with $D$. Compare the two numbers
# with the margins above. In its own game $G$ hid well. A judge that it never met finds it out all the same.
# So $q$ is not near $p$, whatever the curves of the game suggested: it is the second reason of section 2, a
# $D$ that has not learned what there is to know.
#
# ## 7. What changed in the scores
#
# The two scores of lesson 01, for both networks.


# %%
@torch.no_grad()
def both_scores(G):
    x, x_train = task.test.float() / 255, task.train.float() / 255
    s_pix = (x - rebuild(G, x)).square().flatten(1).mean(1)
    z, z_train = (torch.cat([G.encode(b) for b in v.split(512)]) for v in (x, x_train))
    gaussian = Gaussian.fit(z_train)  # the whitening of lesson 01
    s_lat = nearest_distance(gaussian.whiten(z_train), gaussian.whiten(z))
    return {"pixel": s_pix.numpy(), "latent": s_lat.numpy()}


# %% [markdown]
# **Predict:** will $D$ move the pixel score, the latent score, both, or neither? Up or down?

# %%
scores = {"plain": both_scores(G_plain), "with D": both_scores(G_game)}
results = {name: {kind: auroc(y, s) for kind, s in two.items()} for name, two in scores.items()}
pd.DataFrame(results).T.mul(100).round(1)

# %% [markdown]
# How much of the difference is due to *which* test images we happen to have? The bootstrap of lesson 00, on
# the difference of the two AUROCs, drawing the same images for both.


# %%
def interval_of_gain(kind):
    before, after = scores["plain"][kind], scores["with D"][kind]

    def gain(labels, drawn):
        i = drawn.astype(int)
        return auroc(labels, after[i]) - auroc(labels, before[i])

    return bootstrap_interval(gain, y, np.arange(len(y)), n=n_bootstrap, seed=seed)


intervals = {kind: interval_of_gain(kind) for kind in ("pixel", "latent")}
print({kind: f"{100 * low:+.1f} to {100 * high:+.1f} points" for kind, (low, high) in intervals.items()})

# %% [markdown]
# Stop here and you have a result with an interval: pixel {{ pixel_plain | pct }} without $D$ and
# {{ pixel_game | pct }} with it, a gain between {{ pixel_gain_low | pct }} and {{ pixel_gain_high | pct }}
# points. Latent {{ latent_plain | pct }} and {{ latent_game | pct }}, a gain between
# {{ latent_gain_low | pct }} and {{ latent_gain_high | pct }}. It is tempting to stop here.
#
# But this interval asks whether *these two networks* differ, on other test images. It knows nothing of other
# *networks*: another seed draws other weights and other batches.
#
# **Predict:** with {{ more_seeds | int }} more seeds, how many of the gains have the same sign?

# %%
rows = [[seed, *results["plain"].values(), *results["with D"].values()]]
for one in range(seed + 1, seed + 1 + more_seeds):
    row = [one]
    for weights in ((0, 0), (w_adversarial, w_matching)):
        row += [auroc(y, s) for s in both_scores(play(*weights, seed=one)[0]).values()]
    rows.append(row)

# %%
columns = ["seed", "pixel", "latent", "pixel, D", "latent, D"]
by_seed = pd.DataFrame(rows, columns=columns).set_index("seed")
by_seed["pixel gain"] = by_seed["pixel, D"] - by_seed["pixel"]
by_seed["latent gain"] = by_seed["latent, D"] - by_seed["latent"]
by_seed.mul(100).round(1)

# %%
metrics = {"more_seeds": more_seeds, "n_seeds": len(by_seed), "coin": 2 * 0.5 ** len(by_seed)}
for kind in ("pixel", "latent"):
    low, high = intervals[kind]
    plain, gain = by_seed[kind], by_seed[f"{kind} gain"]
    metrics |= {f"{kind}_plain": plain.iloc[0], f"{kind}_game": by_seed[f"{kind}, D"].iloc[0]}
    metrics |= {f"{kind}_gain_low": low, f"{kind}_gain_high": high, f"{kind}_gain_mean": gain.mean()}
    metrics |= {f"{kind}_gain_worst": gain.min(), f"{kind}_gain_best": gain.max()}
    metrics |= {f"{kind}_luck": plain.max() - plain.min(), f"{kind}_ups": int((gain > 0).sum())}
record(**metrics)

# %% [markdown]
# **Pixel.** The gain lies between {{ pixel_gain_worst | pct }} and {{ pixel_gain_best | pct }} points, on
# average {{ pixel_gain_mean | pct }}, and is above 0 for {{ pixel_ups }} of {{ n_seeds }} seeds.
#
# **Latent.** It lies between {{ latent_gain_worst | pct }} and {{ latent_gain_best | pct }} points, on average
# {{ latent_gain_mean | pct }}, and is above 0 for {{ latent_ups }} of {{ n_seeds }}.
#
# Two yardsticks. From its best to its worst seed the *plain* autoencoder differs by {{ pixel_luck | pct }}
# (pixel) and {{ latent_luck | pct }} points (latent), with nothing added at all: an unpaired comparison of two
# runs cannot see gains of this size. But our comparison is paired, with the same seed on both sides, so the
# signs count. A gain that changes its sign from seed to seed is none. One that never does may be real and
# small; coins would show {{ n_seeds }} equal signs in {{ coin | pct }} % of all cases.
#
# Now hold the ranges against the intervals. A narrow interval over test images, from one seed, says next to
# nothing about the *part*. And look where the gain is, if there is one: $D$ was put there to make $\hat x$
# better, and the pixel score is the one that reads $\hat x$.
#
# **Can $D$ itself detect?** It offers two more scores:
#
# $$s_f(x) = \text{mean } (f(x) - f(\hat x))^2 \qquad\text{and}\qquad s_D(x) = -D(x)$$
#
# The first is the pixel score seen with the eyes of $D$ (AnoGAN uses such a residual). The
# second says: what looks fake is anomalous.
#
# **Predict** both AUROCs. For the second, think of what $D$ was trained to tell apart.

# %%
with torch.no_grad():
    x = task.test.float() / 255
    x_hat = rebuild(G_game, x)
    real, f = D_game(x)
    _, f_hat = D_game(x_hat)
s_f = (f - f_hat).square().mean(1).numpy()
auroc_feature, auroc_logit = auroc(y, s_f), auroc(y, -real.numpy())

# %%
record(auroc_feature=auroc_feature, auroc_logit=auroc_logit)
print(f"feature residual {100 * auroc_feature:.1f}, minus logit {100 * auroc_logit:.1f}")

# %% [markdown]
# The feature residual gets {{ auroc_feature | pct }}, next to {{ pixel_game | pct }} for the pixel score of
# the same network. The logit gets {{ auroc_logit | pct }}, where 50 is a guess. $D$ learned "image or
# reconstruction" on normal images. An image of another class is an *image*, and a sharp one is a very
# convincing one. What $D$ calls fake is blur, so a logit far from 50 says how *sharp* anomalies are, and not
# that $D$ knows what is normal.
#
# ## 8. What can go wrong
#
# **Too loud.** The adversarial weight times {{ loud | int }}. The published code of DualAD has it louder
# still: weight 0.96 for the adversarial term beside 0.01 for the squared error.
#
# **Too far ahead.** The learning rate of $D$ times {{ ahead | int }}.
#
# **Predict** for both: the reconstruction error, the margin, the AUROC of the pixel score.

# %%
G_loud, _, too_loud = play(loud * w_adversarial, w_matching)
G_behind, _, too_far = play(w_adversarial, w_matching, rate_D=ahead * discriminator_rate)

# %%
networks = {"autoencoder": G_plain, "with D": G_game, "D too loud": G_loud, "D too far ahead": G_behind}
figure = plots.image_grid({"$x$": shown} | {name: rebuild(G, shown) for name, G in networks.items()})
plots.show(
    figure,
    alt="Test images and their reconstructions by four networks. With D too loud or too far ahead the "
    "reconstructions are grainy patches that no longer follow the image above them.",
)

# %% [markdown]
# Is a reconstruction still one of *its own* image? For each normal test image, look for the test image that
# is nearest to its reconstruction, and count how often it is the right one.


# %%
def own_image(G):
    nearest = torch.cdist(rebuild(G, normal).flatten(1), normal.flatten(1)).argmin(1)
    return (nearest == torch.arange(len(normal))).float().mean().item()


def report(G, history):
    end = history.tail(20).mean()
    area = auroc(y, both_scores(G)["pixel"])
    return [end.reconstruction, end.matching, end.discriminator, end.margin, own_image(G), 100 * area]


# %%
columns = ["L_rec", "L_fm", "L_D", "margin", "own image", "AUROC pixel (%)"]
histories = [watched, played, too_loud, too_far]
rows = {name: report(G, history) for (name, G), history in zip(networks.items(), histories, strict=True)}
failures = pd.DataFrame(rows, index=columns).T
failures.round(3)

# %%
record(
    loud=loud,
    ahead=ahead,
    loud_loss=failures.loc["D too loud", "L_rec"],
    loud_margin=failures.loc["D too loud", "margin"],
    loud_own=failures.loc["D too loud", "own image"],
    loud_auroc=failures.loc["D too loud", "AUROC pixel (%)"] / 100,
    ahead_loss=failures.loc["D too far ahead", "L_rec"],
    ahead_loss_D=failures.loc["D too far ahead", "L_D"],
    ahead_margin=failures.loc["D too far ahead", "margin"],
    ahead_matching=failures.loc["D too far ahead", "L_fm"],
    matching_game=failures.loc["with D", "L_fm"],
    ahead_own=failures.loc["D too far ahead", "own image"],
    ahead_auroc=failures.loc["D too far ahead", "AUROC pixel (%)"] / 100,
    plain_own=failures.loc["autoencoder", "own image"],
    game_own=failures.loc["with D", "own image"],
)

# %% [markdown]
# The autoencoder's reconstruction is nearest to its own image in {{ plain_own | pct0 }} % of the cases, and
# with $D$ in {{ game_own | pct0 }} %.
#
# *Too loud*: {{ loud_own | pct0 }} %, with an error of {{ loud_loss | f3 }} instead of {{ loss_plain | f3 }}.
# $G$ draws something that is meant to look like a normal image, and no longer *this* image. And it
# did not even get what it paid for: compare the margin, {{ loud_margin | f1 }}, with the healthy game's
# {{ margin_game | f1 }}.
#
# *Too far ahead*: the loss of $D$ is {{ ahead_loss_D | f3 }} and its margin {{ ahead_margin | f1 }}. It never
# errs. The non-saturating loss still pulls, but it pulls where $D$ happens to be steep, and a steep $D$ has
# large features: $\mathcal{L}_{fm}$ is {{ ahead_matching | f2 }}, in the healthy game it was
# {{ matching_game | f3 }}. Nothing fixes the *scale* of $f$, so nobody knows what `w_matching` weighs. The
# reconstruction error is lost in it ({{ ahead_loss | f3 }}, own image {{ ahead_own | pct0 }} %).
#
# Now the last column. The pixel AUROC of these two broken networks is {{ loud_auroc | pct }} and
# {{ ahead_auroc | pct }}; the healthy ones had {{ pixel_plain | pct }} and {{ pixel_game | pct }}. If you
# watched that number alone, you might not notice that anything is broken. You met this in lesson 01: the
# distance to one and the same standard picture is a detector too. So look at the pictures, the margin and
# the error, before you look at the AUROC.
#
# **The forgotten `detach`.** In $D$'s turn, leave it out. Then $\mathcal{L}_D$ reaches $G$ too. In which
# direction does it push $G$, compared with $\mathcal{L}_{adv}$?


# %%
def gradient(loss):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(G_game.parameters()))])


x = task.train[:batch_size].float() / 255
leaked = gradient(discriminator_loss(D_game(x)[0], D_game(G_game(x)[1])[0]))  # no detach
wanted = gradient(adversarial_loss(D_game(G_game(x)[1])[0]))
cosine = torch.cosine_similarity(leaked, wanted, dim=0).item()
print(f"cosine of the two directions: {cosine:.2f}")

# %%
record(detach_cosine=cosine)

# %% [markdown]
# The cosine is {{ detach_cosine | f2 }}, and −1 would be the exact opposite. Where such gradients reach $G$'s
# optimiser, $G$ is taught to be caught. Our loop would stop instead: $G$'s `backward` has freed the graph behind
# `x_hat`, and PyTorch refuses to go through it a second time. A loop that computes $\hat x$ anew for $D$'s turn gets no
# such warning. Its stray gradients stay with $G$'s parameters. They are thrown away where `zero_grad` stands directly
# before $G$'s next `backward`. Move it behind the step, as many loops do, and they count.
#
# In the library a **turn** owns its players, and its loss moves nothing else. `Player(name, network, optimiser)` is
# somebody who moves. `Turn(loss, *players)` calls `loss(step)`, adds up the terms that it returns, and moves its
# players alone. `step.images["train"]` is the batch; `step.shared` hands tensors to the next turn as constants. The
# same mistake, made there:

# %%
before = nn.utils.parameters_to_vector(G_game.parameters()).detach().clone()


def careless(step):
    x = step.images["train"]
    return {"discriminator": discriminator_loss(D_game(x)[0], D_game(G_game(x)[1])[0])}


player_D = Player("D", D_game, torch.optim.Adam(D_game.parameters(), discriminator_rate))
train([Turn(careless, player_D)], task.train, steps=1, batch_size=batch_size)
moved = (nn.utils.parameters_to_vector(G_game.parameters()) - before).abs().max().item()
print("largest change of a weight of G:", moved)

# %% [markdown]
# And the opposite mistake: a `detach` too many, in $G$'s own turn. In a loop by hand nothing complains; $G$
# just never hears of $D$.


# %%
def deaf(step):
    x_hat = G_game(step.images["train"])[1].detach()
    return {"adversarial": adversarial_loss(D_game(x_hat)[0])}


player_G = Player("G", G_game, torch.optim.Adam(G_game.parameters(), learning_rate))
try:
    train([Turn(deaf, player_G)], task.train, steps=1, batch_size=batch_size)
except TrainingError as error:
    print(error)

# %% [markdown]
# ## 9. The table
#
# The course's running question is which part earns its place. From here on each lesson adds a row. The first
# two: the autoencoder, and the autoencoder with $D$ (`"dualad_d"`), with the library's weights and the same
# small settings for all.

# %%
stages = {"autoencoder": "autoencoder", "dualad_d": "+ D"}
settings = {
    "width": width,
    "latent_dim": latent_dim,
    "steps": table_steps,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
}
command = f"dualad run 02_image_discriminator --profile {profile} -p dataset {dataset}"
how = {"params": settings, "profile": profile, "output": results_folder, "command": command}
cells = [
    measure(stage, dataset, k, seed=one, **how)
    for k in table_classes
    for stage in stages
    for one in table_seeds
]
rows = [row for cell in cells for row in cell]

# %%
if results_folder is not None:
    write_results(rows, Path(results_folder) / f"02_image_discriminator_{dataset}.csv")
table = pd.DataFrame(rows)
table["class"] = [task.class_names[k] for k in table.normal_class]
table["stage"] = [stages[name] for name in table.detector]
table["auroc"] *= 100
table = table.pivot_table(index=["stage", "score"], columns="class", values="auroc", sort=False)
table["mean"] = table.mean(axis=1)
table.round(1)

# %%
means = {}
for (stage, score), value in table["mean"].items():
    means.setdefault(stage, {})[score] = value / 100
figure = plots.auroc_bars(means)
listed = ", ".join(f"{stage} {s} {100 * v:.1f}" for stage, group in means.items() for s, v in group.items())
plots.show(figure, alt=f"Bars of mean AUROC over {len(table_classes)} classes, in per cent: {listed}.")

# %%
record(
    n_table_classes=len(table_classes),
    n_table_seeds=len(table_seeds),
    mean_pixel=means["autoencoder"]["pixel"],
    mean_latent=means["autoencoder"]["latent"],
    mean_dual=means["autoencoder"]["dual"],
    mean_pixel_d=means["+ D"]["pixel"],
    mean_latent_d=means["+ D"]["latent"],
    mean_dual_d=means["+ D"]["dual"],
)

# %% [markdown]
# (Compare rows of this table with each other only. Each lesson trains with small settings of its own, so that the same
# row has other numbers elsewhere.)
#
# Means over {{ n_table_classes }} classes, without and with $D$: pixel {{ mean_pixel | pct }} and
# {{ mean_pixel_d | pct }}, latent {{ mean_latent | pct }} and {{ mean_latent_d | pct }}, dual
# {{ mean_dual | pct }} and {{ mean_dual_d | pct }}.
#
# **Does it earn its place?** As a painter, hardly. The edges have more energy, and $G$ hides from *its* $D$. But much
# of the new energy is not of the image (over five seeds 8 to 32 points,
# `figures/results/bands_02_image_discriminator.csv`), and a fresh judge finds these reconstructions with
# {{ fresh_game | pct }}, those of the plain autoencoder with {{ fresh_plain | pct }}. As a part of a *detector*, the
# differences in this table are
# {{ (mean_pixel_d - mean_pixel) | pct }} (pixel), {{ (mean_latent_d - mean_latent) | pct }} (latent) and
# {{ (mean_dual_d - mean_dual) | pct }} points (dual), with {{ n_table_seeds }} seed a class. The paired seeds
# of section 7 had mean gains of {{ pixel_gain_mean | pct }} (pixel, {{ pixel_ups }} of {{ n_seeds }} above 0)
# and {{ latent_gain_mean | pct }} (latent, {{ latent_ups }} of {{ n_seeds }}). These are fractions of a point
# to a point on a good day, and the pixel score can lose several on a bad one. What is certain is the price:
# a second network, a second learning rate, two weights, and two new ways to fail. On all ten classes of
# complete MNIST and Fashion-MNIST the dual score gained a few tenths of a point
# ([lesson 08](08_benchmark.ipynb)).
#
# ## Recap
#
# - The squared error likes the mean of what might be. A sharp guess costs twice as much: in the toy
#   {{ toy_error_blurred | f2 }} $V$ and {{ toy_error_sharp | f2 }} $V$.
# - The best discriminator is $\log p/q$. $2\log 2$ says that $D$ knows nothing, and not why.
# - In the game the margin is {{ margin_game | f1 }}; a spectator reaches {{ margin_spectator | f1 }}. A fresh $D$ still
#   tells the reconstructions from images ({{ fresh_game | pct }}; those without the game {{ fresh_plain | pct }}).
# - Edge energy went from {{ edge_energy_plain | pct0 }} % to {{ edge_energy_game | pct0 }} %, and
#   {{ edges_invented_game | pct0 }} points of it are invented.
# - With $D$ the AUROC changes, by seed, by {{ pixel_gain_worst | pct }} to {{ pixel_gain_best | pct }} (pixel)
#   and {{ latent_gain_worst | pct }} to {{ latent_gain_best | pct }} points (latent). An interval over test
#   images does not cover that.
# - A broken game need not show in the AUROC. Look at pictures, error and margin first.
#
# **Next:** the second game of DualAD is played where it may matter more for the score: on the codes.
#
# ## Exercises
#
# **1. Predict.** Three games have ended. Say what each reading means: `"D ahead"`, `"D asleep"` (there would
# be something to learn, and $D$ has not learned it) or `"balance"` (there is nothing to learn).

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
# D ahead, D asleep, balance. A loss of $2\log 2$ has two reasons, and the curves of the game alone cannot
# tell them apart: a learning rate of 0 for $D$ gives a perfect-looking plateau from the first step on. A
# fresh discriminator can.
#
# </details>
#
# **2. Code.** The best logit for two normal distributions, $\log p(x)/q(x)$ with
# $p = N(\mu_p, \sigma_p^2)$ real and $q = N(\mu_q, \sigma_q^2)$ reconstructed.


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
# With equal deviations it is a straight line: a linear discriminator is then enough.
#
# </details>
#
# **3. Code.** The saturating loss of $G$, $E\log(1 - \sigma(D(\hat x)))$, so that it stays finite at a logit
# of 200.


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
# $1 - \sigma(t) = 1 / (1 + e^t)$, so its logarithm is $-\mathrm{softplus}(t)$. Put it into `loss_of_G` in
# place of `adversarial_loss`, and let $D$ be `ahead`: what does the margin do now?
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
# them. It should hurt where normal images have fine details that the code cannot hold: guessed details cost
# twice, so normal images score higher, and small defects drown in that.
#
# </details>
#
# **5. Try.** Which of the two new terms does the work? Play with `w_matching = 0`, then with
# `w_adversarial = 0`. Predict edge energy, edges found and margin before you run it.
#
# <details><summary>Solution</summary>
#
# ```python
# for weights in ((w_adversarial, 0), (0, w_matching)):
#     G, _, history = play(*weights)
#     print(weights, edge_report(normal, rebuild(G, normal)), history.margin.tail(20).mean())
# ```
#
# When we ran it, the adversarial term alone drew nearly the same edges as both together. Feature matching
# alone raised the edge energy less, invented less, and lowered the margin less. The two are no pair in which
# each half is needed.
#
# </details>
#
# **6. Try.** Put `nn.BatchNorm2d(after)` behind each convolution of $D$ and play again. Predict its loss.
# Then compute its loss on test images in `train` and in `eval` mode: why do they differ so much?
#
# <details><summary>Solution</summary>
#
# In training, the mean brightness and contrast of a whole batch tell reconstructions from images. One clue for
# 64 images at once is easy to learn: as a spectator the loss of $D$ falls close to 0. In `eval` mode the
# statistics are averages over both kinds, the clue is gone, and the same $D$ can be worse than one that knows
# nothing. In the game $G$ chases the clue, and its squared error shows it.
#
# </details>
#
# ## References
#
# - I. Goodfellow et al. *Generative adversarial nets.* NeurIPS 2014.
# - T. Salimans et al. *Improved techniques for training GANs.* NeurIPS 2016. (Feature matching.)
# - A. B. L. Larsen et al. *Autoencoding beyond pixels using a learned similarity metric.* ICML 2016.
# - A. Radford, L. Metz, S. Chintala. *Unsupervised representation learning with deep convolutional generative
#   adversarial networks.* ICLR 2016.
# - A. Odena, V. Dumoulin, C. Olah. *Deconvolution and checkerboard artifacts.* Distill, 2016.
# - Y. Blau, T. Michaeli. *The perception-distortion tradeoff.* CVPR 2018.
# - T. Schlegl et al. *Unsupervised anomaly detection with generative adversarial networks* (AnoGAN). IPMI
#   2017.
# - S. Akcay, A. Atapour-Abarghouei, T. P. Breckon. *GANomaly.* ACCV 2018.
# - Wan, Feng. *DualAD.* IET Computer Vision, 2024. doi:10.1049/cvi2.12297.
