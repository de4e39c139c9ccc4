"""Self-checks for the exercises, one file a lesson; a lesson calls `checks.check_...` whatever file it stands in."""
# ruff: noqa: F401 (lessons call these)

from .adegan import PATTERN_CHANGES, check_between_codes, check_pattern_changes, check_stable_eq_11
from .adversarial_signs import ATTACKERS, check_attack_step, check_attackers
from .agad import PSEUDO_ANOMALIES, check_at_strength, check_depends_on_company, check_pseudo_anomalies
from .autoencoder_baseline import EXTREMES, check_denoising_step, check_extremes, check_shift_tolerant_score
from .benchmark import INTERVALS, check_intervals, check_paired_interval
from .checking import CheckFailed
from .dual_scoring import FUSION_CHANGES, check_fisher_weights, check_fusion_changes, check_threshold
from .feature_constraint import SHRINKINGS, check_best_radius, check_shrinkings, check_transformation_score
from .features_that_know_images import (
    NEIGHBOUR_CHANGES,
    check_local_distance,
    check_neighbour_changes,
    check_relative_distance,
)
from .how_to_read_a_paper import PAPER_FLAGS, check_paper_flags, check_wrong_way
from .image_discriminator import GAME_READINGS, check_best_logit, check_game_readings, check_saturating_loss
from .lrgdan import DUAL_WISHES, check_dual_wishes, check_half_total_error
from .mutual_information import (
    INFORMATION_CHANGES,
    check_information_changes,
    check_strangers,
    check_turn_loss,
)
from .sound import SOUND_CHANGES, check_sound_changes, check_to_image
from .start_here import SCORE_CHANGES, check_auroc, check_honest_choice, check_score_changes
from .your_own_images import PROMISES, check_conformal_p_value, check_hold_back, check_promises
