"""What a person says against the filters, in a file that every further curation reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tomli_w

from graftgan.core.errors import SettingsError
from graftgan.core.files import write_text
from graftgan.core.registry import suggest
from graftgan.core.settings import parse, read_toml, strict
from graftgan.core.untrusted import shown

OVERRIDES = "overrides.toml"
_HEAD = """\
# What you say here wins over every filter, in each further curation. Names are those of the page.
"""


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Pictures by name.

    Attributes:
        keep: In the clean set, whatever the filters say.
        drop: Not in it, whatever they say.
    """

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        both = sorted(set(self.keep) & set(self.drop))
        if both:
            raise SettingsError(f"a picture is to be kept and to be dropped: {', '.join(both)}")

    def on(self, name: str, *, usable: bool) -> Literal["kept", "dropped"] | None:
        """Return what is said of a picture; one that cannot be read cannot be kept."""
        if name in self.keep and usable:
            return "kept"
        return "dropped" if name in self.drop else None

    def check(self, names: Iterable[str]) -> None:
        """Raise SettingsError where a name is not among ``names``."""
        known = dict.fromkeys(names)
        for name in (*self.keep, *self.drop):
            if name not in known:
                raise SettingsError(
                    f"{OVERRIDES}: no picture '{shown(name)}'; {suggest(name, known)}"
                )


def read_overrides(folder: Path) -> Overrides:
    """Return what ``overrides.toml`` in the folder says; write an empty one where there is none.

    Raises:
        SettingsError: The file says something else than ``keep`` and ``drop``.
        RunError: It cannot be written.
    """
    path = folder / OVERRIDES
    if not path.exists():
        write_text(path, _HEAD + tomli_w.dumps({"keep": [], "drop": []}))
    return parse(Overrides, read_toml(path), where=str(path))
