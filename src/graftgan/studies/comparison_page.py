"""The page of a comparison: pictures of the same latents under every variant, then the scores."""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from graftgan.experiments.records import RunRecord, RunState, number, read_run
from graftgan.experiments.run_page import scores_of
from graftgan.metrics.score import Score
from graftgan.reports.drawing import Panel, Point, curve_svg, in_words
from graftgan.reports.grid import PAGE_WIDTH, EmbeddedPicture, embed, open_grid, strip_of
from graftgan.reports.page import duration, evenly, plain, render, share, short_name, write_page
from graftgan.studies.comparison_results import Results, RunResult, read_results
from graftgan.studies.study_statistics import BEST, VariantStatistics

_GRID_COLUMNS = 8  # of every sample grid
_MOST_ROWS, _MOST_CELLS = 12, 96
_PICTURES_A_ROW = 12  # over all variants, each of which has at least one
_PAGE_BYTES = 3_000_000  # all lossless pictures together; a cell beyond its share is lossy

_HEADINGS = [
    "variant",
    "runs",
    "at the end",
    "to the best",
    "at its best checkpoint",
    "to the best",
    "trains",
    "adapter",
    "iterations",
    "time a run",
]


def write_comparison_report(folder: Path, destination: Path | None = None) -> Path:
    """Write the page of a comparison, ``comparison.html`` in its folder by default; return it.

    Raises:
        RunError: There is no comparison, or the page cannot be written.
    """
    destination = destination or folder / "comparison.html"
    write_page(_page(folder, read_results(folder)), destination)
    return destination


def comparison_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return headings, and a row for each variant and source, ordered by the score at the end."""
    at_best = {statistics.variant: statistics for statistics in results.at_best}
    lines: list[list[str]] = []
    for end in results.at_end:
        best = at_best.get(end.variant, VariantStatistics(variant=end.variant))
        scores = [_in_words(end), _verdict(end), _in_words(best), _verdict(best)]
        if end.is_source:
            lines.append([end.variant, str(len(end.seeds)), *scores, "–", "–", "0", "–"])
        else:
            runs = [run for run in results.runs if run.variant == end.variant]
            lines.append([end.variant, _counted(runs), *scores, *_costs(runs)])
    return _HEADINGS, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One iteration of the picture table; None: the variant did not reach it."""

    iteration: int
    images: str
    cells: list[EmbeddedPicture | None]


def _page(folder: Path, results: Results) -> str:
    runs = results.runs
    places = {run.folder: folder / "runs" / run.folder for run in runs}
    records = {name: read_run(place) for name, place in places.items() if place.is_dir()}
    firsts = [run for run in runs if run.seed in results.seeds[:1] and run.folder in records]
    first = {run.variant: records[run.folder] for run in firsts}
    headings, lines = comparison_rows(results)
    length = f"{in_words(results.iterations)} iterations"
    if results.seconds_limit is not None:
        length = f"{duration(results.seconds_limit)} of training each, {length} at most"
    return render(
        "comparison.html",
        name=folder.resolve().name,
        pictures=short_name(results.shared.get("pictures"), default="pictures"),
        results=results,
        length=length,
        done=len(_finished(runs)),
        picture_rows=_picture_rows(list(results.variants), first),
        panel=_curves(results, records),
        headings=headings,
        table=lines,
        run_headings=list(_RUN_CELLS),
        run_rows=[[cell(run) for cell in _RUN_CELLS.values()] for run in runs],
        shared={key: plain(value) for key, value in results.shared.items()},
        commands=_commands(folder, results),
        made_by=version("graftgan"),
    )


def _picture_rows(variants: Sequence[str], first: Mapping[str, RunRecord]) -> list[_Row]:
    """Return samples of the same latents and the first seed under every variant."""
    across = max(1, len(variants))
    count = max(1, min(_GRID_COLUMNS, _PICTURES_A_ROW // across))
    iterations = sorted({i for record in first.values() for i in record.samples})
    chosen = evenly(iterations, most=max(3, min(_MOST_ROWS, _MOST_CELLS // across)))
    budget = _PAGE_BYTES // max(1, len(chosen) * len(variants))
    found: list[_Row] = []
    for iteration in chosen:
        cells: list[EmbeddedPicture | None] = []
        for variant in variants:
            path = first[variant].samples.get(iteration) if variant in first else None
            alt = f"{count} generated pictures of {variant} at iteration {iteration:,}"
            cells.append(_cell(path, alt, count, budget, PAGE_WIDTH // across))
        seen = [first[v].images_at(iteration) for v in variants if v in first]
        images = {pair[0] for pair in seen if pair is not None}
        words = f"{images.pop():,} images" if len(images) == 1 else ""
        found.append(_Row(iteration=iteration, images=words, cells=cells))
    return found


def _cell(
    path: Path | None, alt: str, count: int, budget: int, width: int
) -> EmbeddedPicture | None:
    """Return the first ``count`` pictures of a grid, shown as large as fits into ``width``."""
    grid = None if path is None else open_grid(path)
    if grid is None:
        return None
    strip = strip_of(grid, max(1, grid.width // _GRID_COLUMNS), count)
    shown = embed(strip, alt=alt, exact_up_to=budget)
    return replace(shown, shown_width=max(1, width // shown.width) * shown.width)


def _curves(results: Results, records: Mapping[str, RunRecord]) -> Panel | None:
    """Return the deciding score over the iterations, a line for each variant."""
    lines: dict[str, list[Point]] = {}
    for variant in results.variants:
        own = [run for run in results.runs if run.variant == variant]
        ended = [records[run.folder] for run in _finished(own) or own if run.folder in records]
        deciding = [next((s for s in scores_of(r) if s.decides), None) for r in ended]
        curves = [dict(score.points) for score in deciding if score is not None and score.points]
        common = [at for at in curves[0] if all(at in one for one in curves)] if curves else []
        if common:
            lines[variant] = [(at, fmean(one[at] for one in curves)) for at in sorted(common)]
    if not lines:
        return None
    y_label = f"score, {results.better} is better"
    svg = curve_svg(lines, title=results.score or "score", x_label="iteration", y_label=y_label)
    return Panel(svg=svg, caption="The mean over the seeds, of the runs that reached the end.")


def _finished(runs: Sequence[RunResult]) -> list[RunResult]:
    return [run for run in runs if run.state == RunState.FINISHED]


def _counted(runs: Sequence[RunResult]) -> str:
    ended = len(_finished(runs))
    return str(ended) if ended == len(runs) else f"{ended} of {len(runs)}"


def _in_words(score: VariantStatistics | Score | None) -> str:
    value = score.mean if isinstance(score, VariantStatistics) else score and score.value
    if score is None or value is None or not math.isfinite(value):
        return "–"
    return f"{in_words(value)} [{in_words(number(score.low))}, {in_words(number(score.high))}]"


def _verdict(statistics: VariantStatistics) -> str:
    verdict, apart = statistics.verdict, statistics.difference
    if apart is None or not math.isfinite(apart.difference):
        return "the best" if verdict == BEST else verdict
    sign = "+" if apart.difference > 0 else ""
    return f"{sign}{in_words(apart.difference, digits=3)}, {verdict}"


def _costs(runs: Sequence[RunResult]) -> list[str]:
    """Return a variant's trainable parameters, adapter size, iterations and time."""
    sizes = [(run.trainable, run.parameters) for run in runs if run.trainable is not None]
    trains, of = next(((part, of) for part, of in sizes if of), (0, 0))
    adapters = [run.adapter_bytes for run in runs if run.adapter_bytes]
    ended = _finished(runs)
    reached = sorted({run.iteration for run in ended})
    return [
        f"{in_words(trains)} of {in_words(of)} ({share(trains, of)})" if of else "–",
        f"{in_words(max(adapters) / 1e6, digits=3)} MB" if adapters else "–",
        " to ".join(dict.fromkeys(map(in_words, reached[:1] + reached[-1:]))) or "–",
        duration(fmean(run.seconds for run in ended)) if ended else "–",
    ]


_RUN_CELLS: Mapping[str, Callable[[RunResult], str]] = {
    "run": lambda run: run.folder,
    "settings": lambda run: ", ".join(f"{k} {plain(v)}" for k, v in run.settings.items()),
    "state": lambda run: f"{run.state}: {run.message}" if run.message else run.state,
    "iteration": lambda run: in_words(run.iteration),
    "at the end": lambda run: _in_words(run.end),
    "at its best checkpoint": lambda run: _in_words(run.best),
    "of iteration": lambda run: "–" if run.best_iteration is None else in_words(run.best_iteration),
    "seconds": lambda run: in_words(run.seconds, digits=3) if run.seconds > 0 else "–",
}


def _commands(folder: Path, results: Results) -> list[tuple[str, str]]:
    place = shlex.quote(str(folder))
    commands = [("Written by", results.command)] if results.command else []
    commands.append(("Do the runs that are left", f"graftgan compare --resume {place}"))
    for run in results.runs[:1]:
        settings = shlex.quote(str(folder / "runs" / run.folder / "experiment.toml"))
        again = f"graftgan transfer --config {settings} --out runs/again"
        commands.append(("Repeat a single run", again))
    return commands
