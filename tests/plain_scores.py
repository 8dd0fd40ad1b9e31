"""Scores of one protocol, for tests that only need numbers."""

from dataclasses import replace

from graftgan.metrics.score import Score, ScoreProtocol

PROTOCOL = ScoreProtocol(
    extractor="tiny",
    weights_sha256="w",
    view="pixels",
    resize="area",
    side=8,
    pixels="unit",
    resolution=32,
    truncation=1.0,
    generated_count=100,
    reference_count=50,
    reference_sha256="r",
    reference="held out",
    settings={},
    seed=0,
)


def score(
    value: float,
    half: float = 0.1,
    *,
    better: str = "lower",
    reference: str = "r",
    name: str = "KID",
) -> Score:
    protocol = replace(PROTOCOL, reference_sha256=reference)
    return Score(
        name=name,
        value=value,
        low=value - half,
        high=value + half,
        better=better,
        protocol=protocol,
    )
