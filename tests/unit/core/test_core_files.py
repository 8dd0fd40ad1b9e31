"""Files and folders that appear whole or not at all."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graftgan.core import files
from graftgan.core.errors import RunError, SettingsError, SourceError
from graftgan.core.files import (
    FileLock,
    append_jsonl,
    append_text,
    parse_json,
    read_json,
    read_jsonl,
    read_sealed,
    remove_partial,
    remove_whole,
    write_json,
    write_sealed,
    write_text,
    written_whole,
)
from graftgan.core.settings import read_toml
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


def write(
    place: Path,
    kind: str,
    content: str,
    error: BaseException | None = None,
    *,
    replace: bool = True,
) -> None:
    """Write a file, or a folder with one file of that name; then raise ``error``."""
    with written_whole(place, replace=replace) as partial:
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


def test_a_file_does_not_replace_a_folder(tmp_path: Path):
    write(tmp_path / "x", "folder", "precious")
    with pytest.raises(RunError, match=r"cannot write .*x: there is a folder of this name"):
        write(tmp_path / "x", "file", "new")
    assert names(tmp_path) == ["precious", "x"]


def make_endless(path: Path, what: str) -> None:
    """Put something there whose reader would wait for ever or fill the memory."""
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(3 << 30)


@pytest.mark.parametrize("what", ["pipe", "device", "sparse"])
@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_json(path, error=RunError),
        read_jsonl,
        read_toml,
        lambda path: read_sealed(path, error=RunError, advice="restore it"),
    ],
)
def test_what_is_endless_is_not_read(tmp_path: Path, read: Callable[[Path], object], what: str):
    make_endless(tmp_path / "x", what)
    says = "it is larger than 128 MB" if what == "sparse" else "it is a pipe or a device"
    with pytest.raises((RunError, SettingsError), match=rf"cannot read .*x: {says}"):
        read(tmp_path / "x")


@pytest.mark.parametrize("what", ["pipe", "device", "link"])
def test_nothing_is_appended_elsewhere(tmp_path: Path, what: str):
    target = tmp_path / "target"
    target.write_text("precious")
    if what == "link":
        (tmp_path / "x").symlink_to(target)
    else:
        make_endless(tmp_path / "x", what)
    with pytest.raises(RunError, match=r"cannot write .*x: it is a .*; remove it"):
        append_text(tmp_path / "x", "more")
    with pytest.raises(OSError, match="it is a "):
        FileLock(tmp_path / "x").acquire(wait=False)
    assert target.read_text() == "precious"


def test_what_a_link_leads_to_outlives_the_link(tmp_path: Path):
    write(tmp_path / "elsewhere", "folder", "precious")
    (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    remove_whole(tmp_path / "x")
    assert names(tmp_path) == ["elsewhere", "precious"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failing_rename_leaves_the_old_one(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "x"
    write(place, kind, "old")
    before = names(tmp_path)
    original = os.replace

    def refuse(source: str | Path, target: str | Path) -> None:
        if Path(target) == place and not str(source).endswith(".old"):
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


def test_json_that_nests_too_deeply_is_refused():
    assert parse_json("[" * 64 + "]" * 64) is not None
    for deep in ("[" * 65 + "]" * 65, '{"a": ' * 65 + "1" + "}" * 65, "[" * 10**5):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(deep)


def dead_process() -> int:
    """Return the number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def partial_of(process: int, name: str) -> str:
    return f".{name}.partial-{files._machine()}-{process}"


def test_what_a_killed_process_left_is_cleared_by_the_next_that_writes_there(tmp_path: Path):
    dead, living = dead_process(), os.getppid()
    (tmp_path / partial_of(dead, "other")).mkdir()
    (tmp_path / partial_of(dead, "other") / "x").write_text("")
    (tmp_path / partial_of(living, "other")).write_text("")
    (tmp_path / ".other.partial-elsewhere-1").write_text("")  # of another machine on a shared disk
    write_text(tmp_path / "mine", "1")
    wanted = [partial_of(living, "other"), ".other.partial-elsewhere-1", "mine"]
    assert names(tmp_path) == sorted(wanted)


def test_a_folder_stepped_aside_by_a_killed_process_comes_back(tmp_path: Path):
    dead = dead_process()
    for name, content in ((partial_of(dead, "d") + ".old", "before"), (partial_of(dead, "d"), "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").write_text(content)
    write_text(tmp_path / "mine", "1")
    assert names(tmp_path) == ["d", "inside", "mine"]
    assert (tmp_path / "d" / "inside").read_text() == "before"


def test_a_folder_stepped_aside_goes_once_its_successor_stands(tmp_path: Path):
    write(tmp_path / "d", "folder", "new")
    (tmp_path / (partial_of(dead_process(), "d") + ".old")).mkdir()
    remove_partial(tmp_path, "d")
    assert names(tmp_path) == ["d", "new"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("name", ["n" * 250, "ü" * 120], ids=["ascii", "two bytes each"])
def test_the_longest_name_that_a_disk_takes_is_written(tmp_path: Path, kind: str, name: str):
    for content in ("old", "new"):
        write(tmp_path / name, kind, content)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_is_removed_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A kill in the middle must not leave half of what looks like a checkpoint."""
    for name in ("a", "b"):
        write(tmp_path / name, "folder", "inside")
    remove_whole(tmp_path / "a")
    assert names(tmp_path) == ["b", "inside"]

    def kill(path: Path, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.shutil, "rmtree", kill)
    with pytest.raises(KeyboardInterrupt):
        remove_whole(tmp_path / "b")
    monkeypatch.undo()
    assert names(tmp_path) == [partial_of(os.getpid(), "b"), "inside"]
    remove_partial(tmp_path)
    assert names(tmp_path) == []
    with pytest.raises(RunError, match="cannot write"):
        remove_whole(tmp_path / "b")


def test_a_name_that_is_too_long_says_so(tmp_path: Path):
    with pytest.raises(RunError, match="choose a shorter name"):
        write_text(tmp_path / ("n" * 300), "")


def test_a_new_folder_takes_an_empty_place_only(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "folder", "first", replace=False)
    with pytest.raises(RunError, match="another process has put something there meanwhile"):
        write(tmp_path / "empty", "folder", "second", replace=False)
    assert names(tmp_path) == ["empty", "first"]


def test_lines_are_appended_together_or_not_at_all(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    append_jsonl(path, {"a": 1}, {"a": 2})
    assert read_jsonl(path) == [{"a": 1}, {"a": 2}]
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The limit on a file's size does what a full disk does: half of the text still fits.
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, limits[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*x\.jsonl"):
            append_text(path, "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before


def test_a_sealed_file_is_read_as_it_was_written_or_not_at_all(tmp_path: Path):
    path = tmp_path / "card.json"
    data = {"iteration": 30, "terms": {"loss": 0.1}, "none": None}
    write_sealed(path, data)
    assert read_sealed(path, error=SourceError, advice="") == data
    text = path.read_text()
    for changed in (text.replace("30", "31"), text.replace('"sha256"', '"sha265"'), "[1]"):
        path.write_text(changed)
        with pytest.raises(SourceError, match=r"card\.json is damaged: .*; fetch it again"):
            read_sealed(path, error=SourceError, advice="fetch it again")


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
