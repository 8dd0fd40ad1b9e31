"""Which images are changed: one draw for a whole policy, or one for each operation.

A number that is not to act is replaced by 0.5, of which an operation changes nothing. So what is
drawn, and how much of it, does not depend on the probability, and operations merge as ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.training.augment.operations import Chances

NEUTRAL = 0.5  # the chance that changes nothing

Probability = float | Tensor  # a tensor () where it moves while a run trains


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that are applied together, or not at all.

    Attributes:
        draws: Random numbers per image that they take.
        one_of: How many groups share the probability, so that at least one of them is applied
            with it.
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
    """Decide which groups are applied to which images.

    Args:
        chances: (b, draws + 1 for each group): for each group its own number, then those it takes.
        groups: In the order of the numbers.
        probability: With which each is applied to an image.

    Returns:
        Which images (b,) any group is applied to, and the numbers of all groups, neutral where one
        is not applied.
    """
    parts = chances.split([1 + group.draws for group in groups], dim=1)
    pairs = list(zip(parts, groups, strict=True))
    applied = [part[:, :1] < group.probability_of(probability) for part, group in pairs]
    numbers = [
        torch.where(chosen, part[:, 1:], NEUTRAL)
        for chosen, part in zip(applied, parts, strict=True)
    ]
    return torch.cat(applied, dim=1).any(dim=1), torch.cat(numbers, dim=1)
