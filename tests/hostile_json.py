"""Damaged and hostile versions of a JSON file, for tests of what reads it back."""

import copy
import json
from collections.abc import Iterator
from typing import Any

WRONG: dict[str, Any] = {
    "null": None,
    "negative": -1,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "huge integer": 10**400,
    "half": 0.5,
    "text": "x\x1b[2J",
    "half a pair": "caf\udce9",
    "long text": "y" * 200_000,
    "list": [[]],
    "table": {"a": {}},
}
RAW: dict[str, bytes] = {
    "cut": b'{"a": [1, 2',
    "no text": b"\xff\xfe\x00",
    "nothing": b"",
    "not an object": b"[1, 2, 3]",
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a key twice": b'{"state": 1, "state": 2}',
    "thousands of digits": b'{"iteration": ' + b"9" * 5_000 + b"}",
}


def damaged(data: Any) -> Iterator[tuple[str, Any]]:
    """Yield copies of ``data`` with one value wrong or missing, each with what was done to it."""
    for place in places(data):
        name = ".".join(map(str, place))
        for what, wrong in WRONG.items():
            changed = copy.deepcopy(data)
            parent(changed, place)[place[-1]] = copy.deepcopy(wrong)
            yield f"{name}: {what}", changed
        changed = copy.deepcopy(data)
        del parent(changed, place)[place[-1]]
        yield f"{name}: missing", changed


def places(data: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each value lies; of a list only the first."""
    keys = list(data) if isinstance(data, dict) else range(min(1, len(data)))
    for key in keys:
        yield (*before, key)
        if isinstance(data[key], dict | list):
            yield from places(data[key], (*before, key))


def parent(data: Any, place: tuple[Any, ...]) -> Any:
    """Return what holds the value at ``place``."""
    for key in place[:-1]:
        data = data[key]
    return data


def as_bytes(data: Any) -> bytes:
    """Return ``data`` as JSON, half pairs and not-a-number included."""
    return json.dumps(data).encode()
