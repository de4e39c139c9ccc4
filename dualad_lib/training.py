"""The training loop: players with their own optimisers take turns.

Every game of this course is a list of turns. A turn has one loss and moves only the parameters of its own players,
so a discriminator's loss can never reach the generator, whatever graph it was computed on. What one turn puts into
`step.shared` the next turns receive as constants: a forward pass is paid for once.

    generator = Player("G", G, torch.optim.Adam(G.parameters(), 1e-3))
    critic = Player("D", D, torch.optim.Adam(D.parameters(), 5e-4))
    history = train([Turn(generator_loss, generator), Turn(critic_loss, critic)], images, steps=400, batch_size=64)

A loss that two players share (a mutual-information bound that encoder and statistics network both raise) is one turn
with two players. A player that learns from other images than the rest (the centre of the Feature Constraint) reads
its own slice of each batch: `slices={"train": 0.9, "constraint": 0.1}` and `step.images["constraint"]`.
"""

import hashlib
import io
import math
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from .errors import DataError, DualADError
from .files import atomic_write, writable
from .progress import progress

FLUSH_EVERY = 25  # steps between reading losses back from the device; reading each step would stall a GPU


class TrainingError(DualADError, RuntimeError):
    """A training that cannot go on: a loss that is not finite, a player without gradient, a foreign checkpoint."""


@dataclass
class Player:
    """A module, the optimiser that moves its parameters, a learning-rate schedule and a bound on its gradient.

    schedule: function of progress in [0, 1] that gives the factor on the learning rate (None: constant).
    clip: largest gradient norm (None: no bound).
    """

    name: str
    module: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: Callable | None = None
    clip: float | None = None

    @property
    def parameters(self):
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    def bound_gradient(self):
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)


@dataclass
class Turn:
    """One update: `loss(step)` returns a dict of scalar terms, already weighted; the players lower their sum.

    The history keeps every term under its name. An empty dict means that the players sit this step out.
    """

    loss: Callable
    players: tuple

    def __init__(self, loss, *players):
        self.loss, self.players = loss, players


@dataclass
class Step:
    """What a loss sees: the batch, how far training is, and what earlier turns of this step left.

    images: dict slice name -> float images in [0, 1], (n, C, H, W), on the device. number: 0, 1, ...
    progress: number / steps. shared: results of earlier turns, cut from their graphs.
    """

    number: int
    progress: float
    images: dict
    shared: dict = field(default_factory=dict)
    logged: dict = field(default_factory=dict)

    def log(self, **values):
        """Keep a value in the history that is no loss term (a radius, an accuracy)."""
        self.logged.update(values)


def warmup_cosine(warmup=0.08):
    """Learning-rate factor: linear up over the first share `warmup` of training, then half a cosine down to 0."""

    def factor(done):
        if done < warmup:
            return (done + 1e-3) / warmup
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))

    return factor


def resolve_device(device="auto"):
    """torch.device for "auto" (CUDA if there is one, else the CPU) or for any name that torch knows.

    Raises DataError for a name that it does not know, and for a device that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{device!r} is no device that torch knows: use auto, cpu or cuda.") from error
    if not _is_there(found):
        raise DataError(f'this machine has no device "{found}": use auto or cpu.')
    return found


def _is_there(device):
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    try:
        return device.type != "meta" and torch.empty(0, device=device) is not None
    except Exception:  # each kind of device that torch was built without has an error of its own
        return False


def as_float(images, device):
    """Images as float32 in [0, 1] on the device, in the memory layout that convolutions like."""
    images = images.to(device)
    if images.dtype == torch.uint8:
        images = images.float() / 255
    return channels_last(images)


def channels_last(x):
    """Images (N, C, H, W) in the memory layout that convolutions like; tensors of another rank as they are."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


#: Whoever draws from torch's global generators, or changes what holds for the whole process, waits for its turn here.
_TURN = threading.RLock()


@contextmanager
def seeded(seed, device="cpu"):
    """Seed torch inside the block and give the caller's random state back afterwards.

    The CPU's generator is seeded, and that of `device`; no other is touched. The generators, and the switches of cuDNN
    that are set here, belong to the whole process: threads that come here at the same time take turns, so that each
    gets the numbers it would get alone. A thread that waits inside for another one to come here waits for ever.
    """
    device = torch.device(device)
    with _TURN, torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        of_mps = torch.mps.get_rng_state() if device.type == "mps" else None  # which fork_rng cannot keep
        deterministic, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        try:
            reseed(seed, device)
            yield
        finally:
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark
            if of_mps is not None:
                torch.mps.set_rng_state(of_mps)


def reseed(seed, device):
    """Seed the CPU's generator and that of the device, and no other (torch.manual_seed reaches every GPU)."""
    torch.default_generator.manual_seed(int(seed))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(int(seed))
    elif device.type == "mps":
        torch.mps.manual_seed(int(seed))


@contextmanager
def flushed_denormals():
    """Inside, numbers too small to matter count as 0 in this thread: feature matching drives weights into them, and
    they cost a CPU a factor 3. Afterwards the thread is as before.

    Threads that torch starts inside (the workers that share one operation) take it over, and keep it; those that it
    started before calculate with such numbers as ever, more slowly.
    """
    before = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def exact_products(device):
    """Inside, a CUDA device multiplies float32 in full, without TF32: a score would else depend on the batch's size.

    The switch holds for the whole process, so this waits for a training in another thread. A CPU is left alone.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    name = "fp32_precision" if hasattr(torch.backends.cuda.matmul, "fp32_precision") else "allow_tf32"
    convolution = torch.backends.cudnn.conv if name == "fp32_precision" else torch.backends.cudnn
    switches = torch.backends.cuda.matmul, convolution
    with _TURN:
        before = [getattr(switch, name) for switch in switches]
        try:
            for switch in switches:
                setattr(switch, name, "ieee" if name == "fp32_precision" else False)
            yield
        finally:
            for switch, value in zip(switches, before, strict=True):
                setattr(switch, name, value)


def train(
    turns,
    images,
    *,
    steps,
    batch_size,
    slices=None,
    after_step=None,
    seed=0,
    device="cpu",
    label="",
    checkpoint=None,
    checkpoint_every=100,
    fingerprint="",
):
    """Play the game for `steps` steps and return the history: dict term name -> list of floats, one a step.

    turns: list of Turn, played in this order at every step.
    images: (N, C, H, W), uint8 or float in [0, 1]; kept as one tensor on the device, batches are drawn by index.
    slices: dict name -> share of each batch (default: all of it under "train").
    after_step: function of the step, called when all turns are done (to watch, or to restart a player).
    checkpoint: a path. The state is written there every `checkpoint_every` steps and at the end; a call that finds a
    checkpoint of the same `fingerprint` goes on from it, and ends with the weights of an uninterrupted run.

    Randomness of step s depends on `seed` and s alone: it is seeded anew at each step, so nothing random has to be
    saved. Trainings in several threads take turns (`seeded`). Raises TrainingError when a loss is not finite, a player
    gets no gradient, or the checkpoint is foreign.
    """
    device = resolve_device(device)
    players = {player.name: player for turn in turns for player in turn.players}
    images = images.to(device)
    batch_size = min(batch_size, len(images))
    history, first = defaultdict(list), 0
    if checkpoint is not None:
        checkpoint = writable(checkpoint)
        first = _resume(checkpoint, players, history, fingerprint, steps)
    pending = defaultdict(list)

    def status():
        return " ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())

    with seeded(seed, device), flushed_denormals():
        for number in progress(range(first, steps), label=label, status=status):
            done = number / steps
            reseed(mix(seed, "step", number), device)
            batch = as_float(images[batch_index(len(images), batch_size, number, seed).to(device)], device)
            step = Step(number, done, slice_batch(batch, slices))
            for turn in turns:
                terms = turn.loss(step)
                if terms:
                    _update(turn, terms, done, number)
                step.shared = {key: _detach(value) for key, value in step.shared.items()}
                for name, value in terms.items():
                    pending[name].append(value.detach())
            if after_step is not None:
                after_step(step)
            for name, value in step.logged.items():
                pending[name].append(torch.as_tensor(value, dtype=torch.float32, device=device))
            last = number + 1 == steps
            keep = checkpoint is not None and (last or (number + 1) % checkpoint_every == 0)
            if last or keep or (number + 1) % FLUSH_EVERY == 0:
                _flush(pending, history, number)
            if keep:
                _save(checkpoint, players, history, fingerprint, number + 1)
    return dict(history)


def _update(turn, terms, done, number):
    """Gradient of the turn's summed terms for its own players, then one optimiser step each."""
    parameters = [player.parameters for player in turn.players]
    flat = [p for group in parameters for p in group]
    gradients = iter(torch.autograd.grad(sum(terms.values()), flat, allow_unused=True))
    for player, own in zip(turn.players, parameters, strict=True):
        for parameter in own:
            parameter.grad = laid_out_like(parameter, next(gradients))
        if all(p.grad is None for p in own):
            raise TrainingError(
                f"step {number}: player {player.name!r} gets no gradient from {', '.join(terms)}. Its loss must "
                "depend on its own parameters: look for a detach() or a value computed before this turn."
            )
        player.bound_gradient()
        if player.schedule is not None:
            for group in player.optimiser.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * player.schedule(done)
        player.optimiser.step()
        player.optimiser.zero_grad(set_to_none=True)


def laid_out_like(parameter, gradient):
    """The gradient in the memory layout of its parameter: fused optimisers walk both by position, without a check."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def slice_batch(batch, slices):
    """Cut a batch into named slices by share; every slice gets at least one image."""
    if slices is None:
        return {"train": batch}
    if len(batch) < len(slices):
        raise DataError(
            f"a batch of {len(batch)} images cannot be cut into {len(slices)} slices: use larger batches."
        )
    names, cut = list(slices), {}
    left = batch
    for position, name in enumerate(names):
        rest = len(names) - position - 1
        size = max(1, round(slices[name] * len(batch))) if rest else len(left)
        size = min(size, len(left) - rest)
        cut[name], left = left[:size], left[size:]
    return cut


def batch_index(n, batch_size, number, seed):
    """Images of step `number`: each epoch is a fresh permutation, its last incomplete batch is dropped."""
    a_epoch = n // batch_size
    epoch, position = divmod(number, a_epoch)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(mix(seed, "epoch", epoch)))
    return order[position * batch_size : (position + 1) * batch_size]


def mix(*parts):
    """A 63-bit seed from any parts, so that neighbouring seeds and steps share nothing."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _detach(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


def _flush(pending, history, number):
    """Read the losses of the last steps back from the device, and stop at the first that is not finite."""
    for name, values in pending.items():
        values = torch.stack(values)
        if not values.isfinite().all():
            raise TrainingError(
                f"loss {name!r} is no longer finite near step {number}: lower the learning rate, or bound the "
                "gradient with Player(clip=...)."
            )
        history[name].extend(values.tolist())
    pending.clear()


def _save(path, players, history, fingerprint, number):
    state = {
        "step": number,
        "fingerprint": fingerprint,
        "modules": {name: player.module.state_dict() for name, player in players.items()},
        "optimisers": {name: player.optimiser.state_dict() for name, player in players.items()},
        "history": dict(history),
    }
    content = io.BytesIO()  # torch's own writer does not say that a disk is full
    torch.save(state, content)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _resume(path, players, history, fingerprint, steps):
    """Load a checkpoint into the players and the history; 0 if there is none, else the step to go on from."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return 0
    except Exception as error:
        raise TrainingError(
            f"checkpoint {path} cannot be read ({_first_line(error)}): delete it to train from the start."
        ) from error
    try:
        if state["fingerprint"] != fingerprint or set(state["modules"]) != set(players):
            raise TrainingError(
                f"checkpoint {path} belongs to another training (other images, parameters or library): "
                "delete it, or give another path."
            )
        for name, player in players.items():
            player.module.load_state_dict(state["modules"][name])
            player.optimiser.load_state_dict(state["optimisers"][name])
        history.update(state["history"])
        if state["step"] not in range(steps + 1):
            raise ValueError(f"step {state['step']} of {steps}")
        return state["step"]
    except TrainingError:
        raise
    except Exception as error:  # something else that torch saved, or a part of it is missing
        raise TrainingError(
            f"checkpoint {path} is not whole, or is something else ({type(error).__name__}: {_first_line(error)}): "
            "delete it to train from the start, or give another path."
        ) from error


def _first_line(error):
    return str(error).strip().partition("\n")[0]
