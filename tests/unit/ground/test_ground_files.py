"""Files and folders that appear whole or not at all."""

import errno
import json
import os
from pathlib import Path

import pytest

from graftgan.errors import RunError, SourceError
from graftgan.files import (
    parse_json,
    read_json,
    read_jsonl,
    remove_partial,
    write_json,
    write_text,
    written_whole,
)
from hostile_json import RAW


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*"))


def test_a_file_and_a_folder_appear_with_their_parents(tmp_path: Path):
    write_text(tmp_path / "a" / "b" / "x.txt", "grün\n")
    assert (tmp_path / "a" / "b" / "x.txt").read_text(encoding="utf-8") == "grün\n"
    with written_whole(tmp_path / "folder") as partial:
        assert not (tmp_path / "folder").exists()
        assert partial.parent == tmp_path, "a rename is only whole within one file system"
        partial.mkdir()
        (partial / "inside").write_text("1")
    assert names(tmp_path) == ["a", "b", "folder", "inside", "x.txt"]


def write(place: Path, kind: str, content: str, error: BaseException | None = None) -> None:
    """Write a file, or a folder with one file of that name; then raise ``error``."""
    with written_whole(place) as partial:
        if kind == "file":
            partial.write_text(content)
        else:
            partial.mkdir()
            (partial / content).write_text(content)
        if error is not None:
            raise error


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=repr
)
def test_an_error_inside_leaves_the_old_file(tmp_path: Path, error: BaseException):
    write_text(tmp_path / "x", "old")
    wanted = RunError if isinstance(error, OSError) else type(error)
    with pytest.raises(wanted):
        write(tmp_path / "x", "file", "half", error)
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_an_error_inside_leaves_the_old_folder(tmp_path: Path):
    for content in ("old", "new"):
        write(tmp_path / "d", "folder", content)
    assert names(tmp_path) == ["d", "new"], "a folder is replaced, not merged"
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "d", "folder", "half", ZeroDivisionError())
    assert names(tmp_path) == ["d", "new"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failing_rename_leaves_the_old_one(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "x"
    write(place, kind, "old")
    before = names(tmp_path)
    original = os.replace

    def refuse(source: str | Path, target: str | Path) -> None:
        if Path(target) == place and not str(source).endswith("-old"):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RunError, match="x: No space left on device; free some space"):
        write(place, kind, "new")
    assert names(tmp_path) == before


def test_a_full_disk_while_writing_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, *arguments: object, **named: object) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunError, match="free some space"):
        write_json(tmp_path / "x.json", {})
    assert names(tmp_path) == []


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write_text(tmp_path / "file" / "x", "")
    with pytest.raises(RunError, match="cannot write"), written_whole(tmp_path / "never made"):
        pass


def test_only_what_killed_writers_left_is_removed(tmp_path: Path):
    (tmp_path / ".a.partial-99").write_text("")
    (tmp_path / ".b.partial-99").mkdir()
    (tmp_path / ".b.partial-99" / "x").write_text("")
    for mine in (".hidden", "a.partial-99", "kept"):
        (tmp_path / mine).write_text("")
    remove_partial(tmp_path)
    assert names(tmp_path) == [".hidden", "a.partial-99", "kept"]
    remove_partial(tmp_path / "nowhere")


def test_json_there_and_back(tmp_path: Path):
    data = {"ü": [1, 2.5, None, True], "z": {"a": "b"}}
    write_json(tmp_path / "x.json", data)
    assert read_json(tmp_path / "x.json", error=SourceError) == data
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == data
    assert "ü" in (tmp_path / "x.json").read_text(encoding="utf-8")
    (tmp_path / "bad.json").write_text("{")
    for path, message in (("bad.json", "cannot read"), ("none.json", "there is no file")):
        with pytest.raises(SourceError, match=message):
            read_json(tmp_path / path, error=SourceError)


@pytest.mark.parametrize("content", RAW.values(), ids=RAW)
def test_hostile_json_is_refused_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    if content.startswith(b"[1"):
        assert read_json(path, error=SourceError) == [1, 2, 3]
        return
    with pytest.raises(SourceError, match=r"cannot read .*x\.json: .*; restore it") as caught:
        read_json(path, error=SourceError)
    assert len(str(caught.value)) < 400
    (tmp_path / "x.jsonl").write_bytes(content.replace(b"\n", b" ") + b'\n{"fine": 1}\n')
    assert read_jsonl(tmp_path / "x.jsonl") == [{"fine": 1}]


def test_a_byte_order_mark_is_no_damage(tmp_path: Path):
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "x.json", error=SourceError) == [1]


def test_a_key_that_stands_twice_is_named():
    with pytest.raises(ValueError, match=r"the key 'a\\x1b' twice"):
        parse_json('{"a\\u001b": 1, "b": 2, "a\\u001b": 3}')
