"""Differentiable changes to what the discriminator sees, and how they fade out.

To add an operation: a file that registers it in ``AUGMENTATIONS``, and its import here. To add a
policy: a row in ``policies.py``.
"""

from graftgan.training.augment import colour as colour
from graftgan.training.augment import geometry as geometry
from graftgan.training.augment import occlusion as occlusion
from graftgan.training.augment import recolour as recolour
from graftgan.training.augment.augmenter import Augmenter, build_augmenter
from graftgan.training.augment.controller import AdaptiveProbability
from graftgan.training.augment.leaks import LeakReport, has_dark_border, leak_report
from graftgan.training.augment.operations import AUGMENTATIONS, Augmentation, Operation
from graftgan.training.augment.policies import POLICIES, Policy, Step
from graftgan.training.augment.preview import preview_grid, settings_to_show
from graftgan.training.augment.settings import AugmentationSettings

__all__ = [
    "AUGMENTATIONS",
    "POLICIES",
    "AdaptiveProbability",
    "Augmentation",
    "AugmentationSettings",
    "Augmenter",
    "LeakReport",
    "Operation",
    "Policy",
    "Step",
    "build_augmenter",
    "has_dark_border",
    "leak_report",
    "preview_grid",
    "settings_to_show",
]
