"""Videos from pictures: GIF with Pillow, MP4 with the ffmpeg of the extra ``video``."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from graftgan.core.errors import SettingsError
from graftgan.core.files import written_whole
from graftgan.core.network_types import PictureBytes


def write_video(pictures: PictureBytes, path: Path, *, frames_per_second: int, size: int) -> int:
    """Write pictures (n, c, h, w) as a video of ``size`` x ``size`` pixels, atomically.

    Returns its frames per second, which are limited to 50 for a GIF. Raises SettingsError: the name
    ends in neither .gif nor .mp4, a number is out of range, or the extra ``video`` is missing;
    RunError: the file cannot be written.
    """
    if frames_per_second < 1 or size < 2:
        raise SettingsError("a video needs at least 1 frame per second and a size of 2 pixels")
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise SettingsError(f"'{path.name}' is not a video: its name must end in .gif or .mp4")
    even = size + size % 2  # video encoders need even sides
    frames = [_frame(picture, even) for picture in pictures]
    speed = min(frames_per_second, _FASTEST.get(path.suffix.lower(), frames_per_second))
    with written_whole(path) as partial:
        writer(frames, partial, speed)
    return speed


def _frame(picture: PictureBytes, size: int) -> Image.Image:
    array = picture.permute(1, 2, 0).numpy()
    image = Image.fromarray(array.repeat(3, axis=2) if array.shape[2] == 1 else array)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _write_gif(frames: list[Image.Image], path: Path, frames_per_second: int) -> None:
    """Write a GIF, whose durations are in hundredths of a second.

    At 30 frames per second, for example, they are 3, 4, 3, 3, ..., so that the speed is right.
    """
    first, *rest = frames
    ends = [round(100 * i / frames_per_second) for i in range(len(frames) + 1)]
    durations = [10 * (end - start) for start, end in pairwise(ends)]  # milliseconds
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0)


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


_FASTEST = {".gif": 50}  # browsers show frames of less than 20 ms for much longer
_WRITERS = {".gif": _write_gif, ".mp4": _write_mp4}
VIDEO_KINDS = frozenset(_WRITERS)
