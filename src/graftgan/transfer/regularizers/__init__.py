"""Losses that hold the target to the source. To add one: a file here, and its import below."""

from graftgan.transfer.regularizers import source_penalties as source_penalties
