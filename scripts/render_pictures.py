"""Draw CC0 pictures, the same on every machine with the same library versions.

The 20,000 pictures of eight styles that the bundled source avatars-64 is trained on, and the 100
of a ninth style with 2,000 more to score against, which the experiments on avatars use:

    python scripts/render_pictures.py avatars
    python scripts/render_pictures.py lorelei-100 --styles lorelei --count 100 --seed 1
    python scripts/render_pictures.py lorelei-2000 --styles lorelei --count 2000 --seed 2
"""

import argparse
from pathlib import Path

from rich.progress import Progress

from graftgan.pictures import render_avatars

SOURCE_STYLES = (
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
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("destination", type=Path, help="the folder to write")
    parser.add_argument("--styles", nargs="+", default=SOURCE_STYLES, help="DiceBear styles")
    parser.add_argument("--count", type=int, default=20_000, help="pictures, over all styles")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("drawing", total=arguments.count)
        render_avatars(
            arguments.destination,
            styles=arguments.styles,
            count=arguments.count,
            seed=arguments.seed,
            size=64,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


if __name__ == "__main__":
    main()
