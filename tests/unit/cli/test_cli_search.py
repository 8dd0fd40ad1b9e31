"""The words of ``graftgan search``: one clear line for each mistake."""

from pathlib import Path

import pytest

from graftgan.cli import main

SCORED = ["--held-out", "0.3", "--score-every", "3"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "a search needs scores"),
        ([*SCORED, "--strategy", "greedy"], "no strategy named 'greedy'"),
        ([*SCORED, "--strategy", "grid"], "the grid has 400 plans"),
        ([*SCORED, "--strategy", "optuna"], "say what the search may cost"),
        ([*SCORED, "--strategy", "grid", "--actions", "freeze,lora"], "no place for lora"),
        ([*SCORED, "--actions", "freeze,tune"], "actions must be"),
        ([*SCORED, "--trials", "0"], "trials must be finite and positive"),
        ([*SCORED, "--patience", "3"], "different numbers of images"),
        ([*SCORED, "--strategy", "optuna", "--trials", "9", "--tune", "rate"], "NAME=LOW:HIGH"),
        ([*SCORED, "--networks", "neither"], "--networks"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    assert main(["search", pictures, *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "searches").exists()


def test_a_folder_without_a_search_cannot_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["search", "--resume", str(tmp_path)]) == 2
    assert "holds no search" in capsys.readouterr().err


def test_an_experiment_file_says_what_is_searched_and_flags_win(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "mine.toml"
    file.write_text(
        'source = "avatars-64"\n[search]\nstrategy = "grid"\nnetworks = "generator"\n'
        "[scoring]\nscore_every = 3\n[data]\nheld_out = 0.3\n"
    )
    assert main(["search", pictures, "--config", str(file), "--networks", "both"]) == 2
    assert "the grid has 400 plans" in capsys.readouterr().err
    file.write_text(file.read_text().replace("networks", "network"))
    assert main(["search", pictures, "--config", str(file)]) == 2
    assert "unknown setting 'network'" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["search", "--help"])
    assert not stop.value.code
    said = capsys.readouterr().out
    for words in ("gradual", "--trials", "--budget-seconds", "--confirm-seeds", "--resume",
                  "--actions", "winner.toml"):  # fmt: skip
        assert words in said
