"""Detectors of one kind and one shape, one a class, trained at once as one stacked model.

A small network cannot fill a GPU; ten of them at once can. The losses are those of the detectors themselves: parameters
and buffers are stacked along a new first axis, and `torch.func.vmap` maps each turn's loss over it. The models share
nothing but their random draws, which are those of their common seed, so each ends where it would have ended alone, but
for rounding.
"""

import copy
import hashlib
from inspect import signature

import torch
from torch import nn
from torch.func import functional_call, vmap

from .errors import DataError
from .training import Player, Step, Turn, train


def fit_stacked(detectors, images, checkpoint=None, label=""):
    """Fit detectors at once, each on its own normal images; return them.

    detectors: `Autoencoder` or `DualAD`, any stage, of the same parameters and seed. images: for each its normal
    images, as `fit` takes them, of one shape; their numbers may differ. checkpoint, label: as for `fit`. Raises
    DataError where they cannot be stacked, and TrainingError as `train` does.
    """
    from .detectors import Autoencoder, DualAD

    if len(detectors) != len(images) or not detectors:
        raise DataError(f"{len(detectors)} detectors cannot be fitted on {len(images)} sets of images.")
    kinds = [(type(d), d._training_parameters()) for d in detectors]
    if any(kind != kinds[0] for kind in kinds):
        raise DataError("stacked detectors must be of one class and have the same parameters and seed.")
    if type(detectors[0]) not in (Autoencoder, DualAD):
        raise DataError(f"only Autoencoder and DualAD train stacked, not {type(detectors[0]).__name__}.")
    try:
        return _fit_together(list(detectors), images, checkpoint, label)
    except BaseException:
        for detector in detectors:
            detector._forget()  # as in `fit`: half fitted is not fitted
        raise


def _fit_together(detectors, images, checkpoint, label):
    parts = [d._split(x) for d, x in zip(detectors, images, strict=True)]
    if len({d.image_shape_ for d in detectors}) > 1:
        raise DataError("stacked detectors need images of one shape.")
    sets, held = zip(*parts, strict=True)
    if len({min(detectors[0].batch_size, len(x)) for x in sets}) > 1:
        raise DataError(
            "a set is smaller than a batch: alone it would train on smaller ones. Lower batch_size."
        )
    first, games = detectors[0], [d._begin(x) for d, x in zip(detectors, sets, strict=True)]
    turns, slices = games[0]
    networks = [d.parts_ for d in detectors]
    whole = _stack(networks)
    history = train(
        _stacked_game(turns, first.parts_, whole),
        sets,
        steps=first._steps(sets[0]),
        batch_size=first.batch_size,
        slices=slices,
        seed=first.seed,
        device=first.device,
        label=label,
        checkpoint=checkpoint,
        fingerprint=_fingerprint(detectors, sets) if checkpoint else "",
    )
    _unstack(whole, networks)
    for position, (detector, x, calibration) in enumerate(zip(detectors, sets, held, strict=True)):
        own = {name: [step[position] for step in values] for name, values in history.items()}
        detector._end(x, own)
        detector._finish(calibration)
    return detectors


def _fingerprint(detectors, sets):
    own = [d._fingerprint(x) for d, x in zip(detectors, sets, strict=True)]
    return hashlib.blake2b("".join(own).encode(), digest_size=16).hexdigest()


def _state(network):
    return [*network.named_parameters(), *network.named_buffers()]


def _stack(networks):
    """A network whose every parameter and buffer holds those of all networks along a new first axis."""
    whole = copy.deepcopy(networks[0])
    states = [dict(_state(network)) for network in networks]
    for name, value in _state(whole):
        value.data = torch.stack([state[name].detach() for state in states])
    return whole


@torch.no_grad()
def _unstack(whole, networks):
    for name, values in _state(whole):
        for network, value in zip(networks, values, strict=True):
            dict(_state(network))[name].copy_(value)


def _stacked_game(turns, one, whole):
    """The turns of one network, played by all that `whole` holds."""
    names = {id(p): name for name, p in one.named_parameters()}
    stacked = dict(whole.named_parameters())
    players = {
        p.name: _StackedPlayer.of(p, whole[p.name], [stacked[names[id(q)]] for q in p.parameters])
        for turn in turns
        for p in turn.players
    }
    return [
        Turn(_stacked_loss(turn.loss, one, whole), *(players[p.name] for p in turn.players)) for turn in turns
    ]


def _stacked_loss(loss, one, whole):
    state = dict(whole.named_parameters()), dict(whole.named_buffers())

    def mapped(step):
        holder = _Holder(one, loss, step.number, step.progress)

        def alone(parameters, buffers, images, shared):
            return functional_call(holder, (_inside(parameters), _inside(buffers)), (images, shared))

        everybody = vmap(alone, in_dims=(0, 0, 1, 0), randomness="same")
        terms, step.shared, logged = everybody(*state, step.images, step.shared)
        step.log(**logged)
        return terms

    return mapped


class _Holder(nn.Module):
    """A turn's loss as a module, so that functional_call can lend the detector's networks other parameters."""

    def __init__(self, parts, loss, number, done):
        super().__init__()
        self.parts, self.loss, self.number, self.done = parts, loss, number, done

    def forward(self, images, shared):
        step = Step(self.number, self.done, images, dict(shared))
        return self.loss(step), step.shared, step.logged


def _inside(state):
    return {f"parts.{name}": value for name, value in state.items()}


class _StackedPlayer(Player):
    """A player whose parameters are stacked: the same optimiser, the gradient bounded for each model by itself."""

    @classmethod
    def of(cls, player, module, parameters):
        kind, defaults = type(player.optimiser), player.optimiser.defaults
        accepted = signature(kind.__init__).parameters
        optimiser = kind(parameters, **{k: v for k, v in defaults.items() if k in accepted})
        return cls(player.name, module, optimiser, player.schedule, player.clip)

    def bound_gradient(self):
        if self.clip is None:
            return
        found = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.stack([g.flatten(1).square().sum(1) for g in found]).sum(0).sqrt()  # (models,)
        factor = (self.clip / (norm + 1e-6)).clamp_max(1)
        for g in found:
            g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))
