"""The page of a search: what was tried, what it found, and what that is worth."""

import math
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from graftgan.experiments.panels import plain
from graftgan.experiments.records import read_scores
from graftgan.experiments.run_record import number, rows, table
from graftgan.reports.drawing import Panel, Point, in_words
from graftgan.reports.grid import EmbeddedPicture, embed
from graftgan.reports.heatmap import heatmap_svg
from graftgan.reports.page import duration, render, share, short_name, write_page
from graftgan.reports.scatter import LineStyle, bundle_svg, scatter_svg
from graftgan.studies.page_files import read_for_page
from graftgan.studies.page_schemas import SearchFile

_GRID_BYTES = 600_000
_LOOKS = {
    "pruned": LineStyle(line=4, opacity=0.6, dashes="3 3"),
    "finished": LineStyle(line=0, opacity=0.45),
    "winner": LineStyle(line=1, width=2.8),
}
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
    """Write one HTML file about a search, from ``search.json`` and its run folders.

    Args:
        folder: The folder of the search.
        destination: The file to write; ``search.html`` in the folder by default.

    Returns:
        The file written.

    Raises:
        RunError: There is no search, or the page cannot be written.
    """
    data = read_for_page(folder, "search.json", SearchFile, what="search")
    destination = destination or folder / "search.html"
    write_page(_page(folder, data), destination)
    return destination


def trial_rows(data: dict[str, Any]) -> list[list[str]]:
    """Return a row of text under ``TRIAL_HEADINGS`` for each trial, the best first.

    The untouched source stands among those with a score.

    Args:
        data: The content of ``search.json``.
    """
    trials = {int(number(trial.get("number"))): trial for trial in rows(data.get("trials"))}
    order = [int(n) for n in data.get("ranking", []) if int(n) in trials]
    others = [n for n in trials if n not in order]
    lines = [_row(trials[n], data) for n in [*order, *others]]
    source = table(data.get("source"))
    value = number(source.get("mean"))
    if math.isfinite(value):
        sign = -1 if data.get("better") == "higher" else 1
        ahead = [n for n in order if number(trials[n].get("cost")) < sign * value]
        name, shown = str(source.get("variant", "")), _shown(value)
        row = ["–", "", name, "", "", shown, shown, "0", "–", "0", "–"]
        lines.insert(len(ahead), row)
    return lines


def _page(folder: Path, data: dict[str, Any]) -> str:
    trials = rows(data.get("trials"))
    own = [trial for trial in trials if trial.get("stage") != "confirm"]
    ended = [trial for trial in own if trial.get("state") != "open"]
    spent, images = sum(number(t.get("wall"), 0.0) for t in trials), _sum(trials, "images")
    return render(
        "search.html",
        name=folder.resolve().name,
        pictures=short_name(table(data.get("shared")).get("pictures"), default="pictures"),
        strategy=str(data.get("strategy", "")),
        score=str(data.get("score", "")),
        better=str(data.get("better", "lower")),
        judged="at the end" if data.get("judge") == "end" else "at the best checkpoint",
        complete=bool(data.get("complete")),
        facts={
            "trials": f"{len(ended)} of {len(own)} ended",
            "finished": str(sum(t.get("state") == "finished" for t in own)),
            "ended early": str(sum(t.get("state") == "pruned" for t in own)),
            "confirming runs": str(len(trials) - len(own)),
            "images shown": in_words(images),
            "time": duration(spent),
        },
        says=[str(sentence) for sentence in data.get("says", [])],
        notes=[str(sentence) for sentence in data.get("notes", [])],
        grid=_grid(folder, data),
        surfaces=_surfaces(data, "surface", {"best": "best score", "mean": "mean score"}),
        early=_surfaces(data, "early", {"best": "best score there"}),
        early_iteration=in_words(number(data.get("early_iteration"))),
        front=_front(data),
        front_rows=_front_rows(data),
        curves=_curves(folder, data),
        importances=_importances(data),
        confirmed=_confirmed(data),
        headings=TRIAL_HEADINGS,
        table=trial_rows(data),
        shared={key: plain(value) for key, value in table(data.get("shared")).items()},
        commands=_commands(folder, data),
        made_by=version("graftgan"),
    )


def _sum(trials: Sequence[dict[str, Any]], key: str) -> float:
    return sum(number(trial.get(key), 0.0) for trial in trials)


def _value(data: dict[str, Any], cost: object) -> float:
    """Return the score that a cost stands for."""
    sign = -1 if data.get("better") == "higher" else 1
    return sign * number(cost)


def _shown(value: float, digits: int = 4) -> str:
    return in_words(value, digits=digits) if math.isfinite(value) else "–"


def _row(trial: dict[str, Any], data: dict[str, Any]) -> list[str]:
    settings = {k: v for k, v in table(trial.get("overrides")).items() if k != "plan"}
    message = str(trial.get("message") or "")
    state = str(trial.get("state", "unknown"))
    trainable, parameters = number(trial.get("trainable")), number(trial.get("parameters"))
    known = parameters > 0
    return [
        f"{int(number(trial.get('number'), 0))}",
        str(trial.get("why", "")),
        str(trial.get("plan") or table(trial.get("overrides")).get("plan", "")),
        ", ".join(f"{key.rpartition('.')[2]} {plain(value)}" for key, value in settings.items()),
        f"{state}: {message}" if message else state,
        _shown(_value(data, trial.get("cost"))),
        _shown(number(table(trial.get("best")).get("value"))),
        in_words(number(trial.get("iteration"), 0)),
        f"{in_words(trainable)} ({share(trainable, parameters)})" if known else "–",
        in_words(number(trial.get("images"), 0)),
        duration(number(trial.get("wall"), 0)),
    ]


def _by_number(data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(number(t.get("number"), -1)): t for t in rows(data.get("trials"))}


def _grid(folder: Path, data: dict[str, Any]) -> EmbeddedPicture | None:
    """Return the last sample grid of the winner."""
    winner = number(data.get("winner"))
    if not math.isfinite(winner):
        return None
    grids = sorted((folder / "runs" / f"{int(winner):04d}" / "samples").glob("*.png"))
    try:
        with Image.open(grids[-1]) as image:
            grid = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, IndexError):  # Pillow raises the first three
        return None
    alt = f"{int(grids[-1].stem):,} iterations: generated pictures of trial {int(winner)}"
    return embed(grid, alt=alt, exact_up_to=_GRID_BYTES)


def _surfaces(data: dict[str, Any], kind: str, shown: Mapping[str, str]) -> list[Panel]:
    """Return heat maps for each network, of what is ``shown`` of each field of a surface."""
    layers, lower = table(data.get("layers")), data.get("better") != "higher"
    found: list[Panel] = []
    for role, cells in table(data.get(kind)).items():
        size = len(layers.get(role, ()))
        for key, words in shown.items():
            values = {
                (int(cell["freeze"]), int(cell["tune"])): (
                    _value(data, cell[key]),
                    int(cell["count"]),
                )
                for cell in rows(cells)
            }
            svg = heatmap_svg(
                values,
                size=size,
                title=f"{role.capitalize()}: {words}",
                x_label="k, layers fine-tuned",
                y_label="i, layers frozen",
                lower_is_better=lower,
            )
            caption = f"j = {size} − i − k layers are modulated. Small: how many trials."
            found.append(Panel(svg=svg, caption=caption))
    return found


def _front(data: dict[str, Any]) -> Panel | None:
    trials = _by_number(data)
    points: dict[str, Point] = {
        str(n): (number(trials[n].get("trainable")), _value(data, trials[n].get("cost")))
        for n in data.get("ranking", [])
        if n in trials
    }
    if not points:
        return None
    svg = scatter_svg(
        points,
        front=[str(n) for n in data.get("front", [])],
        title="Score against trained numbers",
        x_label="trainable parameters, in both networks",
        y_label=f"score, {data.get('better')} is better",
    )
    return Panel(svg=svg, caption="The line joins the trials that no other beats in both.")


def _front_rows(data: dict[str, Any]) -> list[list[str]]:
    trials = _by_number(data)
    members = [trials[n] for n in data.get("front", []) if n in trials]
    return [
        [
            str(trial["number"]),
            str(trial.get("plan", "")),
            in_words(number(trial.get("trainable"))),
            share(number(trial.get("trainable")), number(trial.get("parameters"))),
            _shown(_value(data, trial.get("cost"))),
        ]
        for trial in members
    ]


def _curves(folder: Path, data: dict[str, Any]) -> Panel | None:
    """Return the score over the iterations of every trial, those ended early too."""
    winner = data.get("winner")
    lines: list[tuple[str, LineStyle, list[Point]]] = []
    for trial in rows(data.get("trials")):
        is_winner = trial.get("number") == winner
        kind = "winner" if is_winner else str(trial.get("state"))
        if kind in _LOOKS and trial.get("stage") != "confirm":
            file = folder / "runs" / f"{int(trial['number']):04d}" / "metrics.jsonl"
            points = [
                (float(line.iteration), number(line.value))
                for line in read_scores(file)[0]
                if line.decides and line.iteration is not None
            ]
            name = f"trial {trial['number']}: {trial.get('plan', '')}"
            lines.append((name, _LOOKS[kind], points))
    if not lines:
        return None
    lines.sort(key=lambda line: line[1].width)  # the winner on top
    svg = bundle_svg(
        lines,
        title=str(data.get("score") or "score"),
        x_label="iteration",
        y_label=f"score, {data.get('better')} is better",
    )
    caption = "" if winner is None else "Thick: the winner. "
    caption += "Thin: trials that reached the end. Dashed: those ended early."
    return Panel(svg=svg, caption=caption)


def _importances(data: dict[str, Any]) -> list[list[str]]:
    found = table(data.get("importances"))
    ordered = sorted(found.items(), key=lambda item: -number(item[1], 0.0))
    return [[name, f"{100 * number(value, 0.0):.0f} %"] for name, value in ordered]


def _confirmed(data: dict[str, Any]) -> list[list[str]]:
    trials = _by_number(data)
    found: list[list[str]] = []
    for entry in rows(data.get("confirmed")):
        standing = table(entry.get("standing"))
        mean, low, high = (number(standing.get(key)) for key in ("mean", "low", "high"))
        trial = trials.get(int(number(entry.get("trial"), -1)), {})
        seeds = [str(seed) for seed in standing.get("seeds", [])]
        interval = f"[{in_words(low)}, {in_words(high)}]" if math.isfinite(low) else ""
        found.append(
            [
                "–" if entry.get("trial") is None else str(entry["trial"]),
                str(trial.get("plan") or standing.get("variant", "")),
                _shown(_value(data, trial.get("cost"))),
                f"{_shown(mean)} {interval}".strip(),
                ", ".join(seeds),
                str(standing.get("verdict", "")),
            ]
        )
    return found


def _commands(folder: Path, data: dict[str, Any]) -> list[tuple[str, str]]:
    said = str(data.get("command", ""))
    place = shlex.quote(str(folder))
    commands = [("Written by", said)] if said else []
    commands.append(
        (
            "Go on, or help another process with it",
            f"graftgan search --resume {place}",
        )
    )
    if math.isfinite(number(data.get("winner"))):
        settings = shlex.quote(str(folder / "winner.toml"))
        commands.append(("Train the winner", f"graftgan transfer PICTURES --config {settings}"))
    return commands
