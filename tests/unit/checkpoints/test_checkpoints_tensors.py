"""Fingerprints, receipts and safetensors files."""

import json
import pickle
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file
from torch import nn

from graftgan.checkpoints import copy_matching, fingerprint, load_note, load_tensors, save_tensors
from graftgan.core.errors import CheckpointError
from tiny_networks import assert_same_tensors


def sample() -> dict[str, torch.Tensor]:
    return {
        "a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "b": torch.tensor(5),
        "c": torch.tensor([True, False]),
        "empty": torch.zeros(0),
    }


def test_a_fingerprint_is_that_of_the_bytes():
    """Computed once with hashlib alone, from the documented name:type:shape;bytes layout."""
    import hashlib

    digest = hashlib.sha256()
    digest.update(b"a:torch.float32:(2, 2);" + struct.pack("<4f", 1, 2, 3, 4))
    digest.update(b"b:torch.int64:();" + struct.pack("<q", 5))
    digest.update(b"c:torch.bool:(2,);" + bytes([1, 0]))
    digest.update(b"empty:torch.float32:(0,);")
    assert fingerprint(sample()) == digest.hexdigest()


def test_a_fingerprint_ignores_order_and_memory_layout():
    tensors = sample()
    assert fingerprint(dict(reversed(tensors.items()))) == fingerprint(tensors)
    image = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    other = image.to(memory_format=torch.channels_last)
    assert other.stride() != image.stride()
    assert fingerprint({"x": image}) == fingerprint({"x": other})


def test_a_file_is_what_the_library_reads(tmp_path: Path):
    kinds = (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
    rng = torch.Generator().manual_seed(0)
    wanted = {
        f"{number}.{kind}": (10 * torch.rand(3, 1, 5, generator=rng)).to(kind)
        for number, kind in enumerate(reversed(kinds))
    }
    wanted |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    wanted["transposed"] = torch.arange(6.0).view(2, 3).T
    wanted["channels last"] = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    path = tmp_path / "all.safetensors"
    save_tensors(path, wanted, note={"name": "ü"})
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(wanted)
        assert json.loads(file.metadata()["graftgan"]) == {"name": "ü"}
    found = load_file(path)
    assert_same_tensors(found, wanted)
    assert all(found[name].dtype == tensor.dtype for name, tensor in wanted.items())
    assert_same_tensors(load(path.read_bytes()), wanted)


def test_saving_copies_nothing_but_what_lies_otherwise(tmp_path: Path):
    """Memory of the operating system is hard to pin down; that of Python's own is exact."""
    tensors = {"a": torch.zeros(2**20), "b": torch.zeros(2**20)}
    tracemalloc.start()
    save_tensors(tmp_path / "large.safetensors", tensors)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20, "a quarter of one of them"


def one_bit(tensor: torch.Tensor) -> torch.Tensor:
    flipped = tensor.clone()
    flipped.view(-1).view(torch.uint8)[0] ^= 1
    return flipped


@pytest.mark.parametrize(
    "changed",
    [
        {**sample(), "a": one_bit(sample()["a"])},
        {**sample(), "a": sample()["a"].view(4)},
        {**sample(), "a": sample()["a"].t()},
        {**sample(), "a": sample()["a"].half()},
        {**sample(), "b": torch.tensor(6)},
        {**sample(), "d": torch.zeros(1)},
        {n: t for n, t in sample().items() if n != "empty"},
        {("z" if n == "a" else n): t for n, t in sample().items()},
    ],
    ids=["bit", "shape", "transposed", "type", "value", "more", "less", "name"],
)
def test_a_fingerprint_notices(changed: dict[str, torch.Tensor]):
    assert fingerprint(changed) != fingerprint(sample())


def test_tensors_and_note_come_back(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    tensors = sample()
    tensors["strided"] = torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)
    save_tensors(path, tensors, note={"iteration": 3, "name": "größe"})
    assert_same_tensors(tensors, load_tensors(path))
    assert load_note(path) == {"iteration": 3, "name": "größe"}


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int):
    path = tmp_path / "x.safetensors"
    save_tensors(path, sample())
    path.write_bytes(path.read_bytes()[:keep])
    for read in (load_tensors, load_note):
        with pytest.raises(CheckpointError, match=r"x\.safetensors"):
            read(path)


def test_a_pickle_in_disguise_is_refused_unopened(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    path = tmp_path / "x.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    for read in (load_tensors, load_note):
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            read(path)
    torch.save({"a": torch.zeros(3), "trap": Trap()}, path)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_tensors(path)
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "executed").exists(), "the trap must work, or the test shows nothing"


def test_missing_files_folders_and_foreign_files(tmp_path: Path):
    for read in (load_tensors, load_note):
        with pytest.raises(CheckpointError, match="there is no weight file"):
            read(tmp_path / "none.safetensors")
        with pytest.raises(CheckpointError):
            read(tmp_path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="another program"):
        load_note(tmp_path / "foreign.safetensors")


def module() -> nn.Module:
    made = nn.Module()
    made.kept = nn.Parameter(torch.zeros(2, 3))
    made.fresh = nn.Parameter(torch.full((2,), 7.0))
    made.misfit = nn.Parameter(torch.full((4,), 9.0))
    made.register_buffer("count", torch.tensor(1))
    return made


def test_a_receipt_lists_what_became_of_every_tensor():
    target = module()
    receipt = copy_matching(
        target,
        {
            "kept": torch.full((2, 3), 2.5, dtype=torch.float16),
            "misfit": torch.ones(1),  # would broadcast
            "unexpected": torch.ones(2),
            "count": torch.tensor(5),
        },
    )
    assert receipt.kept == ("kept", "count")
    assert receipt.fresh == ("fresh",)
    assert receipt.unexpected == ("unexpected",)
    assert receipt.misfit == ("misfit: (1,) in the file, (4,) expected",)
    assert (target.kept == 2.5).all()
    assert (target.fresh == 7).all()
    assert (target.misfit == 9).all(), "a [1] was broadcast into a [4]"
    assert target.count == 5
    assert str(receipt) == "2 kept, 1 fresh, 1 unexpected, 1 of another shape"
    with pytest.raises(CheckpointError) as caught:
        receipt.require_complete(what="the file")
    for word in ("the file", "fresh is missing", "unexpected has no place", "misfit: (1,)"):
        assert word in str(caught.value)


def test_a_complete_load_is_accepted_and_long_lists_are_cut():
    target = module()
    copy_matching(target, module().state_dict()).require_complete(what="itself")
    receipt = copy_matching(target, {f"x{i}": torch.zeros(1) for i in range(10)})
    with pytest.raises(CheckpointError, match="and 8 more"):
        receipt.require_complete(what="the file")


@pytest.mark.parametrize("kind", ["\x1b[2J", "x" * 9_000], ids=["control", "long"])
def test_what_a_header_says_reaches_the_message_as_one_short_line(tmp_path: Path, kind: str):
    entry = {"dtype": kind, "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"w": entry}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    for read in (load_tensors, load_note):
        with pytest.raises(CheckpointError, match="not a whole safetensors file") as caught:
            read(tmp_path / "x.safetensors")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400 + len(str(tmp_path))
