"""Guarded connections: no answer takes too long, and none comes from a private address.

A thread that makes a request holds a :class:`GuardedConnection`. It checks the peer's address after
connecting and before anything is sent, so that neither a redirect nor a host name leads to a
private network, even if the name server changes its answer. When the time is up it ends the
connection, also one that still sends a byte now and then.
"""

import socket
import threading
from contextlib import suppress
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from graftgan.pictures.collecting.addresses import Reach, reach_of
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason

_held = threading.local()


class GuardedConnection:
    """The limits of one request; a context manager of the thread that makes it."""

    def __init__(self, seconds: float, *, allows_private: bool) -> None:
        self.time_is_up = False
        self._allows_private = allows_private
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self.pull)
        self._timer.daemon = True
        self._outer: GuardedConnection | None = None

    def __enter__(self) -> "GuardedConnection":
        self._outer = getattr(_held, "guarded", None)
        _held.guarded = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None
        _held.guarded = self._outer

    def pull(self) -> None:
        """End the connection in use, and any that is opened later."""
        with self._lock:
            self.time_is_up = True
            _shut(self._socket)

    def hold(self, connected: socket.socket) -> None:
        """Take a connection before it is used; Refusal: it leads to a private network."""
        reach = reach_of(str(connected.getpeername()[0]))
        if reach is Reach.FORBIDDEN or (reach is Reach.PRIVATE and not self._allows_private):
            raise Refusal(
                RefusalReason.PRIVATE_ADDRESS, "the host's name leads to a private network"
            )
        with self._lock:
            self._socket = connected
            if self.time_is_up:
                _shut(connected)


def guarded_pool(connections: int) -> PoolManager:
    """Return urllib3's pools with connections that are guarded by their thread."""
    pool = PoolManager(num_pools=64, maxsize=connections)
    pool.pool_classes_by_scheme = cast("Any", {"http": _PlainPool, "https": _SecurePool})
    return pool


def _shut(connected: socket.socket | None) -> None:
    if connected is not None:
        with suppress(OSError):  # closed already
            socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _hold(connected: Any) -> None:
    guarded: GuardedConnection | None = getattr(_held, "guarded", None)
    if guarded is not None and connected is not None:
        guarded.hold(connected)


class _Guarded(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """Hold a new connection before anything is sent, TLS included."""
        connected = super()._new_conn()
        try:
            _hold(connected)
        except BaseException:
            connected.close()
            raise
        return connected

    def request(self, *args: Any, **options: Any) -> None:
        _hold(self.sock)  # a connection that is reused
        super().request(*args, **options)


class _Secure(_Guarded, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _hold(self.sock)  # TLS made another socket of it


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = cast("Any", _Guarded)


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = cast("Any", _Secure)
