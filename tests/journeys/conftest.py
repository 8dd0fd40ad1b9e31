"""What the journeys share: a few pictures, and the real command line in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = ["--width", "4", "--resolution", "32", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep caches and sources of the person who runs the tests out of them."""
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path_factory.mktemp("sources")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def draw_pictures(folder: Path, *, count: int, hue: int) -> Path:
    """Write coloured squares on noise: enough for a network to learn a colour."""
    rng = np.random.default_rng(hue)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        left, top = rng.integers(2, 18, 2)
        pixels[top : top + 18, left : left + 18, hue] = 220
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("sets") / "red", count=24, hue=0)


@pytest.fixture(scope="session")
def other_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("sets") / "green", count=24, hue=1)


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def command(arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "graftgan", *map(str, arguments)]


@pytest.fixture
def cli(own_places: None) -> Cli:
    """Run ``graftgan ...`` in a process of its own and return what it said."""

    def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command(arguments), capture_output=True, text=True, timeout=300, env={**os.environ}
        )
        assert done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        assert "Traceback" not in done.stderr
        return done

    return run
