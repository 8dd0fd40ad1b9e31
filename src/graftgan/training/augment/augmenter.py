"""Named policies of augmentation, applied to what the discriminator sees, image by image.

A policy on reals only widens a small set; the generator may learn its changes, so they must be
plausible pictures. A policy on both is invisible to the generator as long as the discriminator
never sees a picture without it (Zhao et al. 2020, section 3.2), or sees it often enough
(Karras et al. 2020, arXiv:2006.06676, section 2.2).

One draw decides for a whole policy, or one for each operation. A number that is not to act is
replaced by 0.5, of which an operation changes nothing. So what is drawn, and how much of it, does
not depend on the probability, and operations merge as ever.
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

STRONGEST = 2.0  # beyond twice a policy's own ranges little of a picture is left
ADAPTIVE_IMAGES = 500_000  # Karras et al. 2020, section 3, from fresh weights
ADAPTIVE_IMAGES_OF_TRANSFERS = 100_000  # as their code has it: a transfer is shorter
NEUTRAL = 0.5  # the chance that changes nothing
_TURNS = 4  # of the discriminator, between two moves of an adaptive probability

Probability = float | Tensor  # a tensor () where it moves while a run trains


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy, with its range.

    Attributes:
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
        applies_to: ``real``: only real pictures are changed, then clamped to [-1, 1]; ``both``:
            real and generated ones are, without a clamp, so that gradients pass.
        each: Whether every step is drawn for itself, with the probability of the settings; else
            all are, or none. Such steps change nothing of a picture whose numbers are 0.5.
        probability: That of the settings, where a person does not say; ``fade_out`` alike.
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
    Policy("diffaugment", (*_COLOUR, *_TRANSLATION, Step("cutout", 0.5)), "both"),
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


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """What a person can set about any augmentation policy.

    Attributes:
        probability: Chance that an image is augmented at all, or by each operation of a policy that
            draws them one by one; with ada, where it starts. Without it 1, with ada 0, and 0.2 with
            its parts (blit, geom, color, bg, bgc).
        strength: Scales the range of every operation: 0 changes nothing, 1 is the policy as
            published, at most 2.
        fade_out: Share of the training, at its end, over which the probability falls linearly to
            0, so that what leaked into the samples can be unlearned; 0 never fades. Without it 0.1,
            with ada 0.
        flip: Mirror real pictures at random. Doubles a small set; wrong for text or anything else
            that has a side.
        adaptive_target: With ada: the mean sign of the scores of real pictures that its probability
            holds; lower augments more.
        adaptive_images: With ada: real pictures shown while the probability can go from 0 to 1.
            Without it 500,000, or 100,000 with a source.
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
            "strength": (0.0, STRONGEST),
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
        """Fill what is not given with what is usual under ``policy``, for transfers or not."""
        images = self.adaptive_images
        if policy.adaptive and images is None:
            images = ADAPTIVE_IMAGES_OF_TRANSFERS if transfers else ADAPTIVE_IMAGES
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
    turn. Differs: it is kept at most 1, beyond which the authors' code lets it rise (people saw
    21.8 there), and from where it would take as long to come back. All it knows is in its buffers,
    so that checkpoints have it; nothing is read back from the device.

    Attributes:
        signs: Sum over the ``turns`` since the last move of the mean sign in each.
    """

    def __init__(self, *, start: float, target: float, step: float) -> None:
        """Begin at ``start``; move by ``step`` at a time, holding the mean sign at ``target``."""
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
        """Count a turn with these scores of real pictures (b,); return what the log shows."""
        self.signs.add_(real.sign().mean())
        self.turns.add_(1)
        return {"augmentation_probability": self.probability.clone()}

    @torch.no_grad()
    def settle(self) -> None:
        """Move the probability, if enough turns have been seen; called after each."""
        due = self.turns >= _TURNS
        excess = self.signs / _TURNS - self._target
        moved = (self.probability + self._step * excess.sign()).clamp(0.0, 1.0)
        self.probability.copy_(torch.where(due, moved, self.probability))
        self.signs.masked_fill_(due, 0.0)
        self.turns.masked_fill_(due, 0)


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that are applied together, or not at all; ``draws`` numbers an image.

    Attributes:
        one_of: How many groups share the probability: at least one of them is applied with it.
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

    ``chances`` (b, draws + 1 for each group) hold for each group its own number, then those it
    takes. Returns which images (b,) any is applied to, and the numbers of all, neutral where one is
    not.
    """
    parts = chances.split([1 + group.draws for group in groups], dim=1)
    applied: list[Tensor] = []
    numbers: list[Tensor] = []
    for part, group in zip(parts, groups, strict=True):
        applied.append(part[:, :1] < group.probability_of(probability))
        numbers.append(torch.where(applied[-1], part[:, 1:], NEUTRAL))
    return torch.cat(applied, dim=1).any(dim=1), torch.cat(numbers, dim=1)


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Changes real and generated images before the discriminator sees them.

    Attributes:
        operations: The policy's steps at this strength, ready to run; none if nothing can change.
        groups: Which of their numbers are chosen together, in their order.
        controller: What moves the probability; None: it moves with the progress alone.
    """

    policy: Policy
    settings: AugmentationSettings
    operations: tuple[Operation, ...]
    groups: tuple[Group, ...]
    controller: AdaptiveProbability | None = None

    def real(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return what the discriminator sees of real images (b, c, h, w) in [-1, 1].

        How many numbers are drawn from ``rng`` does not depend on ``progress``, the share of the
        training done. The random mirroring of the settings belongs to the data and does not fade.
        """
        if self.settings.flip:
            images = AUGMENTATIONS["flip"](images, rng)
        return self._augment(images, rng, progress)

    def fake(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return what the discriminator sees of generated images; the same, if it is for reals."""
        if self.policy.applies_to == "real":
            return images
        return self._augment(images, rng, progress)

    def observe(self, real: Logits) -> dict[str, Scalar]:
        """Take note of the scores of real pictures (b,); return what the log should show of it."""
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
        if isinstance(probability, torch.Tensor):  # which is read nowhere but on its device
            chances = chances.to(probability.device)
        # A falling probability only ever drops images.
        chosen, chances = apply_by_chance(chances, self.groups, probability)
        known = chosen.device.type == "cpu"  # to ask another device is to wait for it
        if known and not chosen.any():
            return images
        changed = self._change(images, chances.to(images.device))
        if known and chosen.all():
            return changed
        return torch.where(chosen.to(images.device)[:, None, None, None], changed, images)

    def _change(self, images: Images, chances: torch.Tensor) -> Images:
        """Change every image, in one pass over planes, the fastest layout for these operations."""
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

    What ``settings`` do not say is as usual under the policy. ``batch_size`` are the real pictures
    in a turn of the discriminator, over all processes, by which an adaptive probability moves;
    None: outside a training, where it stays at its start.
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
