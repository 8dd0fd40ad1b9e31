"""How much is decoded at once in this process."""

from collections.abc import Generator
from contextlib import contextmanager
from threading import Condition


class MemoryBudget:
    """Bytes that threads share; whoever needs all of them waits until nobody holds any.

    Args:
        total: Bytes in all. Who needs more gets them alone.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._changed = Condition()

    @contextmanager
    def hold(self, needed: int) -> Generator[None]:
        """Wait until ``needed`` bytes are free and hold them; never called while holding some."""
        needed = min(needed, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()
