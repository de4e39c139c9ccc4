"""The contract that every detector keeps: images in, scores out, nothing but normal images in training."""

import json

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError

from ..data.images import as_images
from ..errors import DataError
from ..files import atomic_write
from ..scoring import Scores, check_rate, conformal_p_values, threshold_at
from ..training import as_float

FORMAT = "dualad-1"
MINIMUM = 10  # normal images that `fit` needs: nine to learn from, one to calibrate with


class Detector(OutlierMixin, BaseEstimator):
    """Base of all detectors, in scikit-learn's outlier contract.

    Images are (N, H, W) or (N, C, H, W), uint8 or float in [0, 1], numpy array or torch tensor. A subclass sets its
    parameters in `__init__` (among them `seed` and `false_alarm_rate`) and writes:

        _fit(images)              learn from the normal images (N, C, H, W)
        _score(images) -> dict    raw scores by name ("pixel", "latent"), float64 arrays (n,), of one batch
        _combine(raw) -> Scores   only where scores are fused; `_calibrate(raw, images)` learns what that needs
        _state(), _restore(state) what `save` keeps, a dict of tensors

    Nothing under `fit` sees a test image or a label.
    """

    #: Longer side of the images that `dualad fit` reads for it.
    default_image_size = 64

    def fit(self, x, calibration=None):
        """Learn from normal images; return self.

        calibration: further normal images that set threshold and score scales. Without them a seeded tenth of x is
        held back for that and not trained on. Raises DataError for anything that is no usable batch of images.
        """
        return self._fit_all(x, calibration)

    def _fit_all(self, x, calibration, **options):
        try:
            images, calibration = self._split(x, calibration)
            self._fit(images, **options)
            return self._finish(calibration)
        except BaseException:
            vars(self).pop("image_shape_", None)  # half fitted is not fitted
            raise

    def _split(self, x, calibration=None):
        """(images to learn from, images to calibrate with), both checked."""
        images = as_images(x)
        if len(images) < MINIMUM:
            raise DataError(f"fit needs at least {MINIMUM} normal images, got {len(images)}.")
        check_rate(self.false_alarm_rate)
        self.image_shape_ = tuple(images.shape[1:])
        if calibration is None:
            return hold_back(images, self.seed)
        return images, self._checked(calibration)

    def _finish(self, calibration):
        """What follows once the detector has learned: scales and threshold, from images it did not learn from."""
        raw = self._raw(calibration)
        self._calibrate(raw, calibration)
        self._set_threshold(self._combine(raw).final)
        return self

    def _set_threshold(self, calibration_scores):
        self.calibration_scores_ = calibration_scores
        self.threshold_ = threshold_at(calibration_scores, self.false_alarm_rate)

    def _calibrate(self, raw, images):
        """Learn what `_combine` needs from held-out normal images and their raw scores."""

    def _combine(self, raw):
        return Scores(**raw)

    def anomaly_scores(self, x, batch_size=512):
        """Scores of each image, higher = more anomalous. They do not depend on batch_size or on the other images."""
        return self._combine(self._raw(self._checked(x), batch_size))

    def score_samples(self, x):
        """scikit-learn's sign: minus the final score, higher = more normal. Shape (N,)."""
        return -self.anomaly_scores(x).final

    def decision_function(self, x):
        """Threshold minus final score: negative = anomalous. Shape (N,)."""
        final = self.anomaly_scores(x).final
        return self.threshold_ - final

    def anomaly_map(self, x, blur=0.0):
        """Where an image departs from its reconstruction: squared error, mean over channels, float64 (N, H, W).

        blur: deviation in pixels of a Gaussian over the map, against the noise of single pixels. Raises DataError for
        a detector that reconstructs nothing.
        """
        from scipy.ndimage import gaussian_filter

        if not hasattr(self, "reconstruct"):
            raise DataError(f"a {type(self).__name__} reconstructs nothing, so it has no heat maps.")
        images = self._checked(x)
        error = (as_float(images, "cpu") - self.reconstruct(images).clamp(0, 1)).square().mean(1)
        error = error.double().numpy()
        return gaussian_filter(error, (0, blur, blur)) if blur else error

    def recalibrate(self, x):
        """New threshold and score scales from other held-out normal images, say of a changed camera; return self.

        What was learned stays. x must not have been trained on.
        """
        return self._finish(self._checked(x))

    def predict(self, x):
        """1 for normal, -1 for anomalous, at the threshold set by `false_alarm_rate` on held-out normals. (N,)."""
        return np.where(self.decision_function(x) < 0, -1, 1)

    def p_values(self, x):
        """Conformal p-value of each image: small = unlike the held-out normal images. Shape (N,), in (0, 1]."""
        final = self.anomaly_scores(x).final
        return conformal_p_values(self.calibration_scores_, final)

    @property
    def offset_(self):
        """scikit-learn's name: decision_function = score_samples - offset_."""
        return -self.threshold_

    def save(self, path):
        """Write the fitted detector as safetensors with a JSON header of its parameters (no executable code)."""
        self._check_fitted()
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        header = {
            "format": FORMAT,
            "detector": type(self).__name__,
            "parameters": json.dumps(self.get_params()),
            "image_shape": json.dumps(self.image_shape_),
        }
        if hasattr(self, "reading_"):  # how `dualad fit` read the images, so that `dualad score` reads alike
            header["reading"] = json.dumps(self.reading_)
        state = {name: value.detach().cpu().contiguous() for name, value in self._state().items()}
        try:
            with atomic_write(path) as temporary:
                save_file(state, temporary, metadata=header)
        except SafetensorError as error:  # so safetensors calls a full disk
            raise DataError(f"{path} cannot be written: {error}.") from error

    @classmethod
    def load(cls, path, device=None):
        """Read a detector that `save` wrote. `Detector.load` reads any kind, `PCA.load` only a PCA.

        device: where to run it, if not where its parameters say.
        """
        from safetensors import SafetensorError, safe_open

        kinds = {kind.__name__: kind for kind in _descendants(Detector)}
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except FileNotFoundError:
            raise DataError(f"there is no model file {path}.") from None
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is not a readable safetensors file ({error}).") from error
        if header.get("format") != FORMAT or header.get("detector") not in kinds:
            raise DataError(f"{path} was not written by this library's save (or by a newer version of it).")
        kind = kinds[header["detector"]]
        if not issubclass(kind, cls):
            raise DataError(
                f"{path} holds a {kind.__name__}, not a {cls.__name__}: use {kind.__name__}.load."
            )
        parameters = {
            k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(header["parameters"]).items()
        }
        model = kind(**parameters)
        if device is not None and "device" in parameters:
            model.set_params(device=device)
        model.image_shape_ = tuple(json.loads(header["image_shape"]))
        if "reading" in header:
            model.reading_ = json.loads(header["reading"])
        model._restore(state)
        return model

    def _raw(self, images, batch_size=512):
        """Raw scores of all images, batch by batch."""
        parts = [self._score(batch) for batch in images.split(batch_size)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _checked(self, x):
        """Valid images of the shape that the detector was fitted on."""
        self._check_fitted()
        images = as_images(x)
        if tuple(images.shape[1:]) != self.image_shape_:
            raise DataError(
                f"fitted on images of shape (C, H, W) = {self.image_shape_}, got {tuple(images.shape[1:])}: "
                "resize them."
            )
        return images

    def _check_fitted(self):
        if not hasattr(self, "image_shape_"):
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet: call fit(normal_images) first."
            )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "image_shape_")


def _descendants(kind):
    return [kind, *(k for child in kind.__subclasses__() for k in _descendants(child))]


def hold_back(images, seed, share=0.1):
    """Split normal images into (train, calibration) by a seeded draw; at least one image is held back."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    held = max(1, round(share * len(images)))
    return images[order[held:].sort().values], images[order[:held].sort().values]


def choose(value, choices, name):
    """The value if it is one of the choices, else a DataError that lists them."""
    if value not in choices:
        raise DataError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return value
