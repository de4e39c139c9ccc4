"""Networks: shapes at every size, values in range, no state that a batch could leave behind."""

import pytest
import torch

from dualad_lib.networks import (
    ConvAutoencoder,
    ConvDiscriminator,
    FrozenEncoder,
    GaussianAutoencoder,
    Hypersphere,
    MLPAutoencoder,
    MLPDiscriminator,
    PooledAutoencoder,
    PooledEncoder,
    Standardise,
    TransformationCritic,
    UNet,
    forward_features,
    start_at_mean,
)


@pytest.mark.parametrize("build", [ConvAutoencoder, PooledAutoencoder])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 33, 20), (3, 64, 64), (2, 9, 31), (1, 8, 128)]
)
def test_reconstruction_has_the_shape_of_the_image(shape, build):
    network = build(shape, width=4, latent_dim=5)
    z, x_hat = network(torch.rand(3, *shape))
    assert z.shape == (3, 5)
    assert x_hat.shape == (3, *shape)
    assert x_hat.min() >= 0 and x_hat.max() <= 1


def test_feature_map_of_a_28_pixel_image():
    assert ConvAutoencoder((1, 28, 28), width=16).encoder.feature_shape == (64, 4, 4)


def test_published_mlp_layers():
    network = MLPAutoencoder((1, 28, 28))
    sizes = [tuple(p.shape) for p in network.encoder.parameters() if p.ndim == 2]
    assert sizes == [(1024, 784), (256, 1024), (256, 256)]
    sizes = [tuple(p.shape) for p in network.decoder.parameters() if p.ndim == 2]
    assert sizes == [(256, 256), (1024, 256), (784, 1024)]
    colour = MLPAutoencoder((3, 32, 32))
    sizes = [tuple(p.shape) for p in colour.encoder.parameters() if p.ndim == 2]
    assert sizes == [(1024, 3072), (512, 1024), (256, 512), (256, 256)]
    z, x_hat = network(torch.rand(2, 1, 28, 28))
    assert z.shape == (2, 256) and x_hat.shape == (2, 1, 28, 28)


def test_the_pooled_encoder_whitens_patches_and_starts_as_the_identity():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 2, 9, 9, generator=generator) * 0.3 + 0.4
    x = (x + x.roll(1, 3)) / 2  # neighbours are correlated
    encoder = PooledEncoder((2, 9, 9), width=8, latent_dim=3)
    encoder.learn(x)
    whiten = encoder.features[0][0][0]
    seen = whiten(x)[:, :8].permute(0, 2, 3, 1).flatten(0, 2)  # the other eight are its negatives
    covariance = torch.cov(seen.T)
    assert torch.allclose(seen.mean(0), torch.zeros(8), atol=0.02)
    assert torch.allclose(covariance, torch.diag(covariance.diagonal()), atol=0.02)
    assert covariance.diagonal().min() > 0.5 and covariance.diagonal().max() < 1.05
    assert torch.allclose(whiten(x)[:, 8:], -whiten(x)[:, :8], atol=1e-4)
    assert not any(p.requires_grad for p in whiten.parameters())
    first = encoder.features[1][0]
    y = torch.rand(2, 16, 8, 8)
    assert torch.allclose(first(y), y)  # as many channels out as in: the identity


@pytest.mark.parametrize("how", ["autocast", "frozen"])
def test_whitening_is_exact_in_sixteen_bits(how):
    """Bright images that differ in their fine structure alone: rounded to eight bits they would be noise."""
    x = 0.9 + 0.01 * torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    network = PooledAutoencoder((1, 12, 12), width=4, latent_dim=3)
    network.encoder.learn(x)
    first = network.encoder.features[0]
    with torch.no_grad():
        exact = first(x)
        if how == "frozen":
            found = FrozenEncoder(network.eval(), torch.bfloat16).features[0](x)
        else:
            with torch.autocast("cpu", torch.bfloat16):
                found = first(x)
    assert found.dtype == torch.bfloat16 and exact.dtype == torch.float32
    assert (found.float() - exact).norm() < 0.004 * exact.norm()


def test_the_pooled_encoder_has_the_map_that_it_says():
    for shape in ((3, 32, 32), (1, 28, 28), (1, 8, 128)):
        encoder = PooledEncoder(shape, width=8, latent_dim=3)
        assert tuple(encoder.features(torch.rand(2, *shape)).shape[1:]) == encoder.feature_shape
    assert PooledEncoder((3, 32, 32), width=16).feature_shape == (128, 3, 3)


@pytest.mark.parametrize("build", [ConvAutoencoder, PooledAutoencoder, MLPAutoencoder])
def test_a_frozen_encoder_sees_what_the_network_sees(build):
    torch.manual_seed(0)
    network, x = build((1, 16, 16), latent_dim=5), torch.rand(40, 1, 16, 16)
    for _ in range(3):
        network(x)  # running statistics worth folding
    network.eval()
    _, h, z = forward_features(network, x)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        with torch.no_grad():
            frozen = FrozenEncoder(network, dtype)
            own_h, own_z = frozen(x)
        assert own_h.dtype == own_z.dtype == torch.float32
        assert (own_h - h).norm() < tolerance * h.norm() and (own_z - z).norm() < tolerance * z.norm()
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in frozen.modules())
    assert build is MLPAutoencoder or any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


@pytest.mark.parametrize("build", [ConvAutoencoder, MLPAutoencoder])
def test_a_code_depends_on_its_own_image_alone(build):
    network = build((1, 16, 16)).eval()
    x = torch.rand(6, 1, 16, 16)
    alone = torch.cat([network.encode(image[None]) for image in x])
    assert torch.allclose(network.encode(x), alone, atol=1e-5)


def test_published_discriminator_layers():
    network = MLPDiscriminator((1, 28, 28))
    sizes = [tuple(p.shape) for p in network.parameters() if p.ndim == 2]
    assert sizes == [(1024, 784), (512, 1024), (256, 512), (128, 256), (1, 128)]


@pytest.mark.parametrize("build", [ConvDiscriminator, MLPDiscriminator])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 12)])
def test_discriminator_gives_a_logit_and_features(build, shape):
    network = build(shape)
    logit, f = network(torch.rand(3, *shape))
    assert logit.shape == (3,) and f.ndim == 2
    assert torch.equal(logit, network.logit(f).squeeze(1))  # f is what the logit is read from
    assert not list(network.buffers())


def test_sphere_and_critic():
    sphere, critic = Hypersphere(5), TransformationCritic(4 * 3 * 3, 8)
    z = torch.randn(20, 5) + 3
    sphere.start_at(z)
    assert torch.allclose(sphere.centre, z.mean(0))
    assert sphere.radius.item() == pytest.approx((z - z.mean(0)).square().mean().sqrt().item(), rel=1e-5)
    sphere.log_radius.data.fill_(-40)
    assert sphere.radius > 0  # whatever the player does, a radius stays a radius
    assert critic(torch.rand(2, 4, 3, 3)).shape == (2, 8)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 33, 20)])
def test_a_u_net_gives_an_image_of_the_same_shape(shape, nested):
    x_hat = UNet(shape, width=4, nested=nested)(torch.rand(2, *shape))
    assert x_hat.shape == (2, *shape)
    assert x_hat.min() >= 0 and x_hat.max() <= 1


@pytest.mark.parametrize("nested, maps", [(False, 3), (True, 6)])
def test_a_nested_u_net_has_a_map_wherever_there_can_be_one(nested, maps):
    network = UNet((1, 16, 16), width=4, depth=3, nested=nested)
    assert len(network.up) == maps
    network(torch.rand(2, 1, 16, 16)).mean().backward()
    assert all(p.grad is not None for p in network.parameters())  # and every map counts


def test_the_distribution_of_a_code_and_its_mean():
    network = GaussianAutoencoder((1, 16, 16), width=4, latent_dim=5).eval()
    x = torch.rand(3, 1, 16, 16)
    middle, mean, log_variance = network.distribution(x)
    assert mean.shape == log_variance.shape == (3, 5) and middle.ndim == 4
    z, x_hat = network(x)
    assert torch.equal(z, mean) and x_hat.shape == x.shape


@pytest.mark.parametrize("network", [ConvAutoencoder((1, 16, 16), 4, 5), MLPAutoencoder((1, 16, 16))])
def test_a_look_ends_at_the_code(network):
    network.eval()
    x = torch.rand(3, 1, 16, 16)
    _, h, z = forward_features(network, x)
    assert torch.allclose(z, network.encode(x)) and h.ndim == 2


def test_a_new_decoder_starts_at_the_mean_brightness():
    network = ConvAutoencoder((2, 16, 16), 4, 5)
    mean = torch.tensor([0.1, 0.7])
    start_at_mean(network, mean)
    last = network.decoder.grow[-3]
    torch.nn.init.zeros_(last.weight)
    assert torch.allclose(network.decode(torch.zeros(1, 5)).mean((0, 2, 3)), mean, atol=1e-5)


def test_standardise_learns_channels():
    x = torch.rand(50, 2, 6, 6) * torch.tensor([1.0, 0.2])[:, None, None]
    scale = Standardise(2)
    scale.learn(x)
    y = scale(x)
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(y.std((0, 2, 3)), torch.ones(2), atol=1e-5)
    assert set(scale.state_dict()) == {"mean", "deviation"}  # kept with the weights
