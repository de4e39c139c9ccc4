"""The studies beside the main tables, each the cells of figures/results/NAME_DATASET.csv.

Settings were chosen on development splits (training files alone), the same for all classes, then frozen. A sweep that
two cores cannot afford on all classes runs on SOME of them; the headline rows use all classes and the full data.
"""

import warnings

from ..detectors import SYSTEMS
from ..errors import RunError
from .grid import Cell
from .results import OLD_NAMES
from .settings import ABLATION, BASELINES, SMOKE, check_profile, table_settings

SOME = (0, 4, 8)  # classes of sweeps, evenly spaced and fixed before any was measured
VIEWS = range(0, 100, 10)  # objects of COIL-100
STAND_INS = {"ball_screws": "ball_screws_sample"}  # of the profile "smoke"; of all other sets it is digits


def study(name, datasets=None, methods=None, settings=None, classes=None, seeds=1, profile="paper"):
    """Cells of a study, of chosen data sets, methods, settings ("": a method's own) and classes. Raises RunError."""
    if OLD_NAMES.get(name) in STUDIES:
        warnings.warn(f"the study {name} is now called {OLD_NAMES[name]}.", FutureWarning, stacklevel=2)
        name = OLD_NAMES[name]
    if name not in STUDIES:
        raise RunError(f"unknown study {name!r}: choose from {', '.join(STUDIES)}.")
    check_profile(profile)
    cells, module, offered = [], MEASURED_BY.get(name, Cell.module), list(STUDIES[name]())
    _check_asked(name, offered, datasets, methods, settings, classes, profile)
    for dataset, detector, of_cell, options in offered:
        small = STAND_INS.get(dataset, "digits")  # of the profile smoke, and its commands say so
        own = {dataset, small} if profile == "smoke" else {dataset}
        if datasets is not None and not own & set(datasets):
            continue
        if methods is not None and detector not in methods:
            continue
        if settings is not None and options.get("setting", "") not in settings:
            continue
        if profile == "smoke":
            params = {**options.get("params", {}), **(SMOKE if detector in ABLATION else _small(detector))}
            if "side" in params or (name in ("features", "photographs") and detector != "pca"):
                params["side"] = 64
            dataset, of_cell, options = (
                small,
                [k for k in of_cell if k < 10] or [0],
                {**options, "params": params, **({"splits": 2} if "splits" in options else {})},
            )
        for seed in range(seeds):
            chosen = of_cell if classes is None else [k for k in classes if k in of_cell]
            cells += [Cell(dataset, detector, k, seed, profile, name, options, module) for k in chosen]
    if not cells:
        raise RunError(f"no cell of {name} has the data sets, methods, settings and classes asked for.")
    return cells


def _check_asked(name, offered, datasets, methods, settings, classes, profile):
    """Raise RunError for what is asked of a study and is not in it: a slip would be measured without it."""
    small = {STAND_INS.get(dataset, "digits") for dataset, *_ in offered} if profile == "smoke" else set()
    known = {
        "data set": (datasets, {dataset for dataset, *_ in offered} | small),
        "method": (methods, {detector for _, detector, *_ in offered}),
        "setting": (settings, {options.get("setting", "") for *_, options in offered}),
        "class": (classes, {k for _, _, of_cell, _ in offered for k in of_cell} | ({0} if small else set())),
    }
    for what, (asked, there) in known.items():
        for one in asked or ():
            if one not in there:
                raise RunError(f"{name} has no {what} {one!r}; it has {', '.join(map(repr, sorted(there)))}.")


def _small(detector):
    """What makes a training take a second: of the detector's small settings the widths and batches, and four steps."""
    small = SYSTEMS[detector].small if detector in SYSTEMS else {}
    found = {name: small[name] for name in ("width", "batch_size") if name in small}
    return {**found, "steps": 4} if "steps" in small else found


def _feature_constraint():
    """The Feature Constraint taken apart; the tables have nothing of it (dualad_d) and all of it (dualad_d_fc)."""
    without = {
        "sphere": {"critic": False},
        "copies": {"hypersphere": False, "w_critic": 0.0},
        "copies, critic": {"hypersphere": False},
    }
    for dataset in ("mnist", "fashion_mnist", "cifar10"):
        settings = table_settings(dataset, "dualad_d_fc")
        for setting, params in without.items():
            yield dataset, "dualad_d_fc", SOME, {"setting": setting, "params": {**settings, **params}}


def _network():
    """The stages of the tables on the other network, with the critic's weight that suits it."""
    for detector in ("dualad", "dualad_d_fc", "dualad_d", "autoencoder"):
        params = (
            {"network": "pooled"} if detector == "autoencoder" else {"network": "pooled", "w_critic": 1.0}
        )
        yield "mnist", detector, range(10), {"setting": "pooled", "params": params}


def _pixel_score():
    """The relative error in place of the squared one, with equal weights: is dual then more than latent?

    Without mutual information. The squared error with equal weights stands beside it: which of the two did it?
    """
    for detector in ("dualad_d_fc", "autoencoder"):
        for dataset in ("fashion_mnist", "mnist"):
            for setting, pixel in {"relative, equal weights": "relative", "equal weights": "l2"}.items():
                params = {**table_settings(dataset, detector), "pixel": pixel, "fusion": "equal"}
                yield dataset, detector, range(10), {"setting": setting, "params": params}


def _lrgdan():
    """Rebuilt and as printed: protocol 1; protocol 2, the rows of table 1, readings of what the paper leaves open."""
    off = {"image_discriminator": False, "dual": False, "mutual_information": False}
    rebuilt = {
        "rebuilt": {},
        "rebuilt, G asked": {"asked": "G"},
        "rebuilt, D' asked": {"asked": "D'"},
        "rebuilt, distances asked": {"asked": "distances"},
        "rebuilt, AE": off,
        "rebuilt, AE+D": {**off, "image_discriminator": True},
        "rebuilt, dual AE+D": {"mutual_information": False},
        "rebuilt, no spoils": {"spoils": 0.0},
        "rebuilt, counterfeits": {"counterfeits": True},
    }
    for setting, params in rebuilt.items():
        for dataset in ("mnist", "fashion_mnist"):
            options = {"protocol": "80_20", "setting": setting, "params": params}
            yield dataset, "lrgdan_rebuilt", range(10), options
    yield from _lrgdan_on_features(off)
    long_code = {"latent_dim": 64}
    image = {**long_code, "judged": "image"}
    code = {**off, **long_code, "dual": True, "k": 0.0, "judged": "code"}
    ours = {"": {}, "parts=AE": off, "judged=image": image, "judged=code, no game": code}
    for dataset in ("mnist", "fashion_mnist"):
        for setting, params in ours.items():
            yield dataset, "lrgdan", range(10), {"protocol": "80_20", "setting": setting, "params": params}
    yield "coil100", "lrgdan", VIEWS, {"protocol": "80_20"}
    rows = {
        "full": {},
        "dual AE+D": {"mutual_information": False},
        "AE+D": {**off, "image_discriminator": True},
        "dual AE": {**off, "dual": True},
        "AE": off,
        "AE, long code": {**off, **long_code},
        "full, judged=image": image,
        "full, judged=image, no game": {**image, "k": 0.0},
        "dual AE, judged=code": {**code, "k": 0.4},
        "dual AE, judged=code, no game": code,
        "augmented": {"augmented": True},
        "AE, augmented": {**off, "augmented": True},
        "literal": {"literal": True},
        "no cap": {"cap": None},
        "no warm-up": {"warm_up": 0.0},
        "mean norms": {"w_adv": 5.0, "gamma": 1.0},
    }
    for setting, params in rows.items():
        yield "mnist", "lrgdan", range(10), {"protocol": "one_vs_rest", "setting": setting, "params": params}


def _lrgdan_on_features(off):
    """The rebuilt one on frozen features, its parts, and one autoencoder; neighbours there are a row of `agad`."""
    for setting, params in {
        "rebuilt": {},
        "rebuilt, AE": off,
        "rebuilt, dual AE+D": {"mutual_information": False},
        "rebuilt, AE+D": {**off, "image_discriminator": True},
        "rebuilt, dual AE+information": {"image_discriminator": False},
    }.items():
        yield "cifar10", "lrgdan_features", range(10), {"setting": setting, "params": {"side": 160, **params}}


def _agad():
    """Rebuilt, from pixels and on features, with labels of every other kind; then as printed.

    As printed: honest and flawed evaluation side by side, at every share of labels, in batches apart and mixed, and, in
    batches apart, without the loss that is the paper's own.
    """
    yield from _agad_rebuilt()
    flaws = ("batch statistics", "best step", "batch statistics, best step")
    apart = {"params": {"mixed": False}}
    for dataset in ("fashion_mnist", "cifar10"):
        yield dataset, "agad", range(10), {"setting": "apart", "flaws": flaws, **apart}
        yield dataset, "agad", range(10), {}
        yield (
            dataset,
            "agad",
            SOME,
            {"setting": "no adcon, apart", "params": {"mixed": False, "w_adcon": 0.0}},
        )
        for share in (0.01, 0.03, 0.05, 0.1, 0.2):
            told = {"labelled": share, "setting": f"labelled={share:g}"}
            yield dataset, "agad", SOME, told
            told = {**told, "setting": f"labelled={share:g}, apart", "flaws": flaws[:1], **apart}
            yield dataset, "agad", SOME, told


def _agad_rebuilt():
    """What a reader asks first comes first: without labels, with some, the plain classifier of the same labels."""
    told = {"kinds": "every other", "labelled": 0.05}
    alone = {"redrawn": False, "turned": False, "contrast": False}
    on_features = {"side": 160}
    for dataset in ("cifar10", "fashion_mnist"):
        yield dataset, "agad_rebuilt", range(10), {"setting": "rebuilt", "kinds": "every other"}
        for setting, params in {"rebuilt": {}, "classifier": alone}.items():
            options = {"setting": f"{setting}, labelled=0.05 of every other kind", "params": params, **told}
            yield dataset, "agad_rebuilt", range(10), options
        without = {
            "not redrawn": {"redrawn": False},
            "not turned": {"turned": False},
            "no contrast": {"contrast": False},
            "redrawn alone": {"turned": False, "contrast": False},
        }
        for setting, params in without.items():
            yield dataset, "agad_rebuilt", SOME, {"setting": f"rebuilt, {setting}", "params": params}
    yield "cifar10", "feature_neighbours", range(10), {"setting": "side=160", "params": on_features}
    for setting, params in {
        "rebuilt": {},
        "rebuilt, drawn": {"drawn": True},
        "drawn alone": {"drawn": True, "distances": False},
    }.items():
        options = {"setting": setting, "kinds": "every other", "params": {**on_features, **params}}
        yield "cifar10", "agad_features", range(10), options
    for share in (0.05, 0.01, 0.03, 0.1, 0.2):
        for setting, params in {
            "rebuilt": {},
            "classifier": {"distances": False},
            "rebuilt, drawn": {"drawn": True},
        }.items():
            options = {"kinds": "every other", "labelled": share, "params": {**on_features, **params}}
            options["setting"] = f"{setting}, labelled={share:g} of every other kind"
            yield "cifar10", "agad_features", range(10), options


def _adegan():
    """One class left out: rebuilt and as printed, its parts, the sweep of patterns, and PCA, neighbours, DualAD."""
    left_out, off = {"protocol": "leave_one_class_out"}, {"within": False, "between": False}
    for dataset in ("mnist", "fashion_mnist"):
        yield dataset, "adegan_rebuilt", range(10), {**left_out, "setting": "rebuilt"}
    for setting, params in {
        "rebuilt, drawn from any": {"one_pattern": False},
        "rebuilt, pretext alone": {**off, "w_pattern": 0.0},
        "rebuilt, patterns, no interpolations": off,
        "rebuilt, no between": {"between": False},
    }.items():
        for dataset in ("mnist", "fashion_mnist"):
            options = {**left_out, "setting": setting, "params": params}
            yield dataset, "adegan_rebuilt", range(10), options
    on_features = {"side": 160}
    for setting, params in {
        "rebuilt": {},
        "rebuilt, drawn from any": {"one_pattern": False},
        "rebuilt, pretext alone": {**off, "w_pattern": 0.0},
        "rebuilt, no between": {"between": False},
    }.items():
        options = {**left_out, "setting": setting, "params": {**on_features, **params}}
        yield "cifar10", "adegan_features", range(10), options
    neighbours = {"setting": "k=5, side=160", "params": {**on_features, "n_neighbors": 5}}
    yield "cifar10", "feature_neighbours", range(10), {**left_out, **neighbours}
    for dataset in ("mnist", "fashion_mnist"):
        yield dataset, "pca", range(10), {"protocol": "leave_one_class_out"}
        yield (
            dataset,
            "knn",
            range(10),
            {"protocol": "leave_one_class_out", "setting": "k=5", "params": {"n_neighbors": 5}},
        )
        projected = {"n_neighbors": 5, "n_components": 64}
        yield (
            dataset,
            "knn",
            range(10),
            {"protocol": "leave_one_class_out", "setting": "k=5, PCA-64", "params": projected},
        )
        yield dataset, "adegan", range(10), {"protocol": "leave_one_class_out"}
    yield (
        "mnist",
        "dualad",
        range(10),
        {"protocol": "leave_one_class_out", "params": table_settings("mnist", "dualad")},
    )
    yield (
        "mnist",
        "adegan",
        range(10),
        {"protocol": "leave_one_class_out", "setting": "no penalty", "params": {"r1": 0.0}},
    )
    for patterns in (2, 4, 6, 8, 12, 14):
        options = {
            "protocol": "leave_one_class_out",
            "setting": f"patterns={patterns}",
            "params": {"patterns": patterns},
        }
        yield "mnist", "adegan", range(10), options


def _signs():
    """Stop signs, normal, against the same signs under attack: one trained detector has rows for every attack."""
    simple = ("max_softmax_probability", "feature_squeezing", "roughness")
    classical = ("pca", "knn", "isolation_forest", "ocsvm")
    for detector in (*simple, *classical, "autoencoder", "dualad", "lrgdan"):
        yield "gtsrb", detector, (14,), {"protocol": "one_vs_rest"}
    off = {"image_discriminator": False, "dual": False, "mutual_information": False}
    for parts, params in {
        "AE": off,
        "AE+D": {**off, "image_discriminator": True},
        "dual AE+D": {"mutual_information": False},
    }.items():
        yield (
            "gtsrb",
            "lrgdan",
            (14,),
            {"protocol": "one_vs_rest", "setting": f"parts={parts}", "params": params},
        )


def _tiles():
    """Twenty random splits of a cheap detector, one or two of a trained one; whole, in patches, and careless splits."""
    for detector, splits in {"pca": 20, "knn": 20, "autoencoder": 2, "dualad": 1}.items():
        options = {"splits": splits, "maps": 2}
        again = {"shifts": True, "recalibrate": detector != "dualad"}  # to keep the study short
        yield "magnetic_tiles", detector, (0,), {**options, **again}
        yield "magnetic_tiles", detector, (0,), {**options, "setting": "patches=32", "patch": 32}
    for detector in ("pca", "knn"):
        for split in ("calibrated by image", "image"):
            setting = "split by image" if split == "image" else split
            options = {"splits": 20, "setting": setting, "split": split}
            yield "magnetic_tiles", detector, (0,), options


def _sound():
    """Spoken digits, of speakers who train and of others: the baselines, the autoencoder, DualAD."""
    quick = {"steps": 100, "batch_size": 64}  # 180 or 243 clips train: some thirty times over all of them
    for dataset in ("spoken_digits", "spoken_digits_unheard"):
        for detector in BASELINES:
            yield dataset, detector, range(10), {}
        for detector in ("autoencoder", "dualad"):
            yield dataset, detector, range(10), {"params": quick}


def _features():
    """Whole images of the course's sets through a frozen network: neighbours, and the stages of DualAD on features."""
    backbone = {"features": "efficientnet_lite0", "precision": "auto", "batch_size": 128, "copies": 1}
    off = {"image_discriminator": False, "feature_constraint": False, "mutual_information": False}
    stages = {
        "features": {},
        "features, AE": off,
        "features, AE+D": {**off, "image_discriminator": True},
        "features, AE+D+FC": {"mutual_information": False},
    }
    for dataset in ("cifar10", "mnist", "fashion_mnist"):
        yield dataset, "feature_neighbours", range(10), {}
        for setting, params in stages.items():
            yield dataset, "dualad", range(10), {"setting": setting, "params": {**backbone, **params}}


def _photographs():
    """Real parts: every detector on features, the stages of DualAD there, and what the course had before."""
    off = {"image_discriminator": False, "feature_constraint": False, "mutual_information": False}
    stages = {
        "features": {},
        "features, AE": off,
        "features, AE+D": {**off, "image_discriminator": True},
        "features, AE+D+FC": {"mutual_information": False},
    }
    for dataset, protocol in (
        ("magnetic_tiles", "parts"),
        ("ball_screws", "time"),
        ("ball_screws", "places"),
    ):
        for detector in ("patchcore", "padim", "feature_neighbours", "pca"):
            yield dataset, detector, (0,), {"protocol": protocol, "setting": protocol}
        for setting, params in stages.items():
            options = {"protocol": protocol, "setting": f"{protocol}, {setting}"}
            options["params"] = {"features": "efficientnet_lite0", **params}
            yield dataset, "dualad", (0,), options


#: Name -> its cells, cheap and important ones first.
STUDIES = {
    "feature_constraint": _feature_constraint,
    "network": _network,
    "pixel_score": _pixel_score,
    "lrgdan": _lrgdan,
    "agad": _agad,
    "adegan": _adegan,
    "signs": _signs,
    "tiles": _tiles,
    "sound": _sound,
    "features": _features,
    "photographs": _photographs,
}
#: Studies whose cells are not calls of `measuring.measure`: modules with an `identify` and a `measure` of their own.
MEASURED_BY = {
    "adegan": "dualad_lib.experiments.pooled",
    "agad": "dualad_lib.experiments.pooled",
    "lrgdan": "dualad_lib.experiments.pooled",
    "signs": "dualad_lib.experiments.attacked",
    "tiles": "dualad_lib.experiments.inspected",
    "features": "dualad_lib.experiments.whole_images",
    "photographs": "dualad_lib.experiments.photographs",
}
