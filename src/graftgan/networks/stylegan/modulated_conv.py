"""Convolutions whose kernel each picture's style scales.

Source: StyleGAN2 (arXiv:1912.04958, section 2.2). Differs in the order of the products: styles
scale the features before one convolution for all pictures, and the demodulation scales them after
it, which is the same function and asks for no kernel of each picture's own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.networks.stylegan.resample import convolved_up

_EPSILON = 1e-8


def modulated(
    features: Tensor,
    kernel: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    padding: int = 0,
    up_taps: Tensor | None = None,
    input_gain: Tensor | None = None,
    gain: float = 1.0,
    offset: Tensor | None = None,
) -> Tensor:
    """Convolve with a kernel that each picture's styles scale.

    Args:
        features: (b, i, h, w).
        kernel: (o, i, k, k).
        styles: (b, i).
        demodulate: Whether to divide by the norm of each output channel's scaled kernel.
        padding: Zeros around the features; with ``up_taps`` that of a kernel of three.
        up_taps: Doubles the size with this filter.
        input_gain: (), of the features and not of the norm.
        gain: Of the result.
        offset: (b, 1, h', w') or (o, 1, 1), added at last.

    Returns:
        (b, o, h', w').
    """
    if demodulate:  # their scale then cancels; this keeps squares within range
        styles = styles * styles.square().mean(dim=1, keepdim=True).add(_EPSILON).rsqrt()
    scales = styles if input_gain is None else styles * input_gain
    features = features * scales.to(features)[:, :, None, None]
    if up_taps is None:
        features = F.conv2d(features, kernel.to(features), padding=padding)
    else:
        features = convolved_up(features, kernel.to(features), up_taps)
    if not demodulate:
        features = features if gain == 1.0 else features * gain
        return features if offset is None else features + offset.to(features)
    with torch.autocast(features.device.type, enabled=False):  # small, and decides every pixel
        squares = kernel.float().square().sum(dim=(2, 3))
        smallest = (
            _EPSILON * squares.sum(dim=1) / kernel[0].numel()
        )  # as if kernels had mean square 1
        norms = (styles.float().square() @ squares.T + smallest).rsqrt() * gain
    norms = norms.to(features)[:, :, None, None]
    if offset is None:
        return features * norms
    return torch.addcmul(offset.to(features), features, norms)  # one pass over the features
