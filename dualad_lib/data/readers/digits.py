"""Scikit-learn's digits (Alpaydin & Kaynak, 1998), which come with the library."""

from functools import lru_cache

import numpy as np

from ..task import as_part, fifth_of_each_class


@lru_cache(maxsize=2)
def read(part, root=None, download=True):
    """Scikit-learn's 1797 digits, 0..16 brought to 0..255, a fixed fifth of each class as test part.
    root, download: as every reader takes them; here nothing is looked for."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    test = fifth_of_each_class(digits.target, seed=0)
    chosen = test if part == "test" else ~test
    return as_part(images[chosen], digits.target[chosen])
