"""Videos have the speed that is asked for, or say which they have."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from graftgan.models.video import write_video


def durations(path: Path) -> list[int]:
    """Return how long each frame of a video lasts, in milliseconds."""
    found: list[int] = []
    with Image.open(path) as video:
        for number in range(getattr(video, "n_frames", 1)):
            video.seek(number)
            found.append(video.info["duration"])
    return found


def frames(count: int) -> torch.Tensor:
    """Return frames that differ, since equal ones become one."""
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 8, 8), generator=rng, dtype=torch.uint8)


@pytest.mark.parametrize("asked", [1, 7, 20, 24, 25, 30, 48, 50])
def test_a_gif_lasts_as_long_as_its_speed_says(tmp_path: Path, asked: int):
    path = tmp_path / "x.gif"
    assert write_video(frames(60), path, frames_per_second=asked, size=8) == asked
    found = durations(path)
    assert len(found) == 60
    assert all(one % 10 == 0 and one >= 20 for one in found)
    assert sum(found) == pytest.approx(1000 * 60 / asked, abs=5)
    assert max(found) - min(found) <= 10


@pytest.mark.parametrize("asked", [51, 60, 100, 1000])
def test_no_gif_is_faster_than_50(tmp_path: Path, asked: int):
    assert write_video(frames(10), tmp_path / "x.gif", frames_per_second=asked, size=8) == 50
    assert durations(tmp_path / "x.gif") == [20] * 10


def test_an_mp4_is_as_fast_as_asked(tmp_path: Path):
    pytest.importorskip("imageio_ffmpeg")
    assert write_video(frames(6), tmp_path / "x.mp4", frames_per_second=60, size=16) == 60
