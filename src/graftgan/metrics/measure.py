"""From two sets of features to scores with protocol, interval and floor."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.core.randomness import Randomness
from graftgan.metrics.bootstrap import Estimate, Resampling
from graftgan.metrics.copying import CopyReport
from graftgan.metrics.extractors import Extractor
from graftgan.metrics.feature_cache import cached_tensors
from graftgan.metrics.features import Features
from graftgan.metrics.metric import METRICS
from graftgan.metrics.score import Floor, Score, ScoreProtocol

HEADLINE = "kid"  # under 1,000 pictures a FID cannot tell equal from different; KID can
FEW_PICTURES = 50
_LARGE = 2000


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
    """Return every number of ``metrics``.

    Args:
        generated: Of the pictures to be scored.
        reference: Of the real ones.
        protocol: Where both come from; its ``settings`` are filled in here.
        metrics: Names in ``METRICS``.
        floors: Of the reference, as ``floors_of`` returns them.
        replicates: Resamples behind each interval; fewer are faster and rougher.

    Raises:
        ScoreError: There are too few pictures, or the network has no classifier for the IS.
        UnknownName: There is no such metric.
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
        estimates = metric.measure(generated, reference, resampling)
        for label, estimate in estimates.items():
            real = (floors or {}).get(label)
            scores.append(
                Score(
                    name=full_name(label, protocol.extractor, protocol.view),
                    value=estimate.value,
                    low=estimate.low,
                    high=estimate.high,
                    better=metric.better[label],
                    floor=real,
                    warnings=_warnings(label, generated, reference, real),
                    protocol=replace(protocol, settings=dict(metric.settings)),
                )
            )
    return scores


def copy_scores(report: CopyReport, protocol: ScoreProtocol) -> list[Score]:
    """Return what the copy guard saw as scores, so that it can be followed through a run.

    The floor is the same of held-out pictures: what those score that copy nothing.
    """
    z = 1.959964  # C_T is a z-score: its own standard error is 1
    rows = [
        ("near copies", report.near_copy_share, report.near_copy_share_held_out, "lower"),
        ("singled out", report.singled_out_share, report.singled_out_share_held_out, "lower"),
        ("AuthPct", report.authentic_share, report.authentic_share_held_out, "higher"),
        ("C_T", Estimate(report.c_t, report.c_t - z, report.c_t + z), None, "zero"),
    ]
    protocol = replace(
        protocol,
        settings={
            "training_count": report.training_count,
            "held_out_count": report.held_out_count,
        },
    )
    return [
        Score(
            name=full_name(label, protocol.extractor, protocol.view),
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            better=better,
            floor=None
            if honest is None
            else Floor(
                mean=honest.value,
                low=honest.low,
                high=honest.high,
                count=report.held_out_count,
                against_count=report.training_count,
                repeats=1,
            ),
            protocol=protocol,
        )
        for label, estimate, honest, better in rows
    ]


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

    The set is split at random, ``repeats`` times, into ``count`` pictures, of half the set where it
    has fewer, and others. What is too small for a metric, or the network has no classifier for, has
    no floor. A floor of features that come from the cache is kept there too.

    Args:
        reference: Of the set.
        metrics: Names in ``METRICS``.
        count: Pictures on the side of the generated ones.
        against: Pictures on the other side; without it all that are left, as a score is against
            the whole set.
        repeats: Without it 10, and 3 for a set beyond 2,000 pictures.
        seed: Of the splits.
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
            first, others = torch.randperm(len(reference), generator=rng).split(
                [sizes[0], len(reference) - sizes[0]]
            )
            sides = reference.subset(first), reference.subset(others[: sizes[1]])
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

    Raises:
        ScoreError: There are too few pictures, or the network has no classifier for the IS.
        UnknownName: There is no such metric.
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
