"""DualAD: reconstruction, image discriminator, Feature Constraint adversary, mutual information, dual score."""

import torch
from torch import nn

from ..losses import (
    adversarial_loss,
    discriminator_loss,
    feature_matching,
    jsd_mutual_information,
    sphere_excess,
    squared_error,
)
from ..networks.discriminator import ConvDiscriminator
from ..networks.feature_constraint import Hypersphere, TransformationCritic
from ..networks.mutual_information import GlobalStatistics, LocalStatistics
from ..scoring import Gaussian, LogStandard, Scores, nearest_distance, pixel_score
from ..training import Player, Turn, as_float, resolve_device, seeded, train, warmup_cosine
from ..transforms import PSEUDO_ANOMALIES, jitter, pseudo_anomalies, transform, transformation_count
from .autoencoder import Autoencoder
