"""Zips and npz files of every maker, and damaged in every way."""

import io
import json
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from data_drawings import noise

from graftgan.core.errors import ImageSetError
from graftgan.pictures import DataSettings, ImageSet, find_classes, load_image_set


def load(path: Path, **settings: object) -> ImageSet:
    return load_image_set(path, DataSettings(**settings), resolution=16, seed=0)  # type: ignore[arg-type]


def picture(seed: int = 0, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    noise(20, 20, seed=seed).save(file, kind)
    return file.getvalue()


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_backslashes_are_folders(tmp_path: Path):
    members = {
        f"set\\{c}\\{i}.png": picture(10 * i + j) for j, c in enumerate("ab") for i in (0, 1)
    }
    members |= {"set\\": b"", "__MACOSX\\set\\._0.png": b"x", "set\\a\\._0.png": b"x"}
    path = zipped(tmp_path / "windows.zip", members)
    images = load(path, labels="folders")
    assert images.names == ("set/a/0.png", "set/a/1.png", "set/b/0.png", "set/b/1.png")
    assert images.classes == ("a", "b")
    assert images.skipped == ()


def test_a_name_leads_nowhere_out_of_the_archive(tmp_path: Path):
    path = zipped(tmp_path / "x.zip", {"../../up.png": picture(0), "/root.png": picture(1)})
    assert load(path).names == ("root.png", "up.png")


@pytest.mark.parametrize("name", ["\x1b[2J", "x" * 9_000], ids=["control", "long"])
def test_names_reach_messages_as_one_short_line(tmp_path: Path, name: str):
    zipped(tmp_path / "x.zip", {f"{name}.png": b"no picture"})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr(f"{name}.npy", b"no array")
    for path in (tmp_path / "x.zip", tmp_path / "x.npz"):
        with pytest.raises(ImageSetError) as caught:
            load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_both_used(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed in range(3):
            archive.writestr("d/a.png", picture(seed))
        archive.writestr("d/a (2).png", picture(3))
    images = load(path)
    assert images.names == ("d/a (2).png", "d/a (3).png", "d/a (4).png", "d/a.png")
    assert len({p.numpy().tobytes() for p in images.pictures}) == 4
    assert "1 name stands more than once in the zip (d/a.png); all are used" in images.summary()


def with_byte(path: Path, *, flags: int | None = None, method: int | None = None) -> Path:
    """Change flags or method of the first member, in both places where a zip says them."""
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    for start in (4, central + 6):
        if flags is not None:
            content[start + 2 : start + 4] = struct.pack("<H", flags)
        if method is not None:
            content[start + 4 : start + 6] = struct.pack("<H", method)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": 9}, "compressed as Deflate64, which cannot be read; make the zip again with"),
        ({"method": 95}, "compressed as XZ"),
        ({"method": 77}, "compressed as method 77"),
        ({"flags": 1}, "encrypted in the zip"),
        ({"method": 99, "flags": 1}, "encrypted in the zip"),
    ],
)
def test_what_cannot_be_unpacked_is_listed(tmp_path: Path, change: dict[str, int], reason: str):
    path = zipped(tmp_path / "x.zip", {"a.png": picture(0), "b.png": picture(1)})
    (skipped,) = load(with_byte(path, **change)).skipped
    assert skipped.name == "a.png"
    assert skipped.reason.startswith(reason)


def test_a_bomb_is_not_unpacked(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", picture())
        with archive.open("bomb.bmp", "w") as file:
            for _ in range(65):
                file.write(bytes(2**23))
    tracemalloc.start()
    assert [s.reason for s in load(path).skipped] == ["larger than 512 MB"]
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def bomb(path: Path, names: Sequence[str], size: int, *, method: int, stated: int = 0) -> Path:
    """Write a zip with a picture, and members of ``size`` zeros that may state another size."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", picture())
        for name in names:
            archive.writestr(name, bytes(size))
        for entry in archive.infolist()[1:]:
            entry.file_size = stated or size
    return path


def seconds_and_bytes(path: Path) -> tuple[ImageSet | str, float, int]:
    """Return what becomes of a file, and the processor time and memory that this takes."""
    tracemalloc.start()
    start = time.process_time()
    try:
        result = load(path)
    except ImageSetError as error:
        result = str(error)
    taken = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, *taken


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_states_far_more_than_it_has_is_refused(tmp_path: Path, method: int):
    names = [f"{i}.bmp" for i in range(24)]
    path = bomb(tmp_path / "x.zip", names, 1000, method=method, stated=60 * 2**20)
    result, seconds, memory = seconds_and_bytes(path)
    assert isinstance(result, str)
    assert "its pictures unpack to 1.5 GB, more than 250 times as much" in result
    assert seconds < 1
    assert memory < 10e6


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_is_never_more_than_it_states(tmp_path: Path, method: int):
    path = bomb(tmp_path / "x.zip", ["b.bmp"], 400 * 2**20, method=method, stated=1000)
    result, seconds, memory = seconds_and_bytes(path)
    assert isinstance(result, ImageSet)
    assert [s.reason for s in result.skipped] == ["damaged in the zip"]
    assert seconds < 2
    assert memory < 20e6


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_look_at_the_first_bytes_unpacks_no_more(tmp_path: Path, method: int):
    path = bomb(tmp_path / "x.zip", ["b", "c", "d.bin"], 100 * 2**20, method=method)
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("picture", picture(1))
    result, seconds, memory = seconds_and_bytes(path)
    assert isinstance(result, ImageSet)
    assert result.names == ("a.png", "picture")
    assert seconds < 1
    assert memory < 10e6


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_not_looked_into_is_said(tmp_path: Path, method: int):
    path = bomb(tmp_path / "x.zip", [f"{i:03d}" for i in range(260)], 10, method=method)
    assert "left out 4 packed with bzip2 or LZMA and without a picture's" in load(path).summary()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_bzip2_and_lzma_pack_is_right_or_too_large(tmp_path: Path, method: int):
    path = bomb(tmp_path / "x.zip", ["b.bmp"], 64 * 2**20 + 1, method=method)
    images = load(path)
    assert [s.reason for s in images.skipped] == ["larger than 64 MB"]
    assert torch.equal(images.pictures, load(zipped(tmp_path / "y.zip", {"a": picture()})).pictures)


def with_text(path: Path, name: str, text: bytes) -> Path:
    return zipped(path, {"a/a.png": picture(), "b/b.png": picture(1), name: text})


def test_a_dataset_json_that_no_such_zip_needs_is_not_parsed(tmp_path: Path):
    text = b'{"labels": [' + b'["a/a.png", 0],' * 600_000 + b"[]]}"
    path = with_text(tmp_path / "x.zip", "dataset.json", text)
    tracemalloc.start()
    with pytest.raises(ImageSetError, match=r"dataset.json of .* cannot be read: larger than 8 MB"):
        load(path, labels="folders")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_picture_of_two_labels_is_refused(tmp_path: Path):
    labels = [[f"0000{i // 6}/img{i:08d}.png", i % 3] for i in range(12)]
    twice = [*labels, labels[4], ["00000\\img00000004.png", 2]]
    path = nvidia_set(tmp_path / "set", twice, as_zip=True)
    with pytest.raises(ImageSetError, match=r"gives 00000/img00000004.png two labels, 1 and 2"):
        load(path, labels="folders")
    same = nvidia_set(tmp_path / "same", [*labels, labels[4]], as_zip=True)
    assert load(same, labels="folders").labels.tolist() == [0, 1, 2] * 4


def test_a_manifest_that_no_such_zip_needs_is_refused(tmp_path: Path):
    line = b'{"name": "a/a.png", "licence": "CC0"}\n'
    assert load(with_text(tmp_path / "x.zip", "manifest.jsonl", line)).origins.keys() == {"a/a.png"}
    path = with_text(tmp_path / "y.zip", "manifest.jsonl", line * 120_000)
    result, seconds, memory = seconds_and_bytes(path)
    assert isinstance(result, str)
    assert "manifest.jsonl of" in result
    assert "is larger than 4 MB and the zip itself" in result
    assert seconds < 1
    assert memory < 20e6


def test_a_manifest_costs_the_memory_of_its_names_only(tmp_path: Path):
    path = with_text(tmp_path / "x.zip", "manifest.jsonl", b'{"licence":"x"}\n' * 60_000)
    _, _, memory = seconds_and_bytes(path)
    assert memory < 8e6


def nvidia_set(place: Path, labels: object, *, as_zip: bool) -> Path:
    members = {f"0000{i // 6}/img{i:08d}.png": picture(i) for i in range(12)}
    members["dataset.json"] = json.dumps({"labels": labels}).encode()
    if as_zip:
        return zipped(place.with_suffix(".zip"), members)
    for name, content in members.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


@pytest.mark.parametrize("as_zip", [True, False])
def test_the_labels_of_a_dataset_json_are_the_classes(tmp_path: Path, as_zip: bool):
    labels = [[f"0000{i // 6}/img{i:08d}.png", (2, 10, 3)[i % 3]] for i in range(12)]
    path = nvidia_set(tmp_path / "set", labels, as_zip=as_zip)
    assert find_classes(path) == ("02", "03", "10")
    images = load(path, labels="folders")
    assert images.classes == ("02", "03", "10")
    assert images.labels.tolist() == [0, 2, 1] * 4
    assert "classes (by dataset.json): 02 4, 03 4, 10 4" in images.summary()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "dataset.json of .* has no labels"),
        ([["00000/img00000000.png", 1]], "no labels for 11 of its 12 pictures .00000/img00000001"),
        ([["00000/img00000000.png", [0, 1]]], "expected a name and a class number"),
        ([["00000/img00000000.png", True]], "expected a name and a class number"),
        ("[" * 9, "has no labels"),
    ],
)
def test_labels_that_are_none_are_said(tmp_path: Path, labels: object, message: str):
    path = nvidia_set(tmp_path / "set", labels, as_zip=True)
    with pytest.raises(ImageSetError, match=message):
        load(path, labels="folders")
    assert len(load(path).names) == 12  # which need no labels


def test_a_dataset_json_that_nests_without_end_is_an_error(tmp_path: Path):
    path = zipped(tmp_path / "x.zip", {"a/a.png": picture(), "dataset.json": b"[" * 200_000})
    with pytest.raises(ImageSetError, match="cannot be used: it is nested too deeply"):
        load(path, labels="folders")


def labelled_members(start: str = "", name: str = "dataset.json") -> dict[str, bytes]:
    labels = [[f"0000{i // 6}/img{i:08d}.png", i % 3] for i in range(12)]
    members = {f"{start}{place}": picture(i) for i, (place, _) in enumerate(labels)}
    return {**members, start + name: b"\xef\xbb\xbf" + json.dumps({"labels": labels}).encode()}


@pytest.mark.parametrize(
    ("start", "name"), [("set/", "dataset.json"), ("a/b/", "dataset.json"), ("", "./dataset.json")]
)
def test_labels_are_found_where_the_set_begins(tmp_path: Path, start: str, name: str):
    members = labelled_members(start, name)
    for place, content in members.items():
        file = tmp_path / "set" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for path in (zipped(tmp_path / "x.zip", members), tmp_path / "set"):
        assert find_classes(path) == ("0", "1", "2")
        images = load(path, labels="folders")
        assert images.labels.tolist() == [0, 1, 2] * 4
        assert "by dataset.json" in images.summary()


def test_the_file_of_one_of_several_sets_gives_no_classes(tmp_path: Path):
    members = {**labelled_members("a/"), **{f"b/{i}.png": picture(20 + i) for i in range(3)}}
    assert find_classes(zipped(tmp_path / "x.zip", members)) == ("a", "b")


def test_labels_that_cannot_be_read_do_not_become_other_classes(tmp_path: Path):
    path = zipped(tmp_path / "x.zip", labelled_members(), zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.find(b'"labels"') + 2] ^= 1  # the checksum no longer fits
    path.write_bytes(content)
    with pytest.raises(ImageSetError, match=r"dataset.json of .* cannot be read: damaged"):
        load(path, labels="folders")
    folder = nvidia_set(tmp_path / "set", [], as_zip=False)
    (folder / "dataset.json").unlink()
    (folder / "dataset.json").mkdir()
    with pytest.raises(ImageSetError, match=r"cannot read .*dataset.json: Is a directory"):
        load(folder, labels="folders")


def arrays(path: Path, *, packed: bool) -> Path:
    content = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    (np.savez_compressed if packed else np.savez)(path, y=np.arange(4), images=content)
    return path


@pytest.mark.parametrize("kind", ["stored", "deflate", "bzip2", "lzma", "npz", "packed npz"])
def test_damage_of_every_kind_is_one_error_or_listed(tmp_path: Path, kind: str):
    methods = {"stored": 0, "deflate": 8, "bzip2": 12, "lzma": 14}
    if kind in methods:
        members = {f"{i}.png": picture(i, "BMP") for i in range(3)}
        path = zipped(tmp_path / "x.zip", members, methods[kind])
    else:
        path = arrays(tmp_path / "x.npz", packed=kind == "packed npz")
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    outcomes = {"read": 0, "refused": 0}
    for attempt in range(120):
        content = bytearray(whole)
        if attempt % 4 == 0:
            del content[int(rng.integers(len(whole))) :]
        else:  # half of them in the directory at the end, which says where everything is
            low = 0 if attempt % 2 else max(0, len(whole) - 400)
            for place in rng.integers(low, len(whole), 3):
                content[place] = int(rng.integers(256))
        path.write_bytes(content)
        try:
            load(path)
            outcomes["read"] += 1
        except ImageSetError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 10
    assert outcomes["read"] > 10 or "npz" in kind  # of a zip the pictures that are whole


def test_an_array_is_looked_at_before_it_is_unpacked(tmp_path: Path):
    path = tmp_path / "x.npz"
    header = {"descr": "<f8", "fortran_order": False, "shape": (64, 1024, 1024)}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("arr_0.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(64):
            file.write(bytes(2**23))
    tracemalloc.start()
    with pytest.raises(ImageSetError, match=r"found 'arr_0': float64 \(64, 1024, 1024\)"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((400_000, 100, 100, 3), r"damaged npz: .* should take 12,000,000,000 bytes, and 3 are"),
        ((-1, 20, 20), "damaged npz"),
    ],
)
def test_an_array_that_is_not_as_its_header_says_is_refused(
    tmp_path: Path, shape: tuple[int, ...], message: str
):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w") as archive,
        archive.open("images.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"abc")
    with pytest.raises(ImageSetError, match=message):
        load(tmp_path / "x.npz")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_pictures_of_an_npz_are_right(tmp_path: Path, packed: bool, order: str):
    content = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    save = np.savez_compressed if packed else np.savez
    save(tmp_path / "x.npz", np.asarray(content, order=order))  # type: ignore[call-overload]
    assert np.array_equal(load(tmp_path / "x.npz").pictures.permute(0, 2, 3, 1), content)


def test_a_damaged_picture_in_a_stored_npz_is_found(tmp_path: Path):
    path = arrays(tmp_path / "x.npz", packed=False)
    content = bytearray(path.read_bytes())
    content[-2500] ^= 1
    path.write_bytes(content)
    with pytest.raises(ImageSetError, match="damaged npz: Bad CRC"):
        load(path)


def npz_of(path: Path, shape: tuple[int, ...], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an npz with an array of zeros."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    size, piece = int(np.prod(shape)), 2**23
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, piece):
            file.write(bytes(min(piece, size - start)))
    return path


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((600, 1000, 1000), "unpacks to 0.6 GB, more than 0.5 for a file of 0.6 MB; save"),
        ((500_000, 1, 1, 3), "is 500,000 pictures, more than 10,000 for a file of 0.0 MB"),
        ((9000, 3, 15, 40), "all 9,000 are smaller than 16 px; lower --minimum-side"),
    ],
)
def test_a_small_npz_of_far_too_much_is_refused(
    tmp_path: Path, shape: tuple[int, ...], message: str
):
    result, seconds, memory = seconds_and_bytes(npz_of(tmp_path / "x.npz", shape))
    assert isinstance(result, str)
    assert message in result
    assert seconds < 2
    assert memory < 30e6


def test_what_numpy_does_not_pack_so_is_not_unpacked(tmp_path: Path):
    path = npz_of(tmp_path / "x.npz", (100, 1000, 1000), method=zipfile.ZIP_BZIP2)
    result, seconds, memory = seconds_and_bytes(path)
    assert isinstance(result, str)
    assert "packed as numpy does not" in result
    assert seconds < 1
    assert memory < 10e6


def test_an_npz_of_very_many_arrays_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for i in range(101):
            archive.writestr(f"{i:03d}.npy", b"no array")
    with pytest.raises(ImageSetError, match="has more than 100 arrays; leave one in it"):
        load(tmp_path / "x.npz")
