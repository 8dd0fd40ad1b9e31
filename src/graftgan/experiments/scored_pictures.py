"""The pictures that a run was scored on, kept to be scored again with other metrics.

``scored/000100.zip`` in a run folder is an ordinary zip of lossless WebP pictures and a
``card.json`` that describes them. n: pictures; c: channels; h: height and width.
"""

import io
import json
import math
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field

from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import parse_json, require_file, sealed, unsealed
from graftgan.core.network_types import PictureBytes
from graftgan.core.provenance import unpacked
from graftgan.core.settings import Count, parse, strict
from graftgan.metrics.pixels import pictures_sha256
from graftgan.pictures import Unusable, reasons_for_failure

SCORED = "scored"
"""The folder of these files in a run folder."""
_CARD = "card.json"
_LARGEST_CARD = 4096  # bytes
# Of pictures of 64 px this makes 0.645 of the raw bytes in 0.4 ms each; Pillow's own method 4 0.627
# in 2.8 ms, method 6 with the most effort 0.635 in 129 ms, PNG 0.663 in 0.4 ms.
_METHOD, _EFFORT = 1, 0
_LITTLE = 2**28  # bytes of pixels that any file may unpack to
_MOST_UNPACKED = 200  # times its own size that a larger one may unpack to; usual is about twice


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCard:
    """A description of kept pictures."""

    iteration: Count  # of the generator that drew them; 0: before training
    seed: int  # of their latents
    count: Annotated[Count, Field(ge=1)]
    channels: Literal[1, 3]  # 1 for gray, 3 for colour
    resolution: Annotated[Count, Field(ge=1)]  # height and width in pixels
    truncation: float = 1.0  # always 1 in a run
    pictures_sha256: str  # of shape and pixels


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPictures:
    """Kept pictures, uint8 (n, c, h, h), and their description."""

    card: ScoredCard
    pictures: PictureBytes


def scored_file(run: Path, iteration: int) -> Path:
    """Return the path of the pictures that ``iteration`` was scored on."""
    return run / SCORED / f"{iteration:06d}.zip"


def list_scored(run: Path) -> dict[int, Path]:
    """Return the files of a run's kept pictures by iteration, ascending."""
    found = [path for path in (run / SCORED).glob("*.zip") if path.stem.isdecimal()]
    numbered = ((int(path.stem), path) for path in found)
    return dict(sorted((at, path) for at, path in numbered if path == scored_file(run, at)))


def packed(pictures: PictureBytes, *, iteration: int, seed: int) -> bytes:
    """Return the content of a file with ``pictures`` (n, c, h, h) from latents of ``seed``."""
    card = ScoredCard(
        iteration=iteration,
        seed=seed,
        count=len(pictures),
        channels=1 if pictures.shape[1] == 1 else 3,
        resolution=pictures.shape[-1],
        pictures_sha256=pictures_sha256(pictures),
    )
    file = io.BytesIO()
    archive = zipfile.ZipFile(file, "w")
    try:
        archive.writestr(_member(_CARD), json.dumps(sealed(asdict(card)), indent=2) + "\n")
        for name, picture in zip(_names(card.count), pictures, strict=True):
            archive.writestr(_member(name), _encoded(picture))
        archive.close()
    except BaseException:
        archive.fp = None  # closing one that a signal has interrupted is an error of its own
        raise
    return file.getvalue()


def read_scored(path: Path) -> ScoredPictures:
    """Return the pictures of a file that :func:`packed` made; RunError: damaged or unreadable."""
    try:
        require_file(path)
        size = path.stat().st_size
        with path.open("rb") as file, reasons_for_failure(), zipfile.ZipFile(file) as archive:
            card = _card_in(archive, path)
            return ScoredPictures(card, _pictures_in(archive, card, size))
    except OSError as problem:
        raise RunError(f"cannot read {path}: {problem.strerror or problem}") from None
    except Unusable as reason:
        raise RunError(
            f"{path} does not hold the pictures that were scored: {reason}; restore it from a copy "
            "of the run, or remove it: only `graftgan evaluate --again` needs it"
        ) from None


def _names(count: int) -> list[str]:
    digits = max(4, len(str(count - 1)))
    return [f"{number:0{digits}d}.webp" for number in range(count)]


def _member(name: str) -> zipfile.ZipInfo:
    """Return the header of an uncompressed member, the same on every system and at any time."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16  # Unix
    return info


def _encoded(picture: PictureBytes) -> bytes:
    """Return one picture (c, h, h) as WebP, which stores gray as three equal channels."""
    pixels = picture.permute(1, 2, 0).numpy()
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels.repeat(3 // pixels.shape[2], axis=2)))
    image.save(file, "WEBP", lossless=True, quality=_EFFORT, method=_METHOD)
    return file.getvalue()


def _card_in(archive: zipfile.ZipFile, path: Path) -> ScoredCard:
    """Return the card; Unusable: it is damaged, or of another iteration."""
    if _CARD not in archive.namelist():
        raise Unusable(f"it has no {_CARD}")
    if archive.getinfo(_CARD).file_size > _LARGEST_CARD:
        raise Unusable(f"its {_CARD} is too large")
    try:
        plain = unsealed(parse_json(_content(archive, _CARD)))
        card = parse(ScoredCard, plain, where=_CARD)
    except (ValueError, SettingsError) as problem:
        raise Unusable(f"its {_CARD} is damaged: {problem}") from None
    if path.stem.isdecimal() and int(path.stem) != card.iteration:
        raise Unusable(f"they are those of iteration {card.iteration}")
    return card


def _pictures_in(archive: zipfile.ZipFile, card: ScoredCard, size: int) -> PictureBytes:
    """Return the pictures of an archive of ``size`` bytes; Unusable: not those of the card."""
    shape = (card.count, card.channels, card.resolution, card.resolution)
    names = [info.filename for info in archive.infolist()]
    if len(names) != card.count + 1 or names != [_CARD, *_names(card.count)]:
        raise Unusable(f"its members are not the {card.count} pictures that its {_CARD} names")
    if math.prod(shape) > max(_LITTLE, _MOST_UNPACKED * size):
        raise Unusable("it unpacks to far more than its own size")
    pictures = torch.empty(shape, dtype=torch.uint8)
    for picture, name in zip(pictures, names[1:], strict=True):
        picture.copy_(_decoded(_content(archive, name), card, name))
    if pictures_sha256(pictures) != card.pictures_sha256:
        raise Unusable("its pixels do not match their sha256")
    return pictures


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the content of a member; refuse a compressed one, which might be huge."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise Unusable(f"{name} is compressed")
    return unpacked(archive, entry)


def _decoded(content: bytes, card: ScoredCard, name: str) -> PictureBytes:
    """Return one picture (c, h, h), whose format and size are checked before it is decoded."""
    sides = int.from_bytes(content[21:25], "little")
    width, height = (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    if content[12:16] != b"VP8L" or (width, height) != (card.resolution, card.resolution):
        raise Unusable(f"{name} is no lossless WebP of {card.resolution} px")
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[: card.channels]
