"""Where samples and videos go, and how fast they are."""

from pathlib import Path

import pytest

from graftgan import cli
from graftgan.cli.sample import is_png
from graftgan.core.errors import SettingsError
from tiny_networks import tiny_home


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    home = tiny_home(tmp_path / "home", pictures=2)
    monkeypatch.chdir(tmp_path)
    return str(home / "tiny")


@pytest.mark.parametrize("name", ["out/trunc0.7", "v1.2", "a.b.c", ".hidden", "plain", "x.pkl5"])
def test_a_dot_makes_no_file_of_a_folder(source: str, name: str):
    assert cli.main(["sample", source, "--count", "2", "--out", name]) == 0
    assert len(list(Path(name).glob("*.png"))) == 2


def test_a_png_is_a_grid(source: str):
    assert cli.main(["sample", source, "--count", "2", "--out", "grid0.7.PNG"]) == 0
    assert Path("grid0.7.PNG").is_file()


def test_nothing_is_drawn_over(source: str, capsys: pytest.CaptureFixture[str]):
    Path("mine.png").write_bytes(b"years of work")
    Path("link.png").symlink_to("gone")
    Path("preview.png").symlink_to("gone")
    film = ["interpolate", source, "--stops", "2", "--frames", "2", "--size", "8"]
    for name in ("mine.png", "link.png"):
        for words in (
            ["sample", source],
            film,
            ["styles", "mix", source],
            ["preview", "home/pictures"],
        ):
            assert cli.main([*words, "--out", name]) == 2
            assert f"{name} exists already; choose another name" in capsys.readouterr().err
    assert Path("mine.png").read_bytes() == b"years of work"
    assert cli.main(["preview", "home/pictures", "--rows", "1"]) == 0
    assert "look at preview_2.png" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x.jpg", "x.WEBP", "x.gif", "x.mp4", "x.zip", "x.tiff", "x.html"])
def test_a_known_file_of_another_kind_is_no_folder(name: str):
    with pytest.raises(SettingsError, match=r"neither a \.png file nor a folder"):
        is_png(Path("out") / name)


def test_the_speed_of_a_video_is_told_where_it_is_another(
    source: str, capsys: pytest.CaptureFixture[str]
):
    words = ["interpolate", source, "--stops", "2", "--frames", "2", "--size", "8"]
    assert cli.main([*words, "--frames-per-second", "60"]) == 0
    assert "note: it has 50 frames per second, not 60" in capsys.readouterr().out
    assert cli.main([*words, "--frames-per-second", "30"]) == 0
    assert "note" not in capsys.readouterr().out
