"""Small files that would fill the memory or take hours end soon, in one clear error."""

import io
import pickle
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graftgan.checkpoints import read_official, read_torch_file
from graftgan.checkpoints.pickle_machine import MOST_STEPS
from graftgan.core.errors import CheckpointError
from graftgan.models.convert import import_source

SECONDS, MEGABYTES = 10, 1000
START = b"\x80\x04"


def text(words: str) -> bytes:
    encoded = words.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def bytes_of(content: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(content)) + content


def called(name: str) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode()


def storage_file(count: int, *, packed: bool = False) -> bytes:
    """Return a storage of zeros as torch saves it within a pickle, or in an archive."""
    inner = io.BytesIO()
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.UntypedStorage(4 * count), dtype=torch.float32, _internal=True
    )
    torch.save(storage, inner, _use_new_zipfile_serialization=packed)
    return inner.getvalue()


def deflated(content: bytes) -> bytes:
    smaller = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return smaller.getvalue()


def stored_as(content: bytes, *, after: bytes = b"") -> bytes:
    loaded = called("torch.storage._load_from_bytes") + bytes_of(content) + b"\x85R"
    return START + loaded + after + b"."


def transposed() -> bytes:
    """Return 1,500 transposed tensors of one storage of 4 MB."""
    one = called("torch._utils._rebuild_tensor_v2") + b"(h\x00K\x00M\xe8\x03M\xe8\x03\x86"
    one += b"K\x01M\xe8\x03\x86\x89}tR"
    return stored_as(storage_file(1_000_000), after=b"q\x00]" + 1500 * (one + b"a"))


def modules_in_modules(depth: int) -> bytes:
    begin = called("torch_utils.persistence._reconstruct_persistent_obj") + b"}(" + text("state")
    begin += b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + b"}"
    whole = b"}" + text("G_ema") + depth * (begin + text("m")) + b"N" + depth * b"suu\x85R" + b"s"
    return START + whole + b"."


MANY = 200_000
BOMBS: dict[str, bytes] = {
    "nested tuples as a key": START + b"}" + 1_000_000 * b"(" + b")" + 1_000_000 * b"t" + b"Ns.",
    "pairs of pairs as a key": START
    + b"})q\x00"
    + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))
    + b"Ns.",
    "frozen pairs in a set": START
    + b"\x8f()q\x00"
    + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))
    + b"\x90.",
    "a set of one list, 3,000 times": START
    + b"]("
    + MANY * b"K\x01"
    + b"eq\x00"
    + b"]"
    + 3000 * (called("builtins.set") + b"h\x00\x85Ra")
    + b".",
    "marks over many things": START + MANY * b"N" + MANY * b"(t" + b".",
    "a long tuple kept often": START + b"(" + MANY * b"N" + b"t" + MANY * b"q\x00" + b".",
    "names of a megabyte": START + text("a" * 1_000_000) + b"q\x000" + MANY * b"h\x00h\x00\x93",
    "texts of a megabyte as keys": START
    + b"}"
    + text("a" * 1_000_000)
    + b"q\x00"
    + MANY * b"Nsh\x00"
    + b"Ns.",
    "numbers of a megabyte": START + b"\x8b" + struct.pack("<i", 1_000_000) + 1_000_000 * b"x.",
    "bytes of one text, often": START
    + text("a" * 1_000_000)
    + b"q\x00"
    + b"]"
    + 20_000 * (called("_codecs.encode") + b"h\x00" + text("latin1") + b"\x86Ra")
    + b".",
    "many dictionaries": START + b"]" + 3 * MOST_STEPS * b"}a" + b".",
    "a call of a call": START + b"]" + MANY * (called("collections.OrderedDict") + b")\x85Ra"),
    "one storage transposed often": transposed(),
    "a storage in an archive": stored_as(storage_file(10, packed=True)),
    "a storage in a packed archive": stored_as(deflated(storage_file(10_000_000, packed=True))),
    "a storage that says it is huge": stored_as(
        storage_file(99).replace(b"Kc", b"\x8a\x06\xff\xff\xff\xff\xff\x00")
    ),
    "a storage of a terabyte": stored_as(
        storage_file(99).replace(b"KcN", b"\x8a\x06\x00\x00\x00\x00\x40\x00N")
    ),
    "modules in modules": modules_in_modules(20_000),
}


def soon(call: Callable[[], Any]) -> str:
    """Return the error of a call, which has to come soon and to take little memory."""
    begun, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as error:
        call()
    assert time.process_time() - begun < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < MEGABYTES * 1000
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_that_would_cost_too_much_is_refused(tmp_path: Path, name: str):
    file = tmp_path / "x.pkl"
    file.write_bytes(BOMBS[name])
    assert "x.pkl" in soon(lambda: import_source(file, tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("legacy", [True, False])
def test_the_same_in_a_file_of_torch(tmp_path: Path, name: str, legacy: bool):
    file = tmp_path / "x.pt"
    file.write_bytes(around(BOMBS[name], legacy=legacy))
    assert "x.pt" in soon(lambda: read_torch_file(file))


def around(content: bytes, *, legacy: bool) -> bytes:
    """Return a file of torch whose pickle is ``content``."""
    file = io.BytesIO()
    if legacy:
        torch.save({}, file, _use_new_zipfile_serialization=False)
        empty = b"\x80\x02}q\x00."
        assert file.getvalue().count(empty) == 1
        return file.getvalue().replace(empty, content)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", content)
        archive.writestr("x/byteorder", "little")
    return file.getvalue()


def test_one_dictionary_under_many_names_is_looked_at_once(tmp_path: Path):
    inner = {f"module.{number}": number for number in range(20_000)}
    file = tmp_path / "x.pt"
    torch.save({f"n{number}": inner for number in range(20_000)}, file)
    begun = time.process_time()
    found = read_torch_file(file)
    assert time.process_time() - begun < SECONDS
    assert list(found["n7"])[:2] == ["0", "1"]


def test_dictionaries_that_share_dictionaries_are_looked_at_once(tmp_path: Path):
    leaves = {f"x.{number}": {f"y.{number}": number} for number in range(600)}
    file = tmp_path / "x.pt"
    torch.save({f"n{number}": dict(leaves) for number in range(600)}, file)
    message = soon(lambda: import_source(file, tmp_path / "x"))
    assert "has an unknown layout; its first names are n0, n1" in message


@pytest.mark.parametrize("where", ["central", "local", "cut", "end", "packed", "wide"])
def test_damaged_archives_are_refused(tmp_path: Path, where: str):
    file = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(1000)}, file)
    whole = bytearray(file.read_bytes())
    central = whole.index(b"PK\x01\x02")  # of the pickle
    if where == "central":
        whole[central + 42 : central + 46] = b"\xff\xff\xff\x7f"
    elif where == "local":
        whole[whole.index(b"x/data/0") - 30] = 0
    elif where == "cut":
        del whole[1000:3000]
    elif where == "end":
        whole[-22:] = bytes(22)
    elif where == "packed":
        whole[central + 10] = 8
    else:
        at = whole.rindex(b"PK\x06\x06")
        whole[at + 40 : at + 48] = struct.pack("<Q", 1 << 40)
    file.write_bytes(whole)
    assert "x.pt" in soon(lambda: tensors_used(read_torch_file(file)))


def tensors_used(content: dict[str, Any]) -> None:
    """Touch every number."""
    for tensor in content.values():
        float(tensor.double().sum())


def test_texts_of_a_file_cannot_act_on_a_terminal(tmp_path: Path):
    file = tmp_path / "e.pkl"
    file.write_bytes(b"\x80\x04c\x1b]0;PWNED\x07\x1b[2J\nx\n.")
    assert r"asks for \x1b]0;PWNED\x07" in soon(lambda: read_official(file))
    file.write_bytes(START + b"X\x03\x00\x00\x00\xed\xa0\x80X\x01\x00\x00\x00x\x93.")
    assert r"\ud800" in soon(lambda: read_official(file))


KINDS = {
    "float64": torch.randn(3, 2, dtype=torch.float64),
    "float16": torch.randn(5).half(),
    "bfloat16": torch.randn(5).bfloat16(),
    "int64": torch.arange(5),
    "uint8": torch.arange(3, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "a number": torch.tensor(3.5),
    "nothing": torch.zeros(0, 3),
    "transposed": torch.randn(3, 4).t(),
    "part": torch.randn(10)[3:7],
    "complex": torch.randn(3, dtype=torch.complex64),
    "parameter": torch.nn.Parameter(torch.randn(2)),
}


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_saves_is_what_is_read(tmp_path: Path, legacy: bool, protocol: int):
    marked = torch.nn.Parameter(torch.ones(3))
    marked.learning_rate = 0.1  # type: ignore[attr-defined]
    module = torch.nn.BatchNorm2d(2)
    content: dict[str, Any] = {
        **KINDS,
        "marked": marked,
        "shared": KINDS["float64"].view(6),
        "state": module.state_dict(),
        "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
        "numbers": [1, 2**60, -3, 0.5, None, True, (1, 2), {"a"}, b"x"],
    }
    file = tmp_path / "x.pt"
    torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    read = read_torch_file(file)
    assert read.keys() == content.keys()
    for name, tensor in {**KINDS, "marked": marked, **module.state_dict()}.items():
        found = read[name] if name in read else read["state"][name]
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor.detach()), name
    assert read["numbers"] == content["numbers"]
    assert read["optimizer"] == content["optimizer"]
    assert read["shared"].data_ptr() == read["float64"].data_ptr()
    assert read["transposed"].stride() == content["transposed"].stride()


def test_unusual_tensors_are_left_aside(tmp_path: Path):
    content = {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "spread": torch.zeros(1).expand(5),
        "size": torch.Size([1, 2]),
        "type": torch.float16,
        "place": torch.device("cpu"),
        "usual": torch.ones(2),
    }
    for legacy in (False, True):
        file = tmp_path / f"{legacy}.pt"
        torch.save(content, file, _use_new_zipfile_serialization=not legacy)
        read = read_torch_file(file)
        assert torch.equal(read["usual"], torch.ones(2))
        others = [read[name] for name in content if name != "usual"]
        assert not any(isinstance(other, torch.Tensor) for other in others)


def test_a_plain_pickle_of_python_still_has_what_it_holds(tmp_path: Path):
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="holds no network"):
        read_official(file)
