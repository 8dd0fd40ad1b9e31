"""A mistake in the flags becomes one line, whatever the width of the screen."""

import sys
from dataclasses import dataclass
from typing import Literal

import pytest
from tyro.conf import Positional

from graftgan.cli.terminal import parse_flags, subverbs, verb
from graftgan.core.errors import SettingsError


@dataclass(frozen=True)
class Options:
    """Some flags."""

    pictures: str
    """Where they lie."""
    count: int = 3
    share: float | None = None
    kind: Literal["a", "b"] = "a"


def fold(adapter: str) -> None:
    """Fold it."""


@pytest.mark.parametrize("columns", ["40", "200"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pictures", "p", "--count", "many"], "--count takes a whole number, got 'many'"),
        (["--pictures", "p", "--share", "much"], "--share takes a number, got 'much'"),
        (["--pictures", "p", "--cuont", "3"], "no option --cuont; did you mean '--count'?"),
        (["--pictures", "p", "--qqq"], "no option --qqq; see"),
        (["--pictures", "p", "--kind", "x"], "--kind takes one of 'a', 'b', got 'x'"),
        (["--pictures", "p", "--count"], "--count needs a value"),
        (["--pictures", "p", "q"], "'q' is one word too many"),
        ([], "--pictures is missing: Where they lie; see"),
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


def test_everything_that_is_missing_is_named():
    def write(model: str, to: str) -> None:
        """Write it.

        Args:
            model: A source. Or a run.
            to: The form.
        """

    write.__annotations__["model"] = Positional[str]
    with pytest.raises(SettingsError) as caught:
        verb(write)([])
    assert str(caught.value).startswith(
        "an argument is missing: A source. Or a run; --to is missing: The form; see "
    )


def test_help_is_printed_and_ends_well(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_flags(Options, ["--help"], prog="graftgan transfer PICTURES")
    assert not caught.value.code
    assert "--count" in capsys.readouterr().out


def test_an_unknown_subcommand_is_named():
    with pytest.raises(SettingsError, match="no 'fodl'; did you mean 'fold'"):
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
