"""Files of torch: read whole from honest ones, refused from others, never run."""

import argparse
import io
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from graftgan.checkpoints import is_torch_file, read_torch_file, tensors_in
from graftgan.core.errors import CheckpointError

FORMS = {"zip": {}, "before zip": {"_use_new_zipfile_serialization": False}}


@pytest.fixture(autouse=True)
def sentinel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fail if anything in a file was run: all that is planted makes this file."""
    file = tmp_path / "was_run"
    monkeypatch.setenv("GRAFTGAN_SENTINEL", str(file))
    yield file
    assert not file.exists(), "something in the file was run"


def saved(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


class Calls:
    """Reduces to a call of anything."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Touches:
    """Makes the sentinel when its state is set."""

    def __setstate__(self, state: object) -> None:
        del state
        Path(os.environ["GRAFTGAN_SENTINEL"]).touch()

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def planted() -> dict[str, tuple[object, str]]:
    """Return objects whose unpickling would make the sentinel, and what is said of them."""
    file = os.environ["GRAFTGAN_SENTINEL"]
    code = f"open({file!r}, 'w').close()"
    system = Calls(os.system, f"touch {file}")
    return {
        "os.system": (system, r"asks for (posix|nt)\.system"),
        "eval": (Calls(eval, code), "asks for eval"),
        "exec": (Calls(exec, code), "asks for exec"),
        "subprocess": (
            Calls(subprocess.call, ["touch", file]),
            r"asks for (subprocess|commands)\.call",
        ),
        "open": (Calls(open, file, "w"), r"asks for io\.open"),
        "getattr": (Calls(getattr, Calls(__import__, "os"), "system"), "asks for "),
        "torch.load": (Calls(torch.load, io.BytesIO(b"")), "asks for "),
        "pickle.loads": (Calls(pickle.loads, pickle.dumps(system)), r"asks for _?pickle\.loads"),
        "a class": (Touches(), "asks for .*Touches"),
        "a network": (nn.Linear(1, 1), r"asks for torch\.nn\.modules\.linear\.Linear"),
        "flags of code": (argparse.Namespace(a=system), r"asks for (posix|nt)\.system"),
        "flags called": (Calls(argparse.Namespace, system), r"asks for (posix|nt)\.system"),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["alone", "beside", "within"])
@pytest.mark.parametrize("which", range(12))
def test_what_would_be_run_is_refused_by_its_name(
    tmp_path: Path, which: int, place: str, form: str
):
    thing, says = list(planted().values())[which]
    honest: dict[str, Any] = {"main.0.weight": torch.zeros(2)}
    content = {
        "alone": thing,
        "beside": {**honest, "more": thing},
        "within": {"g_ema": honest, "list": [{"deep": thing}]},
    }[place]
    file = saved(tmp_path / "x.pt", content, **FORMS[form])
    with pytest.raises(CheckpointError, match=says) as refusal:
        read_torch_file(file)
    assert "nothing in it was run" in str(refusal.value)


@pytest.mark.parametrize("form", FORMS)
def test_an_honest_file_is_read_whole(tmp_path: Path, form: str):
    tensors = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=nn.Parameter(torch.ones(2)))
    content = {"g_ema": tensors, "args": argparse.Namespace(size=16), "steps": 3}
    file = saved(tmp_path / "x.bin", content, **FORMS[form])
    assert is_torch_file(file)
    found = read_torch_file(file)
    read = tensors_in(found["g_ema"], what="it")
    assert list(read) == ["a", "b"]
    assert torch.equal(read["a"], tensors["a"])
    assert found["args"].size == 16


def test_flags_are_known_only_while_a_file_is_read(tmp_path: Path):
    read_torch_file(saved(tmp_path / "x.pt", {"args": argparse.Namespace(a=1)}))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_the_prefix_of_wrappers_is_taken_from_all_names_or_from_none(tmp_path: Path):
    one, two = torch.zeros(1), torch.ones(1)
    content = {"a": {"module.x": one, "module.y": two}, "b": {"module.x": one, "y": two}}
    found = read_torch_file(saved(tmp_path / "x.pt", content))
    assert list(found["a"]) == ["x", "y"]
    assert list(found["b"]) == ["module.x", "y"]


@pytest.mark.parametrize("content", [torch.zeros(2), [torch.zeros(2)], {1: torch.zeros(2)}, 3])
def test_a_file_without_names_is_refused(tmp_path: Path, content: object):
    with pytest.raises(CheckpointError, match="no dictionary of names"):
        read_torch_file(saved(tmp_path / "x.pt", content))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, form: str, share: float):
    file = saved(tmp_path / "x.pt", {"a": torch.zeros(1000)}, **FORMS[form])
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"x\.pt is no whole file of torch\.save"):
        read_torch_file(file)


def test_a_compressed_archive_is_refused(tmp_path: Path):
    file = saved(tmp_path / "x.pt", {"a": torch.zeros(1000)})
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CheckpointError, match="it was compressed"):
        read_torch_file(packed)


@pytest.mark.parametrize("beginning", [b"", b"\x80\x04}.", b"<html>", b"PKzip"])
def test_other_files_are_told_apart(tmp_path: Path, beginning: bytes):
    file = tmp_path / "x.pt"
    file.write_bytes(beginning)
    assert not is_torch_file(file)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"cannot read .*no\.pt"):
        is_torch_file(tmp_path / "no.pt")


@pytest.mark.parametrize("found", [3, [torch.zeros(1)], {1: torch.zeros(1)}, None])
def test_what_is_no_state_dict_is_refused(found: object):
    with pytest.raises(CheckpointError, match="no state dict"):
        tensors_in(found, what="the generator")


def test_many_things_that_are_no_tensors_are_counted():
    found = {f"n{number}": number for number in range(8)} | {"t": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"n0, n1, n2, n3, n4, n5 and 2 more"):
        tensors_in(found, what="the generator")
