"""robots.txt as RFC 9309 describes it: the longest rule that matches decides."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

OUR_NAME = "graftgan"
LARGEST_ROBOTS = 512_000  # bytes; the RFC asks for at least 500 KiB
_LONGEST_PAUSE = 60.0  # seconds; a host that asks for more gets this


@dataclass(frozen=True, slots=True)
class Robots:
    """What a host asks of programs like ours: rules as (allowed, path pattern), and a pause."""

    rules: tuple[tuple[bool, str], ...] = ()
    pause: float | None = None

    def allows(self, address: str) -> bool:
        """Return whether ``address`` may be fetched."""
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        found = [(len(p), allowed) for allowed, p in self.rules if _matches(p, path)]
        return max(found, default=(0, True))[1]  # of rules equally long the one that allows


def parse_robots(text: str) -> Robots:
    """Return the rules of a robots.txt for us, or those for everybody."""
    ours, everybodys = _Group(), _Group()
    current: list[_Group] = []
    names_go_on = False
    for line in text.splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            current = current if names_go_on else []
            names_go_on = True
            group = everybodys if value == "*" else ours if _is_us(value) else None
            if group is not None:
                group.is_named = True
                current.append(group)
        elif key in ("allow", "disallow", "crawl-delay"):
            names_go_on = False
            for group in current:
                group.add(key, value)
    group = ours if ours.is_named else everybodys
    return Robots(tuple(group.rules), group.pause)


class _Group:
    def __init__(self) -> None:
        self.is_named = False
        self.rules: list[tuple[bool, str]] = []
        self.pause: float | None = None

    def add(self, key: str, value: str) -> None:
        if key == "crawl-delay":
            if re.fullmatch(r"\d+(\.\d+)?", value):
                self.pause = min(float(value), _LONGEST_PAUSE)
        elif value:  # an empty path rules nothing
            self.rules.append((key == "allow", value))


def _is_us(name: str) -> bool:
    return name.lower().partition("/")[0] == OUR_NAME


def _matches(pattern: str, path: str) -> bool:
    """Return whether the path starts as the pattern says, with ``*`` for anything, ``$`` the end.

    Wildcards are matched greedily from the left, piece by piece, so that no pattern is slow.
    """
    is_whole = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    position = len(first)
    if not rest:
        return position == len(path) or not is_whole
    *middle, last = rest
    for piece in middle:
        found = path.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    if is_whole:
        return path.endswith(last) and len(path) - len(last) >= position
    return path.find(last, position) >= 0
