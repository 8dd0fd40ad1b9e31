"""Registries: entries by name, without duplicates, and with suggestions for typos."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from typing_extensions import Doc

from graftgan.core.errors import SettingsError, UnknownName, shown

T = TypeVar("T")

_MOST_NAMES = 30  # in one message
_LONGEST_NAME = 100  # characters compared with known names; comparing more would be slow


class Registry(Mapping[str, T]):
    """A read-only mapping from names to registered entries of one ``kind``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument as ``name``, in lower_snake_case."""
        if name in self._entries:
            raise SettingsError(f"{self.kind} '{name}' is already registered")
        if not name.isidentifier() or name != name.lower():
            raise SettingsError(f"{self.kind} name '{name}' must be lower_snake_case")

        def add(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        raise UnknownName(f"no {self.kind} named '{shown(name)}'; {suggest(name, self._entries)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class NamesDoc(Doc):
    """Help text, for ``Annotated``, of a setting that takes a registered name.

    ``{}`` in the text stands for all names that are registered when the help is shown.
    """

    def __init__(self, text: str, known: Collection[str]) -> None:
        self._text = text
        self._known = known

    @property
    def documentation(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The full text."""
        *others, last = self._known
        names = f"{', '.join(others)} or {last}" if others else last
        return self._text.replace("{}", names)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)  # the text may change


def suggest(name: str, known: Mapping[str, object] | list[str]) -> str:
    """Return the end of an error message: similar names, all names if few, or the nearest ones."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(shown(n)) for n in near)}?"
    if len(names) <= _MOST_NAMES:
        return f"choose one of: {', '.join(shown(n) for n in names)}"
    nearest = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=3, cutoff=0.0)
    return f"the nearest of {len(names)} are {', '.join(shown(n) for n in nearest)}"
