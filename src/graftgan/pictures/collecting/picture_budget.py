"""How many pictures of one source are still wanted, and how many are on their way."""

import threading


class PictureBudget:
    """Lets in as many downloads as may run, and never more than pictures are wanted."""

    def __init__(self, wanted: int | None, at_once: int) -> None:
        self.wanted = wanted
        self._at_once = at_once
        self._names: set[str] = set()
        self._on_their_way = 0
        self._changed = threading.Condition()

    @property
    def have(self) -> int:
        """Different pictures that this source gave, now or earlier."""
        with self._changed:
            return len(self._names)

    @property
    def is_full(self) -> bool:
        """Whether no more are wanted."""
        with self._changed:
            return self.wanted is not None and len(self._names) >= self.wanted

    def count(self, name: str) -> None:
        """Count a picture that is there already."""
        with self._changed:
            self._names.add(name)
            self._changed.notify_all()

    def enter(self) -> bool:
        """Wait until one more may be fetched; return whether it is wanted at all."""
        with self._changed:
            while not self.is_full and self._must_wait():
                self._changed.wait()
            if self.is_full:
                return False
            self._on_their_way += 1
            return True

    def leave(self, name: str | None) -> None:
        """Say that what was let in is done; ``name`` is the picture that it gave."""
        with self._changed:
            self._on_their_way -= 1
            if name is not None:
                self._names.add(name)
            self._changed.notify_all()

    def wait_for_all(self) -> None:
        """Wait until nothing is on its way."""
        with self._changed:
            while self._on_their_way:
                self._changed.wait()

    def _must_wait(self) -> bool:
        if self._on_their_way >= self._at_once:
            return True
        return self.wanted is not None and len(self._names) + self._on_their_way >= self.wanted
