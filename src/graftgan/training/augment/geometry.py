"""Changes of place: flips, shifts, turns, sizes. What comes from outside is reflected.

Differs from DiffAugment and from the usual transforms, which fill with zeros or black: a small set
teaches the generator to draw those borders (our first runs had black corners in their samples); a
mirrored border looks like the picture itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from graftgan.core.tensors import Images
from graftgan.training.augment.operations import (
    AUGMENTATIONS,
    Chances,
    Operation,
    normal,
    per_image,
    pixel_operation,
)

Matrices = Tensor  # (b, 3, 3): where in the source, in [-1, 1]^2, an output point is read
WarpFormula = Callable[[Chances, float, float], Matrices]  # chances, amount, height / width

_SMALLEST_CROP = 0.1  # share of the side


@pixel_operation("flip", draws=1, amount=0.5)
def flip(images: Images, chances: Chances, amount: float) -> Images:
    """Mirror left and right with probability ``amount``, at most a half."""
    chosen = chances[:, 0] < min(amount, 0.5)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


@pixel_operation("translate", draws=2, amount=0.125)
def translate(images: Images, chances: Chances, amount: float) -> Images:
    """Shift by whole pixels, up to ``amount`` times the side, every shift equally likely.

    Source: DiffAugment (Zhao et al. 2020, arXiv:2006.10738, section 3.2). Differs: reflects at the
    border, where the paper pads with zeros.
    """
    height, width = images.shape[-2:]
    rows = _whole_shifts(chances[:, 0], height, amount)
    columns = _whole_shifts(chances[:, 1], width, amount)
    return shift(images, rows=rows, columns=columns)


def shift(images: Images, *, rows: Tensor, columns: Tensor) -> Images:
    """Read pixel (y, x) of image i at (y + rows[i], x + columns[i]), reflected at the border.

    A gather is exact and took half the time of ``grid_sample`` on 64 images of 64 px.
    """
    height, width = images.shape[-2:]
    down = _reflected(rows, height)[:, :, None]
    right = _reflected(columns, width)[:, None, :]
    places = (down * width + right).flatten(start_dim=1)[:, None, :]
    return (
        images.flatten(start_dim=2)
        .gather(2, places.expand(-1, images.shape[1], -1))
        .view_as(images)
    )


@dataclass(frozen=True, slots=True)
class Warp(Operation):
    """An affine operation. Neighbours merge, so that pixels are interpolated only once."""

    formula: WarpFormula

    def change(self, images: Images, chances: Chances) -> Images:
        """Read every image where its matrix says."""
        if self.amount == 0:
            return images
        height, width = images.shape[-2:]
        return warp(images, self.formula(chances, self.amount, height / width))

    def then(self, following: Operation) -> "Warp | None":
        """Return one warp that does this one first and ``following`` second, if that is one too."""
        if not isinstance(following, Warp):
            return None

        def product(chances: Chances, amount: float, aspect: float) -> Matrices:
            del amount  # each part keeps its own
            first = self.formula(chances[:, : self.draws], self.amount, aspect)
            second = following.formula(chances[:, self.draws :], following.amount, aspect)
            return first @ second

        return Warp(self.draws + following.draws, self.amount + following.amount, product)


def warp_operation(name: str, *, draws: int, amount: float) -> Callable[[WarpFormula], WarpFormula]:
    """Return a decorator that registers a matrix formula as the operation ``name``."""

    def register(formula: WarpFormula) -> WarpFormula:
        AUGMENTATIONS.register(name)(Warp(draws, amount, formula))
        return formula

    return register


@warp_operation("rotate", draws=1, amount=10.0)
def rotate(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Turn about the centre by an angle from U(-amount, amount), in degrees."""
    return _turned(amount * (2 * chances[:, 0] - 1), aspect)


@warp_operation("crop", draws=3, amount=0.1)
def crop(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Enlarge a window with a side of 1 - ``amount`` to 1 times the picture's, placed at random."""
    del aspect  # the window has the picture's shape
    share = (1 - amount * chances[:, 0]).clamp(min=_SMALLEST_CROP)
    room = 1 - share
    x, y = ((2 * chances[:, i] - 1) * room for i in (1, 2))
    zero = torch.zeros_like(share)
    return _affine((share, zero, x), (zero, share, y))


@warp_operation("quarter_turn", draws=1, amount=90.0)
def quarter_turn(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Turn about the centre by -2, -1, 0 or 1 times ``amount`` degrees, each equally likely.

    Source: ADA (Karras et al. 2020, arXiv:2006.06676, appendix B), its rotation by multiples of
    90 degrees. In a picture that is not square a quarter turn brings in its mirrored border.
    """
    return _turned(amount * ((4 * chances[:, 0]).floor() - 2), aspect)


@warp_operation("zoom", draws=1, amount=0.2)
def zoom(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Enlarge by 2^n about the centre, n ~ N(0, amount^2) (ADA, appendix B)."""
    del aspect  # both sides alike
    share = torch.exp2(-amount * normal(chances[:, 0]))
    zero = torch.zeros_like(share)
    return _affine((share, zero, zero), (zero, share, zero))


@warp_operation("stretch", draws=1, amount=0.2)
def stretch(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Make 2^n times as wide and 2^-n times as high, n ~ N(0, amount^2) (ADA, appendix B)."""
    del aspect  # the axes are the picture's own
    share = torch.exp2(-amount * normal(chances[:, 0]))
    zero = torch.zeros_like(share)
    return _affine((share, zero, zero), (zero, 1 / share, zero))


@warp_operation("offset", draws=2, amount=0.125)
def offset(chances: Chances, amount: float, aspect: float) -> Matrices:
    """Shift by fractions of a pixel: either way N(0, amount^2) times the side (ADA, appendix B)."""
    del aspect  # in shares of either side
    x, y = (2 * amount * normal(chances[:, i]) for i in (0, 1))
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _affine((one, zero, x), (zero, one, y))


def warp(images: Images, matrices: Matrices) -> Images:
    """Read every image, reflected at its border, where its matrix sends each output pixel.

    Bicubic, because softness leaks too: rotated and cropped faces of 64 px kept 0.42 of their
    Laplacian's energy with bilinear reading and 0.69 with bicubic. Computes in float32 or better:
    half-precision coordinates would be off by pixels.

    Differs from ADA (Karras et al. 2020, appendix B), which reads a picture enlarged twice and low-
    pass filtered by wavelets: one read, so that a shrunk picture aliases a little. On pictures with
    a spectrum of 1/f, shrunk by 1.15 (a standard deviation of ``zoom``), it was off an ideal low
    pass by 0.12 of the picture's standard deviation, and so was the mean of 2 x 2 reads a pixel;
    shrunk by 1.5, by 0.21 against 0.13. The four reads took over four times as long, and left 0.5
    to 0.7 of the ideal's Laplacian energy: softness for every picture, against aliasing of a few.
    """
    height, width = images.shape[-2:]
    x = _pixel_centres(width, images.device)
    y = _pixel_centres(height, images.device)[:, None]
    (xx, xy, x0), (yx, yy, y0) = (
        [per_image(matrices[:, row, i], matrices)[:, 0] for i in range(3)] for row in (0, 1)
    )
    grid = torch.stack([xx * x + (xy * y + x0), yx * x + (yy * y + y0)], dim=-1)
    precise = images if images.dtype == torch.float64 else images.float()
    sampled = functional.grid_sample(
        precise, grid.to(precise.dtype), "bicubic", "reflection", align_corners=False
    )
    return sampled.to(images.dtype)


def _whole_shifts(chances: Tensor, size: int, amount: float) -> Tensor:
    largest = min(int(size * amount + 0.5), size - 1)
    return (chances * (2 * largest + 1)).floor().long() - largest


def _reflected(shifts: Tensor, size: int) -> Tensor:
    """Return (b, size): the place each shifted pixel is read, mirrored about the edge pixels."""
    places = (torch.arange(size, device=shifts.device) + shifts[:, None]).abs()
    return size - 1 - (size - 1 - places).abs()


def _turned(degrees: Tensor, aspect: float) -> Matrices:
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(angle)
    return _affine((cos, -aspect * sin, zero), (sin / aspect, cos, zero))


def _affine(x_row: Sequence[Tensor], y_row: Sequence[Tensor]) -> Matrices:
    one, zero = torch.ones_like(x_row[0]), torch.zeros_like(x_row[0])
    rows = [torch.stack(list(row), dim=-1) for row in (x_row, y_row, (zero, zero, one))]
    return torch.stack(rows, dim=1)


def _pixel_centres(size: int, device: torch.device) -> Tensor:
    """Return where the centres of ``size`` pixels lie when the picture's edges are -1 and 1."""
    return (2 * torch.arange(size, device=device, dtype=torch.float32) + 1) / size - 1
