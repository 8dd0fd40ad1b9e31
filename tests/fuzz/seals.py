"""Seals and checksums that fit hostile files, so that these reach the readers behind them.

A stranger can compute each of them. Damaged bytes alone are never sealed again.
"""

import hashlib
import json
import struct
import tomllib
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load

from graftgan.checkpoints import checksum, fingerprint

from .cases import Files
from .seeds import Seeds

_NO_TENSORS = (SafetensorError, OSError, ValueError, KeyError, RuntimeError, OverflowError)
_NO_TEXT = (ValueError, TypeError, RecursionError)
_MAY_CHANGE = (("pictures",), ("scoring", "reference"), ("scoring", "keep_pictures"),
               ("training", "iterations"), ("training", "seconds"))  # fmt: skip


def resealed(card: bytes) -> bytes:
    """Return a card with the sha256 of what it holds; as it is where it holds no object."""
    try:
        data = json.loads(card)
        if not isinstance(data, dict):
            return card
        told = {key: value for key, value in data.items() if key != "sha256"}
        return json.dumps({**told, "sha256": _hash_of(told)}).encode()
    except _NO_TEXT:
        return card


def with_entries(card: bytes, **entries: Any) -> bytes:
    """Return a valid card with other entries, sealed."""
    return resealed(json.dumps({**json.loads(card), **entries}).encode())


def settings_hash(toml: bytes) -> str:
    """Return the hash of a run's settings as its card knows it; nothing where there is none."""
    try:
        plain = tomllib.loads(toml.decode("utf-8-sig"))
        for *section, name in _MAY_CHANGE:
            within = plain[section[0]] if section and section[0] in plain else plain
            if isinstance(within, dict):
                within.pop(name, None)
        return _hash_of(plain)
    except _NO_TEXT:
        return ""


def sum_of(content: bytes, digest: Callable[[Any], str] = checksum) -> str:
    """Return the checksum of the tensors in a file; nothing where it cannot be read."""
    try:
        return digest(load(content))
    except _NO_TENSORS:
        return ""


def sealed_run(files: Files, seeds: Seeds, kind: str, run: str = "run") -> Files:
    """Return the files of a run that may be resumed, with cards that fit them.

    The copy of the run's card is removed: it would answer for a card that cannot be.

    Args:
        files: Damaged ones, in the run folder ``run``.
        seeds: The valid ones.
        kind: Whose template they lie over.
        run: The folder, with ``/`` between folders.
    """
    card_file, state_file = f"{run}/card.json", f"{run}/checkpoints/000001/card.json"
    card = seeds.bytes_of(kind, card_file)
    sums: dict[str, str] = {}
    entries: dict[str, Any] = {"state": "interrupted"}
    for name, content in files.items():
        if name == f"{run}/experiment.toml":
            entries["settings_sha256"] = settings_hash(content or b"")
        if name.startswith(f"{run}/checkpoints/") and name.endswith(".safetensors"):
            sums[PurePosixPath(name).stem] = sum_of(content or b"")
    made = {card_file: with_entries(card, **entries)}
    if sums:
        state = seeds.bytes_of(kind, state_file)
        known = {**json.loads(state)["checksums"], **sums}
        made[state_file] = with_entries(state, checksums=known)
    own = {n: resealed(c or b"") if n in (card_file, state_file) else c for n, c in files.items()}
    return {**made, **own, f"{run}/.card.json": None}


def sealed_source(files: Files, seeds: Seeds, kind: str) -> Files:
    """Return the files of a source, with a card that names the hash of their weights."""
    card = json.loads(seeds.bytes_of(kind, "source/card.json"))
    known = dict(card["fingerprints"])
    for name, content in files.items():
        if name.endswith(".safetensors"):
            known[PurePosixPath(name).stem] = sum_of(content or b"", fingerprint)
    return {**files, "source/card.json": json.dumps({**card, "fingerprints": known}).encode()}


def sealed_adapter(content: bytes) -> bytes:
    """Return an adapter whose note has the checksum of its tensors; as it is without a note."""
    try:
        length = struct.unpack_from("<Q", content)[0]
        header = json.loads(content[8 : 8 + length])
        note = json.loads(header["__metadata__"]["graftgan"])
        note["checksum"] = sum_of(content)
        header["__metadata__"]["graftgan"] = json.dumps(note)
        words = json.dumps(header).encode()
    except (*_NO_TEXT, KeyError, struct.error):
        return content
    return struct.pack("<Q", len(words)) + words + content[8 + length :]


def _hash_of(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()
