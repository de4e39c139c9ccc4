"""Networks: shapes at every size, values in range, no state that a batch could leave behind."""

import pytest
import torch

from dualad_lib.networks import ConvAutoencoder, MLPAutoencoder


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 33, 20), (3, 64, 64), (2, 9, 31)])
def test_reconstruction_has_the_shape_of_the_image(shape):
    network = ConvAutoencoder(shape, width=4, latent_dim=5)
    z, x_hat = network(torch.rand(3, *shape))
    assert z.shape == (3, 5)
    assert x_hat.shape == (3, *shape)
    assert 0 <= x_hat.min() and x_hat.max() <= 1


def test_feature_map_of_a_28_pixel_image():
    assert ConvAutoencoder((1, 28, 28), width=16).encoder.feature_shape == (64, 4, 4)


def test_published_mlp_layers():
    network = MLPAutoencoder((1, 28, 28))
    sizes = [tuple(p.shape) for p in network.encoder.parameters() if p.ndim == 2]
    assert sizes == [(1024, 784), (256, 1024), (256, 256)]
    sizes = [tuple(p.shape) for p in network.decoder.parameters() if p.ndim == 2]
    assert sizes == [(256, 256), (1024, 256), (784, 1024)]
    z, x_hat = network(torch.rand(2, 1, 28, 28))
    assert z.shape == (2, 256) and x_hat.shape == (2, 1, 28, 28)


@pytest.mark.parametrize("build", [ConvAutoencoder, MLPAutoencoder])
def test_no_running_state_and_no_mode(build):
    """A code depends on its own image alone, in training mode as in evaluation mode."""
    network = build((1, 16, 16))
    assert not list(network.buffers())
    x = torch.rand(6, 1, 16, 16)
    together = network.train().encode(x)
    alone = torch.cat([network.eval().encode(image[None]) for image in x])
    assert torch.allclose(together, alone, atol=1e-5)
