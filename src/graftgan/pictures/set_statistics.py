"""How diverse sets of pictures are, and how much of one another they cover."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from graftgan.core.errors import SettingsError
from graftgan.core.files import without_archive_ending
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import PictureBytes
from graftgan.metrics import (
    METRICS,
    Estimate,
    ExtractorSettings,
    Features,
    Resampling,
    build_extractor,
    features_of,
    precision_and_recall,
)
from graftgan.pictures import DataSettings, load_image_set

NEIGHBOURS = 5
"""Of the recall between sets, as Grigoryev et al. 2022 (arXiv:2202.08937) take it."""
_EXAMPLES = 96  # pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatistics:
    """What is known of one set.

    Attributes:
        name: Its name without the ending.
        total: Its usable pictures.
        measured: So many of them, chosen by the seed, the same number for every set.
        vendi: The effective number of different pictures among those measured.
        distance: The mean cosine distance of two of them.
        recalled_by: For each other set, the share of this one's pictures that lie within it.
        examples: Some of its pictures.
    """

    name: str
    total: int
    measured: int
    vendi: Estimate
    distance: Estimate
    recalled_by: Mapping[str, Estimate]
    examples: PictureBytes


def set_statistics(
    paths: Sequence[Path],
    *,
    resolution: int = 64,
    count: int = 1000,
    network: ExtractorSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[SetStatistics]:
    """Measure how diverse each set is, and what share of each lies within each other.

    Vendi grows with the number of pictures, so all sets are measured with as many as the smallest
    has, at most ``count``. Recall of A by B is that of Kynkäänniemi et al. 2019
    (arXiv:1904.06991): the share of A's pictures inside a ball around a picture of B that reaches
    to its fifth neighbour in B.

    Args:
        paths: Folders, zips or npz files.
        resolution: Height and width at which pictures are compared, in pixels.
        count: At most so many pictures of each.
        network: Makes the features.
        seed: Of the choice and of the resamples.
        device: Where the network computes.
        progress: Shows how far it is.

    Raises:
        ImageSetError: A set cannot be read.
        SettingsError: No set is given, or two have one name.
        ScoreError: A set has too few pictures.
    """
    names = _different_names(paths)
    extractor = build_extractor(network or ExtractorSettings())
    settings = DataSettings(channels=3)
    sets = [
        load_image_set(path, settings, resolution=resolution, seed=seed).pictures for path in paths
    ]
    measured = min(count, *(len(pictures) for pictures in sets))
    chosen = {
        name: _chosen(pictures, measured, name=name, seed=seed)
        for name, pictures in zip(names, sets, strict=True)
    }
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


def _different_names(paths: Sequence[Path]) -> list[str]:
    names = [without_archive_ending(path.resolve().name) for path in paths]
    if not paths or len(set(names)) < len(names):
        raise SettingsError(f"give sets with different names, got: {', '.join(names) or 'none'}")
    return names


def _chosen(pictures: PictureBytes, count: int, *, name: str, seed: int) -> PictureBytes:
    """Return ``count`` pictures in random order, even where these are all: the first are shown."""
    rng = Randomness(seed).generator(f"statistics of {name}")
    return pictures[torch.randperm(len(pictures), generator=rng)[:count]]


def recall_of(target: Features, within: Features, resampling: Resampling) -> Estimate:
    """Return the share of ``target`` that lies within another set, with its interval."""
    _, recalled = precision_and_recall(within.values, target.values, neighbours=NEIGHBOURS)
    return resampling.mean(recalled, "reference")


def _of_one(metric: str, features: Features, resampling: Resampling) -> Estimate:
    """Return a number that asks for one set alone."""
    (estimate,) = METRICS[metric].measure(features, features, resampling).values()
    return estimate
