"""The named policies: which operations, how far each goes, and which images they change.

A policy on reals only widens a small set; the generator may learn its changes, so they must be
plausible pictures. A policy on both is invisible to the generator as long as the discriminator
never sees a picture without it (Zhao et al. 2020, section 3.2), or sees it often enough
(Karras et al. 2020, arXiv:2006.06676, section 2.2).
"""

from dataclasses import dataclass, replace
from typing import Literal

from graftgan.core.registry import Registry


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy.

    Attributes:
        operation: Its name in ``AUGMENTATIONS``.
        amount: Its range there.
        one_of: How many steps of the policy share its probability, where steps are drawn each for
            itself: 2 for each of two turns, so that a picture is turned at all with probability p.
    """

    operation: str
    amount: float
    one_of: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """A named list of steps.

    Attributes:
        name: Its name in ``POLICIES``.
        operations: The steps, in order.
        applies_to: ``real``: only real pictures are changed, then clamped to [-1, 1]; ``both``:
            real and generated ones are, without a clamp, so that gradients pass.
        each: Whether every step is drawn for itself, with the probability of the settings; else
            all are, or none. Such steps change nothing of a picture whose numbers are 0.5.
        probability: That of the settings, where a person does not say.
        fade_out: The same.
        adaptive: Whether the probability follows the discriminator; it starts at ``probability``.
    """

    name: str
    operations: tuple[Step, ...]
    applies_to: Literal["real", "both"]
    each: bool = False
    probability: float = 1.0
    fade_out: float = 0.1
    adaptive: bool = False


POLICIES: Registry[Policy] = Registry("augmentation policy")

_COLOUR = (Step("brightness", 0.5), Step("saturation", 1.0), Step("contrast", 0.5))
_TRANSLATION = (Step("translate", 0.125),)
_CUTOUT = (Step("cutout", 0.5),)

# The groups of ADA (Karras et al. 2020, section 2.3 and appendix B), at its strengths.
_BLIT = (Step("flip", 0.5), Step("translate", 0.125), Step("quarter_turn", 90.0))
_GEOMETRY = (
    Step("zoom", 0.2),
    Step("rotate", 180.0, one_of=2),
    Step("stretch", 0.2),
    Step("rotate", 180.0, one_of=2),
    Step("offset", 0.125),
)
_RECOLOUR = (
    Step("exposure", 0.2),
    Step("gain", 0.5),
    Step("luma_flip", 0.5),
    Step("hue", 180.0),
    Step("vividness", 1.0),
)
FIXED_PROBABILITY = 0.2
"""Of ADA's operations where nothing moves it: enough to see, little enough not to leak."""


def _light(*, degrees: float, crop: float, colour: float) -> tuple[Step, ...]:
    """Paper 001, sections 3.2.3 and 4.3.2: rotation, cropping, flipping, saturation, contrast."""
    return (
        Step("flip", 0.5),
        Step("rotate", degrees),
        Step("crop", crop),
        Step("saturation", colour),
        Step("contrast", colour),
    )


def _fixed(name: str, operations: tuple[Step, ...]) -> Policy:
    """Return a part of ADA's pipeline, with the probability at which its authors fix it."""
    return Policy(name, operations, "both", each=True, probability=FIXED_PROBABILITY)


_ALL = (
    Policy("none", (), "real"),
    # "Slightly and randomly modify the image of the target domain" (paper 001, 3.2.3).
    Policy("light", _light(degrees=10.0, crop=0.1, colour=0.2), "real"),
    # The paper's "augmentation 2" (table 2).
    Policy("light_strong", _light(degrees=20.0, crop=0.2, colour=0.4), "real"),
    # DiffAugment (Zhao et al. 2020), its full policy and its lighter one without cutout.
    Policy("diffaugment", _COLOUR + _TRANSLATION + _CUTOUT, "both"),
    Policy("diffaugment_color_translation", _COLOUR + _TRANSLATION, "both"),
    _fixed("blit", _BLIT),
    _fixed("geom", _GEOMETRY),
    _fixed("color", _RECOLOUR),
    _fixed("bg", _BLIT + _GEOMETRY),
    _fixed("bgc", _BLIT + _GEOMETRY + _RECOLOUR),
    # A fade would work against what moves the probability: fewer changes, more overfitting.
    replace(
        _fixed("ada", _BLIT + _GEOMETRY + _RECOLOUR), probability=0.0, fade_out=0.0, adaptive=True
    ),
)
for _policy in _ALL:
    POLICIES.register(_policy.name)(_policy)
