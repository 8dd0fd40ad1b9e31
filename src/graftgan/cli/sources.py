"""``graftgan sources``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table
from rich.text import Text

from graftgan.checkpoints import SourceCard
from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import console, table_of
from graftgan.core.errors import SourceError
from graftgan.models.sources import find_source, list_sources, open_source, pack_run

DESCRIPTION = """List the sources on this machine, show one, or pack a run as a new one.

Sources are found in the package and in ~/.graftgan/sources (or $GRAFTGAN_SOURCES); any source
folder or run folder can also be named by its path.

examples:
  graftgan sources list
  graftgan sources show avatars-64
  graftgan sources pack runs/faces ~/.graftgan/sources/faces-64 --licence "CC0 1.0"
"""


@dataclass(frozen=True)
class List:
    """List the sources on this machine."""


@dataclass(frozen=True)
class Show:
    """Show the card of a source."""

    source: tyro.conf.Positional[str]
    """The source's name, or a source or run folder."""


@dataclass(frozen=True)
class Pack:
    """Pack the networks of a run as a source folder: averaged generator, modulations folded."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    destination: tyro.conf.Positional[Path]
    """The new source folder; its name is the source's name."""
    licence: str
    """The licence of the pictures, and so of the weights."""
    data: str | None = None
    """The pictures in words."""
    command: str = "not stated"
    """The command that makes the source again."""
    notes: str = ""
    """Anything a user should know."""
    iteration: int | None = None
    """The checkpoint to take; without it, the newest."""
    half: bool = False
    """Store 16-bit numbers: half the size, no visible difference."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    kind: Any = (
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Pack, tyro.conf.subcommand("pack")]
    )
    words = list(arguments) or ["--help"]
    options = parse_flags(kind, words, prog="graftgan sources", description=DESCRIPTION)
    if isinstance(options, List):
        console.print(_table())
    elif isinstance(options, Show):
        _show(open_source(options.source).card, find_source(options.source))
    else:
        card = pack_run(
            options.run,
            options.destination,
            licence=options.licence,
            data=options.data,
            command=options.command,
            notes=options.notes,
            iteration=options.iteration,
            half=options.half,
        )
        _show(card, options.destination)
    return 0


def _table() -> Table:
    table = table_of(("name", "networks", "data", "licence", "objective", "iterations"))
    for folder, card in list_sources():
        if isinstance(card, SourceError):
            table.add_row(folder.name, "unusable", str(card), "", "", "")
            continue
        shape = f"{card.architecture.backbone} {card.architecture.resolution}px"
        iterations = f"{card.iterations:,}"
        table.add_row(card.name, shape, card.data, card.licence, card.objective, iterations)
    return table


def _show(card: SourceCard, folder: Path) -> None:
    table = Table(show_header=False, title=Text(str(folder)), title_justify="left")
    for name, value in card.as_dict().items():
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        table.add_row(name, str(shown))
    console.print(table)
