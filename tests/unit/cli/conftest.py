"""What the tests of several verbs share: a few pictures, in a folder of their own to work in."""

from pathlib import Path

import pytest

from tiny_networks import draw_pictures


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return str(draw_pictures(tmp_path / "pictures", count=10, hue=1))
