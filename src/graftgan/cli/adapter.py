"""``graftgan adapter``."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from graftgan.adapters import fold_adapter
from graftgan.cli.arguments import call_subcommand
from graftgan.cli.screen import console

DESCRIPTION = """Work with adapters: the small file of tensors that a plan changed.

Each transfer leaves adapter.safetensors in its run folder. It is bound by hash to the source it was
made on, and refuses any other.

examples:
  graftgan adapter fold runs/my_pictures my-source      a source folder of its own
  graftgan adapter fold adapter.safetensors my-source --source avatars-64
"""


def fold(
    adapter: tyro.conf.Positional[Path],
    destination: tyro.conf.Positional[Path],
    source: str | None = None,
) -> None:
    """Work an adapter into its base and write the result as a source folder.

    Args:
        adapter: The adapter file, or its run folder.
        destination: The new source folder.
        source: The base, if it is not found under the name it had.
    """
    fold_adapter(adapter, destination, source=source)
    console.print(f"a source of its own: {destination}")


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    call_subcommand({"fold": fold}, arguments, prog="graftgan adapter", description=DESCRIPTION)
    return 0
