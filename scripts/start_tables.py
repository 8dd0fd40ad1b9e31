"""The tables of ``docs/findings.md`` on where a run begins: with fresh weights or a decoder."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from graftgan.reports import curve_svg
from graftgan.studies.study_statistics import mean_interval

FRESH, DECODER = "start=fresh", "start=vae"
Line = Mapping[str, Any]
Amount = Callable[[Line], float | None]


def start_table(lines: Sequence[Line]) -> str:
    """Return when runs from fresh weights and from a decoder converged, as Markdown.

    The score to be reached is the worst that any run has at its end, so that all of them reach it.
    """
    finished = [line for line in lines if line["end"]]
    threshold = max(line["end"]["value"] for line in finished)
    name = finished[0]["end"]["name"]
    amounts: list[tuple[str, Amount]] = [
        ("losses stable after, iterations", lambda line: _stable(line, "iteration")),
        ("the same, with the VAE's", lambda line: _stable(line, "iteration", with_start=True)),
        ("the same in seconds, with the VAE's", lambda line: _stable(line, "seconds")),
        (f"{name} of {threshold:.3f} after, iterations", lambda line: _reached(line, threshold)),
        ("the same, with the VAE's", lambda line: _reached(line, threshold, with_start=True)),
    ]
    rows = [
        "| | fresh weights | decoder of a VAE | decoder / fresh, by seed |",
        "|---|---|---|---|",
    ]
    for what, amount in amounts:
        fresh, decoder = (_by_seed(lines, variant, amount) for variant in (FRESH, DECODER))
        cells = [_mean(fresh), _mean(decoder), _ratio(fresh, decoder)]
        rows.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def loss_svg(lines: Sequence[Line]) -> str:
    """Return the losses of both networks by start, the median over the seeds, as SVG text."""
    series: dict[str, list[tuple[float, float]]] = {}
    for variant, words in ((FRESH, "fresh"), (DECODER, "decoder")):
        runs = [line["losses"] for line in lines if line["variant"] == variant]
        for name in sorted(set().union(*runs)):
            at: dict[int, list[float]] = {}
            for run in runs:
                for iteration, value in run.get(name, ()):
                    at.setdefault(iteration, []).append(value)
            points = [(float(step), median(values)) for step, values in sorted(at.items())]
            series[f"{words}, {name.removesuffix('.loss')}"] = points
    return curve_svg(series, title="losses", x_label="iteration", y_label="loss")


def _stable(line: Line, unit: str, *, with_start: bool = False) -> float | None:
    found = line["losses_stable"]
    return None if found is None else found[unit] + _cost(line, with_start)


def _reached(line: Line, threshold: float, *, with_start: bool = False) -> float | None:
    name = line["end"]["name"] if line["end"] else None
    good = [
        score["iteration"]
        for score in line["scores"]
        if score["name"] == name and score["value"] <= threshold
    ]
    return good[0] + _cost(line, with_start) if good else None


def _cost(line: Line, with_start: bool) -> int:
    return line["start"]["iterations"] if with_start and line["start"] else 0


def _by_seed(lines: Sequence[Line], variant: str, amount: Amount) -> dict[int, float | None]:
    return {line["seed"]: amount(line) for line in lines if line["variant"] == variant}


def _mean(amounts: Mapping[int, float | None]) -> str:
    """Return the mean with its interval, and of how many seeds it is where some have none."""
    known = [amount for amount in amounts.values() if amount is not None]
    some = f" ({len(known)} of {len(amounts)} seeds)" if len(known) < len(amounts) else ""
    if len(known) < 2:
        return (f"{known[0]:,.0f}" if known else "not within the run") + some
    mean, low, high = mean_interval(known)
    return f"{mean:,.0f} [{low:,.0f}, {high:,.0f}]{some}"


def _ratio(fresh: Mapping[int, float | None], decoder: Mapping[int, float | None]) -> str:
    """Return the geometric mean of the ratio over the seeds that have both, with its interval."""
    ratios = [
        two / one for seed, one in fresh.items() if one and (two := decoder.get(seed)) is not None
    ]
    if len(ratios) < 2 or not all(ratios):
        return ", ".join(f"{ratio:.2f}" for ratio in ratios)
    logs = [math.log(ratio) for ratio in ratios]
    mean, low, high = (math.exp(value) for value in mean_interval(logs))
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"
