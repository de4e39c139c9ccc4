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
