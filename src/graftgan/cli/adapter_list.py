"""``graftgan adapter list``."""

from pathlib import Path

import tyro

from graftgan.cli.screen import console, table_of
from graftgan.core.errors import GraftganError
from graftgan.models.adapters import FILE_NAME, ListedAdapter, list_adapters

_BASE_STATES = {
    "here": "found",
    "not found": "not found here",
    "another": "another is here now",
}


def show_adapters(places: tyro.conf.Positional[tuple[Path, ...]] = ()) -> None:
    """Show every adapter with its base, plan and size; below them what is unusable, and why.

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
            table.add_row(str(name), *_cells(adapter))
    if table.row_count:
        console.print(table)
    for error in found.values():
        if isinstance(error, GraftganError):
            console.print(f"unusable: {error}")


def _cells(adapter: ListedAdapter) -> list[str]:
    note, size = adapter.note, adapter.size
    short = note.base_fingerprints.get("generator", "")[:8]
    return [
        f"{Path(note.base).name}\n{short}, {_BASE_STATES[adapter.base_state]}",
        note.plan,
        f"{size.trainable:,}\n{size.trained_share:.1%} of the pair",
        f"{adapter.file_bytes / 1e6:.2f} MB\n{adapter.precision}",
        f"{note.pictures}\niteration {note.iteration:,}",
    ]
