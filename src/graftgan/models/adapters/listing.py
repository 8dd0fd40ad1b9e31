"""The adapters in some folders, each with its base, or with what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from graftgan.core.errors import GraftganError
from graftgan.models.adapters.adapter import AdapterNote
from graftgan.models.adapters.adapter_file import adapter_files, load_adapter
from graftgan.models.adapters.sizes import AdapterSize, adapter_size
from graftgan.models.sources import open_source
from graftgan.transfer import filters_in

BaseState = Literal["here", "not found", "another"]
Fingerprints = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ListedAdapter:
    """One adapter file.

    Attributes:
        file_bytes: Size of the file.
        precision: Number formats of its tensors.
        base_state: Whether its base is found under the name it had, and is still the same.
    """

    note: AdapterNote
    size: AdapterSize
    file_bytes: int
    precision: str
    base_state: BaseState


def list_adapters(places: Sequence[Path]) -> dict[Path, ListedAdapter | GraftganError]:
    """Return every adapter in some files and folders, or what is wrong with it, by its file.

    Args:
        places: Adapter files, run folders, or folders with some below them.
    """
    fingerprints_of = cache(_fingerprints_of)  # several adapters share a base
    files = [
        path for place in places for path in (adapter_files(place) if place.is_dir() else [place])
    ]
    return {path: _listed_or_error(path, fingerprints_of) for path in files}


def _listed_or_error(
    path: Path, fingerprints_of: Callable[[str], Fingerprints]
) -> ListedAdapter | GraftganError:
    try:
        adapter = load_adapter(path)
        note = adapter.note
        return ListedAdapter(
            note=note,
            size=adapter_size(
                note.plan,
                note.architecture,
                low_rank=note.low_rank,
                filters=filters_in(adapter.tensors),
            ),
            file_bytes=path.stat().st_size,
            precision=adapter.precision,
            base_state=_state(note, fingerprints_of(note.base)),
        )
    except GraftganError as error:
        return error


def _fingerprints_of(base: str) -> Fingerprints:
    try:
        return open_source(base).card.fingerprints
    except GraftganError:
        return None


def _state(note: AdapterNote, here: Fingerprints) -> BaseState:
    if here is None:
        return "not found"
    return "here" if dict(here) == dict(note.base_fingerprints) else "another"
