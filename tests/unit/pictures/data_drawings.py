"""Pictures to test with."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(width: int = 40, height: int = 32, *, seed: int = 0, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def write_noise(folder: Path, count: int, *, side: int = 32) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        noise(side, side, seed=i).save(folder / f"{i:03d}.png")
    return folder


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")
