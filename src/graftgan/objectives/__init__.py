"""Score real and fake: adversarial terms, penalties, weight constraints.

To add an objective: a class like those in ``adversarial.py``, registered in ``OBJECTIVES``.
"""

from graftgan.objectives.adversarial import OBJECTIVES, Objective
from graftgan.objectives.penalties import (
    R1,
    Drift,
    GradientPenalty,
    Penalty,
    clip_weights,
    penalties_of,
)
from graftgan.objectives.settings import OptimizationSettings

__all__ = [
    "OBJECTIVES",
    "R1",
    "Drift",
    "GradientPenalty",
    "Objective",
    "OptimizationSettings",
    "Penalty",
    "clip_weights",
    "penalties_of",
]
