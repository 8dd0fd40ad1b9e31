"""Progress callbacks."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, how much there is)."""

CountProgress = Callable[[int, int], None]
"""Called with (how much is done, how much there is), where the caller knows what is being done."""


def silent(what: str, done: int, total: int) -> None:
    """Show nothing."""
    del what, done, total
