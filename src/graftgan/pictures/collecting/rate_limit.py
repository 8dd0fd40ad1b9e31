"""Time: a clock that can be stopped, and the pauses between requests to one host."""

import threading
import time


class Stopped(Exception):  # noqa: N818 - ends the threads, never leaves this room
    """The collection was asked to stop."""


class Clock:
    """The real time; a test takes one of its own."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def now(self) -> float:
        """Return seconds on a clock that only goes forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: The collection was stopped before or meanwhile.
        """
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        """Wake everything that sleeps; from now on nothing does."""
        self._stop.set()


class RateLimit:
    """Keeps a pause between the starts of two requests to one host."""

    def __init__(self, clock: Clock, pause: float) -> None:
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}
        self._pauses: dict[str, float] = {}

    def wait_turn(self, host: str) -> None:
        """Wait until a request to ``host`` may start.

        Raises:
            Stopped: The collection was stopped meanwhile.
        """
        with self._lock:
            now = self._clock.now()
            start = max(now, self._free_at.get(host, now))
            self._free_at[host] = start + self._pauses.get(host, self._pause)
        self._clock.sleep(start - now)

    def hold(self, host: str, seconds: float) -> None:
        """Let nobody ask ``host`` for so long, as it wishes."""
        with self._lock:
            until = self._clock.now() + seconds
            self._free_at[host] = max(until, self._free_at.get(host, until))

    def slow_down(self, host: str, pause: float) -> None:
        """Keep at least ``pause`` seconds between requests to ``host`` from now on."""
        with self._lock:
            self._pauses[host] = max(pause, self._pauses.get(host, self._pause))
