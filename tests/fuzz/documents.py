"""Strategies of JSON, TOML and JSON lines that are nearly what a reader expects."""

import json
from collections.abc import Sequence
from typing import Any

import tomli_w
from hypothesis import strategies as st

Path_ = tuple[str | int, ...]

_HOSTILE_TEXT = (
    "", "nan", "../../etc/passwd", "/", "\0", "\x1b]0;OWNED\x07\x1b[2J", "\ud800", "é" * 300,
    "x" * 100_000, "a\nb", "</script><script>alert(1)</script>",
    "'\"><img onerror=alert(1)>", "${7*7}", "{{7*7}}", "%s%n", "__class__",
    "D(999999999,0,0) G(0,0,0)", "D(1,1," + "9" * 400 + ") G(1,1,2)", "D" + "[" * 3000,
)  # fmt: skip
_NUMBERS = (
    0, 1, -1, 2, 7, 1_000, 10**6, 2**31, 2**53 + 1, -(2**63), 2**64, 2**70, 10**18, 10**400,
    0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_RAW = {
    "deep lists": "[" * 100_000,
    "deep lists, closed": "[" * 3_000 + "]" * 3_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a long number": "9" * 5_000,
    "an exponent": "1e999999999",
    "half a pair": '"\\ud800"',
    "a byte order mark": "\ufeff{}",
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "NaN": "NaN",
    "one name twice": '{"iteration": 1, "iteration": "x"}',
}

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_HOSTILE_TEXT),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def paths_in(document: object, before: Path_ = ()) -> list[Path_]:
    """Return the path of every value in a document, its own first."""
    found = [before]
    if isinstance(document, dict):
        children: Sequence[tuple[Any, Any]] = list(document.items())
    else:
        children = list(enumerate(document)) if isinstance(document, list) else []
    for key, value in children:
        found += paths_in(value, (*before, key))
    return found


@st.composite
def damaged_documents(draw: st.DrawFn, document: Any) -> Any:
    """Return ``document`` with one to three values replaced, removed, moved or added."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths_in(document)))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                document = draw(trees)
            continue
        target = document
        for key in path[:-1]:
            target = target[key]
        _damage(draw, target, path[-1], document)
    return document


def _damage(draw: st.DrawFn, target: Any, key: Any, document: Any) -> None:
    ways = ("alike", "alike", "alike", "replace", "kind", "remove", "move", "add")
    match draw(st.sampled_from(ways)):
        case "alike":
            target[key] = draw(_alike(target[key]))
        case "replace":
            target[key] = draw(leaves)
        case "kind":
            target[key] = draw(trees)
        case "remove":
            del target[key]
        case "move":
            path = draw(st.sampled_from(paths_in(document)))
            value = document
            for step in path:
                value = value[step]
            target[key] = json.loads(json.dumps(value))  # a copy: no circle
        case _:
            if isinstance(target, dict):
                target[draw(st.one_of(st.text(max_size=8), st.sampled_from(_HOSTILE_TEXT)))] = draw(
                    trees
                )
            else:
                target.append(draw(trees))


def _alike(value: object) -> st.SearchStrategy[Any]:
    """Strategy of other values of the same kind, which pass the first checks of a reader."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.sampled_from([n for n in _NUMBERS if isinstance(n, int)])
    if isinstance(value, float):
        return st.sampled_from([n for n in _NUMBERS if isinstance(n, float)])
    if isinstance(value, str):
        return st.sampled_from(_HOSTILE_TEXT)
    if isinstance(value, list):
        return st.integers(0, 3).map(lambda count: value * count)
    return st.just({}) if isinstance(value, dict) else leaves


def encoded(text: str) -> bytes:
    """Return UTF-8, with halves of a pair as they would be in a broken file."""
    return text.encode("utf-8", errors="surrogatepass")


def json_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of JSON files that are nearly ``content``."""
    whole = json.loads(content)
    damaged = damaged_documents(whole)
    plain = damaged.map(lambda document: json.dumps(document).encode())
    raw = damaged.map(lambda document: encoded(json.dumps(document, ensure_ascii=False)))
    inside = st.tuples(st.sampled_from(paths_in(whole)), st.sampled_from(sorted(_RAW))).map(
        lambda drawn: _with_raw(whole, *drawn)
    )
    return st.one_of(plain, plain, raw, inside)


def _with_raw(document: Any, path: Path_, raw: str) -> bytes:
    """Return the document with text that need not be JSON in the place of one value."""
    if not path:
        return encoded(_RAW[raw])
    copy = json.loads(json.dumps(document))
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = "\0here\0"
    return encoded(json.dumps(copy).replace('"\\u0000here\\u0000"', _RAW[raw]))


def jsonl_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of files of JSON lines that are nearly ``content``."""
    lines = content.splitlines() or [b"{}"]

    def with_line(drawn: tuple[int, bytes, bool]) -> bytes:
        place, line, instead = drawn
        after = lines[place + 1 :] if instead else lines[place:]
        return b"\n".join((*lines[:place], line, *after)) + b"\n"

    return st.integers(0, len(lines) - 1).flatmap(
        lambda place: st.tuples(st.just(place), json_files(lines[place]), st.booleans()).map(
            with_line
        )
    )


def toml_files(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of TOML files that are nearly ``content``."""
    import tomllib

    whole = tomllib.loads(content.decode())
    raw = st.sampled_from(
        (
            "a = " + "[" * 50_000,
            ".".join("a" * 5_000) + " = 1",
            "[" + ".".join("a" * 5_000) + "]",
            "a = " + "{a=" * 3_000,
            "seed = " + "9" * 5_000,
            "seed = nan",
            "seed = 1979-05-27T07:32:00Z",
            "\ufeffseed = 1",
            "pictures = '''\x1b[2J'''",
        )
    )
    return st.one_of(
        damaged_documents(whole).map(_as_toml),
        damaged_documents(whole).map(_as_toml),
        damaged_documents(whole).map(_as_toml),
        raw.map(lambda text: encoded(text + "\n") + content),
    )


def _as_toml(document: Any) -> bytes:
    """Return TOML; what it cannot hold is left out."""
    plain = _without_null(document)
    try:
        return encoded(tomli_w.dumps(plain if isinstance(plain, dict) else {"value": plain}))
    except (TypeError, ValueError, UnicodeError):
        return b"seed = \n"


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_null(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_null(v) for v in value if v is not None]
    return value
