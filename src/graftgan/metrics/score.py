"""Two sets of features to scores with protocol, interval and floor, and how scores compare."""

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
from graftgan.metrics.feature_cache import cached_tensors
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling

HEADLINE = "kid"  # under 1,000 pictures a FID cannot tell equal from different; KID can
FEW_PICTURES = 50
_LARGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreProtocol:
    """How a number was measured."""

    extractor: str  # the feature network's name
    weights_sha256: str
    view: str  # what of a picture is shown to it: ``visible`` or ``pixels``
    resize: str  # the protocol by which pictures are brought to its input
    side: int  # its input's height and width, in pixels
    pixels: str  # the range it takes
    resolution: int  # height and width of the pictures before, in pixels
    truncation: float  # of the pictures; 1 also for those that were not drawn here
    generated_count: int
    reference_count: int  # real pictures that they are measured against
    reference_sha256: str
    reference: str  # what these are, in words
    settings: Mapping[str, int | float | str]  # the constants of the method
    seed: int  # of the latents and of the resamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The same number of real pictures against others of their set: as good as it gets."""

    mean: float  # over the repeats
    low: float  # the lowest repeat
    high: float
    count: int  # pictures on the side of the generated ones; half the set where that is fewer
    against_count: int  # pictures on the other side
    repeats: int  # random splits of the set


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number, how sure it is, and how it was measured."""

    name: str  # such as "FID" or "KID(efficientnet_lite0, visible)"
    value: float
    low: float  # of the 95 % bootstrap interval
    high: float
    better: str  # "lower", "higher" or "zero"
    floor: Floor | None = None  # None: it was not asked for or cannot be measured
    warnings: tuple[str, ...] = ()  # what limits this number, one sentence each
    protocol: ScoreProtocol


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """The first score less the second, with an interval as if the two were independent."""

    difference: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether the two cannot be told apart."""
        return self.low <= 0 <= self.high


def compare(first: Score, second: Score) -> ScoreComparison:
    """Return how two scores differ.

    The half-widths of the intervals add in squares. Both scores share their reference pictures,
    whose noise therefore counts twice: the interval is rather too wide than too narrow. Raises
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
    """Return a sentence for everything that keeps two scores from being compared."""
    pairs = [("name", first.name, second.name)]
    for field in fields(ScoreProtocol):
        if field.name not in {"seed", "reference"}:  # the words; the hash says whether it differs
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

    ``protocol`` says where both sets come from; its ``settings`` are filled in here. ``floors`` are
    those of the reference, as ``floors_of`` returns them. Fewer ``replicates``, the resamples
    behind each interval, are faster and rougher.

    Raises ScoreError: there are too few pictures, or the network has no classifier for the IS;
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
            real = (floors or {}).get(label)
            warnings = _warnings(label, generated, reference, real)
            score = _score(label, estimate, metric.better[label], real, own)
            scores.append(replace(score, warnings=warnings))
    return scores


def copy_scores(report: CopyReport, protocol: ScoreProtocol) -> list[Score]:
    """Return what the copy guard saw as scores; their floor is the same of held-out pictures."""
    counts = {"training_count": report.training_count, "held_out_count": report.held_out_count}
    protocol = replace(protocol, settings=counts)

    def against(label: str, ours: Estimate, honest: Estimate, better: str) -> Score:
        floor = Floor(
            mean=honest.value,
            low=honest.low,
            high=honest.high,
            count=report.held_out_count,
            against_count=report.training_count,
            repeats=1,
        )
        return _score(label, ours, better, floor, protocol)

    near = (report.near_copy_share, report.near_copy_share_held_out)
    singled = (report.singled_out_share, report.singled_out_share_held_out)
    authentic = (report.authentic_share, report.authentic_share_held_out)
    z = 1.959964  # C_T is a z-score: its own standard error is 1
    c_t = Estimate(report.c_t, report.c_t - z, report.c_t + z)
    return [
        against("near copies", *near, "lower"),
        against("singled out", *singled, "lower"),
        against("AuthPct", *authentic, "higher"),
        _score("C_T", c_t, "zero", None, protocol),
    ]


def _score(
    label: str, estimate: Estimate, better: str, floor: Floor | None, protocol: ScoreProtocol
) -> Score:
    name = full_name(label, protocol.extractor, protocol.view)
    return Score(name=name, **asdict(estimate), better=better, floor=floor, protocol=protocol)


def floors_of(
    reference: Features,
    metrics: Sequence[str] = (HEADLINE,),
    *,
    count: int,
    against: int | None = None,
    repeats: int | None = None,
    seed: int = 0,
) -> dict[str, Floor]:
    """Return what real pictures score against other real pictures of the same set, by label.

    The set is split at random, ``repeats`` times (10, and 3 for a set beyond 2,000 pictures), into
    ``count`` pictures, of half the set where it has fewer, and ``against`` others, without that all
    that are left, as a score is against the whole set. What is too small for a metric, or the
    network has no classifier for, has no floor. A floor of features that come from the cache is
    kept there too.
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
        except ScoreError:  # halves in which the metric finds nothing to measure
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
) -> dict[str, Tensor]:
    """Return (repeats,) values by label, from the cache where the features come from there."""
    metric = METRICS[name]

    def compute() -> dict[str, Tensor]:
        found: dict[str, list[float]] = {label: [] for label in metric.better}
        once = Resampling(replicates=0, seed=seed)  # the repeats themselves show the spread
        for repeat in range(repeats):
            rng = Randomness(seed).generator("floor", repeat)
            order = torch.randperm(len(reference), generator=rng)
            first, others = order[: sizes[0]], order[sizes[0] :][: sizes[1]]
            sides = reference.subset(first), reference.subset(others)
            for label, estimate in metric.measure(*sides, once).items():
                found[label].append(estimate.value)
        return {label: torch.tensor(rows, dtype=torch.float64) for label, rows in found.items()}

    if not reference.key:
        return compute()
    settings = json.dumps(dict(metric.settings), sort_keys=True)
    key = ("floor", name, settings, *sizes, repeats, seed, *reference.key)
    return cached_tensors(key, compute)


def check_metrics(metrics: Sequence[str], generated_count: int, reference: Features) -> None:
    """Check that all of ``metrics`` can be measured, before anything is drawn.

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
    """Return a number's name with its network's and its view's.

    Without them go that of the standard Inception, shown every pixel, which is the literature's,
    and those of the pixels themselves.
    """
    of_pixels = any(metric.of_pixels and label in metric.better for metric in METRICS.values())
    if of_pixels or (extractor == "inception" and view == "pixels"):
        return label
    seen = extractor if view == "pixels" else f"{extractor}, {view}"
    return f"{'FD' if label == 'FID' else label}({seen})"


def _warnings(
    label: str, generated: Features, reference: Features, real: Floor | None
) -> tuple[str, ...]:
    warnings: list[str] = []
    fewest = min(len(generated), len(reference))
    if fewest < FEW_PICTURES:
        warnings.append(
            f"{fewest} pictures are few: below {FEW_PICTURES} hardly any score can tell"
        )
    if label == "FID" and fewest <= generated.dimension:
        warnings.append(
            f"{fewest} pictures for {generated.dimension} features: a Frechet distance is biased "
            "upward here; read it against its floor, or read KID"
        )
    if real is not None and real.count < len(generated):
        warnings.append(f"the floor is that of {real.count} pictures: the set has too few for more")
    return tuple(warnings)
