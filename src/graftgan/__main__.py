"""``python -m graftgan``: what ``torchrun -m graftgan`` starts in each process."""

import sys

from graftgan.cli import main

if __name__ == "__main__":
    sys.exit(main())
