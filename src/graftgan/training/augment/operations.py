"""The operations of augmentations, controlled by a few uniform numbers per image.

The numbers are drawn first, on the generator's own device; the operation itself draws nothing. So a
CPU generator gives the same augmentation on every machine, and a test can choose the change. Most
operations have a symmetric range, where 0.5 changes nothing; those can be drawn one by one
(``apply_by_chance``).

Colours change as in DiffAugment (Zhao et al. 2020, arXiv:2006.10738, section 3.2) and ADA (Karras
et al. 2020, arXiv:2006.06676, section 2.3 and appendix B). Differs: the ranges are arguments, and
nothing is clamped here, so that gradients reach every pixel.

Geometric operations reflect at the border. DiffAugment and the usual transforms fill with zeros: on
a small set the generator learns to draw those borders (our first samples had black corners), while
a mirrored border looks like the picture itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.network_types import Images
from graftgan.core.registry import Registry

Chances = Tensor  # (b, draws), float32, uniform in [0, 1)
Matrices = Tensor  # one for each image of a batch
MatrixFormula = Callable[[Chances, float, float], Matrices]  # chances, amount, height / width
Apply = Callable[[Images, Matrices], Images]
_SMALLEST_CROP = 0.1  # share of the side


@dataclass(frozen=True, slots=True)
class Operation:
    """One registered augmentation; gradients flow to the images.

    Attributes:
        draws: Uniform numbers it takes per image.
        amount: Half-width of its range, in its own unit; 0 changes nothing.
        formula: Maps images (b, c, h, w), their numbers and the amount to changed images.
    """

    draws: int
    amount: float
    formula: Callable[..., Tensor]

    def __call__(self, images: Images, rng: torch.Generator) -> Images:
        """Draw numbers from ``rng`` and change every image by its own."""
        return self.change(images, draw_chances(len(images), self.draws, rng).to(images.device))

    def change(self, images: Images, chances: Chances) -> Images:
        """Change image i by row i of ``chances``; both on the same device."""
        return self.formula(images, chances, self.amount) if self.amount else images

    def with_amount(self, amount: float) -> Self:
        """Return the same operation with another range."""
        return replace(self, amount=amount)

    def then(self, following: "Operation") -> "Operation | None":
        """Return one operation that does this one and then ``following``; None: they stay two."""


@dataclass(frozen=True, slots=True)
class MatrixOperation(Operation):
    """A linear change of coordinates or colours. Neighbours merge, so pixels are read only once.

    Attributes:
        formula: Maps numbers, amount and height over width to a matrix for each image.
        apply: Applies the matrices to images: :func:`warp` or :func:`recolour`.
    """

    formula: MatrixFormula
    apply: Apply

    def change(self, images: Images, chances: Chances) -> Images:
        """Apply to every image its matrix."""
        if not self.amount:
            return images
        aspect = images.shape[-2] / images.shape[-1]
        return self.apply(images, self.formula(chances, self.amount, aspect))

    def then(self, following: Operation) -> Operation | None:
        """Return one operation by matrix products, if ``following`` has the same ``apply``."""
        if not isinstance(following, MatrixOperation) or following.apply is not self.apply:
            return None

        def product(chances: Chances, amount: float, aspect: float) -> Matrices:
            first = self.formula(chances[:, : self.draws], self.amount, aspect)
            second = following.formula(chances[:, self.draws :], following.amount, aspect)
            return first @ second if self.apply is warp else second @ first

        draws, amount = self.draws + following.draws, self.amount + following.amount
        return MatrixOperation(draws, amount, product, self.apply)


AUGMENTATIONS: Registry[Operation] = Registry("augmentation")

_AnyFormula = TypeVar("_AnyFormula", bound=Callable[..., Tensor])


def operation(
    name: str, *, draws: int, amount: float, apply: Apply | None = None
) -> Callable[[_AnyFormula], _AnyFormula]:
    """Return a decorator that registers a formula as the operation ``name``.

    Without ``apply`` it is the formula of an Operation, with it that of a MatrixOperation.
    """

    def register(formula: _AnyFormula) -> _AnyFormula:
        if apply is None:
            AUGMENTATIONS.register(name)(Operation(draws, amount, formula))
        else:
            AUGMENTATIONS.register(name)(MatrixOperation(draws, amount, formula, apply))
        return formula

    return register


def draw_chances(count: int, draws: int, rng: torch.Generator) -> Chances:
    """Draw ``draws`` uniform numbers for each of ``count`` images, on the generator's device."""
    return torch.rand(count, draws, generator=rng, device=rng.device)


def change_in_turn(images: Images, operations: Sequence[Operation], chances: Chances) -> Images:
    """Apply ``operations`` one after the other; each takes the next columns of ``chances``."""
    start = 0
    for each in operations:
        images = each.change(images, chances[:, start : start + each.draws])
        start += each.draws
    return images


def merge_neighbours(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Merge every run of neighbours that can merge."""
    merged: list[Operation] = []
    for each in operations:
        both = merged[-1].then(each) if merged else None
        merged = [*merged, each] if both is None else [*merged[:-1], both]
    return tuple(merged)


def normal(chances: Tensor) -> Tensor:
    """Map uniform numbers in [0, 1] to standard normal ones, by the inverse CDF.

    0.5 becomes exactly 0. The result is within 5.2 standard deviations, the resolution of float32
    (2^-24) near 0 and 1.
    """
    return 2**0.5 * torch.erfinv(2 * chances.clamp(2**-24, 1 - 2**-24) - 1)


def per_image(numbers: Tensor, images: Images) -> Tensor:
    """Shape one number per image (b,) so that it broadcasts over ``images`` in their type."""
    return numbers.to(images.dtype)[:, None, None, None]


@operation("brightness", draws=1, amount=0.5)
def brightness(images: Images, chances: Chances, amount: float) -> Images:
    """Add to every image one number from U(-amount, amount)."""
    return images + per_image(amount * (2 * chances[:, 0] - 1), images)


@operation("saturation", draws=1, amount=1.0)
def saturation(images: Images, chances: Chances, amount: float) -> Images:
    """Scale colours about the gray of every pixel, its mean over the channels."""
    gray = images.mean(dim=1, keepdim=True)
    return torch.lerp(gray, images, _factor(images, chances, amount))


@operation("contrast", draws=1, amount=0.5)
def contrast(images: Images, chances: Chances, amount: float) -> Images:
    """Scale every image about its mean over pixels and channels."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _factor(images, chances, amount))


def _factor(images: Images, chances: Chances, amount: float) -> torch.Tensor:
    """Return a factor per image from U(1 - amount, 1 + amount), never below 0 (a negative)."""
    return per_image((1 + amount * (2 * chances[:, 0] - 1)).clamp(min=0), images)


@operation("flip", draws=1, amount=0.5)
def flip(images: Images, chances: Chances, amount: float) -> Images:
    """Mirror left and right with probability ``amount``, at most a half."""
    chosen = chances[:, 0] < min(amount, 0.5)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


@operation("translate", draws=2, amount=0.125)
def translate(images: Images, chances: Chances, amount: float) -> Images:
    """Shift by whole pixels, up to ``amount`` times the side, uniformly.

    Source: DiffAugment (Zhao et al. 2020, arXiv:2006.10738, section 3.2). Differs: reflects at the
    border, where the paper pads with zeros.
    """
    sides = images.shape[-2:]
    rows, columns = (_whole_shifts(chances[:, i], sides[i], amount) for i in (0, 1))
    return shift(images, rows=rows, columns=columns)


def shift(images: Images, *, rows: Tensor, columns: Tensor) -> Images:
    """Read pixel (y, x) of image i at (y + rows[i], x + columns[i]), reflected at the border.

    A gather is exact and took half the time of ``grid_sample`` on 64 images of 64 px.
    """
    height, width = images.shape[-2:]
    down = _reflected(rows, height)[:, :, None]
    right = _reflected(columns, width)[:, None, :]
    places = (down * width + right).flatten(start_dim=1)[:, None, :].expand(-1, images.shape[1], -1)
    return images.flatten(start_dim=2).gather(2, places).view_as(images)


def warp(images: Images, matrices: Matrices) -> Images:
    """Resample every image, reflected at its border, at the points that its matrix (b, 3, 3) gives.

    A matrix maps output points to source points, both in [-1, 1]^2.

    Bicubic, because blur leaks too: rotated and cropped faces of 64 px kept 0.42 of their
    Laplacian's energy with bilinear and 0.69 with bicubic sampling. Computes in float32 or better:
    half-precision coordinates would be off by pixels.

    Differs from ADA (Karras et al. 2020, appendix B), which samples a picture that was enlarged
    twice and low-pass filtered by wavelets: one sample, so that a shrunk picture aliases a little.
    On pictures with a spectrum of 1/f, shrunk by 1.15 (a standard deviation of ``zoom``), it
    differed from an ideal low pass by 0.12 of the picture's standard deviation, as did the mean of
    2 x 2 samples a pixel; shrunk by 1.5, by 0.21 against 0.13. The four samples took over four
    times as long and left 0.5 to 0.7 of the ideal's Laplacian energy: blur in every picture against
    aliasing in a few.
    """
    height, width = images.shape[-2:]
    x = _pixel_centres(width, images.device)
    y = _pixel_centres(height, images.device)[:, None]
    (xx, xy, x0), (yx, yy, y0) = (
        [per_image(matrices[:, row, i], matrices)[:, 0] for i in range(3)] for row in (0, 1)
    )
    grid = torch.stack([xx * x + (xy * y + x0), yx * x + (yy * y + y0)], dim=-1)
    precise = images if images.dtype == torch.float64 else images.float()
    sampled = F.grid_sample(
        precise, grid.to(precise.dtype), "bicubic", "reflection", align_corners=False
    )
    return sampled.to(images.dtype)


@operation("rotate", draws=1, amount=10.0, apply=warp)
def rotate(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Turn about the centre by an angle from U(-amount, amount), in degrees."""
    return _turned(amount * (2 * chances[:, 0] - 1), aspect)


@operation("crop", draws=3, amount=0.1, apply=warp)
def crop(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Enlarge a random window with a side of 1 - ``amount`` to 1 times the picture's."""
    share = (1 - amount * chances[:, 0]).clamp(min=_SMALLEST_CROP)
    room = 1 - share
    x, y = ((2 * chances[:, i] - 1) * room for i in (1, 2))
    return _affine((share, 0, x), (0, share, y))


@operation("quarter_turn", draws=1, amount=90.0, apply=warp)
def quarter_turn(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Turn about the centre by -2, -1, 0 or 1 times ``amount`` degrees, each equally likely.

    Source: ADA (Karras et al. 2020, arXiv:2006.06676, appendix B), its rotation by multiples of
    90 degrees. In a picture that is not square, a quarter turn shows the mirrored border.
    """
    return _turned(amount * ((4 * chances[:, 0]).floor() - 2), aspect)


@operation("zoom", draws=1, amount=0.2, apply=warp)
def zoom(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Enlarge by 2^n about the centre, n ~ N(0, amount^2) (ADA, appendix B)."""
    share = torch.exp2(-amount * normal(chances[:, 0]))
    return _affine((share, 0, 0), (0, share, 0))


@operation("stretch", draws=1, amount=0.2, apply=warp)
def stretch(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Make 2^n times as wide and 2^-n times as high, n ~ N(0, amount^2) (ADA, appendix B)."""
    share = torch.exp2(-amount * normal(chances[:, 0]))
    return _affine((share, 0, 0), (0, 1 / share, 0))


@operation("offset", draws=2, amount=0.125, apply=warp)
def offset(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Shift by N(0, amount^2) times the side, both ways, not in whole pixels (ADA, appendix B)."""
    x, y = (2 * amount * normal(chances[:, i]) for i in (0, 1))
    return _affine((1, 0, x), (0, 1, y))


def _whole_shifts(chances: Tensor, size: int, amount: float) -> Tensor:
    largest = min(int(size * amount + 0.5), size - 1)
    return (chances * (2 * largest + 1)).floor().long() - largest


def _reflected(shifts: Tensor, size: int) -> Tensor:
    """Return (b, size): where each shifted pixel is read, mirrored about the edge pixels."""
    places = (torch.arange(size, device=shifts.device) + shifts[:, None]).abs()
    return size - 1 - (size - 1 - places).abs()


def _turned(degrees: Tensor, aspect: float) -> Matrices:
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    return _affine((cos, -aspect * sin, 0), (sin / aspect, cos, 0))


def _affine(x_row: Sequence[Tensor | float], y_row: Sequence[Tensor | float]) -> Matrices:
    """Return matrices of these rows; a plain number is the same for all images."""
    entries = (*x_row, *y_row, 0, 0, 1)
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    entries = [torch.as_tensor(entry).to(like).expand_as(like) for entry in entries]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def _pixel_centres(size: int, device: torch.device) -> Tensor:
    """Return the coordinates of the centres of ``size`` pixels between the edges -1 and 1."""
    return (2 * torch.arange(size, device=device, dtype=torch.float32) + 1) / size - 1


@operation("cutout", draws=2, amount=0.5)
def cutout(images: Images, chances: Chances, amount: float) -> Images:
    """Set a square of ``amount`` times the side to 0, which is mid-gray; part may fall outside.

    Source: DiffAugment (Zhao et al. 2020, arXiv:2006.10738, section 3.2), after DeVries and Taylor
    2017. Use it on both real and generated pictures, or gray squares leak into the samples.
    """
    sides = images.shape[-2:]
    rows, columns = (_hidden(chances[:, i], sides[i], amount) for i in (0, 1))
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return images * (~hidden).to(images.dtype)


def _hidden(chances: torch.Tensor, size: int, amount: float) -> torch.Tensor:
    """Return (b, size), true where the square lies; its centre is uniform over the picture."""
    side = int(size * amount + 0.5)
    centres = (chances * (size + 1 - side % 2)).floor()[:, None]
    distance = torch.arange(size, device=chances.device) - centres + side // 2
    return (distance >= 0) & (distance < side)


def recolour(images: Images, matrices: Matrices) -> Images:
    """Multiply the colours (r, g, b, 1) of images (b, 1 or 3, h, w) by their matrices (b, 4, 4).

    Computes in float32 or better. A picture of one channel is treated as r = g = b, and stays gray:
    all matrices here map that gray axis to itself.
    """
    linear, shift = matrices[:, :3, :3], matrices[:, :3, 3:]
    if images.shape[1] == 1:
        linear, shift = linear.sum(dim=2, keepdim=True).mean(dim=1, keepdim=True), shift[:, :1]
    precise = images if images.dtype == torch.float64 else images.float()
    changed = torch.baddbmm(shift.to(precise.dtype), linear.to(precise.dtype), precise.flatten(2))
    return changed.view_as(images).to(images.dtype)


@operation("exposure", draws=1, amount=0.2, apply=recolour)
def exposure(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Add to every channel one number from N(0, amount^2): ADA's brightness."""
    added = amount * normal(chances[:, 0])
    return _matrices(_plain(added), added)


@operation("gain", draws=1, amount=0.5, apply=recolour)
def gain(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Scale about mid-gray, which is 0, by 2^n, n ~ N(0, amount^2): ADA's contrast."""
    factor = torch.exp2(amount * normal(chances[:, 0]))
    return _matrices(factor[:, None, None] * _plain(factor))


@operation("luma_flip", draws=1, amount=0.5, apply=recolour)
def luma_flip(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Reverse light and dark with probability ``amount``, at most a half; colours keep their hue.

    The reflection I - 2 v v^T along the gray axis v; a picture of one channel becomes its negative.
    """
    chosen = (chances[:, 0] < min(amount, 0.5)).to(chances.dtype)
    return _matrices(_plain(chosen) - 2 * chosen[:, None, None] * _along_gray(chosen))


@operation("hue", draws=1, amount=180.0, apply=recolour)
def hue(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Turn colours about the gray axis by an angle from U(-amount, amount), in degrees.

    By Rodrigues' formula I + (cos - 1) (I - v v^T) + sin [v]_x, v the unit vector of that axis.
    """
    angle = torch.deg2rad(amount * (2 * chances[:, 0] - 1))
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    plain, gray = _plain(angle), _along_gray(angle)
    back = plain.roll(1, dims=1)
    about = (back - back.mT) / math.sqrt(3)
    return _matrices(plain + (cos - 1) * (plain - gray) + sin * about)


@operation("vividness", draws=1, amount=1.0, apply=recolour)
def vividness(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Scale colours about the gray axis by 2^n, n ~ N(0, amount^2): ADA's saturation.

    v v^T + 2^n (I - v v^T), v the unit vector of that axis.
    """
    factor = torch.exp2(amount * normal(chances[:, 0]))
    plain = _plain(factor)
    return _matrices(plain + (factor - 1)[:, None, None] * (plain - _along_gray(factor)))


def _plain(numbers: Tensor) -> Tensor:
    """Return (b, 3, 3): an identity for each of ``numbers`` (b,)."""
    return torch.eye(3, dtype=numbers.dtype, device=numbers.device).expand(len(numbers), 3, 3)


def _along_gray(numbers: Tensor) -> Tensor:
    """Return (3, 3): v v^T, the projection on the gray axis."""
    return torch.full((3, 3), 1 / 3, dtype=numbers.dtype, device=numbers.device)


def _matrices(linear: Tensor, shift: Tensor | None = None) -> Matrices:
    """Return the matrices of ``linear`` (b, 3, 3) maps that then add ``shift`` (b,) to all."""
    homogeneous = F.pad(linear, (0, 1, 0, 1))
    if shift is not None:
        homogeneous[:, :3, 3] = shift[:, None]
    homogeneous[:, 3, 3] = 1
    return homogeneous
