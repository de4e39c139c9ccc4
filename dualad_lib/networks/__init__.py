"""Networks: nn.Modules only, one idea a file."""

from .autoencoder import (
    ConvAutoencoder,
    ConvDecoder,
    ConvEncoder,
    GaussianAutoencoder,
    MLPAutoencoder,
    Standardise,
    look,
    start_at_mean,
)
from .classifier import ConvClassifier
from .discriminator import ConvDiscriminator, MLPDiscriminator
from .feature_constraint import Hypersphere, TransformationCritic
from .mutual_information import GlobalStatistics, LocalStatistics, ViewStatistics
from .unet import UNet

__all__ = [
    "ConvAutoencoder",
    "ConvClassifier",
    "ConvDecoder",
    "ConvDiscriminator",
    "ConvEncoder",
    "GaussianAutoencoder",
    "GlobalStatistics",
    "Hypersphere",
    "LocalStatistics",
    "MLPAutoencoder",
    "MLPDiscriminator",
    "Standardise",
    "TransformationCritic",
    "UNet",
    "ViewStatistics",
    "look",
    "start_at_mean",
]
