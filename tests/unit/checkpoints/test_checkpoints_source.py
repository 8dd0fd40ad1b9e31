"""Sources on disk: what was saved is what is loaded, or it is refused."""

import json
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from graftgan.checkpoints import (
    SourceCard,
    load_source,
    load_tensors,
    read_card,
    save_source,
    save_tensors,
)
from graftgan.core.errors import CheckpointError, GraftganError, RunError, SourceError
from graftgan.core.network_types import NetworkPair
from graftgan.networks.backbone import BACKBONES, build_pair
from hostile_json import RAW, as_bytes, damaged
from tiny_networks import assert_same_tensors, everything_in, tiny_architecture, tiny_pair


def card_for(pair: NetworkPair) -> SourceCard:
    return SourceCard(
        name="tiny",
        architecture=pair.architecture,
        licence="CC0-1.0",
        data="noise",
        iterations=12,
        images_seen=48,
        batch_statistics={"generator": ("layer2",)},
    )


@pytest.fixture
def folder(tmp_path: Path, pair: NetworkPair) -> Path:
    save_source(tmp_path / "tiny", pair, card_for(pair))
    return tmp_path / "tiny"


def test_float32_comes_back_bit_for_bit(folder: Path, pair: NetworkPair):
    loaded = load_source(folder, build_pair)
    assert_same_tensors(everything_in(pair), everything_in(loaded.pair))
    assert loaded.card == read_card(folder)
    assert loaded.card.architecture == pair.architecture
    assert loaded.card.batch_statistics == {"generator": ("layer2",)}
    assert loaded.card.licence == "CC0-1.0"
    assert set(loaded.card.fingerprints) == {"discriminator", "generator"}
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.json",
        "discriminator.safetensors",
        "generator.safetensors",
    ]


def test_float16_halves_the_file_and_comes_back_rounded(tmp_path: Path, pair: NetworkPair):
    save_source(tmp_path / "full", pair, card_for(pair))
    save_source(tmp_path / "half", pair, card_for(pair), dtype=torch.float16)
    sizes = [(tmp_path / n / "generator.safetensors").stat().st_size for n in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    loaded = everything_in(load_source(tmp_path / "half", build_pair).pair)
    for name, tensor in everything_in(pair).items():
        assert loaded[name].dtype == tensor.dtype
        wanted = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded[name], wanted), name


def test_tampered_weights_are_refused(folder: Path):
    path = folder / "generator.safetensors"
    tensors = load_tensors(path)
    name = next(n for n, t in tensors.items() if t.dim() == 4)
    tensors[name].view(-1)[0] += 1e-6
    save_tensors(path, tensors)
    with pytest.raises(SourceError, match="sha256 differs"):
        load_source(folder, build_pair)


def test_the_networks_of_a_pair_cannot_be_swapped_or_missing(folder: Path):
    first, second = folder / "generator.safetensors", folder / "discriminator.safetensors"
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    with pytest.raises(GraftganError):
        load_source(folder, build_pair)
    second.unlink()
    with pytest.raises(CheckpointError, match="there is no weight file"):
        load_source(folder, build_pair)


def test_weights_of_another_architecture_are_refused(folder: Path):
    card = json.loads((folder / "card.json").read_text())
    card["architecture"]["width"] = 8
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(SourceError, match="does not fit the network"):
        load_source(folder, build_pair)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot read"),
        ("[]", "not a source card"),
        ('"x"', "not a source card"),
        ('{"kind": "source", "format": 99}', "update graftgan"),
        ('{"kind": "adapter", "format": 1}', "not a source card"),
        ('{"kind": "source", "format": 1, "name": "x"}', "architecture' is missing"),
        ('{"kind": "source", "format": 1, "name": "x", "architecture": 3}', "unusable card"),
    ],
)
def test_a_broken_card_is_explained(folder: Path, text: str, match: str):
    (folder / "card.json").write_text(text)
    with pytest.raises(SourceError, match=match):
        load_source(folder, build_pair)


def test_no_source_is_explained(tmp_path: Path):
    with pytest.raises(SourceError, match="there is no file"):
        read_card(tmp_path / "nowhere")


def test_a_failing_save_leaves_the_old_source(
    folder: Path, pair: NetworkPair, monkeypatch: pytest.MonkeyPatch
):
    before = everything_in(load_source(folder, build_pair).pair)
    writes: list[Path] = []
    original = Path.open

    def full(path: Path, mode: str = "r", *given: Any, **named: Any) -> IO[Any]:
        if mode == "wb":
            writes.append(path)
            if len(writes) == 2:
                raise OSError(28, "No space left on device")
        return original(path, mode, *given, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunError, match="No space left"):
        save_source(folder, tiny_pair(tiny_architecture(), seed=9), card_for(pair))
    monkeypatch.undo()
    assert len(writes) == 2
    assert_same_tensors(before, everything_in(load_source(folder, build_pair).pair))
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path, value: float):
    pair = tiny_pair()
    name, tensor = next(iter(pair.generator.named_parameters()))
    with torch.no_grad():
        tensor.view(-1)[3] = value
    save_source(tmp_path / "tiny", pair, card_for(pair))
    with pytest.raises(SourceError, match=rf"tiny/generator holds NaN .* in {name} \(1 of"):
        load_source(tmp_path / "tiny", build_pair)


def test_a_card_that_asks_for_a_huge_network_costs_nothing(folder: Path):
    path = folder / "card.json"
    card = json.loads(path.read_text())
    card["architecture"] |= {"width": 1 << 20, "latent_size": 1 << 20}
    path.write_text(json.dumps(card))
    with pytest.raises(SourceError, match="does not fit the network"):
        load_source(folder, build_pair)
    card["architecture"] |= {"width": 1 << 21}
    path.write_text(json.dumps(card))
    with pytest.raises(SourceError, match="width must be from 1 to 1048576"):
        load_source(folder, build_pair)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_no_card_asks_for_more_than_can_be_counted(folder: Path, backbone: str):
    path = folder / "card.json"
    card = json.loads(path.read_text())
    most = {"resolution": 8192, "channels": 64, "latent_size": 1 << 20, "width": 1 << 20}
    for resolution in (8192, 1024, 64):
        card["architecture"] |= {"backbone": backbone, **most, "resolution": resolution}
        path.write_text(json.dumps(card))
        with pytest.raises(GraftganError):
            load_source(folder, build_pair)


def test_a_damaged_or_hostile_card_is_one_clear_error(folder: Path):
    path = folder / "card.json"
    card = json.loads(path.read_text())
    refused: dict[str, str] = {}
    for what, changed in damaged(card):
        path.write_bytes(as_bytes(changed))
        try:
            read_card(folder)
        except SourceError as error:
            refused[what] = str(error)
    assert len(refused) >= 80
    for what, message in refused.items():
        assert str(path) in message, what
        assert message.isprintable(), what
        assert len(message) < 3000, what
    for content in RAW.values():
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"card\.json"):
            read_card(folder)
