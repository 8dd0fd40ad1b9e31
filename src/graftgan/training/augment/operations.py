"""What an augmentation is: a change of images steered by a few uniform numbers per image.

The numbers are drawn first, on the generator's own device, and moved; the change itself draws
nothing. So a CPU generator gives the same augmentation on every machine, and a test can ask for
one particular change.

Of most operations 0.5 is the number that changes nothing: their ranges are symmetric. Those can be
drawn one by one (``probabilities.py``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from graftgan.core.registry import Registry
from graftgan.core.tensors import Images

Chances = Tensor  # (b, draws), float32, uniform in [0, 1)
Formula = Callable[[Images, Chances, float], Images]


class Augmentation(Protocol):
    """Changes every image by a random draw of its own; gradients flow to the images."""

    def __call__(self, images: Images, rng: torch.Generator) -> Images:
        """Map images (b, c, h, w) to changed images of the same shape and type."""
        ...


@dataclass(frozen=True, slots=True)
class Operation(ABC):
    """One registered augmentation.

    Attributes:
        draws: How many uniform numbers it takes per image.
        amount: Half-width of its range, in its own unit; 0 changes nothing.
    """

    draws: int
    amount: float

    def __call__(self, images: Images, rng: torch.Generator) -> Images:
        """Draw numbers from ``rng`` and change every image by its own."""
        return self.change(images, draw_chances(len(images), self.draws, rng).to(images.device))

    @abstractmethod
    def change(self, images: Images, chances: Chances) -> Images:
        """Change image i as row i of ``chances`` says; both on the same device."""

    def with_amount(self, amount: float) -> Self:
        """Return the same operation with another range."""
        return replace(self, amount=amount)

    def then(self, following: "Operation") -> "Operation | None":
        """Return one operation that does this one and then ``following``; None: they stay two."""
        del following
        return None


@dataclass(frozen=True, slots=True)
class PixelOperation(Operation):
    """An operation that is a formula on pixels."""

    formula: Formula

    def change(self, images: Images, chances: Chances) -> Images:
        """Apply the formula."""
        return self.formula(images, chances, self.amount) if self.amount else images


AUGMENTATIONS: Registry[Operation] = Registry("augmentation")


def pixel_operation(name: str, *, draws: int, amount: float) -> Callable[[Formula], Formula]:
    """Return a decorator that registers a formula as the operation ``name``."""

    def register(formula: Formula) -> Formula:
        AUGMENTATIONS.register(name)(PixelOperation(draws, amount, formula))
        return formula

    return register


def draw_chances(count: int, draws: int, rng: torch.Generator) -> Chances:
    """Draw ``draws`` uniform numbers for each of ``count`` images, on the generator's device."""
    return torch.rand(count, draws, generator=rng, device=rng.device)


def change_in_turn(images: Images, operations: Sequence[Operation], chances: Chances) -> Images:
    """Apply ``operations`` one after the other; each takes the next columns of ``chances``."""
    start = 0
    for operation in operations:
        images = operation.change(images, chances[:, start : start + operation.draws])
        start += operation.draws
    return images


def merge_neighbours(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Replace every run of neighbours that merge by one operation that does the same."""
    merged: list[Operation] = []
    for operation in operations:
        both = merged[-1].then(operation) if merged else None
        if both is None:
            merged.append(operation)
        else:
            merged[-1] = both
    return tuple(merged)


def normal(chances: Tensor) -> Tensor:
    """Map uniform numbers in [0, 1] to standard normal ones, by the inverse of their distribution.

    0.5 becomes exactly 0. Beyond 5.2 standard deviations nothing is drawn: that is as far as the
    steps of 2^-24, in which float32 numbers come, tell the ends from 0 and 1.
    """
    return 2**0.5 * torch.erfinv(2 * chances.clamp(2**-24, 1 - 2**-24) - 1)


def per_image(numbers: Tensor, images: Images) -> Tensor:
    """Shape one number per image (b,) so that it broadcasts over ``images`` in their type."""
    return numbers.to(images.dtype)[:, None, None, None]
