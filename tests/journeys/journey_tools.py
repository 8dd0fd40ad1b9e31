"""What the journeys share: the words of a command line."""

import sys
from collections.abc import Sequence

TINY = ["--width", "4", "--resolution", "32", "--batch-size", "8"]


def command(arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "graftgan", *map(str, arguments)]
