"""Metrics by name: from the features of two sets to numbers with bootstrap intervals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.core.randomness import Randomness
from graftgan.core.registry import Registry

_DRAWS_AT_ONCE = 2**22

KeyPart = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """The features of pictures, a row for each; ScoreError if one is not finite."""

    values: Tensor  # (n, d), float32 on the CPU
    logits: Tensor | None  # (n, classes) of the network's classifier; None: it has none
    sha256: str  # of the pictures, in their order
    # Everything that determines these rows, so that results computed from them can be cached too.
    key: tuple[KeyPart, ...] = ()
    detail: Tensor | None = None  # (n, 2): grain and sharpness of the pictures; None: unknown

    def __post_init__(self) -> None:
        for rows in (self.values, self.logits):
            if rows is not None and not bool(torch.isfinite(rows).all()):
                bad = int((~torch.isfinite(rows)).any(dim=1).sum())
                raise ScoreError(
                    f"the feature network gave not-a-number for {bad} of {len(rows)} pictures; "
                    "check its weights, and that it takes pictures in this range and size"
                )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dimension(self) -> int:
        """The number of features of a picture."""
        return self.values.shape[1]

    def subset(self, chosen: Tensor) -> "Features":
        """Return the rows with the indices ``chosen`` (m,), without a key."""
        logits, detail = (None if x is None else x[chosen] for x in (self.logits, self.detail))
        return replace(self, values=self.values[chosen], logits=logits, detail=detail, key=())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its bootstrap interval."""

    value: float
    low: float
    high: float


Estimates = dict[str, Estimate]
"""By the numbers' labels, such as "KID"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """The bootstrap (Efron 1979): draws pictures with replacement to find how much a score varies.

    A resample is a row of weights: how often each picture was drawn. Without ``replicates``, the
    interval is the value itself.
    """

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95  # share of the resamples inside the interval

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

    def whole_and_weights(self, count: int, role: str) -> Tensor:
        """Return (1 + replicates, count): each picture once, then the resamples."""
        ones = torch.ones(1, count, dtype=torch.float64)
        return torch.cat([ones, self.weights(count, role)])

    def means(self, values: Tensor, role: str) -> Tensor:
        """Return (replicates,), float64: the mean of ``values`` (n,) over each resample."""
        return self.weights(len(values), role) @ values.double() / len(values)

    def interval(self, value: float, replicates: Tensor) -> Estimate:
        """Return ``value`` with the percentile interval of ``replicates`` (r,).

        The interval is shifted so that the median replicate equals ``value``: resamples repeat
        pictures, which biases many scores, and only their spread is wanted. Replicates that are not
        finite, from resamples for which the score is undefined, are left out.
        """
        tail = (1 - self.level) / 2
        marks = torch.tensor([tail, 0.5, 1 - tail], dtype=torch.float64)
        finite = replicates[replicates.isfinite()].double()
        if not len(finite):
            return Estimate(value, value, value)
        low, middle, high = torch.quantile(finite, marks).tolist()
        return Estimate(value, value + low - middle, value + high - middle)

    def of_whole(self, scores: Tensor) -> Estimate:
        """Return the first of ``scores`` (1 + replicates,) with the interval of the others."""
        return self.interval(float(scores[0]), scores[1:])

    def mean(self, values: Tensor, role: str) -> Estimate:
        """Return the mean of ``values`` (n,), one per picture, with its interval."""
        return self.interval(float(values.double().mean()), self.means(values, role))


Measure = Callable[[Features, Features, Resampling], Mapping[str, Estimate]]
"""(generated, reference, resampling) -> one estimate for each label of ``Metric.better``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Numbers that are measured together."""

    measure: Measure
    better: Mapping[str, str]  # "lower", "higher" or "zero", by label
    # The constants of the method; part of a score's protocol.
    settings: Mapping[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    least: int = 2  # pictures needed on each side
    needs_logits: bool = False  # of a classifier in the feature network
    of_pixels: bool = False  # computed from the pictures themselves, without the network


METRICS: Registry[Metric] = Registry("metric")


def register_metric(
    name: str,
    better: Mapping[str, str],
    *,
    settings: Mapping[str, int | float | str] | None = None,
    least: int = 2,
    needs_logits: bool = False,
    of_pixels: bool = False,
) -> Callable[[Measure], Measure]:
    """Return a decorator that registers a measure as a :class:`Metric`, whose fields these are."""

    def register(measure: Measure) -> Measure:
        metric = Metric(
            measure=measure,
            better=better,
            settings=settings or {},
            least=least,
            needs_logits=needs_logits,
            of_pixels=of_pixels,
        )
        METRICS.register(name)(metric)
        return measure

    return register
