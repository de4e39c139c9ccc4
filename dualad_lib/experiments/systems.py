"""Which system has which losses and scores, measured under which protocols on which data: a table of links."""

import inspect
from pathlib import Path

from .. import detectors, losses, scoring
from ..course.provenance import ROOT
from ..detectors.feature_dualad import FeatureDualAD
from ..neighbours import Bank
from ..networks.feature_constraint import TransformationCritic
from ..networks.places import PlaceCritic

ON_FEATURES = "dualad on features"
#: Losses that DualAD has on pixels and on features.
DUALAD = {
    "L_rec": losses.squared_error,
    "D": losses.discriminator_loss,
    "adversarial": losses.adversarial_loss,
    "feature matching": losses.feature_matching,
    "sphere": losses.enclosure,
    "excess": losses.sphere_excess,
}
#: Detector -> (its losses, its scores, its lesson, the heading of the lesson's cell).
SYSTEMS = {
    "autoencoder": (
        {"L_rec": losses.squared_error},
        {"pixel": scoring.pixel_score, "latent": scoring.Gaussian, "dual": scoring.Fusion},
        ("01_autoencoder_baseline", "2. Build it"),
    ),
    "dualad": (
        {
            **DUALAD,
            "critic": TransformationCritic,
            "mutual information": losses.jsd_mutual_information,
            "contrastive": losses.info_nce,
        },
        {
            "pixel": scoring.pixel_score,
            "latent, Mahalanobis": scoring.LowRank,
            "latent, neighbours": Bank,
            "dual": scoring.Fusion,
        },
        ("05_dual_scoring", "8. The ablation: what each part was worth"),
    ),
    ON_FEATURES: (
        {
            **DUALAD,
            "critic of damage": PlaceCritic,
            "mutual information": losses.jsd_mutual_information,
        },
        {
            "pixel (error of each place)": FeatureDualAD,
            "latent, neighbours": Bank,
            "dual": scoring.Fusion,
        },
        ("13_features_that_know_images", "5. DualAD on features: the four parts again"),
    ),
    "patchcore": (
        {},
        {"latent, neighbours": Bank},
        ("13_features_that_know_images", "3. What to keep: the coreset"),
    ),
    "lrgdan": (
        {
            "L_irec": losses.absolute_error,
            "L_adv": losses.adversarial_loss,
            "L_zrec": losses.code_distance,
            "L_dual": losses.dual_game,
            "mutual information": losses.jsd_mutual_information,
            "KL": losses.kl_to_standard_normal,
        },
        {"pixel, after both autoencoders": scoring.pixel_score},
        ("07_lrgdan", "2. Three players"),
    ),
    "agad": (
        {
            "l_con": losses.absolute_error,
            "l_adv": losses.adversarial_loss,
            "l_lat": losses.code_distance,
            "l_adcon": losses.contextual_adversarial,
            "labelled": losses.reciprocal,
        },
        {"pixel": scoring.pixel_score},
        ("08_agad", "1. A generator that must fail"),
    ),
    "adegan": (
        {
            "L_adv": losses.adversarial_loss,
            "L_sl, L_recon": losses.code_distance,
            "L_ip": losses.uniform_cross_entropy,
        },
        {"error, pattern, dual": scoring.eq_11},
        ("09_adegan", "2. The parts"),
    ),
}


def feature_table(rows):
    """Markdown table of SYSTEMS, each name a link to its line; protocols and data sets are those of measured rows."""
    lines = ["| system | losses | scores | measured | lesson |", "|---|---|---|---|---|"]
    for name, (own_losses, own_scores, (lesson, heading)) in SYSTEMS.items():
        system = FeatureDualAD if name == ON_FEATURES else detectors.DETECTORS[name]
        own = [row for row in rows if row["detector"] == name.split()[0]]
        if name.startswith("dualad"):
            own = [row for row in own if (name == ON_FEATURES) == ("features" in row["setting"])]
        found = sorted({(row["protocol"].upper(), row["dataset"]) for row in own})
        by_protocol = {p: ", ".join(d for q, d in found if q == p) for p, _ in found}
        anchor = heading.replace(" ", "-")
        shown = system.__name__ if name != ON_FEATURES else "DualAD on features"
        lines.append(
            f"| {_link(shown, system)} | {_links(own_losses)} | {_links(own_scores)} | "
            f"{'; '.join(f'{p}: {d}' for p, d in by_protocol.items())} | "
            f"[{lesson[:2]}, {heading}](notebooks/{lesson}.ipynb#{anchor}) |"
        )
    return "\n".join(lines)


def _links(objects):
    return ", ".join(_link(name, found) for name, found in objects.items())


def _link(name, found):
    path = Path(inspect.getsourcefile(found)).resolve().relative_to(ROOT)
    return f"[{name}]({path.as_posix()}#L{inspect.getsourcelines(found)[1]})"
