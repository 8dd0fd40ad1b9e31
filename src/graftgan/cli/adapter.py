"""Work with adapters: the small file of tensors that a plan changed.

Each transfer writes adapter.safetensors into its run folder. It is bound by hash to the source it
was made on, and fits no other. So one source serves many domains.

examples:
  graftgan adapter list                                 every adapter below this folder
  graftgan adapter save runs/anime anime.safetensors --half    a file of half the size
  graftgan adapter fold runs/anime my-source            a source folder of its own
  graftgan adapter fold adapter.safetensors my-source --source avatars-64
  graftgan adapter mix runs/a runs/b --weights 0.7,0.3 --out between
  graftgan adapter slide runs/anime                     slide.png, from the source to the target
  graftgan adapter slide runs/a runs/b --to 1.3 --video slide.mp4

`graftgan sample SOURCE --adapter runs/a:0.7` draws pictures without writing a source.
"""

import math
from pathlib import Path
from typing import Annotated

import torch
from typing_extensions import Doc
from tyro.conf import Positional

from graftgan.cli.model_arguments import free_place, note_weights, numbers_in
from graftgan.cli.terminal import Half, Iteration, Truncation, console, subverbs, table_of
from graftgan.core.errors import GraftganError, SettingsError
from graftgan.core.files import refuse_existing
from graftgan.core.network_types import PictureBytes
from graftgan.models.adapters.adapter import FILE_NAME, save_adapter_of_run
from graftgan.models.adapters.bank import fold_adapter, mix_adapters, open_bank, slide
from graftgan.models.adapters.listing import ListedAdapter, list_adapters
from graftgan.models.video import VIDEO_KINDS, write_video
from graftgan.networks.sampling import latents_for
from graftgan.reports import labelled_strip, save_png

Base = Annotated[str | None, Doc("The base, if it is not found under the name it had.")]

_BASE_STATES = {
    "here": "found",
    "not found": "not found here",
    "another": "another is here now",
}
_VIDEO_FRAMES = 24  # from one end to the other
_VIDEO_SPEED = 15  # frames per second
_VIDEO_SIDE = 384  # pixels


def show_adapters(places: Positional[tuple[Path, ...]] = ()) -> None:
    """List adapters with base, plan and size, then the unusable ones with the reason.

    Args:
        places: Adapter files, run folders, or folders of runs; without any, the current folder.
    """
    found = list_adapters(places or [Path()])
    if not found:
        console.print("no adapters here; each transfer leaves one in its run folder")
        return
    headings = ("adapter", "base", "plan", "trains", "file", "pictures")
    table = table_of(headings, overflow="fold", show_lines=True)
    for path, adapter in found.items():
        if isinstance(adapter, ListedAdapter):
            name = path.parent if path.name == FILE_NAME and path.parent.name else path
            note, size = adapter.note, adapter.size
            short = note.base_fingerprints.get("generator", "")[:8]
            table.add_row(
                str(name),
                f"{Path(note.base).name}\n{short}, {_BASE_STATES[adapter.base_state]}",
                note.plan,
                f"{size.trainable:,}\n{size.trained_share:.1%} of the pair",
                f"{adapter.file_bytes / 1e6:.2f} MB\n{adapter.precision}",
                f"{note.pictures}\niteration {note.iteration:,}",
            )
    if table.row_count:
        console.print(table)
    for error in found.values():
        if isinstance(error, GraftganError):
            console.print(f"unusable: {error}")


def save(
    run: Positional[Path],
    destination: Positional[Path],
    iteration: Iteration = None,
    half: Half = False,
) -> None:
    """Write the adapter of a run's checkpoint, or a copy of an adapter file, to a new file.

    Args:
        run: The run folder, or an adapter file.
        destination: The new .safetensors file.
    """
    adapter = save_adapter_of_run(run, destination, iteration=iteration, half=half)
    size = destination.stat().st_size / 1e6
    console.print(f"{destination}: {size:.2f} MB, {adapter.precision}, plan {adapter.note.plan}")


def fold(
    adapter: Positional[Path],
    destination: Positional[Path],
    source: Base = None,
    half: Half = False,
) -> None:
    """Fold an adapter into its base and write the result as a source folder.

    Args:
        adapter: The adapter file, or its run folder.
        destination: The new source folder.
    """
    fold_adapter(adapter, destination, source=source, half=half)
    console.print(f"a source of its own: {destination}")


def mix(
    adapters: Positional[tuple[Path, ...]],
    out: Path,
    weights: str | None = None,
    source: Base = None,
    half: Half = False,
) -> None:
    """Mix adapters of one base: base + the sum of weight x (adapted - base), as a source folder.

    Args:
        adapters: Adapter files or run folders; their plans may differ.
        out: The new source folder.
        weights: One number for each, such as 0.7,0.3; equal shares by default. If they add up to
            less than 1, the base has the rest.
    """
    if not adapters:
        raise SettingsError("name the adapters to mix; see graftgan adapter --help")
    equal = [1 / len(adapters)] * len(adapters)
    numbers = equal if weights is None else numbers_in(weights, flag="--weights")
    if len(numbers) != len(adapters):
        raise SettingsError(
            f"--weights needs a number for each adapter: {len(adapters)} adapters, "
            f"{len(numbers)} weights"
        )
    mixed = dict(zip(adapters, numbers, strict=True))
    if len(mixed) < len(adapters):
        raise SettingsError("an adapter is named twice; name each once, with the sum as its weight")
    mix_adapters(mixed, out, source=source, half=half)
    note_weights(numbers)
    console.print(f"a source of its own: {out}")


def draw_slide(
    adapters: Positional[tuple[Path, ...]],
    steps: int = 9,
    rows: int = 6,
    start: float = 0.0,
    to: float = 1.0,
    seed: int = 0,
    truncation: Truncation = 1.0,
    source: Base = None,
    out: Path | None = None,
    video: Path | None = None,
) -> None:
    """Draw the steps from the source to an adapter, or from one adapter to another.

    Args:
        adapters: One adapter file or run folder, or two.
        steps: The number of columns.
        rows: The number of latents, one row for each.
        start: Position of the first column: 0 is the source, or the first of two adapters.
        to: Position of the last column: 1 is the adapter, or the second of two; 1.3 goes further.
        seed: The seed of the latents.
        out: The .png file; without it, slide.png, or slide_2.png where that exists.
        video: Also write a video of the way there and back: a .gif file, or .mp4 (needs the extra
            `video`).
    """
    out = free_place(out, "slide.png")
    if len(adapters) not in {1, 2}:
        raise SettingsError(f"slide takes one adapter or two, got {len(adapters)}")
    if steps < 2:
        raise SettingsError(f"a slide needs at least 2 steps, got {steps}")
    if not (math.isfinite(start) and math.isfinite(to)):
        raise SettingsError(f"--start and --to must be finite, got {start} and {to}")
    if out.suffix.lower() != ".png":
        raise SettingsError(f"'{out}' is no picture: its name must end in .png")
    if video is not None and video.suffix.lower() not in VIDEO_KINDS:
        raise SettingsError(f"'{video}' is no video: its name must end in .gif or .mp4")
    if video is not None:
        refuse_existing(video)
    bank = open_bank(adapters, base=source)
    *others, last = [{str(path): 1.0} for path in adapters]
    first: dict[str, float] = others[0] if others else {}

    def pictures(positions: list[float], count: int) -> PictureBytes:
        latents = latents_for(bank.base.pair.architecture, count, seed=seed)
        return slide(bank, first, last, positions=positions, latents=latents, truncation=truncation)

    at_0, at_1 = ["the source", *map(str, adapters)][-2:]
    columns = _line(start, to, steps)
    headings = [f"{round(position, 2):g}" for position in columns]
    title = f"0: {at_0}    1: {at_1}"
    save_png(labelled_strip(pictures(columns, rows), headings, title=title), out)
    console.print(f"{rows} latents at {steps} positions in {out}")
    if video is not None:
        side = math.ceil(rows**0.5)
        there = _grids(pictures(_line(start, to, _VIDEO_FRAMES), side**2), side)
        both_ways = torch.cat([there, there.flip(0)])
        write_video(both_ways, video, frames_per_second=_VIDEO_SPEED, size=_VIDEO_SIDE)
        console.print(f"{len(both_ways)} frames in {video}")


def _line(start: float, end: float, count: int) -> list[float]:
    return torch.linspace(start, end, count, dtype=torch.float64).tolist()


def _grids(columns: PictureBytes, side: int) -> PictureBytes:
    """Return a square grid (c, h, w) for each position (position, side^2, c, h, w)."""
    squares = columns.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2, 5)
    return squares.flatten(4, 5).flatten(2, 3)


main = subverbs(__name__, list=show_adapters, save=save, fold=fold, mix=mix, slide=draw_slide)
