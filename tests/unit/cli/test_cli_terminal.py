"""What is printed is shown and never obeyed: names come from files, cards and sites."""

import json
from pathlib import Path

import pytest
from rich.text import Text

from graftgan import cli
from graftgan.checkpoints import SourceCard, save_source
from graftgan.cli.terminal import (
    BAR_COLUMNS,
    SafeConsole,
    ScreenObserver,
    bars_of,
    console,
    table_of,
    with_bars,
)
from tiny_networks import tiny_architecture, tiny_pair

HOSTILE = "\x1b]0;PWNED\x1b[2J\x9b1m\u202egnp.exe"
HARMLESS = r"\x1b]0;PWNED\x1b[2J\x9b1m\u202egnp.exe"


@pytest.mark.parametrize(
    "printed",
    [
        HOSTILE,
        Text(HOSTILE),
        Text(HOSTILE, style="red"),
        table_of([HOSTILE, "b"], [["a", HOSTILE]], title=HOSTILE, overflow="fold"),
    ],
    ids=["text", "rich text", "coloured", "table"],
)
def test_controls_of_others_are_shown(capsys: pytest.CaptureFixture[str], printed: object):
    console.print(printed, width=400)
    said = capsys.readouterr().out
    assert HARMLESS in said
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)
    said.encode("utf-8")


def test_our_own_colours_and_lines_stay(capsys: pytest.CaptureFixture[str]):
    coloured = SafeConsole(
        force_terminal=True, color_system="standard", markup=False, highlight=False
    )
    coloured.print(Text("red", style="red"))
    coloured.print("two\nlines [bold]of text[/x]\tand a caf\udce9")
    said = capsys.readouterr().out
    assert said.startswith("\x1b[31mred\x1b[0m\n")
    assert "two\nlines [bold]of text[/x]" in said
    assert r"and a caf\udce9" in said


def test_a_bar_of_any_name_is_drawn(capsys: pytest.CaptureFixture[str]):
    with bars_of(*BAR_COLUMNS) as bars:
        bars.add_task("half of [/red]", total=2, completed=1)
        terminal = SafeConsole(force_terminal=True, width=200, color_system=None)
        terminal.print(bars.get_renderable())
    assert "half of [/red]" in capsys.readouterr().out
    with with_bars() as show:
        show(HOSTILE, 1, 2)


def test_progress_on_a_terminal_is_escaped_too(capsys: pytest.CaptureFixture[str]):
    observer = ScreenObserver()
    observer.draws_bar = True
    observer.progress(HOSTILE, 1, 1)
    assert capsys.readouterr().err == f"{HARMLESS}: 1/1\n"


def test_a_card_tells_the_terminal_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("GRAFTGAN_SOURCES", str(tmp_path))
    card = SourceCard(name="evil", architecture=tiny_architecture(), data=HOSTILE, notes=HOSTILE)
    save_source(tmp_path / "evil", tiny_pair(), card)
    data = json.loads((tmp_path / "evil" / "card.json").read_text())
    (tmp_path / "evil" / "card.json").write_text(json.dumps({**data, "licence": HOSTILE}))
    assert cli.main(["sources", "show", "evil"]) == 0
    said = capsys.readouterr().out
    assert "PWNED" in said
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)


def test_a_pickle_tells_the_terminal_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "e.pkl").write_bytes(b"\x80\x04c\x1b]0;PWNED\x07\x1b[2J\nx\n.")
    assert cli.main(["import", str(tmp_path / "e.pkl")]) == 2
    said = capsys.readouterr().err
    assert "PWNED" in said
    assert said.removesuffix("\n").isprintable()
