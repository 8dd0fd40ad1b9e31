"""Score while training, evaluate a run, a source and a folder, and know the floor."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from journey_tools import TINY
from PIL import Image

Cli = Callable[..., object]


@pytest.fixture
def run(cli: Cli, pictures: Path, tmp_path: Path) -> Path:
    scored = ["--held-out", "0.3", "--score-every", "10", "--score-count", "16"]
    out = tmp_path / "run"
    cli("pretrain", pictures, *TINY, *scored, "--iterations", "20", "--out", out)
    return out


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_run_is_scored_and_evaluated(cli: Cli, run: Path, pictures: Path):
    trained = lines_of(run)
    assert {line["iteration"] for line in trained} == {0, 10, 20}
    assert {line["name"] for line in trained} >= {"KID(efficientnet_lite0, visible)"}
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "KID(efficientnet_lite0, visible)" in page

    said = cli("evaluate", run, "--against", pictures, "--count", "40").stdout
    for label in ("KID ↓", "diversity ↑", "grain", "sharpness", "precision ↑", "near copies ↓"):
        assert label in said
    assert "real against real" in said
    assert "40 pictures against 7 of red at 32 px" in said  # those held out
    assert "17 of 24 pictures of red were trained on" in said
    assert "pictures are few" in said
    evaluated = [line for line in lines_of(run) if line.get("model")]
    assert {line["iteration"] for line in evaluated} == {20}
    assert all(not line.get("decides") for line in evaluated)
    with Image.open(run / "neighbours.png") as sheet:
        assert sheet.size == (4 * 32 + 4, 12 * 32)  # a picture, a gap, three neighbours; 12 rows


def test_what_copies_is_told(cli: Cli, other_pictures: Path, pictures: Path, tmp_path: Path):
    """The folder holds the training pictures themselves."""
    copies = tmp_path / "copies"
    shutil.copytree(pictures, copies)
    honest_and_copied = tmp_path / "all"
    shutil.copytree(pictures, honest_and_copied)
    for path in other_pictures.iterdir():
        shutil.copy(path, honest_and_copied / f"new-{path.name}")
    said = cli(
        "evaluate",
        copies,
        "--against",
        honest_and_copied,
        "--training",
        pictures,
        "--resolution",
        "32",
        "--metrics",
        "kid",
        "--out",
        tmp_path / "scores",
    ).stdout
    assert "the generator copies" in said
    assert {line["name"] for line in lines_of(tmp_path / "scores")} >= {
        "KID(efficientnet_lite0, visible)",
        "near copies(efficientnet_lite0, visible)",
    }


def test_what_a_run_kept_is_scored_again(
    cli: Cli, run: Path, pictures: Path, other_pictures: Path, tmp_path: Path
):
    trained = lines_of(run)
    deciding = {line["iteration"]: line["value"] for line in trained if line["decides"]}
    assert [path.name for path in sorted((run / "scored").iterdir())] == [
        "000000.zip", "000010.zip", "000020.zip",
    ]  # fmt: skip
    shutil.rmtree(run / "checkpoints")  # nothing is drawn
    said = " ".join(cli("evaluate", run, "--again", "--metrics", "kid").stdout.split())
    assert "0 (untouched start)" in said
    assert "(the best)" in said
    assert "which is what the run itself called best by KID(efficientnet_lite0, visible)" in said
    assert "16 pictures against 7 of held out at 32 px" in said
    again = lines_of(run)[len(trained) :]
    assert {line["iteration"]: line["value"] for line in again} == deciding
    assert {line["model"] for line in again} == {"run"}
    assert not any("decides" in line for line in again)

    file = run / "scored" / "000010.zip"
    file.write_bytes(file.read_bytes()[:-40])
    words = ["--again", "--against", other_pictures, "--metrics", "precision_recall", "kid"]
    said = " ".join(cli("evaluate", run, *words, "--out", tmp_path / "out").stdout.split())
    assert "precision ↑" in said
    assert "24 of green" in said
    assert f"iteration 10 is left out: {file} does not hold the pictures" in said
    assert {line["iteration"] for line in lines_of(tmp_path / "out")} == {0, 20}
    chosen = cli("evaluate", run, *words, "--iteration", 20, "--out", tmp_path / "one").stdout
    assert "left out" not in chosen
    assert {line["iteration"] for line in lines_of(tmp_path / "one")} == {20}

    kept = run / "scored" / "000020.zip"
    plain = ["--against", pictures, "--resolution", "32", "--metrics", "kid", "--no-copies"]
    assert "16 pictures against 24 of red" in cli("evaluate", kept, *plain).stdout


def test_a_comparison_is_scored_again_run_by_run(cli: Cli, pictures: Path, tmp_path: Path):
    folder = tmp_path / "study"
    words = ["--held-out", "0.3", "--score-every", "4", "--score-count", "16", "--seeds", "1"]
    words += ["--iterations", "4", "--vary", "augment=none,light", "--batch-size", "4"]
    cli("compare", pictures, "--source", "avatars-64", *words, "--out", folder)
    lost, kept = sorted((folder / "runs").iterdir())
    shutil.rmtree(lost / "scored")
    said = " ".join(cli("evaluate", folder, "--again", "--metrics", "kid").stdout.split())
    assert f"{kept.name}, features of efficientnet_lite0, visible" in said
    assert f"{kept.name}: by KID(efficientnet_lite0, visible) iteration 4 is the best" in said
    assert said.count("0 (untouched source)") == 1
    assert f"left out: {lost} keeps no pictures" in said
    again = [line for line in lines_of(kept) if line.get("model")]
    assert [(line["model"], line["iteration"]) for line in again] == [
        (kept.name, 0),
        (kept.name, 4),
    ]
    assert not any(line.get("model") for line in lines_of(lost))
    shutil.rmtree(kept / "scored")
    assert "keeps no pictures" in cli("evaluate", folder, "--again", code=2).stderr


def test_what_is_scored_again_is_not_drawn(cli: Cli, pictures: Path, tmp_path: Path):
    lean = tmp_path / "lean"
    words = [*TINY, "--iterations", "2", "--no-keep-pictures", "--out", lean]
    cli("pretrain", pictures, *words)
    assert not (lean / "scored").exists()
    said = cli("evaluate", lean, "--again", code=2).stderr
    assert "it was trained with --no-keep-pictures" in said
    assert f"`graftgan evaluate {lean} --against PICTURES` draws new ones" in said
    cli("pretrain", "--resume", lean, "--iterations", "4", "--keep-pictures")
    assert {path.name for path in (lean / "scored").iterdir()} == {"000003.zip", "000004.zip"}
    for words in (["--count", "9"], ["--seed=0"], ["--truncation", "1"], ["--class", "cat"]):
        said = cli("evaluate", lean, "--again", *words, code=2).stderr
        assert f"leave {words[0].partition('=')[0]} out" in said
        assert len(said.splitlines()) == 1
    assert "--against says which" in cli("evaluate", lean, code=2).stderr
    assert "no run folder" in cli("evaluate", pictures, "--again", code=2).stderr
    assert "name a run" in cli("evaluate", "--again", code=2).stderr


def test_two_models_stand_side_by_side(cli: Cli, pictures: Path, other_pictures: Path):
    said = cli(
        "evaluate",
        pictures,
        other_pictures,
        "--against",
        pictures,
        "--resolution",
        "32",
        "--metrics",
        "kid",
        "--no-copies",
    ).stdout
    assert "red" in said
    assert "green" in said


def test_the_floor_of_a_set(cli: Cli, pictures: Path):
    said = cli("floor", pictures, "--sizes", "5", "20", "--resolution", "32").stdout
    assert "(no 20 twice)" in said  # 24 pictures are 12 against 12
    assert "FD" in said
    assert "FID" not in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--metrics", "kidd"], "no metric named 'kidd'; did you mean 'kid'"),
        (["--extractor", "inceptio"], "did you mean 'inception'"),
        (["--extractor", "inception", "--extractor-weights", "{red}/000.png"], "sha256"),
        ([], "choose it with --resolution"),
    ],
)
def test_mistakes_take_one_line(cli: Cli, pictures: Path, words: list[str], says: str):
    words = [word.format(red=pictures) for word in words]
    said = cli("evaluate", pictures, "--against", pictures, *words, code=2).stderr
    assert says in said
    assert len(said.splitlines()) == 1


def test_one_colour_pictures_and_missing_models_are_explained(
    cli: Cli, pictures: Path, tmp_path: Path
):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(8):
        Image.new("RGB", (32, 32), (number * 9, 0, 0)).save(flat / f"{number}.png")
    there = ["--against", pictures, "--resolution", "32"]
    assert "one-colour pictures" in cli("evaluate", flat, *there, code=2).stderr
    assert "name a run" in cli("evaluate", *there, code=2).stderr
    assert "at least 1 repeat" in cli("floor", pictures, "--repeats", 0, code=2).stderr
    assert "no source 'nowhere'" in cli("evaluate", "nowhere", *there, code=2).stderr
