"""The second start loads; whatever happens to the cache, the pictures are right."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from data_drawings import noise, write_noise
from PIL import Image

from graftgan.core import files
from graftgan.pictures import DataSettings, ImageSet, load_image_set
from graftgan.pictures import decoded_cache as cache_module
from graftgan.pictures import members as kinds


def load(folder: Path, *, resolution: int = 16, **settings: float) -> ImageSet:
    return load_image_set(folder, DataSettings(**settings), resolution=resolution, seed=0)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_noise(tmp_path / "p", 6)
    (folder / "empty.png").touch()
    return folder


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise AssertionError("decoded although cached")

    monkeypatch.setattr(cache_module, "decode_all", fail)


def entry_of(cache: Path) -> Path:
    (entry,) = (cache / "image_sets").iterdir()
    return entry


@pytest.mark.parametrize("memory_limit_mb", [0, 2048])
def test_the_second_load_is_equal_and_decodes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, memory_limit_mb: int
) -> None:
    first = load(folder, memory_limit_mb=memory_limit_mb)
    forbid_decoding(monkeypatch)
    second = load(folder, memory_limit_mb=memory_limit_mb)
    assert torch.equal(first.pictures, second.pictures)
    assert first.manifest() == second.manifest()
    assert first.skipped == second.skipped != ()
    second.pictures.add_(1)  # writable, and nothing reaches the cache
    assert torch.equal(load(folder).pictures, first.pictures)
    with pytest.raises(AssertionError, match="decoded"):
        load(folder, resolution=17)


def test_a_large_set_is_mapped_not_loaded(folder: Path, cache: Path) -> None:
    load(folder)
    entry = cache_module._read(entry_of(cache), memory_limit=0)
    assert entry is not None
    assert isinstance(entry.pictures, np.memmap)
    half = cache_module.select(entry, np.array([1, 3, 5]), memory_limit=0)
    assert isinstance(half, np.memmap)
    assert np.array_equal(half, entry.pictures[[1, 3, 5]])


def truncate(entry: Path) -> None:
    os.truncate(entry / "pictures.npy", 1000)


def flip_a_byte(entry: Path) -> None:
    content = bytearray((entry / "pictures.npy").read_bytes())
    content[-1] ^= 1
    (entry / "pictures.npy").write_bytes(content)


def empty_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text("{}")


def remove_pictures(entry: Path) -> None:
    (entry / "pictures.npy").unlink()


def replace_by_file(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.touch()


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_byte, empty_manifest, remove_pictures, replace_by_file]
)
def test_a_damaged_entry_is_built_again(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    first = load(folder)
    entry = entry_of(cache)
    damage(entry)
    second = load(folder)
    assert second.manifest() == first.manifest()
    assert torch.equal(first.pictures, second.pictures)
    forbid_decoding(monkeypatch)
    assert torch.equal(first.pictures, load(folder).pictures)


def test_a_changed_picture_is_noticed(folder: Path) -> None:
    first = load(folder)
    noise(64, 64, seed=99).save(folder / "000.png")
    changed = load(folder)
    assert changed.sha256 != first.sha256
    (folder / "000.png").unlink()
    assert len(load(folder).names) == 5


def test_another_file_in_the_folder_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder)
    (folder / "manifest.json").write_text("{}")
    forbid_decoding(monkeypatch)
    load(folder)


@pytest.mark.parametrize("memory_limit_mb", [0, 2048])
def test_an_unwritable_cache_is_a_remark(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_limit_mb: int
) -> None:
    expected = load(folder)
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "file"))
    image_set = load(folder, memory_limit_mb=memory_limit_mb)
    assert torch.equal(image_set.pictures, expected.pictures)
    assert image_set.sha256 == expected.sha256
    assert "not cached" in image_set.summary()
    image_set.pictures.add_(1)


def test_a_failed_build_leaves_nothing_behind(folder: Path, cache: Path) -> None:
    def interrupt(done: int, count: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_image_set(folder, DataSettings(), resolution=16, seed=0, progress=interrupt)
    assert list((cache / "image_sets").iterdir()) == []


def test_several_may_build_at_once(folder: Path, cache: Path) -> None:
    together = threading.Barrier(4)
    found: list[ImageSet] = []

    def build() -> None:
        together.wait()
        found.append(load(folder))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({image_set.sha256 for image_set in found}) == 1
    assert all(torch.equal(image_set.pictures, found[0].pictures) for image_set in found)
    entry_of(cache)  # one entry, no leftovers


def test_progress_counts_every_member(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_image_set(
        folder, DataSettings(), resolution=16, seed=0, progress=lambda *call: calls.append(call)
    )
    assert calls == [(i, 7) for i in range(1, 8)]


def load_until_killed(folder: Path, *, done: int, memory_limit_mb: int) -> None:
    """Load in a process of its own, which is killed when it renames for that time."""
    program = f"""
import os, signal, sys
from pathlib import Path
from graftgan.pictures import DataSettings, load_image_set
from graftgan.pictures import decoded_cache as cache

count = 0
def kill(event, arguments):
    global count
    if event == "os.rename":
        count += 1
        if count == {done}:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
settings = DataSettings(held_out=0.5, memory_limit_mb={memory_limit_mb})
load_image_set(Path({str(folder)!r}), settings, resolution=16, seed=0)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="nobody can be asked there who is alive")
@pytest.mark.parametrize("done", [1, 2], ids=["the pictures", "a selection of them"])
def test_what_a_killed_process_left_is_cleared_away(folder: Path, cache: Path, done: int) -> None:
    load_until_killed(folder, done=done, memory_limit_mb=0)
    assert any("partial" in path.name for path in (cache / "image_sets").rglob("*"))
    files._clear_dead.cache_clear()  # as a new process begins
    load(folder, held_out=0.5, memory_limit_mb=0)
    assert not any("partial" in path.name for path in (cache / "image_sets").rglob("*"))
    assert len(list((cache / "image_sets").iterdir())) == 1


def test_what_can_be_read_since_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    with Image.open(folder / "000.png") as picture:
        picture.save(folder / "a.heic")
    monkeypatch.setattr(kinds, "can_read_heif", lambda: False)
    assert any("graftgan[heic]" in skipped.reason for skipped in load(folder).skipped)
    monkeypatch.setattr(kinds, "can_read_heif", lambda: True)
    assert "a.heic" in load(folder).names


def test_a_list_that_is_none_is_built_again(folder: Path, cache: Path) -> None:
    first = load(folder)
    for damage in ('{"pictures": [1]}', "[" * 100_000, '{"pictures": [{"size": 3}]}'):
        (entry_of(cache) / "manifest.json").write_text(damage)
        again = load(folder)
        assert again.manifest() == first.manifest()
        assert again.notes == ()
