"""Networks: nn.Modules only, one idea a file."""

from .autoencoder import (
    ConvAutoencoder,
    ConvDecoder,
    ConvEncoder,
    FrozenEncoder,
    GaussianAutoencoder,
    MLPAutoencoder,
    PooledAutoencoder,
    PooledEncoder,
    Standardise,
    forward_features,
    start_at_mean,
)
from .classifier import ConvClassifier
from .discriminator import ConvDiscriminator, MLPDiscriminator
from .feature_constraint import Hypersphere, TransformationCritic
from .mutual_information import GlobalStatistics, LocalStatistics, LocalTurns, ViewStatistics
from .patterns import PatternExtractor
from .unet import UNet

__all__ = [
    "ConvAutoencoder",
    "ConvClassifier",
    "ConvDecoder",
    "ConvDiscriminator",
    "ConvEncoder",
    "FrozenEncoder",
    "GaussianAutoencoder",
    "GlobalStatistics",
    "Hypersphere",
    "LocalStatistics",
    "LocalTurns",
    "MLPAutoencoder",
    "MLPDiscriminator",
    "PatternExtractor",
    "PooledAutoencoder",
    "PooledEncoder",
    "Standardise",
    "TransformationCritic",
    "UNet",
    "ViewStatistics",
    "forward_features",
    "start_at_mean",
]
