"""Sources by name and folder, and what their cards carry over."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import SourceCard, list_checkpoints, save_source
from graftgan.core.errors import CheckpointError, SettingsError, SourceError
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.models.sources import (
    DEFAULT_SOURCE,
    batch_statistics_of,
    list_sources,
    open_source,
    settled_name,
    source_folders,
)
from graftgan.networks.blocks import use_batch_statistics
from graftgan.runs.run import run
from graftgan.training import TrainingSettings
from tiny_networks import draw_pictures, latents, tiny_architecture, tiny_pair


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path))
    return tmp_path


def put_source(folder: Path, **entries: object) -> None:
    pair = tiny_pair()
    save_source(folder, pair, SourceCard(name="x", architecture=tiny_architecture()))
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **entries}))


def test_both_networks_keep_their_batch_statistics_on_disk(home: Path):
    pair = tiny_pair()
    use_batch_statistics(pair.discriminator.layers()["layer2"].norm)
    use_batch_statistics(pair.generator.layers()["layer3"].norm)
    expected = {"discriminator": ("layer2",), "generator": ("layer3",)}
    assert batch_statistics_of(pair) == expected
    card = SourceCard(name="x", architecture=tiny_architecture(), batch_statistics=expected)
    save_source(home / "mine", pair, card)
    assert batch_statistics_of(open_source("mine").pair) == expected


def test_a_source_has_one_name_from_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch):
    put_source(home / "mine")
    put_source(home / "elsewhere" / "other")
    monkeypatch.chdir(home / "elsewhere")
    assert settled_name("mine") == "mine"
    assert settled_name("other") == str(home / "elsewhere" / "other")
    with pytest.raises(SourceError, match="did you mean 'mine'"):
        settled_name("mien")


@pytest.mark.parametrize(
    ("name", "backbone"), [(DEFAULT_SOURCE, "dcgan"), ("avatars-sg2-64", "stylegan2")]
)
def test_the_bundled_sources_are_known_and_open(name: str, backbone: str):
    assert name in source_folders()
    source = open_source(name)
    assert source.card.licence == "CC0 1.0"
    assert source.pair.architecture.backbone == backbone
    assert source.pair.architecture.resolution == 64
    given = latents(64, source.pair.architecture.latent_size, seed=3)
    with torch.no_grad():
        spread = source.pair.generator.eval()(given).mean(dim=(2, 3)).std(dim=0)
    # Of the colours of its pictures; without training it is 0.0001 with one and 0.9 with the other.
    assert 0.2 < spread.min() < spread.max() < 0.5


def test_one_bad_card_does_not_hide_the_others(home: Path):
    put_source(home / "good")
    put_source(home / "bad", iterations="many")
    found = {folder.name: card for folder, card in list_sources()}
    assert isinstance(found["good"], SourceCard)
    assert isinstance(found["bad"], SourceError)
    assert "iterations" in str(found["bad"])


@pytest.mark.parametrize(
    "entries",
    [
        {"fingerprints": []},
        {"name": 5},
        {"extra": 1},
        {"batch_statistics": "layer1"},
        {"batch_statistics": {"generator": ["layer9"]}},
        {"architecture": {"backbone": ["dcgan"], "resolution": 32}},
        {"architecture": {"backbone": "dcgan", "resolution": 32, "width": 4.5}},
    ],
)
def test_a_card_of_wrong_types_is_explained(home: Path, entries: dict[str, object]):
    put_source(home / "odd", **entries)
    with pytest.raises(SourceError, match=r"odd|x names layers"):
        open_source("odd")


def test_a_transfer_can_begin_with_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    pictures = draw_pictures(tmp_path / "pictures", count=8, hue=1)
    experiment = Experiment(
        pictures=pictures,
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        training=TrainingSettings(
            iterations=6, batch_size=4, checkpoint_every=1, keep_checkpoints=1, keep_every=2
        ),
    )
    run(experiment, tmp_path / "source", device="cpu")
    kept = [int(folder.name) for folder in list_checkpoints(tmp_path / "source")]
    assert kept == [2, 4, 6]
    monkeypatch.chdir(tmp_path)
    early, late = open_source("source@2"), open_source("source")
    assert (early.card.iterations, late.card.iterations) == (2, 6)
    assert early.card.fingerprints != late.card.fingerprints
    training = TrainingSettings(iterations=1, batch_size=4)
    transfer = replace(experiment, source="source@2", network=NetworkSettings(), training=training)
    folder = run(transfer, tmp_path / "run", device="cpu")
    assert folder.card().base == early.card.fingerprints
    assert folder.experiment().source == str(tmp_path / "source@2")
    with pytest.raises(CheckpointError, match="keeps no checkpoint 3; it has: 2, 4, 6"):
        open_source("source@3")
    with pytest.raises(SourceError, match=r"no source 'aaaa.*…'"):  # longer than any file's name
        open_source("a" * 5000 + "@12")
    with pytest.raises(SourceError, match="no source 'nowhere'"):
        open_source("nowhere@3")


def test_what_is_not_written_cannot_stay():
    with pytest.raises(SettingsError, match="must be a multiple of checkpoint_every"):
        TrainingSettings(checkpoint_every=300, keep_every=1000)
    assert TrainingSettings(keep_every=400).save_every == 400
