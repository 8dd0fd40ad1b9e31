"""A first transfer does each thing once, and a reader can follow it through the files."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tiny_networks import draw_pictures

MOST_FILES, MOST_BUILT = 60, 2
PROGRAM = """
import collections, json, sys
import graftgan
import graftgan.cli.transfer  # what runs while files load is not counted
from graftgan.cli import main
from pathlib import Path

home = str(Path(graftgan.__file__).parent)
calls = collections.Counter()

def look(frame, event, argument):
    code = frame.f_code
    known = code.co_filename.startswith(home) and code.co_filename.endswith(".py")
    if event == "call" and known and code.co_name != "<module>":
        calls[code.co_filename.removeprefix(home), code.co_name] += 1

sys.setprofile(look)
code = main(sys.argv[1:])
sys.setprofile(None)
with open("calls.json", "w") as file:
    json.dump([code, [[*place, count] for place, count in calls.items()]], file)
"""


@dataclass(frozen=True)
class Calls:
    """How often the functions of our files were called."""

    counts: dict[tuple[str, str], int]

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.counts}

    def of(self, function: str) -> int:
        return sum(count for (_, name), count in self.counts.items() if name == function)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """The calls of a command as a newcomer types it, but for fewer iterations."""
    folder = tmp_path_factory.mktemp("first")
    draw_pictures(folder / "pictures", count=20, hue=0)
    own = {name: str(folder / "own") for name in ("GRAFTGAN_CACHE", "GRAFTGAN_SOURCES")}
    words = ["transfer", "pictures", "--iterations", "1", "--batch-size", "2", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    code, counts = json.loads((folder / "calls.json").read_text())
    assert code == 0, done.stderr
    assert (folder / "runs/pictures/adapter.safetensors").is_file()
    return Calls({(file, name): count for file, name, count in counts})


def test_it_runs_through_few_files(calls: Calls):
    assert len(calls.files) <= MOST_FILES, sorted(calls.files)
    assert len(calls.files) >= MOST_FILES / 2, "the profile misses most of what runs"


def test_the_networks_are_built_at_most_twice(calls: Calls):
    assert 1 <= calls.of("build_pair") <= MOST_BUILT


def test_only_the_two_networks_of_the_source_are_read(calls: Calls):
    """No checkpoint is read again to write the adapter."""
    assert calls.of("open_source") == 1
    assert calls.of("load_tensors") == 2


def test_pictures_and_page_are_made_once(calls: Calls):
    assert calls.of("load_image_set") == 1
    assert calls.of("write_run_report") == 1
