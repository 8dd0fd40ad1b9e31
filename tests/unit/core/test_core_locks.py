"""Locks between processes: one at a time, named, and gone with the process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graftgan.core.errors import RunError
from graftgan.core.files import LOCK, FileLock, held

HOLD = """
import sys
from pathlib import Path
from graftgan.core.files import held
sys.argv = ["graftgan", "transfer", "pictures"]
with held(Path({folder!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(folder=str(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_loser_is_told_who_holds_the_folder(tmp_path: Path, other: "subprocess.Popen[str]"):
    says = rf"{tmp_path} is in use by process {other.pid} on .*graftgan transfer pictures; wait"
    with pytest.raises(RunError, match=says), held(tmp_path):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path, other: "subprocess.Popen[str]"):
    other.kill()
    other.wait()
    with held(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / LOCK).read_text()


def test_a_lock_is_given_back_after_an_error(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    with held(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()} "), held(tmp_path):
        pass


def test_a_holder_that_says_nothing_is_another_process(tmp_path: Path):
    lock = FileLock(tmp_path / "lock")
    assert lock.holder() == "another process"
    endless = '{"pid": 1e999, "machine": "a", "since": "now", "command": "b"}'
    for damaged in ("[]", "[" * 100_000, endless):
        (tmp_path / "lock").write_text(damaged)
        assert lock.holder() == "another process"


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path):
    with pytest.raises(RunError, match="cannot lock"), held(tmp_path / "nowhere"):
        pass
