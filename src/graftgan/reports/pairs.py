"""Rows of pictures, each above the row of what was made of them."""

import torch

from graftgan.core.tensors import PictureBytes

_COLUMNS = 8


def pairs_in_rows(
    pictures: PictureBytes, drawn: PictureBytes, *, columns: int = _COLUMNS
) -> PictureBytes:
    """Return ``pictures``, ``columns`` in a row, each row above that of its ``drawn`` ones."""
    rows = zip(pictures.split(columns), drawn.split(columns), strict=True)
    return torch.cat([_filled(row, columns) for pair in rows for row in pair])


def _filled(row: PictureBytes, columns: int) -> PictureBytes:
    """Return ``row`` with black pictures up to its full length."""
    return torch.cat([row, row.new_zeros(columns - len(row), *row.shape[1:])])
