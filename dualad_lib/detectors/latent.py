"""Latent scores: what is learned of the codes, or of the features, of normal images, and distances from it.

Each scorer has `names`, the names of its raw scores, and `state()`, the tensors that a file keeps.
"""

import torch
from torch.nn.functional import normalize

from ..neighbours import Bank
from ..scoring import Gaussian, LowRank, centre_distance, precise

LOW_RANK = ("mean", "components", "variances", "noise_variance")


class CodeDistance:
    """How far a code lies from those of the training images. codes: (N, d)."""

    names = ("latent",)

    def __init__(self, codes):
        self.codes = codes
        self.gaussian = Gaussian.fit(codes)
        self.bank = Bank(self.gaussian.whiten(codes))

    def __call__(self, z, kind="nearest"):
        """Distances (n,) of codes (n, d): to the "nearest" whitened code, "mahalanobis", or to the mean ("centre")."""
        if kind == "nearest":
            return precise(self.bank.nearest(self.gaussian.whiten(z))[0][:, 0])
        if kind == "mahalanobis":
            return self.gaussian.mahalanobis(z)
        return centre_distance(precise(z), self.gaussian.mean)

    def state(self):
        return {"codes": self.codes}


class CopyGaussian:
    """Distances of copies T_t x from those of the training images under the same T_t: "mahalanobis" and "neighbours".

    spaces: a LowRank for each t, fitted on its features; banks: for each its whitened features (N, r).
    """

    names = ("mahalanobis", "neighbours")

    def __init__(self, spaces, banks):
        self.spaces, self.banks = list(spaces), [Bank(bank) for bank in banks]

    @classmethod
    def fit(cls, features):
        """features: for each t those of the training images, (N, F)."""
        spaces = [LowRank.fit(h) for h in features]
        return cls(spaces, [s.whiten(s.project(h)[0]) for s, h in zip(spaces, features, strict=True)])

    def __call__(self, number, h):
        """Squared Mahalanobis distance (n,), and distance to the nearest neighbour (n,), of copies under symmetry
        `number`; h: their features (n, F)."""
        space = self.spaces[number]
        along, left = space.project(h)
        nearest, _ = self.banks[number].nearest(space.whiten(along))
        return {"mahalanobis": space.mahalanobis(along, left), "neighbours": precise(nearest[:, 0])}

    def state(self):
        fields = {name: torch.stack([getattr(space, name) for space in self.spaces]) for name in LOW_RANK}
        return {"bank": torch.stack([bank.vectors for bank in self.banks]), **fields}

    @classmethod
    def restore(cls, state):
        rows = zip(*(state[name] for name in LOW_RANK), strict=True)
        return cls([LowRank(*row) for row in rows], state["bank"])


class CopyCosine:
    """Cosine distance of copies T_t x to the nearest of the training images' copies under the same T_t: "neighbours".

    banks: for each t features of length 1, (N, F). Not whitened: with features that forget size, place and colour,
    directions of small variance say more about a picture's texture than about what it shows.
    """

    names = ("neighbours",)

    def __init__(self, banks):
        self.banks = [Bank(bank) for bank in banks]

    @classmethod
    def fit(cls, features):
        return cls([normalize(h, dim=1) for h in features])

    def __call__(self, number, h):
        """1 - cosine (n,) of features (n, F) of copies under symmetry `number` to the nearest of its bank."""
        nearest, _ = self.banks[number].nearest(normalize(h, dim=1))
        return {"neighbours": precise(nearest[:, 0]).square() / 2}

    def state(self):
        return {"bank": torch.stack([bank.vectors for bank in self.banks])}

    @classmethod
    def restore(cls, state):
        return cls(state["bank"])
