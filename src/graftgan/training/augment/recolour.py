"""Changes of colour as ADA defines them: one matrix for every picture, applied to all its pixels.

Source: Karras et al. 2020, arXiv:2006.06676, section 2.3 and appendix B. A colour (r, g, b, 1) in
[-1, 1] is multiplied by a matrix; the gray axis is that of r = g = b. Differs: the amounts are
arguments. Nothing is clamped, so that gradients reach every pixel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.tensors import Images
from graftgan.training.augment.operations import AUGMENTATIONS, Chances, Operation, normal

ColourMatrices = Tensor  # (b, 4, 4): from a colour (r, g, b, 1) to the changed one
RecolourFormula = Callable[[Chances, float], ColourMatrices]  # chances, amount


@dataclass(frozen=True, slots=True)
class Recolour(Operation):
    """A linear change of colours. Neighbours merge, so that pixels are multiplied only once."""

    formula: RecolourFormula

    def change(self, images: Images, chances: Chances) -> Images:
        """Multiply the colours of every image by its matrix."""
        return recolour(images, self.formula(chances, self.amount)) if self.amount else images

    def then(self, following: Operation) -> "Recolour | None":
        """Return one change that does this one first, then ``following``, if that is one too."""
        if not isinstance(following, Recolour):
            return None

        def product(chances: Chances, amount: float) -> ColourMatrices:
            del amount  # each part keeps its own
            first = self.formula(chances[:, : self.draws], self.amount)
            second = following.formula(chances[:, self.draws :], following.amount)
            return second @ first

        return Recolour(self.draws + following.draws, self.amount + following.amount, product)


def recolour_operation(
    name: str, *, draws: int, amount: float
) -> Callable[[RecolourFormula], RecolourFormula]:
    """Return a decorator that registers a matrix formula as the operation ``name``."""

    def register(formula: RecolourFormula) -> RecolourFormula:
        AUGMENTATIONS.register(name)(Recolour(draws, amount, formula))
        return formula

    return register


@recolour_operation("exposure", draws=1, amount=0.2)
def exposure(chances: Chances, amount: float) -> ColourMatrices:
    """Add to every channel one number from N(0, amount^2): ADA's brightness."""
    added = amount * normal(chances[:, 0])
    return _matrices(_plain(added), added)


@recolour_operation("gain", draws=1, amount=0.5)
def gain(chances: Chances, amount: float) -> ColourMatrices:
    """Scale about mid-gray, which is 0, by 2^n, n ~ N(0, amount^2): ADA's contrast."""
    factor = torch.exp2(amount * normal(chances[:, 0]))
    return _matrices(factor[:, None, None] * _plain(factor), torch.zeros_like(factor))


@recolour_operation("luma_flip", draws=1, amount=0.5)
def luma_flip(chances: Chances, amount: float) -> ColourMatrices:
    """Reverse light and dark with probability ``amount``, at most a half; colours keep their hue.

    The reflection I - 2 v v^T along the gray axis v; a picture of one channel becomes its negative.
    """
    chosen = (chances[:, 0] < min(amount, 0.5)).to(chances.dtype)
    reflected = _plain(chosen) - 2 * chosen[:, None, None] * _along_gray(chosen)
    return _matrices(reflected, torch.zeros_like(chosen))


@recolour_operation("hue", draws=1, amount=180.0)
def hue(chances: Chances, amount: float) -> ColourMatrices:
    """Turn colours about the gray axis by an angle from U(-amount, amount), in degrees.

    By Rodrigues' formula I + (cos - 1) (I - v v^T) + sin [v]_x, v the unit vector of that axis.
    """
    angle = torch.deg2rad(amount * (2 * chances[:, 0] - 1))
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    plain, gray = _plain(angle), _along_gray(angle)
    back = plain.roll(1, dims=1)
    about = (back - back.mT) / math.sqrt(3)
    turned = plain + (cos - 1) * (plain - gray) + sin * about
    return _matrices(turned, torch.zeros_like(angle))


@recolour_operation("vividness", draws=1, amount=1.0)
def vividness(chances: Chances, amount: float) -> ColourMatrices:
    """Scale colours about the gray axis by 2^n, n ~ N(0, amount^2): ADA's saturation.

    v v^T + 2^n (I - v v^T), v the unit vector of that axis.
    """
    factor = torch.exp2(amount * normal(chances[:, 0]))
    plain = _plain(factor)
    scaled = plain + (factor - 1)[:, None, None] * (plain - _along_gray(factor))
    return _matrices(scaled, torch.zeros_like(factor))


def recolour(images: Images, matrices: ColourMatrices) -> Images:
    """Multiply the colours of image i by matrix i, in float32 or better.

    A picture of one channel is taken as one of equal red, green and blue, and stays gray under all
    operations here: their matrices send the gray axis to itself.

    Args:
        images: (b, 1 or 3, h, w).
        matrices: (b, 4, 4).
    """
    linear, shift = matrices[:, :3, :3], matrices[:, :3, 3:]
    if images.shape[1] == 1:
        linear, shift = linear.sum(dim=2, keepdim=True).mean(dim=1, keepdim=True), shift[:, :1]
    precise = images if images.dtype == torch.float64 else images.float()
    changed = torch.baddbmm(shift.to(precise.dtype), linear.to(precise.dtype), precise.flatten(2))
    return changed.view_as(images).to(images.dtype)


def _plain(numbers: Tensor) -> Tensor:
    """Return (b, 3, 3): the matrix that changes no colour, for each of ``numbers`` (b,)."""
    return torch.eye(3, dtype=numbers.dtype, device=numbers.device).expand(len(numbers), 3, 3)


def _along_gray(numbers: Tensor) -> Tensor:
    """Return (3, 3): v v^T, the projection on the gray axis with its unit vector v."""
    return torch.full((3, 3), 1 / 3, dtype=numbers.dtype, device=numbers.device)


def _matrices(linear: Tensor, shift: Tensor) -> ColourMatrices:
    """Return the matrices of ``linear`` (b, 3, 3) maps that then add ``shift`` (b,) to all."""
    homogeneous = torch.nn.functional.pad(linear, (0, 1, 0, 1))
    homogeneous[:, :3, 3] = shift[:, None]
    homogeneous[:, 3, 3] = 1
    return homogeneous
