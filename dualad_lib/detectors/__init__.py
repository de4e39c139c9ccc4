"""Detectors: one file a system, all with the contract of `Detector`."""

from .autoencoder import Autoencoder
from .base import Detector
from .baselines import KDE, PCA, IsolationForest, NearestNeighbours, OneClassSVM
from .dualad import DualAD

#: Names on the command line and in results files.
DETECTORS = {
    "pca": PCA,
    "knn": NearestNeighbours,
    "isolation_forest": IsolationForest,
    "ocsvm": OneClassSVM,
    "kde": KDE,
    "autoencoder": Autoencoder,
    "dualad": DualAD,
}

__all__ = ["DETECTORS", "Detector", *sorted(cls.__name__ for cls in DETECTORS.values())]
