"""The settings of the committed tables: chosen on development splits (training files alone), then frozen."""

from ..detectors import STAGES
from ..errors import RunError

#: What differs from the detectors' defaults, the same for all classes of a data set and all stages of the ablation.
GREY = {}
COLOUR = {"width": 32, "latent_dim": 128, "batch_size": 64, "steps": 300}
SETTINGS = {"mnist": GREY, "fashion_mnist": GREY, "cifar10": COLOUR}
BASELINES = ("pca", "knn", "isolation_forest", "ocsvm", "kde")
ABLATION = ("autoencoder", *STAGES, "dualad")
SMOKE = {"width": 4, "latent_dim": 8, "batch_size": 16, "steps": 4}
#: Data sets of a profile's grid.
DATASETS = {"paper": tuple(SETTINGS), "smoke": ("digits",)}


def table_settings(dataset, detector):
    """Parameters of a detector in the tables of a data set: a dict for `create` or `measure`; {}: its defaults."""
    return dict(SETTINGS.get(dataset, {})) if detector in ABLATION else {}


def profile_settings(profile, dataset, detector):
    """`table_settings` of the profile "paper"; of "smoke" a network and a training that take a second."""
    if profile == "smoke":
        return dict(SMOKE) if detector in ABLATION else {}
    return table_settings(dataset, detector)


def study(name, datasets=None, classes=None, seeds=1, profile="paper"):
    """Cells of a study beside the main tables, as dicts for `measure`; raises RunError for an unknown name.

    Each dict holds detector, dataset, normal_class, seed, profile, and what else `measure` takes. datasets, classes:
    default, those of the study.
    """
    if name not in STUDIES:
        raise RunError(f"unknown study {name!r}: choose from {', '.join(STUDIES)}.")
    cells = []
    for options in STUDIES[name]():
        of_cell = options.pop("classes", range(10))
        if datasets is not None and options["dataset"] not in datasets:
            continue
        if profile == "smoke":
            options = {**options, "dataset": "digits", "params": {**options.get("params", {}), **TINY}}
        for seed in range(seeds):
            for k in of_cell if classes is None else classes:
                cells.append({**options, "normal_class": k, "seed": seed, "profile": profile})
    return cells


def _lrgdan():
    """LR-GDAN: protocols 1 and 2 on three sets, and the four rows of its table 1."""
    off = {"image_discriminator": False, "dual": False, "mutual_information": False}
    rows = {
        "AE": off,
        "AE+D": {**off, "image_discriminator": True},
        "dual AE+D": {"mutual_information": False},
    }
    for dataset in ("mnist", "fashion_mnist"):
        for protocol in ("p1", "p2"):
            yield {"detector": "lrgdan", "dataset": dataset, "protocol": protocol}
    yield {"detector": "lrgdan", "dataset": "coil100", "protocol": "p1", "classes": range(0, 100, 5)}
    for setting, params in rows.items():
        yield {
            "detector": "lrgdan",
            "dataset": "mnist",
            "protocol": "p2",
            "setting": setting,
            "params": params,
        }
    for setting, params in {"literal": {"literal": True}, "not augmented": {"augmented": False}}.items():
        yield {
            "detector": "lrgdan",
            "dataset": "mnist",
            "protocol": "p2",
            "setting": setting,
            "params": params,
        }


def _agad():
    """AGAD: honest and flawed evaluation side by side, at every share of labelled anomalies."""
    flaws = ("batch statistics", "best step")
    for dataset in ("fashion_mnist", "cifar10"):
        for share in (0, 0.01, 0.03, 0.05, 0.1, 0.2):
            setting = f"labelled={share:g}" if share else ""
            yield {
                "detector": "agad",
                "dataset": dataset,
                "labelled": share,
                "setting": setting,
                "flaws": flaws,
            }


def _adegan():
    """ADe-GAN: one class left out, the sweep of the number of patterns, and the neighbour that it has to beat."""
    for dataset in ("mnist", "fashion_mnist"):
        yield {"detector": "adegan", "dataset": dataset, "protocol": "loo"}
        yield {
            "detector": "knn",
            "dataset": dataset,
            "protocol": "loo",
            "setting": "k=5",
            "params": {"n_neighbours": 5},
        }
        yield {"detector": "pca", "dataset": dataset, "protocol": "loo"}
    for patterns in (2, 4, 6, 8, 12, 14):
        setting, params = f"patterns={patterns}", {"patterns": patterns}
        yield {
            "detector": "adegan",
            "dataset": "mnist",
            "protocol": "loo",
            "setting": setting,
            "params": params,
        }


#: Name -> its cells; results go to figures/results/NAME_DATASET.csv.
STUDIES = {"07_lrgdan": _lrgdan, "08_agad": _agad, "09_adegan": _adegan}
TINY = {"width": 4, "steps": 4, "batch_size": 16}
