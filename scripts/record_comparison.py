"""Record a comparison in one file that the tables of the docs are written from.

Writes a line for every run: its settings, versions, hardware, seed, scores, losses, and when these
became stable. Paths become names, so the file is the same wherever the comparison was run.

    python scripts/record_comparison.py comparisons/avatars experiments/results/avatars.jsonl
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from graftgan.core.errors import GraftganError, RunError
from graftgan.core.files import read_json, read_jsonl, write_text
from graftgan.core.settings import to_plain
from graftgan.experiments.convergence import convergence_of
from graftgan.experiments.experiment import flat
from graftgan.experiments.run_folder import RunFolder

_KEPT = ("variant", "seed", "state", "message", "iteration", "images", "seconds", "trainable")
_ALSO = ("parameters", "adapter_bytes", "best_iteration", "base", "end", "best", "untouched")
_POINTS = 40  # of a curve
_PATHS = ("pictures", "source", "scoring.reference")


def lines(comparison: Path) -> list[dict[str, Any]]:
    """Return the record of every run of the comparison in the folder ``comparison``."""
    results = read_json(comparison / "comparison.json", error=RunError)
    return [_line(comparison / "runs" / run["folder"], run) for run in results["runs"]]


def _line(path: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    folder = RunFolder(path)
    settings = flat(to_plain(folder.experiment()))
    for name in _PATHS:
        if name in settings:
            settings[name] = Path(settings[name]).name
    card, converged = folder.card(), convergence_of(path)
    return {
        **{name: run.get(name) for name in (*_KEPT, *_ALSO)},
        "losses": _losses(read_jsonl(path / "log.jsonl")),
        "losses_stable": None if converged.losses is None else asdict(converged.losses),
        "start": None if converged.start is None else asdict(converged.start),
        "scores": [
            {key: line[key] for key in ("iteration", "name", "value")}
            for line in read_jsonl(path / "metrics.jsonl")
        ],
        "settings": settings,
        "versions": dict(card.session.versions),
        "hardware": card.session.hardware,
    }


def _losses(log: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return the curve of each loss as medians over a fortieth of its lines, by last iteration."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name in sorted({name for line in log for name in line if name.endswith(".loss")}):
        known = [line for line in log if name in line]
        size = -(-len(known) // _POINTS)
        windows = [known[i : i + size] for i in range(0, len(known), size)]
        found[name] = [
            (window[-1]["iteration"], round(median(line[name] for line in window), 5))
            for window in windows
        ]
    return found


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparison", type=Path, help="the folder of a finished comparison")
    parser.add_argument("results", type=Path, help="the file to write")
    arguments = parser.parse_args()
    try:
        found = lines(arguments.comparison)
    except GraftganError as error:
        raise SystemExit(f"the comparison is not finished: {error}") from None
    write_text(
        arguments.results, "".join(json.dumps(line, sort_keys=True) + "\n" for line in found)
    )


if __name__ == "__main__":
    main()
