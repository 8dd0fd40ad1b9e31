"""What both StyleGANs compute with: filters, resampling, nonlinearities, modulated convolutions.

Sources: StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 2.2 and appendix B); StyleGAN3
(Karras et al. 2021, arXiv:2106.12423, section 3 and appendix C). All in plain convolutions, whose
gradients of any order PyTorch has. Filters are float32 tensors that sum to 1.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEAK = 0.2
GAIN = math.sqrt(2)  # undoes what a leaky ReLU takes away
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
    band (Kaiser's formulas). One tap is no filter at all: None. At ``cutoff``, in the units of
    ``rate``, samples per unit of length, the amplitude has fallen to a half. A radial filter lets
    through a disc of frequencies, and not a square.
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

    Each channel is filtered alone. ``taps`` (n,) filter both directions one after the other, (n, m)
    at once; None: no filter. ``up`` and ``down`` are for x and y. ``padding`` (left, right, top,
    bottom) is of zeros, after the upsampling; fewer than none crop. ``gain`` is of the result.
    """
    (up_x, up_y), (down_x, down_y) = _both(up), _both(down)
    if taps is not None and taps.ndim == 1 and _faster_as_products(images, up_x * up_y):
        left, right, top, bottom = padding
        ways = {2: (taps, up_y, down_y, top, bottom), 3: (taps * gain, up_x, down_x, left, right)}
        for axis in (3, 2) if up_x * up_y > 1 else (2, 3):  # few rows for the way within a row
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
    """Return images (b, c, h, w) as (b, c, factor h, factor w), of the same mean."""
    width = taps.shape[-1]
    before, after = (width + factor - 1) // 2, (width - factor) // 2
    return resample(images, taps, up=factor, padding=(before, after, before, after), gain=factor**2)


def convolved_up(images: Tensor, kernel: Tensor, taps: Tensor) -> Tensor:
    """Convolve while doubling the size: (b, i, h, w) with (o, i, 3, 3) to (b, o, 2h, 2w).

    Equal to inserting zeros, convolving with ``kernel`` in the strict sense (so mirrored), and then
    with ``taps``.
    """
    doubled = F.conv_transpose2d(images, kernel.transpose(0, 1), stride=2)
    width, side = taps.shape[-1], kernel.shape[-1]
    # A transposed convolution has grown the image by itself.
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
    if side == 1:  # then it may come last, on a quarter of the pixels
        return F.conv2d(resample(images, taps, down=2, padding=padding), kernel, bias)
    return F.conv2d(resample(images, taps, padding=padding), kernel, bias, stride=2)


def leaky(
    features: Tensor, bias: Tensor | None = None, *, gain: float = GAIN, clamp: float = 0.0
) -> Tensor:
    """Add a bias (c,), apply leaky ReLU and a gain, and cut at +- ``clamp``, unless that is 0."""
    if bias is not None:
        features = features + bias.to(features).view(1, -1, *[1] * (features.ndim - 2))
    features = F.leaky_relu(features, LEAK)
    if gain != 1.0:
        features = features * gain
    return clamped(features, clamp)


def clamped(features: Tensor, most: float) -> Tensor:
    """Cut at +- ``most``, unless that is 0; its gradient takes one pass, clamp's takes three."""
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
    """Apply leaky ReLU at a higher rate, so that the new frequencies it makes can be cut away.

    A bias (c,) is added to features (b, c, h, w); the rate rises by ``up``, with ``padding`` as
    ``resample`` takes it; values are cut at +- ``clamp``, unless that is 0; the rate falls by
    ``down``.
    """
    features = features + bias.to(features).view(1, -1, 1, 1)
    features = resample(features, up_taps, up=up, padding=padding, gain=up**2)
    features = clamped(F.leaky_relu(features, leak), clamp / gain)
    return resample(features, down_taps, down=down, gain=gain)  # there it costs nothing


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
    """Convolve each channel with ``taps`` (n, m); a convolution in the strict sense, so flipped.

    In bfloat16 on a CPU the gradient of a grouped convolution with a stride takes torch ten times
    as long as that of one without, of which only every second number is kept.
    """
    channels = images.shape[1]
    kernel = taps.flip((0, 1)).expand(channels, 1, *taps.shape)
    if images.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return F.conv2d(images, kernel, groups=channels)[:, :, :: stride[0], :: stride[1]]
    return F.conv2d(images, kernel, stride=stride, groups=channels)


def _faster_as_products(images: Tensor, up: int) -> bool:
    """Say whether matrices resample sooner: on a CPU, unless float32 is only made smaller."""
    return images.device.type == "cpu" and (up > 1 or torch.is_autocast_enabled("cpu"))


def _product(
    images: Tensor, axis: int, taps: Tensor, up: int, down: int, before: int, after: int
) -> Tensor:
    """Resample images (b, c, h, w) along ``axis``, 2 or 3, as a product with a banded matrix.

    It does zeros, padding, filter and leaving out at once. Most of its numbers are 0, and yet the
    processor's matrix units are done sooner than with a convolution of each channel.
    """
    size = images.shape[axis]
    length = (size * up + before + after - len(taps)) // down + 1
    device = images.device
    distances = torch.arange(size, device=device) * up + before
    distances = distances - torch.arange(length, device=device)[:, None] * down
    within = (distances >= 0) & (distances < len(taps))
    nearest = distances.clamp(0, len(taps) - 1)
    matrix = torch.where(within, taps.flip(0)[nearest], 0.0).to(images)  # (length, size)
    last = images.permute(0, 2, 3, 1)  # (b, h, w, c): as channels_last lies in memory
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
    """Convolve (b, i, h, w) with a kernel (o, i, k, k) that each picture's styles (b, i) scale.

    Source: StyleGAN2, section 2.2. Differs in the order of the products: styles scale the features
    before one convolution for all pictures, and the demodulation scales them after it, which is the
    same function and asks for no kernel of each picture's own.

    ``demodulate`` divides by the norm of each output channel's scaled kernel; ``up_taps``, a
    filter, doubles the size, and the kernel is then of three; ``input_gain`` () is of the features
    and not of the norm; ``offset`` (b, 1, h', w') or (o, 1, 1) is added at last.
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
        # As if kernels had mean square 1.
        smallest = _EPSILON * squares.sum(dim=1) / kernel[0].numel()
        norms = (styles.float().square() @ squares.T + smallest).rsqrt() * gain
    norms = norms.to(features)[:, :, None, None]
    if offset is None:
        return features * norms
    return torch.addcmul(offset.to(features), features, norms)  # one pass over the features
