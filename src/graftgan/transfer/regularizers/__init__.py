"""Losses that hold the target to the source. To add one: a file here, and its import below."""

from graftgan.transfer.regularizers import ewc as ewc
from graftgan.transfer.regularizers import feature_distillation as feature_distillation
from graftgan.transfer.regularizers import l2_sp as l2_sp
from graftgan.transfer.regularizers.regularizer import (
    ANCHORS,
    Anchor,
    AnchorSetup,
    AnchorTerm,
    build_anchors,
    is_anchored,
    remember_source,
)
from graftgan.transfer.regularizers.settings import AnchorSettings

__all__ = [
    "ANCHORS",
    "Anchor",
    "AnchorSettings",
    "AnchorSetup",
    "AnchorTerm",
    "build_anchors",
    "is_anchored",
    "remember_source",
]
