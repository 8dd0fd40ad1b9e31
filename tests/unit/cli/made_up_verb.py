"""The real command line around a verb made up for a test, in a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

_PROGRAM = """
import sys, types
from graftgan import cli
verb = types.ModuleType("graftgan.cli.made_up")
exec(sys.argv.pop(1), verb.__dict__)
sys.modules["graftgan.cli.made_up"] = verb
cli.VERBS["made_up"] = "for a test"
sys.exit(cli.main(["made_up", *sys.argv[1:]]))
"""


def words(body: str, *arguments: str) -> list[str]:
    """Return the words that start a verb whose ``main(arguments)`` is ``body``."""
    verb = "def main(arguments):\n" + textwrap.indent(textwrap.dedent(body) + "\nreturn 0", "    ")
    return [sys.executable, "-c", _PROGRAM, verb, *arguments]


def run(body: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Run the verb to its end."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(words(body, *arguments), timeout=120, check=False, **streams)


def failures(cache: Path) -> list[Path]:
    """Return the reports of what nobody foresaw."""
    return sorted((cache / "failures").glob("*.txt")) if (cache / "failures").is_dir() else []
