"""The body of an answer into a file, with a cap on what is sent and on what it unpacks to."""

import zlib
from collections.abc import Callable
from typing import IO

from urllib3 import BaseHTTPResponse

from graftgan.pictures.collecting.reasons import Refusal, RefusalReason

_PIECE = 64 * 1024  # bytes
START = 64  # bytes that say what a file is


def copy_body(
    answer: BaseHTTPResponse,
    file: IO[bytes],
    *,
    largest: int,
    check_start: Callable[[bytes], object] | None = None,
) -> None:
    """Copy the body of ``answer`` to ``file``.

    Args:
        answer: Its head was read, its body was not.
        file: Where the bytes go.
        largest: The bytes that are taken at most, as sent and as unpacked.
        check_start: Looks at the first bytes and raises :class:`Refusal` if they are no picture's,
            so that the rest is not fetched.

    Raises:
        Refusal: The body is too large, packed in a way we did not ask for, or not what it should.
    """
    _refuse_announced(answer, largest)
    unpack = _unpacker(answer.headers.get("Content-Encoding", ""))
    sent = written = 0
    start: bytes | None = b""
    while piece := _next_piece(answer):
        sent += len(piece)
        content = unpack(piece, largest - written + 1)
        written += len(content)
        if max(sent, written) > largest:
            raise Refusal(RefusalReason.TOO_LARGE, f"more than {_megabytes(largest)}")
        file.write(content)
        if start is not None and check_start is not None:
            start += content
            if len(start) >= START:
                check_start(start)
                start = None
    if start is not None and check_start is not None:
        check_start(start)


def _refuse_announced(answer: BaseHTTPResponse, largest: int) -> None:
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:20]) > largest:
        size, most = _megabytes(int(announced[:20])), _megabytes(largest)
        raise Refusal(RefusalReason.TOO_LARGE, f"{size}, at most {most} are taken")


def _next_piece(answer: BaseHTTPResponse) -> bytes:
    # What one read of the socket gives: waiting for a full piece would wait for a slow server.
    return answer.read1(_PIECE, decode_content=False)


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return a function of (packed bytes, the most to unpack them to).

    We ask for plain bytes. A server that packs them nevertheless is understood as far as zlib
    goes, in one layer; every other packing is refused.
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
