"""Sources ranked for a target: planted ones, and lines through runs whose answer is known."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from feature_networks import save_brightness
from graftgan.checkpoints import SourceCard, save_source
from graftgan.cli import rank, transfer
from graftgan.core.errors import SettingsError
from graftgan.core.files import write_text
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.metric import Estimate
from graftgan.metrics.settings import ExtractorSettings
from graftgan.models.sources import DEFAULT_SOURCE, open_source
from graftgan.networks.backbone import build_pair
from graftgan.networks.sampling import generate, random_latents
from graftgan.studies.source_ranking import (
    Experience,
    RankedSource,
    _ranked,
    expected_after,
    experience_in,
    rank_sources,
)
from tiny_networks import tiny_architecture

COLOURS = {"red": (1.5, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.5)}


def put_source(folder: Path, colour: tuple[float, float, float], seed: int) -> None:
    """Write a source whose pictures have one colour and each a texture of its own."""
    pair = build_pair(tiny_architecture(), torch.Generator().manual_seed(seed))
    last = pair.generator.layers()["layer4"].conv
    with torch.no_grad():
        last.weight.mul_(20)
        last.bias.copy_(torch.tensor(colour))
    save_source(folder, pair, SourceCard(name=folder.name, architecture=tiny_architecture()))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path / "sources"))
    monkeypatch.chdir(tmp_path)
    for seed, (name, colour) in enumerate(COLOURS.items()):
        put_source(tmp_path / "sources" / name, colour, seed)
    return tmp_path


def pictures_of(home: Path, name: str, *, count: int = 30) -> Path:
    """Draw a target from one of the sources, with latents that the ranking does not draw."""
    generator = open_source(name).pair.generator
    folder = home / f"like_{name}"
    folder.mkdir()
    for number, picture in enumerate(generate(generator, random_latents(count, 8, seed=99))):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{number:02d}.png")
    return folder


@pytest.mark.parametrize("planted", COLOURS)
def test_the_source_that_the_target_was_drawn_from_is_first(home: Path, planted: str):
    ranking = rank_sources(pictures_of(home, planted), list(COLOURS), samples=60)
    first, *others = ranking.candidates
    assert first.name == planted
    assert first.recall.value > 0.5
    assert first.reason.startswith("the nearest by KID; recalls")
    for other in others:
        assert other.kid.low > first.kid.high
        assert other.reason.startswith("farther by KID")
    assert (ranking.samples, ranking.pictures, ranking.learnt_from) == (60, 30, 0)


def test_recall_decides_where_kid_does_not():
    def one(name: str, kid: float, recall: float) -> RankedSource:
        around = Estimate(kid, kid - 0.05, kid + 0.05)
        return RankedSource(
            name=name, kid=around, recall=Estimate(recall, 0, 1), vendi=Estimate(2, 1, 3)
        )

    ranked = _ranked([one("far", 0.9, 1.0), one("a", 0.30, 0.1), one("b", 0.34, 0.5)])
    assert [candidate.name for candidate in ranked] == ["b", "a", "far"]
    assert ranked[0].reason.startswith("of 2 as near by KID, the one that recalls the most; re")
    assert ranked[1].reason.startswith("as near by KID as the first, within noise")


def test_a_varied_source_far_away_does_not_win_by_the_width_of_its_balls(home: Path):
    # Twenty samples of eight styles recall every green picture; by KID they are far.
    ranking = rank_sources(
        pictures_of(home, "green", count=10),
        ["avatars-64", "green"],
        samples=20,
        network=ExtractorSettings(extractor_view="pixels"),
    )
    first, far = ranking.candidates
    assert (first.name, far.name) == ("green", "avatars-64")
    assert far.recall.value > 0.9


def test_a_damaged_source_is_left_out_and_named(home: Path):
    (home / "sources" / "green" / "generator.safetensors").write_bytes(b"")
    ranking = rank_sources(pictures_of(home, "red"), list(COLOURS), samples=60)
    assert {one.name for one in ranking.candidates} == {"red", "blue"}
    assert set(ranking.unusable) == {"green"}
    with pytest.raises(SettingsError, match="no source to rank; nowhere: no source 'nowhere'"):
        rank_sources(home / "like_red", ["nowhere"])


def test_the_verb_says_what_to_do(home: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    target = pictures_of(home, "blue")
    assert rank.main([str(target), "--device", "cpu", "--samples", "60", "--no-race"]) == 0
    said = capsys.readouterr().out
    assert f"graftgan transfer {target} --source blue" in said
    assert "avatars-64" in said  # the bundled one is local too


def test_a_transfer_without_a_source_takes_the_first(home: Path, capsys, monkeypatch):
    planted, quick = "green", partial(rank_sources, samples=20)
    monkeypatch.setattr(transfer, "rank_sources", quick)
    words = [str(pictures_of(home, planted, count=10)), "--iterations", "1", "--batch-size", "2"]
    assert transfer.main([*words, "--dry-run", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert f"source {planted}: the nearest by KID" in said
    assert f'source = "{planted}"' in said
    assert transfer.main([*words, "--dry-run", "--device", "cpu", "--source", "blue"]) == 0
    assert 'source = "blue"' in capsys.readouterr().out
    write_text(home / "x.toml", 'source = "blue"\n')
    assert transfer.main([words[0], "--config", "x.toml", "--dry-run", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert 'source = "blue"' in said
    assert "by KID" not in said


def test_sources_race_where_a_transfer_names_none(home: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    own = lambda: dict.fromkeys(COLOURS)  # noqa: E731 - without the bundled ones, which are large
    monkeypatch.setattr("graftgan.studies.source_race.source_folders", own)
    network = save_brightness(home)
    words = ["--device", "cpu", "--iterations", "4", "--batch-size", "2", "--score-count", "8",
             "--extractor", str(network), "--extractor-side", "8", "--extractor-pixels",
             "minus_one_one"]  # fmt: skip
    target = pictures_of(home, "red", count=12)
    assert transfer.main([str(target), *words]) == 0
    said = capsys.readouterr().out
    assert "the race takes about" in said
    assert "its rounds: 10, 20 iterations" in said
    won = RunFolder(home / "runs" / "like_red").experiment().source
    assert [line for line in said.splitlines() if line.startswith("│ 1") and str(won) in line]


def line_through(*, noise: float, count: int = 40) -> list[Experience]:
    rng = torch.Generator().manual_seed(0)
    x = torch.linspace(0.2, 1.0, count).double()
    y = 0.1 + 0.5 * x + noise * torch.randn(count, generator=rng).double()
    return [Experience(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def test_the_expectation_is_the_line_through_the_runs():
    found = expected_after(0.6, line_through(noise=0.0))
    assert found is not None
    assert found.value == pytest.approx(0.4)
    assert found.high - found.low < 1e-6


def test_its_interval_holds_19_of_20_further_runs():
    found = expected_after(0.6, line_through(noise=0.05))
    assert found is not None
    # t of 38 degrees of freedom is 2.024; one more run: sqrt(1 + 1 / 40).
    assert (found.high - found.low) / 2 == pytest.approx(2.024 * 0.05 * 1.0125, rel=0.25)


def test_little_or_distant_experience_says_nothing():
    line = line_through(noise=0.01)
    assert expected_after(0.6, line[:9]) is None
    assert expected_after(0.6, [Experience(0.6, 0.1)] * 20) is None
    assert expected_after(1.5, line) is None
    assert expected_after(1.05, line) is not None


def test_experience_is_read_from_runs_and_from_recorded_results(tmp_path: Path):
    scores = [
        {"iteration": i, "name": n, "value": v}
        for n, values in (("KID(net)", (0.9, 0.5, 0.4)), ("FD(net)", (300, 200, 100)))
        for i, v in enumerate(values)
    ]
    run = tmp_path / "runs" / "deep" / "one"
    run.mkdir(parents=True)
    write_text(run / "experiment.toml", "")
    write_text(run / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in scores))
    assert experience_in([tmp_path / "runs"], score="KID(net)") == []  # it has not ended
    (run / "adapter.safetensors").touch()
    assert experience_in([tmp_path / "runs"], score="KID(net)") == [Experience(0.9, 0.4)]
    recorded = tmp_path / "results.jsonl"
    lines = [
        {"scores": scores, "settings": {"source": "faces"}},
        {"scores": scores, "settings": {}},
        {"name": "KID(net)", "mean": 0.1},
    ]
    write_text(recorded, "".join(json.dumps(line) + "\n" for line in lines))
    assert experience_in([recorded], score="FD(net)") == [Experience(300, 100)]
    assert experience_in([tmp_path / "nowhere"], score="KID(net)") == []


def test_who_has_no_source_of_their_own_begins_with_the_usual_one(home: Path, capsys, monkeypatch):
    words = [str(pictures_of(home, "green", count=10)), "--iterations", "1", "--batch-size", "2"]
    monkeypatch.setattr(transfer, "rank_sources", lambda *_, **__: pytest.fail("ranked"))
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(home / "nothing_here"))
    assert transfer.main([*words, "--dry-run", "--device", "cpu"]) == 0
    assert f'source = "{DEFAULT_SOURCE}"' in capsys.readouterr().out
