"""The page of a comparison: the same latents under every variant, then what the scores say."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from PIL import Image

from graftgan.experiments.panels import ScoreCurve, scores_of
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_record import RunRecord, number, read_run
from graftgan.metrics import Score
from graftgan.reports.curves import curve_svg
from graftgan.reports.drawing import Panel, Point, in_words
from graftgan.reports.grid import PAGE_WIDTH, EmbeddedPicture, embed, strip_of
from graftgan.reports.page import (
    duration,
    evenly,
    plain,
    render,
    share,
    short_name,
    write_page,
)
from graftgan.studies.comparison_results import Results, RunResult, read_results
from graftgan.studies.study_statistics import BEST, VariantStatistics

_GRID_COLUMNS = 8  # of every sample grid
_MOST_ROWS, _MOST_CELLS = 12, 96
_PICTURES_A_ROW = 12  # over all variants; at least one for each
_PAGE_BYTES = 3_000_000  # all exact pictures together; beyond its share a cell is compressed


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
    page = _page(folder, read_results(folder))
    destination = destination or folder / "comparison.html"
    write_page(page, destination)
    return destination


def comparison_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return headings and a row of text for each variant and source, the best at the end first."""
    headings = ["variant", "runs", "at the end", "to the best", "at its best checkpoint",
                "to the best", "trains", "adapter", "iterations", "time a run"]  # fmt: skip
    at_best = {statistics.variant: statistics for statistics in results.at_best}
    lines: list[list[str]] = []
    for end in results.at_end:
        name = end.variant
        runs = [run for run in results.runs if run.variant == name]
        best = at_best.get(name, VariantStatistics(variant=name))
        scores = [_mean(end), _verdict(end), _mean(best), _verdict(best)]
        if end.is_source:
            lines.append([name, str(len(end.seeds)), *scores, "–", "–", "0", "–"])
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


def _page(folder: Path, results: Results) -> str:
    runs, seeds = results.runs, results.seeds
    records = {
        run.folder: read_run(folder / "runs" / run.folder)
        for run in runs
        if (folder / "runs" / run.folder).is_dir()
    }
    variants = list(results.variants)
    first = {
        run.variant: records[run.folder]
        for run in runs
        if run.seed in seeds[:1] and run.folder in records
    }
    headings, lines = comparison_rows(results)
    return render(
        "comparison.html",
        name=folder.resolve().name,
        pictures=short_name(results.shared.get("pictures"), default="pictures"),
        score=results.score,
        better=results.better,
        length=_length(results),
        seeds=", ".join(map(str, seeds)),
        first_seed=seeds[0] if seeds else 0,
        done=len(_finished(runs)),
        count=len(runs),
        variants=variants,
        picture_rows=_picture_rows(variants, first),
        panel=_curves(results, records),
        headings=headings,
        table=lines,
        says=results.says,
        notes=results.notes,
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
        shared={key: plain(value) for key, value in results.shared.items()},
        commands=_commands(folder, results),
        made_by=version("graftgan"),
    )


def _length(results: Results) -> str:
    """Return in words how long the runs are."""
    iterations = f"{in_words(results.iterations)} iterations"
    if results.seconds_limit is None:
        return iterations
    return f"{duration(results.seconds_limit)} of training each, {iterations} at most"


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


def _curves(results: Results, records: Mapping[str, RunRecord]) -> Panel | None:
    """Return the score that decides over the iterations, a line for each variant."""
    lines: dict[str, list[Point]] = {}
    for variant in results.variants:
        own = [run for run in results.runs if run.variant == variant]
        ended = _finished(own) or own
        curves = [_deciding(records[run.folder]) for run in ended if run.folder in records]
        points = _mean_curve([curve for curve in curves if curve])
        if points:
            lines[variant] = points
    if not lines:
        return None
    name = results.score or "score"
    svg = curve_svg(
        lines, title=name, x_label="iteration", y_label=f"score, {results.better} is better"
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


def _finished(runs: Sequence[RunResult]) -> list[RunResult]:
    return [run for run in runs if run.state == RunState.FINISHED]


def _counted(runs: Sequence[RunResult]) -> str:
    ended = len(_finished(runs))
    return str(ended) if ended == len(runs) else f"{ended} of {len(runs)}"


def _mean(statistics: VariantStatistics) -> str:
    return _with_interval(statistics.mean, statistics.low, statistics.high)


def _single(score: Score | None) -> str:
    return "–" if score is None else _with_interval(score.value, score.low, score.high)


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{in_words(value)} [{in_words(number(low))}, {in_words(number(high))}]"


def _verdict(statistics: VariantStatistics) -> str:
    verdict, apart = statistics.verdict, statistics.difference
    if apart is None or not math.isfinite(apart.difference):
        return "the best" if verdict == BEST else verdict
    sign = "+" if apart.difference > 0 else ""
    return f"{sign}{in_words(apart.difference, digits=3)}, {verdict}"


def _trains(runs: Sequence[RunResult]) -> str:
    for run in runs:
        trains, of = run.trainable, run.parameters
        if trains is not None and of:
            return f"{in_words(trains)} of {in_words(of)} ({share(trains, of)})"
    return "–"


def _megabytes(runs: Sequence[RunResult]) -> str:
    known = [run.adapter_bytes for run in runs if run.adapter_bytes]
    return f"{in_words(max(known) / 1e6, digits=3)} MB" if known else "–"


def _iterations(runs: Sequence[RunResult]) -> str:
    """Return how many iterations the runs that ended reached, one number where all are alike."""
    known = [run.iteration for run in _finished(runs)]
    if not known:
        return "–"
    fewest, most = in_words(min(known)), in_words(max(known))
    return fewest if fewest == most else f"{fewest} to {most}"


def _time(runs: Sequence[RunResult]) -> str:
    known = [run.seconds for run in _finished(runs)]
    return duration(fmean(known)) if known else "–"


def _run_row(run: RunResult) -> list[str]:
    return [
        run.folder,
        ", ".join(f"{key} {plain(value)}" for key, value in run.settings.items()),
        f"{run.state}: {run.message}" if run.message else run.state,
        in_words(run.iteration),
        _single(run.end),
        _single(run.best),
        "–" if run.best_iteration is None else in_words(run.best_iteration),
        in_words(run.seconds, digits=3) if run.seconds > 0 else "–",
    ]


def _commands(folder: Path, results: Results) -> list[tuple[str, str]]:
    place = shlex.quote(str(folder))
    commands = [("Written by", results.command)] if results.command else []
    commands.append(("Go on, where something is left to do", f"graftgan compare --resume {place}"))
    for run in results.runs[:1]:
        settings = shlex.quote(str(folder / "runs" / run.folder / "experiment.toml"))
        again = f"graftgan transfer --config {settings} --out runs/again"
        commands.append(("Repeat a single run", again))
    return commands
