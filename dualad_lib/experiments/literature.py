"""Published mean AUROC in % under protocol P2 (one class normal, nine anomalous), beside which ours stand.

The row of AnoGAN is as later papers quote it. None: not published. `verdict`: what is known against a figure; such a
row is no bar.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A row of the literature; `note` says what to know before comparing."""

    method: str
    source: str
    mnist: float | None = None
    fashion_mnist: float | None = None
    cifar10: float | None = None
    note: str = ""
    verdict: str = ""


PUBLISHED = (
    Published("AnoGAN", "Schlegl et al., IPMI 2017", 93.7, None, 61.8),
    Published(
        "Deep SVDD",
        "Ruff et al., ICML 2018",
        94.8,
        None,
        64.8,
        verdict="others measured 93.6 (MNIST) and 60.0 (CIFAR-10)",
    ),
    Published("Deep SAD, no labels", "Ruff et al., ICLR 2020", 92.8, 89.2, 60.9),
    Published(
        "OCGAN",
        "Perera et al., CVPR 2019",
        97.5,
        None,
        65.7,
        verdict="others measured 92.5 (MNIST) and 57.8 (CIFAR-10)",
    ),
    Published("MemAE", "Gong et al., ICCV 2019", 97.5, None, 60.9),
    Published(
        "DASVDD", "Hojjati & Armanfar, 2021", 97.7, 92.6, 66.5, note="the official DualAD code grew from it"
    ),
    Published("P-KDGAN", "Zhang et al., IJCAI 2020", 97.8, None, 73.8),
    Published(
        "GEOM",
        "Golan & El-Yaniv, NeurIPS 2018",
        98.0,
        93.5,
        86.0,
        note="a wide residual network tells 72 transformations apart",
    ),
    Published("ARNet", "Fei et al., 2020", 98.3, 93.9, 86.6, note="restores what a transformation took away"),
    Published("ESAD, no labels", "Huang et al., 2020", 98.5, 94.0, 78.8),
    Published("LR-GDAN", "Chen et al., IJCAI 2020", 98.5, None, None, note="CIFAR-10 only as a plot"),
    Published(
        "AGAD, no labels",
        "Shi & Zhang, arXiv 2304.04211",
        99.1,
        99.9,
        98.3,
        verdict="very likely an artefact of batch statistics at test time",
    ),
    Published(
        "CSI", "Tack et al., NeurIPS 2020", None, None, 94.3, note="contrastive, a large network, many epochs"
    ),
    Published(
        "UniCon-HA",
        "Wang et al., ICCV 2023",
        None,
        None,
        95.4,
        note="contrastive, a large network, many epochs",
    ),
    Published("PANDA", "Reiss et al., CVPR 2021", None, None, 96.2, note="features pretrained on ImageNet"),
    Published(
        "Mean-Shifted", "Reiss & Hoshen, AAAI 2023", None, None, 98.6, note="features pretrained on ImageNet"
    ),
    Published(
        "GeneralAD", "Sträter et al., ECCV 2024", None, None, 99.1, note="features pretrained elsewhere"
    ),
)


#: Published AUROC in % of the systems of lessons 09 to 11, by (detector, data set, protocol, setting), and what is
#: known against it.
SYSTEMS = {
    ("lrgdan", "mnist", "80_20", ""): (98.5, ""),
    ("lrgdan", "fashion_mnist", "80_20", ""): (99.5, ""),
    ("lrgdan", "coil100", "80_20", ""): (100.0, ""),
    ("lrgdan_rebuilt", "mnist", "80_20", "rebuilt"): (98.5, "reached by another question"),
    ("lrgdan_rebuilt", "fashion_mnist", "80_20", "rebuilt"): (99.5, "not reached"),
    ("lrgdan", "mnist", "one_vs_rest", "AE, augmented"): (51.0, ""),
    ("lrgdan", "mnist", "one_vs_rest", "AE+D"): (53.1, ""),
    ("lrgdan", "mnist", "one_vs_rest", "dual AE+D"): (97.2, ""),
    ("lrgdan", "mnist", "one_vs_rest", "full"): (98.5, ""),
    ("agad_rebuilt", "fashion_mnist", "one_vs_rest", "rebuilt"): (99.9, "very likely an artefact"),
    ("agad_rebuilt", "cifar10", "one_vs_rest", "rebuilt"): (98.3, "very likely an artefact"),
    ("agad", "fashion_mnist", "one_vs_rest", "apart"): (99.9, "very likely an artefact"),
    ("agad", "cifar10", "one_vs_rest", "apart"): (98.3, "very likely an artefact"),
    ("agad", "cifar10", "one_vs_rest", "labelled=0.01, apart"): (98.6, "very likely an artefact"),
    ("agad", "cifar10", "one_vs_rest", "labelled=0.05, apart"): (99.8, "very likely an artefact"),
    ("agad", "cifar10", "one_vs_rest", "labelled=0.1, apart"): (99.9, "very likely an artefact"),
    ("agad", "cifar10", "one_vs_rest", "labelled=0.2, apart"): (100.0, "very likely an artefact"),
    ("adegan_rebuilt", "mnist", "leave_one_class_out", "rebuilt"): (90.7, ""),
    ("adegan", "mnist", "leave_one_class_out", ""): (90.7, "the best number of patterns on test labels"),
}


def published_system(detector, dataset, protocol, setting, evaluation="honest"):
    """(published AUROC in %, what is known against it) of a row of a study; (None, "") where nothing is published.

    Only honest rows have a published figure beside them.
    """
    found = SYSTEMS.get((detector, dataset, protocol, setting)) if evaluation == "honest" else None
    return found or (None, "")


#: Published AUROC in % on MNIST with one digit left out as the anomaly, by that digit (Chai et al., table 1).
LEFT_OUT = {
    "AnoGAN": (61.0, 30.0, 53.5, 44.0, 43.0, 42.0, 47.5, 35.5, 40.0, 33.5),
    "GANomaly": (72.2, 46.8, 81.9, 64.9, 67.7, 67.9, 68.4, 57.1, 70.8, 47.1),
    "GPND": (94.3, 31.3, 94.4, 87.3, 90.8, 88.4, 86.8, 76.6, 88.2, 60.1),
    "ADe-GAN": (97.1, 76.8, 96.7, 92.3, 88.8, 94.1, 92.8, 88.6, 94.7, 85.2),
}


#: Published AUROC in % on adversarial stop signs (Chen et al., IJCAI 2020, table 4). Neither the attacked classifier
#: nor the strength of the attacks is told there: figures to read ours beside, and no bar.
ADVERSARIAL_SIGNS = {
    "LR-GDAN": {"boundary": 90.5, "fgsm": 84.4, "bim": 85.9, "deepfool": 84.6},
    "soft-boundary Deep SVDD": {"boundary": 77.8, "fgsm": 82.7, "bim": 74.9, "deepfool": 78.4},
    "one-class Deep SVDD": {"boundary": 80.3, "fgsm": 82.8, "bim": 81.8, "deepfool": 65.8},
    "RCAE": {"boundary": 87.4, "fgsm": 57.6, "bim": 64.5, "deepfool": 46.3},
    "isolation forest": {"boundary": 73.8, "fgsm": 44.4, "bim": 53.9, "deepfool": 51.1},
}
