"""Every detector by its name. A new one is a file, which ends in its System, and a line here."""

import warnings

from ..errors import DataError
from . import (
    adegan,
    agad,
    autoencoder,
    baselines,
    dualad,
    feature_adegan,
    feature_agad,
    feature_dualad,
    feature_lrgdan,
    feature_neighbours,
    lrgdan,
    padim,
    patchcore,
    published,
    rebuilt_adegan,
    rebuilt_agad,
    rebuilt_lrgdan,
)

#: Name on the command line and in results files -> System.
SYSTEMS = {
    system.name: system
    for system in (
        *baselines.SYSTEMS,
        autoencoder.SYSTEM,
        dualad.SYSTEM,
        published.SYSTEM,
        feature_dualad.SYSTEM,
        feature_neighbours.SYSTEM,
        patchcore.SYSTEM,
        padim.SYSTEM,
        lrgdan.SYSTEM,
        rebuilt_lrgdan.SYSTEM,
        feature_lrgdan.SYSTEM,
        agad.SYSTEM,
        rebuilt_agad.SYSTEM,
        feature_agad.SYSTEM,
        adegan.SYSTEM,
        rebuilt_adegan.SYSTEM,
        feature_adegan.SYSTEM,
    )
}

#: The ablation's stages between the autoencoder and the full DualAD: detectors with some parts switched off.
STAGES = {
    "dualad_d": {"feature_constraint": False, "mutual_information": False},
    "dualad_d_fc": {"mutual_information": False},
}


#: For one release: parameters that were called otherwise.
OLD_PARAMETERS = {"n_neighbours": "n_neighbors", "neighbors": "n_neighbors"}


def create(name, **parameters):
    """An unfitted detector by its name in SYSTEMS or STAGES; parameters: what differs from its defaults."""
    for old in OLD_PARAMETERS.keys() & parameters.keys():
        now = OLD_PARAMETERS[old]
        warnings.warn(f"the parameter {old} is now called {now}.", FutureWarning, stacklevel=2)
        parameters[now] = parameters.pop(old)
    if name in STAGES:
        return dualad.DualAD(**{**STAGES[name], **parameters})
    if name not in SYSTEMS:
        raise DataError(f"unknown detector {name!r}: choose from {', '.join([*SYSTEMS, *STAGES])}.")
    return SYSTEMS[name].kind(**parameters)
