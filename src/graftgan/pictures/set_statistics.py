"""The diversity of image sets, how much of each other they cover, and a page about both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from graftgan.core.errors import Progress, SettingsError, silent
from graftgan.core.files import without_archive_ending
from graftgan.core.network_types import PictureBytes
from graftgan.core.randomness import Randomness
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.manifold import precision_and_recall
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling
from graftgan.metrics.settings import ExtractorSettings
from graftgan.pictures.image_set import load_image_set
from graftgan.pictures.split import DataSettings
from graftgan.reports.drawing import in_words
from graftgan.reports.grid import embed, picture_grid
from graftgan.reports.page import render, write_page

NEIGHBOURS = 5
"""Of the recall between sets, as in Grigoryev et al. 2022 (arXiv:2202.08937)."""
SET_HEADINGS = ["set", "pictures", "Vendi", "mean distance of two"]
_EXAMPLES = 96  # pictures
_COLUMNS = 16
_WALL_BYTES = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatistics:
    """The statistics of one set."""

    name: str  # without the ending
    total: int  # usable pictures
    measured: int  # how many of them, chosen by the seed, were measured; the same for every set
    vendi: Estimate  # the effective number of different pictures among those measured
    distance: Estimate  # the mean cosine distance of two of them
    recalled_by: Mapping[str, Estimate]  # the share of this set that is within each other set
    examples: PictureBytes


def set_statistics(
    paths: Sequence[Path],
    *,
    resolution: int = 64,
    count: int = 1000,
    network: ExtractorSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> list[SetStatistics]:
    """Measure how diverse each set is, and what share of it is within each other set.

    Vendi grows with the number of pictures, so as many pictures of each set are measured as the
    smallest has, at most ``count``, chosen by ``seed``. Pictures are compared at ``resolution``
    pixels by the features of ``network``. Recall of A by B is that of Kynkäänniemi et al. 2019
    (arXiv:1904.06991): the share of A's pictures inside a ball around a picture of B that reaches
    to its fifth neighbour in B.

    Raises:
        ImageSetError: A set cannot be read.
        ScoreError: A set has too few pictures.
        SettingsError: No set is given, or two have the same name.
    """
    names = [without_archive_ending(path.resolve().name) for path in paths]
    if not paths or len(set(names)) < len(names):
        raise SettingsError(f"give sets with different names, got: {', '.join(names) or 'none'}")
    extractor = build_extractor(network or ExtractorSettings())
    settings = DataSettings(channels=3)
    sets = [
        load_image_set(path, settings, resolution=resolution, seed=seed).pictures for path in paths
    ]
    measured = min(count, *(len(pictures) for pictures in sets))
    chosen: dict[str, PictureBytes] = {}
    for name, pictures in zip(names, sets, strict=True):
        # In random order even if all are taken, since the first are shown.
        rng = Randomness(seed).generator(f"statistics of {name}")
        chosen[name] = pictures[torch.randperm(len(pictures), generator=rng)[:measured]]
    features = {
        name: features_of(
            pictures,
            extractor,
            device=device,
            progress=lambda done, total, name=name: progress(f"pictures of {name}", done, total),
        )
        for name, pictures in chosen.items()
    }
    resampling = Resampling(seed=seed)
    return [
        SetStatistics(
            name=name,
            total=len(pictures),
            measured=measured,
            vendi=_of_one("vendi", features[name], resampling),
            distance=_of_one("pairwise_distance", features[name], resampling),
            recalled_by={
                other: recall_of(features[name], within, resampling)
                for other, within in features.items()
                if other != name
            },
            examples=chosen[name][:_EXAMPLES],
        )
        for name, pictures in zip(names, sets, strict=True)
    ]


def recall_of(target: Features, within: Features, resampling: Resampling) -> Estimate:
    """Return the share of ``target`` that is within another set, with its interval."""
    _, recalled = precision_and_recall(within.values, target.values, neighbours=NEIGHBOURS)
    return resampling.mean(recalled, "reference")


def _of_one(metric: str, features: Features, resampling: Resampling) -> Estimate:
    """Return a metric of one set alone."""
    (estimate,) = METRICS[metric].measure(features, features, resampling).values()
    return estimate


def set_rows(sets: Sequence[SetStatistics]) -> list[list[str]]:
    """Return a row of text under ``SET_HEADINGS`` for each set."""
    return [[s.name, f"{s.total:,}", _in_words(s.vendi), _in_words(s.distance)] for s in sets]


def recall_rows(sets: Sequence[SetStatistics]) -> list[list[str]]:
    """Return a row for each set: the share of it that is within each of them."""
    return [
        [one.name]
        + [_in_words(one.recalled_by[o.name]) if o.name != one.name else "–" for o in sets]
        for one in sets
    ]


def write_sets_report(
    sets: Sequence[SetStatistics], destination: Path, *, protocol: Mapping[str, str]
) -> Path:
    """Write one HTML file about image sets and return it; RunError: it cannot be written."""
    galleries: list[tuple[SetStatistics, object]] = []
    for one in sets:
        grid = picture_grid(one.examples, columns=_COLUMNS)
        alt = f"{len(one.examples)} pictures of {one.name}"
        galleries.append((one, embed(grid, alt=alt, exact_up_to=_WALL_BYTES)))
    page = render(
        "sets.html",
        headings=SET_HEADINGS,
        table=set_rows(sets),
        names=[one.name for one in sets],
        recall=recall_rows(sets) if len(sets) > 1 else [],
        galleries=galleries,
        protocol=dict(protocol),
        made_by=version("graftgan"),
    )
    write_page(page, destination)
    return destination


def _in_words(estimate: Estimate) -> str:
    interval = (estimate.value, estimate.low, estimate.high)
    value, low, high = (in_words(number, digits=3) for number in interval)
    return f"{value} [{low}, {high}]"
