"""Pickles as streams of instructions: well formed, and hostile further in."""

import io
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import torch
from hypothesis import strategies as st

_MIB = 2**20
_NAMES = (
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("builtins", "eval"),
    ("builtins", "exec"), ("__builtin__", "eval"), ("builtins", "getattr"),
    ("subprocess", "Popen"), ("subprocess", "check_output"), ("importlib", "import_module"),
    ("runpy", "run_path"), ("code", "interact"), ("pickle", "loads"), ("torch", "load"),
    ("torch.hub", "load"), ("torch.jit", "load"), ("ctypes", "CDLL"), ("webbrowser", "open"),
    ("socket", "create_connection"), ("shutil", "rmtree"), ("pathlib", "Path.unlink"),
    ("functools", "partial"), ("operator", "attrgetter"), ("numpy.testing._private.utils",
    "runstring"), ("builtins", "set.__reduce__"), ("collections", "OrderedDict.update"),
    ("\x1b]0;OWNED\x07\x1b[2J", "x"), ("x" * 5_000, "y"), ("", ""), ("a\u2028b", "é"),
    # What networks do need.
    ("collections", "OrderedDict"), ("builtins", "set"), ("__builtin__", "bytes"),
    ("_codecs", "encode"), ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes"),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"), ("dnnlib.util", "EasyDict"),
    ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"), ("torch", "FloatStorage"), ("torch", "Size"),
    ("argparse", "Namespace"), ("torch", "device"), ("torch.serialization", "_get_layout"),
)  # fmt: skip
_PAYLOADS = ("touch was_run", "open('was_run', 'w')", "__import__('os').system('touch was_run')")


def text(value: str) -> bytes:
    """Return the instruction that pushes a text."""
    encoded = value.encode(errors="surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    """Return the instruction that pushes a whole number below 2**31."""
    return b"J" + struct.pack("<i", value)


def called(module: str, name: str) -> bytes:
    """Return the instruction that asks for a name."""
    return f"c{module}\n{name}\n".encode(errors="surrogatepass")


def blob(content: bytes) -> bytes:
    """Return the instruction that pushes bytes."""
    return b"B" + struct.pack("<I", len(content)) + content


@cache
def _storage(numbers: int, *, zipped: bool = False) -> bytes:
    """Return a storage of zeros as ``torch.save`` writes it."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of the very type it stores
        storage = torch.zeros(numbers).storage()
        torch.save(storage, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


@cache
def packed_storage(mebibytes: int) -> bytes:
    """Return a storage in torch's zip, deflated to a thousandth of its size.

    The storage is never in memory here: a compressed mebibyte of zeros is written many times over.
    """
    whole = io.BytesIO(_storage(4, zipped=True))
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(_MIB)
    press.compress(zeros)
    press.flush(zlib.Z_FULL_FLUSH)
    block = press.compress(zeros) + press.flush(zlib.Z_FULL_FLUSH)
    content = block * mebibytes + b"\x03\x00"
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(zeros, checksum)
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as target,
    ):
        for entry in source.infolist():
            data = source.read(entry)
            if not entry.filename.endswith("data/0"):
                data = data.replace(struct.pack("<BB", 75, 4), number(mebibytes * _MIB // 4))
                target.writestr(entry.filename, data)
        name = next(e.filename for e in source.infolist() if e.filename.endswith("data/0"))
        target.writestr(name, content)
        info = target.getinfo(name)
        offset = info.header_offset
    return _as_deflated(packed.getvalue(), offset, checksum, mebibytes * _MIB)


def _as_deflated(archive: bytes, offset: int, checksum: int, size: int) -> bytes:
    """Return the archive with a stored member declared to be a deflated one."""
    changed = bytearray(archive)
    struct.pack_into("<H", changed, offset + 8, zipfile.ZIP_DEFLATED)
    struct.pack_into("<I", changed, offset + 14, checksum)
    struct.pack_into("<I", changed, offset + 22, size)
    place = changed.find(b"PK\x01\x02")
    while struct.unpack_from("<I", changed, place + 42)[0] != offset:
        place = changed.find(b"PK\x01\x02", place + 4)
    struct.pack_into("<H", changed, place + 10, zipfile.ZIP_DEFLATED)
    struct.pack_into("<I", changed, place + 16, checksum)
    struct.pack_into("<I", changed, place + 24, size)
    return bytes(changed)


def _nested(depth: int, kind: bytes) -> bytes:
    return kind[:1] + kind[1:] * depth


def _memo_bomb(doublings: int, opcode: bytes) -> bytes:
    """Return a tuple that holds itself twice over, again and again: 2**n parts, n lines."""
    stream = b")q\x00"
    for place in range(doublings):
        stream += b"h" + bytes([place]) + b"h" + bytes([place]) + opcode
        stream += b"q" + bytes([place + 1])
    return stream


def _repeated(what: bytes, call: bytes, times: int) -> bytes:
    """Return a list of the one thing ``what`` and the results of one call on it."""
    return b"](" + what + b"r" + struct.pack("<I", 900) + call * times + b"e"


_RECALLED = b"j" + struct.pack("<I", 900)
_LOAD = called("torch.storage", "_load_from_bytes")


def _amplified(times: int, length: int) -> bytes:
    """Return sets of one long list, many times."""
    items = b"](" + b"".join(number(n) for n in range(length)) + b"e"
    return _repeated(items, called("builtins", "set") + _RECALLED + b"\x85R", times)


def _transposed(times: int, side: int) -> bytes:
    """Return tensors that no storage holds as they lie, many times of one storage."""
    storage = _LOAD + blob(_storage(side * side)) + b"\x85R"
    size = number(side) + number(side) + b"\x86"
    stride = number(1) + number(side) + b"\x86"
    make = called("torch._utils", "_rebuild_tensor_v2") + b"(" + _RECALLED
    return _repeated(storage, make + number(0) + size + stride + b"\x89Ntr" + b"\x85\3\0\0R", times)


_AMPLIFIERS: dict[str, Callable[[], bytes]] = {
    "nested tuples": lambda: _nested(1_000_000, b")\x85"),
    "nested tuples, fewer": lambda: _nested(300_000, b")\x85"),
    "nested lists": lambda: b"]" * 200_000 + b"a" * 199_999,
    "nested dictionaries": lambda: b"}" + b"}K\x00" * 50_000 + b"0" * 0,
    "doubled tuples": lambda: _memo_bomb(60, b"\x86"),
    "doubled tuples in a set": lambda: b"\x8f(" + _memo_bomb(60, b"\x86") + b"\x90",
    "many sets of one list": lambda: _amplified(3_000, 20_000),
    "many transposed tensors": lambda: _transposed(1_500, 1_024),
    "a storage that unpacks": lambda: _LOAD + blob(packed_storage(1_500)) + b"\x85R",
    "many marks": lambda: b"(" * 500_000,
    "many numbers": lambda: b"K\x00" * 500_000,
    "many memos": lambda: b")" + b"\x94" * 500_000,
    "a long number": lambda: b"\x8b" + struct.pack("<I", 400_000) + b"\x7f" * 400_000,
    "a long decimal": lambda: b"L" + b"9" * 200_000 + b"L\n",
}

_pushed = st.one_of(
    st.sampled_from((b"N", b"\x88", b"\x89", b"}", b"]", b")", b"\x8f")),
    st.integers(-(2**31), 2**31 - 1).map(number),
    st.sampled_from(("", "G_ema", "D", "state", "module_src", "latin1", *_PAYLOADS)).map(text),
    st.text(max_size=6).map(text),
    st.binary(max_size=12).map(blob),
    st.sampled_from((1, 16)).map(_storage).map(blob),
    st.floats().map(lambda value: b"G" + struct.pack(">d", value)),
    st.binary(max_size=9).map(lambda value: b"\x8a" + bytes([len(value)]) + value),
)
_names = st.sampled_from(_NAMES).map(lambda name: called(*name))
_names_on_stack = st.sampled_from(_NAMES).map(lambda n: text(n[0]) + text(n[1]) + b"\x93")
_taking = st.sampled_from(
    (b"(", b"t", b"\x85", b"\x86", b"\x87", b"s", b"u", b"a", b"e", b"\x90", b"R", b"\x81", b"b",
     b"0", b"1", b"2", b"Q", b"\x92", b"o", b"d", b"l", b"\x91", b"\x94", b"\x97", b"\x98")
)  # fmt: skip
_memory = st.tuples(st.sampled_from((b"q", b"h")), st.integers(0, 5)).map(
    lambda drawn: drawn[0] + bytes([drawn[1]])
)
_lies = st.sampled_from(
    (b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\xff", b"\x8d" + b"\xff" * 8, b"\x8e" + b"\xff" * 8,
     b"\x95" + b"\xff" * 8, b"r\xff\xff\xff\xff", b"j\xff\xff\xff\xff", b"p99999999999\n",
     b"g-1\n", b"I" + b"9" * 5_000 + b"\n", b"Fnan\n", b"S'\\x'\n", b"V\\ud800\n", b"Pid\n",
     b"\x82\x01", b"ios\nsystem\n", b"\x80\xff", b"\x96" + b"\xff" * 8, b"\x8b\xff\xff\xff\xff")
)  # fmt: skip
_payloads = st.tuples(st.sampled_from(_NAMES), st.sampled_from(_PAYLOADS)).map(
    lambda drawn: called(*drawn[0]) + text(drawn[1]) + b"\x85R"
)
_amplifiers = st.sampled_from(sorted(_AMPLIFIERS)).map(lambda name: _AMPLIFIERS[name]())

_fragments = st.lists(
    st.one_of(_pushed, _pushed, _names, _names_on_stack, _taking, _taking, _memory, _lies),
    max_size=24,
).map(b"".join)
hostile = st.one_of(*[_fragments] * 8, *[_payloads] * 3, _amplifiers)
"""Instructions that leave one thing on the stack, or try something."""


def _as_value(thing: bytes) -> bytes:
    return b"\x80\x02}(" + text("G_ema") + thing + text("D") + b"h\x00u."


def _as_key(thing: bytes) -> bytes:
    return b"\x80\x02}(" + thing + b"K\x01u."


def _as_state(thing: bytes) -> bytes:
    """Return a stored network with the thing in the place of one of its parts."""
    made_by = called("torch_utils.persistence", "_reconstruct_persistent_obj")
    parts = b"}("
    for key in ("_parameters", "_buffers", "_modules", "_init_kwargs"):
        parts += text(key) + (thing if key == "_modules" else b"}")
    meta = b"}(" + text("module_src") + text("x") + text("class_name") + text("G")
    meta += text("state") + parts + b"uu"
    return b"\x80\x04}(" + text("G_ema") + made_by + meta + b"\x85R" + b"u."


def _alone(thing: bytes) -> bytes:
    return b"\x80\x04" + thing + b"."


_SURROUNDINGS = (_as_value, _as_key, _as_key, _as_state, _alone)


@cache
def boundaries(stream: bytes) -> tuple[int, ...]:
    """Return where each instruction of a valid pickle begins."""
    return tuple(place for _, _, place in pickletools.genops(stream) if place is not None)


@st.composite
def streams(draw: st.DrawFn, valid: tuple[bytes, ...]) -> bytes:
    """Strategy of pickles: hostile things alone, or among the instructions of a valid one."""
    alone = draw(st.sampled_from((hostile, _amplifiers, None, None)))
    if alone is not None:
        return draw(st.sampled_from(_SURROUNDINGS))(draw(alone))
    stream = draw(st.sampled_from(valid))
    places = boundaries(stream)
    begin = draw(st.integers(0, len(places) - 1))
    end = min(len(places) - 1, begin + draw(st.integers(0, 3)))
    kept = stream[places[begin] : places[end]]
    instead = draw(
        st.one_of(hostile, st.sampled_from((b"", kept + kept, b"0", b"N", b"(" + kept + b"t")))
    )
    return stream[: places[begin]] + instead + stream[places[end] :]
