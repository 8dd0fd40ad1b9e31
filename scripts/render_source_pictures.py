"""Draw the pictures that the bundled source avatars-64 is trained on.

20,000 pictures of eight CC0 styles, the same on every machine with the same library versions:

    python scripts/render_source_pictures.py avatars
    graftgan pretrain avatars --objective hinge --iterations 5000
"""

import argparse
from pathlib import Path

from rich.progress import Progress

from graftgan.data import render_avatars

STYLES = (
    "open-peeps",
    "notionists",
    "critters",
    "clay",
    "moods",
    "cutouts",
    "pixel-art",
    "cameo",
)


def main() -> None:
    """Draw the pictures with a progress bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("destination", type=Path, help="the folder to write")
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("drawing", total=arguments.count)
        render_avatars(
            arguments.destination,
            styles=STYLES,
            count=arguments.count,
            seed=0,
            size=64,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


if __name__ == "__main__":
    main()
