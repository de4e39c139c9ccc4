"""The settings of the committed tables: chosen on development splits (training files alone), then frozen."""

from ..detectors import STAGES, create
from ..errors import RunError

#: What differs from the detectors' defaults, the same for all classes of a data set and all stages of the ablation.
GREY = {}
COLOUR = {"network": "pooled", "latent_dim": 128, "batch_size": 32, "steps": 1200, "w_critic": 5.0}
SETTINGS = {"mnist": GREY, "fashion_mnist": GREY, "cifar10": COLOUR}
BASELINES = ("pca", "knn", "isolation_forest", "ocsvm", "kde")
ABLATION = ("autoencoder", *STAGES, "dualad")
SMOKE = {"width": 4, "latent_dim": 8, "batch_size": 16, "steps": 4}
PROFILES = ("smoke", "lesson", "paper")
#: Data sets of a profile's grid.
DATASETS = {"paper": tuple(SETTINGS), "smoke": ("digits",)}


def table_settings(dataset, detector):
    """Parameters of a detector in the tables of a data set: a dict for `create` or `measure`; {}: its defaults."""
    if detector not in ABLATION:
        return {}
    known = create(detector).get_params()
    return {name: value for name, value in SETTINGS.get(dataset, {}).items() if name in known}


def profile_settings(profile, dataset, detector):
    """`table_settings`; of the profile "smoke" a network and a training that take a second. Raises RunError."""
    check_profile(profile)
    if profile == "smoke":
        return dict(SMOKE) if detector in ABLATION else {}
    return table_settings(dataset, detector)


def check_profile(profile):
    """Raise RunError, naming the choices, for what is no profile."""
    if profile not in PROFILES:
        raise RunError(f"unknown profile {profile!r}: choose from {', '.join(PROFILES)}.")
