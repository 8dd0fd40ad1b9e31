"""From the features of two sets to scores with protocol, interval and floor; comparing scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import hypot

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.core.randomness import Randomness
from graftgan.metrics.copying import CopyReport
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.feature_cache import cached_of
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling

HEADLINE = "kid"  # below 1,000 pictures FID cannot tell equal sets from different ones; KID can
FEW_PICTURES = 50
_LARGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreProtocol:
    """How a number was measured."""

    extractor: str  # the feature network's name
    weights_sha256: str
    view: str  # the preprocessing of pictures: ``visible`` or ``pixels``
    resize: str  # the protocol of resizing to its input
    side: int  # its input's height and width, in pixels
    pixels: str  # its input's pixel range
    resolution: int  # original height and width of the pictures, in pixels
    truncation: float  # of the generated pictures; 1 if they come from elsewhere
    generated_count: int
    reference_count: int  # real pictures
    reference_sha256: str
    reference: str  # the real pictures in words
    settings: Mapping[str, int | float | str]  # the constants of the method
    seed: int  # of the latents and of the resamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The score of real pictures against others of their set: the best that is possible."""

    mean: float  # over the repeats
    low: float  # the lowest repeat
    high: float
    count: int  # pictures in the place of the generated ones; at most half the set
    against_count: int  # pictures on the other side
    repeats: int  # random splits of the set


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number with its interval and how it was measured."""

    name: str  # such as "FID" or "KID(efficientnet_lite0, visible)"
    value: float
    low: float  # of the 95 % bootstrap interval
    high: float
    better: str  # "lower", "higher" or "zero"
    floor: Floor | None = None  # None: not requested, or cannot be measured
    warnings: tuple[str, ...] = ()  # limitations of this number, one sentence each
    protocol: ScoreProtocol


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """The first score minus the second, with an interval as if the two were independent."""

    difference: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether the two cannot be told apart."""
        return self.low <= 0 <= self.high


def compare(first: Score, second: Score) -> ScoreComparison:
    """Return how two scores differ.

    The half-widths of the intervals add in quadrature. The noise of the shared reference pictures
    counts twice, so that the interval tends to be too wide rather than too narrow. Raises
    ScoreError: they are different numbers, or were measured differently. The seed may differ: it
    says which pictures were drawn, not how they were measured.
    """
    differing = differences(first, second)
    if differing:
        raise ScoreError(f"these two scores cannot be compared: {'; '.join(differing)}")
    difference = first.value - second.value
    below = hypot(first.value - first.low, second.high - second.value)
    above = hypot(first.high - first.value, second.value - second.low)
    return ScoreComparison(difference, difference - below, difference + above)


def differences(first: Score, second: Score) -> list[str]:
    """Return a sentence for each reason why two scores cannot be compared."""
    pairs = [("name", first.name, second.name)]
    for field in fields(ScoreProtocol):
        if field.name not in {"seed", "reference"}:  # the reference's sha256 is compared
            values = (getattr(score.protocol, field.name) for score in (first, second))
            pairs.append((field.name, *values))
    return [
        f"{name} is {one} in the first, {two} in the second"
        for name, one, two in pairs
        if one != two
    ]


def protocol_of(
    extractor: Extractor,
    generated: Features,
    reference: Features,
    *,
    reference_name: str,
    resolution: int,
    truncation: float,
    seed: int,
) -> ScoreProtocol:
    """Return how ``generated`` will be measured against ``reference``, before the settings."""
    return ScoreProtocol(
        **extractor.describe(),
        resolution=resolution,
        truncation=truncation,
        generated_count=len(generated),
        reference_count=len(reference),
        reference_sha256=reference.sha256,
        reference=reference_name,
        settings={},
        seed=seed,
    )


def measure(
    generated: Features,
    reference: Features,
    protocol: ScoreProtocol,
    *,
    metrics: Sequence[str] = (HEADLINE,),
    floors: Mapping[str, Floor] | None = None,
    replicates: int = 1000,
) -> list[Score]:
    """Return every number of ``metrics``, which are names in ``METRICS``.

    The ``settings`` of ``protocol`` are filled in here. ``floors`` are those of the reference, from
    ``floors_of``. Fewer ``replicates`` make the intervals faster but less accurate. Raises
    ScoreError: there are too few pictures, or the network has no classifier for the IS;
    UnknownName: there is no such metric.
    """
    check_metrics(metrics, len(generated), reference)
    if generated.dimension != reference.dimension:
        raise ScoreError(
            f"the generated pictures have {generated.dimension} features, the reference "
            f"{reference.dimension}; take both from one network"
        )
    scores: list[Score] = []
    for name in metrics:
        metric = METRICS[name]
        resampling = Resampling(replicates=replicates, seed=protocol.seed)
        own = replace(protocol, settings=dict(metric.settings))
        for label, estimate in metric.measure(generated, reference, resampling).items():
            floor = (floors or {}).get(label)
            warnings = _warnings(label, generated, reference, floor)
            scores.append(_score(label, estimate, metric.better[label], floor, own, warnings))
    return scores


def copy_scores(report: CopyReport, protocol: ScoreProtocol) -> list[Score]:
    """Return the numbers of the copy guard as scores; held-out pictures give their floors."""
    counts = {"training_count": report.training_count, "held_out_count": report.held_out_count}
    protocol = replace(protocol, settings=counts)

    def scored(label: str, share: Estimate, held_out: Estimate, better: str) -> Score:
        floor = Floor(
            mean=held_out.value,
            low=held_out.low,
            high=held_out.high,
            count=report.held_out_count,
            against_count=report.training_count,
            repeats=1,
        )
        return _score(label, share, better, floor, protocol)

    return [
        scored("near copies", report.near_copy_share, report.near_copy_share_held_out, "lower"),
        scored("singled out", report.singled_out_share, report.singled_out_share_held_out, "lower"),
    ]


def _score(
    label: str,
    estimate: Estimate,
    better: str,
    floor: Floor | None,
    protocol: ScoreProtocol,
    warnings: tuple[str, ...] = (),
) -> Score:
    return Score(
        name=full_name(label, protocol.extractor, protocol.view),
        **asdict(estimate),
        better=better,
        floor=floor,
        warnings=warnings,
        protocol=protocol,
    )


def floors_of(
    reference: Features,
    metrics: Sequence[str] = (HEADLINE,),
    *,
    count: int,
    against: int | None = None,
    repeats: int | None = None,
    seed: int = 0,
) -> dict[str, Floor]:
    """Return the scores of real pictures against others of the same set, by label.

    The set is split at random, ``repeats`` times (by default 10, or 3 for more than 2,000
    pictures), into ``count`` pictures, at most half the set, and ``against`` others, by default all
    the rest. There is no floor if a part is too small for a metric or the network has no classifier
    for it. Floors are cached if the features are.
    """
    floors: dict[str, Floor] = {}
    size = min(count, len(reference) // 2)
    rest = min(against or len(reference), len(reference) - size)
    repeats = repeats or (10 if len(reference) <= _LARGE else 3)
    for name in metrics:
        metric = METRICS[name]
        if min(size, rest) < metric.least or (metric.needs_logits and reference.logits is None):
            continue
        try:
            values = _floor_values(name, reference, (size, rest), repeats, seed)
        except ScoreError:  # the metric is undefined for these parts
            continue
        for label, rows in values.items():
            floors[label] = Floor(
                mean=float(rows.mean()),
                low=float(rows.min()),
                high=float(rows.max()),
                count=size,
                against_count=rest,
                repeats=repeats,
            )
    return floors


def _floor_values(
    name: str, reference: Features, sizes: tuple[int, int], repeats: int, seed: int
) -> Mapping[str, Tensor]:
    """Return (repeats,) values by label."""
    metric = METRICS[name]

    def compute() -> dict[str, Tensor]:
        found: dict[str, list[float]] = {label: [] for label in metric.better}
        once = Resampling(replicates=0, seed=seed)  # the repeats show the spread
        for repeat in range(repeats):
            rng = Randomness(seed).generator("floor", repeat)
            order = torch.randperm(len(reference), generator=rng)
            first, others = order[: sizes[0]], order[sizes[0] :][: sizes[1]]
            sides = reference.subset(first), reference.subset(others)
            for label, estimate in metric.measure(*sides, once).items():
                found[label].append(estimate.value)
        return {label: torch.tensor(rows, dtype=torch.float64) for label, rows in found.items()}

    settings = json.dumps(dict(metric.settings), sort_keys=True)
    return cached_of(reference, ("floor", name, settings, *sizes, repeats, seed), compute)


def check_metrics(metrics: Sequence[str], generated_count: int, reference: Features) -> None:
    """Check that ``metrics`` can be measured, before any pictures are generated.

    Raises ScoreError: there are too few pictures, or the network has no classifier for the IS;
    UnknownName: there is no such metric.
    """
    for name in metrics:
        metric = METRICS[name]
        for kind, count in (("generated", generated_count), ("reference", len(reference))):
            if count < metric.least:
                raise ScoreError(
                    f"{name} needs at least {metric.least} pictures on each side, but there are "
                    f"{count} {kind} ones; add pictures, or leave this score out"
                )
        if metric.needs_logits and reference.logits is None:
            raise ScoreError(
                f"{name} needs a network with a classifier; this one gives features only"
            )


def full_name(label: str, extractor: str, view: str) -> str:
    """Return a number's name with those of its network and view.

    These are left out for the literature's Inception on all pixels, and for numbers computed from
    the pixels themselves.
    """
    of_pixels = any(metric.of_pixels and label in metric.better for metric in METRICS.values())
    if of_pixels or (extractor == "inception" and view == "pixels"):
        return label
    seen = extractor if view == "pixels" else f"{extractor}, {view}"
    return f"{'FD' if label == 'FID' else label}({seen})"


def _warnings(
    label: str, generated: Features, reference: Features, floor: Floor | None
) -> tuple[str, ...]:
    warnings: list[str] = []
    fewest = min(len(generated), len(reference))
    if fewest < FEW_PICTURES:
        warnings.append(
            f"{fewest} pictures are few: below {FEW_PICTURES}, most scores are too noisy"
        )
    if label == "FID" and fewest <= generated.dimension:
        warnings.append(
            f"{fewest} pictures for {generated.dimension} features: a Frechet distance is biased "
            "upward here; read it against its floor, or read KID"
        )
    if floor is not None and floor.count < len(generated):
        warnings.append(f"the floor is that of {floor.count} pictures: the set has no more")
    return tuple(warnings)
