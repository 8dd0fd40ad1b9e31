"""Resampling with a filter, convolutions that resample, and nonlinearities.

Sources: StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix B); StyleGAN3 (Karras et al.
2021, arXiv:2106.12423, section 3.2). All in plain convolutions, whose gradients of any order
PyTorch has.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEAK = 0.2
GAIN = math.sqrt(2)  # undoes what a leaky ReLU takes away


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

    Args:
        images: Of any number of channels; each is filtered alone.
        taps: The filter: (n,) for both directions one after the other, (n, m) at once; None: none.
        up: For x and y.
        down: The same.
        padding: Zeros after the upsampling: left, right, top, bottom. Fewer than none crop.
        gain: Of the result.
    """
    (up_x, up_y), (down_x, down_y) = _both(up), _both(down)
    if taps is not None and taps.ndim == 1 and _faster_as_products(images, up_x * up_y):
        left, right, top, bottom = padding
        ways = {2: (taps, up_y, down_y, top, bottom), 3: (taps * gain, up_x, down_x, left, right)}
        for axis in (3, 2) if up_x * up_y > 1 else (2, 3):  # few rows for the way within a row
            images = _product(images, axis, *ways[axis])
        return images
    images = _padded(_with_zeros(images, up_x, up_y), padding)
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
    return resample(doubled, taps, padding=_around(kernel, taps, 2), gain=4.0)


def convolved_down(
    images: Tensor, kernel: Tensor, taps: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Convolve while halving the size: (b, i, h, w) with (o, i, k, k) to (b, o, h/2, w/2)."""
    kernel, bias = kernel.to(images), None if bias is None else bias.to(images)
    width, side = taps.shape[-1], kernel.shape[-1]
    before = side // 2 + (width - 1) // 2
    after = side // 2 + (width - 2) // 2
    if side == 1:  # then it may come last, on a quarter of the pixels
        halved = resample(images, taps, down=2, padding=(before, after, before, after))
        return F.conv2d(halved, kernel, bias)
    blurred = resample(images, taps, padding=(before, after, before, after))
    return F.conv2d(blurred, kernel, bias, stride=2)


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
    """Cut at +- ``most``, unless that is 0; the gradient takes one pass where clamp's takes three.

    It is 0 also where a value is ``most`` to the last bit.
    """
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

    Args:
        features: (b, c, h, w).
        bias: (c,), added first.
        up_taps: Of the upsampling.
        down_taps: Of the downsampling.
        up: By how much the rate rises.
        down: By how much it falls then.
        padding: After the upsampling: left, right, top, bottom.
        gain: Of the nonlinearity.
        leak: Slope below zero.
        clamp: Where the values are cut; 0: nowhere.
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


def _padded(images: Tensor, padding: Sequence[int]) -> Tensor:
    return F.pad(images, tuple(padding)) if any(padding) else images


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


def _around(kernel: Tensor, taps: Tensor, up: int) -> tuple[int, int, int, int]:
    """Return the padding after a transposed convolution, which has grown the image by itself."""
    width, side = taps.shape[-1], kernel.shape[-1]
    before = side // 2 + (width + up - 1) // 2 - (side - 1)
    after = side // 2 + (width - up) // 2 - (side - up)
    return before, after, before, after
