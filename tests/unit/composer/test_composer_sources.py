"""Sources by name and folder, and what their cards carry over."""

import json
from pathlib import Path

import pytest

from graftgan.checkpoints import SourceCard, save_source
from graftgan.errors import SourceError
from graftgan.sources import (
    DEFAULT_SOURCE,
    batch_statistics_of,
    list_sources,
    open_source,
    settled_name,
    source_folders,
)
from graftgan.transfer import use_batch_statistics
from tiny_networks import tiny_architecture, tiny_pair


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


def test_the_bundled_source_is_known_and_opens():
    assert DEFAULT_SOURCE in source_folders()
    source = open_source(DEFAULT_SOURCE)
    assert source.card.licence == "CC0 1.0"
    assert source.pair.architecture.resolution == 64


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
