"""Damage bytes as disks, transfers and enemies do, by a random generator alone."""

import struct
from collections.abc import Callable
from random import Random

_SPECIAL = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
            2**40, 2**62, 2**63, 2**64 - 1)  # fmt: skip
_HEADER = 256  # bytes: where formats keep their sizes


def damaged(content: bytes, rng: Random) -> bytes:
    """Return ``content`` with one to four damages."""
    for _ in range(1 + min(3, int(rng.expovariate(1.0)))):
        content = rng.choice(_DAMAGES)(content, rng)
    return content


def _place(content: bytes, rng: Random) -> int:
    """Return a place in the content, half of the time near its beginning or end."""
    near = min(len(content), _HEADER)
    where = rng.randrange(4)
    if where == 0:
        return rng.randrange(near + 1)
    if where == 1:
        return len(content) - rng.randrange(near + 1)
    return rng.randrange(len(content) + 1)


def _length(content: bytes, rng: Random) -> int:
    return min(len(content), int(rng.expovariate(1 / 32)) + 1)


def _flip(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[min(_place(content, rng), len(changed) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: Random) -> bytes:
    return content[: _place(content, rng)]


def _zero(content: bytes, rng: Random) -> bytes:
    begin = _place(content, rng)
    count = rng.choice((_length(content, rng), 1000, len(content) - begin))
    return (content[:begin] + bytes(count) + content[begin + count :])[: len(content)]


def _remove(content: bytes, rng: Random) -> bytes:
    begin = _place(content, rng)
    return content[:begin] + content[begin + _length(content, rng) :]


def _insert(content: bytes, rng: Random) -> bytes:
    begin = _place(content, rng)
    return content[:begin] + rng.randbytes(_length(content, rng)) + content[begin:]


def _splice(content: bytes, rng: Random) -> bytes:
    """Copy a part of the content to another place."""
    source, target = _place(content, rng), _place(content, rng)
    part = content[source : source + _length(content, rng)]
    over = len(part) if rng.randrange(2) else 0
    return content[:target] + part + content[target + over :]


def _repeat(content: bytes, rng: Random) -> bytes:
    begin = _place(content, rng)
    part = content[begin : begin + _length(content, rng)]
    return content[:begin] + part * rng.choice((2, 16, 256, 4096)) + content[begin:]


def _number(content: bytes, rng: Random) -> bytes:
    """Write a number that is too large, too small or none at all over some bytes."""
    width, letter = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    value = rng.choice(_SPECIAL) % 256**width
    packed = struct.pack(rng.choice("<>") + letter, value)
    begin = min(_place(content, rng), max(0, len(content) - width))
    return content[:begin] + packed + content[begin + width :]


_DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip, _flip, _flip, _number, _number, _number, _cut, _zero),
    *(_remove, _insert, _splice, _splice, _repeat),
)
