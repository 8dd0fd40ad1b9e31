"""The named policies: which operations, how far each goes, and which images they change.

A policy on reals only widens a small set; the generator may learn its changes, so they must be
plausible pictures. A policy on both is invisible to the generator as long as the discriminator
never sees a picture without it (Zhao et al. 2020, section 3.2).
"""

from dataclasses import dataclass
from typing import Literal

from graftgan.registry import Registry


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy, by its name in ``AUGMENTATIONS``, with its range there."""

    operation: str
    amount: float


@dataclass(frozen=True, slots=True)
class Policy:
    """A named list of steps.

    Attributes:
        name: Its name in ``POLICIES``.
        operations: The steps, in order.
        applies_to: ``real``: only real pictures are changed, then clamped to [-1, 1]; ``both``:
            real and generated ones are, without a clamp, so that gradients pass.
    """

    name: str
    operations: tuple[Step, ...]
    applies_to: Literal["real", "both"]


POLICIES: Registry[Policy] = Registry("augmentation policy")

_COLOUR = (Step("brightness", 0.5), Step("saturation", 1.0), Step("contrast", 0.5))
_TRANSLATION = (Step("translate", 0.125),)
_CUTOUT = (Step("cutout", 0.5),)


def _light(*, degrees: float, crop: float, colour: float) -> tuple[Step, ...]:
    """Paper 001, sections 3.2.3 and 4.3.2: rotation, cropping, flipping, saturation, contrast."""
    return (
        Step("flip", 0.5),
        Step("rotate", degrees),
        Step("crop", crop),
        Step("saturation", colour),
        Step("contrast", colour),
    )


_ALL = (
    Policy("none", (), "real"),
    # "Slightly and randomly modify the image of the target domain" (paper 001, 3.2.3).
    Policy("light", _light(degrees=10.0, crop=0.1, colour=0.2), "real"),
    # The paper's "augmentation 2" (table 2).
    Policy("light_strong", _light(degrees=20.0, crop=0.2, colour=0.4), "real"),
    # DiffAugment (Zhao et al. 2020), its full policy and its lighter one without cutout.
    Policy("diffaugment", _COLOUR + _TRANSLATION + _CUTOUT, "both"),
    Policy("diffaugment_color_translation", _COLOUR + _TRANSLATION, "both"),
)
for _policy in _ALL:
    POLICIES.register(_policy.name)(_policy)
