"""``graftgan adapter``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.adapters import fold_adapter
from graftgan.cli.screen import console

DESCRIPTION = """Work with adapters: the small file of tensors that a plan changed.

Each transfer leaves adapter.safetensors in its run folder. It is bound by hash to the source it was
made on, and refuses any other.

examples:
  graftgan adapter fold runs/my_pictures my-source      a source folder of its own
  graftgan adapter fold adapter.safetensors my-source --source avatars-64
"""


@dataclass(frozen=True)
class Fold:
    """Work an adapter into its base and write the result as a source folder."""

    adapter: tyro.conf.Positional[Path]
    """The adapter file, or its run folder."""
    destination: tyro.conf.Positional[Path]
    """The new source folder."""
    source: str | None = None
    """The base, if it is not found under the name it had."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = tyro.cli(
        tyro.conf.OmitSubcommandPrefixes[
            Annotated[Fold, tyro.conf.subcommand("fold")]
            | Annotated[None, tyro.conf.subcommand("help", description="show this page")]
        ],
        args=list(arguments) or ["--help"],
        prog="graftgan adapter",
        description=DESCRIPTION,
    )
    if options is None:
        print(DESCRIPTION)
        return 0
    fold_adapter(options.adapter, options.destination, source=options.source)
    console.print(f"a source of its own: {options.destination}")
    return 0
