"""The rooms of the house and which of them each may know, read from the source itself."""

import ast
import importlib
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import graftgan

HOME = Path(graftgan.__file__).parent

FLOORS = (
    {"core"},
    {"checkpoints", "metrics", "networks", "pictures", "reports", "transfer"},
    {"training"},
    {"experiments"},
    {"models"},
    {"runs"},
    {"studies"},
    {"cli", "__main__"},
)
"""A room imports from the floors above it in this list."""

BESIDE = {
    "pictures": {"checkpoints", "metrics", "reports"},
    "transfer": {"networks"},
    "__main__": {"cli"},
}
"""And from these rooms on its own floor."""

MOST_FLOORS, MOST_ROOMS, MOST_FILES = 8, 13, 2
FORBIDDEN_OUTSIDE = {"torchvision", "pickle", "cPickle", "dill", "cloudpickle", "joblib"}
ONLY_IN_CLI = {"tyro"}


def known_to() -> dict[str, set[str]]:
    """Return for each room the rooms it may import, itself included."""
    known: dict[str, set[str]] = {}
    above: set[str] = set()
    for floor in FLOORS:
        known |= {room: above | {room} | BESIDE.get(room, set()) for room in floor}
        above = above | floor
    return known


KNOWN = known_to()


def imports_of(source: str, package: str) -> Iterator[str]:
    """Yield the full name of everything ``source``, a module of ``package``, imports anywhere."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from graftgan import transfer` imports a room; elsewhere names may be objects.
            names = [f"{base}.{a.name}" for a in node.names] if base == "graftgan" else [base]
            yield from names


def problems_of(room: str, source: str, package: str) -> list[str]:
    """Return the imports in ``source`` that its room forbids."""
    found: list[str] = []
    for name in imports_of(source, package):
        parts = name.split(".")
        if parts[0] in FORBIDDEN_OUTSIDE or (parts[0] in ONLY_IN_CLI and room != "cli"):
            found.append(name)
        if parts[0] == "graftgan" and parts[1:] and parts[1] not in KNOWN[room]:
            found.append(name)
    return found


def modules() -> list[tuple[str, Path]]:
    """Return (room, file) for every module but the package itself, which loads names lazily."""
    found: list[tuple[str, Path]] = []
    for path in sorted(HOME.rglob("*.py")):
        room = path.relative_to(HOME).parts[0].removesuffix(".py")
        if room != "__init__":
            found.append((room, path))
    return found


def package_of(path: Path) -> str:
    return ".".join(["graftgan", *path.relative_to(HOME).parent.parts])


def imported_rooms() -> dict[str, set[str]]:
    """Return for each room the other rooms that its files import."""
    found: dict[str, set[str]] = {room: set() for room, _ in modules()}
    for room, path in modules():
        for name in imports_of(path.read_text(encoding="utf-8"), package_of(path)):
            parts = name.split(".")
            if parts[0] == "graftgan" and parts[1:]:
                found[room].add(parts[1])
    return {room: others - {room} for room, others in found.items()}


def test_every_room_has_its_floor():
    assert {room for room, _ in modules()} == set().union(*FLOORS), "name every room in FLOORS"
    assert len(FLOORS) <= MOST_FLOORS
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS)), "a room stands on one floor"


def test_the_house_stays_small():
    rooms = [path for path in HOME.iterdir() if path.is_dir() and any(path.rglob("*.py"))]
    files = list(HOME.glob("*.py"))
    assert len(rooms) <= MOST_ROOMS
    assert len(files) <= MOST_FILES


def cycle_free(rooms: Mapping[str, set[str]]) -> bool:
    try:
        tuple(TopologicalSorter(rooms).static_order())
    except ValueError:
        return False
    return True


def test_rooms_know_each_other_one_way_only():
    assert cycle_free(KNOWN | {room: KNOWN[room] - {room} for room in KNOWN})
    assert cycle_free(imported_rooms())
    assert not cycle_free({"a": {"b"}, "b": {"a"}})


def test_no_edge_is_allowed_that_nobody_uses():
    used = imported_rooms()
    for room, others in BESIDE.items():
        assert others <= used[room], f"{room} imports nothing of {others - used[room]} any more"


def test_the_test_sees_the_house():
    seen = [
        name
        for _, path in modules()
        for name in imports_of(path.read_text(encoding="utf-8"), package_of(path))
    ]
    assert len(seen) >= 300
    assert len([name for name in seen if name.startswith("graftgan.")]) >= 150


@pytest.mark.parametrize(
    ("room", "path"), modules(), ids=[str(p.relative_to(HOME)) for _, p in modules()]
)
def test_every_module_imports_only_what_its_room_may_know(room: str, path: Path):
    assert problems_of(room, path.read_text(encoding="utf-8"), package_of(path)) == []


@pytest.mark.parametrize(
    ("room", "source", "caught"),
    [
        ("core", "from graftgan.transfer import fold", True),
        ("transfer", "import graftgan.training", True),
        ("transfer", "def late():\n    from graftgan.training import Training", True),
        ("networks", "from graftgan import transfer", True),
        ("networks", "from ..transfer import fold", True),
        ("networks", "from .. import transfer", True),
        ("metrics", "from graftgan.pictures import load_image_set", True),
        ("training", "from graftgan.experiments.experiment import Experiment", True),
        ("models", "from graftgan.runs.run import run", True),
        ("runs", "from graftgan.cli import main", True),
        ("runs", "from graftgan.studies import Comparison", True),
        ("studies", "from graftgan.cli.terminal import console", True),
        ("models", "if True:\n    import graftgan.launch.slurm", True),
        ("checkpoints", "import pickle", True),
        ("cli", "from torchvision import transforms", True),
        ("pictures", "import torchvision.io as io", True),
        ("studies", "from tyro.conf import arg", True),
        ("cli", "import tyro", False),
        ("pictures", "from graftgan.metrics import METRICS", False),
        ("studies", "from graftgan.runs.run import run", False),
        ("cli", "from graftgan.studies import Comparison", False),
        ("training", "from graftgan.training.loop import Training", False),
        ("training", "from . import loop", False),
        ("training", "from .loop import Training", False),
        ("training", "from graftgan.core.network_types import NetworkPair\nimport torch", False),
    ],
)
def test_the_check_can_fail(room: str, source: str, caught: bool):
    assert bool(problems_of(room, source, f"graftgan.{room}")) == caught


@pytest.mark.parametrize(
    "room", [room for room, _ in sorted(set(modules())) if _.name == "__init__.py"]
)
def test_public_names_exist_and_are_sorted(room: str):
    names = getattr(importlib.import_module(f"graftgan.{room}"), "__all__", [])
    module = importlib.import_module(f"graftgan.{room}")
    assert not [name for name in names if not hasattr(module, name)]
    constants = [n for n in names if n.isupper()]
    classes = [n for n in names if not n.isupper() and n[0].isupper()]
    others = [n for n in names if n[0].islower()]
    assert names == [*sorted(constants), *sorted(classes), *sorted(others)], "as ruff sorts them"
    assert len(set(names)) == len(names)
