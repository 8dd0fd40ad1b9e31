"""A case: damaged files over a folder of valid ones, made again from (kind, seed, number)."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.strategies import SearchStrategy

from graftgan.core.errors import GraftganError

from .commands import Step, as_step
from .damage import damaged
from .outcomes import EXPECTED
from .seeds import Seeds

BATCH = 50
"""Hypothesis draws so many cases at once: it is slow to begin, and reproducible as a whole."""
_BOTH = 8  # one structured case in so many has its bytes damaged too
_ODD = 25  # in one case in so many, a file is no ordinary file
_SPARSE = 3 << 30  # bytes: beyond the memory that a case may take
_EVERY_COMMAND = 20  # one case in so many also goes through the command line

Files = Mapping[str, bytes | None]
"""Contents by relative name; None: the file is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is attacked.

    Attributes:
        name: Of the kind, and of its folder of valid files.
        steps: The entry points that read it; each is called, whatever the others did.
        commands: Words of command lines that read it; each case may go through one of them.
        targets: The valid files whose bytes are damaged.
        subject: Where damaged bytes are written; None: in the place of the valid file.
        valid: Which of ``targets`` every step accepts, where there is a ``subject``.
        structured: Strategy of hostile files that are well formed further in; None: bytes only.
    """

    name: str
    steps: Mapping[str, Step]
    commands: Sequence[Callable[[Path], Sequence[str]]] = ()
    targets: Callable[[Seeds], Sequence[str]]
    subject: str | None = None
    valid: str = ""
    structured: Callable[[Seeds], SearchStrategy[Files]] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One input.

    Attributes:
        odd: What stands in the place of one file, and its relative name; None: nothing does.
        through_command: Whether it also goes through the command line.
    """

    kind: str
    seed: int
    number: int
    files: Files
    odd: tuple[str, str] | None = None
    through_command: bool = False

    @property
    def size(self) -> int:
        """Bytes of what is damaged."""
        return sum(len(content or b"") for content in self.files.values())


def cases_of(kind: Kind, seeds: Seeds, seed: int, batch: int) -> list[Case]:
    """Return the cases number ``batch * BATCH`` and those that follow it."""
    structured = _drawn(kind, seeds, seed, batch)
    found: list[Case] = []
    for place in range(BATCH):
        number = batch * BATCH + place
        rng, odd = Random(f"{kind.name}/{seed}/{number}"), None
        if number % _ODD == seed % _ODD:
            name = rng.choice(kind.targets(seeds))
            files, odd = {}, (rng.choice(list(_ODDITIES)), kind.subject or name)
        elif structured and place % 4:  # three in four
            files = structured[place % len(structured)]
            if rng.randrange(_BOTH) == 0:
                whole = {n: c for n, c in files.items() if c is not None and n != EXPECTED}
                files = {name: damaged(content, rng) for name, content in whole.items()}
        else:
            name = rng.choice(kind.targets(seeds))
            files = {kind.subject or name: damaged(seeds.bytes_of(kind.name, name), rng)}
        # All places of a batch come to the command line, but seldom.
        through = number % _EVERY_COMMAND == batch % _EVERY_COMMAND
        found.append(Case(kind.name, seed, number, files, odd, through_command=through))
    return found


def prove_valid(kind: Kind, seeds: Seeds, folder: Path) -> None:
    """Call every step and command on valid files; so all that is loaded late is loaded, too.

    Raises:
        RuntimeError: One of them refuses its files.
    """
    files = {kind.subject: seeds.bytes_of(kind.name, kind.valid)} if kind.subject else {}
    write_case(files, seeds.folder(kind.name), folder)
    steps = [*kind.steps.items(), *(("command", as_step(words)) for words in kind.commands)]
    for name, step in steps:
        try:
            step(folder)
        except GraftganError as error:
            raise RuntimeError(f"{kind.name}: {name} refuses the valid files: {error}") from error


def case_of(kind: Kind, seeds: Seeds, seed: int, number: int) -> Case:
    """Return one case again."""
    return cases_of(kind, seeds, seed, number // BATCH)[number % BATCH]


def _drawn(kind: Kind, seeds: Seeds, seed: int, batch: int) -> list[Files]:
    if kind.structured is None:
        return []
    found: list[Files] = []

    @hypothesis_seed(Random(f"{kind.name}/{seed}/{batch}").getrandbits(64))
    @settings(
        max_examples=BATCH,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.structured(seeds))
    def draw(files: Files) -> None:
        found.append(files)

    draw()
    return found


def _make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(_SPARSE)


_ODDITIES: Mapping[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,  # whoever opens it waits
    "a device": lambda path: path.symlink_to("/dev/zero"),  # it never ends
    "a sparse file": _make_sparse,  # it takes no space on the disk
    "a folder": Path.mkdir,
}


def write_case(
    files: Files, template: Path, folder: Path, odd: tuple[str, str] | None = None
) -> None:
    """Write a copy of ``template`` with the files of a case in place of its own."""
    shutil.copytree(template, folder)
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    if odd:
        what, name = odd
        (folder / name).unlink(missing_ok=True)
        _ODDITIES[what](folder / name)
