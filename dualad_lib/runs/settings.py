"""The settings of the committed tables: chosen on development splits (training files alone), then frozen."""

from ..detectors import STAGES

#: What differs from the detectors' defaults, the same for all classes of a data set and all stages of the ablation.
GREY = {}
COLOUR = {"width": 32, "latent_dim": 128, "batch_size": 64, "steps": 300}
SETTINGS = {"mnist": GREY, "fashion_mnist": GREY, "cifar10": COLOUR}
ABLATION = ("autoencoder", *STAGES, "dualad")


def table_settings(dataset, detector):
    """Parameters of a detector in the tables of a data set: a dict for `create` or `measure`; {}: its defaults."""
    return dict(SETTINGS.get(dataset, {})) if detector in ABLATION else {}
