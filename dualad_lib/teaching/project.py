"""The project: each student builds a detector for a class of their own. What the task is, and how it is judged."""

import hashlib
import time

import numpy as np
import torch

from ..data import load_one_class
from ..detectors import create
from ..evaluation import auroc
from .checks import CheckFailed

DATASETS = ("fashion_mnist_sample", "digits")
TRAIN, TEST = 400, 300  # images that the checks use, so that they take seconds
SECONDS = 20  # that one training may take; `dualad course grade` stops a cell after 30
MARGIN = 0.01  # AUROC by which a detector may stay behind PCA


def task_of(student_id):
    """(dataset, normal_class) of a student: the same for the same id, spread over all. student_id: a text."""
    digest = hashlib.blake2b(str(student_id).strip().lower().encode(), digest_size=4).digest()
    number = int.from_bytes(digest, "big")
    return DATASETS[number % 2], number // 2 % 10


def check_detector(build, student_id):
    """Does build(train) give a detector that keeps the contract? Judged on training files alone.

    build: function of uint8 images (N, 1, H, W), all normal, that returns score, a function of images (M, 1, H, W)
    that returns (M,) numbers, higher = more anomalous. Returns False while the stub is open; raises CheckFailed with
    what is not kept.
    """
    if student_id is None:
        print("not done yet: write your student id, as a text")
        return False
    train, test, labels = _images(student_id, "development", seed=0)
    before = train.clone()
    start = time.perf_counter()
    try:
        score = build(train)
    except NotImplementedError:
        print("not done yet: replace `raise NotImplementedError` by your code, then run both cells again")
        return False
    seconds = time.perf_counter() - start
    if seconds > SECONDS:
        raise CheckFailed(f"Training took {seconds:.0f} s; {SECONDS} are allowed. Train fewer steps.")
    if not torch.equal(train, before):
        raise CheckFailed("build changed the images it was given. Work on a copy.")
    if not callable(score):
        raise CheckFailed("build must return a function that scores images, without calling it.")
    values = _scores(score, test)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    if not np.allclose(_scores(score, test[order]), values[order], rtol=1e-3, atol=1e-5):
        raise CheckFailed(
            "A score depends on the order of the images: it looks at its neighbours. Is batch norm in training mode?"
        )
    if not np.allclose(_scores(score, test[:1]), values[:1], rtol=1e-3, atol=1e-5):
        raise CheckFailed(
            "A score depends on which other images are scored with it. Scale with numbers from the training images."
        )
    reached = auroc(labels, values)
    if reached < 0.4:
        raise CheckFailed(f"AUROC {reached:.2f} on the development split: higher must mean MORE anomalous.")
    if reached < 0.6:
        raise CheckFailed(f"AUROC {reached:.2f} on the development split: hardly better than a coin.")
    print(f"passed: a detector that keeps its contract, AUROC {reached:.3f} on the development split")
    return True


def check_quality(build, student_id, secret=""):
    """Is it as good as PCA on test images that nobody has chosen on? secret: draws them, with the student's id."""
    if student_id is None:
        return False
    seed = int.from_bytes(hashlib.blake2b(f"{secret}/{student_id}".encode(), digest_size=4).digest(), "big")
    train, test, labels = _images(student_id, "test", seed)
    reached = auroc(
        labels, _scores(build(train.clone()), test.clone())
    )  # the bar is measured on the same images
    bar = auroc(labels, create("pca").fit(train).anomaly_scores(test).final) - MARGIN
    if reached < bar:
        raise CheckFailed(
            f"AUROC {reached:.3f} on the test images; the bar is {bar:.3f}, what PCA reaches there less {MARGIN:g}."
        )
    print(f"passed: AUROC {reached:.3f} on the test images, the bar was {bar:.3f}")
    return True


def _images(student_id, split, seed):
    """(training images, test images, their labels): draws of the student's task."""
    dataset, normal_class = task_of(student_id)
    task = load_one_class(dataset, normal_class, split=split)
    random = np.random.default_rng(seed)
    train = random.permutation(len(task.train))[:TRAIN]
    labels = task.test_labels.numpy()
    halves = [random.permutation(np.flatnonzero(labels == kind))[: TEST // 2] for kind in (0, 1)]
    test = np.concatenate(halves)
    return task.train[train], task.test[test], labels[test]


def _scores(score, images):
    values = np.asarray(torch.as_tensor(score(images)).detach().cpu(), float)
    if values.shape != (len(images),) or not np.isfinite(values).all():
        raise CheckFailed(
            f"score must return one finite number an image, shape ({len(images)},); it gave {values.shape}"
            + ("." if np.isfinite(values).all() else " with NaN or infinity.")
        )
    return values
