"""What a command leaves behind, without what may differ between two equal runs: times, versions."""

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Contents = dict[str, Any]
"""Parts of a folder by name; equal for equal results."""

_TIMES = frozenset(
    {
        "seconds",
        "images_per_second",
        "wall",
        "seconds_left",
        "versions",
        "command",
        "device",
        "hardware",
        "collected",
        "refused",
        "stamp",
        "now",
        "line_check",  # of the times beside it, too
    }
)
_UNEVEN = ("tensorboard/", "checkpoints/", "study.db")  # compared otherwise, or logs of sessions
_LOCKS = re.compile(r"(^|/)(\.lock|\.card\.json|\.collect\.lock|lock|search\.lock|\d+\.lock)$")
_DURATIONS = re.compile(
    r"\b\d+(?:[.,]\d+)*\s*(?:ms|s|seconds?|min|minutes?|h|hours?|images/s|images a second)\b"
    r"|\b\d+(?:\.\d+)? pictures a second\b"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:\+00:00|Z)?"
)

_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)


def of_run(folder: Path) -> Contents:
    """Return a run folder: every file, of checkpoints the last one's tensors."""
    found = _files(folder)
    found |= {f"last/{name}": part for name, part in _last_checkpoint(folder).items()}
    if (folder / "start").is_dir():
        found |= {f"start/{name}": part for name, part in of_run(folder / "start").items()}
    return found


def of_study(folder: Path) -> Contents:
    """Return a comparison or a search: its own files and every run."""
    found = {n: part for n, part in _files(folder).items() if not n.startswith("runs/")}
    for run in sorted((folder / "runs").iterdir()):
        found |= {f"runs/{run.name}/{name}": part for name, part in of_run(run).items()}
    return found


def of_folder(folder: Path) -> Contents:
    """Return any other folder, or a file."""
    return _files(folder) if folder.is_dir() else {"": _digest(folder.read_bytes())}


def differences(found: Contents, twin: Contents) -> list[str]:
    """Return in words how ``found`` is not the twin's; empty: it is."""
    words = [f"{name} is missing" for name in sorted(twin.keys() - found.keys())]
    words += [f"{name} should not be there" for name in sorted(found.keys() - twin.keys())]
    for name in sorted(found.keys() & twin.keys()):
        if found[name] != twin[name]:
            words.append(f"{name} differs{_where(found[name], twin[name])}")
    return words


def leftovers(root: Path) -> list[str]:
    """Return the paths that killed writers left anywhere below ``root``."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(".*.partial-*"))


def _files(folder: Path) -> Contents:
    found: Contents = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        uneven = any(name.startswith(f"{top}{u}") for top in ("", "start/") for u in _UNEVEN)
        if uneven or name.startswith("start/") or _LOCKS.search(name):
            continue
        found[name] = _part(path)
    return found


def _part(path: Path) -> Any:
    """Return what is compared of a file."""
    read = _READERS.get(path.suffix)
    if path.name in _SORTED:
        read = _sorted_lines
    return _digest(path.read_bytes()) if read is None else read(path)


def _json(path: Path) -> Any:
    try:
        data = _timeless(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        return f"no JSON: {error}"
    if path.name == "card.json" and isinstance(data, dict):
        data.pop("sha256", None)  # of the card itself, times included
    return data


def _lines(path: Path) -> list[Any]:
    found: list[Any] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            found += [_timeless(json.loads(line))] if line else []
        except ValueError:
            found.append(f"cut short: {line}")
    return found


def _sorted_lines(path: Path) -> list[Any]:
    """Return lines whose order depends on threads."""
    return sorted(_lines(path), key=lambda line: json.dumps(line, sort_keys=True))


def _page(path: Path) -> list[str]:
    """Return the lines of a page without times; pictures in it as digests."""
    text = re.sub(r"<svg[^>]*\bSpeed\b.*?</svg>", "SPEED", path.read_text("utf-8"), flags=re.DOTALL)
    text = _TABLE.sub(_without_times, text)
    text = _DURATIONS.sub("TIME", re.sub(r"graftgan \w+ (?:--resume|/)[^<]*", "COMMAND", text))
    text = re.sub(r"data:[\w/+;-]+,[^\"')]*", lambda m: _digest(m[0].encode()), text)
    return text.split("\n")


def _without_times(table: re.Match[str]) -> str:
    """Return a table of a page, in its columns of seconds nothing."""
    headings = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table[0], re.DOTALL)
    timed = {i for i, heading in enumerate(headings) if re.search(r"second|time", heading)}

    def row(found: re.Match[str]) -> str:
        cells = re.findall(r"<t[hd]\b.*?</t[hd]>", found[0], re.DOTALL)
        return "\n".join("TIME" if i in timed else cell for i, cell in enumerate(cells))

    return re.sub(r"<tr\b.*?</tr>", row, table[0], flags=re.DOTALL) if timed else table[0]


def _settings(path: Path) -> list[str]:
    return [_DURATIONS.sub("TIME", line) for line in path.read_text(encoding="utf-8").split("\n")]


def _tensors(path: Path) -> Mapping[str, str]:
    """Return a digest of each tensor of a safetensors file, and of its note."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    note = header.pop("__metadata__", {})
    found = {
        name: f"{entry['dtype']}{entry['shape']}:{_digest(body[slice(*entry['data_offsets'])])}"
        for name, entry in header.items()
    }
    plain = {key: _timeless(json.loads(value)) for key, value in note.items() if value[:1] == "{"}
    return found | {"note": json.dumps({**note, **plain}, sort_keys=True)}


def _last_checkpoint(folder: Path) -> Contents:
    kept = [p for p in (folder / "checkpoints").glob("[0-9]*") if p.name.isdecimal()]
    if not kept:
        return {}
    last = max(kept, key=lambda path: int(path.name))
    weights = {path.name: _tensors(path) for path in sorted(last.glob("*.safetensors"))}
    return {"name": last.name, **weights}


def _timeless(data: Any) -> Any:
    """Return plain data without times and versions, nor what depends on them."""
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key not in _TIMES}
    if isinstance(data, list):
        return [_timeless(value) for value in data]
    return _DURATIONS.sub("TIME", data) if isinstance(data, str) else data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _where(found: Any, twin: Any) -> str:
    """Return in words the first difference."""
    if isinstance(found, dict) and isinstance(twin, dict):
        names = [k for k in sorted({*found, *twin}) if found.get(k) != twin.get(k)]
        return f" in {', '.join(names[:3])}{_values(found.get(names[0]), twin.get(names[0]))}"
    if isinstance(found, list) and isinstance(twin, list):
        if len(found) != len(twin):
            return f": {len(found)} lines, not {len(twin)}"
        first = next(i for i in range(len(twin)) if found[i] != twin[i])
        return f" in line {first + 1}{_where(found[first], twin[first])}"
    return _values(found, twin)


def _values(found: Any, twin: Any) -> str:
    return f": {str(found)[:120]!r}, not {str(twin)[:120]!r}"


def names_of(parts: Iterable[str]) -> str:
    """Return a few names in words."""
    listed = list(parts)
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return "; ".join(listed[:4]) + more


_SORTED = frozenset({"manifest.jsonl", "readings.jsonl", "refused.jsonl"})
_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".html": _page,
    ".toml": _settings,
    ".md": _settings,
    ".safetensors": _tensors,
}
