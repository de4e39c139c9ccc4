"""Detectors: one file a system, all with the contract of `Detector`."""

from ..errors import DataError
from .adegan import ADeGAN
from .agad import AGAD
from .autoencoder import Autoencoder
from .base import Detector
from .baselines import KDE, PCA, IsolationForest, NearestNeighbours, OneClassSVM
from .dualad import DualAD
from .feature_dualad import FeatureDualAD
from .feature_neighbours import FeatureNeighbours
from .lrgdan import LRGDAN
from .padim import PaDiM
from .patchcore import PatchCore
from .published import PublishedDualAD

#: Names on the command line and in results files.
DETECTORS = {
    "pca": PCA,
    "knn": NearestNeighbours,
    "isolation_forest": IsolationForest,
    "ocsvm": OneClassSVM,
    "kde": KDE,
    "autoencoder": Autoencoder,
    "dualad": DualAD,
    "dualad_published": PublishedDualAD,
    "lrgdan": LRGDAN,
    "agad": AGAD,
    "adegan": ADeGAN,
    "feature_neighbours": FeatureNeighbours,
    "patchcore": PatchCore,
    "padim": PaDiM,
    "feature_dualad": FeatureDualAD,
}

#: The ablation's stages between the autoencoder and the full DualAD: detectors with some parts switched off.
STAGES = {
    "dualad_d": {"feature_constraint": False, "mutual_information": False},
    "dualad_d_fc": {"mutual_information": False},
}


def create(name, **parameters):
    """An unfitted detector by its name in DETECTORS or STAGES; parameters: what differs from its defaults."""
    if name in STAGES:
        return DualAD(**{**STAGES[name], **parameters})
    if name not in DETECTORS:
        raise DataError(f"unknown detector {name!r}: choose from {', '.join([*DETECTORS, *STAGES])}.")
    return DETECTORS[name](**parameters)


__all__ = ["DETECTORS", "STAGES", "Detector", "create", *sorted(cls.__name__ for cls in DETECTORS.values())]
