"""Apply a policy to what the discriminator sees, image by image, and fade it out."""

from dataclasses import dataclass

import torch

from graftgan.augment.geometry import merge_warps
from graftgan.augment.operations import AUGMENTATIONS, Operation, change_in_turn, draw_chances
from graftgan.augment.policies import POLICIES, Policy
from graftgan.augment.settings import AugmentationSettings
from graftgan.tensors import Images


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Changes real and generated images before the discriminator sees them.

    Attributes:
        policy: The policy it applies.
        settings: How often and how strongly.
        operations: The policy's steps at this strength, ready to run; none if nothing can change.
    """

    policy: Policy
    settings: AugmentationSettings
    operations: tuple[Operation, ...]

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

    def _augment(self, images: Images, rng: torch.Generator, progress: float) -> Images:
        probability = self.settings.probability_at(progress)
        if not self.operations:
            return images
        draws = sum(operation.draws for operation in self.operations)
        chances = draw_chances(len(images), 1 + draws, rng)
        chosen = chances[:, 0] < probability  # a falling probability only ever drops images
        if not chosen.any():
            return images
        changed = self._change(images, chances[:, 1:].to(images.device))
        if chosen.all():
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


def build_augmenter(policy: str, settings: AugmentationSettings) -> Augmenter:
    """Return the augmenter for the policy of that name.

    Raises:
        UnknownName: There is no such policy, or it names an operation that does not exist.
    """
    chosen = POLICIES[policy]
    if settings.probability == 0.0 or settings.strength == 0.0:
        return Augmenter(chosen, settings, ())
    operations = [
        AUGMENTATIONS[step.operation].with_amount(step.amount * settings.strength)
        for step in chosen.operations
    ]
    return Augmenter(chosen, settings, merge_warps(operations))
