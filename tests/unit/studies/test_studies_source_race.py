"""Sources that race: the one that ends best is found, at a share of the cost of knowing it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from feature_networks import save_brightness
from graftgan.checkpoints import SourceCard, save_source
from graftgan.core.errors import RunError, SettingsError
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import read_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.settings import ExtractorSettings, ScoringSettings
from graftgan.networks.backbone import build_pair
from graftgan.runs.run import run
from graftgan.studies.source_race import RaceObserver, SourceRace, race_sources
from graftgan.training import TrainingSettings
from tiny_networks import tiny_architecture

LEVELS = {"dark": -1.2, "dim": -0.3, "bright": 0.6, "white": 1.5}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A target of bright pictures, and sources that draw ever brighter ones."""
    place = tmp_path_factory.mktemp("race")
    for seed, (name, level) in enumerate(LEVELS.items()):
        pair = build_pair(tiny_architecture(), torch.Generator().manual_seed(seed))
        with torch.no_grad():
            pair.generator.layers()["layer4"].conv.weight.mul_(100)  # each picture has its texture
            pair.generator.layers()["layer4"].conv.bias.fill_(level)
        save_source(place / name, pair, SourceCard(name=name, architecture=tiny_architecture()))
    (place / "pictures").mkdir()
    rng = torch.Generator().manual_seed(0)
    for number in range(40):
        pixels = (190 + 40 * torch.rand(32, 32, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(place / "pictures" / f"{number:02d}.png")
    network = ExtractorSettings(
        extractor=str(save_brightness(place)), extractor_side=8, extractor_pixels="minus_one_one"
    )
    return Experiment(
        pictures=place / "pictures",
        scoring=ScoringSettings(score_count=30, network=network),
        training=TrainingSettings(iterations=160, batch_size=4),
    )


def sources(base: Experiment) -> tuple[str, ...]:
    return tuple(str(base.pictures.parent / name) for name in LEVELS)


class Listener(RaceObserver):
    def __init__(self) -> None:
        self.prices: list[tuple[float, list[int]]] = []
        self.started: list[tuple[str, int]] = []

    def price(self, seconds: float, rounds: list[int]) -> None:  # type: ignore[override]
        self.prices.append((seconds, rounds))

    def racer_starts(self, name: str, iterations: int) -> None:
        self.started.append((Path(name).name, iterations))


def test_the_source_that_ends_best_wins_at_a_quarter_of_the_cost(base: Experiment, tmp_path: Path):
    heard = Listener()
    found = race_sources(
        SourceRace(base=base, names=sources(base)), tmp_path / "race", device="cpu", observer=heard
    )
    ends: dict[str, float] = {}
    for name in sources(base):
        full = replace(
            base,
            source=name,
            data=replace(base.data, held_out=0.2),
            scoring=replace(base.scoring, score_every=160, copy_guard=False),
        )
        path = run(full, tmp_path / f"full-{Path(name).name}", device="cpu").path
        (*_, last) = [s for s in read_scores(path / "metrics.jsonl")[0] if s.iteration == 160]
        ends[name] = last.value or 0.0
    best, *others = sorted(ends, key=lambda name: ends[name])
    near = [best, *(n for n in others if ends[n] < ends[best] + 0.1 * abs(ends[others[-1]]))]
    assert found.racers[0].name in near
    assert found.rounds == (27, 54)
    trained = [racer.reached for racer in found.racers]
    assert trained == [54, 54, 27, 27]
    assert sum(trained) == pytest.approx(160 * 4 / 4, rel=0.02)
    (price,) = heard.prices
    assert price[0] > 0
    assert price[1] == [27, 54]
    assert [at for _, at in heard.started] == [4, 4, 4, 4, 27, 27, 27, 27, 54, 54]


def test_a_race_goes_on_where_it_stopped(base: Experiment, tmp_path: Path):
    race = SourceRace(base=base, names=sources(base)[:2])
    first = race_sources(race, tmp_path / "race", device="cpu")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "race").rglob("*.safetensors")}
    again = race_sources(race, tmp_path / "race", device="cpu")
    assert [r.name for r in again.racers] == [r.name for r in first.racers]
    assert [r.scores for r in again.racers] == [r.scores for r in first.racers]
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "race").rglob("*.safetensors")}
    other = replace(base, seed=1)
    with pytest.raises(RunError, match="holds a race with other settings"):
        race_sources(replace(race, base=other), tmp_path / "race", device="cpu")


def test_sources_of_one_folder_name_do_not_meet(base: Experiment, tmp_path: Path):
    twins = []
    for number, name in enumerate(("dark", "white")):
        twins.append(
            str(shutil.copytree(base.pictures.parent / name, tmp_path / f"{number}" / "a"))
        )
    found = race_sources(SourceRace(base=base, names=tuple(twins)), tmp_path / "race", device="cpu")
    assert len({racer.run for racer in found.racers}) == 2
    assert {RunFolder(r.run).experiment().source for r in found.racers} == set(twins)


def test_a_source_that_cannot_be_used_is_last_and_says_why(base: Experiment, tmp_path: Path):
    names = ("nowhere", *sources(base)[2:])
    found = race_sources(SourceRace(base=base, names=names), tmp_path / "race", device="cpu")
    assert found.racers[-1].name == "nowhere"
    assert "no source" in found.racers[-1].problem
    with pytest.raises(SettingsError, match="1 can be used; nowhere: no source"):
        race_sources(SourceRace(base=base, names=names[:2]), tmp_path / "other", device="cpu")


def test_minutes_bound_the_rounds(base: Experiment, tmp_path: Path):
    heard = Listener()
    race = SourceRace(base=base, names=sources(base), minutes=0.5)
    race_sources(race, tmp_path / "race", device="cpu", observer=heard)
    ((seconds, rounds),) = heard.prices
    assert seconds == pytest.approx(30, rel=0.1) or rounds[0] == 10
