"""Floors of real pictures, and the order of sets: same < near < far.

For each set, at each size: what its pictures score against others of the set, and against another
set, over ten random draws. A score that is to be trusted must put the same set first, a near one
second and a far one last, also at few pictures.

    python scripts/measure_floors.py DATA experiments/results/real_floors.jsonl

DATA is a folder with the archives named below. Pictures that two archives share are left out of
the comparison of the two.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from graftgan.core.files import write_text
from graftgan.core.randomness import Randomness
from graftgan.experiments.run_folder import versions
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.metric import Features
from graftgan.metrics.score import full_name
from graftgan.metrics.settings import ExtractorSettings
from graftgan.pictures import DataSettings, load_image_set
from plain_numbers import numbers_of, view_settings

console = Console(highlight=False, soft_wrap=True)
RESOLUTION = 64
SIZES = (50, 100, 500, 2000)
REPEATS = 10
METRIC_NAMES = ("kid", "fid", "precision_recall", "density_coverage")
# Each set with a near one and a far one; bedrooms are 534, so half of them is the most.
SETS = {
    "faces": ("asian_faces", "bedrooms"),
    "anime": ("faces", "bedrooms"),
    "cats": ("faces", "bedrooms"),
    "bedrooms": ("other_rooms", "faces"),
}
FILES = {
    "faces": "faces_64.zip",
    "asian_faces": "asian_faces_64.zip",
    "anime": "anime_faces_64.zip",
    "cats": "cats_64.zip",
    "bedrooms": "bedrooms_64.zip",
    "other_rooms": "rooms_mixed_64.zip",
}


def main() -> None:
    """Measure everything and write one line for each set, counterpart, size and number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of the archives")
    parser.add_argument("destination", type=Path, help="the JSON-lines file to write")
    options = parser.parse_args()
    lines: list[dict[str, Any]] = []
    for name in SETS:
        for line in _lines_of(name, options.data, build_extractor(ExtractorSettings())):
            console.print(
                "{set} against {against} ({kind}), {count}: {name} {mean:.4g}".format(**line)
            )
            lines.append(line)
    write_text(options.destination, "".join(json.dumps(line) + "\n" for line in lines))


def _lines_of(name: str, data: Path, extractor: Extractor) -> Iterator[dict[str, Any]]:
    """Yield the lines of one set."""
    own = _load(data, name, extractor)
    for kind, other_name in zip(("same", "near", "far"), (name, *SETS[name]), strict=True):
        other = own if kind == "same" else _load(data, other_name, extractor).without(own)
        for size in SIZES:
            count = min(size, len(own.features) // 2, len(other.features))
            for label, values in _scores(own.features, other.features, count).items():
                yield {
                    "set": name,
                    "against": other_name,
                    "kind": kind,
                    "name": full_name(label, extractor.name, extractor.view.name),
                    "mean": sum(values) / len(values),
                    "low": min(values),
                    "high": max(values),
                    "count": count,
                    "asked": size,
                    "repeats": REPEATS,
                    "resolution": RESOLUTION,
                    **extractor.describe(),
                    "view_settings": view_settings(extractor.view.name),
                    "versions": versions(),
                }


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """A set's features, and the hashes by which its pictures are known."""

    features: Features
    hashes: tuple[str, ...]

    def without(self, other: "_Loaded") -> "_Loaded":
        """Return this set without the pictures that ``other`` holds too."""
        known = set(other.hashes)
        kept = [i for i, sha256 in enumerate(self.hashes) if sha256 not in known]
        return _Loaded(
            self.features.subset(torch.tensor(kept)), tuple(self.hashes[i] for i in kept)
        )


def _load(data: Path, name: str, extractor: Extractor) -> _Loaded:
    """Return the features of at most twice the largest size, chosen by a fixed seed."""
    settings = DataSettings()
    images = load_image_set(data / FILES[name], settings, resolution=RESOLUTION, seed=0)
    rng = Randomness(0).generator("measured pictures")
    chosen = torch.randperm(len(images.pictures), generator=rng)[: 2 * max(SIZES)].sort().values
    hashes = tuple(images.records[i].pixels_sha256 for i in chosen.tolist())
    with Progress(transient=True) as bar:
        task = bar.add_task(name, total=None)
        features = features_of(
            images.pictures[chosen],
            extractor,
            device="cpu",
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    return _Loaded(features, hashes)


def _scores(own: Features, other: Features, count: int) -> dict[str, list[float]]:
    """Return every number over the random draws of ``count`` against ``count`` pictures."""
    found: dict[str, list[float]] = {}
    for repeat in range(REPEATS):
        rng = Randomness(0).generator("draw", repeat)
        first = torch.randperm(len(own), generator=rng)
        second = first[count:] if own is other else torch.randperm(len(other), generator=rng)
        pair = own.subset(first[:count]), other.subset(second[:count])
        for label, value in numbers_of(METRIC_NAMES, *pair).items():
            found.setdefault(label, []).append(value)
    return found


if __name__ == "__main__":
    main()
