"""A classifier that is attacked, and the images it was attacked with: what detectors of attacks are measured on."""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from ..data import load_labelled, of_class
from ..detectors import LRGDAN
from ..errors import DataError
from ..files import atomic_write
from ..networks import ConvClassifier
from ..progress import progress
from ..training import as_float, seeded, warmup_cosine
from . import attacks
from .detectors import classify

#: Bounds of the change of a pixel, of 255 (L-infinity); fixed before anything was measured.
STRENGTHS = (2, 4, 8, 16)
MAIN = 8  # the bound of those who know the detector
EVERY = 4  # of so many images the slow boundary attack takes one
ADAPTIVE_STEPS = 40
#: What one standard deviation of the detector's score on normal images is worth to an adaptive attack, in nats.
ADAPTIVE_WEIGHT = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class AttackedClassifier:
    """A trained classifier, the images of one class, and their attacked versions.

    train, held, clean: images of the class to learn from, held out, and of the test, uint8. others: test images of all
    other classes, uint8. x: those of `clean` that the classifier names rightly, float. adversarial: dict from (attack,
    bound in 255ths or None) to the attacked x (boundary: of every fourth).
    """

    classifier: torch.nn.Module
    normal_class: int
    train: torch.Tensor
    held: torch.Tensor
    clean: torch.Tensor
    others: torch.Tensor
    x: torch.Tensor
    adversarial: dict

    @property
    def y(self):
        """The true class of each x, (N,)."""
        return torch.full((len(self.x),), self.normal_class, device=self.x.device)

    def fooled(self, adversarial):
        """Which attacked images the classifier gives another class: bool (N,)."""
        return classify(self.classifier, adversarial).argmax(1) != self.normal_class


def train_classifier(images, labels, classes, epochs=6, width=24, batch_size=64, seed=0, label=""):
    """A ConvClassifier in eval mode, trained on labelled images with AdamW and cross-entropy, on the CPU.

    images: (N, C, H, W), uint8 or float in [0, 1]; labels: (N,) in 0..classes-1. Deterministic for a seed. Its
    parameters ask for no gradient: an attack takes the gradient of the image alone.
    """
    with seeded(seed):
        net = ConvClassifier(tuple(images.shape[1:]), classes, width)
        steps, factor = epochs * (len(images) // batch_size + 1), warmup_cosine()
        optimiser = torch.optim.AdamW(net.parameters(), 2e-3, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step / steps))
        batches = [batch for _ in range(epochs) for batch in torch.randperm(len(images)).split(batch_size)]
        for batch in progress(batches, label=label):
            if len(batch) > 1:  # batch norm has no variance of one image
                optimiser.zero_grad()
                cross_entropy(net(as_float(images[batch], "cpu")), labels[batch]).backward()
                optimiser.step()
                schedule.step()
    return net.eval().requires_grad_(False)


def load_attacked(dataset, normal_class, folder=None, seed=0, epochs=6, width=24, boundary_steps=2000):
    """The AttackedClassifier of a data set ("gtsrb", or any name that `load_one_class` takes).

    The classifier learns from the training images of all classes, but for a fifth (of signs: of tracks) that is held
    out. fgsm, bim and deepfool attack with every one of STRENGTHS; boundary without a bound, one image in EVERY, and
    only where foolbox is installed. folder: where weights and attacked images are kept, written whole, and found by the
    next who asks for the same. Raises DataError for a class that the set does not have.
    """
    data = load_labelled(dataset, seed)
    if not 0 <= normal_class < len(data.class_names):
        raise DataError(f"{dataset} has classes 0 to {len(data.class_names) - 1}, not {normal_class!r}.")
    options = {"seed": seed, "epochs": epochs, "width": width}
    if folder is None:
        state = _attacked(data, normal_class, boundary_steps, **options)
    else:
        state = _kept(data, dataset, normal_class, folder, boundary_steps, **options)
    net = ConvClassifier(tuple(data.train.images.shape[1:]), len(data.class_names), width)
    net.load_state_dict(
        {name.removeprefix("part."): v for name, v in state.items() if name.startswith("part.")}
    )
    found = {tuple(name.split("/")[1:]): v for name, v in state.items() if name.startswith("attack/")}
    return AttackedClassifier(
        classifier=net.eval().requires_grad_(False),
        normal_class=normal_class,
        train=of_class(data.train, normal_class),
        held=of_class(data.held, normal_class),
        clean=of_class(data.test, normal_class),
        others=data.test.images[data.test.labels != normal_class],
        x=state["x"],
        adversarial={(attack, int(eps) if eps else None): v for (attack, eps), v in found.items()},
    )


def adaptive(model, attacked):
    """BIM against classifier and detector at once, at the strength MAIN: a dict as AttackedClassifier.adversarial.

    It raises the cross-entropy and, once the classifier is fooled, lowers the detector's differentiable score as well:
    ADAPTIVE_WEIGHT nats for one deviation of that score on held-out normal images. {} for a score without a gradient.
    """
    score = differentiable_score(model)
    if score is None:
        return {}
    with torch.no_grad():
        scale = score(as_float(attacked.held, attacked.x.device)).std().clamp_min(1e-8)

    def penalty(x):
        # First fool, then hide: a score that is pulled down from the start would hold the image where it is.
        lost = attacked.classifier(x).argmax(1) != attacked.y
        return ADAPTIVE_WEIGHT * lost * score(x) / scale

    eps = MAIN / 255
    found = attacks.bim(attacked.classifier, attacked.x, attacked.y, eps, ADAPTIVE_STEPS, eps / 10, penalty)
    return {("adaptive", MAIN): found}


def differentiable_score(model):
    """A detector's pixel score as a function of float images that has a gradient, (N,); None where there is none.

    Images and scores are on the images' device, whatever the detector's. LR-GDAN asked for the code has no pixel score.
    The detector's parameters are those of its fit.
    """
    known = model.fitted_parameters_
    if isinstance(model, LRGDAN) and known["dual"] and known["judged"] == "code":
        return None
    return getattr(model, "score_of", None)


def _kept(data, dataset, normal_class, folder, boundary_steps, **options):
    """The state of `_attacked`, read from the folder; who finds none there, or a damaged one, writes it."""
    from filelock import FileLock
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    words = "-".join(f"{name}{value}" for name, value in {**options, "steps": boundary_steps}.items())
    words += "" if find_spec("foolbox") else "-without-boundary"
    path = Path(folder) / f"{dataset}-{normal_class}-{words}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            try:
                return load_file(path)
            except (OSError, SafetensorError) as error:
                warnings.warn(f"{path} is damaged ({error}) and is made again.", stacklevel=3)
        with atomic_write(path) as temporary:
            save_file(_attacked(data, normal_class, boundary_steps, **options), temporary)
    return load_file(path)


def _attacked(data, normal_class, boundary_steps, seed, epochs, width):
    """Weights of a newly trained classifier and its attacked images, tensors by name."""
    train, test = data.train, data.test
    net = train_classifier(
        train.images, train.labels, len(data.class_names), epochs, width, seed=seed, label="classifier"
    )
    right, own = classify(net, test.images).argmax(1) == test.labels, test.labels == normal_class
    x, starts = as_float(test.images[own & right], "cpu"), as_float(test.images[~own & right], "cpu")
    if not len(x) or not len(starts):
        raise DataError(
            "the classifier names no test image rightly that could be attacked: train it for longer."
        )
    y, state = torch.full((len(x),), normal_class), {"x": x}
    for eps in STRENGTHS:
        state[f"attack/fgsm/{eps}"] = attacks.fgsm(net, x, y, eps / 255)
        state[f"attack/bim/{eps}"] = attacks.bim(net, x, y, eps / 255)
        state[f"attack/deepfool/{eps}"] = attacks.deepfool(net, x, eps=eps / 255)
    try:
        few = x[::EVERY]
        some = torch.arange(len(few)) * len(starts) // len(few)  # evenly over the other classes
        state["attack/boundary/"] = attacks.boundary(net, few, y[::EVERY], starts[some], boundary_steps, seed)
    except ImportError:
        pass  # foolbox is optional
    state |= {f"part.{name}": value for name, value in net.state_dict().items()}
    return {name: value.contiguous() for name, value in state.items()}
