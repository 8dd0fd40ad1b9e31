"""``python -m fuzz``, with ``tests`` on the path: see ``make fuzz``."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: forked processes have one thread


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack; return 1 where something was found."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    with tempfile.TemporaryDirectory(prefix="graftgan-fuzz-") as root:
        for name in ("HOME", "GRAFTGAN_CACHE", "GRAFTGAN_SOURCES"):
            os.environ[name] = str(Path(root) / "home")
        from .attack import Attack  # loads torch and graftgan

        return Attack(options, Path(root)).run()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="names with commas; empty: all")
    parser.add_argument("--number", type=int, help="this case alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the processor, for a case")
    parser.add_argument("--megabytes", type=int, default=1024, help="more than before a case")
    parser.add_argument("--shrink", type=float, default=20.0, help="seconds for each fault")
    parser.add_argument("--json", type=Path, help="write the table and the faults here, too")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="for inputs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
