"""The low-pass filter of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958)."""

import torch
from torch import Tensor


def binomial_filter() -> Tensor:
    """Return the outer product of [1, 3, 3, 1] with itself, (4, 4), which sums to 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum() ** 2
