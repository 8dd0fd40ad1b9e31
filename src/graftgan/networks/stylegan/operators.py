"""Operators of both StyleGANs: filters, resampling, nonlinearities, modulated convolutions.

Sources: StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 2.2 and appendix B); StyleGAN3
(Karras et al. 2021, arXiv:2106.12423, section 3 and appendix C). Only plain convolutions are used,
since PyTorch can differentiate these any number of times. Filters are float32 tensors of sum 1.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEAK = 0.2
GAIN = math.sqrt(2)  # compensates for a leaky ReLU
_EPSILON = 1e-8


def binomial_filter() -> Tensor:
    """Return the outer product of [1, 3, 3, 1] with itself, (4, 4): the filter of StyleGAN2."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum() ** 2


def lowpass_filter(
    taps: int, *, cutoff: float, width: float, rate: float, radial: bool = False
) -> Tensor | None:
    """Return a Kaiser-windowed low-pass filter of StyleGAN3: (taps,), or (taps, taps) if radial.

    The window's attenuation follows from the number of taps and the ``width`` of the transition
    band (Kaiser's formulas). ``rate`` is in samples per unit of length; at frequency ``cutoff`` the
    amplitude is a half. A radial filter passes a disc of frequencies instead of a square. For one
    tap no filter is needed: None.
    """
    if taps == 1:
        return None
    nyquist = rate / 2
    attenuation = 2.285 * (taps - 1) * math.pi * (width / nyquist) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    if not radial:
        kernel = torch.sinc(2 * cutoff * places) * window
    else:
        # The transform of a disc of frequencies; no place is 0 as long as the taps are even.
        radius = torch.hypot(places[:, None], places[None, :])
        kernel = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius)
        kernel *= torch.outer(window, window)
    return (kernel / kernel.sum()).float()


def resample(
    images: Tensor,
    taps: Tensor | None,
    *,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: Sequence[int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, convolve, keep every ``down``-th: images (b, c, h, w) to (b, c, h', w').

    Each channel is filtered separately. ``taps`` (n,) filter both axes in turn, (n, m) both at
    once; None: no filter. ``up`` and ``down`` may be pairs for x and y. ``padding`` (left, right,
    top, bottom) adds zeros after the upsampling; negative padding crops. ``gain`` multiplies the
    result.
    """
    (up_x, up_y), (down_x, down_y) = _both(up), _both(down)
    if taps is not None and taps.ndim == 1 and _faster_as_products(images, up_x * up_y):
        left, right, top, bottom = padding
        ways = {2: (taps, up_y, down_y, top, bottom), 3: (taps * gain, up_x, down_x, left, right)}
        for axis in (3, 2) if up_x * up_y > 1 else (2, 3):  # x while there are fewer rows
            images = _product(images, axis, *ways[axis])
        return images
    images = _with_zeros(images, up_x, up_y)
    images = F.pad(images, tuple(padding)) if any(padding) else images
    if taps is None:
        return images[:, :, ::down_y, ::down_x] * gain
    taps = taps.to(images)
    if taps.ndim == 1:
        images = _filtered(images, taps[None, :] * gain, (1, down_x))
        return _filtered(images, taps[:, None], (down_y, 1))
    return _filtered(images, taps * gain, (down_y, down_x))


def upsampled(images: Tensor, taps: Tensor, factor: int = 2) -> Tensor:
    """Return images (b, c, h, w) enlarged to (b, c, factor h, factor w), with the same mean."""
    width = taps.shape[-1]
    before, after = (width + factor - 1) // 2, (width - factor) // 2
    return resample(images, taps, up=factor, padding=(before, after, before, after), gain=factor**2)


def convolved_up(images: Tensor, kernel: Tensor, taps: Tensor) -> Tensor:
    """Convolve while doubling the size: (b, i, h, w) with (o, i, 3, 3) to (b, o, 2h, 2w).

    This equals inserting zeros, a true convolution with ``kernel`` (so mirrored), and then one with
    ``taps``.
    """
    doubled = F.conv_transpose2d(images, kernel.transpose(0, 1), stride=2)
    width, side = taps.shape[-1], kernel.shape[-1]
    # The transposed convolution has already padded the image.
    before = side // 2 + (width + 1) // 2 - (side - 1)
    after = side // 2 + (width - 2) // 2 - (side - 2)
    return resample(doubled, taps, padding=(before, after, before, after), gain=4.0)


def convolved_down(
    images: Tensor, kernel: Tensor, taps: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Convolve while halving the size: (b, i, h, w) with (o, i, k, k) to (b, o, h/2, w/2)."""
    kernel, bias = kernel.to(images), None if bias is None else bias.to(images)
    width, side = taps.shape[-1], kernel.shape[-1]
    before, after = side // 2 + (width - 1) // 2, side // 2 + (width - 2) // 2
    padding = (before, after, before, after)
    if side == 1:  # the convolution can then come last, on a quarter of the pixels
        return F.conv2d(resample(images, taps, down=2, padding=padding), kernel, bias)
    return F.conv2d(resample(images, taps, padding=padding), kernel, bias, stride=2)


def leaky(
    features: Tensor, bias: Tensor | None = None, *, gain: float = GAIN, clamp: float = 0.0
) -> Tensor:
    """Add a bias (c,), apply leaky ReLU and a gain, and clamp to +- ``clamp``; 0: no clamp."""
    if bias is not None:
        features = features + bias.to(features).view(1, -1, *[1] * (features.ndim - 2))
    features = F.leaky_relu(features, LEAK)
    if gain != 1.0:
        features = features * gain
    return clamped(features, clamp)


def clamped(features: Tensor, most: float) -> Tensor:
    """Clamp to +- ``most``; 0: no clamp. ``hardtanh`` has a faster gradient than ``clamp``."""
    return F.hardtanh(features, -most, most) if most else features


def filtered_leaky(
    features: Tensor,
    bias: Tensor,
    *,
    up_taps: Tensor | None,
    down_taps: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float = GAIN,
    leak: float = LEAK,
    clamp: float = 0.0,
) -> Tensor:
    """Apply leaky ReLU at a higher sampling rate, so that the new frequencies can be filtered out.

    Adds a bias (c,) to features (b, c, h, w), upsamples by ``up`` with ``padding`` as in
    ``resample``, applies leaky ReLU, clamps to +- ``clamp`` (0: no clamp), downsamples by ``down``.
    """
    features = features + bias.to(features).view(1, -1, 1, 1)
    features = resample(features, up_taps, up=up, padding=padding, gain=up**2)
    features = clamped(F.leaky_relu(features, leak), clamp / gain)
    return resample(features, down_taps, down=down, gain=gain)  # applied to the taps, so free


def _both(factor: int | Sequence[int]) -> tuple[int, int]:
    return (factor, factor) if isinstance(factor, int) else (factor[0], factor[1])


def _with_zeros(images: Tensor, up_x: int, up_y: int) -> Tensor:
    if up_x == up_y == 1:
        return images
    batch, channels, height, width = images.shape
    spread = F.pad(
        images.view(batch, channels, height, 1, width, 1), (0, up_x - 1, 0, 0, 0, up_y - 1)
    )
    return spread.reshape(batch, channels, height * up_y, width * up_x)


def _filtered(images: Tensor, taps: Tensor, stride: tuple[int, int]) -> Tensor:
    """Convolve each channel with ``taps`` (n, m): a true convolution, with flipped taps.

    In bfloat16 on a CPU, the gradient of a grouped convolution with a stride is ten times slower
    than that of one without a stride whose output is subsampled.
    """
    channels = images.shape[1]
    kernel = taps.flip((0, 1)).expand(channels, 1, *taps.shape)
    if images.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return F.conv2d(images, kernel, groups=channels)[:, :, :: stride[0], :: stride[1]]
    return F.conv2d(images, kernel, stride=stride, groups=channels)


def _faster_as_products(images: Tensor, up: int) -> bool:
    """Return whether matrix products are faster: on a CPU, unless float32 is only downsampled."""
    return images.device.type == "cpu" and (up > 1 or torch.is_autocast_enabled("cpu"))


def _product(
    images: Tensor, axis: int, taps: Tensor, up: int, down: int, before: int, after: int
) -> Tensor:
    """Resample images (b, c, h, w) along ``axis``, 2 or 3, as a product with a banded matrix.

    The matrix inserts zeros, pads, filters and subsamples at once. It is mostly zeros, but the
    product is still faster than a convolution of each channel.
    """
    size = images.shape[axis]
    length = (size * up + before + after - len(taps)) // down + 1
    device = images.device
    distances = torch.arange(size, device=device) * up + before
    distances = distances - torch.arange(length, device=device)[:, None] * down
    within = (distances >= 0) & (distances < len(taps))
    nearest = distances.clamp(0, len(taps) - 1)
    matrix = torch.where(within, taps.flip(0)[nearest], 0.0).to(images)  # (length, size)
    last = images.permute(0, 2, 3, 1)  # (b, h, w, c), the memory order of channels_last
    rows = last.flatten(2) if axis == 2 else last.flatten(0, 1)
    resampled = torch.bmm(matrix.expand(rows.shape[0], -1, -1), rows)
    shape = (images.shape[0], -1, last.shape[2]) if axis == 2 else (*last.shape[:2], length)
    return resampled.view(*shape, images.shape[1]).permute(0, 3, 1, 2)


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
    """Convolve (b, i, h, w) with a kernel (o, i, k, k) scaled by each picture's styles (b, i).

    Source: StyleGAN2, section 2.2. Differs in the order of the products: styles scale the features
    before one convolution for all pictures, and the demodulation scales them after it. This is the
    same function, without a kernel for each picture.

    ``demodulate`` divides by the norm of each output channel's scaled kernel; ``up_taps``, a
    filter, doubles the size and needs a kernel of side 3; ``input_gain`` () multiplies the features
    but not the norm; ``offset`` (b, 1, h', w') or (o, 1, 1) is added at the end.
    """
    if demodulate:  # the scale of the styles cancels; this keeps their squares within range
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
    with torch.autocast(features.device.type, enabled=False):  # cheap, and affects every pixel
        squares = kernel.float().square().sum(dim=(2, 3))
        # Epsilon is relative to the kernel's mean square.
        smallest = _EPSILON * squares.sum(dim=1) / kernel[0].numel()
        norms = (styles.float().square() @ squares.T + smallest).rsqrt() * gain
    norms = norms.to(features)[:, :, None, None]
    if offset is None:
        return features * norms
    return torch.addcmul(offset.to(features), features, norms)  # one pass over the features
