"""The Python of the page on adapters runs as written."""

import re
from pathlib import Path

import pytest

from graftgan.models.sources import open_source
from tiny_adapters import saved_adapter

PAGE = Path(__file__).parents[4] / "docs" / "adapters.md"


def test_the_pages_python_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("anime", "cats")):
        saved_adapter(tmp_path / "runs" / name, "avatars-64", seed=seed)
    names: dict[str, object] = {}
    exec(code.replace("random_latents(64", "random_latents(2"), names)
    source = open_source("avatars-64").pair
    assert names["pair"].architecture == source.architecture
    assert tuple(names["pictures"].shape) == (2, 3, 64, 64)
