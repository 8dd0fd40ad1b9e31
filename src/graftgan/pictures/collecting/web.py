"""Asks web servers for files: politely, within limits, and again where that may help."""

import io
import os
import random
import threading
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
    Reach,
    host_of,
    is_same_server,
    reach_of_name,
    tidy,
)
from graftgan.pictures.collecting.download import copy_body
from graftgan.pictures.collecting.guarded_connection import GuardedConnection, guarded_pool
from graftgan.pictures.collecting.http_errors import refusal_of, refused_status
from graftgan.pictures.collecting.rate_limit import Clock, RateLimit
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.robots import LARGEST_ROBOTS, Robots, parse_robots
from graftgan.pictures.collecting.settings import CollectSettings

_CONNECT_S = 10.0
_LONGEST_WAIT_S = 300.0  # a server that wants more is asked another day
_LARGEST_LISTING = 20_000_000  # bytes
_REDIRECTS = 5  # followed for one picture
_MOVED = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for, and what is allowed on the way.

    Attributes:
        largest: Bytes of the body at most.
        home: The private address that a person named to get here: its server alone may be private,
            wherever redirects lead. None: none was.
        asks_robots: Whether robots.txt decides.
        check_start: Looks at the first bytes; see :func:`copy_body`.
        headers: Beside our own.
    """

    largest: int
    home: str | None = None
    asks_robots: bool = False
    check_start: Callable[[bytes], object] | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Web:
    """A client for many threads; close it when done."""

    def __init__(self, settings: CollectSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._rate_limit = RateLimit(clock, settings.pause)
        self._pool = guarded_pool(settings.connections + 1)  # who lists asks too
        self._headers = {
            "User-Agent": user_agent(settings.contact or os.environ.get("GRAFTGAN_CONTACT")),
            "Accept-Encoding": "identity",
        }
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
        """Put what ``address`` gives into ``file``, from its start.

        Raises:
            Refusal: It gives nothing that may be taken, after as many tries as that deserves.
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
        """Return the data that an API answers with.

        Raises:
            Refusal: It answers with something else, or not at all.
            Stopped: The collection was stopped.
        """
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
            headers = dict(request.headers) if host_of(address) == start else {}  # may hold secrets
            guarded = GuardedConnection(self._settings.seconds, allows_private=allows_private)
            target = self._answer(address, file, request, headers, guarded)
            if target is None:
                return
            address = _moved_to(address, target)
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
            self._clock.sleep(0)  # a connection that we ended ourselves is no news
            raise refusal_of(error, self._settings, time_is_up=guarded.time_is_up) from None
        finally:
            self._guarded.discard(guarded)
        if guarded.time_is_up:  # an answer that was cut may look like a short one
            raise refusal_of(TimeoutError(), self._settings, time_is_up=True)
        return target

    def _ask_robots(self, address: str, home: str | None) -> None:
        host = host_of(address)
        with self._robots_locks[host]:  # one thread asks, the others wait for what it learns
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
            # Without such a file there are no rules; one that cannot be read may hold some.
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
            self._rate_limit.hold(host_of(tidy(address)), wait)  # the other threads as well
        self._clock.sleep(wait)


def user_agent(contact: str | None) -> str:
    """Return how we introduce ourselves to a server."""
    return f"graftgan/{version('graftgan')} (collects pictures; contact: {contact or 'not given'})"


def private_home(address: str) -> str | None:
    """Return an address that a person gave, tidy, where it is private by its own words."""
    try:
        tidied = tidy(address)
    except Refusal:
        return None
    return tidied if reach_of_name(tidied) is Reach.PRIVATE else None


def _refuse_reach(address: str, *, allows_private: bool) -> None:
    reach = reach_of_name(address)
    if reach is Reach.FORBIDDEN:
        raise Refusal(RefusalReason.PRIVATE_ADDRESS, f"{host_of(address)} is never asked")
    if reach is Reach.PRIVATE and not allows_private:
        raise Refusal(RefusalReason.PRIVATE_ADDRESS, f"{host_of(address)} is of a private network")


def _moved_to(address: str, target: str) -> str:
    try:
        return tidy(urljoin(address, target))
    except ValueError as error:
        raise Refusal(RefusalReason.BAD_ADDRESS, f"redirected to no address: {error}") from None


def _take(answer: urllib3.BaseHTTPResponse, file: IO[bytes], request: Request) -> str | None:
    is_read = False
    try:
        location = answer.headers.get("Location")
        if answer.status in _MOVED and location:
            return location
        if answer.status != 200:
            raise refused_status(answer)
        copy_body(answer, file, largest=request.largest, check_start=request.check_start)
        is_read = True
        return None
    finally:
        if is_read:
            answer.release_conn()
        else:
            answer.close()  # the rest of the body is not waited for
