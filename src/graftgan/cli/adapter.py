"""``graftgan adapter``."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from graftgan.cli.adapter_list import show_adapters
from graftgan.cli.adapter_slide import draw_slide
from graftgan.cli.arguments import call_subcommand
from graftgan.cli.model_arguments import note_weights, numbers_in
from graftgan.cli.screen import console
from graftgan.core.errors import SettingsError
from graftgan.models.adapters import fold_adapter, mix_adapters, save_adapter_of_run

DESCRIPTION = """Work with adapters: the small file of tensors that a plan changed.

Each transfer leaves adapter.safetensors in its run folder. It is bound by hash to the source it was
made on, and refuses any other. So one source serves many domains.

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


def save(
    run: tyro.conf.Positional[Path],
    destination: tyro.conf.Positional[Path],
    iteration: int | None = None,
    half: bool = False,
) -> None:
    """Write the adapter of a run's checkpoint, or an adapter file once more, as a file of its own.

    Args:
        run: The run folder, or an adapter file.
        destination: The new .safetensors file.
        iteration: The checkpoint of the run; without it, the newest.
        half: Store 16-bit numbers: half the size, no visible difference.
    """
    adapter = save_adapter_of_run(run, destination, iteration=iteration, half=half)
    size = destination.stat().st_size / 1e6
    console.print(f"{destination}: {size:.2f} MB, {adapter.precision}, plan {adapter.note.plan}")


def fold(
    adapter: tyro.conf.Positional[Path],
    destination: tyro.conf.Positional[Path],
    source: str | None = None,
    half: bool = False,
) -> None:
    """Work an adapter into its base and write the result as a source folder.

    Args:
        adapter: The adapter file, or its run folder.
        destination: The new source folder.
        source: The base, if it is not found under the name it had.
        half: Store 16-bit numbers: half the size, no visible difference.
    """
    fold_adapter(adapter, destination, source=source, half=half)
    console.print(f"a source of its own: {destination}")


def mix(
    adapters: tyro.conf.Positional[tuple[Path, ...]],
    out: Path,
    weights: str | None = None,
    source: str | None = None,
    half: bool = False,
) -> None:
    """Mix adapters of one base: base + the sum of weight x (adapted - base), as a source folder.

    Args:
        adapters: Adapter files or run folders; their plans may differ.
        out: The new source folder.
        weights: One number for each, such as 0.7,0.3; without, equal shares. Where they add up to
            less than 1, the base has the rest.
        source: The base, if it is not found under the name it had.
        half: Store 16-bit numbers: half the size, no visible difference.
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


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    verbs = {
        "list": show_adapters,
        "save": save,
        "fold": fold,
        "mix": mix,
        "slide": draw_slide,
    }
    call_subcommand(verbs, arguments, prog="graftgan adapter", description=DESCRIPTION)
    return 0
