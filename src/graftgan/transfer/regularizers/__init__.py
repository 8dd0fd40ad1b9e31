"""Losses that hold the target to the source. To add one: a file here, and its import below."""

from graftgan.transfer.regularizers import ewc as ewc
from graftgan.transfer.regularizers import feature_distillation as feature_distillation
from graftgan.transfer.regularizers import l2_sp as l2_sp
from graftgan.transfer.regularizers.regularizer import (
    REGULARIZERS,
    Regularizer,
    RegularizerSetup,
    RegularizerTerm,
    build_regularizers,
    is_regularized,
    remember_source,
)
from graftgan.transfer.regularizers.settings import RegularizerSettings

__all__ = [
    "REGULARIZERS",
    "Regularizer",
    "RegularizerSettings",
    "RegularizerSetup",
    "RegularizerTerm",
    "build_regularizers",
    "is_regularized",
    "remember_source",
]
