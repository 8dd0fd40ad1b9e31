"""Errors for the user, progress callbacks, and text that is safe to print in a terminal.

Each message says what is wrong, where, what was expected and what to do. The command line prints
it on one line and exits with code 2; library callers catch ``GraftganError``.
"""

import unicodedata
from collections.abc import Callable

_LONGEST = 2_000  # characters of a message
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats, surrogates, separators
_JOINERS = "\u200c\u200d"  # parts of words in Persian and Hindi, and of emoji

Progress = Callable[[str, int, int], None]
"""Called with (name of the task, amount done, total amount)."""

CountProgress = Callable[[int, int], None]
"""Called with (amount done, total amount)."""


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


def shown(text: object, limit: int = 80) -> str:
    """Return ``text``, escaped as by :func:`escaped`, cut to ``limit`` characters for a message.

    A text that was cut ends in ``…``.
    """
    safe = escaped(str(text)[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[: limit - 1]}…"


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with unprintable characters written as ``\x1b`` and the like.

    These are control characters (C0, C1, DEL), line and paragraph separators, marks that are
    invisible or change the writing direction, and lone surrogates. Those in ``keep`` stay.
    """
    if text.isascii() and text.isprintable():
        return text
    unsafe = {c for c in {*text} - {*_JOINERS, *keep} if unicodedata.category(c) in _INVISIBLE}
    return "".join(ascii(c)[1:-1] if c in unsafe else c for c in text)


class GraftganError(Exception):
    """Base of all errors that explain themselves to the user.

    Messages may quote names from files. Their text is always one printable line, cut to 2,000
    characters.
    """

    def __str__(self) -> str:
        message = Exception.__str__(self)  # KeyError would print it in quotes
        return shown(" ".join(line.strip() for line in message.splitlines()), _LONGEST)


class SettingsError(GraftganError):
    """A setting has a wrong name, type or value."""


class UnknownName(SettingsError, KeyError):  # noqa: N818 - reads as what happened
    """A registry has no entry of that name."""


class PlanError(GraftganError):
    """A plan does not fit the networks."""


class ImageSetError(GraftganError):
    """Pictures cannot become an image set."""


class CollectError(GraftganError):
    """Pictures cannot be collected from a site, or not into a folder."""


class SourceError(GraftganError):
    """A source model is missing or unusable."""


class CheckpointError(GraftganError):
    """Weights or cards on disk are missing, damaged or belong to another network."""


class RunError(GraftganError):
    """A run folder cannot be started, written or continued."""


class ScoreError(GraftganError):
    """A score cannot be measured, or two scores cannot be compared."""


class TrainingDiverged(GraftganError):  # noqa: N818 - reads as what happened
    """Training produced not-a-number or collapsed to one picture."""
