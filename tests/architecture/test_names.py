"""One name, one meaning; and the words of the field."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import graftgan

HOME = Path(graftgan.__file__).parent
PROJECT = Path(__file__).parents[2]

KEPT_MODULES = {
    "__init__": "the public names of a package",
    "settings": "the settings of the room that it lies in",
    "adapter": "the verb shows what the module makes, as do those below",
    "collect": "the verb calls the module",
    "curate": "the verb calls the module",
    "plan": "the verb shows what the module reads",
    "preview": "the verb calls the module",
    "sources": "the verb shows what the module finds",
    "styles": "the verb calls the module",
}
"""Modules that share a name, and why."""

KEPT_NAMES = {
    "main": "every verb has one",
    "fold": "the command `adapter fold`, and what it calls",
    "mix": "the commands `adapter mix` and `styles mix`",
    "DEFAULTS": "those of a verb",
    "DIMENSION": "of the features of a network, each in the file of its network",
    "FORMAT": "the version of a file, each beside its reader",
    "SIDE": "of the pictures that a network or a page is shown, each in its file",
}
"""Functions, classes, aliases and constants that share a name, and why."""

FORMER = (
    r"games?|sittings?|watchers?|listeners?|companions?|compass|yardstick|desk|leash(ed)?|quota|"
    r"judgement|judging|gates?|latent[ _-]maps?|whoever|numbers that train|walls?|films?|sheets?"
)
"""Words of an earlier vocabulary, for which the field has its own."""

ALLOWED = {
    "cli/ending.py": {"quota"},  # of a disk
    "core/files.py": {"quota"},
    "studies/trials.py": {"wall"},  # seconds on the wall clock
    "studies/queue.py": {"wall"},
    "studies/search_page.py": {"wall"},
    "cli/search.py": {"wall"},
    "docs/reliability.md": {"wall"},
    "docs/scores.md": {"sheet", "sheets"},  # that the judges of the eye study saw
}


def defined() -> Iterator[tuple[str, str, str]]:
    """Yield (kind, name, place) of every module, and of what it defines that is not private.

    Type variables of one letter mean nothing outside their file.
    """
    for path in sorted(HOME.rglob("*.py")):
        place = path.relative_to(HOME).as_posix()
        yield "module", path.stem, place
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in names_in(node):
                if not name.startswith("_") and len(name) > 1:
                    yield "name", name, place


def names_in(statement: ast.stmt) -> list[str]:
    """Return what a statement of a module defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    inside = (node for target in targets for node in ast.walk(target))
    return [node.id for node in inside if isinstance(node, ast.Name)]


def shared(kind: str) -> dict[str, list[str]]:
    """Return the places of every name that stands for two things."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for found, name, place in defined():
        if found == kind:
            places[name].append(place)
    return {name: where for name, where in places.items() if len(where) > 1}


@pytest.mark.parametrize(("kind", "kept"), [("module", KEPT_MODULES), ("name", KEPT_NAMES)])
def test_no_name_stands_for_two_things(kind: str, kept: dict[str, str]):
    found = shared(kind)
    assert {name: where for name, where in found.items() if name not in kept} == {}
    assert set(kept) <= set(found), "an exception that nobody needs any more"


def texts() -> list[Path]:
    docs = [*(PROJECT / "docs").glob("*.md"), *(PROJECT / "docs/methods").glob("*.md")]
    code = [*HOME.rglob("*.py"), *HOME.rglob("*.html")]
    return [*code, *docs, PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"]


def former_words(text: str) -> set[str]:
    return {match.group().lower() for match in re.finditer(rf"\b({FORMER})\b", text, re.IGNORECASE)}


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_no_former_word_is_left(path: Path):
    root = HOME if path.is_relative_to(HOME) else PROJECT
    allowed = ALLOWED.get(path.relative_to(root).as_posix(), set())
    assert former_words(path.read_text(encoding="utf-8")) - allowed == set()


def test_the_search_for_words_can_fail():
    assert former_words("The game on codes; --latent-map miner, a Watcher") == {
        "game",
        "latent-map",
        "watcher",
    }
