"""Which source for these pictures? Looked at before any training, and learnt from finished runs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from graftgan.core.errors import GraftganError, SettingsError
from graftgan.core.progress import Progress, silent
from graftgan.core.randomness import Randomness, some_of
from graftgan.core.settings import read_lines
from graftgan.experiments.records import ScoreRecord, read_scores
from graftgan.metrics import (
    METRICS,
    Estimate,
    Extractor,
    ExtractorSettings,
    Features,
    Resampling,
    build_extractor,
    features_of,
)
from graftgan.models.sources import open_source, source_folders
from graftgan.networks.sampling import generate, latents_for
from graftgan.pictures import DataSettings, load_image_set
from graftgan.pictures.set_statistics import recall_of
from graftgan.studies.study_statistics import t_quantile

_LEAST_RUNS, _LEAST_STARTS = 10, 3  # before anything is expected of a new one


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSource:
    """What is known of one source for a target.

    Attributes:
        name: Of the source.
        recall: Share of the target's pictures that lie within the source's samples.
        kid: Kernel distance between the source's samples and the target.
        vendi: Effective number of different pictures among the source's samples.
        expected: The KID that a transfer is expected to end with, and its 95 % prediction interval;
            None where too few finished runs are known.
        reason: Why it stands where it stands, in one line.
    """

    name: str
    recall: Estimate
    kid: Estimate
    vendi: Estimate
    expected: Estimate | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedRun:
    """A line of a file of recorded runs: its settings by dotted name, and its scores."""

    settings: Mapping[str, Any]
    scores: tuple[ScoreRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Sources for a target, the most promising first.

    Attributes:
        candidates: Ranked.
        unusable: By the name of a source, why it could not be looked at.
        learnt_from: Finished runs that the expectations come from.
        samples: Drawn from each source.
        pictures: Of the target.
    """

    candidates: tuple[RankedSource, ...]
    unusable: Mapping[str, str]
    learnt_from: int
    samples: int
    pictures: int


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

    The nearest by KID comes first; where intervals do not tell sources apart, the one with the
    larger recall of the target. Grigoryev et al. 2022 (arXiv:2202.08937) take the largest recall
    between whole training sets, k = 5. Differs, because a source's few samples stand for its set
    here: few and varied samples have balls so wide that they recall a target they look nothing
    like.

    Args:
        pictures: The target: a folder, zip or npz.
        names: Sources by name or folder; None: all local ones.
        learn_from: Run folders, folders of them, or recorded results, for expectations.
        samples: Drawn from each source.
        most_pictures: At most so many of the target are looked at.
        network: Makes the features.
        seed: Of latents, choice and resamples.
        device: Where networks compute.
        progress: Shows how far it is.

    Raises:
        GraftganError: The target cannot be read, or no source can be used.
    """
    names = list(source_folders()) if names is None else names
    extractor = build_extractor(network or ExtractorSettings())
    look = _Look(pictures, extractor, most_pictures, seed, device, progress)
    experience = experience_in(learn_from, score=f"KID({extractor.name})")
    found: list[RankedSource] = []
    unusable: dict[str, str] = {}
    for position, name in enumerate(names):
        progress("sources", position, len(names))
        try:
            found.append(look.at(name, samples, experience))
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
        pictures=look.count,
    )


def experience_in(places: Iterable[Path], *, score: str) -> list[Experience]:
    """Return what the finished transfers in ``places`` say, as far as they have that ``score``.

    A place is a run folder, a folder of run folders at any depth, or a ``.jsonl`` file of recorded
    runs. What cannot be read says nothing.
    """
    found: list[tuple[str, float, float]] = []
    for place in places:
        if place.is_file():
            runs, _ = read_lines(_RecordedRun, place)
            found += _of_lines(run.scores for run in runs if "source" in run.settings)
            continue
        for card in sorted(place.rglob("experiment.toml")) if place.is_dir() else []:
            if (card.parent / "adapter.safetensors").is_file():  # of transfers that have ended
                found += _of_lines([read_scores(card.parent / "metrics.jsonl")[0]])
    return [Experience(before, after) for name, before, after in found if name == score]


def expected_after(before: float, experience: Sequence[Experience]) -> Estimate | None:
    """Return the score that a transfer is expected to end with, from the score of its source.

    A straight line through finished runs by least squares, with the 95 % interval of prediction
    for one more run (Student's t). None where fewer than ten runs or three different starts are
    known, or where the line would be drawn beyond the starts it knows.
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


class _Look:
    """Looks at one source after the other beside the same pictures."""

    def __init__(
        self,
        pictures: Path,
        extractor: Extractor,
        most: int,
        seed: int,
        device: str,
        progress: Progress,
    ) -> None:
        self._path, self._extractor, self._most = pictures, extractor, most
        self._seed, self._device, self._progress = seed, device, progress
        self._targets: dict[tuple[int, int], Features] = {}
        self._resampling = Resampling(seed=seed)
        self.count = 0

    def at(self, name: str, samples: int, experience: Sequence[Experience]) -> RankedSource:
        """Return what is to be known of the source ``name``.

        Raises:
            GraftganError: It cannot be loaded, or pictures and samples cannot be measured.
        """
        source = open_source(name)
        architecture = source.card.architecture
        target = self._target(architecture.resolution, architecture.channels)
        drawn = generate(source.pair.generator, latents_for(architecture, samples, seed=self._seed))
        features = self._features(drawn, f"samples of {source.card.name}")
        kid = self._measure("kid", features, target)
        return RankedSource(
            name=name,
            recall=recall_of(target, features, self._resampling),
            kid=kid,
            vendi=self._measure("vendi", features, target),
            expected=expected_after(kid.value, experience),
        )

    def _target(self, resolution: int, channels: int) -> Features:
        """Return the features of the pictures at the size and with the colours of a source."""
        key = (resolution, channels)
        if key not in self._targets:
            settings = DataSettings(channels=channels)
            whole = load_image_set(
                self._path, settings, resolution=resolution, seed=self._seed
            ).pictures
            rng = Randomness(self._seed).generator("pictures to rank sources by")
            chosen = some_of(whole, self._most, rng)
            self._targets[key] = self._features(chosen, f"pictures of {self._path.name}")
            self.count = len(chosen)
        return self._targets[key]

    def _features(self, pictures: torch.Tensor, what: str) -> Features:
        return features_of(
            pictures,
            self._extractor,
            device=self._device,
            progress=lambda done, total: self._progress(what, done, total),
        )

    def _measure(self, metric: str, features: Features, target: Features) -> Estimate:
        (estimate,) = METRICS[metric].measure(features, target, self._resampling).values()
        return estimate


def _ranked(found: Sequence[RankedSource]) -> tuple[RankedSource, ...]:
    """Return the candidates in order, each with its reason."""
    nearest = min(found, key=lambda one: one.kid.value)
    level = [one for one in found if one.kid.low <= nearest.kid.high]
    behind = [one for one in found if one not in level]
    level.sort(key=lambda one: (-one.recall.value, one.kid.value))
    behind.sort(key=lambda one: one.kid.value)
    most_diverse = max(found, key=lambda one: one.vendi.value).name
    diverse = most_diverse if len(found) > 1 else ""
    return tuple(
        replace(one, reason=_reason(one, place, level, diverse))
        for place, one in enumerate([*level, *behind])
    )


def _reason(one: RankedSource, place: int, level: Sequence[RankedSource], most_diverse: str) -> str:
    if one not in level:
        words = "farther by KID"
    elif len(level) == 1:
        words = "the nearest by KID"
    elif place == 0:
        words = f"of {len(level)} as near by KID, the one that recalls the most"
    else:
        words = "as near by KID as the first, within noise, and recalls no more"
    recalled = f"; recalls {one.recall.value:.0%} of the pictures" if one.recall.value else ""
    return f"{words}{recalled}{'; the most diverse' if one.name == most_diverse else ''}"


def _of_lines(runs: Iterable[Sequence[ScoreRecord]]) -> list[tuple[str, float, float]]:
    """Return (name, before, after) of each score of each run that has both."""
    found: list[tuple[str, float, float]] = []
    for lines in runs:
        values: dict[str, dict[int, float]] = {}
        for line in lines:
            if line.iteration is not None and line.value is not None and line.is_own:
                values.setdefault(line.name, {})[line.iteration] = line.value
        for name, curve in values.items():
            if 0 in curve and len(curve) > 1:
                found.append((name, curve[0], curve[max(curve)]))
    return found
