"""Text that came from a file, a server or a library, made fit for a terminal and for messages."""

import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats, surrogates, separators
_JOINERS = "\u200c\u200d"  # parts of words in Persian and Hindi, and of emoji


def shown(text: object, limit: int = 80) -> str:
    """Return ``text`` in one line of at most ``limit`` characters, for a message.

    What a terminal would obey instead of show is escaped, as by :func:`escaped`; a text that is
    longer ends in ``…``.
    """
    words = str(text)
    safe = escaped(words[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[: limit - 1]}…"


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with every character that a terminal would not show as ``\x1b`` or alike.

    These are controls (C0, C1, DEL), line and paragraph separators, marks that turn the direction
    of writing or are invisible, and lone surrogates.

    Args:
        text: From anywhere.
        keep: Characters to leave as they are, such as line feeds.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or _is_visible(c) else _escape(c) for c in text)


def _is_visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _INVISIBLE


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
