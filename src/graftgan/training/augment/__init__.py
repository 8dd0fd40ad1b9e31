"""Differentiable changes to what the discriminator sees, and how they fade out.

To add an operation: a function in ``operations.py``, registered. To add a policy: a row in
``augmenter.py``.
"""

from graftgan.training.augment.augmenter import POLICIES as POLICIES
from graftgan.training.augment.augmenter import AdaptiveProbability as AdaptiveProbability
from graftgan.training.augment.augmenter import AugmentationSettings as AugmentationSettings
from graftgan.training.augment.augmenter import Augmenter as Augmenter
from graftgan.training.augment.augmenter import build_augmenter as build_augmenter
from graftgan.training.augment.leaks import has_dark_border as has_dark_border
from graftgan.training.augment.leaks import leak_report as leak_report
from graftgan.training.augment.operations import AUGMENTATIONS as AUGMENTATIONS
from graftgan.training.augment.preview import preview_grid as preview_grid
from graftgan.training.augment.preview import settings_to_show as settings_to_show
