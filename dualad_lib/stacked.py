"""Detectors of one kind and one shape, one a class, trained at once as one stacked model.

A small network cannot fill a GPU; ten of them at once can. The losses are those of the detectors themselves: parameters
and buffers are stacked along a new first axis, and `torch.func.vmap` maps each turn's loss over it. The models share
nothing but their random draws, which are those of their common seed, so each ends where it would have ended alone, but
for rounding.
"""

from inspect import signature

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from .errors import DataError
from .progress import progress
from .training import Step, as_float, batch_index, laid_out_like, mix, resolve_device, seeded, slice_batch

READ_EVERY = 25  # steps between reading losses back from the device
OWN = (
    "false_alarm_rate",
    "device",
    "pixel",
    "latent",
    "fusion",
)  # parameters that training does not depend on


def fit_stacked(detectors, images, label=""):
    """Fit detectors at once, each on its own normal images; return them.

    detectors: `Autoencoder` or `DualAD`, any stage, of the same parameters and seed. images: for each its normal
    images, as `fit` takes them, of one shape; their numbers may differ. label: text of the progress bar ("": none).
    Raises DataError where they cannot be stacked.
    """
    if len(detectors) != len(images) or not detectors:
        raise DataError(f"{len(detectors)} detectors cannot be fitted on {len(images)} sets of images.")
    if len({(type(d), *_shared_parameters(d)) for d in detectors}) > 1:
        raise DataError("stacked detectors must be of one class and have the same parameters and seed.")
    parts = [d._split(x) for d, x in zip(detectors, images, strict=True)]
    if len({d.image_shape_ for d in detectors}) > 1:
        raise DataError("stacked detectors need images of one shape.")
    train, held = zip(*parts, strict=True)
    games = [d._begin(x) for d, x in zip(detectors, train, strict=True)]
    history = _train(detectors, games[0], train, label)
    for position, (detector, x, calibration) in enumerate(zip(detectors, train, held, strict=True)):
        own = {name: [step[position] for step in values] for name, values in history.items()}
        detector._end(x, own)
        detector._finish(calibration)
    return list(detectors)


def _shared_parameters(detector):
    return tuple((k, str(v)) for k, v in sorted(detector.get_params().items()) if k not in OWN)


def _train(detectors, game, images, label):
    """`training.train` for all at once: the turns of the first, mapped over everybody's parameters."""
    first, (turns, slices) = detectors[0], game
    device = resolve_device(first.device)
    torch.set_flush_denormal(True)
    networks = [d.parts_ for d in detectors]
    parameters, buffers = stack_module_state(networks)
    names = {id(p): name for name, p in first.parts_.named_parameters()}
    players = {
        p.name: _Stacked(p, [parameters[names[id(q)]] for q in p.parameters])
        for t in turns
        for p in t.players
    }
    batch_size = min(first.batch_size, *map(len, images))
    steps, seed = first._steps(images[0]), first.seed
    images = [x.to(device) for x in images]
    history, pending = {}, {}
    with seeded(seed, device):
        for number in progress(range(steps), label=label):
            torch.manual_seed(mix(seed, "step", number))
            batch = [_batch(x, batch_size, number, seed, device) for x in images]
            batch = slice_batch(
                torch.stack(batch, 1), slices
            )  # cut along the images, so the models come second ...
            batch = {name: x.transpose(0, 1) for name, x in batch.items()}  # ... until here
            shared, logged = {}, {}
            for turn in turns:
                holder = _Holder(first.parts_, turn.loss, number, number / steps)

                def loss(own, running, x, before, holder=holder):
                    return functional_call(holder, (_inside(own), _inside(running)), (x, before))

                terms, shared, noted = vmap(loss, randomness="same")(parameters, buffers, batch, shared)
                shared = {name: value.detach() for name, value in shared.items()}
                logged |= noted
                flat = [p for player in turn.players for p in players[player.name].parameters]
                gradients = torch.autograd.grad(sum(v.sum() for v in terms.values()), flat, allow_unused=True)
                gradients = dict(zip(map(id, flat), gradients, strict=True))
                for player in turn.players:
                    players[player.name].update(gradients, number / steps)
                logged |= {name: value.detach() for name, value in terms.items()}
            for name, value in logged.items():
                pending.setdefault(name, []).append(value)
            if number + 1 == steps or (number + 1) % READ_EVERY == 0:
                for name, values in pending.items():
                    history.setdefault(name, []).extend(torch.stack(values).tolist())
                pending = {}
    with torch.no_grad():
        for position, network in enumerate(networks):
            for name, value in [*network.named_parameters(), *network.named_buffers()]:
                value.copy_((parameters if name in parameters else buffers)[name][position])
    return history


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


def _batch(x, batch_size, number, seed, device):
    return as_float(x[batch_index(len(x), batch_size, number, seed).to(device)], device)


class _Stacked:
    """A player whose parameters are stacked: the same optimiser, the gradient bounded for each model by itself."""

    def __init__(self, player, parameters):
        self.parameters, self.schedule, self.clip = parameters, player.schedule, player.clip
        kind, defaults = type(player.optimiser), player.optimiser.defaults
        accepted = signature(kind.__init__).parameters
        self.optimiser = kind(parameters, **{k: v for k, v in defaults.items() if k in accepted})
        self.rate = defaults["lr"]

    def update(self, gradients, done):
        for parameter in self.parameters:
            parameter.grad = laid_out_like(parameter, gradients[id(parameter)])
        if self.clip is not None:
            found = [p.grad for p in self.parameters if p.grad is not None]
            norm = torch.stack([g.flatten(1).square().sum(1) for g in found]).sum(0).sqrt()  # (models,)
            factor = (self.clip / (norm + 1e-6)).clamp_max(1)
            for g in found:
                g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))
        if self.schedule is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * self.schedule(done)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
