"""What the journeys share: a few pictures, and the real command line in a process of its own."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from journey_tools import command

from tiny_networks import draw_pictures


@pytest.fixture(autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep caches and sources of the person who runs the tests out of them."""
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path_factory.mktemp("sources")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("sets") / "red", count=24, hue=0)


@pytest.fixture(scope="session")
def other_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("sets") / "green", count=24, hue=1)


@pytest.fixture
def cli(own_places: None) -> Callable[..., "subprocess.CompletedProcess[str]"]:
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
