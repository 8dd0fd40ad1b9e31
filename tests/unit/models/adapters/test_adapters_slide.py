"""From the source to the target in pictures."""

from pathlib import Path

import pytest
import torch

from graftgan.models.adapters.bank import AdapterBank, between, open_bank, slide
from graftgan.networks.sampling import generate
from graftgan.reports import labelled_strip
from tiny_adapters import saved_adapter, saved_source
from tiny_networks import latents, tiny_pictures


@pytest.fixture
def bank(tmp_path: Path) -> AdapterBank:
    saved_source(tmp_path / "base")
    saved_adapter(tmp_path / "a", tmp_path / "base")
    saved_adapter(tmp_path / "b", tmp_path / "base", "fine_tune", seed=4)
    return open_bank([tmp_path / "a", tmp_path / "b"])


def test_the_ends_are_the_sources_and_the_targets_pictures(bank: AdapterBank):
    a, b = bank.notes
    given = latents(3, 8)
    source, first, second = (generate(bank.generator(w), given) for w in ({}, a, b))
    from_source = slide(bank, {}, {a: 1.0}, positions=[0.0, 0.5, 1.0], latents=given)
    assert from_source.shape == (3, 3, 3, 32, 32)
    assert torch.equal(from_source[0], source)
    assert torch.equal(from_source[2], first)
    middle = generate(bank.generator({a: 0.5}), given)
    assert torch.equal(from_source[1], middle)
    assert not torch.equal(middle, source)
    across = slide(bank, {a: 1.0}, {b: 1.0}, positions=[0.0, 1.0], latents=given)
    assert torch.equal(across[0], first)
    assert torch.equal(across[1], second)


def test_positions_between_and_beyond():
    assert between({}, {"a": 1.0}, 1.25) == {"a": 1.25}
    assert between({"a": 1.0}, {"b": 1.0}, 0.25) == {"a": 0.75, "b": 0.25}
    assert between({"a": 0.5}, {"a": 1.0, "b": 2.0}, 0.5) == {"a": 0.75, "b": 1.0}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strip_shows_a_column_for_each_position(channels: int):
    columns = tiny_pictures(6, channels=channels).reshape(3, 2, channels, 32, 32)
    sheet = labelled_strip(columns, ["0", "0.5", "1"], title="0: the source    1: runs/a")
    assert sheet.width == 3 * 64
    top = sheet.height - 2 * 64
    assert top > 0
    colours = torch.tensor(list(sheet.convert("RGB").tobytes()))
    pixels = colours.reshape(sheet.height, sheet.width, 3)
    for column in range(3):
        for row in range(2):
            cell = pixels[top + 64 * row : top + 64 * (row + 1), 64 * column : 64 * (column + 1)]
            wanted = columns[column, row].permute(1, 2, 0).expand(32, 32, 3)
            assert torch.equal(cell[::2, ::2], wanted.to(cell.dtype))
            assert torch.equal(cell[1::2, 1::2], wanted.to(cell.dtype))
    words = pixels[:top]
    assert words.min() < 100  # there is text
    with pytest.raises(ValueError, match="2 headings for 3 columns"):
        labelled_strip(columns, ["0", "1"], title="")
