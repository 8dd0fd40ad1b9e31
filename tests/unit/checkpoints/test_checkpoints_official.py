"""Official pickles: read whole from honest files, refused from others, never run."""

import gc
import io
import os
import pickle
import struct
import subprocess
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from graftgan.checkpoints import read_official
from graftgan.core.errors import CheckpointError
from official_pickles import Stored, stored, write_official

TENSORS = {
    "mapping.fc0.weight": torch.arange(12.0).reshape(3, 4),
    "mapping.frozen_w_avg": torch.zeros(4),
    "frozen_steps": torch.tensor([7]),
    "synthesis.b4.conv1.bias": torch.randn(5, generator=torch.Generator().manual_seed(0)),
}


@pytest.fixture(autouse=True)
def sentinel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fail if anything in a file was run: all that is planted makes this file."""
    file = tmp_path / "was_run"
    monkeypatch.setenv("GRAFTGAN_SENTINEL", str(file))
    monkeypatch.chdir(tmp_path)
    yield file
    assert not file.exists(), "something in the file was run"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_an_honest_file_is_read_whole(tmp_path: Path, protocol: int):
    network = stored(TENSORS, z_dim=4, mapping_kwargs={"num_layers": 2}, seed=np.float64(1.0))
    file = write_official(
        tmp_path / "x.pkl", {"G": None, "D": network, "G_ema": network}, protocol=protocol
    )
    found = read_official(file)
    assert set(found) == {"D", "G_ema"}
    read = found["G_ema"]
    assert read.class_name == "Generator"
    assert read.settings["mapping_kwargs"] == {"num_layers": 2}
    expected = {name.replace("frozen_", ""): tensor for name, tensor in TENSORS.items()}
    assert read.tensors.keys() == expected.keys()
    assert all(torch.equal(read.tensors[name], expected[name]) for name in expected)
    assert all(read.tensors[name].dtype == expected[name].dtype for name in expected)


def test_nothing_of_a_file_stays_in_memory(tmp_path: Path):
    file = write_official(tmp_path / "x.pkl", {"G_ema": stored(TENSORS, z_dim=4)})
    gc.disable()  # a cycle would keep hundreds of megabytes until it ran
    try:
        found = read_official(file)
        left = weakref.ref(found["G_ema"].tensors["mapping.fc0.weight"])
        assert left() is not None
        del found
        assert left() is None
    finally:
        gc.enable()


class Calls:
    """Reduces to a call of anything."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def touch() -> str:
    return f"touch {os.environ['GRAFTGAN_SENTINEL']}"


def planted() -> dict[str, object]:
    """Return objects whose unpickling would make the sentinel."""
    code = f"open({os.environ['GRAFTGAN_SENTINEL']!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, touch()),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "subprocess": Calls(subprocess.call, ["touch", os.environ["GRAFTGAN_SENTINEL"]]),
        "open": Calls(open, os.environ["GRAFTGAN_SENTINEL"], "w"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "import": Calls(__import__, "os"),
        "map": Calls(map, os.system, (touch(),)),
        "torch.load": Calls(torch.load, io.BytesIO(b"")),
        "pickle.loads": Calls(pickle.loads, pickle.dumps(Calls(os.system, touch()))),
        "nested": Calls(list, (Calls(os.system, touch()),)),
        "numpy.load": Calls(np.load, "x.npy", None, True),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("place", ["beside", "settings", "state", "alone"])
@pytest.mark.parametrize("which", range(12))
def test_what_would_be_run_is_refused_by_its_name(
    tmp_path: Path, which: int, place: str, protocol: int
):
    thing = list(planted().values())[which]
    honest = stored(TENSORS, z_dim=4)
    if place == "settings":
        honest.meta["state"]["_init_kwargs"]["z_dim"] = thing
    elif place == "state":
        honest.meta["state"]["more"] = thing
    networks = {"G_ema": thing if place == "alone" else honest, "D": honest}
    if place == "beside":
        networks["other"] = thing
    file = write_official(tmp_path / "x.pkl", networks, protocol=protocol)
    with pytest.raises(CheckpointError, match=r"asks for .*which no network needs; nothing"):
        read_official(file)


def test_a_storage_that_is_a_pickle_itself_is_read_as_weights_alone(tmp_path: Path):
    inner = io.BytesIO()
    torch.save(Calls(os.system, touch()), inner, _use_new_zipfile_serialization=False)
    honest = stored(TENSORS, z_dim=4)
    honest.meta["state"]["more"] = Calls(torch.storage._load_from_bytes, inner.getvalue())
    file = write_official(tmp_path / "x.pkl", {"G_ema": honest})
    with pytest.raises(CheckpointError, match=r"asks for (posix|nt)\.system.*nothing in it"):
        read_official(file)


@pytest.mark.parametrize(
    ("begin", "says"),
    [
        (b"\x1f\x8b\x08\x00", r"is packed with gzip; unpack it first"),
        (b"\n<!DOCTYPE html><html>", r"is a web page, not the file itself; download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", r"git lfs pull"),
    ],
)
def test_what_is_taken_for_a_pickle_is_named(tmp_path: Path, begin: bytes, says: str):
    (tmp_path / "x.pkl").write_bytes(begin + bytes(100))
    with pytest.raises(CheckpointError, match=says):
        read_official(tmp_path / "x.pkl")


RAW = {
    "empty": b"",
    "a stop alone": b"\x80\x04.",
    "text": b"<html>not found</html>",
    "a zip": b"PK\x03\x04" + bytes(40),
    "bytes longer than the file": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x",
    "bytes of impossible length": b"\x80\x04\x8e" + b"\xff" * 8,
    "a number longer than the file": b"\x80\x04\x8b" + struct.pack("<i", 2**30) + b"x",
    "a memo of huge index": b"\x80\x04]r\xff\xff\xff\x7f0.",
    "a memo never set": b"\x80\x04h\x07.",
    "a mark never closed": b"\x80\x04(((((.",
    "items without a mark": b"\x80\x04}u.",
    "items for a list": b"\x80\x04](K\x01K\x02u.",
    "a call of a text": b"\x80\x04\x8c\x01x)R.",
    "a call without arguments": b"\x80\x04ccollections\nOrderedDict\nK\x01R.",
    "a state for a dictionary": b"\x80\x04}}b.",
    "a state for a name": b"\x80\x04ccollections\nOrderedDict\n}b.",
    "an instance of old": b"(ios\nsystem\n.",
    "an object of old": b"(cos\nsystem\no.",
    "an extension": b"\x80\x04\x82\x01.",
    "a persistent id": b"Ptouch\n.",
    "a name of three parts": b"\x80\x04\x8c\x02os\x8c\x0bpath.system\x93.",
    "a name in a name": b"\x80\x04\x8c\x08builtins\x8c\x0c__import__.x\x93.",
    "huge bytes from a number": b"\x80\x02c__builtin__\nbytes\n(J\xff\xff\xff\x7ftR.",
    "an unknown instruction": b"\x80\x04\xff.",
    "no stop": b"\x80\x04}",
}


@pytest.mark.parametrize("name", RAW)
def test_damaged_and_crafted_files_are_refused(tmp_path: Path, name: str):
    file = tmp_path / "x.pkl"
    file.write_bytes(RAW[name])
    with pytest.raises(CheckpointError, match=r"x\.pkl"):
        read_official(file)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.95, 0.999])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, share: float):
    file = write_official(tmp_path / "x.pkl", {"G_ema": stored(TENSORS, z_dim=4)})
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="is no StyleGAN pickle, or is damaged"):
        read_official(file)


def test_large_bytes_are_not_there_twice(tmp_path: Path):
    content = bytes(5000)
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps([content, content]))
    with pytest.raises(CheckpointError, match="uses the bytes of a storage twice"):
        read_official(file)


def rebuilt(storage: torch.Tensor, offset: int, size: tuple, stride: tuple) -> Calls:
    held = torch.storage.TypedStorage(
        wrap_storage=storage.untyped_storage(), dtype=storage.dtype, _internal=True
    )
    return Calls(torch._utils._rebuild_tensor_v2, held, offset, size, stride, False, {})


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (9,), (1,)),
        (3, (4,), (1,)),
        (0, (2, 3), (4, 2)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (10**12,), (0,)),
        (0, (2, 2), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path, offset, size, stride):
    honest = stored(TENSORS, z_dim=4)
    honest.meta["state"]["_buffers"]["bad"] = rebuilt(torch.zeros(6), offset, size, stride)
    file = write_official(tmp_path / "x.pkl", {"G_ema": honest})
    with pytest.raises(CheckpointError, match="a tensor"):
        read_official(file)


def test_a_module_that_holds_itself_ends(tmp_path: Path):
    network = Stored("Generator", {})
    shared = stored({"a": torch.zeros(1)})
    state = stored({"a.b": torch.zeros(1)}, z_dim=1).meta["state"]
    state["_modules"].update(first=shared, again=shared)
    network.meta["state"] = state
    file = write_official(tmp_path / "x.pkl", {"G_ema": network})
    with pytest.raises(CheckpointError, match="a part that is there twice"):
        read_official(file)


@pytest.mark.parametrize(
    ("kind", "name", "thing", "says"),
    [
        ("_parameters", "w_avg", torch.ones(4), "the name mapping.w_avg is there twice"),
        ("_buffers", "fc0.weight", torch.ones(3), "the name mapping.fc0.weight is there twice"),
        ("_buffers", "scale", 3.0, "a tensor scale that is none"),
        ("_parameters", "scale", torch.ones(2, dtype=torch.complex64), "of complex numbers"),
        ("_modules", "norm", 3.0, "a part mapping.norm that is none"),
    ],
)
def test_what_a_network_would_not_hold_is_refused(
    tmp_path: Path, kind: str, name: str, thing: object, says: str
):
    honest = stored(TENSORS, z_dim=4)
    honest.meta["state"]["_modules"]["mapping"].meta["state"][kind][name] = thing
    file = write_official(tmp_path / "x.pkl", {"G_ema": honest})
    with pytest.raises(CheckpointError, match=says):
        read_official(file)


def test_short_arrays_are_read(tmp_path: Path):
    kept = {"": {"size": np.broadcast_to(np.asarray(36), [2]), "large": np.zeros(99)}}
    file = write_official(tmp_path / "x.pkl", {"G_ema": stored(TENSORS, kept=kept)})
    attributes = read_official(file)["G_ema"].layers[""].attributes
    assert attributes["size"] == [36, 36]
    assert attributes["large"] == []


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"cannot read .*no\.pkl"):
        read_official(tmp_path / "no.pkl")
