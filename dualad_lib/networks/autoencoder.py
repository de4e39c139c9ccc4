"""The reconstruction autoencoder G = G_d(G_e(x)): a convolutional form and the published MLP form.

Batch norm, whose learned averages take over in eval mode: a score can then not depend on the other images of its
batch. (Group norm has no such mode to forget, but cost 1 to 10 points of latent AUROC wherever it was tried.)
"""

import math
from itertools import pairwise

import torch
from torch import nn


def conv_block(channels_in, channels_out, stride=1):
    """3x3 convolution, batch norm, LeakyReLU. Stride 2 halves the side."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.1),
    )


class ConvEncoder(nn.Module):
    """G_e: image -> feature map h -> code z = linear(h).

    The side is halved until it is at most 4, the width doubles at the first two halvings, and a further block stands
    before the last one:
    28 x 28 with width w gives h of shape (4w, 4, 4).
    """

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


class ConvDecoder(nn.Module):
    """G_d: code z -> small feature map -> transposed convolutions that double the side -> image in [0, 1].

    The last doubling is a convolution that gives each pixel's four children at once (Shi et al., 2016): at full size a
    transposed convolution would cost more than all the rest.
    """

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


class ConvAutoencoder(nn.Module):
    """Convolutional autoencoder G: x -> z = G_e(x) -> x_hat = G_d(z).

    image_shape: (C, H, W), sides of at least 8. Images (N, C, H, W) in [0, 1], codes (N, latent_dim).
    """

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


class GaussianAutoencoder(ConvAutoencoder):
    """ConvAutoencoder whose encoder gives a normal distribution of codes, p(z | x) = N(mean, exp(log_variance)).

    `encode` gives the mean (N, latent_dim), `distribution(x)` both, and a feature map from the middle of the encoder.
    """

    def __init__(self, image_shape, width=16, latent_dim=64):
        super().__init__(image_shape, width, latent_dim)
        self.encoder = ConvEncoder(image_shape, width, 2 * latent_dim)

    def encode(self, x):
        return self.distribution(x)[1]

    def distribution(self, x):
        middle, _, both = look(self, x)
        return middle, *both.chunk(2, 1)


def look(network, x):
    """What the encoder of an autoencoder sees on its way: a feature map in the middle, the last features h, the code z.

    network: ConvAutoencoder, or MLPAutoencoder (its map has one place). Shapes (N, c, h, w), (N, F), (N, d).
    """
    encoder = network.encoder
    if hasattr(encoder, "features"):
        middle = encoder.features[:-1](x)
        h = encoder.features[-1](middle).flatten(1)
        return middle, h, encoder.code(h)
    h = encoder[:-1](x.flatten(1))
    return h[:, :, None, None], h, encoder[-1](h)


class Standardise(nn.Module):
    """Images [0, 1] -> each channel with mean 0 and deviation 1 over the training images. Kept in the weights' file."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.deviation

    @torch.no_grad()
    def learn(self, x):
        self.mean.copy_(x.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(x.std((0, 2, 3)).clamp_min(1e-3)[:, None, None])


@torch.no_grad()
def start_at_mean(network, mean):
    """Let a new ConvAutoencoder, or ConvDecoder, draw the mean brightness of each channel. mean: (C,) in [0, 1].

    From mid-grey, images that are mostly dark push a fresh sigmoid so far down that no gradient brings it back, and
    the decoder draws black for ever.
    """
    last = [part for part in network.modules() if isinstance(part, nn.Conv2d)][-1]
    last.bias.copy_(torch.logit(mean, eps=0.01).repeat_interleave(len(last.bias) // len(mean)))


class MLPAutoencoder(nn.Module):
    """The fully connected autoencoder of DualAD's published code (Wan & Feng, 2024, official code).

    Grey images: 784-1024-256-256 (the code) and back. Colour: 3072-1024-512-256-256 and back. LeakyReLU, sigmoid
    output. For other sizes the first and last layer follow the image; `hidden` replaces the layers between image and
    code. Interface of ConvAutoencoder. (The published code feeds colour images contrast-normalised, and ends in a
    LeakyReLU there; here images are in [0, 1] throughout.)
    """

    def __init__(self, image_shape, hidden=None, latent_dim=256):
        super().__init__()
        self.image_shape = tuple(image_shape)
        if hidden is None:
            hidden = (1024, 256) if image_shape[0] == 1 else (1024, 512, 256)
        sizes = [math.prod(image_shape), *hidden, latent_dim]
        self.encoder = _mlp(sizes)
        self.decoder = nn.Sequential(*_mlp(sizes[::-1]), nn.Sigmoid())

    def encode(self, x):
        return self.encoder(x.flatten(1))

    def decode(self, z):
        return self.decoder(z).unflatten(1, self.image_shape)

    def forward(self, x):
        z = self.encode(x)
        return z, self.decode(z)


def _mlp(sizes):
    """Linear layers with LeakyReLU between them and none after the last."""
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])
