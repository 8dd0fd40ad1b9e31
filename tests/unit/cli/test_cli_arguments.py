"""A mistake in the flags becomes one line, whatever the width of the screen."""

import sys
from dataclasses import dataclass

import pytest

from graftgan.cli.terminal import parse_flags, subverbs, verb
from graftgan.core.errors import SettingsError


@dataclass(frozen=True)
class Options:
    """Some flags."""

    pictures: str
    count: int = 3


def fold(adapter: str) -> None:
    """Fold it."""


@pytest.mark.parametrize("columns", ["40", "200"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pictures", "p", "--count", "many"], "invalid literal for int() with base 10: 'many'"),
        (["--pictures", "p", "--cuont", "3"], "--cuont"),
        ([], "--pictures"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(arguments, says, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SettingsError) as caught:
        parse_flags(Options, arguments, prog="graftgan transfer PICTURES")
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert message.endswith("; see graftgan transfer --help")
    assert capsys.readouterr().err == ""


def test_help_is_printed_and_ends_well(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_flags(Options, ["--help"], prog="graftgan transfer PICTURES")
    assert not caught.value.code
    assert "--count" in capsys.readouterr().out


def test_an_unknown_subcommand_is_named():
    with pytest.raises(SettingsError, match="fodl"):
        subverbs(__name__, fold=fold)(["fodl", "x"])


def test_a_verb_is_named_as_its_file_and_shown_with_its_docstring(capsys):
    with pytest.raises(SettingsError, match=f"see graftgan {__name__.rpartition('.')[2]} --help"):
        verb(fold)([])
    with pytest.raises(SystemExit):
        verb(fold)(["--help"])
    assert "A mistake in the flags becomes one line" in capsys.readouterr().out


def test_what_a_verb_prints_to_standard_error_is_kept(capsys):
    def complain(code: int) -> int:
        """Complain."""
        print("oh", file=sys.stderr)
        return code

    assert verb(complain)(["--code", "3"]) == 3
    assert subverbs(__name__, complain=complain)(["complain", "--code", "4"]) == 4
    assert capsys.readouterr().err == "oh\noh\n"
