"""The page of one run: its pictures, curves, scores, plan and settings."""

import json
import math
import shlex
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from graftgan.experiments.records import (
    RunCard,
    RunRecord,
    ScoreRecord,
    SettingsRecord,
    number,
    read_run,
)
from graftgan.reports.drawing import Panel, Point, curve_svg, in_words
from graftgan.reports.grid import EmbeddedPicture, embed, strip_of
from graftgan.reports.page import duration, evenly, plain, render, share, short_name, write_page
from graftgan.transfer import ACTIONS

_MOST_ROWS = 12
_COLUMNS = 8  # of every sample grid
_HERO_BYTES = 600_000  # lossless up to here; a page with a 512 px grid stays below 2 MB
_STRIP_BYTES = 56_000
_STATES = {
    "finished": "finished",
    "running": "still running",
    "interrupted": "stopped early",
    "stopped": "ended by its scores",
    "pruned": "ended by a search",
    "diverged": "diverged",
    "failed": "failed",
}
_LOSSES, _LOGITS, _SPEED = "Losses", "Logits of real and fake", "Speed"
_SHARED = {  # panels of several curves: the label of the vertical axis and the caption
    _LOSSES: ("loss", "In adversarial training a lower loss is not by itself a better one."),
    _LOGITS: (
        "logit",
        "A gap that keeps growing: the discriminator tells its training pictures too easily.",
    ),
    _SPEED: ("per second", "On the hardware named at the end."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCurve:
    """One score over the run, by one protocol."""

    name: str  # of the metric; numbered where the run has several protocols of it
    protocol: dict[str, str]  # settings as text
    points: list[Point]  # (iteration, value), ascending, as are the ends of its intervals
    lows: list[Point]
    highs: list[Point]
    floor: float | None  # the score of real pictures against each other, if measured
    decides: bool  # whether it chose the best checkpoint
    last_interval: str  # of the last value; empty: it has none


def write_run_report(
    run: Path, destination: Path | None = None, *, card: RunCard | None = None
) -> Path:
    """Write a self-contained HTML page about a run; return its path.

    An unfinished or incomplete run gets a page too, which says what is missing. The same folder
    always gives the same bytes. ``destination`` is ``report.html`` in the folder by default;
    ``card`` replaces the one on disk.

    Raises:
        RunError: There is no such folder, or the page cannot be written.
    """
    destination = destination or run / "report.html"
    write_page(_page(read_run(run, card=card)), destination)
    return destination


def _page(record: RunRecord) -> str:
    scores = scores_of(record)
    grids, damaged = _grids(record.samples)
    rebuilt, unreadable = _grids(dict(list(record.reconstructions.items())[-1:]))
    plan, settings, card = record.plan, record.settings, record.card
    layers = [] if plan is None else [layer for of in plan.networks.values() for layer in of]
    no_source = "unknown source" if settings is None else "fresh weights"
    return render(
        "run.html",
        source=short_name(settings and settings.source, default=no_source),
        pictures=short_name(settings and settings.pictures, default="unknown pictures"),
        name=record.name,
        state=record.state if record.state in _STATES else "unknown",
        state_text=_STATES.get(record.state, "state unknown"),
        ending=_ending(record),
        card=card,
        missing=record.missing + damaged + unreadable,
        facts=_facts(record, scores),
        hero=_hero(grids, "Grid of generated pictures"),
        rebuilt=_hero(rebuilt, "Rows of training pictures, each above its reconstructions"),
        snapshots=[_snapshot(record, i, image, scores) for i, image in grids.items()],
        snapshot_count=len(record.samples),
        panels=panels_of(record, scores),
        scores=scores,
        plan=plan,
        share=share,
        actions={layer.action: ACTIONS.get(layer.action) for layer in layers},
        settings=settings,
        manifest=record.manifest,
        commands=_commands(record),
        machine=_machine(record),
        made_by=version("graftgan"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    iteration: int
    images: str
    strip: EmbeddedPicture
    scores: list[tuple[str, str]]


def _grids(files: dict[int, Path]) -> tuple[dict[int, Image.Image], list[str]]:
    """Return evenly spaced grids by iteration, and a sentence for each damaged file."""
    grids: dict[int, Image.Image] = {}
    damaged: list[str] = []
    for iteration in evenly(list(files), most=_MOST_ROWS):
        path = files[iteration]
        try:
            with Image.open(path) as image:
                grids[iteration] = image.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three
            damaged.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
    return grids, damaged


def _hero(grids: dict[int, Image.Image], what: str) -> EmbeddedPicture | None:
    if not grids:
        return None
    iteration = max(grids)
    alt = f"{what}, {_COLUMNS} in a row, at iteration {iteration:,}"
    return embed(grids[iteration], alt=alt, exact_up_to=_HERO_BYTES)


def _snapshot(
    record: RunRecord, iteration: int, grid: Image.Image, scores: list[ScoreCurve]
) -> _Snapshot:
    strip = strip_of(grid, max(1, grid.width // _COLUMNS), _COLUMNS)
    alt = f"{_COLUMNS} generated pictures at iteration {iteration:,}"
    measured = [(score.name, dict(score.points)) for score in scores if score.decides]
    seen, at = record.images_at(iteration), float(iteration)
    return _Snapshot(
        iteration=iteration,
        images="" if seen is None else f"{'' if seen[1] else '≈ '}{seen[0]:,} images",
        strip=embed(strip, alt=alt, exact_up_to=_STRIP_BYTES),
        scores=[(name, in_words(curve[at], digits=3)) for name, curve in measured if at in curve],
    )


def _ending(record: RunRecord) -> str:
    """Return why the run is incomplete; empty for a finished run."""
    if record.state == "finished":
        return ""
    card = record.card
    where = f"at iteration {record.iteration:,}"
    where += f" of {card.iterations:,}" if card is not None else ""
    said = f": {card.message}" if card is not None and card.message else "."
    if record.state == "running":
        return f"When this page was written, the run was active or had been killed, {where}{said}"
    if record.state in _STATES:
        verb = {"interrupted": "stopped", "stopped": "was ended by its scores"}.get(record.state)
        verb = "was ended by a search" if record.state == "pruned" else verb or record.state
        return f"The run {verb} {where}{said}"
    return f"How the run ended is not recorded; its files reach up to {where[3:]}{said}"


def _facts(record: RunRecord, scores: list[ScoreCurve]) -> dict[str, str]:
    seen = record.images_at(record.iteration)
    seconds = math.nan if record.card is None else record.card.seconds
    if not seconds > 0:  # a killed session has not written them
        logged = [entry.seconds for entry in record.log if math.isfinite(entry.seconds)]
        seconds = max(logged, default=math.nan)
    plan, manifest = record.plan, record.manifest
    count = 0 if manifest is None else len(manifest.training) or len(manifest.pictures)
    settings = record.settings or SettingsRecord(sections={})
    is_adversarial = settings.procedure in (None, "", "adversarial")
    facts = {
        "objective": settings.objective or "" if is_adversarial else "",
        "procedure": "" if is_adversarial else settings.procedure or "",
        "pictures": f"{count:,}" if count else "",
        "iterations": f"{record.iteration:,}",
        "images seen": "" if seen is None else f"{seen[0]:,}",
        "time": duration(seconds) if math.isfinite(seconds) else "",
        "weights that train": share(plan.trainable, plan.parameters)
        if plan is not None and plan.parameters > 0
        else "",
    }
    facts |= {score.name: in_words(score.points[-1][1]) for score in scores if score.decides}
    return {name: value for name, value in facts.items() if value}


def _commands(record: RunRecord) -> list[tuple[str, str]]:
    run = shlex.quote(str(record.folder))
    folded = shlex.quote(f"{record.name}-folded")
    grafted = record.settings is None or record.settings.source is not None
    verb = "transfer" if grafted else "pretrain"
    title = "Train on from here" if record.state == "finished" else "Go on where the run stopped"
    train_on = (title, f"graftgan {verb} --resume {run}")
    if record.state == "stopped":  # it would only be stopped again
        command = f"graftgan transfer PICTURES --source {run}"
        train_on = ("Train on from its best checkpoint", command)
    commands = [
        train_on,
        ("Make new pictures", f"graftgan sample {run} --count 64"),
        ("Walk from picture to picture", f"graftgan interpolate {run}"),
    ]
    if grafted:  # fresh weights have no base that an adapter could change
        fold = f"graftgan adapter fold {run} {folded}"
        commands.append(("Fold the adapter into plain weights", fold))
    return commands


def _machine(record: RunRecord) -> dict[str, str]:
    if record.card is None:
        return {}
    session = record.card.session
    said = {"command": session.command, "hardware": session.hardware, "device": session.device}
    return {name: value for name, value in said.items() if value} | dict(session.versions)


def scores_of(record: RunRecord) -> list[ScoreCurve]:
    """Return the scores by name and protocol; values of two protocols never share a curve.

    Of an iteration that was scored twice, the run's own score counts, else the last one.
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
    for i, ((name, protocol), found) in enumerate(groups.items()):
        several = names.count(name) > 1
        entries = dict(sorted(found.items()))
        floor = list(entries.values())[-1].floor
        mean = math.nan if floor is None else floor.mean
        sure = {at: e for at, e in entries.items() if e.low is not None and e.high is not None}
        lows = [(at, number(entry.low)) for at, entry in sure.items()]
        highs = [(at, number(entry.high)) for at, entry in sure.items()]
        points = [(at, number(entry.value)) for at, entry in entries.items()]
        interval = ""
        if lows and lows[-1][0] == points[-1][0]:
            ends = in_words(lows[-1][1], digits=3), in_words(highs[-1][1], digits=3)
            interval = f"{ends[0]} to {ends[1]}"
        scores.append(
            ScoreCurve(
                name=f"{name}, protocol {names[: i + 1].count(name)}" if several else name,
                protocol={key: plain(value) for key, value in json.loads(protocol).items()},
                points=points,
                lows=lows,
                highs=highs,
                floor=mean if math.isfinite(mean) else None,
                last_interval=interval,
                decides=any(e.is_own if e.decides is None else e.decides for e in entries.values()),
            )
        )
    return scores


def panels_of(record: RunRecord, scores: list[ScoreCurve]) -> list[Panel]:
    """Return losses, logits, each score, speed, then a panel for each other logged term."""
    names = list(dict.fromkeys(name for entry in record.log for name in entry.terms))
    groups: dict[str, list[str]] = {title: [] for title in _SHARED}
    for name in names:
        if any(entry.terms.get(name) is not None for entry in record.log):  # else text or a table
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


def _panel(record: RunRecord, title: str, names: list[str]) -> Panel:
    y_label, caption = _SHARED.get(title, ("", ""))
    series = {  # ``null``, which stands for NaN in strict JSON, is a gap
        name: [(float(e.iteration), number(e.terms[name])) for e in record.log if name in e.terms]
        for name in names
    }
    svg = curve_svg(series, title=title, x_label="iteration", y_label=y_label)
    return Panel(svg=svg, caption=caption)


def _score_panel(score: ScoreCurve) -> Panel:
    lines = {score.name: score.points}
    if score.lows and score.highs:
        lines |= {"interval, low": score.lows, "interval, high": score.highs}
    if score.floor is not None:
        ends = (score.points[0][0], score.points[-1][0])
        lines["real against real"] = [(at, score.floor) for at in ends]
    svg = curve_svg(lines, title=score.name, x_label="iteration", y_label="score")
    return Panel(svg=svg, caption="Measured by one protocol throughout; see Scores.")
