"""Web sites on this machine, healthy and faulty, for the tests of what collects pictures."""

import gzip
import io
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

Answer = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request; an answer writes to it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: "_Server"

    def do_GET(self) -> None:
        self.site = self.server.site
        path = urlsplit(self.path).path
        self.query = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query).items()}
        with self.site.lock:
            self.site.visits.append((path, {k.lower(): v for k, v in self.headers.items()}))
            self.site.times.append(time.monotonic())
        self.visit_number = self.site.visits_to(path)
        answer = self.site.answers.get(path) or self.site.fallback
        try:
            answer(self)
        except OSError:  # the client went away, as it should from some of these
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    site: "FakeSite"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are what the tests are about


class FakeSite:
    """A server for the time of a ``with`` block: answers by path, and who asked for what."""

    def __init__(self, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.fallback: Answer = status(404)
        self.visits: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._server = _Server((host, 0), Visit)
        self._server.site = self
        self.host = f"{host}:{self._server.server_address[1]}"
        self.url = f"http{'s' if tls else ''}://{self.host}"
        if tls is not None:
            plain = self._server.socket
            self._server.socket = tls.wrap_socket(plain, server_side=True)

    def __enter__(self) -> "FakeSite":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, path: str, answer: Answer | bytes) -> str:
        """Answer ``path`` from now on; return its address."""
        self.answers[path] = serve(answer) if isinstance(answer, bytes) else answer
        return self.url + path

    def visits_to(self, path: str) -> int:
        with self.lock:
            return sum(p == path for p, _ in self.visits)

    def counts(self) -> Counter[str]:
        with self.lock:
            return Counter(path for path, _ in self.visits)


def picture(number: int, kind: str = "PNG", side: int = 16) -> bytes:
    """Return a small picture that no other number has."""
    pixels = bytes((number >> (8 * (i % 3))) * (7 + i % 11) % 256 for i in range(side * side * 3))
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(file, format=kind)
    return file.getvalue()


def jpeg(number: int) -> bytes:
    """Return a JPEG large enough to be cut within its pixels."""
    pixels = bytes((i * i * (number + 3) >> 4) % 256 for i in range(64 * 64 * 3))
    file = io.BytesIO()
    Image.frombytes("RGB", (64, 64), pixels).save(file, format="JPEG", quality=90)
    return file.getvalue()


def serve(body: bytes, **headers: str) -> Answer:
    return lambda visit: visit.send(body, **headers)


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda visit: visit.send(body, status=code, **headers)


def redirect(target: str, code: int = 302) -> Answer:
    return status(code, Location=target)


def first(times: int, fault: Answer, then: Answer) -> Answer:
    """Answer the first requests to a path with ``fault``."""
    return lambda visit: (fault if visit.visit_number <= times else then)(visit)


def as_json(data: object) -> Answer:
    return serve(json.dumps(data).encode(), Content_Type="application/json")


def page(visit: Visit) -> None:
    body = b"<!DOCTYPE html><html><body>Please log in</body></html>" + b" " * 200
    visit.send(body, Content_Type="image/jpeg")


def svg(visit: Visit) -> None:
    body = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    visit.send(body, Content_Type="image/svg+xml")


def shell_script(visit: Visit) -> None:
    visit.send(b"#!/bin/sh\nrm -rf /\n" + b"#" * 100, Content_Type="image/png")


def reset(visit: Visit) -> None:
    """Break the connection instead of an answer."""
    linger = struct.pack("ii", 1, 0)
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    visit.connection.close()
    visit.close_connection = True


def slow_drip(visit: Visit) -> None:
    """Send a byte of a picture now and then, for ever."""
    visit.send_response(200)
    visit.send_header("Content-Length", "100000")
    visit.end_headers()
    body = picture(0)
    for i in range(100_000):
        visit.wfile.write(body[i % len(body) :][:1])
        visit.wfile.flush()
        if visit.site.over.wait(0.05):
            return


def slow_head(visit: Visit) -> None:
    """Send a byte of the head now and then, for ever."""
    visit.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not visit.site.over.wait(0.05):
        visit.wfile.write(b"a")
        visit.wfile.flush()


def silence(visit: Visit) -> None:
    visit.site.over.wait()
    visit.close_connection = True


def too_short(body: bytes, *, missing: int = 500) -> Answer:
    """Announce more bytes than come."""

    def answer(visit: Visit) -> None:
        visit.send_response(200)
        visit.send_header("Content-Length", str(len(body) + missing))
        visit.end_headers()
        visit.wfile.write(body)
        visit.close_connection = True

    return answer


def announced_short(body: bytes, length: int) -> Answer:
    """Announce fewer bytes than come."""

    def answer(visit: Visit) -> None:
        visit.send_response(200)
        visit.send_header("Content-Length", str(length))
        visit.end_headers()
        visit.wfile.write(body)
        visit.close_connection = True

    return answer


def endless(announce: int | None = None) -> Answer:
    """Start like a picture and never end; ``sent`` of the answer counts the bytes."""

    def answer(visit: Visit) -> None:
        visit.send_response(200)
        if announce is None:
            visit.send_header("Connection", "close")
        else:
            visit.send_header("Content-Length", str(announce))
        visit.end_headers()
        visit.wfile.write(picture(1))
        while not visit.site.over.is_set():
            visit.wfile.write(b"\0" * 65_536)
            answer.sent += 65_536

    answer.sent = 0
    return answer


def gzip_bomb(megabytes: int = 100) -> Answer:
    """Send a few bytes that unpack to a picture and then nothing but zeros."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    megabyte = b"\0" * 2**20
    body = pack.compress(picture(1)) + b"".join(pack.compress(megabyte) for _ in range(megabytes))
    return serve(body + pack.flush(), Content_Encoding="gzip")


def gzipped(body: bytes) -> Answer:
    return serve(gzip.compress(body), Content_Encoding="gzip")


def huge_png() -> bytes:
    """Return a PNG of a few bytes that says it has 50,000 x 50,000 pixels."""
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
