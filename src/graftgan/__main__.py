"""The command ``graftgan``, ``python -m graftgan``, and what ``torchrun -m graftgan`` starts."""

import os
import signal
import sys

from graftgan.core.end_at_once import end_at_once


def main() -> int:
    """Run the command line; while it loads, Ctrl-C ends it at once."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)
    from graftgan.cli import main as answer

    return answer()


if __name__ == "__main__":
    code = main()
    if "WORLD_SIZE" in os.environ:
        # Everything is written and the processes have parted. Threads of the communication library
        # sometimes abort in the interpreter's shutdown, which torchrun would report as a failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
