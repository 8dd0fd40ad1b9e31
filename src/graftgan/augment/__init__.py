"""Differentiable changes to what the discriminator sees, and how they fade out.

To add an operation: a file that registers it in ``AUGMENTATIONS``, and its import here. To add a
policy: a row in ``policies.py``.
"""

from graftgan.augment import colour as colour
from graftgan.augment import geometry as geometry
from graftgan.augment import occlusion as occlusion
from graftgan.augment import recolour as recolour
from graftgan.augment.augmenter import Augmenter, build_augmenter
from graftgan.augment.controller import AdaptiveProbability
from graftgan.augment.leaks import LeakReport, has_dark_border, leak_report
from graftgan.augment.operations import AUGMENTATIONS, Augmentation, Operation
from graftgan.augment.policies import POLICIES, Policy, Step
from graftgan.augment.preview import preview_sheet, settings_to_show
from graftgan.augment.settings import AugmentationSettings

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
    "preview_sheet",
    "settings_to_show",
]
