"""Score real and fake: adversarial terms, penalties, weight constraints.

To add an objective: a class like those in ``adversarial.py``, registered in ``OBJECTIVES``.
"""

from graftgan.training.objectives.adversarial_losses import OBJECTIVES, Losses, Objective
from graftgan.training.objectives.path_length import PathLength, path_length_of
from graftgan.training.objectives.penalties import (
    R1,
    Drift,
    GradientPenalty,
    Penalty,
    clip_weights,
    penalties_of,
)
from graftgan.training.objectives.reconstruction_losses import (
    ReconstructionSettings,
    gaussian_of,
    kl_to_standard_normal,
    laplacian_distance,
    neighbour_distance,
    pixel_distance,
    within_ball,
)
from graftgan.training.objectives.settings import OptimizationSettings

__all__ = [
    "OBJECTIVES",
    "R1",
    "Drift",
    "GradientPenalty",
    "Losses",
    "Objective",
    "OptimizationSettings",
    "PathLength",
    "Penalty",
    "ReconstructionSettings",
    "clip_weights",
    "gaussian_of",
    "kl_to_standard_normal",
    "laplacian_distance",
    "neighbour_distance",
    "path_length_of",
    "penalties_of",
    "pixel_distance",
    "within_ball",
]
