"""Losses that hold the target to the source. To add one: a file here, and its import below."""

from graftgan.transfer.regularizers import source_penalties as source_penalties
from graftgan.transfer.regularizers.regularizer import REGULARIZERS as REGULARIZERS
from graftgan.transfer.regularizers.regularizer import Regularizer as Regularizer
from graftgan.transfer.regularizers.regularizer import RegularizerSetup as RegularizerSetup
from graftgan.transfer.regularizers.regularizer import RegularizerTerm as RegularizerTerm
from graftgan.transfer.regularizers.regularizer import build_regularizers as build_regularizers
from graftgan.transfer.regularizers.regularizer import is_regularized as is_regularized
from graftgan.transfer.regularizers.regularizer import remember_source as remember_source
