"""What all detectors that train networks share: fresh parts, a game, a checkpoint, and a file of weights."""

import hashlib
import json

import torch
from torch import nn

from ..errors import DataError
from ..muon import Muon
from ..training import (
    Player,
    as_float,
    exact_products,
    flushed_denormals,
    resolve_device,
    seeded,
    train,
    warmup_cosine,
)
from .base import Detector, plain

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

    def fit(self, X, y=None, *, calibration=None, checkpoint=None, label="", after_step=None):
        """Train on normal images; return self. As `Detector.fit`, and:

        checkpoint: a path where the state of the training is kept; a killed `fit` that is called again with the same
        images and parameters goes on from there, to the same scores. label: text of the progress bar ("": none).
        after_step: called with the `training.Step` when a step is done, to watch the training. Fits in several threads
        take turns (`training.seeded`), and each ends as it would have ended alone.
        """
        return self._fit_all(X, y, calibration, checkpoint=checkpoint, label=label, after_step=after_step)

    def _fit(self, images, **options):
        self._end(images, self._train_on(self._begin(images), images, images, **options))

    def _train_on(self, game, batches, images, checkpoint=None, label="", after_step=None):
        """The history of a game (turns, slices) on `batches`; a checkpoint holds for these images alone."""
        turns, slices = game
        return train(
            turns,
            batches,
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

    def _begin(self, images):
        """Fresh networks, and the game they play: (turns, slices) for `train`."""
        self.parts_ = self._build()
        self._start(images)
        return self._game()

    def _end(self, images, history):
        self.history_ = history
        self.parts_.eval()
        with exact_products(self._where()), flushed_denormals():
            self._learn(images)

    def _build(self):
        """Fresh networks on the device, their weights drawn from the seed."""
        self._check_parameters()
        with seeded(self.seed):
            parts = nn.ModuleDict(self._parts())
        return parts.to(resolve_device(self.device), memory_format=torch.channels_last)

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

    def _players_of(self, name, kernels):
        """A part whose convolution kernels, those given, learn by Muon, and all else as in `_player`: two players."""
        part, own = self.parts_[name], {id(kernel) for kernel in kernels}
        rest = [p for p in part.parameters() if p.requires_grad and id(p) not in own]
        slow = torch.optim.AdamW(rest, self.learning_rate, betas=(0.9, 0.99), fused=True)
        return [
            Player(f"{name} kernels", part, Muon(kernels, 40 * self.learning_rate), warmup_cosine()),
            Player(name, part, slow, warmup_cosine(), clip=5.0),
        ]

    def _images(self, x):
        """Images as the networks take them, on their device."""
        return as_float(x, self._where())

    def _state(self):
        return {
            **{f"part.{name}": value for name, value in self.parts_.state_dict().items()},
            **self._own_state(),
            "calibration_scores": torch.from_numpy(self.calibration_scores_),
        }

    def _restore(self, state):
        self.parts_ = self._build().eval()
        weights = {name.removeprefix("part."): v for name, v in state.items() if name.startswith("part.")}
        _check_weights(self.parts_, weights)
        self.parts_.load_state_dict(weights)
        device = resolve_device(self.device)
        self._restore_own({name: _placed(value, device) for name, value in state.items()})
        self._set_threshold(state["calibration_scores"].cpu().numpy())

    def _own_state(self):
        return {}

    def _restore_own(self, state):
        """Take back what `_own_state` gave, on the device."""

    def _fingerprint(self, images):
        """Names a training: other images, parameters, detector or version give another."""
        from .. import __version__

        digest = hashlib.blake2b(images.cpu().numpy().tobytes(), digest_size=16)
        digest.update(f"{__version__} {type(self).__name__} {tuple(images.shape)} {images.dtype}".encode())
        digest.update(json.dumps(self._training_parameters(), sort_keys=True, default=plain).encode())
        return digest.hexdigest()

    def _training_parameters(self):
        return {k: v for k, v in self.get_params().items() if k not in self.AFTERWARDS}


def _placed(value, device):
    """A tensor of a file on the device; float64 stays on the CPU where the device has none (Apple's MPS)."""
    return value if device.type == "mps" and value.dtype == torch.float64 else value.to(device)


def _check_weights(network, weights):
    """Raise DataError where tensors by name are not what the network has, in names or in shapes."""
    own = network.state_dict()
    for name in sorted(set(own) ^ set(weights)):
        raise DataError(f"the weights {name!r} are {'missing' if name in own else 'too many'}.")
    for name, value in own.items():
        if value.shape != weights[name].shape:
            raise DataError(
                f"the weights {name!r} are {tuple(weights[name].shape)}, and {tuple(value.shape)} is needed."
            )


def check_side(image_shape, advice="pad the images."):
    """Raise DataError where images are too small for the convolutional networks."""
    if min(image_shape[1:]) < SMALLEST_SIDE:
        raise DataError(
            f"the convolutional network needs sides of at least {SMALLEST_SIDE} pixels, "
            f"got {tuple(image_shape[1:])}: {advice}"
        )
