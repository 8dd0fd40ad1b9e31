"""``graftgan adapter`` and ``--adapter``, in this process."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from graftgan.checkpoints import read_card
from graftgan.cli import main
from tiny_adapters import saved_adapter, saved_source


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base, another base, and runs with adapters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path / "sources"))
    monkeypatch.setenv("COLUMNS", "200")
    saved_source(tmp_path / "base")
    saved_source(tmp_path / "other", seed=5)
    saved_adapter(tmp_path / "runs" / "a", tmp_path / "base")
    saved_adapter(tmp_path / "runs" / "b", tmp_path / "base", "fine_tune", seed=4)
    saved_adapter(tmp_path / "runs" / "stranger", tmp_path / "other")
    saved_adapter(tmp_path / "runs" / "homeless", "base", called="gone")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "adapter.safetensors").write_bytes(b"junk")
    return tmp_path


def prints_of(folder: str) -> dict[str, str]:
    return dict(read_card(Path(folder)).fingerprints)


def test_list_shows_all_below_the_folder(home: Path, capsys):
    assert main(["adapter", "list"]) == 0
    said = capsys.readouterr().out
    for words in ("runs/a", "runs/b", "D(0,4,0) G(0,4,0)", "found", "float32", "set4", "100.0%"):
        assert words in said
    assert "unusable: damaged/adapter.safetensors is not a whole safetensors file" in said
    assert main(["adapter", "list", "runs/b", "nothing.safetensors"]) == 0
    said = capsys.readouterr().out
    assert "runs/a" not in said
    assert "unusable: there is no weight file nothing.safetensors" in said
    assert main(["adapter", "list", "base"]) == 0
    assert "no adapters here" in capsys.readouterr().out


def test_mix_with_weights_1_and_0_is_the_fold_of_the_first(home: Path):
    assert main(["adapter", "fold", "runs/a", "folded"]) == 0
    mix = ["adapter", "mix", "runs/a", "runs/b", "--out"]
    assert main([*mix, "mixed", "--weights", "1,0"]) == 0
    assert prints_of("mixed") == prints_of("folded")
    assert main([*mix, "equal"]) == 0
    assert main([*mix, "half", "--weights", "0.5,0.5"]) == 0
    assert prints_of("equal") == prints_of("half") != prints_of("mixed")
    assert main([*mix, "beyond", "--weights=-0.25,1.25", "--half"]) == 0
    card = read_card(Path("half"))
    assert card.data == "set0 and set4, grafted on tiny (not stated)"
    assert "0.5 of set0 (plan D(0,4,0) G(0,4,0)); 0.5 of set4" in card.notes


def test_sampling_puts_adapters_on_as_mixing_does(home: Path, capsys):
    main(["adapter", "mix", "runs/a", "runs/b", "--weights", "0.5,0.25", "--out", "mixed"])
    main(["sample", "mixed", "--count", "4", "--out", "mixed.png"])
    main(["adapter", "fold", "runs/a", "folded"])
    main(["sample", "folded", "--count", "4", "--out", "folded.png"])
    given = {
        "mixed.png": ["runs/a:0.5", "runs/b:0.25"],
        "folded.png": ["runs/a/adapter.safetensors"],
    }
    for wanted, adapters in given.items():
        flags = [word for adapter in adapters for word in ("--adapter", adapter)]
        assert main(["sample", "base", "--count", "4", "--out", f"on_{wanted}", *flags]) == 0
        assert digest(f"on_{wanted}") == digest(wanted)
    assert digest("mixed.png") != digest("folded.png")
    assert "add up to" not in capsys.readouterr().out
    both = ["--adapter", "runs/a", "--adapter", "runs/b:0.5"]
    walk = ["interpolate", "base", "--stops", "2", "--frames", "2", "--size", "32"]
    assert main([*walk, *both]) == 0
    assert "note: the weights add up to 1.5" in capsys.readouterr().out
    assert Path("walk.gif").is_file()


def digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def test_slide_writes_its_strip_and_its_video(home: Path):
    slide = ["adapter", "slide", "runs/a", "--steps", "3", "--rows", "2"]
    assert main([*slide, "--video", "slide.gif"]) == 0
    with Image.open("slide.png") as strip, Image.open("slide.gif") as video:
        assert strip.width == 3 * 64
        assert strip.height > 2 * 64
        assert video.n_frames > 10
    assert main([*slide[:3], "runs/b", "--to", "1.3", "--out", "across.png"]) == 0
    assert Path("across.png").is_file()


def test_a_colon_in_a_path_is_no_weight(home: Path):
    Path("runs/a").rename("runs/a:0")
    assert main(["sample", "base", "--count", "1", "--adapter", "runs/a:0"]) == 0
    assert main(["sample", "base", "--count", "1", "--out", "plain.png"]) == 0
    assert digest("samples.png") != digest("plain.png")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("adapter mix runs/a runs/b --weights 0.5 --out out", "2 adapters, 1 weights"),
        ("adapter mix runs/a runs/b --weights 0.5,x --out out", "got '0.5,x'"),
        ("adapter mix runs/a runs/b --weights 0.5,nan --out out", "between -100 and 100"),
        ("adapter mix runs/a runs/a --weights 1,1 --out out", "named twice"),
        ("adapter mix runs/a runs/stranger --out out", "belongs to another base"),
        ("adapter mix runs/a damaged --out out", "not a whole safetensors file"),
        ("adapter mix runs/a nowhere --out out", "nowhere"),
        ("adapter mix runs/a runs/b --out base", "exists already"),
        ("adapter mix --out out", "name the adapters|required|missing"),
        ("adapter fold runs/a out --source other", "belongs to another base"),
        ("adapter fold runs/homeless out", "no source 'gone'.*; --source says where the base"),
        ("adapter slide runs/a --to 1000 --out out.png", "between -100 and 100"),
        ("adapter fold damaged out", "not a whole safetensors file"),
        ("adapter fold base out", "a transfer writes it"),
        ("adapter save nowhere out.safetensors", "not a run folder"),
        ("adapter slide runs/a --source other --out out.png", "belongs to another base"),
        ("adapter slide runs/a runs/stranger --out out.png", "belongs to another base"),
        ("adapter slide runs/a runs/b runs/a --out out.png", "one adapter or two, got 3"),
        ("adapter slide runs/a --steps 1 --out out.png", "at least 2 steps"),
        ("adapter slide runs/a --rows 0 --out out.png", "from 1 to"),
        ("adapter slide runs/a --to nan --out out.png", "must be finite"),
        ("adapter slide runs/a --out out.jpg", "must end in .png"),
        ("adapter slide runs/a --out out.png --video out.avi", "must end in .gif or .mp4"),
        ("sample other --adapter runs/a --out out.png", "runs/a belongs to another base"),
        ("sample base --adapter runs/a --adapter runs/a:0.5 --out out.png", "already"),
        ("sample base --adapter runs/a:nan --out out.png", "between -100 and 100"),
        ("sample base --adapter nowhere:0.5 --out out.png", "nowhere"),
        ("interpolate other --adapter runs/a --out out.gif", "belongs to another base"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words: str, says: str, home: Path, capsys):
    import re

    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert re.search(says, said), said
    assert said.count("\n") == 1
    left = [path.name for path in home.iterdir() if "out" in path.name or "partial" in path.name]
    assert left == []
