"""Apply a policy to what the discriminator sees, image by image, and fade it out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from graftgan.core.tensors import Images, Logits, Scalar
from graftgan.training.augment.controller import TURNS, AdaptiveProbability
from graftgan.training.augment.operations import (
    AUGMENTATIONS,
    Operation,
    change_in_turn,
    draw_chances,
    merge_neighbours,
)
from graftgan.training.augment.policies import POLICIES, Policy
from graftgan.training.augment.probabilities import Group, Probability, apply_by_chance
from graftgan.training.augment.settings import AugmentationSettings


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Changes real and generated images before the discriminator sees them.

    Attributes:
        policy: The policy it applies.
        settings: How often and how strongly.
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

        Args:
            images: Real images.
            rng: The stream of random numbers; how many are drawn does not depend on ``progress``.
            progress: Share of the training done, in [0, 1]. The random mirroring of the settings
                belongs to the data and does not fade.
        """
        if self.settings.flip:
            images = AUGMENTATIONS["flip"](images, rng)
        return self._augment(images, rng, progress)

    def fake(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return what the discriminator sees of generated images; gradients flow through.

        The very same tensor if the policy is for reals only.
        """
        if self.policy.applies_to == "real":
            return images
        return self._augment(images, rng, progress)

    def observe(self, real: Logits) -> dict[str, Scalar]:
        """Take note of the scores of real pictures (b,); return what the log should show of it."""
        return {} if self.controller is None else self.controller.observe(real.detach())

    def probability_at(self, progress: float) -> Probability:
        """Return the chance of a change when ``progress`` of the training is done.

        Raises:
            ValueError: ``progress`` is not a share in [0, 1].
        """
        share = self.settings.share_at(progress)
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
    """Return the augmenter for the policy of that name.

    Args:
        policy: Its name.
        settings: What is not given there is as usual under the policy.
        batch_size: Real pictures in a turn of the discriminator, over all processes, by which an
            adaptive probability moves; None: outside a training, where it stays at its start.

    Raises:
        UnknownName: There is no such policy, or it names an operation that does not exist.
    """
    chosen = POLICIES[policy]
    settings = settings.or_else(chosen)
    controller = None
    if chosen.adaptive and batch_size is not None:
        controller = _controller(settings, batch_size)
    if settings.strength == 0.0 or (settings.probability == 0.0 and controller is None):
        return Augmenter(chosen, settings, (), ())
    operations = [
        AUGMENTATIONS[step.operation].with_amount(step.amount * settings.strength)
        for step in chosen.operations
    ]
    return Augmenter(
        chosen, settings, merge_neighbours(operations), _groups(chosen, operations), controller
    )


def _groups(policy: Policy, operations: Sequence[Operation]) -> tuple[Group, ...]:
    """Return a group for each operation, or one for all."""
    if not policy.each:
        return (Group(sum(operation.draws for operation in operations)),)
    return tuple(
        Group(operation.draws, step.one_of)
        for operation, step in zip(operations, policy.operations, strict=True)
    )


def _controller(settings: AugmentationSettings, batch_size: int) -> AdaptiveProbability:
    assert settings.probability is not None  # filled in
    assert settings.adaptive_images is not None
    return AdaptiveProbability(
        start=settings.probability,
        target=settings.adaptive_target,
        step=TURNS * batch_size / settings.adaptive_images,
    )
