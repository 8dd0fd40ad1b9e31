"""From two sets of features to scores with protocol, interval and floor."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from graftgan.errors import ScoreError
from graftgan.metrics.copying import CopyReport
from graftgan.metrics.extractors import Extractor
from graftgan.metrics.features import Features
from graftgan.metrics.registry import METRICS, Metric
from graftgan.metrics.resampling import Estimate, Resampling
from graftgan.metrics.score import Floor, Score, ScoreProtocol
from graftgan.randomness import Randomness

HEADLINE = "kid"  # under 1,000 pictures a FID cannot tell equal from different; KID can
FEW_PICTURES = 50


def protocol_of(
    extractor: Extractor,
    generated: Features,
    reference: Features,
    *,
    reference_name: str,
    resolution: int,
    seed: int,
) -> ScoreProtocol:
    """Return how ``generated`` will be measured against ``reference``, before the settings."""
    return ScoreProtocol(
        **extractor.describe(),
        resolution=resolution,
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
) -> list[Score]:
    """Return every number of ``metrics``.

    Args:
        generated: Of the pictures to be scored.
        reference: Of the real ones.
        protocol: Where both come from; its ``settings`` are filled in here.
        metrics: Names in ``METRICS``.
        floors: Of the reference, as ``floors_of`` returns them.

    Raises:
        ScoreError: There are too few pictures, or the network has no classifier for the IS.
        UnknownName: There is no such metric.
    """
    scores: list[Score] = []
    for name in metrics:
        metric = METRICS[name]
        _check(name, metric, generated, reference)
        estimates = metric.measure(generated, reference, Resampling(seed=protocol.seed))
        for label, estimate in estimates.items():
            real = (floors or {}).get(label)
            scores.append(
                Score(
                    name=full_name(label, protocol.extractor),
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
        ("C_T", Estimate(report.c_t, report.c_t - z, report.c_t + z), None, "higher"),
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
            name=full_name(label, protocol.extractor),
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
    repeats: int = 10,
    seed: int = 0,
) -> dict[str, Floor]:
    """Return what real pictures score against other real pictures of the same set, by label.

    The set is split at random, ``repeats`` times, into two parts of ``count`` pictures that have
    none in common; of half the set, where it has fewer. What half the set is too small for, or the
    network has no classifier for, has no floor.
    """
    floors: dict[str, Floor] = {}
    for name in metrics:
        metric = METRICS[name]
        size = min(count, len(reference) // 2)
        if size >= metric.least and not (metric.needs_logits and reference.logits is None):
            floors |= _floor(metric, reference, size, repeats, seed)
    return floors


def _floor(
    metric: Metric, reference: Features, size: int, repeats: int, seed: int
) -> dict[str, Floor]:
    found: dict[str, list[float]] = {label: [] for label in metric.better}
    once = Resampling(replicates=0, seed=seed)  # the repeats themselves show the spread
    for repeat in range(repeats):
        rng = Randomness(seed).generator("floor", repeat)
        order = torch.randperm(len(reference), generator=rng)
        halves = reference.subset(order[:size]), reference.subset(order[size : 2 * size])
        for label, estimate in metric.measure(*halves, once).items():
            found[label].append(estimate.value)
    return {
        label: Floor(
            mean=sum(values) / repeats,
            low=min(values),
            high=max(values),
            count=size,
            repeats=repeats,
        )
        for label, values in found.items()
    }


def full_name(label: str, extractor: str) -> str:
    """Return a number's name with its network's; only the standard Inception goes without."""
    if extractor == "inception":
        return label
    return f"{'FD' if label == 'FID' else label}({extractor})"


def _check(name: str, metric: Metric, generated: Features, reference: Features) -> None:
    for kind, features in (("generated", generated), ("reference", reference)):
        if len(features) < metric.least:
            raise ScoreError(
                f"{name} needs at least {metric.least} pictures on each side, but there are "
                f"{len(features)} {kind} ones; add pictures, or leave this score out"
            )
    if generated.dimension != reference.dimension:
        raise ScoreError(
            f"the generated pictures have {generated.dimension} features, the reference "
            f"{reference.dimension}; take both from one network"
        )
    if metric.needs_logits and generated.logits is None:
        raise ScoreError(f"{name} needs a network with a classifier; this one gives features only")


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
