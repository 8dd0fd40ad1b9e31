"""The import order of the house, read from the source itself."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import graftgan

HOME = Path(graftgan.__file__).parent
GROUND = {
    "errors",
    "registry",
    "settings",
    "tensors",
    "randomness",
    "networks",
    "files",
    "locks",
    "proportions",
    "progress",
    "provenance",
    "run_card",
    "records",
    "untrusted",
}
ROOMS = {
    "data",
    "backbones",
    "objectives",
    "augment",
    "metrics",
    "reports",
    "checkpoints",
    "transfer",
    "training",
}
COMPOSERS = {
    "advice",
    "experiment",
    "methods",
    "run_folder",
    "sources",
    "sampling",
    "prepared",
    "games",
    "assembly",
    "recorder",
    "sitting",
    "scorer",
    "evaluation",
    "scored_pictures",
    "rescoring",
    "composer",
    "resuming",
    "adapters",
    "films",
    "starts",
    "imports",
    "export",
    "sets",
    "unseen",
    "styles",
    "projection",
    "collecting",
    "curation",
}
SEARCH = {"search"}
TOP = {"launch", "cli", "__main__"}
FORBIDDEN_OUTSIDE = {"torchvision", "pickle", "cPickle", "dill", "cloudpickle", "joblib"}


def may_import(unit: str) -> set[str]:
    """Return the parts of graftgan that ``unit`` may import, itself included."""
    if unit in GROUND:
        return GROUND
    if unit in ROOMS:
        return GROUND | {unit}
    if unit in COMPOSERS:
        return GROUND | ROOMS | COMPOSERS
    if unit in SEARCH:
        return GROUND | ROOMS | COMPOSERS | SEARCH
    return GROUND | ROOMS | COMPOSERS | SEARCH | TOP


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
            # `from graftgan import transfer` imports a part; elsewhere names may be objects.
            names = [f"{base}.{a.name}" for a in node.names] if base == "graftgan" else [base]
            yield from names


def problems_of(unit: str, source: str, package: str) -> list[str]:
    """Return the imports in ``source`` that its place in the house forbids."""
    found: list[str] = []
    for name in imports_of(source, package):
        parts = name.split(".")
        if parts[0] in FORBIDDEN_OUTSIDE:
            found.append(name)
        if parts[0] == "graftgan" and parts[1:] and parts[1] not in may_import(unit):
            found.append(name)
    return found


def modules() -> list[tuple[str, Path]]:
    """Return (unit, file) for every module: the unit is the room or the lone file."""
    found: list[tuple[str, Path]] = []
    for path in sorted(HOME.rglob("*.py")):
        inside = path.relative_to(HOME)
        unit = inside.parts[0].removesuffix(".py")
        if unit != "__init__":
            found.append((unit, path))
    return found


def package_of(path: Path) -> str:
    return ".".join(["graftgan", *path.relative_to(HOME).parent.parts])


def test_the_test_sees_the_house():
    units = {unit for unit, _ in modules()}
    assert units >= GROUND | ROOMS
    assert {"cli", "composer", "assembly"} <= units
    unknown = units - GROUND - ROOMS - COMPOSERS - SEARCH - TOP
    assert not unknown, f"say above where {unknown} stand in the import order"
    seen = [
        name
        for _, path in modules()
        for name in imports_of(path.read_text(encoding="utf-8"), package_of(path))
    ]
    assert len(seen) >= 300
    assert len([name for name in seen if name.startswith("graftgan.")]) >= 150


@pytest.mark.parametrize(
    ("unit", "path"), modules(), ids=[str(p.relative_to(HOME)) for _, p in modules()]
)
def test_every_module_imports_only_what_its_place_allows(unit: str, path: Path):
    assert problems_of(unit, path.read_text(encoding="utf-8"), package_of(path)) == []


@pytest.mark.parametrize(
    ("unit", "source", "caught"),
    [
        ("settings", "from graftgan.transfer import fold", True),
        ("training", "import graftgan.transfer", True),
        ("training", "def late():\n    from graftgan.training.objectives import OBJECTIVES", True),
        ("training", "from graftgan import transfer", True),
        ("training", "from ..transfer import fold", True),
        ("training", "from .. import transfer", True),
        ("training", "from graftgan.experiments.experiment import Experiment", True),
        ("composer", "from graftgan.cli import main", True),
        ("composer", "from graftgan.studies import Comparison", True),
        ("search", "from graftgan.cli.screen import console", True),
        ("search", "from graftgan.runs.run import run", False),
        ("cli", "from graftgan.studies import Comparison", False),
        ("sampling", "if True:\n    import graftgan.launch.slurm", True),
        ("checkpoints", "import pickle", True),
        ("cli", "from torchvision import transforms", True),
        ("data", "import torchvision.io as io", True),
        ("training", "from graftgan.training.loop import Training", False),
        ("training", "from . import loop", False),
        ("training", "from .loop import Training", False),
        ("training", "from graftgan.core.network_types import NetworkPair\nimport torch", False),
        ("composer", "from graftgan.transfer import fold", False),
        ("cli", "from graftgan.runs.run import run", False),
    ],
)
def test_the_check_can_fail(unit: str, source: str, caught: bool):
    assert bool(problems_of(unit, source, f"graftgan.{unit}")) == caught


@pytest.mark.parametrize("room", sorted(ROOMS | SEARCH))
def test_public_names_exist_and_are_sorted(room: str):
    module = importlib.import_module(f"graftgan.{room}")
    names = module.__all__
    assert names
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing
    assert all(isinstance(name, str) for name in names)
    constants = [n for n in names if n.isupper()]
    classes = [n for n in names if not n.isupper() and n[0].isupper()]
    others = [n for n in names if n[0].islower()]
    assert names == [*sorted(constants), *sorted(classes), *sorted(others)], "as ruff sorts them"
    assert len(set(names)) == len(names)
