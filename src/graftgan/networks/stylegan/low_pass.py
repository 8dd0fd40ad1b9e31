"""Low-pass filters of StyleGAN2 and StyleGAN3, as float32 tensors that sum to 1.

Sources: StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) takes the binomial filter of
StyleGAN; StyleGAN3 (Karras et al. 2021, arXiv:2106.12423, section 3.1 and appendix C) Kaiser
windows, and for its rotation form the jinc in place of the sinc.
"""

import math

import torch
from torch import Tensor


def binomial_filter() -> Tensor:
    """Return the outer product of [1, 3, 3, 1] with itself, (4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum() ** 2


def lowpass_filter(
    taps: int, *, cutoff: float, width: float, rate: float, radial: bool = False
) -> Tensor | None:
    """Return a Kaiser-windowed low-pass filter: (taps,), or (taps, taps) if it is radial.

    The window's attenuation follows from the number of taps and the width of the transition band
    (Kaiser's formulas). One tap is no filter at all: None.

    Args:
        taps: Its length.
        cutoff: Where the amplitude has fallen to a half; in the units of ``rate``.
        width: Of the transition band.
        rate: Samples per unit of length.
        radial: Whether it lets through a disc of frequencies, and not a square.
    """
    if taps == 1:
        return None
    nyquist = rate / 2
    attenuation = 2.285 * (taps - 1) * math.pi * (width / nyquist) + 7.95
    window = torch.kaiser_window(taps, periodic=False, beta=_beta(attenuation), dtype=torch.float64)
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    if not radial:
        kernel = torch.sinc(2 * cutoff * places) * window
    else:
        # The transform of a disc of frequencies; no place is 0 as long as the taps are even.
        radius = torch.hypot(places[:, None], places[None, :])
        kernel = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius)
        kernel *= torch.outer(window, window)
    return (kernel / kernel.sum()).float()


def _beta(attenuation: float) -> float:
    """Return the shape of Kaiser's window for an attenuation in decibel."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0
