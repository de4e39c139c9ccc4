"""What a type checker sees of the names that `__init__.py` imports when they are first used."""

from .data import (
    Task as Task,
    load_image_folder as load_image_folder,
    load_inspection as load_inspection,
    load_labelled_anomalies as load_labelled_anomalies,
    load_one_class as load_one_class,
)
from .detectors.adegan import ADeGAN as ADeGAN
from .detectors.agad import AGAD as AGAD
from .detectors.autoencoder import Autoencoder as Autoencoder
from .detectors.base import Detector as Detector
from .detectors.baselines import (
    KDE as KDE,
    PCA as PCA,
    IsolationForest as IsolationForest,
    NearestNeighbours as NearestNeighbours,
    OneClassSVM as OneClassSVM,
)
from .detectors.dualad import DualAD as DualAD
from .detectors.feature_adegan import FeatureADeGAN as FeatureADeGAN
from .detectors.feature_agad import FeatureAGAD as FeatureAGAD
from .detectors.feature_dualad import FeatureDualAD as FeatureDualAD
from .detectors.feature_lrgdan import FeatureLRGDAN as FeatureLRGDAN
from .detectors.feature_neighbours import FeatureNeighbours as FeatureNeighbours
from .detectors.lrgdan import LRGDAN as LRGDAN
from .detectors.padim import PaDiM as PaDiM
from .detectors.patchcore import PatchCore as PatchCore
from .detectors.published import PublishedDualAD as PublishedDualAD
from .detectors.rebuilt_adegan import RebuiltADeGAN as RebuiltADeGAN
from .detectors.rebuilt_agad import RebuiltAGAD as RebuiltAGAD
from .detectors.rebuilt_lrgdan import RebuiltLRGDAN as RebuiltLRGDAN
from .errors import (
    DataError as DataError,
    DataNotFoundError as DataNotFoundError,
    DualADError as DualADError,
    RunError as RunError,
)
from .scoring import Scores as Scores

__version__: str
