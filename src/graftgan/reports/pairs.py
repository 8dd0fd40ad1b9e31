"""Rows of pictures, each above the row of what was made of them."""

import torch

from graftgan.tensors import PictureBytes

_COLUMNS = 8


def pairs_in_rows(pictures: PictureBytes, drawn: PictureBytes) -> PictureBytes:
    """Return ``pictures``, eight in a row, each row above that of its ``drawn`` ones."""
    rows = zip(pictures.split(_COLUMNS), drawn.split(_COLUMNS), strict=True)
    return torch.cat([_filled(row) for pair in rows for row in pair])


def _filled(row: PictureBytes) -> PictureBytes:
    """Return ``row`` with black pictures up to its full length."""
    return torch.cat([row, row.new_zeros(_COLUMNS - len(row), *row.shape[1:])])
