"""``graftgan adapter slide``."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import tyro

from graftgan.cli.screen import console
from graftgan.core.errors import SettingsError
from graftgan.core.tensors import PictureBytes
from graftgan.models.adapters import open_bank, slide
from graftgan.models.video import FILM_KINDS, write_film
from graftgan.networks.sampling import latents_for
from graftgan.reports import labelled_strip, save_png

_FILM_FRAMES = 24  # from one end to the other
_FILM_SPEED = 15  # frames per second
_FILM_SIDE = 384  # pixels


def draw_slide(
    adapters: tyro.conf.Positional[tuple[Path, ...]],
    steps: int = 9,
    rows: int = 6,
    start: float = 0.0,
    to: float = 1.0,
    seed: int = 0,
    truncation: float = 1.0,
    source: str | None = None,
    out: Path = Path("slide.png"),
    video: Path | None = None,
) -> None:
    """Draw the way from the source to an adapter, or from one adapter to another.

    Args:
        adapters: One adapter file or run folder, or two.
        steps: Columns.
        rows: Latents, a row for each.
        start: Where the first column lies: 0 is the source, or the first of two adapters.
        to: Where the last column lies: 1 is the adapter, or the second of two; 1.3 goes further.
        seed: Of the latents.
        truncation: Below 1 pictures lie nearer to the average one.
        source: The base, if it is not found under the name it had.
        out: The .png file.
        video: Also a film of the way there and back: a .gif file, or .mp4 (needs the extra
            `video`).
    """
    _check(adapters, steps, (start, to), out, video)
    bank = open_bank(adapters, base=source)
    full = [{str(path): 1.0} for path in adapters]
    first, last = full if len(full) == 2 else ({}, full[0])

    def pictures(positions: int, count: int) -> PictureBytes:
        architecture = bank.base.pair.architecture
        return slide(
            bank,
            first,
            last,
            positions=_line(start, to, positions),
            latents=latents_for(architecture, count, seed=seed),
            truncation=truncation,
        )

    at_0, at_1 = ["the source", *map(str, adapters)][-2:]
    headings = [f"{round(position, 2):g}" for position in _line(start, to, steps)]
    title = f"0: {at_0}    1: {at_1}"
    save_png(labelled_strip(pictures(steps, rows), headings, title=title), out)
    console.print(f"{rows} latents at {steps} positions in {out}")
    if video is not None:
        side = math.ceil(rows**0.5)
        there = _grids(pictures(_FILM_FRAMES, side**2), side)
        both_ways = torch.cat([there, there.flip(0)])
        write_film(both_ways, video, frames_per_second=_FILM_SPEED, size=_FILM_SIDE)
        console.print(f"{len(both_ways)} frames in {video}")


def _check(
    adapters: Sequence[Path],
    steps: int,
    ends: tuple[float, float],
    out: Path,
    video: Path | None,
) -> None:
    """Raise SettingsError for what cannot be drawn, before anything is loaded."""
    if len(adapters) not in {1, 2}:
        raise SettingsError(f"slide takes one adapter or two, got {len(adapters)}")
    if steps < 2:
        raise SettingsError(f"a slide needs at least 2 steps, got {steps}")
    if not all(map(math.isfinite, ends)):
        raise SettingsError(f"--start and --to must be finite, got {ends[0]} and {ends[1]}")
    if out.suffix.lower() != ".png":
        raise SettingsError(f"'{out}' is no picture: its name must end in .png")
    if video is not None and video.suffix.lower() not in FILM_KINDS:
        raise SettingsError(f"'{video}' is no film: its name must end in .gif or .mp4")


def _line(start: float, end: float, count: int) -> list[float]:
    return torch.linspace(start, end, count, dtype=torch.float64).tolist()


def _grids(columns: PictureBytes, side: int) -> PictureBytes:
    """Return a square grid (c, h, w) for each position (position, side^2, c, h, w)."""
    positions, _, channels, height, width = columns.shape
    squares = columns.reshape(positions, side, side, channels, height, width)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(
        positions, channels, side * height, side * width
    )
