"""What a person is told: the errors they can meet, and how far a work is.

Each message says what is wrong, where, what was expected and what to do. The command line prints
it as one line and exits with code 2; library callers catch ``GraftganError``. Text that came from a
file, a server or a library is made fit for a terminal.
"""

import unicodedata
from collections.abc import Callable

_LONGEST = 2_000  # characters of a message
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats, surrogates, separators
_JOINERS = "\u200c\u200d"  # parts of words in Persian and Hindi, and of emoji

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, how much there is)."""

CountProgress = Callable[[int, int], None]
"""Called with (how much is done, how much there is), where the caller knows what is being done."""


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
    del what, done, total


def shown(text: object, limit: int = 80) -> str:
    """Return ``text`` in one line of at most ``limit`` characters, for a message.

    What a terminal would obey instead of show is escaped, as by :func:`escaped`; a text that is
    longer ends in ``…``.
    """
    safe = escaped(str(text)[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[: limit - 1]}…"


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with every character that a terminal would not show as ``\x1b`` or alike.

    These are controls (C0, C1, DEL), line and paragraph separators, marks that turn the direction
    of writing or are invisible, and lone surrogates; those in ``keep`` stay.
    """
    if text.isascii() and text.isprintable():
        return text
    obeyed = {c for c in {*text} - {*_JOINERS, *keep} if unicodedata.category(c) in _INVISIBLE}
    return "".join(ascii(c)[1:-1] if c in obeyed else c for c in text)


class GraftganError(Exception):
    """Base of every error that has an explanation for the user.

    Messages quote names from files. Whatever these hold, the text of an error is one line of
    characters that a terminal shows; it ends in ``…`` where it would be longer than 2,000.
    """

    def __str__(self) -> str:
        message = Exception.__str__(self)  # KeyError would print it in quotes
        return shown(" ".join(line.strip() for line in message.splitlines()), _LONGEST)


class SettingsError(GraftganError):
    """A setting has a wrong name, type or value."""


class UnknownName(SettingsError, KeyError):  # noqa: N818 - reads as what happened
    """A registry has nothing by that name."""


class PlanError(GraftganError):
    """A plan does not fit the networks it should apply to."""


class ImageSetError(GraftganError):
    """Pictures cannot become an image set."""


class CollectError(GraftganError):
    """Pictures cannot be collected from there, or not into that folder."""


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
