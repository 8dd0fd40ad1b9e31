"""Draw the top of a run's page as a picture, as a browser shows it.

    python scripts/draw_page.py runs/mine docs/pictures/page.webp

Needs Chromium.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

_SIZE = (1100, 1180)  # pixels of the window


def main() -> None:
    """Let Chromium open the page, and keep what it shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("destination", type=Path, help="the picture to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}"]
        size = f"--window-size={_SIZE[0]},{_SIZE[1]}"
        page = (options.run / "report.html").resolve().as_uri()
        subprocess.run(["chromium", *flags, size, page], check=True, capture_output=True)
        with Image.open(shot) as image:
            image.convert("RGB").save(options.destination, quality=80, method=6)


if __name__ == "__main__":
    main()
