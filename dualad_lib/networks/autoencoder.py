"""The reconstruction autoencoder G = G_d(G_e(x)): convolutional, faster pooled, and the published MLP form.

Batch norm, whose learned averages take over in eval mode: a score can then not depend on the other images of its
batch. (Group norm has no such mode to forget, but cost 1 to 10 points of latent AUROC wherever it was tried.)
"""

import math
from itertools import pairwise

import torch
from torch import nn

from .precision import InFloat32, frozen


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


class PooledEncoder(nn.Module):
    """G_e that learns more a second: frozen whitening, early pooling, wide maps; image -> h -> code z = linear(h).

    A 2x2 convolution that whitens the patches of the training images (`learn`, then frozen), and stages of
    convolution, max pooling, batch norm, GELU, convolution, batch norm, GELU, of 2w, 4w, 8w, 8w, ... channels, until
    the side is at most 4: 32 x 32 with width 16 gives h of shape (128, 3, 3). Convolutions start as the identity
    (Dirac), batch norm has no gain. Source: the speed runs of CIFAR-10 (Jordan, 94 % on CIFAR-10 in 3.29 seconds,
    2024).
    """

    def __init__(self, image_shape, width=16, latent_dim=64):
        super().__init__()
        channels, height, wide = image_shape
        whiten = nn.Conv2d(channels, 8 * channels, 2).requires_grad_(False)
        stages, before, number = [nn.Sequential(InFloat32(whiten), nn.GELU())], 8 * channels, 0
        height, wide = height - 1, wide - 1
        while max(height, wide) > 4:
            pool = [2 if side > 4 else 1 for side in (height, wide)]
            height, wide = height // pool[0], wide // pool[1]
            after = width * 2 ** min(number + 1, 3)
            stages.append(
                nn.Sequential(
                    _dirac(before, after), nn.MaxPool2d(pool), _ungained(after), nn.GELU(),
                    _dirac(after, after), _ungained(after), nn.GELU(),
                )
            )  # fmt: skip
            before, number = after, number + 1
        self.features = nn.Sequential(*stages)
        self.feature_shape = (before, height, wide)
        self.code = nn.Linear(math.prod(self.feature_shape), latent_dim)

    @torch.no_grad()
    def learn(self, images, floor=5e-4):
        """Whiten the 2x2 patches of images (N, C, H, W) in [0, 1]: both signs of their principal directions.

        floor: variance below which a direction counts as noise, and is not blown up.
        """
        whiten = self.features[0][0][0]
        patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)
        patches = patches[:: 1 + len(patches) // 100_000].double()
        mean = patches.mean(0)
        values, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        filters = (directions / (values.clamp_min(0) + floor).sqrt()).T
        filters = torch.cat([filters, -filters])
        whiten.weight.copy_(filters.unflatten(1, whiten.weight.shape[1:]))
        whiten.bias.copy_(-filters @ mean)

    def forward(self, x):
        return self.code(self.features(x).flatten(1))


def _dirac(channels_in, channels_out):
    conv = nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False)
    nn.init.dirac_(conv.weight.data[: min(channels_in, channels_out)])
    return conv


def _ungained(channels):
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad_(False)
    return norm


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


class PooledAutoencoder(ConvAutoencoder):
    """ConvAutoencoder with a PooledEncoder."""

    def __init__(self, image_shape, width=16, latent_dim=64):
        nn.Module.__init__(self)
        self.encoder = PooledEncoder(image_shape, width, latent_dim)
        self.decoder = ConvDecoder(image_shape, width, latent_dim)


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
        middle, _, both = forward_features(self, x)
        return middle, *both.chunk(2, 1)


def forward_features(network, x):
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


class FrozenEncoder(nn.Module):
    """The encoder of a trained autoencoder, for scoring: images in, the last features h and the code z out, float32.

    network: ConvAutoencoder, PooledAutoencoder or MLPAutoencoder, whose convolutions are copied with batch norm folded
    in, and compute in `dtype`. Shapes (N, C, H, W) -> (N, F), (N, d).
    """

    def __init__(self, network, dtype=torch.float32):
        super().__init__()
        encoder = network.encoder
        if hasattr(encoder, "features"):
            self.dtype, self.features, self.code = dtype, frozen(encoder.features, dtype), encoder.code
            if isinstance(encoder, PooledEncoder):
                self.dtype = torch.float32  # its whitening takes images as they are
        else:
            self.dtype, self.features, self.code = (
                torch.float32,
                nn.Sequential(nn.Flatten(), encoder[:-1]),
                encoder[-1],
            )

    def forward(self, x):
        h = self.features(x.to(self.dtype)).float().flatten(1)
        return h, self.code(h)


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
