"""Detectors: one file a system, all with the contract of `Detector`."""

from .adegan import ADeGAN
from .agad import AGAD
from .autoencoder import Autoencoder
from .base import Detector
from .baselines import KDE, PCA, IsolationForest, NearestNeighbours, OneClassSVM
from .dualad import DualAD
from .feature_adegan import FeatureADeGAN
from .feature_agad import FeatureAGAD
from .feature_dualad import FeatureDualAD
from .feature_lrgdan import FeatureLRGDAN
from .feature_neighbours import FeatureNeighbours
from .lrgdan import LRGDAN
from .padim import PaDiM
from .patchcore import PatchCore
from .published import PublishedDualAD
from .rebuilt_adegan import RebuiltADeGAN
from .rebuilt_agad import RebuiltAGAD
from .rebuilt_lrgdan import RebuiltLRGDAN
from .registry import STAGES, SYSTEMS, create
from .system import System

__all__ = [
    "AGAD",
    "KDE",
    "LRGDAN",
    "PCA",
    "STAGES",
    "SYSTEMS",
    "ADeGAN",
    "Autoencoder",
    "Detector",
    "DualAD",
    "FeatureADeGAN",
    "FeatureAGAD",
    "FeatureDualAD",
    "FeatureLRGDAN",
    "FeatureNeighbours",
    "IsolationForest",
    "NearestNeighbours",
    "OneClassSVM",
    "PaDiM",
    "PatchCore",
    "PublishedDualAD",
    "RebuiltADeGAN",
    "RebuiltAGAD",
    "RebuiltLRGDAN",
    "System",
    "create",
]
