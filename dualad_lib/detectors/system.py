"""What everything else reads of a detector: contract test, studies, tables, site. It stands at the end of its file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class System:
    """A detector by its name on the command line and in results files.

    small: parameters with which it learns a simple pattern in a second, for the contract test and the profile "smoke".
    losses, scores: what it is made of, words -> place in the library ("losses.squared_error"). lesson: the lesson that
    builds it, without its number, and the heading of the cell. title: its name in tables, if not that of the class.
    """

    name: str
    kind: type
    small: dict = field(default_factory=dict)
    losses: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    lesson: tuple = ()
    title: str = ""


#: Losses that DualAD has on pixels and on features.
DUALAD_LOSSES = {
    "L_rec": "losses.squared_error",
    "D": "losses.discriminator_loss",
    "adversarial": "losses.adversarial_loss",
    "feature matching": "losses.feature_matching",
    "sphere": "losses.enclosure",
    "excess": "losses.hypersphere_penalty",
}
