"""The card of a run: sealed, and with a copy that stands in for it."""

from pathlib import Path

import pytest

from graftgan.core.errors import RunError
from graftgan.experiments.records import RunCard, RunState, Session, read_run_card, write_run_card

CARD = RunCard(
    state=RunState.INTERRUPTED,
    message="stopped by SIGTERM",
    iteration=30,
    iterations=90,
    seconds=1.5,
    base={"generator": "ab"},
    pictures_sha256="cd",
    settings_sha256="ef",
    best=20,
    remarks=("slow",),
    session=Session(
        command="graftgan", versions={"torch": "2"}, device="cpu", hardware="a laptop", processes=1
    ),
)


def test_a_card_comes_back(tmp_path: Path):
    write_run_card(tmp_path / "card.json", CARD)
    assert read_run_card(tmp_path / "card.json") == CARD


@pytest.mark.parametrize("content", ["", "{}", "[1]", None])
def test_its_copy_stands_in_for_a_damaged_card(tmp_path: Path, content: str | None):
    path = tmp_path / "card.json"
    write_run_card(path, CARD)
    whole = path.read_text()
    path.write_text(
        whole.replace('"iteration": 30', '"iteration": 31') if content is None else content
    )
    assert read_run_card(path) == CARD
    (tmp_path / ".card.json").write_text("damaged too")
    with pytest.raises(RunError, match=r"card\.json"):
        read_run_card(path)


def test_without_a_card_there_is_no_run(tmp_path: Path):
    write_run_card(tmp_path / "card.json", CARD)
    (tmp_path / "card.json").unlink()
    with pytest.raises(RunError, match="there is no file"):
        read_run_card(tmp_path / "card.json")
