"""``graftgan export``, in this process."""

import re
from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import read_card
from graftgan.cli import main
from graftgan.models.export.single_files import load_generator
from graftgan.models.sources import open_source
from graftgan.networks.blocks import evaluation_mode
from tiny_adapters import saved_adapter, saved_source
from tiny_networks import latents


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base and an adapter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path / "sources"))
    monkeypatch.setenv("COLUMNS", "200")
    saved_source(tmp_path / "base")
    saved_adapter(tmp_path / "runs" / "a", tmp_path / "base")
    return tmp_path


def drawn(generator: torch.nn.Module) -> torch.Tensor:
    evaluation_mode(generator)
    with torch.no_grad():
        return generator(latents(4))


def test_the_file_has_the_name_of_the_model(home: Path, capsys):
    assert main(["export", "base", "--to", "safetensors"]) == 0
    said = capsys.readouterr().out
    assert "base.safetensors: 0.0" in said
    assert "latents: float32 (batch, 8), numbers from N(0, 1)" in said
    assert "differ from the network's by 0 at most (0 is allowed)" in said
    wanted = drawn(open_source("base").pair.generator)
    assert torch.equal(drawn(load_generator(home / "base.safetensors")), wanted)


def test_adapters_are_put_on_as_folding_does(home: Path):
    assert main(["adapter", "fold", "runs/a", "folded"]) == 0
    words = ["export", "base", "--adapter", "runs/a"]
    assert main([*words, "--to", "safetensors", "--out", "deep/put_on.safetensors"]) == 0
    put_on = drawn(load_generator(home / "deep" / "put_on.safetensors"))
    assert torch.equal(put_on, drawn(open_source("folded").pair.generator))
    assert not torch.equal(put_on, drawn(open_source("base").pair.generator))
    assert main([*words, "--to", "hub"]) == 0
    prints = [read_card(home / name).fingerprints for name in ("folded", "hub/base")]
    assert prints[0] == prints[1]
    assert read_card(home / "hub" / "base").notes == "plan D(0,4,0) G(0,4,0)"


def test_a_licence_goes_onto_the_card_and_the_page(home: Path, capsys):
    assert main(["export", "base", "--to", "hub", "--licence", "MIT", "--out", "mine"]) == 0
    assert "to the Hub: hf upload YOUR_NAME/mine mine" in capsys.readouterr().out
    assert read_card(home / "mine").licence == "MIT"
    assert 'license: "mit"' in (home / "mine" / "README.md").read_text()
    assert main(["sample", "mine", "--count", "1"]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("export base --to onx --out out.onnx", "did you mean 'onnx'"),
        ("export base --to onx", "did you mean 'onnx'"),
        ("export base --to onnx --out out.pt2", r"must end in \.onnx"),
        ("export base --to hub --out base", "base exists already"),
        ("export base --out out", "required|missing"),
        ("export nowhere --to hub --out out", "no source 'nowhere'"),
        ("export base --to hub --out out --iteration 3", "no checkpoint 3"),
        ("export base --to hub --out out --adapter nowhere", "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words: str, says: str, home: Path, capsys):
    before = sorted(home.rglob("*"))
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert re.search(says, said), said
    assert said.count("\n") == 1
    assert sorted(home.rglob("*")) == before
