"""Named augmentation policies, applied to what the discriminator sees, image by image.

A policy on real pictures enlarges a small set; the generator may learn its changes, so they must be
plausible. A policy on both does not show in samples as long as the discriminator never sees a
picture without it (Zhao et al. 2020, section 3.2), or sees one often enough without (Karras et al.
2020, arXiv:2006.06676, section 2.2).

One draw decides for a whole policy, or one for each operation. To leave an operation out, its
numbers become 0.5, which changes nothing. So the draws do not depend on the probability, and
operations still merge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Images, Logits, Scalar
from graftgan.core.registry import Registry
from graftgan.core.settings import strict
from graftgan.training.augment.operations import (
    AUGMENTATIONS,
    Chances,
    Operation,
    change_in_turn,
    draw_chances,
    merge_neighbours,
)

_TURNS = 4  # of the discriminator, between two steps of an adaptive probability

Probability = float | Tensor  # a tensor () if it is adaptive


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy, with its range.

    Attributes:
        one_of: How many steps share one probability, in policies that draw for each step: with 2
            for each of two rotations, a picture is rotated at all with probability p.
    """

    operation: str
    amount: float
    one_of: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """A named list of steps.

    Attributes:
        applies_to: ``real``: only real pictures are changed, then clamped to [-1, 1]; ``both``:
            real and generated ones, without a clamp, so that gradients pass.
        each: Whether each step is drawn separately; else all are applied, or none. Such steps must
            change nothing where their numbers are 0.5.
        probability: The default of the setting; ``fade_out`` likewise.
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
"""Of ADA's operations if not adaptive: enough to see, little enough not to leak."""


def _light(*, degrees: float, crop: float, colour: float) -> tuple[Step, ...]:
    """Paper 001, sections 3.2.3 and 4.3.2: rotation, cropping, flipping, saturation, contrast."""
    colours = (Step("saturation", colour), Step("contrast", colour))
    return (Step("flip", 0.5), Step("rotate", degrees), Step("crop", crop), *colours)


def _fixed(name: str, operations: tuple[Step, ...]) -> Policy:
    """Return a part of ADA's pipeline with its authors' fixed probability."""
    return Policy(name, operations, "both", each=True, probability=FIXED_PROBABILITY)


_ALL = (
    Policy("none", (), "real"),
    # "Slightly and randomly modify the image of the target domain" (paper 001, 3.2.3).
    Policy("light", _light(degrees=10.0, crop=0.1, colour=0.2), "real"),
    # The paper's "augmentation 2" (table 2).
    Policy("light_strong", _light(degrees=20.0, crop=0.2, colour=0.4), "real"),
    # DiffAugment (Zhao et al. 2020), its full policy and its lighter one without cutout.
    Policy("diffaugment", (*_COLOUR, *_TRANSLATION, Step("cutout", 0.5)), "both"),
    Policy("diffaugment_color_translation", _COLOUR + _TRANSLATION, "both"),
    _fixed("blit", _BLIT),
    _fixed("geom", _GEOMETRY),
    _fixed("color", _RECOLOUR),
    _fixed("bg", _BLIT + _GEOMETRY),
    _fixed("bgc", _BLIT + _GEOMETRY + _RECOLOUR),
    # A fade-out would work against the controller: fewer changes, more overfitting.
    replace(
        _fixed("ada", _BLIT + _GEOMETRY + _RECOLOUR), probability=0.0, fade_out=0.0, adaptive=True
    ),
)
for _policy in _ALL:
    POLICIES.register(_policy.name)(_policy)


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """Settings of any augmentation policy.

    Attributes:
        probability: Chance that an image is augmented, or of each operation in ada and its parts;
            with ada, the initial one. Default: 1; 0 for ada, 0.2 for its parts (blit, geom, color,
            bg, bgc).
        strength: Factor on the range of every operation: 0 changes nothing, 1 is the policy as
            published, at most 2.
        fade_out: Last share of the training, in which the probability falls linearly to 0, so that
            leaked changes are unlearned; 0: no fade-out. Default: 0.1, 0 for ada.
        flip: Mirror real pictures at random. Doubles a small set; wrong for text or anything else
            with a left and a right.
        adaptive_target: With ada: target for the mean sign of the scores of real pictures; lower
            augments more.
        adaptive_images: With ada: real pictures in which the probability can go from 0 to 1.
            Default: 500,000, or 100,000 with a source.
    """

    probability: float | None = None
    strength: float = 1.0
    fade_out: float | None = None
    flip: bool = False
    adaptive_target: float = 0.6
    adaptive_images: int | None = None

    def __post_init__(self) -> None:
        limits = {
            "probability": (0.0, 1.0),
            "strength": (0.0, 2.0),  # beyond that little of a picture is left
            "fade_out": (0.0, 1.0),
            "adaptive_target": (-1.0, 1.0),
            "adaptive_images": (1, math.inf),
        }
        problems: list[str] = []
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                within = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
                problems.append(f"{name} must be {within}, got {value}")
        if problems:
            raise SettingsError(f"augmentation: {'; '.join(problems)}")

    def or_else(self, policy: Policy, *, transfers: bool = False) -> "AugmentationSettings":
        """Fill in the defaults of ``policy``, for transfers or not."""
        images = self.adaptive_images
        if policy.adaptive and images is None:  # Karras et al. 2020, section 3, and their code
            images = 100_000 if transfers else 500_000
        return replace(
            self,
            probability=policy.probability if self.probability is None else self.probability,
            fade_out=policy.fade_out if self.fade_out is None else self.fade_out,
            adaptive_images=images,
        )


class AdaptiveProbability(nn.Module):
    """Raises the probability while too many real pictures score above 0, lowers it otherwise.

    Source: Karras et al. 2020, arXiv:2006.06676, section 3: r_t = E[sign(D(real))] over the last
    four turns of the discriminator is held at ``target``, by a step up or down after every fourth
    turn. Differs: it is at most 1; the authors' code lets it rise (to 21.8 in one report), and it
    would take as long to come back. Its state is in buffers, so that checkpoints contain it, and
    nothing is read back from the device.

    Attributes:
        signs: Sum of the mean signs in the ``turns`` since the last step.
    """

    def __init__(self, *, start: float, target: float, step: float) -> None:
        super().__init__()
        self._target, self._step = target, step
        self.register_buffer("probability", torch.tensor(start))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("turns", torch.zeros((), dtype=torch.int64))
        self.probability: Tensor
        self.signs: Tensor
        self.turns: Tensor

    @torch.no_grad()
    def observe(self, real: Logits) -> dict[str, Scalar]:
        """Count a turn with these scores of real pictures (b,); return numbers for the log."""
        self.signs.add_(real.sign().mean())
        self.turns.add_(1)
        return {"augmentation_probability": self.probability.clone()}

    @torch.no_grad()
    def settle(self) -> None:
        """Move the probability if enough turns have passed; called after each turn."""
        due = self.turns >= _TURNS
        excess = self.signs / _TURNS - self._target
        moved = (self.probability + self._step * excess.sign()).clamp(0.0, 1.0)
        self.probability.copy_(torch.where(due, moved, self.probability))
        self.signs.masked_fill_(due, 0.0)
        self.turns.masked_fill_(due, 0)


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that are applied together, or not at all; they take ``draws`` numbers per image.

    Attributes:
        one_of: How many groups share one probability, which is that of at least one of them.
    """

    draws: int
    one_of: int = 1

    def probability_of(self, probability: Probability) -> Probability:
        """Return the probability of this group alone: 1 - (1 - p)^(1 / one_of)."""
        if self.one_of == 1:
            return probability
        return 1 - (1 - probability) ** (1 / self.one_of)


def apply_by_chance(
    chances: Chances, groups: Sequence[Group], probability: Probability
) -> tuple[Tensor, Chances]:
    """Decide which groups are applied to which images, each with ``probability``.

    ``chances`` (b, draws + 1 for each group) hold for each group the number that decides, then
    those that it takes. Returns which images (b,) change, and the numbers of all operations, 0.5
    where one is not applied.
    """
    parts = chances.split([1 + group.draws for group in groups], dim=1)
    applied: list[Tensor] = []
    numbers: list[Tensor] = []
    for part, group in zip(parts, groups, strict=True):
        applied.append(part[:, :1] < group.probability_of(probability))
        numbers.append(torch.where(applied[-1], part[:, 1:], 0.5))
    return torch.cat(applied, dim=1).any(dim=1), torch.cat(numbers, dim=1)


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Changes real and generated images before the discriminator sees them.

    Attributes:
        operations: The policy's steps at this strength; none if nothing can change.
        groups: The operations that are chosen together, in order.
        controller: Moves the probability; None: only the fade-out does.
    """

    policy: Policy
    settings: AugmentationSettings
    operations: tuple[Operation, ...]
    groups: tuple[Group, ...]
    controller: AdaptiveProbability | None = None

    def real(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return what the discriminator sees of real images (b, c, h, w) in [-1, 1].

        How many numbers are drawn from ``rng`` does not depend on ``progress``, the share of the
        training done. The setting ``flip`` belongs to the data and does not fade out.
        """
        if self.settings.flip:
            images = AUGMENTATIONS["flip"](images, rng)
        return self._augment(images, rng, progress)

    def fake(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return what the discriminator sees of generated images."""
        both = self.policy.applies_to == "both"
        return self._augment(images, rng, progress) if both else images

    def observe(self, real: Logits) -> dict[str, Scalar]:
        """Tell the controller the scores of real pictures (b,); return numbers for the log."""
        return {} if self.controller is None else self.controller.observe(real.detach())

    def probability_at(self, progress: float) -> Probability:
        """Return the chance of a change when ``progress`` of the training is done, in [0, 1]."""
        if not 0.0 <= progress <= 1.0:
            raise ValueError(f"progress is the share of training done, in [0, 1], got {progress}")
        fade_out = self.settings.fade_out
        share = min(1.0, (1.0 - progress) / fade_out) if fade_out else 1.0
        if self.controller is not None:
            return self.controller.probability * share
        assert self.settings.probability is not None  # filled in
        return self.settings.probability * share

    def _augment(self, images: Images, rng: torch.Generator, progress: float) -> Images:
        probability = self.probability_at(progress)
        if not self.operations:
            return images
        chances = draw_chances(len(images), sum(1 + group.draws for group in self.groups), rng)
        if isinstance(probability, torch.Tensor):  # it is not read back from its device
            chances = chances.to(probability.device)
        # A falling probability only ever drops images.
        chosen, chances = apply_by_chance(chances, self.groups, probability)
        known = chosen.device.type == "cpu"  # asking another device means waiting for it
        if known and not chosen.any():
            return images
        changed = self._change(images, chances.to(images.device))
        if known and chosen.all():
            return changed
        return torch.where(chosen.to(images.device)[:, None, None, None], changed, images)

    def _change(self, images: Images, chances: torch.Tensor) -> Images:
        """Change every image, in the planar layout, which is fastest for these operations."""
        channels_last = images.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        with torch.autocast(images.device.type, enabled=False):  # matrices need their float32
            changed = change_in_turn(images.contiguous(), self.operations, chances)
        if self.policy.applies_to == "real":
            changed = changed.clamp(-1, 1)
        return changed.contiguous(memory_format=layout)


def build_augmenter(
    policy: str, settings: AugmentationSettings, *, batch_size: int | None = None
) -> Augmenter:
    """Return the augmenter for the policy of that name, or raise UnknownName.

    ``batch_size`` counts the real pictures in a turn of the discriminator, over all processes, and
    sets the pace of an adaptive probability; None: outside a training, where it does not move.
    """
    chosen = POLICIES[policy]
    settings = settings.or_else(chosen)
    controller = None
    if chosen.adaptive and batch_size is not None:
        assert settings.probability is not None  # filled in
        assert settings.adaptive_images is not None
        step = _TURNS * batch_size / settings.adaptive_images
        target = settings.adaptive_target
        controller = AdaptiveProbability(start=settings.probability, target=target, step=step)
    if settings.strength == 0.0 or (settings.probability == 0.0 and controller is None):
        return Augmenter(chosen, settings, (), ())
    operations = [
        AUGMENTATIONS[step.operation].with_amount(step.amount * settings.strength)
        for step in chosen.operations
    ]
    pairs = zip(operations, chosen.operations, strict=True)
    groups = tuple(Group(operation.draws, step.one_of) for operation, step in pairs)
    if not chosen.each:  # one for all
        groups = (Group(sum(operation.draws for operation in operations)),)
    return Augmenter(chosen, settings, merge_neighbours(operations), groups, controller)
