"""Images that are not independent of one another: copies of one picture, and views of one part."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch.nn.functional import adaptive_avg_pool2d

ALIKE = 0.2  # two images are one picture where their distance is below this share of that of two images of the folder
GRID = 16  # pictures are first compared as so many averages a side,
COMPONENTS = 16  # and of these in their first principal components

#: What may name the part in a file's name, tried in turn: all before the last separator, all before the number or the
#: letter at the end, all after the first separator.
PATTERNS = (r"(.+)[_ /-]", r"(.*[^\d_ /-])\d+\.\w+$", r"(.*\d)[A-Za-z]\.\w+$", r"^[^_ /-]+[_ /-](.+)\.\w+$")
VIEW = re.compile(
    r"view|cam|angle|pose|shot|side|light|exp|rot|left|right|top|bottom|front|back|deg", re.IGNORECASE
)
PART = re.compile(
    r"(part|piece|obj|object|item|sample|specimen|unit|serial|sn)[ _-]?\w{1,12}$", re.IGNORECASE
)
LEAST_PARTS, MOST_VIEWS = 5, 100
RUN, LINKED = 0.5, 0.2
COMPLETE = (
    0.8  # of all pairs of a part and a view, how many must be there before the names say that they are such
)
NEAR, NEARER = (
    0.6,
    0.9,
)  # by this factor views of one part are nearer to each other than images of two: clearly, maybe


def first_copies(images):
    """For each image the index of the first one that shows the same picture, its own where it is the first. (N,).

    images: uint8 (N, C, H, W). The same are equal pixels, and pixels that differ as little as saving once more as
    JPEG makes them: far less (ALIKE) than two images of these are apart in the 0.05-quantile.
    """
    first = equal_copies(images)
    own = np.flatnonzero(first == np.arange(len(first)))  # one of each set of equal ones
    if len(own) < 3:
        return first
    vectors = grey_grid(images)[own]
    near, far = ALIKE * _apart(vectors), ALIKE * _apart(images, own)
    projected = _principal(vectors)  # a projection lies no further apart than what it is of
    tree, reach = cKDTree(projected), near * np.sqrt(vectors.shape[1])
    leader = np.arange(len(own))
    for i in range(len(own)):
        if leader[i] == i:
            found = np.array(tree.query_ball_point(projected[i], reach))
            found = found[(found > i) & (leader[found] == found)]
            found = found[np.sqrt(np.square(vectors[found] - vectors[i]).mean(1)) < near]
            same = [j for j in found if _distance(images[own[i]], images[own[j]]) < far]
            leader[same] = i
    leaders = dict(zip(own.tolist(), own[leader].tolist(), strict=True))
    return np.array([leaders[i] for i in first.tolist()])


def equal_copies(images):
    """For each image the index of the first one with equal pixels, its own where it is the first. (N,)."""
    seen = {}
    digests = (hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).digest() for image in images)
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)])


def grey_grid(images):
    """Each image as GRID x GRID averages of its grey values, float32 (N, GRID * GRID)."""
    parts = [adaptive_avg_pool2d(batch.float().mean(1), GRID).flatten(1) for batch in images.split(256)]
    return torch.cat(parts).numpy()


def _distance(a, b):
    """Root of the mean squared difference of two arrays."""
    return float(np.sqrt(np.mean(np.square(np.asarray(a, np.float32) - np.asarray(b, np.float32)))))


def _apart(images, chosen=None, pairs=1000, quantile=0.05):
    """How far apart two of these are at least, copies aside: the quantile over pairs drawn at random."""
    chosen = np.arange(len(images)) if chosen is None else chosen
    draw = np.random.default_rng(0).choice(chosen, size=(pairs, 2))
    return float(np.quantile([_distance(images[i], images[j]) for i, j in draw if i != j], quantile))


def _principal(vectors):
    centred = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return centred @ axes[:, -COMPONENTS:]


def runs_of(images):
    """Number the runs of images that are much alike, as the views of one part are that stand after each other. (N,).

    A run goes on while the next image is nearer (RUN) than two images of these are apart in the 0.05-quantile. None
    where less than a fifth of the images stand in a run with others: then there is nothing to it.
    """
    vectors = grey_grid(images)
    if len(vectors) < 3:
        return None
    steps = np.sqrt(np.square(np.diff(vectors, axis=0)).mean(1))
    numbers = np.cumsum(np.r_[0, steps >= RUN * _apart(vectors)])
    sizes = np.bincount(numbers)[numbers]
    return numbers if np.mean(sizes > 1) >= LINKED else None


@dataclass(frozen=True)
class Parts:
    """What file names say of parts: the expression that finds the part's name, the parts (N,), how many views each
    has, and whether it is sure enough to go by."""

    by: str
    parts: list
    views: int
    clear: bool


def parts_in(names, images):
    """The Parts that file names (N,) tell of, or None. images: uint8 (N, C, H, W), of these files.

    Names tell of parts where nearly every part has nearly every view, as in part07_view1 ... part07_view8. It is clear
    where a part or a view is called one (part, object; view, camera, angle, ...), or where views of a part are much
    alike; where they are no more alike than others it is nothing.
    """
    for by in PATTERNS:
        found = [re.search(by, name) for name in names]
        if not all(found):
            continue
        parts = [match[1] for match in found]
        views = [match.string[: match.start(1)] + "*" + match.string[match.end(1) :] for match in found]
        sorts, kinds = len(set(parts)), len(set(views))
        complete = len(names) >= COMPLETE * sorts * kinds
        if sorts < LEAST_PARTS or not 2 <= kinds <= MOST_VIEWS or not complete:
            continue
        if _are_named(parts, views):
            return Parts(by, parts, kinds, True)
        factor = _nearness(grey_grid(images), parts)
        if factor < NEARER and (factor < NEAR or by != PATTERNS[-1]):
            return Parts(by, parts, kinds, factor < NEAR)
    return None


def _are_named(parts, views):
    """Is each part called one, or each view?"""
    end = re.compile(f"({VIEW.pattern})$", re.IGNORECASE)
    return (
        all(VIEW.search(view) for view in views)
        or all(PART.search(part) for part in parts)
        or all(end.search(part) for part in parts)
    )


def _nearness(vectors, parts):
    """How far two images of one part are apart, as a factor of how far two of different parts are: medians."""
    rng, parts = np.random.default_rng(0), np.array(parts)
    within, between = [], []
    for i in rng.permutation(len(parts))[:500]:
        for same, distances in ((True, within), (False, between)):
            others = np.flatnonzero((parts == parts[i]) == same)
            others = others[others != i]
            if len(others):
                distances.append(_distance(vectors[i], vectors[rng.choice(others)]))
    return float(np.median(within) / max(np.median(between), 1e-9))
