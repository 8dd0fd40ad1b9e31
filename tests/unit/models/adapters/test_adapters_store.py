"""Adapter files: half precision, what a damaged one says, and how they are found."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import save_file

from graftgan.checkpoints import SourceCard, checksum, load_note, save_source
from graftgan.core.errors import CheckpointError, PlanError, RunError, SettingsError
from graftgan.models.adapters import listing
from graftgan.models.adapters.adapter import (
    Adapter,
    load_adapter,
    save_adapter,
    save_adapter_of_run,
)
from graftgan.models.adapters.bank import AdapterBank
from graftgan.models.adapters.listing import ListedAdapter, adapter_size, list_adapters
from graftgan.networks.backbone import build_pair
from graftgan.networks.sampling import generate
from hostile_json import RAW, as_bytes, damaged
from tiny_adapters import PLANS, saved_adapter, saved_source, tiny_source, trained
from tiny_networks import latents, tiny_architecture


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def test_an_adapter_comes_back_as_it_was(tmp_path: Path):
    _, adapter = trained(tiny_source(), PLANS["mixed"])
    save_adapter(adapter, tmp_path / "a.safetensors")
    again = load_adapter(tmp_path / "a.safetensors")
    assert again.note == adapter.note
    assert again.tensors.keys() == adapter.tensors.keys()
    assert all(torch.equal(again.tensors[n], adapter.tensors[n]) for n in again.tensors)
    assert again.precision == "float32"


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_half_an_adapter_draws_nearly_the_same_pictures(plan: str, tmp_path: Path):
    source = tiny_source()
    _, adapter = trained(source, plan)
    save_adapter(adapter, tmp_path / "full.safetensors")
    save_adapter_of_run(tmp_path / "full.safetensors", tmp_path / "half.safetensors", half=True)
    half = load_adapter(tmp_path / "half.safetensors")
    assert half.precision == "float16"
    assert all(
        t.dtype == (torch.float16 if t.is_floating_point() else torch.int64)
        for t in half.tensors.values()
    )
    bank = AdapterBank(source)
    bank.add("full", adapter)
    bank.add("half", half)
    assert all(t.dtype != torch.float16 for t in bank.generator("half").state_dict().values())
    pictures = [generate(bank.generator(name), latents(8, 8)).int() for name in ("full", "half")]
    assert (pictures[0] - pictures[1]).abs().max() <= 2  # of 255 levels
    # The same adapter in half precision twice changes nothing further.
    assert all(torch.equal(t, half.in_half().tensors[n]) for n, t in half.tensors.items())


def test_what_does_not_fit_in_half_precision_stays_whole():
    _, adapter = trained(tiny_source(), "adafm")
    first, second, *_ = (n for n, t in adapter.tensors.items() if t.is_floating_point())
    large = adapter.tensors[first].clone().fill_(1e5)
    half = Adapter(adapter.note, {**adapter.tensors, first: large}).in_half()
    assert torch.equal(half.tensors[first], large)
    assert half.tensors[second].dtype == torch.float16
    assert half.precision == "float16, float32"


def test_an_adapter_is_saved_only_where_nothing_stands(tmp_path: Path):
    saved_source(tmp_path / "base")
    a = saved_adapter(tmp_path / "a", tmp_path / "base")
    with pytest.raises(SettingsError, match="must end in"):
        save_adapter_of_run(a, tmp_path / "a.bin")
    with pytest.raises(RunError, match="exists already"):
        save_adapter_of_run(a, a / "adapter.safetensors")
    with pytest.raises(SettingsError, match="give its run folder"):
        save_adapter_of_run(a / "adapter.safetensors", tmp_path / "b.safetensors", iteration=3)
    with pytest.raises(RunError, match="not a run folder"):
        save_adapter_of_run(a, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def write_note(path: Path, note: object) -> Path:
    text = note if isinstance(note, str) else json.dumps(note)
    save_file({"x": torch.zeros(1)}, path, metadata={"graftgan": text})
    return path


def whole_note(**changes: object) -> dict[str, object]:
    _, adapter = trained(tiny_source(), "adafm")
    note = {name: getattr(adapter.note, name) for name in adapter.note.__slots__}
    note["architecture"] = adapter.note.architecture.as_dict()
    stated = checksum({"x": torch.zeros(1)})
    return {"kind": "adapter", "format": 1, "checksum": stated, **note, **changes}


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ("{", "note of .* is damaged"),
        ("[]", "no JSON object"),
        ({"kind": "source"}, "not an adapter"),
        (whole_note(format=9), "not an adapter of format 1"),
        (whole_note(plan=5), "damaged: its note: plan"),
        (whole_note(iteration="many"), "damaged: its note: iteration"),
        (whole_note(architecture={"backbone": "dcgan"}), r"damaged: .*resolution"),
        (whole_note(more=1), "damaged: .*more"),
    ],
)
def test_a_damaged_note_is_explained(note: object, says: str, tmp_path: Path):
    with pytest.raises(CheckpointError, match=says):
        load_adapter(write_note(tmp_path / "a.safetensors", note))


def test_a_file_that_is_cut_short_or_missing_is_explained(tmp_path: Path):
    saved_source(tmp_path / "base")
    whole = (saved_adapter(tmp_path / "a", tmp_path / "base") / "adapter.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-10])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_adapter(tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match="a transfer writes it"):
        load_adapter(tmp_path / "base")


@pytest.mark.parametrize("where", [-1, -40])
def test_an_adapter_with_a_flipped_bit_is_refused(tmp_path: Path, where: int):
    saved_source(tmp_path / "base")
    path = saved_adapter(tmp_path / "a", tmp_path / "base") / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="is damaged: its tensors are not as they were"):
        load_adapter(path)


def test_the_list_shows_every_adapter_and_what_is_wrong_with_it(tmp_path: Path):
    saved_source(tmp_path / "base")
    saved_source(tmp_path / "changed")
    runs = tmp_path / "runs"
    a = saved_adapter(runs / "a", tmp_path / "base") / "adapter.safetensors"
    b = saved_adapter(runs / "deep" / "b", tmp_path / "changed") / "adapter.safetensors"
    kept = runs / "kept.safetensors"
    save_adapter_of_run(a, kept, half=True)
    damaged = runs / "c" / "adapter.safetensors"
    damaged.parent.mkdir()
    damaged.write_bytes(b"junk")
    wrong_plan = runs / "wrong_plan.safetensors"
    save_adapter(Adapter(replace(load_adapter(a).note, plan="D(9,9,9)"), {}), wrong_plan)
    saved_adapter(runs / ".hidden", tmp_path / "base")
    (tmp_path / "changed").rename(tmp_path / "gone")
    (runs / "other.safetensors").write_bytes(b"not an adapter at all")

    found = list_adapters([runs])
    assert set(found) == {a, b, kept, damaged, wrong_plan}
    states = {p: f.base_state for p, f in found.items() if isinstance(f, ListedAdapter)}
    assert states == {a: "here", b: "not found", kept: "here"}
    assert isinstance(found[damaged], CheckpointError)
    assert isinstance(found[wrong_plan], PlanError)
    listed = found[kept]
    assert isinstance(listed, ListedAdapter)
    assert (listed.precision, listed.file_bytes) == ("float16", kept.stat().st_size)

    saved_source(tmp_path / "changed", seed=9)
    (state,) = list_adapters([b]).values()
    assert isinstance(state, ListedAdapter)
    assert state.base_state == "another"


def test_an_adafm_adapter_is_under_fifteen_percent_of_the_pair(tmp_path: Path):
    architecture = tiny_architecture(resolution=64, width=32, latent_size=100)
    size = adapter_size("adafm", architecture)
    card = SourceCard(name="base", architecture=architecture)
    save_source(tmp_path / "base", build_pair(architecture), card)
    pair_bytes = folder_bytes(tmp_path / "base")
    assert size.pair_bytes == pytest.approx(pair_bytes, rel=0.01)

    saved_adapter(tmp_path / "run", tmp_path / "base")
    file = tmp_path / "run" / "adapter.safetensors"
    assert size.full_bytes == pytest.approx(file.stat().st_size, rel=0.02)
    assert file.stat().st_size < 0.15 * pair_bytes
    save_adapter_of_run(file, tmp_path / "half.safetensors", half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.075 * pair_bytes


def test_sizes_count_what_the_plan_trains():
    architecture = tiny_architecture()
    whole = adapter_size("fine_tune", architecture)
    assert whole.trained_share == 1
    assert whole.full_bytes == whole.pair_bytes
    frozen = adapter_size("D(3,0,1) G(1,2,1)", architecture)
    assert frozen.trainable < whole.trainable
    assert frozen.full_bytes < frozen.pair_bytes


def test_a_damaged_or_hostile_note_is_one_clear_error(tmp_path: Path):
    saved_source(tmp_path / "base")
    whole = saved_adapter(tmp_path / "a", tmp_path / "base") / "adapter.safetensors"
    path, note = tmp_path / "x.safetensors", load_note(whole)
    refused: dict[str, str] = {}
    for what, changed in damaged(note):
        save_file({"a": torch.zeros(1)}, path, metadata={"graftgan": as_bytes(changed).decode()})
        try:
            load_adapter(path)
        except CheckpointError as error:
            refused[what] = str(error)
    assert len(refused) >= 100
    for what, message in refused.items():
        assert str(path) in message, what
        assert message.isprintable(), what
        assert len(message) < 3000, what
    for what in ("cut", "nothing", "not an object", "deep", "a key twice", "thousands of digits"):
        save_file({"a": torch.zeros(1)}, path, metadata={"graftgan": RAW[what].decode()})
        with pytest.raises(CheckpointError, match=r"x\.safetensors"):
            load_adapter(path)
        assert list(list_adapters([path])) == [path]


def test_networks_too_large_for_the_memory_are_an_error_of_the_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _, adapter = trained(tiny_source(), PLANS["mixed"])
    save_adapter(adapter, tmp_path / "a.safetensors")

    def torch_says(_: object) -> NoReturn:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2 TB")

    monkeypatch.setattr(listing, "blank_pair", torch_says)
    (found,) = list_adapters([tmp_path]).values()
    assert isinstance(found, CheckpointError)
    assert "take more memory than there is" in str(found)
