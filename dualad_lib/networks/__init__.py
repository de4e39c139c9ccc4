"""Networks: nn.Modules only, one idea a file."""

from .autoencoder import ConvAutoencoder, MLPAutoencoder, start_at_mean
from .discriminator import ConvDiscriminator, MLPDiscriminator
from .feature_constraint import Hypersphere, TransformationCritic
from .mutual_information import GlobalStatistics, LocalStatistics, ViewStatistics

__all__ = [
    "ConvAutoencoder",
    "ConvDiscriminator",
    "GlobalStatistics",
    "Hypersphere",
    "LocalStatistics",
    "MLPAutoencoder",
    "MLPDiscriminator",
    "TransformationCritic",
    "ViewStatistics",
    "start_at_mean",
]
