"""Which normal images are held back to set the threshold: copies, and views of a part, stay on one side."""

import re

import numpy as np
import torch

from ..data.copies import equal_copies, first_copies, parts_in, runs_of
from ..data.folders import listed
from ..data.inspection import split_by_part
from ..errors import DataError
from ..files import shown

LONGEST_RUN = 0.2  # share of the images in one run from which on it is a recording and not a part


def sides(images, names, by, seed, say):
    """(images to learn from, images to hold back, the latter in words): copies and views of a part on one side.

    Where there are neither, nothing is held back here: `fit` does it.
    """
    parts = _parts_by(names, by) if by is not None else _parts_named(names, images, say)
    first = first_copies(images) if parts is None else equal_copies(images)
    _tell_copies(names, first, say)
    numbers = np.arange(len(first))
    common = _common(parts, first, say) if parts is not None else np.zeros(len(first), bool)
    own = np.flatnonzero((first == numbers) & ~common)  # each picture once
    groups = (
        _joined(parts, np.where(common, numbers, first))[own]
        if parts is not None
        else _runs(images[own], say)
    )
    if groups is None and len(own) == len(first):
        return images, None, ""
    if len(own) < 2:
        what = "pictures that stand in more than two parts" if common.any() else "copies of one picture"
        raise DataError(f"all {len(first)} normal images are {what}: there is nothing to hold back.")
    learn, hold = _divide(np.arange(len(own)) if groups is None else groups, seed, by)
    words = f" (all of {len(np.unique(groups[hold]))} parts)" if groups is not None else ""
    return images[np.flatnonzero(np.isin(first, own[learn]) | common)], images[own[hold]], words


def _tell_copies(names, first, say):
    pairs = [f"{shown(names[i])} = {shown(names[j])}" for i, j in enumerate(first) if i != j]
    if pairs:
        say(
            f"{len(pairs)} of {len(first)} images are copies of others; they stay on one side of the hold-back and set "
            f"the threshold once: {listed(pairs)}."
        )


def without_copies(images, held, names, held_names, say):
    """The calibration images (M, C, H, W) that are no copies of normal images or of one another."""
    first = first_copies(torch.cat([images, held]))[len(images) :]
    own = first == np.arange(len(held)) + len(images)
    if not own.any():
        raise DataError("all calibration images are copies of normal images: give others, or leave them out.")
    if not own.all():
        names = [*names, *held_names]
        pairs = [f"{shown(held_names[i])} = {shown(names[first[i]])}" for i in np.flatnonzero(~own)]
        say(
            f"left out of {len(held)} calibration images, {len(pairs)} copies of normal images or of one another: "
            f"{listed(pairs)}."
        )
    return held[np.flatnonzero(own)]


def _parts_named(names, images, say):
    """The part of each image (N,), where file names tell clearly of parts; None where they don't."""
    found = parts_in(names, images)
    if found is None:
        return None
    what = f"{len(set(found.parts))} parts of up to {found.views} views each"
    if found.clear:
        say(f"file names tell of {what}: each part is held back as a whole, as by --by '{found.by}'.")
        return found.parts
    say(f"file names may tell of {what}: if so, fit again with --by '{found.by}'.")
    return None


def _runs(images, say):
    """The run (N,) that each image stands in, where many of them are like the one before; None where they aren't."""
    runs = runs_of(images)
    if runs is None:
        return None
    largest = np.bincount(runs).max()
    alike = "images that follow each other are alike"
    if largest > LONGEST_RUN * len(images):
        say(
            f"{alike}, up to {largest} of them, as in a recording: more false alarms may come than promised. Give "
            "images of another recording with --calibration, or name the parts with --by REGEX."
        )
        return None
    say(
        f"{alike}, as views of one part are: {runs.max() + 1} runs of them are held back as wholes (or use --by)."
    )
    return runs


def part_pattern(by):
    try:
        return re.compile(by)
    except re.error as error:
        raise DataError(f"{by!r} is no regular expression: {error}.") from error


def _parts_by(names, by):
    """The part that the expression finds in each name (N,)."""
    found = [by.search(name) for name in names]
    parts = [match and (match[1] if by.groups else match[0]) for match in found]
    if not all(parts):
        unnamed = next(name for name, part in zip(names, parts, strict=True) if not part)
        raise DataError(f"{by.pattern!r} finds no part in the name {shown(unnamed)}.")
    return parts


def _common(parts, first, say):
    """Which images (N,) are one picture in more than two parts: a dark frame, a lens cap. They say nothing of a part.

    They are learned from and set no threshold; to join their parts by them would make one part of nearly all.
    """
    pairs = np.unique(np.stack([first, np.unique(parts, return_inverse=True)[1]]), axis=1)
    pictures, count = np.unique(pairs[0], return_counts=True)
    common = np.isin(first, pictures[count > 2])
    if common.any():
        say(
            f"{common.sum()} images are pictures that stand in more than two parts: they are learned from, and set no "
            "threshold. Dark frames? Then leave them out."
        )
    return common


def _joined(parts, first):
    """Number the parts (N,), those that hold copies of one picture as one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    kinds, numbers = np.unique(parts, return_inverse=True)
    edges = coo_array((np.ones(len(first)), (numbers, numbers[first])), shape=(len(kinds), len(kinds)))
    return connected_components(edges, directed=False)[1][numbers]


def _divide(groups, seed, by):
    """(indices to learn from, indices to hold back) of images whose groups (N,) stay together; a tenth or one group."""
    sizes = np.unique(groups, return_counts=True)[1]
    share = 0.1 if by is not None else min(0.5, max(0.1, sizes.max() / len(groups)))
    if len(sizes) < 2:
        raise DataError(
            f"{by.pattern if by else 'the grouping'!r} finds too few parts ({len(sizes)}) to hold a tenth back: "
            "give others as calibration."
        )
    learn, hold = split_by_part(groups, (1 - share, share), seed)
    if len(hold) > len(learn):  # one part holds most images
        learn, hold = hold, learn
    return learn.numpy(), hold.numpy()
