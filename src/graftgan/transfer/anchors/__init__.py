"""Losses that hold the target to the source. To add one: a file here, and its import below."""

from graftgan.transfer.anchors import ewc as ewc
from graftgan.transfer.anchors import feature_distillation as feature_distillation
from graftgan.transfer.anchors import l2_sp as l2_sp
from graftgan.transfer.anchors.anchor import (
    ANCHORS,
    Anchor,
    AnchorSetup,
    AnchorTerm,
    build_anchors,
    is_anchored,
    remember_source,
)
from graftgan.transfer.anchors.settings import AnchorSettings

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
