"""A probability that follows how far the discriminator overfits: the A of ADA."""

import torch
from torch import Tensor, nn

from graftgan.core.tensors import Logits, Scalar

TURNS = 4  # of the discriminator, between two moves


class AdaptiveProbability(nn.Module):
    """Raises the probability while too many real pictures score above 0, lowers it otherwise.

    Source: Karras et al. 2020, arXiv:2006.06676, section 3: r_t = E[sign(D(real))] over the last
    four turns of the discriminator is held at ``target``, by a step up or down after every fourth
    turn. Differs: it is kept at most 1, beyond which the authors' code lets it rise (people saw
    21.8 there), and from where it would take as long to come back.

    All it knows is in its buffers, so that checkpoints have it; nothing is read back from the
    device.

    Attributes:
        probability: ().
        signs: (), sum over the turns since the last move of the mean sign in each.
        turns: (), how many these are.
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
        due = self.turns >= TURNS
        excess = self.signs / TURNS - self._target
        moved = (self.probability + self._step * excess.sign()).clamp(0.0, 1.0)
        self.probability.copy_(torch.where(due, moved, self.probability))
        self.signs.masked_fill_(due, 0.0)
        self.turns.masked_fill_(due, 0)
