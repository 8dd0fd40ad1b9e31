"""What the scores of several runs say: means with intervals, and what is within noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, isfinite, pi, sin, sqrt, tan
from statistics import fmean, stdev

from graftgan.errors import ScoreError
from graftgan.metrics import Comparison as Difference
from graftgan.metrics import Score, compare

BEST, WITHIN, WORSE, BETTER = "best", "within noise", "worse", "better"
UNKNOWN, NO_VALUE = "cannot be compared", "no score"
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one variant stands.

    Attributes:
        variant: Its name.
        seeds: Those whose runs have a value.
        mean: Over these seeds; None without any.
        low: Lower end of the interval: of the mean over seeds (Student's t), or with one seed of
            the pictures drawn from that one run (bootstrap).
        high: Upper end.
        difference: The variant less the best, over the seeds that both have.
        paired: How many seeds that are; with one the interval is that of two independent runs.
        verdict: ``best``; ``within noise``, ``worse`` or ``better`` than the best variant;
            ``cannot be compared``; ``no score``.
        why: What keeps it from being compared.
    """

    variant: str
    seeds: tuple[int, ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    difference: Difference | None = None
    paired: int = 0
    verdict: str = NO_VALUE
    why: str = ""


def standings(scores: Mapping[str, Mapping[int, Score]]) -> list[Standing]:
    """Rank variants by the mean of their scores, and compare each with the best.

    Args:
        scores: By variant and seed; a seed is missing where its run has no score.

    Returns:
        The best first; variants without any score last.
    """
    found = {name: _finite(by_seed) for name, by_seed in scores.items()}
    measured = {name: by_seed for name, by_seed in found.items() if by_seed}
    without = [Standing(variant=name) for name in found if name not in measured]
    if not measured:
        return without
    means = {name: fmean(s.value for s in by_seed.values()) for name, by_seed in measured.items()}
    better = next(iter(next(iter(measured.values())).values())).better
    sign = -1 if better == "higher" else 1
    ranked = sorted(measured, key=lambda name: sign * means[name])
    best = ranked[0]
    return [_standing(name, measured, best, sign) for name in ranked] + without


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of two or more values and the ends of its 95 % t interval."""
    mean = fmean(values)
    half = t_quantile(len(values) - 1) * stdev(values) / sqrt(len(values))
    return mean, mean - half, mean + half


def t_quantile(freedom: int) -> float:
    """Return t such that 95 % of Student's t with ``freedom`` degrees lies in [-t, t]."""
    low, high = 0.0, pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < LEVEL else (low, middle)
    return sqrt(freedom) * tan(low)


def _inside(angle: float, freedom: int) -> float:
    """Return the share of Student's t within +-t, for t = sqrt(freedom) tan(angle).

    Source: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4: exact for whole degrees of freedom.
    """
    odd = freedom % 2
    term = cos(angle) if odd else 1.0
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * cos(angle) ** 2
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def _finite(scores: Mapping[int, Score]) -> dict[int, Score]:
    return {seed: score for seed, score in scores.items() if isfinite(score.value)}


def _standing(
    name: str, scores: Mapping[str, Mapping[int, Score]], best: str, sign: int
) -> Standing:
    own = scores[name]
    if len(own) == 1:
        (only,) = own.values()
        mean, low, high = only.value, only.low, only.high
    else:
        mean, low, high = mean_interval([score.value for score in own.values()])
    shared = sorted(own.keys() & scores[best].keys())
    difference, verdict, why = None, BEST, ""
    if name != best:
        try:
            difference = _difference(own, scores[best], shared)
            verdict = _verdict(difference, sign)
        except ScoreError as error:
            verdict, why = UNKNOWN, str(error)
    return Standing(
        variant=name,
        seeds=tuple(sorted(own)),
        mean=mean,
        low=low,
        high=high,
        difference=difference,
        paired=0 if difference is None else len(shared),
        verdict=verdict,
        why=why,
    )


def _difference(
    one: Mapping[int, Score], best: Mapping[int, Score], shared: Sequence[int]
) -> Difference:
    """Return the first less the second, paired by seed.

    Raises:
        ScoreError: They share no seed, or were measured differently.
    """
    if not shared:
        raise ScoreError("no seed has a score of both")
    pairs = [compare(one[seed], best[seed]) for seed in shared]  # refuses unlike protocols
    if len(pairs) == 1:
        return pairs[0]
    return Difference(*mean_interval([pair.difference for pair in pairs]))


def _verdict(difference: Difference, sign: int) -> str:
    if difference.within_noise:
        return WITHIN
    return WORSE if sign * difference.difference > 0 else BETTER
