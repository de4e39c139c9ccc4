"""Classical detectors on raw pixels, flat vectors in [0, 1]: the rows to beat. All stand on scikit-learn."""

import numpy as np
import torch

from ..data.images import as_images
from ..errors import DataError
from ..training import as_float
from .base import Detector, as_fitted
from .system import System


class ClassicalDetector(Detector):
    """A detector that scikit-learn fits on flat images in one go. Its file stores what refits it exactly."""

    def _fit(self, images):
        self._train = images
        self._learn(self._flat(images))

    def _score(self, images):
        return {"pixel": np.asarray(self._distance(self._flat(images)), dtype=np.float64)}

    def _flat(self, images):
        """(N, C, H, W) -> float32 array (N, C * H * W)."""
        return as_float(images, "cpu").flatten(1).numpy()

    def _state(self):
        return {"train": self._train, "calibration_scores": torch.from_numpy(self.calibration_scores_)}

    def _restore(self, state):
        train = as_images(state["train"])
        if tuple(train.shape[1:]) != self.image_shape_:
            raise DataError(f"its training images are {tuple(train.shape[1:])}, not {self.image_shape_}.")
        self._fit(train)
        self._set_threshold(state["calibration_scores"].numpy())


class PCA(ClassicalDetector):
    """Error of the reconstruction from the first principal components: the best linear autoencoder.

    score: mean squared error over pixels, in [0, 1]. n_components: at most min(N, C * H * W).
    """

    def __init__(self, n_components=32, false_alarm_rate=0.05, seed=0):
        self.n_components = n_components
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, flat):
        self.model_ = _projection(self.n_components, flat, self.seed)

    def _distance(self, flat):
        return np.square(flat - self.model_.inverse_transform(self.model_.transform(flat))).mean(1)

    @as_fitted
    def reconstruct(self, x):
        """Images rebuilt from their components, float32 tensor (N, C, H, W); values may leave [0, 1] a little."""
        flat = self._flat(self._checked(x))
        rebuilt = self.model_.inverse_transform(self.model_.transform(flat))
        return torch.from_numpy(rebuilt.astype(np.float32)).unflatten(1, self.image_shape_)


class NearestNeighbours(ClassicalDetector):
    """Euclidean distance to the k-th nearest training image, in pixels or in the first principal components.

    n_components: at most min(N, C * H * W); None: pixels.
    """

    def __init__(self, n_neighbors=1, n_components=None, false_alarm_rate=0.05, seed=0):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, flat):
        from sklearn.neighbors import NearestNeighbors as Model

        if not 1 <= self.n_neighbors <= len(flat):
            raise DataError(f"n_neighbors must lie between 1 and the {len(flat)} training images.")
        self.projection_ = None
        if self.n_components is not None:
            self.projection_ = _projection(self.n_components, flat, self.seed)
        self.model_ = Model(n_neighbors=self.n_neighbors, algorithm="brute").fit(self._point(flat))

    def _point(self, flat):
        return flat if self.projection_ is None else self.projection_.transform(flat)

    def _distance(self, flat):
        return self.model_.kneighbors(self._point(flat))[0][:, -1]

    @as_fitted
    def reconstruct(self, x):
        """The nearest training image of each image, float32 tensor (N, C, H, W) in [0, 1]."""
        x = self._checked(x)
        nearest = self.model_.kneighbors(self._point(self._flat(x)), 1, return_distance=False)[:, 0]
        return as_float(self._train[torch.from_numpy(nearest)], "cpu")


class IsolationForest(ClassicalDetector):
    """How quickly random splits isolate an image (Liu, Ting & Zhou, 2008). score in (0, 1)."""

    def __init__(self, n_estimators=100, false_alarm_rate=0.05, seed=0):
        self.n_estimators = n_estimators
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, flat):
        from sklearn.ensemble import IsolationForest as Model

        self.model_ = Model(n_estimators=self.n_estimators, random_state=self.seed).fit(flat)

    def _distance(self, flat):
        return -self.model_.score_samples(flat)


class OneClassSVM(ClassicalDetector):
    """One-class support vector machine with a Gaussian kernel (Schölkopf et al., 2001).

    nu: share of training images that may lie outside. gamma is 1 / (dimension * variance), chosen without labels.
    """

    def __init__(self, nu=0.1, false_alarm_rate=0.05, seed=0):
        self.nu = nu
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, flat):
        from sklearn.svm import OneClassSVM as Model

        self.model_ = Model(kernel="rbf", gamma="scale", nu=self.nu).fit(flat)

    def _distance(self, flat):
        return -self.model_.decision_function(flat)


class KDE(ClassicalDetector):
    """Gaussian kernel density of the whitened principal components; score = -log density.

    The bandwidth is Scott's rule for the number of images and components, chosen without labels.
    """

    def __init__(self, n_components=32, false_alarm_rate=0.05, seed=0):
        self.n_components = n_components
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, flat):
        from sklearn.neighbors import KernelDensity

        self.projection_ = _projection(self.n_components, flat, self.seed, whiten=True)
        self.model_ = KernelDensity(bandwidth="scott").fit(self.projection_.transform(flat))

    def _distance(self, flat):
        return -self.model_.score_samples(self.projection_.transform(flat))


def _projection(n_components, flat, seed, **options):
    """scikit-learn's PCA, fitted. Raises DataError for more components than images or pixels can give."""
    from sklearn.decomposition import PCA as Projection

    if not 1 <= n_components <= min(flat.shape):
        raise DataError(
            f"n_components = {n_components} must lie between 1 and {min(flat.shape)}, the smaller of the number of "
            "training images (a tenth is held back) and of pixels."
        )
    return Projection(n_components, random_state=seed, **options).fit(flat)


SYSTEMS = (
    System("pca", PCA, small={"n_components": 8}),
    System("knn", NearestNeighbours),
    System("isolation_forest", IsolationForest),
    System("ocsvm", OneClassSVM),
    System("kde", KDE, small={"n_components": 8}),
)
