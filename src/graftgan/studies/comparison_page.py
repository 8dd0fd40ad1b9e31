"""The page of a comparison: the same latents under every variant, then what the scores say."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from graftgan.experiments.panels import ScoreCurve, plain, scores_of
from graftgan.experiments.run_record import RunRecord, number, read_run, rows, table
from graftgan.reports.curves import curve_svg
from graftgan.reports.drawing import Panel, Point, in_words
from graftgan.reports.grid import PAGE_WIDTH, EmbeddedPicture, embed, strip_of
from graftgan.reports.page import duration, evenly, render, share, short_name, write_page
from graftgan.studies.page_files import read_for_page
from graftgan.studies.page_schemas import ComparisonFile

_GRID_COLUMNS = 8  # of every sample grid
_MOST_ROWS, _MOST_CELLS = 12, 96
_PICTURES_A_ROW = 12  # over all variants; at least one for each
_PAGE_BYTES = 3_000_000  # all exact pictures together; beyond its share a cell is compressed
_VERDICTS = {"best": "the best", "no score": "no score"}


def write_comparison_report(folder: Path, destination: Path | None = None) -> Path:
    """Write one HTML file about a comparison, from ``comparison.json`` and its run folders.

    Args:
        folder: The folder of the comparison.
        destination: The file to write; ``comparison.html`` in the folder by default.

    Returns:
        The file written.

    Raises:
        RunError: There is no comparison, or the page cannot be written.
    """
    data = read_for_page(folder, "comparison.json", ComparisonFile, what="comparison")
    destination = destination or folder / "comparison.html"
    page = _page(folder, data)
    write_page(page, destination)
    return destination


def comparison_rows(data: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings and a row of text for each variant and source, the best at the end first.

    Args:
        data: The content of ``comparison.json``.
    """
    headings = ["variant", "runs", "at the end", "to the best", "at its best checkpoint",
                "to the best", "trains", "adapter", "iterations", "time a run"]  # fmt: skip
    at_best = {str(entry.get("variant")): entry for entry in rows(data.get("at_best"))}
    lines: list[list[str]] = []
    for entry in rows(data.get("at_end")):
        name = str(entry.get("variant"))
        runs = [run for run in rows(data.get("runs")) if run.get("variant") == name]
        best = at_best.get(name, {})
        scores = [_with_interval(entry), _verdict(entry), _with_interval(best), _verdict(best)]
        if entry.get("is_source"):
            seeds = str(len(entry.get("seeds", ())))
            lines.append([name, seeds, *scores, "–", "–", "0", "–"])
        else:
            costs = [_trains(runs), _megabytes(runs), _iterations(runs), _time(runs)]
            lines.append([name, _counted(runs), *scores, *costs])
    return headings, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One iteration of the picture table; a variant that did not get there has None."""

    iteration: int
    images: str
    cells: list[EmbeddedPicture | None]


def _page(folder: Path, data: dict[str, Any]) -> str:
    runs = rows(data.get("runs"))
    records = {
        str(run["folder"]): read_run(folder / "runs" / str(run["folder"]))
        for run in runs
        if "folder" in run and (folder / "runs" / str(run["folder"])).is_dir()
    }
    variants = list(table(data.get("variants")))
    seeds = [int(number(seed)) for seed in data.get("seeds", [])]
    first = {
        str(run.get("variant")): records[str(run["folder"])]
        for run in runs
        if run.get("seed") in seeds[:1] and run.get("folder") in records
    }
    headings, lines = comparison_rows(data)
    done = sum(run.get("state") == "finished" for run in runs)
    return render(
        "comparison.html",
        name=folder.resolve().name,
        pictures=short_name(table(data.get("shared")).get("pictures"), default="pictures"),
        score=str(data.get("score", "")),
        better=str(data.get("better", "lower")),
        length=_length(data),
        seeds=", ".join(map(str, seeds)),
        first_seed=seeds[0] if seeds else 0,
        done=done,
        count=len(runs),
        variants=variants,
        picture_rows=_picture_rows(variants, first),
        panel=_curves(variants, runs, records, data),
        headings=headings,
        table=lines,
        says=[str(sentence) for sentence in data.get("says", [])],
        notes=[str(sentence) for sentence in data.get("notes", [])],
        run_headings=[
            "run",
            "settings",
            "state",
            "iteration",
            "at the end",
            "at its best checkpoint",
            "of iteration",
            "seconds",
        ],
        run_rows=[_run_row(run) for run in runs],
        shared={key: plain(value) for key, value in table(data.get("shared")).items()},
        commands=_commands(folder, data, runs),
        made_by=version("graftgan"),
    )


def _length(data: dict[str, Any]) -> str:
    """Return in words how long the runs are."""
    iterations = f"{in_words(number(data.get('iterations'), default=0))} iterations"
    seconds = number(data.get("seconds_limit"))
    if not math.isfinite(seconds):
        return iterations
    return f"{duration(seconds)} of training each, {iterations} at most"


def _picture_rows(variants: Sequence[str], first: dict[str, RunRecord]) -> list[_Row]:
    """Return the papers' table: the same latents of the first seed under every variant."""
    iterations = sorted({i for record in first.values() for i in record.samples})
    count = max(1, min(_GRID_COLUMNS, _PICTURES_A_ROW // max(1, len(variants))))
    most = max(3, min(_MOST_ROWS, _MOST_CELLS // max(1, len(variants))))
    chosen = evenly(iterations, most=most)
    budget = _PAGE_BYTES // max(1, len(chosen) * len(variants))
    width = PAGE_WIDTH // max(1, len(variants))
    found: list[_Row] = []
    for iteration in chosen:
        cells = [
            None
            if variant not in first
            else _cell(first[variant], variant, iteration, count, budget, width)
            for variant in variants
        ]
        seen = [first[v].images_at(iteration) for v in variants if v in first]
        images = {pair[0] for pair in seen if pair is not None}
        words = f"{images.pop():,} images" if len(images) == 1 else ""
        found.append(_Row(iteration=iteration, images=words, cells=cells))
    return found


def _cell(
    record: RunRecord, variant: str, iteration: int, count: int, budget: int, width: int
) -> EmbeddedPicture | None:
    """Return the first ``count`` pictures, shown as large as fits into ``width``."""
    path = record.samples.get(iteration)
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            grid = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # Pillow raises all three
        return None
    strip = strip_of(grid, max(1, grid.width // _GRID_COLUMNS), count)
    alt = f"{count} generated pictures of {variant} at iteration {iteration:,}"
    shown = embed(strip, alt=alt, exact_up_to=budget)
    return replace(shown, shown_width=max(1, width // shown.width) * shown.width)


def _curves(
    variants: Sequence[str],
    runs: Sequence[dict[str, Any]],
    records: dict[str, RunRecord],
    data: dict[str, Any],
) -> Panel | None:
    """Return the score that decides over the iterations, a line for each variant."""
    lines: dict[str, list[Point]] = {}
    for variant in variants:
        own = [run for run in runs if run.get("variant") == variant and run.get("folder")]
        ended = [run for run in own if run.get("state") == "finished"] or own
        curves = [_deciding(records[str(r["folder"])]) for r in ended if r["folder"] in records]
        points = _mean_curve([curve for curve in curves if curve])
        if points:
            lines[variant] = points
    if not lines:
        return None
    name = str(data.get("score", "")) or "score"
    svg = curve_svg(
        lines, title=name, x_label="iteration", y_label=f"score, {data.get('better')} is better"
    )
    return Panel(svg=svg, caption="The mean over the seeds, of the runs that reached the end.")


def _deciding(record: RunRecord) -> list[Point]:
    curves: list[ScoreCurve] = [score for score in scores_of(record) if score.decides]
    return curves[0].points if curves else []


def _mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the mean at the iterations that all curves have."""
    values = [dict(curve) for curve in curves]
    if not values:
        return []
    common = [at for at in values[0] if all(at in others for others in values)]
    return [(at, fmean(one[at] for one in values)) for at in sorted(common)]


def _counted(runs: Sequence[dict[str, Any]]) -> str:
    ended = sum(run.get("state") == "finished" for run in runs)
    return str(ended) if ended == len(runs) else f"{ended} of {len(runs)}"


def _with_interval(entry: dict[str, Any]) -> str:
    mean, low, high = (number(entry.get(key)) for key in ("mean", "low", "high"))
    if not math.isfinite(mean):
        return "–"
    return f"{in_words(mean)} [{in_words(low)}, {in_words(high)}]"


def _verdict(entry: dict[str, Any]) -> str:
    verdict = str(entry.get("verdict", "no score"))
    difference = number(table(entry.get("difference")).get("difference"))
    if not math.isfinite(difference):
        return _VERDICTS.get(verdict, verdict)
    sign = "+" if difference > 0 else ""
    return f"{sign}{in_words(difference, digits=3)}, {verdict}"


def _trains(runs: Sequence[dict[str, Any]]) -> str:
    for run in runs:
        trainable, parameters = number(run.get("trainable")), number(run.get("parameters"))
        if parameters > 0:
            return (
                f"{in_words(trainable)} of {in_words(parameters)} ({share(trainable, parameters)})"
            )
    return "–"


def _megabytes(runs: Sequence[dict[str, Any]]) -> str:
    sizes = [number(run.get("adapter_bytes")) for run in runs]
    known = [size for size in sizes if size > 0]
    return f"{in_words(max(known) / 1e6, digits=3)} MB" if known else "–"


def _iterations(runs: Sequence[dict[str, Any]]) -> str:
    """Return how many iterations the runs that ended reached, one number where all are alike."""
    known = [number(run.get("iteration")) for run in runs if run.get("state") == "finished"]
    if not known:
        return "–"
    fewest, most = in_words(min(known)), in_words(max(known))
    return fewest if fewest == most else f"{fewest} to {most}"


def _time(runs: Sequence[dict[str, Any]]) -> str:
    known = [number(run.get("seconds")) for run in runs if run.get("state") == "finished"]
    return duration(fmean(known)) if known else "–"


def _run_row(run: dict[str, Any]) -> list[str]:
    settings = ", ".join(
        f"{key} {plain(value)}" for key, value in table(run.get("settings")).items()
    )
    state = str(run.get("state", "unknown"))
    message = str(run.get("message") or "")
    best = number(run.get("best_iteration"))
    seconds = number(run.get("seconds"))
    return [
        str(run.get("folder", "?")),
        settings,
        f"{state}: {message}" if message else state,
        in_words(number(run.get("iteration"), default=0)),
        _single(run.get("end")),
        _single(run.get("best")),
        in_words(best) if math.isfinite(best) else "–",
        in_words(seconds, digits=3) if seconds > 0 else "–",
    ]


def _single(score: object) -> str:
    entry = table(score)
    value, low, high = (number(entry.get(key)) for key in ("value", "low", "high"))
    if not math.isfinite(value):
        return "–"
    return f"{in_words(value)} [{in_words(low)}, {in_words(high)}]"


def _commands(
    folder: Path, data: dict[str, Any], runs: Sequence[dict[str, Any]]
) -> list[tuple[str, str]]:
    said = str(data.get("command", ""))
    place = shlex.quote(str(folder))
    commands = [("Written by", said)] if said else []
    commands.append(("Go on, where something is left to do", f"graftgan compare --resume {place}"))
    for run in runs[:1]:
        settings = shlex.quote(str(folder / "runs" / str(run.get("folder")) / "experiment.toml"))
        again = f"graftgan transfer --config {settings} --out runs/again"
        commands.append(("Repeat a single run", again))
    return commands
