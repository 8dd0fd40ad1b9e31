"""An HTTP client that is polite, has limits, and retries temporary failures."""

import io
import os
import random
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import IO, Any
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3 import exceptions

from graftgan.core.files import parse_json
from graftgan.pictures.collecting.addresses import (
    LARGEST_ROBOTS,
    Reach,
    Robots,
    host_of,
    is_same_server,
    parse_robots,
    private_home,
    reach_of_name,
    tidy,
)
from graftgan.pictures.collecting.guarded_connection import GuardedConnection, guarded_pool
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason, refusal_of, refused_status
from graftgan.pictures.collecting.settings import CollectSettings

_CONNECT_S = 10.0
_LONGEST_WAIT_S = 300.0  # a server that asks for more is not retried
_LARGEST_LISTING = 20_000_000  # bytes
_REDIRECTS = 5  # followed for one picture
_MOVED = frozenset((301, 302, 303, 307, 308))
_PIECE = 64 * 1024  # bytes
_START = 64  # bytes that tell the format of a file


class Stopped(Exception):  # noqa: N818 - ends the threads, always caught
    """The collection was asked to stop."""


class Clock:
    """The real time, which can be stopped; tests use one of their own."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def now(self) -> float:
        """Return seconds on a monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; Stopped: the collection was stopped before or meanwhile."""
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        """End every sleep, now and later, with Stopped."""
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
        """Wait until a request to ``host`` may start."""
        with self._lock:
            now = self._clock.now()
            start = max(now, self._free_at.get(host, now))
            self._free_at[host] = start + self._pauses.get(host, self._pause)
        self._clock.sleep(start - now)

    def hold(self, host: str, seconds: float) -> None:
        """Start no request to ``host`` for the next ``seconds``."""
        with self._lock:
            until = self._clock.now() + seconds
            self._free_at[host] = max(until, self._free_at.get(host, until))

    def slow_down(self, host: str, pause: float) -> None:
        """Keep at least ``pause`` seconds between requests to ``host`` from now on."""
        with self._lock:
            self._pauses[host] = max(pause, self._pauses.get(host, self._pause))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The limits and headers of a request.

    ``home`` is the private address that the user named to get here, if any: only its server may be
    private, wherever redirects lead.
    """

    largest: int  # bytes of the body at most, as sent and as unpacked
    home: str | None = None
    asks_robots: bool = False  # whether robots.txt decides
    # Raises Refusal if the first bytes are not those of a picture: then the rest is not fetched.
    check_start: Callable[[bytes], object] | None = None
    headers: tuple[tuple[str, str], ...] = ()  # in addition to our own


class Web:
    """A client for many threads; close it when done."""

    def __init__(self, settings: CollectSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._rate_limit = RateLimit(clock, settings.pause)
        self._pool = guarded_pool(settings.connections + 1)  # one more for the listing
        contact = settings.contact or os.environ.get("GRAFTGAN_CONTACT") or "not given"
        words = f"graftgan/{version('graftgan')} (collects pictures; contact: {contact})"
        self._headers = {"User-Agent": words, "Accept-Encoding": "identity"}
        self._robots: dict[str, Robots | Refusal] = {}
        self._robots_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guarded: set[GuardedConnection] = set()
        self._chance = random.Random()

    def close(self) -> None:
        """End every connection, also those in use."""
        for guarded in list(self._guarded):
            guarded.pull()
        self._pool.clear()

    def download(self, address: str, file: IO[bytes], request: Request) -> None:
        """Write the body of ``address`` into ``file``, from its start.

        Raises:
            Refusal: It cannot be downloaded, after retries if the reason is temporary.
            Stopped: The collection was stopped.
        """
        tried = 0
        while True:
            try:
                return self._attempt(tidy(address), file, request)
            except Refusal as refusal:
                tried += 1
                if not refusal.reason.passes or tried == self._settings.tries:
                    raise
                self._wait_after(refusal, address, tried)

    def listing(self, api: str, query: dict[str, str], *, token: str | None = None) -> Any:
        """Return the JSON data of an API; raises as :meth:`download` does."""
        headers = (("Authorization", f"Bearer {token}"),) if token else ()
        request = Request(largest=_LARGEST_LISTING, home=private_home(api), headers=headers)
        body = io.BytesIO()
        self.download(f"{api}?{urlencode(query)}", body, request)
        try:
            return parse_json(body.getvalue())
        except ValueError:
            raise Refusal(RefusalReason.OTHER_STATUS, f"{api} does not answer with JSON") from None

    def _attempt(self, address: str, file: IO[bytes], request: Request) -> None:
        start = host_of(address)
        for _ in range(_REDIRECTS + 1):
            allows_private = self._settings.allow_private or (
                request.home is not None and is_same_server(address, request.home)
            )
            _refuse_reach(address, allows_private=allows_private)
            if request.asks_robots and self._settings.robots:
                self._ask_robots(address, request.home)
            file.seek(0)
            file.truncate()
            headers = dict(request.headers) if host_of(address) == start else {}  # may be secrets
            guarded = GuardedConnection(self._settings.seconds, allows_private=allows_private)
            target = self._answer(address, file, request, headers, guarded)
            if target is None:
                return
            try:
                address = tidy(urljoin(address, target))
            except ValueError as error:
                detail = f"redirected to a bad address: {error}"
                raise Refusal(RefusalReason.BAD_ADDRESS, detail) from None
        raise Refusal(RefusalReason.REDIRECTS, f"more than {_REDIRECTS}")

    def _answer(
        self,
        address: str,
        file: IO[bytes],
        request: Request,
        headers: dict[str, str],
        guarded: GuardedConnection,
    ) -> str | None:
        """Copy the body of the answer; return the address of a redirect instead."""
        self._rate_limit.wait_turn(host_of(address))
        self._guarded.add(guarded)
        try:
            with guarded:
                answer = self._pool.request(
                    "GET",
                    address,
                    headers={**headers, **self._headers},
                    timeout=urllib3.Timeout(connect=_CONNECT_S, read=self._settings.silence),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                target = _take(answer, file, request)
        except (exceptions.HTTPError, OSError, ValueError, Refusal) as error:
            self._clock.sleep(0)  # do not report a connection that we ended ourselves
            raise refusal_of(error, self._settings, time_is_up=guarded.time_is_up) from None
        finally:
            self._guarded.discard(guarded)
        if guarded.time_is_up:  # an answer that was cut off may look like a short one
            self._clock.sleep(0)
            raise refusal_of(TimeoutError(), self._settings, time_is_up=True)
        return target

    def _ask_robots(self, address: str, home: str | None) -> None:
        host = host_of(address)
        with self._robots_locks[host]:  # one thread asks, the others wait for the answer
            if host not in self._robots:
                self._robots[host] = self._read_robots(address, home)
            robots = self._robots[host]
        if isinstance(robots, Refusal):
            raise Refusal(robots.reason, f"its robots.txt: {robots.detail}")
        if not robots.allows(address):
            raise Refusal(RefusalReason.ROBOTS, host)

    def _read_robots(self, address: str, home: str | None) -> Robots | Refusal:
        body = io.BytesIO()
        parts = urlsplit(address)
        request = Request(largest=LARGEST_ROBOTS, home=home)
        try:
            self.download(f"{parts.scheme}://{parts.netloc}/robots.txt", body, request)
        except Refusal as refusal:
            # Without such a file there are no rules; one that cannot be read may have some.
            is_unknown = refusal.reason.passes or refusal.reason is RefusalReason.TOO_SLOW
            return refusal if is_unknown else Robots()
        robots = parse_robots(body.getvalue().decode("utf-8", errors="replace"))
        if robots.pause is not None:
            self._rate_limit.slow_down(parts.netloc, robots.pause)
        return robots

    def _wait_after(self, refusal: Refusal, address: str, tried: int) -> None:
        longest = self._settings.pause * 2**tried
        wait = self._chance.uniform(longest / 2, longest)
        if refusal.wait_s is not None:
            if refusal.wait_s > _LONGEST_WAIT_S:
                raise refusal
            wait = max(wait, refusal.wait_s)
        if refusal.wait_s is not None or refusal.reason is RefusalReason.TOO_MANY_REQUESTS:
            self._rate_limit.hold(host_of(tidy(address)), wait)  # holds the other threads as well
        self._clock.sleep(wait)


def _refuse_reach(address: str, *, allows_private: bool) -> None:
    reach = reach_of_name(address)
    if reach is Reach.FORBIDDEN:
        raise Refusal(RefusalReason.PRIVATE_ADDRESS, f"{host_of(address)} is never contacted")
    if reach is Reach.PRIVATE and not allows_private:
        raise Refusal(RefusalReason.PRIVATE_ADDRESS, f"{host_of(address)} is in a private network")


def _take(answer: urllib3.BaseHTTPResponse, file: IO[bytes], request: Request) -> str | None:
    """Copy the body of an answer; return the address of a redirect instead."""
    is_read = False
    try:
        location = answer.headers.get("Location")
        if answer.status in _MOVED and location:
            return location
        if answer.status != 200:
            raise refused_status(answer)
        _copy_body(answer, file, request)
        is_read = True
        return None
    finally:
        if is_read:
            answer.release_conn()
        else:
            answer.close()  # does not wait for the rest of the body


def _copy_body(answer: urllib3.BaseHTTPResponse, file: IO[bytes], request: Request) -> None:
    """Copy the body, with a limit on its size as sent and as unpacked."""
    largest, check = request.largest, request.check_start
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:20]) > largest:
        size, most = _megabytes(int(announced[:20])), _megabytes(largest)
        raise Refusal(RefusalReason.TOO_LARGE, f"{size}, at most {most} are taken")
    unpack = _unpacker(answer.headers.get("Content-Encoding", ""))
    sent = written = 0
    start = b""
    # Take what one read of the socket returns: a full piece may take long on a slow server.
    while piece := answer.read1(_PIECE, decode_content=False):
        sent += len(piece)
        content = unpack(piece, largest - written + 1)
        written += len(content)
        if max(sent, written) > largest:
            raise Refusal(RefusalReason.TOO_LARGE, f"more than {_megabytes(largest)}")
        file.write(content)
        if check is not None:
            start += content
            if len(start) >= _START:
                check(start)
                check = None
    if check is not None:
        check(start)


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return a function of (packed bytes, the most bytes to unpack them to).

    We ask for an unpacked body. If a server packs it nevertheless, one layer of gzip or deflate is
    unpacked; anything else is refused.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda piece, _most: piece
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Refusal(
            RefusalReason.NOT_A_PICTURE, f"packed as {name[:20]}, which was not asked for"
        )
    inflate = zlib.decompressobj(wbits=47)  # gzip or zlib, as the first bytes say

    def unpack(piece: bytes, most: int) -> bytes:
        try:
            return inflate.decompress(piece, max(most, 1))
        except zlib.error:
            raise Refusal(RefusalReason.DAMAGED, f"packed as {name}, and that is damaged") from None

    return unpack


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.3g} MB" if count < 1e9 else f"{count / 1e6:,.0f} MB"
