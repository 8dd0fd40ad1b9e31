"""Films from pictures: GIF by Pillow, MP4 by the ffmpeg of the extra ``video``."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from graftgan.errors import SettingsError
from graftgan.files import written_whole
from graftgan.tensors import PictureBytes


def write_film(pictures: PictureBytes, path: Path, *, frames_per_second: int, size: int) -> None:
    """Write pictures (n, c, h, w) as a film of ``size`` x ``size`` pixels, whole.

    Raises:
        SettingsError: The name ends in neither .gif nor .mp4, a number is out of range, or the
            extra ``video`` is missing.
        RunError: The place cannot be written.
    """
    if frames_per_second < 1 or size < 2:
        raise SettingsError("a film needs at least 1 frame per second and a size of 2 pixels")
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise SettingsError(f"'{path.name}' is no film: its name must end in .gif or .mp4")
    even = size + size % 2  # video coders want even sides
    frames = [_frame(picture, even) for picture in pictures]
    with written_whole(path) as partial:
        writer(frames, partial, frames_per_second)


def _frame(picture: PictureBytes, size: int) -> Image.Image:
    array = picture.permute(1, 2, 0).numpy()
    image = Image.fromarray(array.repeat(3, axis=2) if array.shape[2] == 1 else array)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _write_gif(frames: list[Image.Image], path: Path, frames_per_second: int) -> None:
    first, *rest = frames
    duration = round(1000 / frames_per_second)
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)


def _write_mp4(frames: list[Image.Image], path: Path, frames_per_second: int) -> None:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise SettingsError(
            "MP4 needs ffmpeg; install graftgan with its extra `video`, or write a .gif"
        ) from None
    writer: Any = imageio_ffmpeg.write_frames(
        str(path),
        frames[0].size,
        fps=frames_per_second,
        macro_block_size=2,
        output_params=["-f", "mp4", "-crf", "18"],
        ffmpeg_log_level="error",
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.asarray(frame).tobytes())
    writer.close()


_WRITERS = {".gif": _write_gif, ".mp4": _write_mp4}
FILM_KINDS = frozenset(_WRITERS)
