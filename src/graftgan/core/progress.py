"""How long work tells whoever watches how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, how much there is)."""


def silent(what: str, done: int, total: int) -> None:
    """Show nothing."""
    del what, done, total
