"""The contract that every detector keeps: images in, scores out, nothing but normal images in training."""

import functools
import inspect
import json
import numbers
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError

from ..data.copies import equal_copies
from ..data.images import Images, as_images
from ..errors import DataError
from ..files import atomic_write, expand, shown
from ..scoring import Scores, check_rate, conformal_p_values, finite, left_out, threshold_at
from ..training import as_float, exact_products, flushed_denormals, resolve_device
from .parameters import check_numbers

FORMAT = "dualad-2"  # one more whenever a file would give other scores than it gave
MINIMUM = 10  # normal images that `fit` needs: nine to learn from, one to calibrate with


M = TypeVar("M", bound=Callable)


def as_fitted(method: M) -> M:
    """A public method of a fitted detector runs with the parameters of its `fit`, whatever has been set since.

    Every method that scores, rebuilds or encodes images wears it; NotFittedError where there was no fit.
    """

    @functools.wraps(method)
    def run(self, *args, **options):
        self._check_fitted()
        with exact_products(self._where()), flushed_denormals():
            return method(self._as_fitted(), *args, **options)

    return cast(M, run)


class Detector(OutlierMixin, BaseEstimator):
    """Base of all detectors, in scikit-learn's outlier contract.

    Images are (N, H, W) or (N, C, H, W), uint8 or float in [0, 1], numpy array or torch tensor. A subclass sets its
    parameters in `__init__` (among them `seed` and `false_alarm_rate`) and writes::

        _fit(images)              learn from the normal images (N, C, H, W); `_where()` says on which device
        _score(images) -> dict    raw scores by name ("pixel", "latent"), float64 arrays (n,), of one batch
        _combine(raw) -> Scores   only where scores are fused; `_calibrate(raw, images)` learns what that needs, anew
                                  at each call and into attributes that it sets, from these images alone
        _state(), _restore(state) what `save` keeps, a dict of tensors

    and decorates further public methods on images with `as_fitted`. Nothing under `fit` sees a test image or a label.

    What was fitted is frozen: `set_params` afterwards takes hold at the next `fit`. Until then scores, threshold and
    what `save` writes stay those of the last one, and scoring warns of the difference. The parameters in AFTERWARDS,
    among them `false_alarm_rate`, also take hold at `recalibrate`, which sets a new threshold with them. `device` alone
    may change: it says where the next `fit` runs, or whoever loads the file.
    """

    #: Parameters that what is learned does not depend on.
    AFTERWARDS = ("device", "false_alarm_rate")
    #: Groups in which calibration images are left out of their own scales; `_calibrate` runs once more for each.
    FOLDS = 10
    #: Longer side of the images that `dualad fit` reads for it.
    default_image_size = 64

    def fit(self, X: Images, y: Any = None, *, calibration: Images | None = None) -> Self:
        """Learn from normal images X; return self.

        y: ignored, as in scikit-learn. calibration: further normal images that set threshold and score scales. Without
        them a seeded tenth of X is held back for that and not trained on. Raises DataError for anything that is no
        usable batch of images, for images that are all one picture, and for parameters that make no sense.
        """
        return self._fit_all(X, y, calibration)

    def _fit_all(self, x, y, calibration, **options):
        try:
            check_labels(y)
            images, calibration = self._split(x, calibration)
            self._fit(images, **options)
            return self._finish(calibration)
        except BaseException:
            self._forget()  # half fitted is not fitted
            raise

    def _forget(self):
        for name in ("image_shape_", "fitted_parameters_"):
            vars(self).pop(name, None)

    def _split(self, x, calibration=None):
        """(images to learn from, images to calibrate with), both checked. From here on the parameters are frozen."""
        images = as_images(x)
        if len(images) < MINIMUM:
            raise DataError(f"fit needs at least {MINIMUM} normal images, got {len(images)}.")
        check_rate(self.false_alarm_rate)
        check_numbers(self)
        self._check_variety(images)
        self._freeze(images.shape[1:])
        if calibration is None:
            return hold_back(images, self.seed)
        calibration = self._checked(calibration)
        shared = (equal_copies((*images, *calibration))[len(images) :] < len(images)).sum()
        if shared:
            warnings.warn(
                f"{shared} of {len(calibration)} calibration images are also trained on: they score too low, and so "
                "will the threshold. Calibrate with other normal images.",
                stacklevel=4,
            )
        return images, calibration

    def _freeze(self, image_shape):
        self.image_shape_ = tuple(image_shape)
        self.fitted_parameters_ = {
            name: value for name, value in self.get_params(deep=False).items() if name != "device"
        }

    def _as_fitted(self):
        """This detector with the parameters of its fit; itself where none was set since."""
        frozen = getattr(self, "fitted_parameters_", {})
        changed = sorted(name for name, value in frozen.items() if getattr(self, name) is not value)
        if not changed:
            return self
        if any(getattr(self, name) != frozen[name] for name in changed):
            warnings.warn(
                f"{', '.join(changed)} of this {type(self).__name__} changed since it was fitted; it goes on as fitted "
                "until fit is called again (or recalibrate, for what training does not depend on).",
                stacklevel=3,
            )
        return self._twin(frozen)

    def _twin(self, attributes):
        """A second detector that shares all with this one but the attributes given."""
        twin = object.__new__(type(self))
        vars(twin).update({**vars(self), **attributes})
        return twin

    def _check_variety(self, images):
        """Raise DataError where there is next to nothing to learn, however many images there are."""
        seen = set()
        for image in images:
            seen.add(image.cpu().numpy().tobytes())
            if len(seen) == MINIMUM:
                return
        raise DataError(
            f"fit needs at least {MINIMUM} different normal images, but these {len(images)} are only {len(seen)} "
            "picture(s), again and again: copies say nothing of what else is normal."
        )

    def _check_parameters(self):
        """Raise DataError for parameters, or an image shape, with which there is nothing to do."""

    def _where(self):
        """The device that scores are made on: that of the networks in `parts_`, else what `device` says."""
        weights = next(self.parts_.parameters(), None) if hasattr(self, "parts_") else None
        return resolve_device(getattr(self, "device", "cpu")) if weights is None else weights.device

    def _finish(self, calibration):
        """What follows once the detector has learned: scales and threshold, from images it did not learn from."""
        raw = self._raw(calibration)
        self._calibrate(raw, calibration)
        self._set_threshold(self._held_out(raw, calibration))
        return self

    def _held_out(self, raw, images):
        """Final scores of the calibration images, none of them fused with scales that it helped to set."""
        final = self._combine(raw).final
        if type(self)._calibrate is Detector._calibrate:
            return final
        calibrated = self._calibrated_without(raw, images)
        return left_out(final, lambda kept: calibrated(kept)._combine(raw).final, self.FOLDS)

    def _calibrated_without(self, raw, images):
        """A function of a mask of the calibration images -> this detector as if `_calibrate` knew only those.

        To be written anew where `_calibrate` is slow, with more FOLDS where this is fast.
        """

        def calibrated(kept):
            twin = self._twin({})
            twin._calibrate(
                {name: values[kept] for name, values in raw.items()}, images[torch.from_numpy(kept)]
            )
            return twin

        return calibrated

    def _set_threshold(self, calibration_scores):
        """Take over final scores (n,) of held-out normal images and the threshold that they set."""
        if calibration_scores.ndim != 1 or not len(calibration_scores):
            raise DataError("the calibration scores are no list of numbers.")
        self.calibration_scores_ = finite({"calibration": calibration_scores}, type(self).__name__)[
            "calibration"
        ]
        self.threshold_ = threshold_at(calibration_scores, self.false_alarm_rate)

    def _calibrate(self, raw, images):
        """Learn what `_combine` needs from held-out normal images and their raw scores."""

    def _combine(self, raw):
        return Scores(**raw)

    @as_fitted
    def anomaly_scores(self, x: Images, batch_size: int = 512) -> Scores:
        """Scores of each image, higher = more anomalous. They do not depend on batch_size or on the other images.

        Raises DataError where a score is not a finite number.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, numbers.Integral) or batch_size < 1:
            raise DataError(f"batch_size must be a whole number from 1, got {batch_size!r}.")
        scores = self._combine(self._raw(self._checked(x), int(batch_size)))
        finite(dict(scores.items()), type(self).__name__)
        return scores

    def score_samples(self, x: Images) -> np.ndarray:
        """scikit-learn's sign: minus the final score, higher = more normal. Shape (N,)."""
        return -self.anomaly_scores(x).final

    def decision_function(self, x: Images) -> np.ndarray:
        """Threshold minus final score: negative = anomalous. Shape (N,)."""
        final = self.anomaly_scores(x).final
        return self.threshold_ - final

    @as_fitted
    def anomaly_map(self, x: Images, blur: float = 0.0) -> np.ndarray:
        """Where an image departs from its reconstruction: squared error, mean over channels, float64 (N, H, W).

        blur: deviation in pixels of a Gaussian over the map, against the noise of single pixels. Raises DataError for
        a detector that reconstructs nothing.
        """
        from scipy.ndimage import gaussian_filter

        if not hasattr(self, "reconstruct"):
            raise DataError(f"a {type(self).__name__} reconstructs nothing, so it has no heat maps.")
        images = self._checked(x)
        check_blur(blur, images)
        error = (as_float(images, "cpu") - self.reconstruct(images).clamp(0, 1)).square().mean(1)
        error = error.double().numpy()
        return gaussian_filter(error, (0, blur, blur)) if blur else error

    def recalibrate(self, x: Images) -> Self:
        """New threshold and score scales from other held-out normal images, say of a changed camera; return self.

        What was learned stays. x must not have been trained on. `false_alarm_rate` and whatever else AFTERWARDS names
        count as they are now; all other parameters are those of `fit`.
        """
        self._check_fitted()
        now = {name: getattr(self, name) for name in self.AFTERWARDS if name in self.fitted_parameters_}
        frozen = {**self.fitted_parameters_, **now}
        twin = self._twin({**frozen, "fitted_parameters_": frozen})
        check_rate(twin.false_alarm_rate)
        check_numbers(twin)
        twin._check_parameters()
        with exact_products(self._where()), flushed_denormals():
            twin._finish(twin._checked(x))
        learned = {name: value for name, value in vars(twin).items() if name not in frozen}
        self.__dict__.update(learned)
        return self

    def predict(self, x: Images) -> np.ndarray:
        """1 for normal, -1 for anomalous, at the threshold set by `false_alarm_rate` on held-out normals. (N,)."""
        return np.where(self.decision_function(x) < 0, -1, 1)

    def p_values(self, x: Images) -> np.ndarray:
        """Conformal p-value of each image: small = unlike the held-out normal images. Shape (N,), in (0, 1]."""
        final = self.anomaly_scores(x).final
        return conformal_p_values(self.calibration_scores_, final)

    @property
    def offset_(self) -> float:
        """scikit-learn's name: decision_function = score_samples - offset_."""
        return -self.threshold_

    @as_fitted
    def save(self, path: str | Path) -> None:
        """Write the fitted detector as safetensors with a JSON header of its parameters (no executable code)."""
        from safetensors.torch import save

        header = {
            "format": FORMAT,
            "detector": type(self).__name__,
            "parameters": json.dumps(self.get_params(), default=plain),
            "image_shape": json.dumps(self.image_shape_),
        }
        if hasattr(self, "reading_"):  # how `dualad fit` read the images, so that `dualad score` reads alike
            header["reading"] = json.dumps(self.reading_)
        state = {name: value.detach().cpu().contiguous() for name, value in self._state().items()}
        content = save(
            state, metadata=header
        )  # its own writer would report a full disk as a fault of the format
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> Self:
        """Read a detector that `save` wrote. `Detector.load` reads any kind, `PCA.load` only a PCA.

        device: where to run it. None: where its parameters say or, if this machine has no such device, on the CPU or
        a GPU that it has. Raises DataError for a file that is missing, foreign, damaged or of another version.
        """
        from safetensors import SafetensorError, safe_open

        path = expand(path)
        name = shown(path)
        if os.path.isdir(path):  # False for what can be no path, which the next lines refuse
            raise DataError(f"{name} is a folder: give the model file (.safetensors) that was saved.")
        try:
            os.fsencode(path).decode("utf-8")  # its bytes: a locale without UTF-8 shows them as surrogates
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        except UnicodeDecodeError:
            raise DataError(
                f"{name} is no path in UTF-8, and safetensors reads no other: rename what shows as \\x there."
            ) from None
        except FileNotFoundError:
            raise DataError(f"there is no model file {name}.") from None
        except (SafetensorError, OSError) as error:
            raise DataError(f"{name} is not a readable safetensors file ({error}).") from error
        kinds = {kind.__name__: kind for kind in _descendants(Detector)}
        if header.get("format") != FORMAT and str(header.get("format")).startswith("dualad-"):
            raise DataError(f"{name} was written by another version of this library: fit the detector again.")
        if header.get("format") != FORMAT or header.get("detector") not in kinds:
            raise DataError(f"{name} was not written by this library's save (or by a newer version of it).")
        kind = kinds[header["detector"]]
        if not issubclass(kind, cls):
            raise DataError(
                f"{name} holds a {kind.__name__}, not a {cls.__name__}: use {kind.__name__}.load."
            )
        if device is not None:
            resolve_device(device)
        try:
            return kind._from_file(header, state, device)
        except DataError as error:
            raise DataError(f"{name} holds no sound {kind.__name__}: {error}") from error
        except Exception as error:  # a wrong tensor can fail anywhere
            why = " ".join(str(error).split())[:300]
            raise DataError(
                f"{name} holds no sound {kind.__name__} ({type(error).__name__}: {why})."
            ) from error

    @classmethod
    def _from_file(cls, header, state, device):
        """The detector of a header and its tensors; anything can be wrong with both."""
        parameters = _from_json(header, "parameters", dict)
        unknown = sorted(set(parameters) - set(inspect.signature(cls.__init__).parameters) - {"self"})
        if unknown:
            raise DataError(
                f"it has parameters that this version does not know ({', '.join(unknown)}): it was written by "
                "another version of the library."
            )
        model = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()})
        if "device" in parameters:
            model.set_params(device=here(parameters["device"]) if device is None else device)
        check_rate(model.false_alarm_rate)
        check_numbers(model)
        shape = _from_json(header, "image_shape", list)
        if len(shape) != 3 or not all(isinstance(side, int) and side > 0 for side in shape):
            raise DataError(f"its image_shape is {shape}, not three whole numbers (C, H, W).")
        for name, value in state.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise DataError(
                    f"its tensor {name!r} holds numbers that are not finite: the file is damaged."
                )
        model._freeze(shape)
        if "reading" in header:
            model.reading_ = _from_json(header, "reading", dict)
        model._restore(state)
        model._check_restored(state)
        return model

    def _check_restored(self, state):
        """Raise DataError where a file's tensors are not those that this detector keeps, or make no score."""
        own = self._state()
        for name in sorted(set(own) ^ set(state)):
            raise DataError(f"the tensor {name!r} is {'missing' if name in own else 'one too many'}.")
        for name, value in own.items():
            if (
                value.shape != state[name].shape
                or value.is_floating_point() != state[name].is_floating_point()
            ):
                raise DataError(
                    f"the tensor {name!r} is {state[name].dtype} {tuple(state[name].shape)}, which fits no "
                    f"{type(self).__name__} of these parameters."
                )
        scores = self.anomaly_scores(torch.zeros(1, *self.image_shape_))
        if any(values.shape != (1,) for _, values in scores.items()):
            raise DataError("its tensors do not fit together: one image gets several scores.")

    def _raw(self, images, batch_size=512):
        """Raw scores of all images, batch by batch."""
        with exact_products(self._where()), flushed_denormals():
            parts = [self._score(batch) for batch in images.split(batch_size)]
        raw = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return finite(raw, type(self).__name__)

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


def _descendants(kind):
    return [kind, *(k for child in kind.__subclasses__() for k in _descendants(child))]


def _from_json(header, name, kind):
    try:
        found = json.loads(header[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"its header has no {name} that can be read.") from error
    if not isinstance(found, kind):
        raise DataError(f"its header's {name} are {found!r:.60}.")
    return found


def plain(value: Any) -> Any:
    """A numpy number as the Python number that JSON knows."""
    if hasattr(value, "item"):
        return value.item()
    raise DataError(f"{value!r:.60} is no parameter that a file can keep.")


def here(device: str) -> str:
    """The device of a file if this machine has it, else "auto": a model of a GPU scores on a CPU as well."""
    try:
        resolve_device(device)
    except DataError:
        return "auto"
    return device


def check_blur(blur: Any, images: torch.Tensor) -> None:
    """Raise DataError for the deviation of a blur that is no number of pixels from 0 to the images' longer side."""
    most = max(images.shape[2:])
    if isinstance(blur, bool) or not isinstance(blur, numbers.Real) or not 0 <= blur <= most:  # type: ignore[operator]
        raise DataError(f"blur must be a number of pixels from 0 to {most}, got {blur!r}.")


def check_labels(y: Any) -> None:
    """Raise DataError for images in the place of scikit-learn's y, which would be ignored."""
    first = y[0] if isinstance(y, list | tuple) and len(y) else None
    if getattr(y, "ndim", 0) > 2 or getattr(first, "ndim", 0) > 1:
        raise DataError(
            "the second argument of fit is scikit-learn's y, which is ignored, but it holds images: give "
            "calibration images by name, fit(x, calibration=...)."
        )


def hold_back(images: torch.Tensor, seed: int, share: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Split normal images into (train, calibration) by a seeded draw; at least one image is held back."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(int(seed)))
    held = max(1, round(share * len(images)))
    return images[order[held:].sort().values], images[order[:held].sort().values]


def choose(value: Any, choices: Any, name: str) -> Any:
    """The value if it is one of the choices, else a DataError that lists them."""
    if value not in choices:
        raise DataError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return value
