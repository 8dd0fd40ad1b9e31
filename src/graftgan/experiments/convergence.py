"""When a run converged: when its losses became stable and its score reached a threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from graftgan.core.errors import RunError
from graftgan.experiments.records import VAEStart, number, read_run

_LEAST_POINTS = 40  # a shorter curve is not judged
_WINDOW_SHARE = 0.05  # of the points, in the window of a median
_SHARE = 0.05  # of the range of a curve, for the band around its level
_BEYOND_NOISE = 4.0  # standard errors, for the same
_MEDIAN_ERROR = 1.4826 * 1.2533  # from median deviation to standard deviation to error of a median


@dataclass(frozen=True, slots=True)
class Reached:
    """A moment of a run: the iteration, images shown and seconds trained by then."""

    iteration: int
    images: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """When a run converged, if it did."""

    losses: Reached | None  # when the losses of all networks were stable; None: they were not
    score: Reached | None  # when it first reached the threshold; None: never, or none was given
    score_name: str  # of the deciding score; empty: the run has none
    start: VAEStart | None  # the cost of the VAE that the run began with
    end: Reached  # the last logged moment


def stable_from(values: Sequence[float]) -> int | None:
    """Return the index from which a curve of evenly spaced values is stable; None: it is not yet.

    The curve is smoothed by a running median over 5 % of its values. Its level is the median of the
    last quarter. It is stable from where it never again leaves a band around that level: 5 % of its
    range, or four standard errors of the running median if that is more. It is not stable if that
    is in the last quarter, or if the means of the two halves of the last quarter differ by more
    than half the band.

    A curve that oscillates with constant amplitude is stable from its beginning, and a stable loss
    does not mean good pictures.
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
    """Return when the run in a folder converged, and when it reached the score ``threshold``.

    Raises:
        RunError: It is no run, has not trained yet, or was not scored though there is a threshold.
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
    stable = [moment for moment in found if moment is not None]
    losses = max(stable, key=lambda moment: moment.iteration) if stable else None
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
        losses=losses if len(stable) == len(found) else None,
        score=_moment_of(good[0].iteration or 0, moments) if good else None,
        score_name=own[0].name if own else "",
        start=None if record.card is None else record.card.start,
        end=moments[-1],
    )


def _stable_moment(values: Sequence[float | None], moments: Sequence[Reached]) -> Reached | None:
    """Return when a loss became stable; that of a network that trains later begins later."""
    known = [
        (value, moment) for value, moment in zip(values, moments, strict=True) if value is not None
    ]
    place = stable_from([value for value, _ in known])
    return None if place is None else known[place][1]


def _moment_of(iteration: int, moments: Sequence[Reached]) -> Reached:
    start = Reached(0, 0, 0.0)
    return next((m for m in [start, *moments] if m.iteration >= iteration), moments[-1])
