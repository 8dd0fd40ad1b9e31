"""Strategies of safetensors, archives and pictures whose headers lie."""

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from .documents import damaged_documents, encoded, json_files

_SIZES = (0, 1, 2, 15, 16, 255, 4_096, 65_535, 10_000, 100_000, 2**31 - 1, 2**31, 2**32 - 1)


def safetensors_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of safetensors files: other headers, other notes, lengths that lie."""
    length = struct.unpack_from("<Q", content)[0]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    names = sorted(set(header) - {"__metadata__"})

    def with_header(document: Any) -> bytes:
        words = encoded(json.dumps(document))
        return struct.pack("<Q", len(words)) + words + body

    def with_entry(drawn: tuple[str, dict[str, Any]]) -> bytes:
        name, changes = drawn
        return with_header({**header, name: {**header[name], **changes}})

    def with_note(note: bytes) -> bytes:
        told = {"graftgan": note.decode(errors="replace")}
        return with_header({**header, "__metadata__": told})

    huge = st.sampled_from((0, 1, 2**20, 2**31, 2**40, 2**62, 2**63 - 1, 2**64 - 1, -1, 2**70))
    entry = st.fixed_dictionaries(
        {},
        optional={
            "shape": st.lists(huge, max_size=6),
            "data_offsets": st.lists(huge, min_size=1, max_size=3),
            "dtype": st.sampled_from(("F64", "F32", "F16", "BF16", "I8", "BOOL", "F8_E4M3", "x")),
        },
    )
    lies = huge.map(lambda n: struct.pack("<Q", n % 2**64) + content[8:])
    raw = json_files(json.dumps(header).encode()).map(
        lambda words: struct.pack("<Q", len(words)) + words + body
    )
    changed = [
        damaged_documents(header).map(with_header),
        st.tuples(st.sampled_from(names), entry).map(with_entry),
        lies,
        raw,
        _numbers_in(content, 8 + length),
    ]
    note = header.get("__metadata__", {}).get("graftgan", "{}").encode()
    other = _other_tensors(content)
    return st.one_of(*changed, json_files(note).map(with_note), other, other, other)


_TENSOR_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "flat": lambda tensor: tensor.flatten(),
    "turned": lambda tensor: tensor.T.contiguous() if tensor.ndim == 2 else tensor[None],
    "first half": lambda tensor: tensor.flatten()[: tensor.numel() // 2].clone(),
    "doubled": lambda tensor: torch.cat([tensor.flatten()] * 2),
    "empty": lambda tensor: tensor.new_zeros((0, *tensor.shape[1:])),
    "a number": lambda tensor: tensor.new_ones(()),
    "zeros": torch.zeros_like,
    "half": lambda tensor: tensor.half(),
    "double": lambda tensor: tensor.double(),
    "whole": lambda tensor: tensor.long(),
    "truth": lambda tensor: tensor.bool(),
    "bytes": lambda tensor: tensor.to(torch.uint8),
    "nan": lambda tensor: torch.full_like(tensor.float(), float("nan")).to(tensor.dtype),
    "infinity": lambda tensor: torch.full_like(tensor.float(), float("inf")).to(tensor.dtype),
    "large": lambda tensor: torch.full_like(tensor.float(), 3e38).to(tensor.dtype),
    "negative": lambda tensor: torch.full_like(tensor.float(), -1.0).to(tensor.dtype),
    "many": lambda tensor: tensor.new_zeros(100_000),
}


def _other_tensors(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of whole files whose tensors have other shapes, types, numbers or names."""
    tensors = load(content)
    length = struct.unpack_from("<Q", content)[0]
    note = json.loads(content[8 : 8 + length]).get("__metadata__")
    names = sorted(tensors)

    def changed(drawn: list[tuple[str, str]]) -> bytes:
        made = dict(tensors)
        for name, change in drawn:
            if change == "removed":
                made.pop(name, None)
            elif change in _TENSOR_CHANGES:
                made[name] = _TENSOR_CHANGES[change](tensors[name])
            else:
                made[change] = tensors[name]
        return save({name: tensor.contiguous().clone() for name, tensor in made.items()}, note)

    hostile = ("\x1b[2J", "x" * 3_000, "../x", "a\nb", "", *names)
    change = st.sampled_from((*_TENSOR_CHANGES, "removed", *hostile))
    one = st.tuples(st.sampled_from(names), change)
    return st.lists(one, min_size=1, max_size=3).map(changed)


def _numbers_in(content: bytes, begin: int) -> st.SearchStrategy[bytes]:
    """Strategy of files with not-a-number, infinity or zeros from some tensor on."""

    def written(drawn: tuple[int, float, int]) -> bytes:
        place, value, count = drawn
        place = begin + place * 4
        numbers = struct.pack("<f", value) * count
        return (content[:place] + numbers + content[place + len(numbers) :])[: len(content)]

    last = max(0, (len(content) - begin) // 4 - 1)
    values = st.sampled_from((float("nan"), float("inf"), 0.0, 3e38))
    return st.tuples(st.integers(0, last), values, st.sampled_from((1, 64, 10_000))).map(written)


def lying_numbers(content: bytes, *, reach: int = 160) -> st.SearchStrategy[bytes]:
    """Strategy of files with another number in one to three places near their beginning."""
    place = st.integers(0, max(0, min(reach, len(content) - 8)))
    form = st.sampled_from(("<B", "<H", ">H", "<I", ">I"))

    def changed(drawn: list[tuple[int, str, int]]) -> bytes:
        file = bytearray(content)
        for where, letters, value in drawn:
            struct.pack_into(letters, file, where, value % 256 ** struct.calcsize(letters))
        return bytes(file)

    return st.lists(st.tuples(place, form, st.sampled_from(_SIZES)), min_size=1, max_size=3).map(
        changed
    )


def zip_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of zips: members of other names, kinds, sizes and checks."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    return st.one_of(_members(members), zip_records(content), st.just(_bomb()))


_MEMBER_NAMES = (
    "../../out.png", "/etc/passwd.png", "a\\b\\c.png", "__MACOSX\\x.png", "x.png/", "é" * 100,
    "\x1b[2J.png", "CON.png", "a/" * 2_000 + "b.png", ".png", "x.png", "dataset.json",
)  # fmt: skip


@st.composite
def _members(draw: st.DrawFn, members: dict[str, bytes]) -> bytes:
    names = sorted(members)
    plan = draw(
        st.lists(
            st.tuples(
                st.sampled_from((*names, *_MEMBER_NAMES)),
                st.sampled_from(names),
                st.sampled_from((0, 8, 12, 14)),
            ),
            max_size=5,
        )
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content_of, packing in plan:
            info = zipfile.ZipInfo(name)
            info.compress_type = packing
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # two members of one name
                archive.writestr(info, members[content_of])
    return file.getvalue()


_FIELDS = {
    b"PK\x03\x04": {4: "H", 6: "H", 8: "H", 14: "I", 18: "I", 22: "I", 26: "H", 28: "H"},
    b"PK\x01\x02": {8: "H", 10: "H", 16: "I", 20: "I", 24: "I", 28: "H", 30: "H", 32: "H", 42: "I"},
    b"PK\x05\x06": {8: "H", 10: "H", 12: "I", 16: "I", 20: "H"},
}


@st.composite
def zip_records(draw: st.DrawFn, content: bytes) -> bytes:
    """Other versions, flags (encrypted), compressions, sizes, checks and places."""
    file = bytearray(content)
    places = [
        (place, offset, form)
        for magic, fields in _FIELDS.items()
        for place in _all_places(content, magic)
        for offset, form in fields.items()
        if place + offset + struct.calcsize(form) <= len(content)
    ]
    values = st.sampled_from((0, 1, 8, 9, 12, 14, 93, 95, 97, 99, 0xFFFF, 0xFFFFFFFF, 2**31, 2**20))
    for place, offset, form in draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        value = draw(values) % 256 ** struct.calcsize(form)
        struct.pack_into("<" + form, file, place + offset, value)
    return bytes(file)


def _all_places(content: bytes, part: bytes) -> list[int]:
    found = [content.find(part)]
    while found[-1] >= 0:
        found.append(content.find(part, found[-1] + 1))
    return found[:-1]


@cache
def _bomb() -> bytes:
    """Return a zip whose one picture unpacks to three gigabytes of zeros."""
    return _zeros_in_zip("x.png", b"\x89PNG\r\n\x1a\n", 3_000)


def _zeros_in_zip(name: str, head: bytes, mebibytes: int) -> bytes:
    """Return a zip of one deflated member: ``head``, then zeros, never all of them in memory."""
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(2**20)
    begin = press.compress(head + zeros) + press.flush(zlib.Z_FULL_FLUSH)
    block = press.compress(zeros) + press.flush(zlib.Z_FULL_FLUSH)
    data = begin + block * (mebibytes - 1) + b"\x03\x00"
    checksum = zlib.crc32(head)
    for _ in range(mebibytes):
        checksum = zlib.crc32(zeros, checksum)
    size, encoded_name = len(head) + mebibytes * 2**20, name.encode()
    shared = struct.pack("<HHHHIIIHH", 0, 8, 0, 33, checksum, len(data), size, len(encoded_name), 0)
    local = b"PK\x03\x04" + struct.pack("<H", 20) + shared + encoded_name + data
    central = b"PK\x01\x02" + struct.pack("<HH", 20, 20) + shared
    central += struct.pack("<HHHII", 0, 0, 0, 0, 0) + encoded_name
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


def npz_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of npz files: arrays of other kinds, headers that lie, damaged zips."""
    return st.one_of(
        _arrays(),
        zip_records(content),
        _headers().map(_in_npz),
        st.sampled_from(("<f4", "|u1", "<f8")).map(_large_array),
    )


@st.composite
def _arrays(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(("u1", "f4", "f8", "i8", "?", "c8", "S3", "U2", "M8[s]")))
    shape = draw(st.lists(st.integers(0, 20), max_size=5))
    names = draw(st.lists(st.sampled_from(("arr_0", "images", "x_train", "a", "../x", "é")),
                          min_size=1, max_size=3, unique=True))  # fmt: skip
    file = io.BytesIO()
    np.savez(file, **{name: np.zeros(shape, kind) for name in names})
    return file.getvalue()


def _headers() -> st.SearchStrategy[bytes]:
    """Strategy of .npy files whose header says anything."""
    sizes = st.lists(st.sampled_from((*_SIZES, -1, 2**62)), max_size=5)
    described = st.tuples(
        st.sampled_from(("'|u1'", "'<f8'", "'|O'", "[('a','|u1')]", "'x'", "None", "'|V1000000'")),
        st.sampled_from(("True", "False", "1")),
        st.one_of(sizes.map(lambda s: str(tuple(s))), st.sampled_from(
            ("(" * 500 + ")" * 500, "__import__('os').system('touch was_run')", "(2,)*9", "()")
        )),
    )  # fmt: skip
    return described.map(
        lambda d: _npy(f"{{'descr': {d[0]}, 'fortran_order': {d[1]}, 'shape': {d[2]}, }}")
    )


def _npy(header: str, body: bytes = bytes(64)) -> bytes:
    words = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words) % 65_536) + words + body


def _in_npz(array: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("arr_0.npy", array)
    return file.getvalue()


@cache
def _large_array(kind: str) -> bytes:
    """Return three gigabytes of one kind, in three megabytes."""
    size = int(kind[-1])
    count = 3_000 * 2**20 // size // (64 * 64)
    shape = f"({count}, 64, 64)"
    head = _npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}", b"")
    return _zeros_in_zip("arr_0.npy", head, 3_000)


def png_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of PNGs whose chunks are hostile, with checks that fit."""
    chunks = _chunks(content)
    size = st.sampled_from((0, 1, 16, 9_999, 10_000, 30_000, 2**31 - 1, 2**31))

    def headed(drawn: tuple[int, int, int, int, int]) -> bytes:
        width, height, depth, colour, interlaced = drawn
        head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
        return _png([(b"IHDR", head), *chunks[1:]])

    head = st.tuples(
        size, size, st.sampled_from((0, 1, 8, 16, 255)), st.sampled_from((0, 2, 3, 4, 6, 9)),
        st.sampled_from((0, 1, 2)),
    )  # fmt: skip
    names = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"xx")
    extra = st.tuples(
        st.sampled_from(names),
        st.one_of(st.binary(max_size=40), st.just(b"a\0\0" + zlib.compress(bytes(10**7)))),
    ).map(lambda chunk: _png([chunks[0], chunk, *chunks[1:]]))
    return st.one_of(head.map(headed), extra, lying_numbers(content))


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    place = 8
    while place < len(content):
        length = struct.unpack_from(">I", content, place)[0]
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in chunks:
        check = zlib.crc32(name + data)
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", check))
    return b"".join(parts)


@cache
def large_png(depth: int, colour: int) -> bytes:
    """Return a black PNG of nearly 100 megapixels, in some hundred kilobytes."""
    width, height = 10_000, 9_990
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    row = bytes(1 + width * samples * depth // 8)
    press = zlib.compressobj(1)
    data = b"".join(press.compress(row) for _ in range(height)) + press.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return _png([(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")])


def tiff_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of TIFFs with other values, kinds and counts of tags."""
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    tag = st.sampled_from((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 339, 34675))

    def changed(drawn: list[tuple[int, int | None, int, int, int]]) -> bytes:
        file = bytearray(content)
        for place, name, kind, length, value in drawn:
            entry = start + 2 + 12 * (place % count)
            if name is None:
                name = struct.unpack_from("<H", file, entry)[0]
            struct.pack_into("<HHII", file, entry, name, kind, length, value)
        return bytes(file)

    numbers = st.sampled_from((*_SIZES, 32_946, 7, 5, 34_712, start))
    entries = st.tuples(
        st.integers(0, 30), st.one_of(st.none(), tag), st.integers(0, 14), numbers, numbers
    )
    several = st.lists(entries, min_size=1, max_size=3).map(changed)
    return st.one_of(several, lying_numbers(content), lying_numbers(content, reach=4_000))


PICTURES: dict[str, Callable[[bytes], st.SearchStrategy[bytes]]] = {
    "png": png_files,
    "tiff": tiff_files,
    **dict.fromkeys(("jpeg", "gif", "webp", "bmp"), lying_numbers),
}
