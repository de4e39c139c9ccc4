"""Networks: nn.Modules only, one idea a file."""

from .autoencoder import ConvAutoencoder, MLPAutoencoder

__all__ = ["ConvAutoencoder", "MLPAutoencoder"]
