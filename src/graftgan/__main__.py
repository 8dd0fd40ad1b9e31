"""``python -m graftgan``, and what ``torchrun -m graftgan`` starts."""

import os
import sys

from graftgan.cli import main

if __name__ == "__main__":
    code = main()
    if "WORLD_SIZE" in os.environ:
        # Everything is written and the processes have parted. Threads of the communication library
        # sometimes abort in the interpreter's shutdown, which torchrun would report as a failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
