"""A number with everything one must know to compare it with another."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import hypot

from graftgan.core.errors import ScoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreProtocol:
    """How a number was measured.

    Attributes:
        extractor: The feature network's name.
        weights_sha256: Of its weights.
        view: What of a picture is shown to it: ``visible`` or ``pixels``.
        resize: How pictures are brought to its input: the name of a protocol.
        side: Its input's height and width, in pixels.
        pixels: The range it takes.
        resolution: Height and width of the pictures before, in pixels.
        truncation: Share of the way from the average picture; 1 also for pictures that were not
            drawn here.
        generated_count: Pictures measured.
        reference_count: Real pictures they are measured against.
        reference_sha256: Of those pictures.
        reference: What they are, in words.
        settings: The constants of the method, such as a number of neighbours.
        seed: Of the latents and of the resamples.
    """

    extractor: str
    weights_sha256: str
    view: str
    resize: str
    side: int
    pixels: str
    resolution: int
    truncation: float
    generated_count: int
    reference_count: int
    reference_sha256: str
    reference: str
    settings: Mapping[str, int | float | str]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The same number of real pictures against other real ones of the same set: as good as it gets.

    Attributes:
        mean: Over the repeats.
        low: The lowest repeat.
        high: The highest repeat.
        count: Pictures on the side of the generated ones; half the set where that is fewer.
        against_count: Pictures on the other side.
        repeats: Random splits of the set.
    """

    mean: float
    low: float
    high: float
    count: int
    against_count: int
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number, how sure it is, and how it was measured.

    Attributes:
        name: Such as "FID" or "KID(efficientnet_lite0, visible)".
        value: The number.
        low: Lower end of the 95 % bootstrap interval.
        high: Upper end.
        better: "lower", "higher" or "zero".
        floor: The same of real pictures; None where it was not asked for or cannot be measured.
        warnings: What limits this number, one sentence each.
    """

    name: str
    value: float
    low: float
    high: float
    better: str
    floor: Floor | None = None
    warnings: tuple[str, ...] = ()
    protocol: ScoreProtocol


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """The first score less the second.

    Attributes:
        difference: Of the values.
        low: Lower end of its interval, as if the two were independent.
        high: Upper end.
    """

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
    whose noise therefore counts twice: the interval is rather too wide than too narrow.

    Raises:
        ScoreError: They are different numbers, or were measured differently. The seed may differ:
            it says which pictures were drawn, not how they were measured.
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
