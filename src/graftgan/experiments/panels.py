"""Sort the numbers of a run into panels of curves that share a scale."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from graftgan.experiments.records import ScoreRecord
from graftgan.experiments.run_record import LogRecord, RunRecord, number
from graftgan.reports.curves import curve_svg
from graftgan.reports.drawing import Panel, Point, in_words
from graftgan.reports.page import plain

_LOSSES, _LOGITS, _SPEED = "Losses", "Logits of real and fake", "Speed"
_SHARED = {  # panels of several curves: the vertical axis and the caption
    _LOSSES: ("loss", "In adversarial training a lower loss is not by itself a better one."),
    _LOGITS: (
        "logit",
        "A gap that keeps growing: the discriminator tells its training pictures too easily.",
    ),
    _SPEED: ("per second", "On the hardware named at the end."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCurve:
    """One score over the run, measured by one protocol throughout.

    Attributes:
        name: As the metric calls itself; numbered where the run holds several protocols of it.
        protocol: How it was measured, as flat text by setting.
        points: (iteration, value), ascending.
        lows: (iteration, lower end of the interval), where there is one.
        highs: (iteration, upper end of the interval), likewise.
        floor: What real pictures score against each other; None where that was not measured.
        decides: Whether it chose the best checkpoint.
    """

    name: str
    protocol: dict[str, str]
    points: list[Point]
    lows: list[Point]
    highs: list[Point]
    floor: float | None
    decides: bool

    def at(self, iteration: int) -> str | None:
        """Return the value at ``iteration`` in words, if it was measured there."""
        value = dict(self.points).get(float(iteration))
        return None if value is None else in_words(value, digits=3)

    @property
    def last(self) -> str:
        """The last value in words."""
        return in_words(self.points[-1][1])

    @property
    def last_interval(self) -> str:
        """The interval of the last value in words; empty where there is none."""
        if not self.lows or self.lows[-1][0] != self.points[-1][0]:
            return ""
        return f"{in_words(self.lows[-1][1], digits=3)} to {in_words(self.highs[-1][1], digits=3)}"

    @property
    def last_iteration(self) -> int:
        """Where the last value was measured."""
        return int(self.points[-1][0])

    @property
    def floor_in_words(self) -> str:
        """What real pictures score; empty where that was not measured."""
        return "" if self.floor is None else in_words(self.floor)


def scores_of(record: RunRecord) -> list[ScoreCurve]:
    """Return the scores by name and protocol; values of two protocols never share a curve.

    What was measured twice counts as the run itself has it, or else as it was measured last.
    """
    groups: dict[tuple[str, str], dict[float, ScoreRecord]] = {}
    for entry in record.scores:
        if entry.iteration is not None:
            protocol = json.dumps(dict(entry.protocol or {}), sort_keys=True)
            entries = groups.setdefault((entry.name, protocol), {})
            before = entries.get(float(entry.iteration))
            if before is None or entry.is_own or not before.is_own:
                entries[float(entry.iteration)] = entry
    names = [name for name, _ in groups]
    scores: list[ScoreCurve] = []
    for i, ((name, protocol), entries) in enumerate(groups.items()):
        several = names.count(name) > 1
        shown = f"{name}, protocol {names[: i + 1].count(name)}" if several else name
        flat = {key: plain(value) for key, value in json.loads(protocol).items()}
        scores.append(_score(shown, flat, dict(sorted(entries.items()))))
    return scores


def _score(name: str, protocol: dict[str, str], entries: dict[float, ScoreRecord]) -> ScoreCurve:
    last = list(entries.values())[-1]
    sure = {at: e for at, e in entries.items() if e.low is not None and e.high is not None}
    floor = math.nan if last.floor is None else last.floor.mean
    return ScoreCurve(
        name=name,
        protocol=protocol,
        points=[(at, number(entry.value)) for at, entry in entries.items()],
        lows=[(at, number(entry.low)) for at, entry in sure.items()],
        highs=[(at, number(entry.high)) for at, entry in sure.items()],
        floor=floor if math.isfinite(floor) else None,
        decides=any(e.is_own if e.decides is None else e.decides for e in entries.values()),
    )


def panels_of(record: RunRecord, scores: list[ScoreCurve]) -> list[Panel]:
    """Return losses, logits, each score, speed, then whatever else was logged, each by itself."""
    names = list(dict.fromkeys(name for entry in record.log for name in entry.terms))
    names = [name for name in names if _is_curve(record, name)]
    groups: dict[str, list[str]] = {title: [] for title in _SHARED}
    for name in names:
        groups.setdefault(_group(name), []).append(name)
    panels = {title: _panel(record, title, members) for title, members in groups.items() if members}
    speed = panels.pop(_SPEED, None)
    shared = [panels.pop(title) for title in _SHARED if title in panels]
    measured = [_score_panel(score) for score in scores if len(score.points) > 1 or score.decides]
    return [*shared, *measured, *([speed] if speed else []), *panels.values()]


def _group(name: str) -> str:
    last = name.rsplit(".", 1)[-1]
    if "loss" in last:
        return _LOSSES
    if last in {"real", "fake"}:
        return _LOGITS
    return _SPEED if last.endswith("_per_second") else name


def _is_curve(record: RunRecord, name: str) -> bool:
    """Return whether a number was ever logged under ``name``; text and tables are no curves."""
    return any(entry.terms.get(name) is not None for entry in record.log)


def _panel(record: RunRecord, title: str, names: list[str]) -> Panel:
    y_label, caption = _SHARED.get(title, ("", ""))
    series = {name: _points(record.log, name) for name in names}
    svg = curve_svg(series, title=title, x_label="iteration", y_label=y_label)
    return Panel(svg=svg, caption=caption)


def _points(log: Sequence[LogRecord], name: str) -> list[Point]:
    """Return the curve; ``null`` is how strict JSON writes not-a-number, so it is a gap."""
    return [(float(e.iteration), number(e.terms[name])) for e in log if name in e.terms]


def _score_panel(score: ScoreCurve) -> Panel:
    lines = {score.name: score.points}
    if score.lows and score.highs:
        lines |= {"interval, low": score.lows, "interval, high": score.highs}
    if score.floor is not None:
        ends = (score.points[0][0], score.points[-1][0])
        lines["real against real"] = [(at, score.floor) for at in ends]
    svg = curve_svg(lines, title=score.name, x_label="iteration", y_label="score")
    return Panel(svg=svg, caption="Measured by one protocol throughout; see Scores.")
