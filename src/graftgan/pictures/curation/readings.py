"""What was read off each picture, on disk: one line for each, so that nothing is read twice."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftgan.core.errors import RunError
from graftgan.core.files import append_text, as_jsonl, read_json, write_json, write_jsonl
from graftgan.core.settings import Count, read_lines
from graftgan.pictures.curation.filters import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReadings:
    """What is known of one picture.

    Attributes:
        name: Below the raw folder, or in its zip.
        stamp: Changes when the file does.
        sha256: Of the file's bytes; empty where it cannot be read.
        width: In pixels, upright.
        height: In pixels, upright.
        readings: What each filter that looked at it read.
        unusable: Why it is no picture that can be used; None: it is one.
    """

    name: str
    stamp: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    readings: Mapping[str, Reading]
    unusable: str | None = None

    def as_line(self) -> dict[str, Any]:
        """Return it as plain data."""
        said = {} if self.unusable is None else {"unusable": self.unusable}
        return {
            "name": self.name,
            "stamp": self.stamp,
            "sha256": self.sha256,
            "size": [self.width, self.height],
            "readings": dict(self.readings),
            **said,
        }


class Records:
    """The records of one curation, in memory and in a file that a kill cannot spoil.

    Each record is appended as it comes. What was made by other tools is forgotten.

    Raises:
        RunError: The folder cannot be read or written.
    """

    def __init__(self, folder: Path, *, made_by: Mapping[str, str]) -> None:
        self.path = folder / "readings.jsonl"
        card = folder / "made_by.json"
        fits = _made_by(card) == dict(made_by)
        self._by_name = {record.name: record for record in _read(self.path)} if fits else {}
        write_jsonl(self.path, (record.as_line() for record in self._by_name.values()))
        write_json(card, dict(made_by))

    def get(self, name: str, stamp: str) -> PictureReadings | None:
        """Return what is known of a picture, unless its file has changed since."""
        record = self._by_name.get(name)
        return record if record is not None and record.stamp == stamp else None

    def add(self, records: Sequence[PictureReadings]) -> None:
        """Keep records, each in place of an older one of its name."""
        append_text(self.path, as_jsonl(record.as_line() for record in records))
        self._by_name |= {record.name: record for record in records}

    def __len__(self) -> int:
        """Return how many pictures are known."""
        return len(self._by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of the file."""

    name: str
    stamp: str
    sha256: str
    size: tuple[Count, Count]
    readings: Mapping[str, Reading]
    unusable: str | None = None


def _made_by(card: Path) -> object:
    """Return which tools the readings come from; None: unknown, so they are taken anew."""
    with suppress(RunError):
        return read_json(card, error=RunError)
    return None


def _read(path: Path) -> Iterator[PictureReadings]:
    """Yield the records of a file; what a damaged line was about is read anew."""
    lines, _ = read_lines(_Line, path)
    for line in lines:
        width, height = line.size
        yield PictureReadings(
            name=line.name,
            stamp=line.stamp,
            sha256=line.sha256,
            width=width,
            height=height,
            readings=line.readings,
            unusable=line.unusable,
        )
