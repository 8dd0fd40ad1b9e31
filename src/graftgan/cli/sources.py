"""List the sources on this machine, show one, or pack a run as a new one.

Sources lie in the package and in ~/.graftgan/sources (or $GRAFTGAN_SOURCES); any source folder or
run folder can also be given by its path.

examples:
  graftgan sources list
  graftgan sources show avatars-64
  graftgan sources pack runs/faces ~/.graftgan/sources/faces-64 --licence "CC0 1.0"
"""

from pathlib import Path

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from graftgan.checkpoints import SourceCard
from graftgan.cli.terminal import Half, console, subverbs, table_of
from graftgan.core.errors import SourceError
from graftgan.models.sources import find_source, list_sources, open_source, pack_run


def show_all() -> None:
    """List the sources on this machine."""
    table = table_of(("name", "networks", "data", "licence", "objective", "iterations"))
    for folder, card in list_sources():
        if isinstance(card, SourceError):
            table.add_row(folder.name, "unusable", str(card), "", "", "")
            continue
        shape = f"{card.architecture.backbone} {card.architecture.resolution}px"
        iterations = f"{card.iterations:,}"
        table.add_row(card.name, shape, card.data, card.licence, card.objective, iterations)
    console.print(table)


def show_card(source: Positional[str]) -> None:
    """Show the card of a source.

    Args:
        source: The source's name, or a source or run folder.
    """
    _print(open_source(source).card, find_source(source))


def pack(
    run: Positional[Path],
    destination: Positional[Path],
    licence: str,
    data: str | None = None,
    command: str = "not stated",
    notes: str = "",
    iteration: int | None = None,
    half: Half = False,
) -> None:
    """Pack the networks of a run as a source folder: averaged generator, modulations folded.

    Args:
        run: The run folder.
        destination: The new source folder; its name is the source's name.
        licence: The licence of the pictures, and so of the weights.
        data: The pictures in words.
        command: The command that makes the source again.
        notes: Anything a user should know.
        iteration: The checkpoint to take; without it, the newest.
    """
    card = pack_run(
        run,
        destination,
        licence=licence,
        data=data,
        command=command,
        notes=notes,
        iteration=iteration,
        half=half,
    )
    _print(card, destination)


def _print(card: SourceCard, folder: Path) -> None:
    table = Table(show_header=False, title=Text(str(folder)), title_justify="left")
    for name, value in card.as_dict().items():
        is_table = isinstance(value, dict)
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if is_table else str(value)
        table.add_row(name, shown)
    console.print(table)


main = subverbs(__name__, list=show_all, show=show_card, pack=pack)
