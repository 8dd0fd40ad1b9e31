"""Who is changed: one draw for a whole policy, or one for each of its operations.

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
class Gate:
    """What passes, or does not, as one.

    Attributes:
        draws: Numbers per image behind it.
        one_of: How many gates share the probability, so that with it at least one of them opens.
    """

    draws: int
    one_of: int = 1

    def opens_with(self, probability: Probability) -> Probability:
        """Return the probability of this gate alone: 1 - (1 - p)^(1 / one_of)."""
        if self.one_of == 1:
            return probability
        return 1 - (1 - probability) ** (1 / self.one_of)


def pass_gates(
    chances: Chances, gates: Sequence[Gate], probability: Probability
) -> tuple[Tensor, Chances]:
    """Let through what is chosen.

    Args:
        chances: (b, draws + 1 for each gate): for each gate its own number, then those behind it.
        gates: In the order of the numbers.
        probability: With which each opens for an image.

    Returns:
        Which images (b,) any gate opened for, and the numbers behind the gates, neutral where they
        stayed shut.
    """
    parts = chances.split([1 + gate.draws for gate in gates], dim=1)
    pairs = list(zip(parts, gates, strict=True))
    opened = [part[:, :1] < gate.opens_with(probability) for part, gate in pairs]
    behind = [
        torch.where(chosen, part[:, 1:], NEUTRAL)
        for chosen, part in zip(opened, parts, strict=True)
    ]
    return torch.cat(opened, dim=1).any(dim=1), torch.cat(behind, dim=1)
