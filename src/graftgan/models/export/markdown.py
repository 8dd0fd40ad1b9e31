"""Text of others inside Markdown: shown as it is, and never a heading, a link, HTML or a table."""

import re

from graftgan.core.untrusted import shown

_LONGEST = 2_000  # characters of one text
_ACTIVE = re.compile(r"[\\`*\[\]<>|~$]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LONGEST_REPOSITORY = 96  # characters, as the Hub allows
# What renderers make a link of, escaped or not; only code they leave alone.
_ADDRESS = re.compile(r"://|www\.|@|mailto:|xmpp:", re.IGNORECASE)


def inline(text: str) -> str:
    """Return ``text`` as one line of Markdown that reads as it was written.

    Addresses become code, since some renderers turn even escaped ones into links.
    """
    words = shown(" ".join(text.split()), _LONGEST).split(" ")
    first, *rest = (_as_code(w) if _ADDRESS.search(w) else _escaped(w) for w in words)
    return " ".join([_escaped_start(first), *rest])


def repository_name(name: str) -> str:
    """Return ``name`` as the Hub allows a repository to be called, which no shell minds either."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    plain = re.sub(r"([.-])[.-]+", r"\1", plain)[:_LONGEST_REPOSITORY].strip(".-")
    return plain or "model"


def _as_code(word: str) -> str:
    return f"`{word.replace('`', chr(39)).replace('|', '¦')}`"


def _escaped(word: str) -> str:
    return _ACTIVE.sub(r"\\\g<0>", word)


def _escaped_start(word: str) -> str:
    """Escape what makes a heading, a list or a rule of the line that it begins."""
    if re.fullmatch(r"[-+=#]+", word):
        return f"\\{word}"
    return f"{word[:-1]}\\{word[-1]}" if re.fullmatch(r"\d+[.)]", word) else word
