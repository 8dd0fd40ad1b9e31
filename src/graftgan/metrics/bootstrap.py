"""How sure a score is: the bootstrap."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.randomness import Randomness

_DRAWS_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval of what equal draws would give.

    Attributes:
        value: The score.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """Draws pictures again, with replacement, to see how much a score would vary.

    Source: Efron 1979. A resample is a row of weights: how often each picture was drawn.

    Attributes:
        replicates: Resamples; 0 where the interval is not wanted, which is then the value itself.
        seed: Of the draws.
        level: Share of the resamples inside the interval.
    """

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95

    def weights(self, count: int, role: str) -> Tensor:
        """Return (replicates, count), float64: how often each of ``count`` pictures is drawn.

        ``role`` (such as "generated") names the stream, so that two sets are drawn independently.
        """
        rng = Randomness(self.seed).generator(f"bootstrap/{role}")
        weights = torch.zeros(self.replicates, count, dtype=torch.float64)
        for rows in weights.split(max(1, _DRAWS_AT_ONCE // count)):
            drawn = torch.randint(count, rows.shape, generator=rng)
            rows.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
        return weights

    def means(self, values: Tensor, role: str) -> Tensor:
        """Return (replicates,), float64: the mean of ``values`` (n,) over each resample."""
        return self.weights(len(values), role) @ values.double() / len(values)

    def interval(self, value: float, replicates: Tensor) -> Estimate:
        """Return ``value`` with the percentile interval of ``replicates`` (r,).

        The interval is shifted so that the median replicate falls on ``value``: a resample repeats
        pictures, which biases many scores, while it is their spread that is wanted. Replicates
        that are not finite, of resamples too poor to have the score, are left out.
        """
        tail = (1 - self.level) / 2
        marks = torch.tensor([tail, 0.5, 1 - tail], dtype=torch.float64)
        finite = replicates[replicates.isfinite()].double()
        if not len(finite):
            return Estimate(value, value, value)
        low, middle, high = torch.quantile(finite, marks).tolist()
        return Estimate(value, value + low - middle, value + high - middle)

    def mean(self, values: Tensor, role: str) -> Estimate:
        """Return the mean of ``values`` (n,), one per picture, with its interval."""
        return self.interval(float(values.double().mean()), self.means(values, role))
