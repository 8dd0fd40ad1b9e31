"""The words of ``graftgan compare``: one clear line for each mistake, and the list of runs."""

from pathlib import Path

import pytest

from graftgan.cli import main

SCORED = ["--held-out", "0.3", "--score-every", "3"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (SCORED, "say what to compare"),
        (["--methods", "freeze"], "needs scores"),
        ([*SCORED, "--methods", "combined,D(9,9,9) G(1,2,2)"], "variant 'D(9,9,9) G(1,2,2)'"),
        ([*SCORED, "--vary", "agment=none"], "did you mean 'augment'"),
        ([*SCORED, "--vary", "augment=lihgt"], "did you mean 'light'"),
        ([*SCORED, "--vary", "augment"], "NAME=a,b"),
        ([*SCORED, "--vary", "augment=none", "--vary", "augment=light"], "given twice"),
        ([*SCORED, "--methods", "freeze", "--patience", "3"], "different numbers of images"),
        ([*SCORED, "--methods", "freeze", "--seed", "3"], "--seeds"),
        ([*SCORED, "--methods", "freeze", "--seeds", "no"], "no seeds"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    assert main(["compare", pictures, *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "comparisons").exists()


def test_a_folder_without_a_comparison_cannot_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["compare", "--resume", str(tmp_path)]) == 2
    assert "holds no comparison" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "--help"])
    assert not stop.value.code
    said = capsys.readouterr().out
    for words in ("--methods", "--vary", "--seeds", "--resume", "within noise", "--iterations"):
        assert words in said


def test_starts_are_compared_without_a_source(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    network = "[network]\nresolution = 32\nwidth = 4\n"
    (tmp_path / "x.toml").write_text(
        f'[compare]\nvary = ["start=fresh,vae"]\nseeds = "1"\n{network}'
    )
    words = ["compare", pictures, "--config", "x.toml", *SCORED, "--dry-run", "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "start-fresh-0" in said
    assert "start-vae-0" in said
    assert main([*words, "--methods", "freeze"]) == 2
    assert "without a source a plan means nothing" in capsys.readouterr().err
