"""``urls:FILE``: the addresses in a text, CSV or JSON-lines file; ``urls:ADDRESS``: one."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from graftgan.core.errors import CollectError
from graftgan.core.files import parse_json
from graftgan.core.provenance import origin_of
from graftgan.pictures.collecting.candidates import (
    SOURCES,
    FoundPicture,
    Listing,
    SourceKind,
    text_of,
)
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web, private_home

_COLUMNS = ("url", "address", "image_url", "link")


def open_list(what: str, _settings: CollectSettings) -> Listing:
    """Return a listing of one address, or of the addresses in the file ``what``.

    Raises:
        CollectError: There is no such file, or it has no column of addresses.
    """
    if "://" in what:
        return lambda _web: iter([_candidate({"url": what})])
    path = Path(what)
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except FileNotFoundError:
        raise CollectError(f"there is no list {path}") from None
    except OSError as error:
        raise CollectError(f"cannot read {path}: {error.strerror or error}") from None
    rows = _rows_of(path, lines)

    def listing(_web: Web) -> Iterator[FoundPicture]:
        return (_candidate(row) for row in rows)

    return listing


def _rows_of(path: Path, lines: list[str]) -> Iterable[Mapping[str, object]]:
    if path.suffix.lower() in (".csv", ".tsv"):
        return _table_rows(path, lines)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return [_json_row(line) for line in lines if line.strip()]
    addresses = (line.strip() for line in lines)
    return [{"url": address} for address in addresses if address and not address.startswith("#")]


def _table_rows(path: Path, lines: list[str]) -> list[Mapping[str, object]]:
    reader = csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    rows = [row for row in reader if any(cell.strip() for cell in row)]
    if not rows:
        return []
    headings = [cell.strip().lower() for cell in rows[0]]
    column = next((name for name in _COLUMNS if name in headings), None)
    if column is None:
        raise CollectError(
            f"{path} has no column of addresses: call one 'url' in its first line, which is now "
            f"'{', '.join(headings)[:80]}'"
        )
    tables = [dict(zip(headings, row, strict=False)) for row in rows[1:]]
    return [{**table, "url": table.get(column, "")} for table in tables]


def _json_row(line: str) -> Mapping[str, object]:
    try:
        row = parse_json(line)
    except ValueError:
        return {"url": line}
    return row if isinstance(row, dict) else {"url": row}


def _candidate(row: Mapping[str, object]) -> FoundPicture:
    """Return the candidate of a row, whose other columns may say where it comes from."""
    said = {name: text for name, value in row.items() if (text := text_of(value)) is not None}
    url = row.get("url")
    address = url.strip() if isinstance(url, str) else ""
    return FoundPicture(
        name=address or str(dict(row))[:100],
        origin=replace(origin_of({"source": "urls", **said}), url=address),
        refusal=None if address else Refusal(RefusalReason.BAD_ADDRESS, "the line has no address"),
        home=private_home(address),
        asks_robots=True,
    )


SOURCES.register("urls")(SourceKind(open=open_list))
