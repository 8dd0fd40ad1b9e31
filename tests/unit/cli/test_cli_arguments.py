"""A mistake in the flags becomes one line, whatever the width of the screen."""

from dataclasses import dataclass

import pytest

from graftgan.cli.arguments import call_subcommand, parse_flags
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
        call_subcommand({"fold": fold}, ["fodl", "x"], prog="graftgan adapter", description="")
