"""Flags into plain objects, a mistake into one line."""

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from graftgan.core.errors import SettingsError

T = TypeVar("T")


def parse_flags(cls: Callable[..., T], arguments: Sequence[str], **options: Any) -> T:
    """Build ``cls`` from the command line's words; ``options`` are those of ``tyro.cli``.

    Raises:
        SettingsError: A flag is unknown, missing or of the wrong type.
    """

    def parse() -> T:
        return tyro.cli(cls, args=list(arguments), **options)

    return _one_line(parse, options["prog"])


def goes_on(arguments: Sequence[str]) -> bool:
    """Return whether the words ask to go on with a folder, which takes other flags than a start."""
    return bool(given_of(["resume"], arguments))


def given_of(flags: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return those of ``flags``, without their dashes, that are among the words."""
    words = {word.partition("=")[0].replace("_", "-") for word in arguments}
    return [flag for flag in flags if f"--{flag}" in words]


def call_subcommand(
    functions: dict[str, Callable[..., None]],
    arguments: Sequence[str],
    *,
    prog: str,
    description: str,
) -> None:
    """Call the function that the first word names with the flags that follow it.

    Raises:
        SettingsError: A word or flag is unknown, missing or of the wrong type.
    """
    words = list(arguments) or ["--help"]
    _one_line(
        lambda: tyro.extras.subcommand_cli_from_dict(
            functions, args=words, prog=prog, description=description
        ),
        prog,
    )


def _one_line(parse: Callable[[], T], prog: str) -> T:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse()
    except SystemExit as stop:
        if not stop.code:
            raise  # --help was asked for and printed
        message = _essence(said.getvalue())
        raise SettingsError(f"{message}; see {' '.join(prog.split()[:2])} --help") from None


def _essence(box: str) -> str:
    """Return the paragraph under the title of tyro's box."""
    lines = [line.strip("╭╮╰╯│ ") for line in box.splitlines()]
    _, *rest = [line for line in lines if line] or [""]
    message: list[str] = []
    for line in rest:
        is_rule = not line.strip("─-━")
        if is_rule and message:
            break
        if not is_rule:
            message.append(line)
    return " ".join(message)
