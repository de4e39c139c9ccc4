"""Classical detectors on raw pixels, flat vectors in [0, 1]: the rows to beat. All stand on scikit-learn."""

import numpy as np
import torch

from ..data.images import as_images
from ..errors import DataError
from ..training import as_float
from .base import Detector, as_fitted
from .system import System


class ClassicalDetector(Detector):
    """A detector that scikit-learn fits on flat images in one go.

    A subclass writes `_learn(images)`, which returns what it learned as a dict of arrays: its file holds them,
    and no other image. `_ready` takes them by name, after a fit as after loading, for what `_distance(flat)` needs.
    """

    def _fit(self, images):
        self._take(self._learn(images))

    def _take(self, learned):
        self.learned_ = learned
        self._ready(**learned)

    def _score(self, images):
        return {"pixel": np.asarray(self._distance(self._flat(images)), dtype=np.float64)}

    def _flat(self, images):
        """(N, C, H, W) -> float32 array (N, C * H * W)."""
        return as_float(images, "cpu").flatten(1).numpy()

    def _state(self):
        kept = {**self.learned_, "calibration_scores": self.calibration_scores_}
        return {name: torch.from_numpy(np.asarray(values)) for name, values in kept.items()}

    def _restore(self, state):
        if "train" in state and not isinstance(self, NearestNeighbours):
            raise DataError("an older version wrote it, which kept the training images: fit it again.")
        learned = {name: values.numpy() for name, values in state.items()}
        self._set_threshold(learned.pop("calibration_scores"))
        self._take(learned)


class PCA(ClassicalDetector):
    """Error of the reconstruction from the first principal components: the best linear autoencoder.

    score: mean squared error over pixels, in [0, 1]. n_components: at most min(N, C * H * W).
    """

    def __init__(self, n_components=32, false_alarm_rate=0.05, seed=0):
        self.n_components = n_components
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, images):
        return _components(self.n_components, self._flat(images), self.seed)

    def _ready(self, components, mean):
        self.model_ = _projection(components, mean)

    def _rebuilt(self, flat):
        return self.model_.inverse_transform(self.model_.transform(flat))

    def _distance(self, flat):
        return np.square(flat - self._rebuilt(flat)).mean(1)

    @as_fitted
    def reconstruct(self, x):
        """Images rebuilt from their components, float32 tensor (N, C, H, W); values may leave [0, 1] a little."""
        rebuilt = self._rebuilt(self._flat(self._checked(x)))
        return torch.from_numpy(rebuilt.astype(np.float32)).unflatten(1, self.image_shape_)


class NearestNeighbours(ClassicalDetector):
    """Euclidean distance to the k-th nearest training image, in pixels or in the first principal components.

    n_components: at most min(N, C * H * W); None: pixels. What it learned are the training images: its file holds them.
    """

    def __init__(self, n_neighbors=1, n_components=None, false_alarm_rate=0.05, seed=0):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, images):
        learned = {"train": images.cpu().numpy()}
        if self.n_components is not None:
            learned |= _components(self.n_components, self._flat(images), self.seed)
        return learned

    def _ready(self, train, **projection):
        from sklearn.neighbors import NearestNeighbors as Model

        if not 1 <= self.n_neighbors <= len(train):
            raise DataError(f"n_neighbors must lie between 1 and the {len(train)} training images.")
        if (self.n_components is None) is bool(projection):
            raise DataError("n_components and the principal components that it holds contradict each other.")
        self.projection_ = _projection(**projection) if projection else None
        points = self._point(self._flat(as_images(train)))
        self.model_ = Model(n_neighbors=self.n_neighbors, algorithm="brute").fit(points)

    def _point(self, flat):
        return flat if self.projection_ is None else self.projection_.transform(flat)

    def _distance(self, flat):
        return self.model_.kneighbors(self._point(flat))[0][:, -1]

    @as_fitted
    def reconstruct(self, x):
        """The nearest training image of each image, float32 tensor (N, C, H, W) in [0, 1]."""
        points = self._point(self._flat(self._checked(x)))
        nearest = self.model_.kneighbors(points, 1, return_distance=False)[:, 0]
        return as_float(torch.from_numpy(self.learned_["train"][nearest]), "cpu")


class IsolationForest(ClassicalDetector):
    """How quickly random splits isolate an image (Liu, Ting & Zhou, 2008). score in (0, 1).

    What it learned are the trees of scikit-learn's forest, one behind the other, a column a node: its left and right
    child (a leaf's are itself), the pixel and the threshold that it asks for, the length of the path that ends there.
    """

    DEPTH = 8  # of a tree at most: splits that isolate one of 256 images on average

    def __init__(self, n_estimators=100, false_alarm_rate=0.05, seed=0):
        self.n_estimators = n_estimators
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, images):
        from sklearn.ensemble import IsolationForest as Model

        model = Model(n_estimators=self.n_estimators, random_state=self.seed).fit(self._flat(images))
        trees = [estimator.tree_ for estimator in model.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
        nodes = [_nodes(tree, root) for tree, root in zip(trees, roots, strict=True)]
        scale = len(trees) * _unsuccessful_search(model.max_samples_)
        pixels = model.n_features_in_
        return {"roots": roots, "nodes": np.concatenate(nodes, 1), "scale": scale, "pixels": pixels}

    def _ready(self, roots, nodes, scale, pixels):
        if pixels != np.prod(self.image_shape_):
            raise DataError(
                f"its trees ask for {pixels} pixels, which images of {self.image_shape_} do not have."
            )
        self.roots_, self.scale_ = roots, scale
        self.left_, self.right_, self.pixel_ = nodes[:3].astype(np.int64)
        self.split_, self.length_ = nodes[3:]

    def _distance(self, flat):
        image, at = np.arange(len(flat))[:, None], np.tile(self.roots_, (len(flat), 1))
        for _ in range(self.DEPTH):
            goes_left = flat[image, self.pixel_[at]] <= self.split_[at]
            at = np.where(goes_left, self.left_[at], self.right_[at])
        lengths = self.length_[at].cumsum(1)[:, -1]  # tree by tree, as scikit-learn adds
        return 2 ** -(lengths / self.scale_)


class OneClassSVM(ClassicalDetector):
    """One-class support vector machine with a Gaussian kernel (Schölkopf et al., 2001).

    nu: share of training images that may lie outside. gamma is 1 / (dimension * variance), chosen without labels. What
    it learned are the support vectors, at least a share nu of the training images, and their weights.
    """

    def __init__(self, nu=0.1, false_alarm_rate=0.05, seed=0):
        self.nu = nu
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, images):
        from sklearn.svm import OneClassSVM as Model

        flat = self._flat(images)
        gamma = 1 / (flat.shape[1] * flat.var(dtype=np.float64))
        model = Model(kernel="rbf", gamma=gamma, nu=self.nu).fit(flat)
        return {
            "support_vectors": flat[model.support_],
            "dual_coef": model.dual_coef_[0],
            "intercept": model.intercept_[0],
            "gamma": gamma,
        }

    def _ready(self, support_vectors, dual_coef, intercept, gamma):
        self.support_vectors_, self.dual_coef_ = support_vectors.astype(np.float64), dual_coef
        self.intercept_, self.gamma_ = intercept, gamma

    def _distance(self, flat):
        from sklearn.metrics.pairwise import rbf_kernel

        kernel = rbf_kernel(flat.astype(np.float64), self.support_vectors_, self.gamma_)
        return -(kernel @ self.dual_coef_ + self.intercept_)


class KDE(ClassicalDetector):
    """Gaussian kernel density of the whitened principal components; score = -log density.

    The bandwidth is Scott's rule for the number of images and components, chosen without labels. What it learned are
    the components and where the training images lie along them.
    """

    def __init__(self, n_components=32, false_alarm_rate=0.05, seed=0):
        self.n_components = n_components
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _learn(self, images):
        flat = self._flat(images)
        learned = _components(self.n_components, flat, self.seed, whiten=True)
        return {**learned, "points": _projection(**learned).transform(flat)}

    def _ready(self, points, components, mean, variances):
        from sklearn.neighbors import KernelDensity

        self.projection_ = _projection(components, mean, variances)
        self.model_ = KernelDensity(bandwidth="scott").fit(points)

    def _distance(self, flat):
        return -self.model_.score_samples(self.projection_.transform(flat))


def _components(n_components, flat, seed, whiten=False):
    """The first principal components (n_components, F) of vectors (N, F), and their mean; to whiten, the variances too.

    Raises DataError for more components than images or pixels can give.
    """
    from sklearn.decomposition import PCA as Projection

    if not 1 <= n_components <= min(flat.shape):
        raise DataError(
            f"n_components = {n_components} must lie between 1 and {min(flat.shape)}, the smaller of the number of "
            "training images (a tenth is held back) and of pixels."
        )
    model = Projection(n_components, random_state=seed).fit(flat)
    learned = {"components": model.components_, "mean": model.mean_}
    return {**learned, "variances": model.explained_variance_} if whiten else learned


def _projection(components, mean, variances=None):
    """scikit-learn's PCA of these components; it whitens where their variances are given."""
    from sklearn.decomposition import PCA as Projection

    model = Projection(whiten=variances is not None)
    model.components_, model.mean_, model.explained_variance_ = components, mean, variances
    return model


def _nodes(tree, root):
    """A tree of scikit-learn's as an array (5, nodes), see `IsolationForest`; `root`: the number of its first node."""
    own, leaf = np.arange(tree.node_count), tree.children_left < 0
    left, right = (np.where(leaf, own, child) + root for child in (tree.children_left, tree.children_right))
    length = tree.compute_node_depths() + _unsuccessful_search(tree.n_node_samples) - 1
    return np.stack([left, right, np.where(leaf, 0, tree.feature), tree.threshold, length])


def _unsuccessful_search(count):
    """Mean length of a path to none of so many images in a binary search tree (Liu et al., eq. 1)."""
    more = np.maximum(count, 3) - 1.0
    return np.where(count > 2, 2 * (np.log(more) + np.euler_gamma) - 2 * more / (more + 1), count == 2)


SYSTEMS = (
    System("pca", PCA, small={"n_components": 8}),
    System("knn", NearestNeighbours),
    System("isolation_forest", IsolationForest),
    System("ocsvm", OneClassSVM),
    System("kde", KDE, small={"n_components": 8}),
)
