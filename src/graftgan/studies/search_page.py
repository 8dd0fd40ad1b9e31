"""The page of a search: its trials, its result, and the limits of that."""

import math
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from graftgan.experiments.records import number, read_scores
from graftgan.reports.drawing import (
    LineStyle,
    Panel,
    Point,
    bundle_svg,
    heatmap_svg,
    in_words,
    scatter_svg,
)
from graftgan.reports.grid import EmbeddedPicture, embed, open_grid
from graftgan.reports.page import duration, plain, render, share, short_name, write_page
from graftgan.studies.search_result import SearchResult, Surfaces, read_search_result
from graftgan.studies.trials import FINISHED, PRUNED, Trial

_GRID_BYTES = 600_000
_LOOKS = {
    PRUNED: LineStyle(line=4, opacity=0.6, dashes="3 3"),
    FINISHED: LineStyle(line=0, opacity=0.45),
}
_WINNER = LineStyle(line=1, width=2.8)
TRIAL_HEADINGS = [
    "trial",
    "why",
    "plan",
    "settings",
    "state",
    "score",
    "its best",
    "iteration",
    "trains",
    "images",
    "time",
]


def write_search_report(folder: Path, destination: Path | None = None) -> Path:
    """Write the page of a search, by default ``search.html`` in its folder; return its path.

    Raises:
        RunError: There is no search, or the page cannot be written.
    """
    destination = destination or folder / "search.html"
    write_page(_page(folder, read_search_result(folder)), destination)
    return destination


def trial_rows(result: SearchResult) -> list[list[str]]:
    """Return a row under ``TRIAL_HEADINGS`` for each trial and the untouched source, best first."""
    trials = _by_number(result)
    order = [n for n in result.ranking if n in trials]
    lines = [_row(trials[n], result) for n in [*order, *(n for n in trials if n not in order)]]
    source = result.source
    if source is not None and math.isfinite(value := number(source.mean)):
        ahead = sum(number(trials[n].cost) < _value(result, value) for n in order)
        row = ["–", "", source.variant, "", "", _shown(value), _shown(value), "0", "–", "0", "–"]
        lines.insert(ahead, row)
    return lines


def _page(folder: Path, result: SearchResult) -> str:
    trials = result.trials
    own = [trial for trial in trials if trial.stage == "search"]
    return render(
        "search.html",
        name=folder.resolve().name,
        pictures=short_name(result.shared.get("pictures"), default="pictures"),
        result=result,
        judged="at the end" if result.judge == "end" else "at the best checkpoint",
        facts={
            "trials": f"{sum(not t.is_open for t in own)} of {len(own)} ended",
            "finished": str(sum(t.state == FINISHED for t in own)),
            "ended early": str(sum(t.state == PRUNED for t in own)),
            "confirming runs": str(len(trials) - len(own)),
            "images shown": in_words(sum(t.images for t in trials)),
            "time": duration(sum(t.wall for t in trials)),
        },
        grid=_grid(folder, result),
        surfaces=_surfaces(result, result.surface, {"best score": "best", "mean score": "mean"}),
        early=_surfaces(result, result.early, {"best score there": "best"}),
        early_iteration=in_words(number(result.early_iteration)),
        front=_front(result),
        front_rows=_front_rows(result),
        curves=_curves(folder, result),
        importances=[
            [name, f"{100 * weight:.0f} %"]
            for name, weight in sorted(result.importances.items(), key=lambda item: -item[1])
        ],
        confirmed=_confirmed(result),
        headings=TRIAL_HEADINGS,
        table=trial_rows(result),
        shared={key: plain(value) for key, value in result.shared.items()},
        commands=_commands(folder, result),
        made_by=version("graftgan"),
    )


def _value(result: SearchResult, cost: float | None) -> float:
    """Return the score of a cost, or the cost of a score."""
    return -number(cost) if result.better == "higher" else number(cost)


def _shown(value: float) -> str:
    return in_words(value, digits=4) if math.isfinite(value) else "–"


def _row(trial: Trial, result: SearchResult) -> list[str]:
    settings = {k: v for k, v in trial.overrides.items() if k != "plan"}
    trains, of = trial.trainable, trial.parameters
    return [
        str(trial.number),
        trial.why,
        trial.plan or str(trial.overrides.get("plan", "")),
        ", ".join(f"{key.rpartition('.')[2]} {plain(value)}" for key, value in settings.items()),
        f"{trial.state}: {trial.message}" if trial.message else trial.state,
        _shown(_value(result, trial.cost)),
        "–" if trial.best is None else _shown(trial.best.value),
        in_words(trial.iteration),
        f"{in_words(trains)} ({share(trains, of)})" if trains is not None and of else "–",
        in_words(trial.images),
        duration(trial.wall),
    ]


def _by_number(result: SearchResult) -> dict[int, Trial]:
    return {trial.number: trial for trial in result.trials}


def _grid(folder: Path, result: SearchResult) -> EmbeddedPicture | None:
    winner = _by_number(result).get(-1 if result.winner is None else result.winner)
    if winner is None:
        return None
    grids = sorted((folder / "runs" / winner.name / "samples").glob("*.png"))
    grid = open_grid(grids[-1]) if grids else None
    if grid is None:
        return None
    alt = f"{int(grids[-1].stem):,} iterations: generated pictures of trial {winner.number}"
    return embed(grid, alt=alt, exact_up_to=_GRID_BYTES)


def _surfaces(result: SearchResult, surfaces: Surfaces, shown: Mapping[str, str]) -> list[Panel]:
    """Return heat maps for each network, one for each field of the cells that is ``shown``."""
    found: list[Panel] = []
    for role, cells in surfaces.items():
        size = len(result.layers.get(role, ()))
        for words, of in shown.items():
            svg = heatmap_svg(
                {(c.freeze, c.tune): (_value(result, getattr(c, of)), c.count) for c in cells},
                size=size,
                title=f"{role.capitalize()}: {words}",
                x_label="k, layers fine-tuned",
                y_label="i, layers frozen",
                lower_is_better=result.better != "higher",
            )
            caption = f"j = {size} − i − k layers are modulated. Small numbers: count of trials."
            found.append(Panel(svg=svg, caption=caption))
    return found


def _front(result: SearchResult) -> Panel | None:
    trials = _by_number(result)
    points: dict[str, Point] = {
        str(n): (number(trials[n].trainable), _value(result, trials[n].cost))
        for n in result.ranking
        if n in trials
    }
    if not points:
        return None
    svg = scatter_svg(
        points,
        front=[str(n) for n in result.front],
        title="Score against trained numbers",
        x_label="trainable parameters, in both networks",
        y_label=f"score, {result.better} is better",
    )
    return Panel(svg=svg, caption="The line joins the trials that no other beats in both.")


def _front_rows(result: SearchResult) -> list[list[str]]:
    trials = _by_number(result)
    return [
        [
            str(trial.number),
            trial.plan,
            in_words(number(trial.trainable)),
            share(number(trial.trainable), number(trial.parameters)),
            _shown(_value(result, trial.cost)),
        ]
        for trial in (trials[n] for n in result.front if n in trials)
    ]


def _curves(folder: Path, result: SearchResult) -> Panel | None:
    """Return the score over the iterations of every trial, with those that were ended early."""
    lines: list[tuple[str, LineStyle, list[Point]]] = []
    for trial in result.trials:
        style = _WINNER if trial.number == result.winner else _LOOKS.get(trial.state)
        if style is not None and trial.stage == "search":
            file = folder / "runs" / trial.name / "metrics.jsonl"
            points = [
                (float(line.iteration), number(line.value))
                for line in read_scores(file)[0]
                if line.decides and line.iteration is not None
            ]
            lines.append((f"trial {trial.number}: {trial.plan}", style, points))
    if not lines:
        return None
    lines.sort(key=lambda line: line[1].width)  # the winner on top
    y_label = f"score, {result.better} is better"
    svg = bundle_svg(lines, title=result.score or "score", x_label="iteration", y_label=y_label)
    caption = "" if result.winner is None else "Thick: the winner. "
    caption += "Thin: trials that reached the end. Dashed: those ended early."
    return Panel(svg=svg, caption=caption)


def _confirmed(result: SearchResult) -> list[list[str]]:
    trials, found = _by_number(result), list[list[str]]()
    for entry in result.confirmed:
        told = entry.statistics
        mean, low, high = (number(value) for value in (told.mean, told.low, told.high))
        trial = None if entry.trial is None else trials.get(entry.trial)
        interval = f"[{in_words(low)}, {in_words(high)}]" if math.isfinite(low) else ""
        found.append(
            [
                "–" if entry.trial is None else str(entry.trial),
                ("" if trial is None else trial.plan) or told.variant,
                "–" if trial is None else _shown(_value(result, trial.cost)),
                f"{_shown(mean)} {interval}".strip(),
                ", ".join(map(str, told.seeds)),
                told.verdict,
            ]
        )
    return found


def _commands(folder: Path, result: SearchResult) -> list[tuple[str, str]]:
    go_on = f"graftgan search --resume {shlex.quote(str(folder))}"
    commands = [("Written by", result.command)] if result.command else []
    commands.append(("Resume, or join another process that is searching", go_on))
    if result.winner is not None:
        settings = shlex.quote(str(folder / "winner.toml"))
        commands.append(("Train the winner", f"graftgan transfer PICTURES --config {settings}"))
    return commands
