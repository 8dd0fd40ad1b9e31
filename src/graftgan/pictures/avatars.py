"""Picture sets for demos and experiments: CC0 avatars drawn by DiceBear, on this machine.

This needs the extra ``demo``: DiceBear turns (style, seed) into an SVG, resvg renders it. Every
style in ``CC0_STYLES`` is dedicated to the public domain (CC0 1.0) by its creator; the style's own
metadata are checked first.
"""

import colorsys
import hashlib
import importlib
import io
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from graftgan.core.errors import CountProgress, ImageSetError
from graftgan.core.files import written_whole
from graftgan.core.registry import suggest

# All CC0 styles of DiceBear 10 but `initials`, which is text and depends on the machine's fonts.
# fmt: off
CC0_STYLES: tuple[str, ...] = (
    "blobs", "cameo", "clay", "constellation", "critters", "cutouts", "disco", "gaze", "glass",
    "identicon", "initial-face", "landscape", "line-face", "loops", "lorelei", "lorelei-neutral",
    "marbles", "moods", "notionists", "notionists-neutral", "open-peeps",
    "patchwork", "pixel-art", "pixel-art-neutral", "pixelbot", "planets", "rings", "shadows",
    "shape-grid", "shapes", "slice", "sprouts", "squircles", "stack", "stripes", "thumbs",
    "triangles", "voxel-art", "voxel-bot", "waves", "weave",
)
# The plain near-white backdrop of these is left out, so that they are cropped and coloured as well.
_PLAIN_BACKDROP = frozenset((
    "clay", "cutouts", "line-face", "lorelei-neutral", "marbles", "notionists-neutral", "slice",
    "stack",
))
# fmt: on

_CARD = "card.json"
_CARD_FORMAT = 1  # increase it when the same arguments draw other pixels
_CC0_URL = "creativecommons.org/publicdomain/zero/1.0"
_PACKAGES = ("dicebear-core", "dicebear-styles", "resvg-py", "pillow")
_OVERSAMPLING = 2  # drawn this much larger, then cropped to the figure and scaled down
_MARGIN = 0.03  # free space around a figure, as a share of its longer side


def render_avatars(
    destination: Path,
    *,
    styles: Sequence[str],
    count: int,
    seed: int = 0,
    size: int = 64,
    progress: CountProgress | None = None,
) -> Path:
    """Draw ``count`` avatars as opaque RGB PNG files into the folder, and return it.

    Styles are names from ``CC0_STYLES``, taken in rotation; ``size`` is the side of a picture in
    pixels. A picture depends only on its style, its number within the style, ``seed`` and ``size``.
    The folder appears whole, with a ``card.json`` that describes it; a folder that already has
    exactly these avatars is left as it is. ``progress`` is called with (pictures done, pictures in
    all).

    Raises:
        ImageSetError: The extra ``demo`` is missing, an argument is out of range, a style is
            unknown or not CC0, or ``destination`` has something else in it.
        RunError: The folder cannot be written.
    """
    if not styles or len(set(styles)) != len(styles):
        raise ImageSetError(f"styles must name one or more different styles, got {list(styles)}")
    if count < 1:
        raise ImageSetError(f"the number of avatars must be at least 1, got {count}")
    if not 8 <= size <= 1024:
        raise ImageSetError(f"the size of an avatar must be 8 to 1024 px, got {size}")
    definitions = {style: _read_cc0_definition(style) for style in styles}
    card = {
        "format": _CARD_FORMAT,
        "what": "avatars drawn by DiceBear",
        "styles": {style: _provenance(d["meta"]) for style, d in definitions.items()},
        "count": count,
        "seed": seed,
        "size": size,
        "versions": {package: version(package) for package in _PACKAGES},
    }
    places = [(styles[i % len(styles)], i // len(styles)) for i in range(count)]
    names = [(style, number, f"{style}-{number:05d}.png") for style, number in places]
    if _already_holds(destination, card, names):
        return destination
    with written_whole(destination) as partial:
        partial.mkdir()
        _draw_all(partial, definitions, names, seed=seed, size=size, progress=progress)
        (partial / _CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return destination


def _library(module: str) -> Any:
    """Import an optional library of the extra ``demo``."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImageSetError(
            f"drawing avatars needs the library {module}; install graftgan with its extra `demo`"
        ) from None


def _read_cc0_definition(style: str) -> dict[str, Any]:
    """Return a style's definition; refuse one whose own metadata does not say CC0 1.0."""
    _library("dicebear_styles")
    try:
        # A namespace package: files() gives a multiplexed path, so join first, then read.
        text = files("dicebear_styles").joinpath(f"{style}.json").read_text(encoding="utf-8")
    except OSError:
        known = list(CC0_STYLES)
        raise ImageSetError(f"no avatar style named '{style}'; {suggest(style, known)}") from None
    definition: dict[str, Any] = json.loads(text)
    licence = definition["meta"]["license"]
    if licence["name"] != "CC0 1.0" or _CC0_URL not in licence["url"]:
        raise ImageSetError(
            f"avatar style '{style}' is licensed '{licence['name']}', not CC0 1.0; "
            f"choose from: {', '.join(CC0_STYLES)}"
        )
    return definition


def _provenance(meta: dict[str, Any]) -> dict[str, str | None]:
    """Return licence, creator and source from a style's metadata."""
    creator, source = meta.get("creator", {}), meta.get("source", {})
    return {
        "licence": meta["license"]["name"],
        "licence_url": meta["license"]["url"],
        "licence_text": meta["license"].get("text"),
        "creator": creator.get("name"),
        "creator_url": creator.get("url"),
        "source": source.get("name"),
        "source_url": source.get("url"),
    }


def _already_holds(
    destination: Path, card: dict[str, Any], names: list[tuple[str, int, str]]
) -> bool:
    """Return whether these avatars are there; ImageSetError: something else is."""
    if not os.path.lexists(destination):
        return False
    if destination.is_dir():
        found = {path.name for path in destination.iterdir()}
        if not found:
            return False
        with suppress(OSError, ValueError):
            known = json.loads((destination / _CARD).read_text(encoding="utf-8"))
            if known == card and found >= {name for _, _, name in names}:
                return True
    raise ImageSetError(
        f"{destination} already exists and is not this set of avatars; nothing was changed. "
        "Choose another folder or remove it"
    )


def _draw_all(
    folder: Path,
    definitions: dict[str, dict[str, Any]],
    names: list[tuple[str, int, str]],
    *,
    seed: int,
    size: int,
    progress: CountProgress | None,
) -> None:
    dicebear = _library("dicebear")
    ready = {style: dicebear.Style(definition) for style, definition in definitions.items()}
    for done, (style, number, name) in enumerate(names, start=1):
        key = f"{style}/{number}/{seed}"
        options: dict[str, Any] = {"seed": key}
        if style in _PLAIN_BACKDROP:
            options["backgroundColor"] = "#00000000"
        svg = dicebear.Avatar(ready[style], options).to_string()
        _draw(svg, key, size).save(folder / name)
        if progress is not None:
            progress(done, len(names))


def _draw(svg: str, key: str, size: int) -> Image.Image:
    """Return the figure of ``svg``, cropped, on a pastel colour chosen by ``key``."""
    side = size * _OVERSAMPLING
    png = _library("resvg_py").svg_to_bytes(
        svg_string=svg, width=side, height=side, skip_system_fonts=True
    )
    figure = Image.open(io.BytesIO(png)).convert("RGBA")
    box = _figure_box(figure)
    opaque = Image.new("RGBA", figure.size, _pastel(key))
    opaque.alpha_composite(figure)
    return opaque.convert("RGB").resize((size, size), Image.Resampling.LANCZOS, box=box)


def _figure_box(figure: Image.Image) -> tuple[float, float, float, float]:
    """Return the square around the opaque part; a bust keeps its lower edge."""
    side = float(figure.width)
    box = figure.getchannel("A").point([0] * 16 + [255] * 240).getbbox()
    if box is None:
        return (0.0, 0.0, side, side)
    left, top, right, bottom = box
    square = min(side, max(right - left, bottom - top) * (1 + 2 * _MARGIN))
    x = min(max((left + right - square) / 2, 0.0), side - square)
    y = (top + bottom - square) / 2 if bottom < side else side - square
    y = min(max(y, 0.0), side - square)
    return (x, y, x + square, y + square)


def _pastel(key: str) -> tuple[int, int, int, int]:
    hue, saturation, value = hashlib.blake2b(key.encode(), digest_size=3).digest()
    rgb = colorsys.hsv_to_rgb(hue / 256, 0.25 + 0.3 * saturation / 256, 0.85 + 0.15 * value / 256)
    red, green, blue = (round(255 * part) for part in rgb)
    return (red, green, blue, 255)
