"""The Python API as the README shows it."""

import re
from pathlib import Path

import graftgan

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_python_runs_as_written(
    own_places: None, other_pictures: Path, tmp_path: Path, monkeypatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "iterations=900" in code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_pictures").symlink_to(other_pictures)
    names: dict[str, object] = {}
    exec(code.replace("iterations=900", "iterations=2, batch_size=4"), names)
    pictures = names["pictures"]
    assert tuple(pictures.shape) == (64, 3, 64, 64)
    assert (tmp_path / "runs" / "mine" / "report.html").exists()
    assert (tmp_path / "runs" / "mine" / "adapter.safetensors").exists()


def test_every_public_name_is_there_and_sorted() -> None:
    assert graftgan.__all__ == sorted(graftgan.__all__)
    assert len(graftgan.__all__) > 20
    for name in graftgan.__all__:
        assert getattr(graftgan, name) is not None
