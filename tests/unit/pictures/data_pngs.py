"""PNG files that Pillow does not write: of 16 bit a value, and with any chunk."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of the PNG specification, by channels


def png_16(
    values: NDArray[np.uint16], *, significant: int | None = None, exif: bytes = b""
) -> bytes:
    """Return a PNG of (h, w) or (h, w, c) values.

    ``significant`` goes into its chunk sBIT, and ``exif``, without its six letters, into eXIf.
    """
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    stated = b"" if significant is None else _chunk(b"sBIT", bytes([significant] * channels))
    stated += _chunk(b"eXIf", exif) if exif else b""
    data = _chunk(b"IDAT", zlib.compress(rows, 1))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + stated + data + _chunk(b"IEND", b"")


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """Return a PNG with one chunk more, behind its header."""
    return png[:33] + _chunk(kind, data) + png[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
