"""When did a run converge: its losses become stable, its score reach a threshold?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from graftgan.core.errors import RunError
from graftgan.experiments.records import VAEStart, number, read_run

_LEAST_POINTS = 40  # of a curve that anything is said about
_WINDOW_SHARE = 0.05  # of the points: what a median is taken over
_SHARE = 0.05  # of all the way a curve has gone: what counts as no way
_BEYOND_NOISE = 4.0  # standard errors, which noise does not go beyond
_MEDIAN_ERROR = 1.4826 * 1.2533  # from median distances to a deviation, to the error of a median


@dataclass(frozen=True, slots=True)
class Reached:
    """A moment of a run: what was shown to the discriminator and trained until then."""

    iteration: int
    images: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """When a run converged, as far as it did."""

    losses: Reached | None  # when the losses of all networks had become stable; None: they had not
    score: Reached | None  # when it was first as good as asked for; None: never, or not asked
    score_name: str  # of the score that decides; empty where the run has none
    start: VAEStart | None  # what the run began with and what that had cost, if it was anything
    end: Reached  # the last moment that is known


def stable_from(values: Sequence[float]) -> int | None:
    """Return from which value on a curve is stable, as its index; None: it is not stable yet.

    The rule, on evenly spaced values. Each value is replaced by the median of a window of 5 % of
    them around it. The last quarter gives the level, its median. The curve is stable from the first
    place after which it never leaves a band around this level: 5 % of the way between its lowest
    and highest value, or four standard errors of such a median, where that is more. It is not
    stable if that place lies in the last quarter, or if the two halves of the last quarter differ
    by more than half the band: then it still goes somewhere.

    A level that is held is all this says. A curve that swings with one amplitude throughout is
    stable from its beginning, and a stable loss is no good picture.
    """
    if len(values) < _LEAST_POINTS or not all(map(math.isfinite, values)):
        return None
    half = max(2, round(_WINDOW_SHARE * len(values) / 2))
    smooth = [median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    strays = median([abs(value - near) for value, near in zip(values, smooth, strict=True)])
    noise = _MEDIAN_ERROR * strays / math.sqrt(2 * half + 1)
    band = max(_SHARE * (max(smooth) - min(smooth)), _BEYOND_NOISE * noise)
    quarter = smooth[3 * len(smooth) // 4 :]
    level = median(quarter)
    middle = len(quarter) // 2
    if abs(fmean(quarter[:middle]) - fmean(quarter[middle:])) > band / 2:
        return None
    outside = [place for place, value in enumerate(smooth) if abs(value - level) > band]
    first = outside[-1] + 1 if outside else 0
    return first if first <= 3 * len(smooth) // 4 else None


def convergence_of(run: Path, *, threshold: float | None = None) -> Convergence:
    """Return when the run in a folder converged, and reached the score ``threshold``, if any.

    Raises:
        RunError: It is no run, has not trained yet, or is to reach a score and was not scored.
    """
    record = read_run(run)
    log = [
        line for line in record.log if math.isfinite(line.images) and math.isfinite(line.seconds)
    ]
    if not log:
        raise RunError(f"{run} has no line in log.jsonl: it is no run, or has not trained yet")
    moments = [Reached(line.iteration, int(line.images), line.seconds) for line in log]
    names = sorted({name for line in log for name in line.terms if name.endswith(".loss")})
    found = [_stable_moment([line.terms.get(name) for line in log], moments) for name in names]
    losses = None
    if found and None not in found:
        losses = max((moment for moment in found if moment), key=lambda moment: moment.iteration)
    own = [
        s for s in record.scores if s.iteration is not None and s.protocol is not None and s.is_own
    ]
    scores = [score for score in own if score.name == own[0].name]
    if threshold is not None and not scores:
        raise RunError(f"{run} was not scored, so it reached no score; train it with --score-every")
    sign = -1 if own and own[0].better == "higher" else 1
    good = [
        s for s in scores if threshold is not None and sign * number(s.value) <= sign * threshold
    ]
    return Convergence(
        losses=losses,
        score=_moment_of(good[0].iteration or 0, moments) if good else None,
        score_name=own[0].name if own else "",
        start=None if record.card is None else record.card.start,
        end=moments[-1],
    )


def _stable_moment(values: Sequence[float | None], moments: Sequence[Reached]) -> Reached | None:
    """Return when a loss was stable; a network that began late has no loss until then."""
    known = [
        (value, moment) for value, moment in zip(values, moments, strict=True) if value is not None
    ]
    place = stable_from([value for value, _ in known])
    return None if place is None else known[place][1]


def _moment_of(iteration: int, moments: Sequence[Reached]) -> Reached:
    start = Reached(0, 0, 0.0)
    return next((m for m in [start, *moments] if m.iteration >= iteration), moments[-1])
