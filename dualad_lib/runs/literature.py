"""Published mean AUROC in % under protocol P2 (one class normal, nine anomalous), beside which ours stand.

None: not published. `verdict`: what is known against a figure; such a row is no bar.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A row of the literature; `note` says what to know before comparing."""

    method: str
    mnist: float | None = None
    fashion_mnist: float | None = None
    cifar10: float | None = None
    note: str = ""
    verdict: str = ""


PUBLISHED = (
    Published("AnoGAN", 93.7, None, 61.8),
    Published("Deep SVDD", 94.8, None, 64.8, verdict="not reproduced by others: 93.6 and 60.0"),
    Published("Deep SAD, no labels", 92.8, 89.2, 60.9),
    Published("OCGAN", 97.5, None, 65.7, verdict="not reproduced by others: 92.5 and 57.8"),
    Published("MemAE", 97.5, None, 60.9),
    Published("DASVDD", 97.7, 92.6, 66.5, note="the official DualAD code grew from it"),
    Published("P-KDGAN", 97.8, None, 73.8),
    Published("GEOM", 98.0, 93.5, 86.0, note="a wide residual network tells 72 transformations apart"),
    Published("ARNet", 98.3, 93.9, 86.6, note="restores what a transformation took away"),
    Published("ESAD, no labels", 98.5, 94.0, 78.8),
    Published("LR-GDAN", 98.5, None, None, note="CIFAR-10 only as a plot"),
    Published(
        "AGAD, no labels",
        99.1,
        99.9,
        98.3,
        verdict="very likely an artefact of batch statistics at test time",
    ),
    Published("CSI", None, None, 94.3, note="contrastive, a large network, many epochs"),
    Published("UniCon-HA", None, None, 95.4, note="contrastive, a large network, many epochs"),
    Published("PANDA", None, None, 96.2, note="features pretrained on ImageNet"),
    Published("Mean-Shifted", None, None, 98.6, note="features pretrained on ImageNet"),
    Published("GeneralAD", None, None, 99.1, note="features pretrained elsewhere"),
)
