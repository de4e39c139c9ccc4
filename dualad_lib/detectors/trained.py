"""What all detectors that train networks share: fresh parts, a game, a checkpoint, and a file of weights."""

import hashlib
import json
import numbers

import torch
from torch import nn

from ..errors import DataError
from ..training import Player, as_float, resolve_device, seeded, train, warmup_cosine
from .base import Detector

SMALLEST_SIDE = 8  # that the convolutional networks can halve


class Trained(Detector):
    """A detector whose parts, networks by name in `parts_`, play a game. Its parameters have steps, batch_size,
    learning_rate, seed and device among them. A subclass writes:

        _parts() -> dict            fresh networks by name; the seed is set already
        _game() -> turns, slices    what `training.train` plays
        _start(images)              what the parts are told of the images before training (optional)
        _learn(images)              what the scores stand on once the networks are trained (optional)
        _own_state(), _restore_own  what a file keeps beside the parts, tensors by name

    and, as every `Detector`, _score.
    """

    #: Parameters that training does not depend on.
    AFTERWARDS = ("device", "false_alarm_rate")

    def fit(self, x, calibration=None, *, checkpoint=None, label="", after_step=None):
        """Train on normal images; return self. As `Detector.fit`, and:

        checkpoint: a path where the state of the training is kept; a killed `fit` that is called again with the same
        images and parameters goes on from there, to the same scores. label: text of the progress bar ("": none).
        after_step: called with the `training.Step` when a step is done, to watch the training.
        """
        return self._fit_all(x, calibration, checkpoint=checkpoint, label=label, after_step=after_step)

    def _fit(self, images, checkpoint=None, label="", after_step=None):
        turns, slices = self._begin(images)
        history = train(
            turns,
            images,
            steps=self._steps(images),
            batch_size=self.batch_size,
            slices=slices,
            after_step=after_step,
            seed=self.seed,
            device=self.device,
            label=label,
            checkpoint=checkpoint,
            fingerprint=self._fingerprint(images) if checkpoint else "",
        )
        self._end(images, history)

    def _begin(self, images):
        """Fresh networks, and the game they play: (turns, slices) for `train`."""
        self._check_counts()
        self.parts_ = self._build()
        self._start(images)
        return self._game()

    def _check_counts(self):
        """Raise DataError for a number of steps, images or channels that is none."""
        for name in ("steps", "epochs", "batch_size", "width", "latent_dim"):
            value = getattr(self, name, 1)
            if not isinstance(value, numbers.Integral) or value < 1:
                raise DataError(f"{name} must be a whole number of 1 or more, got {value!r}.")

    def _end(self, images, history):
        self.history_ = history
        self.parts_.eval()
        self._learn(images)

    def _build(self):
        """Fresh networks on the device, their weights drawn from the seed."""
        self._check_parameters()
        with seeded(self.seed):
            parts = nn.ModuleDict(self._parts())
        return parts.to(resolve_device(self.device), memory_format=torch.channels_last)

    def _check_parameters(self):
        """Raise DataError for parameters or an image shape with which there is nothing to build."""

    def _start(self, images):
        """Tell the fresh parts what they need to know of the training images."""

    def _learn(self, images):
        """Learn what the scores stand on from the training images."""

    def _steps(self, images):
        return self.steps

    def _player(self, name):
        """A part that learns as the autoencoder does: AdamW, warm-up and cosine, bounded gradient."""
        part = self.parts_[name]
        optimiser = torch.optim.AdamW(part.parameters(), self.learning_rate, betas=(0.9, 0.99), fused=True)
        return Player(name, part, optimiser, warmup_cosine(), clip=5.0)

    def _images(self, x):
        """Images as the networks take them, on their device."""
        return as_float(x, next(self.parts_.parameters()).device)

    def _state(self):
        return {
            **{f"part.{name}": value for name, value in self.parts_.state_dict().items()},
            **self._own_state(),
            "calibration_scores": torch.from_numpy(self.calibration_scores_),
        }

    def _restore(self, state):
        self.parts_ = self._build().eval()
        weights = {name.removeprefix("part."): v for name, v in state.items() if name.startswith("part.")}
        self.parts_.load_state_dict(weights)
        device = resolve_device(self.device)
        self._restore_own({name: value.to(device) for name, value in state.items()})
        self._set_threshold(state["calibration_scores"].numpy())

    def _own_state(self):
        return {}

    def _restore_own(self, state):
        """Take back what `_own_state` gave, on the device."""

    def _fingerprint(self, images):
        """Names a training: other images, parameters, detector or version give another."""
        from .. import __version__

        digest = hashlib.blake2b(images.cpu().numpy().tobytes(), digest_size=16)
        digest.update(f"{__version__} {type(self).__name__} {tuple(images.shape)} {images.dtype}".encode())
        digest.update(json.dumps(self._training_parameters(), sort_keys=True).encode())
        return digest.hexdigest()

    def _training_parameters(self):
        return {k: v for k, v in self.get_params().items() if k not in self.AFTERWARDS}


def check_side(image_shape, advice="pad the images."):
    """Raise DataError where images are too small for the convolutional networks."""
    if min(image_shape[1:]) < SMALLEST_SIDE:
        raise DataError(
            f"the convolutional network needs sides of at least {SMALLEST_SIDE} pixels, "
            f"got {tuple(image_shape[1:])}: {advice}"
        )
