"""Rank sources for a target before any training, with expectations from finished runs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from graftgan.core.errors import GraftganError, Progress, SettingsError, silent
from graftgan.core.randomness import Randomness, some_of
from graftgan.core.settings import read_lines
from graftgan.experiments.records import ScoreRecord, read_scores
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling
from graftgan.metrics.settings import ExtractorSettings
from graftgan.models.sources import open_source, source_folders
from graftgan.networks.sampling import generate, latents_for
from graftgan.pictures import DataSettings, load_image_set
from graftgan.pictures.set_statistics import recall_of
from graftgan.studies.study_statistics import t_quantile

_LEAST_RUNS, _LEAST_STARTS = 10, 3  # that an expectation needs


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSource:
    """A source and its scores for a target."""

    name: str
    recall: Estimate  # share of the target's pictures within the manifold of the samples
    kid: Estimate  # kernel distance between samples and target
    vendi: Estimate  # effective number of different pictures among the samples
    expected: Estimate | None = None  # KID after a transfer, with its 95 % prediction interval
    reason: str = ""  # for its rank, in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedRun:
    """A line of a file of recorded runs: its settings by dotted name, and its scores."""

    settings: Mapping[str, Any]
    scores: tuple[ScoreRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Sources for a target, the most promising first."""

    candidates: tuple[RankedSource, ...]
    unusable: Mapping[str, str]  # other sources, and why they could not be used
    learnt_from: int  # finished runs behind the expectations
    samples: int  # of each source
    pictures: int  # of the target


@dataclass(frozen=True, slots=True)
class Experience:
    """A finished, scored transfer: its score before the first iteration, and at the end."""

    before: float
    after: float


def rank_sources(
    pictures: Path,
    names: Sequence[str] | None = None,
    *,
    learn_from: Sequence[Path] = (),
    samples: int = 250,
    most_pictures: int = 1000,
    network: ExtractorSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> Ranking:
    """Rank sources for a target without training.

    The nearest by KID comes first; among those within its interval, the one with the largest recall
    of the target. Differs from Grigoryev et al. 2022 (arXiv:2202.08937), who take the largest
    recall between whole training sets, k = 5: few and varied samples of a source have such wide
    balls that they recall a target they do not resemble.

    At most ``most_pictures`` of the target (a folder, zip or npz) are used, and ``samples`` of each
    source; without ``names``, of all local ones. Expectations are learnt from run folders, folders
    of them, or files of recorded runs.

    Raises:
        GraftganError: The target cannot be read, or no source can be used.
    """
    names = list(source_folders()) if names is None else names
    extractor = build_extractor(network or ExtractorSettings())
    experience = experience_in(learn_from, score=f"KID({extractor.name})")
    targets: dict[tuple[int, int], Features] = {}
    found: list[RankedSource] = []
    unusable: dict[str, str] = {}

    def look(images: torch.Tensor, what: str) -> Features:
        return features_of(images, extractor, device=device, progress=partial(progress, what))

    def target_for(resolution: int, channels: int) -> Features:
        """Return the features of the target at the size and with the channels of a source."""
        key = (resolution, channels)
        if key not in targets:
            settings = DataSettings(channels=channels)
            whole = load_image_set(pictures, settings, resolution=resolution, seed=seed).pictures
            rng = Randomness(seed).generator("pictures to rank sources by")
            chosen = some_of(whole, most_pictures, rng)
            targets[key] = look(chosen, f"pictures of {pictures.name}")
        return targets[key]

    for position, name in enumerate(names):
        progress("sources", position, len(names))
        try:
            source = open_source(name)
            architecture = source.card.architecture
            target = target_for(architecture.resolution, architecture.channels)
            latents = latents_for(architecture, samples, seed=seed)
            drawn = generate(source.pair.generator, latents)
            features = look(drawn, f"samples of {source.card.name}")
            found.append(_ranked_source(name, features, target, Resampling(seed=seed), experience))
        except GraftganError as error:
            unusable[name] = str(error)
    progress("sources", len(names), len(names))
    if not found:
        said = "; ".join(f"{name}: {why}" for name, why in unusable.items())
        raise SettingsError(f"there is no source to rank; {said or 'give some with --sources'}")
    return Ranking(
        candidates=_ranked(found),
        unusable=unusable,
        learnt_from=len(experience),
        samples=samples,
        pictures=len(list(targets.values())[-1]),
    )


def _ranked_source(
    name: str,
    features: Features,
    target: Features,
    resampling: Resampling,
    experience: Sequence[Experience],
) -> RankedSource:
    """Return the scores of a source by its samples, without a reason for its rank."""
    (kid,) = METRICS["kid"].measure(features, target, resampling).values()
    recall = recall_of(target, features, resampling)
    (vendi,) = METRICS["vendi"].measure(features, target, resampling).values()
    expected = expected_after(kid.value, experience)
    return RankedSource(name=name, recall=recall, kid=kid, vendi=vendi, expected=expected)


def experience_in(places: Iterable[Path], *, score: str) -> list[Experience]:
    """Return the finished transfers in ``places`` that have this ``score``.

    A place is a run folder, a folder of run folders at any depth, or a ``.jsonl`` file of recorded
    runs. Unreadable files are skipped.
    """
    found: list[Experience] = []
    for place in places:
        if place.is_file():
            runs, _ = read_lines(_RecordedRun, place)
            for run in runs:
                found += _of_lines(run.scores, score) if "source" in run.settings else []
            continue
        for card in sorted(place.rglob("experiment.toml")) if place.is_dir() else []:
            if (card.parent / "adapter.safetensors").is_file():  # of transfers that have ended
                found += _of_lines(read_scores(card.parent / "metrics.jsonl")[0], score)
    return found


def _of_lines(lines: Iterable[ScoreRecord], score: str) -> list[Experience]:
    """Return the experience of a run, if it has the ``score`` of its source and its end."""
    curve = {
        line.iteration: line.value
        for line in lines
        if line.name == score
        and line.is_own
        and line.iteration is not None
        and line.value is not None
    }
    return [Experience(curve[0], curve[max(curve)])] if 0 in curve and len(curve) > 1 else []


def expected_after(before: float, experience: Sequence[Experience]) -> Estimate | None:
    """Return the expected score after a transfer, from the score of its source.

    It is a least-squares line through finished runs, with the 95 % prediction interval of one more
    run (Student's t). None: there are fewer than ten runs or three different starts, or ``before``
    is out of their range.
    """
    starts = sorted({round(run.before, 3) for run in experience})
    if len(experience) < _LEAST_RUNS or len(starts) < _LEAST_STARTS:
        return None
    reach = starts[-1] - starts[0]
    if not starts[0] - 0.1 * reach <= before <= starts[-1] + 0.1 * reach:
        return None
    x = torch.tensor([run.before for run in experience], dtype=torch.float64)
    y = torch.tensor([run.after for run in experience], dtype=torch.float64)
    count, around = len(x), x - x.mean()
    slope = float(around @ y / around.square().sum())
    value = float(y.mean()) + slope * (before - float(x.mean()))
    rest = y - y.mean() - slope * around
    spread = math.sqrt(float(rest.square().sum()) / (count - 2))
    leverage = (before - float(x.mean())) ** 2 / float(around.square().sum())
    half = t_quantile(count - 2) * spread * math.sqrt(1 + 1 / count + leverage)
    return Estimate(value, value - half, value + half)


def _ranked(found: Sequence[RankedSource]) -> tuple[RankedSource, ...]:
    nearest = min(found, key=lambda one: one.kid.value)
    level = [one for one in found if one.kid.low <= nearest.kid.high]
    behind = [one for one in found if one not in level]
    level.sort(key=lambda one: (-one.recall.value, one.kid.value))
    behind.sort(key=lambda one: one.kid.value)
    most_diverse = max(found, key=lambda one: one.vendi.value).name if len(found) > 1 else ""
    ordered: list[RankedSource] = []
    for place, one in enumerate([*level, *behind]):
        if one not in level:
            words = "farther by KID"
        elif len(level) == 1:
            words = "the nearest by KID"
        elif place == 0:
            words = f"of {len(level)} as near by KID, the one that recalls the most"
        else:
            words = "as near by KID as the first, within noise, and recalls no more"
        words += f"; recalls {one.recall.value:.0%} of the pictures" if one.recall.value else ""
        words += "; the most diverse" if one.name == most_diverse else ""
        ordered.append(replace(one, reason=words))
    return tuple(ordered)
