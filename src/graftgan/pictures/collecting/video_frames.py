"""``video:FILE``: frames of a film, some seconds apart, without those that repeat the last one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.pictures import file_of
from graftgan.pictures.collecting.candidates import SOURCES, FoundPicture, Listing, SourceKind
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web

# No playlists: they name other files and addresses, which ffmpeg would open.
_CONTAINERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,m4v,h264"
_SAME = 2.0  # mean difference of two frames, of 255, up to which the later one is left out
_GLANCE = (32, 32)


def open_film(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the frames of a film.

    Raises:
        CollectError: There is no such file, or the extra ``video`` is missing.
    """
    path = Path(what)
    if not path.is_file():
        raise CollectError(f"there is no film {path}")
    try:
        import imageio_ffmpeg
    except ImportError:
        raise CollectError("films need ffmpeg; install graftgan with its extra `video`") from None
    # fmt: off
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error",
        "-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS,
        "-i", f"file:{path.resolve()}",
        "-vf", _every(settings.every), "-fps_mode", "vfr", "-f", "image2pipe", "-c:v", "ppm", "-",
    ]
    # fmt: on

    def listing(_web: Web) -> Iterator[FoundPicture]:
        return _candidates(command, path, settings.every)

    return listing


def _every(seconds: float) -> str:
    """Return ffmpeg's words for the first frame and each that is so much later than the last."""
    return rf"select=isnan(prev_selected_t)+gte(t-prev_selected_t\,{seconds:.6f})"


def _candidates(command: list[str], path: Path, every: float) -> Iterator[FoundPicture]:
    last: NDArray[np.float32] | None = None
    number = 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        try:
            while program.stdout is not None and (picture := _next_frame(program.stdout)):
                seconds = f"{number * every:g} s"
                number += 1
                glance = _glance_at(picture)
                if last is not None and float(np.abs(glance - last).mean()) <= _SAME:
                    continue
                last = glance
                yield FoundPicture(
                    name=f"video:{path.name}@{seconds}",
                    origin=Origin(title=f"{path.name}, {seconds}", source="video"),
                    content=file_of(np.asarray(picture)),
                )
            code = program.wait()
        finally:
            program.kill()  # no harm where it has ended
    if code != 0 or number == 0:
        raise CollectError(f"ffmpeg cannot read {path} to its end; {number} frames were read")


def _next_frame(stream: IO[bytes]) -> Image.Image | None:
    """Return the next picture of a row of PPM files; None: there is none, or only a part of it."""
    head = [stream.readline() for _ in range(3)]  # P6, width and height, 255
    numbers = head[1].split()
    if len(numbers) != 2:
        return None
    width, height = map(int, numbers)
    pixels = stream.read(width * height * 3)
    is_whole = len(pixels) == width * height * 3
    return Image.frombytes("RGB", (width, height), pixels) if is_whole else None


def _glance_at(picture: Image.Image) -> NDArray[np.float32]:
    return np.asarray(picture.convert("L").resize(_GLANCE, Image.Resampling.BOX), dtype=np.float32)


SOURCES.register("video")(SourceKind(open=open_film))
