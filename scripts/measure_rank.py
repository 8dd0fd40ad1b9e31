"""How the ranking of sources beside a target compares with the transfers that were run.

The comparison has varied the source alone. Its sources are ranked as `graftgan rank` does, without
what was learnt from runs; run this where their folders are found.

    python scripts/measure_rank.py anime_faces_64.zip experiments/results/diverse_dcgan.jsonl \
        --out experiments/results/rank_dcgan.jsonl
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graftgan.core.files import read_jsonl, write_text
from graftgan.studies.source_ranking import rank_sources

_VARIED = "source="


def reached_by_source(results: Path) -> dict[str, dict[int, float]]:
    """Return the deciding score at the end by source and seed."""
    found: dict[str, dict[int, float]] = {}
    for line in read_jsonl(results):
        if line["end"]:
            source = line["variant"].removeprefix(_VARIED)
            found.setdefault(source, {})[line["seed"]] = line["end"]["value"]
    return found


def lines_of(pictures: Path, results: Path) -> list[dict[str, Any]]:
    """Return a line for each source, the first of the ranking first."""
    reached = reached_by_source(results)
    ranking = rank_sources(pictures, list(reached))
    if ranking.unusable:
        raise SystemExit(f"not ranked: {ranking.unusable}")
    return [
        {
            "source": one.name,
            "place": place,
            **{name: asdict(getattr(one, name)) for name in ("kid", "recall", "vendi")},
            "samples": ranking.samples,
            "pictures": ranking.pictures,
            "target": pictures.name,
            "reached": reached[one.name],
        }
        for place, one in enumerate(ranking.candidates, start=1)
    ]


def main() -> None:
    """Write the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("results", type=Path, help="a recorded comparison that varies the source")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = lines_of(options.pictures, options.results)
    write_text(options.out, "".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
