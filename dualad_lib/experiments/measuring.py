"""Trained models in, rows of a results file out."""

import inspect
import time

import torch

from ..data import load_labelled_anomalies, load_one_class
from ..detectors.agad import batch_statistics
from ..detectors.trained import Trained
from ..errors import RunError
from ..evaluation import auroc
from ..scoring import Scores
from .cells import identify, rows_of, short_name


def measure(detector, dataset, normal_class, command="", label="", **options):
    """Train one detector on one task, score the test images, and return its rows, one a score (see COLUMNS).

    detector: a name that `dualad_lib.detectors.create` knows. Of the options, protocol, split ("test") and seed (0)
    are those of `load_one_class`; split="development" measures on training files alone. labelled (0): labelled
    anomalies that a supervised detector is given, as a share of the normal training images. kinds (""): the rule by
    which they are of some kinds alone (`kinds_of`); these kinds and the others then have rows of their own as well.
    flaws: names of FLAWED evaluations that are measured beside the honest one, each with rows of its own. profile
    ("lesson") stands in the rows. params: parameters that differ from the detector's defaults; setting: how the rows
    name the difference.
    output: a folder where this cell is kept as one JSON file, written whole or not at all; study (""): what its name
    begins with. A finished cell is read instead of trained again, unless the detector's code or parameters have changed
    since. A training that was killed goes on from its last checkpoint. label: text of the progress bar. Figures lie in
    [0, 1], times in seconds (None for a training that went on); hter is that of the final score at the detector's own
    threshold.
    """
    kept = identify(detector, dataset, normal_class, **options)
    if (stored := kept.rows()) is not None:
        return stored
    model, key = kept.model, kept.key
    if key["labelled"] and key["protocol"] != "one_vs_rest":
        raise RunError(f"labelled anomalies are those of protocol one_vs_rest, not of {key['protocol']}.")
    if key["labelled"] and "labels" not in inspect.signature(model.fit).parameters:
        raise RunError(f"{detector} takes no labelled anomalies.")
    task = load_one_class(
        dataset, normal_class, **{name: key[name] for name in ("protocol", "split", "seed")}
    )
    watches = _watches(key["flaws"], model, task)
    resumable, resumed = {}, False
    if isinstance(model, Trained):
        resumes = kept.path is not None and not watches  # the best step is not known of half a training
        checkpoint = kept.path.with_suffix(f".{short_name(key)}.pt") if resumes else None
        resumable = {"checkpoint": checkpoint, "label": label}
        resumed = checkpoint is not None and checkpoint.exists()
    images, labels = task.train, {}
    if key["labelled"]:
        kinds = kinds_of(key, task)
        anomalies = load_labelled_anomalies(
            dataset, normal_class, key["labelled"], key["split"], key["seed"], kinds
        )
        images = torch.cat([images, anomalies])
        labels = {"labels": torch.arange(len(images)) >= len(task.train)}
    if watches and not isinstance(model, Trained):
        raise RunError(f"{detector} has no steps to choose the best of.")
    if watches:
        resumable["after_step"] = lambda step: [watch(step) for watch in watches.values()]
    start = time.perf_counter()
    model.fit(images, **labels, **resumable)
    trained = time.perf_counter()
    scores = model.anomaly_scores(task.test)
    scored = time.perf_counter()
    seconds = None if resumed or watches else trained - start, scored - trained
    truth = task.test_labels.numpy()
    rows = rows_of(key, model, truth, scores, *seconds, command)
    rows += _rows_by_kind(key, model, task, scores, seconds, command)
    for flaw in key["flaws"]:
        if flaw in watches:
            watches[flaw].look()  # the last step is one of them
        found = watches[flaw].best if flaw in watches else FLAWED[flaw][0](model, task)
        rows += [
            {**row, "evaluation": flaw, "hter": None}
            for row in rows_of(key, model, truth, found, *seconds, command)
        ]
    kept.write(rows)
    if resumable.get("checkpoint") is not None:
        resumable["checkpoint"].unlink(missing_ok=True)
    return rows


def kinds_of(key, task):
    """The classes of labelled anomalies, by the rule `kinds` of a cell's key: a list, or None for all others.

    "every other": the first, third, fifth ... after the normal class, in a circle; fixed before anything was measured.
    """
    rule = key.get("kinds", "")
    if rule not in KINDS:
        raise RunError(f"unknown kinds {rule!r}: choose from {', '.join(KINDS)}.")
    count = len(task.class_names)
    return [(key["normal_class"] + step) % count for step in range(1, count, 2)] if rule else None


KINDS = ("", "every other")


def _rows_by_kind(key, model, task, scores, seconds, command):
    """Rows for the kinds that a detector was told of and for those that it was not, where it was told of some."""
    told = kinds_of(key, task)
    if told is None:
        return []
    known, truth = torch.isin(task.test_classes, torch.tensor(told)).numpy(), task.test_labels.numpy()
    rows = []
    for name, part in zip(BY_KIND, (known, ~known), strict=True):
        part = part | (truth == 0)
        own = Scores(**{n: None if v is None else v[part] for n, v in vars(scores).items()})
        rows += [
            {**row, "evaluation": name} for row in rows_of(key, model, truth[part], own, *seconds, command)
        ]
    return rows


#: Evaluations of a detector that was told of some kinds of anomalies: honest ones, each on a part of the test set.
BY_KIND = ("known kinds", "unknown kinds")


def _scores(model, task):
    return model.anomaly_scores(task.test)


def sorted_batches(model, task, batch_size=64):
    """Scores with the statistics of each batch, over a test set sorted by class: the flaw of GANomaly's code family."""
    order = task.test_classes.argsort(stable=True)
    back = order.argsort()
    with batch_statistics(model):
        scores = model.anomaly_scores(task.test[order], batch_size)
    return Scores(**{n: None if v is None else v[back.numpy()] for n, v in vars(scores).items()})


#: Evaluations that no honest table may use, by the name in their rows: (how images are scored, of the best step?).
FLAWED = {
    "batch statistics": (sorted_batches, False),
    "best step": (_scores, True),
    "batch statistics, best step": (sorted_batches, True),
}


class Watch:
    """Scores of the step at which the AUROC on the TEST set was best: a flaw, measured to show how it flatters."""

    EVERY = 200  # steps between two looks

    def __init__(self, score, model, task):
        self.score, self.model, self.task, self.reached, self.best = score, model, task, -1.0, None

    def __call__(self, step):
        if (step.number + 1) % self.EVERY == 0:
            self.model.parts_.eval()
            self.look()
            self.model.parts_.train()

    def look(self):
        scores = self.score(self.model, self.task)
        reached = auroc(self.task.test_labels.numpy(), scores.final)
        if reached > self.reached:
            self.reached, self.best = reached, scores


def _watches(flaws, model, task):
    """A watch for each flaw that takes the best step, by name."""
    unknown = set(flaws) - set(FLAWED)
    if unknown:
        raise RunError(f"unknown flaw {min(unknown)!r}: choose from {', '.join(FLAWED)}.")
    return {name: Watch(FLAWED[name][0], model, task) for name in flaws if FLAWED[name][1]}
