"""Statistics of scores over seeds: means with intervals, and which differences are noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import cos, isfinite, pi, sin, sqrt, tan
from statistics import fmean, stdev

from graftgan.core.errors import ScoreError
from graftgan.core.settings import Count, WholeNumber
from graftgan.metrics.score import Score, compare
from graftgan.metrics.score import ScoreComparison as Difference

BEST, WITHIN, WORSE, BETTER = "best", "within noise", "worse", "better"
UNKNOWN, NO_VALUE = "cannot be compared", "no score"
NO_WINNER = "first, but no winner"
SOURCE = "source, untouched"
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScores:
    """The untouched source of a variant, as its runs scored it."""

    row: str = SOURCE  # its row in the table, which variants may share
    scores: Mapping[int, Score]  # by seed


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantStatistics:
    """The statistics of a variant or an untouched source.

    The interval is that of the mean over seeds (Student's t), or with one seed of the pictures
    drawn (bootstrap). The verdict is ``best``; ``within noise``, ``worse`` or ``better`` than the
    best; ``cannot be compared``; ``no score``; or, for the best, ``first, but no winner`` if no
    variant beats its source.
    """

    variant: str
    seeds: tuple[WholeNumber, ...] = ()  # with a score
    mean: float | None = None  # over the seeds
    low: float | None = None
    high: float | None = None
    difference: Difference | None = None  # from the best, over the seeds that both have
    paired: Count = 0  # seeds that both have
    verdict: str = NO_VALUE
    why: str = ""  # why it cannot be compared
    is_source: bool = False  # whether it is a source, not a variant
    beats_source: bool | None = None  # beyond noise; None: the source has no score


def variant_statistics(
    scores: Mapping[str, Mapping[int, Score]], sources: Mapping[str, SourceScores] | None = None
) -> list[VariantStatistics]:
    """Rank variants and sources by their mean score, the best first; compare each with the best.

    Scores are by variant and seed, sources by variant. Variants without a score come last.
    """
    found = {name: _finite(by_seed) for name, by_seed in scores.items()}
    measured = {name: by_seed for name, by_seed in found.items() if by_seed}
    without = [VariantStatistics(variant=name) for name in found if name not in measured]
    if not measured:
        return without
    better = next(iter(next(iter(measured.values())).values())).better
    sign = -1 if better == "higher" else 1
    untouched: dict[str, dict[int, Score]] = {}  # from the first variant that has the seed
    for source in (sources or {}).values():
        by_seed = _finite(source.scores) | untouched.get(source.row, {})
        untouched |= {source.row: by_seed} if by_seed else {}
    everything = {**untouched, **measured}  # so a source comes before an equal variant
    means = {name: fmean(s.value for s in by_seed.values()) for name, by_seed in everything.items()}
    order = sorted(everything, key=lambda name: sign * means[name])
    ranked = [
        replace(_statistics(name, everything, order[0], sign), is_source=name in untouched)
        for name in order
    ]
    for place, statistics in enumerate(ranked):
        source = (sources or {}).get(statistics.variant)
        if source is not None:
            # The scores that its own runs began with; else those of another variant's runs.
            began = {**untouched.get(source.row, {}), **_finite(source.scores)}
            beats = _beats(measured[statistics.variant], began, sign)
            ranked[place] = replace(statistics, beats_source=beats)
    if nothing_wins(ranked) and not ranked[0].is_source:
        ranked[0] = replace(ranked[0], verdict=NO_WINNER)
    return ranked + without


def nothing_wins(found: Sequence[VariantStatistics]) -> bool:
    """Return whether there are variants with a score, but none beats its source."""
    beat = [s.beats_source for s in found if s.mean is not None and not s.is_source]
    return bool(beat) and all(beats is False for beats in beat)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of two or more values and its 95 % t interval."""
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
    """Return the probability that |T| is below sqrt(freedom) tan(angle), T of Student's t.

    Abramowitz and Stegun 1964, 26.7.3 and 26.7.4, exact for whole degrees of freedom.
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


def _beats(own: Mapping[int, Score], began: Mapping[int, Score], sign: int) -> bool | None:
    if not began:
        return None
    try:
        difference = _difference(own, began, sorted(own.keys() & began.keys()))
    except ScoreError:
        return False
    return _verdict(difference, sign) == BETTER


def _statistics(
    name: str, scores: Mapping[str, Mapping[int, Score]], best: str, sign: int
) -> VariantStatistics:
    own, shared = scores[name], sorted(scores[name].keys() & scores[best].keys())
    if len(own) == 1:
        (only,) = own.values()
        mean, low, high = only.value, only.low, only.high
    else:
        mean, low, high = mean_interval([score.value for score in own.values()])
    found = VariantStatistics(
        variant=name, seeds=tuple(sorted(own)), mean=mean, low=low, high=high, verdict=BEST
    )
    if name == best:
        return found
    try:
        difference = _difference(own, scores[best], shared)
    except ScoreError as error:
        return replace(found, verdict=UNKNOWN, why=str(error))
    verdict = _verdict(difference, sign)
    return replace(found, difference=difference, paired=len(shared), verdict=verdict)


def _difference(
    one: Mapping[int, Score], best: Mapping[int, Score], shared: Sequence[int]
) -> Difference:
    """Return ``one`` less ``best``, paired by seed; ScoreError: they cannot be compared."""
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
