"""Untyped dictionaries stay at the edge of a file format."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import graftgan

HOME = Path(graftgan.__file__).parent

EDGES = {
    "checkpoints/tensor_folders.py": "card.json of a source",
    "checkpoints/torch_file.py": "whatever a file of torch holds",
    "core/files.py": "JSON and JSON lines",
    "core/network_types.py": "the architecture in a card, with the settings of any backbone",
    "core/provenance.py": "a line of a manifest, of ours or of other programs",
    "core/settings.py": "TOML, and settings as plain data",
    "experiments/experiment.py": "settings by dotted name, of any type",
    "experiments/methods.py": "an experiment file before it is parsed",
    "experiments/records.py": "a line of metrics.jsonl",
    "metrics/extractors/extractor.py": "fields of the protocol, written with each score",
    "models/convert/official_layers.py": "settings in files of other programs",
    "models/convert/pytorch_dcgan.py": "files of other programs",
    "models/convert/stylegan2_pytorch.py": "files of other programs",
    "models/export/form.py": "the note in the header of an exported file",
    "networks/backbone.py": "settings of any backbone",
    "pictures/curation/filters/filter.py": "a line of the readings of a curation",
    "pictures/image_set.py": "manifest.json",
    "studies/comparison.py": "settings by dotted name, of any type",
    "studies/plan_search.py": "the table of a search in an experiment file",
    "transfer/plan.py": "plan.json",
}
"""Files whose public functions take or return plain data, and which data that is."""


def untyped_in(source: str) -> Iterator[str]:
    """Yield the public functions and methods with a dictionary of anything in their signature."""

    def look(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from look(node.body, f"{node.name}.")
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                hints = [node.returns, *(argument.annotation for argument in arguments)]
                words = " ".join(ast.unparse(hint) for hint in hints if hint is not None)
                if "dict[str, Any]" in words or "Mapping[str, Any]" in words:
                    yield prefix + node.name

    yield from look(ast.parse(source).body, "")


@pytest.mark.parametrize(
    "path", sorted(HOME.rglob("*.py")), ids=lambda path: path.relative_to(HOME).as_posix()
)
def test_plain_dictionaries_stay_at_the_edge_of_a_format(path: Path):
    place = path.relative_to(HOME).as_posix()
    found = list(untyped_in(path.read_text(encoding="utf-8")))
    if place not in EDGES:
        assert found == [], "give the result a type, or name its file format in EDGES"


def test_no_edge_is_listed_that_is_none_any_more():
    with_dictionaries = {
        path.relative_to(HOME).as_posix()
        for path in HOME.rglob("*.py")
        if list(untyped_in(path.read_text(encoding="utf-8")))
    }
    assert set(EDGES) == with_dictionaries


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def read(path: Path) -> dict[str, Any]: ...", ["read"]),
        ("def write(data: Mapping[str, Any]) -> None: ...", ["write"]),
        ("class A:\n    def plain(self) -> list[dict[str, Any]]: ...", ["A.plain"]),
        ("def _read(path: Path) -> dict[str, Any]: ...", []),
        ("def read(path: Path) -> dict[str, int]: ...", []),
    ],
)
def test_the_search_can_fail(source: str, found: list[str]):
    assert list(untyped_in(source)) == found
