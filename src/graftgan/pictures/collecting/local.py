"""Sources on this machine: a folder, zip or npz, ``video:FILE`` and ``urls:FILE``.

Pictures keep the origins in their manifest. Frames of a video are taken at equal intervals, without
those that repeat the previous one. A list is a text, CSV or JSON-lines file of addresses;
``urls:ADDRESS`` is a list of one.
"""

import csv
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.core.errors import CollectError, ImageSetError
from graftgan.core.files import content_of, parse_json
from graftgan.core.provenance import Origin, origin_of, origins_of
from graftgan.pictures.collecting.addresses import private_home
from graftgan.pictures.collecting.candidates import (
    SOURCES,
    FoundPicture,
    Listing,
    SourceKind,
    text_of,
)
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web
from graftgan.pictures.containers import find_container
from graftgan.pictures.decode import file_of
from graftgan.pictures.members import Unusable

# No playlists: they name other files and addresses, which ffmpeg would open.
_CONTAINERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,m4v,h264"
_SAME = 2.0  # mean difference from the previous frame, of 255, up to which one is left out
_GLANCE = (32, 32)
_COLUMNS = ("url", "address", "image_url", "link")


def open_folder(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the pictures in a folder, zip or npz; CollectError: it is not one."""
    path = Path(what)
    try:
        source = find_container(path)
    except ImageSetError as error:
        raise CollectError(str(error)) from None

    def listing(_web: Web) -> Iterator[FoundPicture]:
        origins = origins_of(path)
        with source.open() as contents:
            for member in contents.members:
                file, refusal = b"", None
                try:
                    file = file_of(member.read())
                except Unusable as problem:
                    refusal = Refusal(RefusalReason.UNREADABLE, str(problem))
                if len(file) > settings.largest_bytes:
                    refusal = Refusal(RefusalReason.TOO_LARGE, f"{len(file) / 1e6:,.3g} MB")
                    file = b""
                yield FoundPicture(
                    name=f"folder:{path.name}/{member.name}",
                    origin=origins.get(member.name, Origin(title=member.name, source="folder")),
                    content=file,
                    refusal=refusal,
                )

    return listing


def open_list(what: str, _settings: CollectSettings) -> Listing:
    """Return a listing of one address, or of the addresses in the file ``what``.

    Raises:
        CollectError: There is no such file, or it has no column of addresses.
    """
    if "://" in what:
        return lambda _web: iter([_of_row({"url": what})])
    path = Path(what)
    try:
        lines = content_of(path).decode("utf-8-sig", errors="replace").splitlines()
    except FileNotFoundError:
        raise CollectError(f"there is no list {path}") from None
    except OSError as error:
        raise CollectError(f"cannot read {path}: {error.strerror or error}") from None
    rows = _rows_of(path, lines)
    return lambda _web: map(_of_row, rows)


def _rows_of(path: Path, lines: list[str]) -> Sequence[Mapping[str, object]]:
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
            f"{path} has no column of addresses: name one 'url' in its first line, which is "
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


def _of_row(row: Mapping[str, object]) -> FoundPicture:
    """Return the candidate of a row, whose other columns may state its origin."""
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


def open_video(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the frames of a video; CollectError: no such file, or no ffmpeg."""
    path = Path(what)
    if not path.is_file():
        raise CollectError(f"there is no video {path}")
    try:
        import imageio_ffmpeg
    except ImportError:
        raise CollectError("videos need ffmpeg; install graftgan with its extra `video`") from None
    # The first frame, and each that comes ``every`` seconds after the last one taken.
    every = rf"select=isnan(prev_selected_t)+gte(t-prev_selected_t\,{settings.every:.6f})"
    # fmt: off
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error",
        "-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS,
        "-i", f"file:{path.resolve()}",
        "-vf", every, "-fps_mode", "vfr", "-f", "image2pipe", "-c:v", "ppm", "-",
    ]
    # fmt: on
    return lambda _web: _frames(command, path, settings.every)


def _frames(command: list[str], path: Path, every: float) -> Iterator[FoundPicture]:
    last: NDArray[np.float32] | None = None
    number = 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        try:
            while program.stdout is not None and (picture := _next_frame(program.stdout)):
                seconds = f"{number * every:g} s"
                number += 1
                small = picture.convert("L").resize(_GLANCE, Image.Resampling.BOX)
                glance = np.asarray(small, dtype=np.float32)
                if last is not None and float(np.abs(glance - last).mean()) <= _SAME:
                    continue
                last = glance
                yield FoundPicture(
                    name=f"video:{path.name}@{seconds}",
                    origin=Origin(title=f"{path.name}, {seconds}", source="video"),
                    content=file_of(np.asarray(picture)),
                )
            code = program.wait()
        finally:
            program.kill()  # harmless if it has ended
    if code != 0 or number == 0:
        raise CollectError(f"ffmpeg cannot read {path} to its end; {number} frames were read")


def _next_frame(stream: IO[bytes]) -> Image.Image | None:
    """Return the next picture of a stream of PPM files; None: the stream has ended."""
    head = [stream.readline() for _ in range(3)]  # P6, width and height, 255
    numbers = head[1].split()
    if len(numbers) != 2:
        return None
    width, height = map(int, numbers)
    pixels = stream.read(width * height * 3)
    is_whole = len(pixels) == width * height * 3
    return Image.frombytes("RGB", (width, height), pixels) if is_whole else None


SOURCES.register("urls")(SourceKind(open=open_list))
SOURCES.register("folder")(SourceKind(open=open_folder))
SOURCES.register("video")(SourceKind(open=open_video))
