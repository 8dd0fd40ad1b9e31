"""The page of a curation in a real browser: what is drawn, not what was written.

The page is looked at from a page around it that may read files, since it runs no foreign script
itself.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curation_verdicts import only, picture_bytes, verdicts_on
from graftgan.pictures.curation.curation_page import write_curation_page

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>.jpg'
WIDE, NARROW = 1300, 420
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in _NAMES if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on PATH (Debian: apt install chromium)"
)

# Opens every wall, waits for every picture, and says what there is to see.
AROUND = """<!doctype html><meta charset="utf-8"><pre id="found"></pre>
<iframe src="FILE" style="width: WIDTHpx; height: 900px; border: 0"></iframe>
<script>
document.querySelector("iframe").onload = async (event) => {
  const page = event.target.contentDocument;
  for (const details of page.querySelectorAll("details")) details.open = true;
  const pictures = [...page.images];
  await Promise.all(pictures.map((picture) => picture.decode().catch(() => null)));
  const facts = {};
  for (const one of page.querySelectorAll(".facts div"))
    facts[one.querySelector("dt").innerText] = one.querySelector("dd").innerText;
  const box = (one) => one.getBoundingClientRect();
  document.querySelector("#found").textContent = JSON.stringify({
    title: page.querySelector("h1").innerText,
    facts,
    pictures: pictures.length,
    empty: pictures.filter((one) => !one.naturalWidth || !box(one).width).length,
    distorted: pictures.filter((one) => Math.abs(
      box(one).width / box(one).height - one.naturalWidth / one.naturalHeight) > 0.06).length,
    widest: page.documentElement.scrollWidth,
    bars: [...page.querySelectorAll("svg .h1")].filter((one) => box(one).height > 1).length,
    lines: page.querySelectorAll("svg .threshold").length,
    names: [...page.querySelectorAll("figcaption code")].map((one) => one.innerText),
    scripts: page.scripts.length,
    outside: page.querySelectorAll("main [onerror], main script, main link").length,
    text: page.body.innerText,
  });
};
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 120 pictures, of which small ones and framed ones are rejected."""
    readings: dict[str, dict[str, float | str] | str] = {
        f"set/{i:03d}_with_a_long_name_of_its_own.jpg": {
            "small": 150.0 + 5 * i,
            "border": 0.3 if i % 10 == 0 else 0.0,
            "overlay": float("inf") if i == 7 else 0.01 * i,
            "duplicate": f"{i % 60:016x}" + "f" * 16,
        }
        for i in range(120)
    }
    readings[HOSTILE] = {"small": 10.0, "border": 0.0, "overlay": 0.0}
    readings["broken"] = "damaged or truncated"
    rules = only(small=255, border=0.02, overlay=1.5, duplicate=0)
    shapes = [(160, 120), (90, 160), (300, 60)]
    return write_curation_page(
        verdicts_on(
            readings, rules, keep=[HOSTILE], drop=["set/099_with_a_long_name_of_its_own.jpg"]
        ),
        rules,
        read=lambda name: picture_bytes(len(name), size=shapes[sum(name.encode()) % 3]),
        name=HOSTILE,
        command=f"graftgan curate {HOSTILE} clean",
        destination=tmp_path_factory.mktemp("page") / "curation.html",
    )


def browse(page: Path, profile: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Open a page in a browser without a window; its console is in what it says on stderr."""
    words = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--v=0",
        "--allow-file-access-from-files",
        f"--user-data-dir={profile}",
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def complaints(said: str) -> list[str]:
    return [line for line in said.splitlines() if "CONSOLE" in line]


def seen(page: Path, folder: Path, *, width: int) -> dict[str, Any]:
    """Return what is to be seen of a page in a window of ``width``."""
    around = folder / "around.html"
    around.write_text(AROUND.replace("FILE", page.as_uri()).replace("WIDTH", str(width)))
    for budget in (20_000, 80_000, 320_000):  # virtual time does not wait for a busy machine
        waiting = f"--virtual-time-budget={budget}"
        done = browse(around, folder / "profile", "--dump-dom", waiting)
        assert complaints(done.stderr) == []
        found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
        assert found is not None, "the page around was not loaded"
        if found.group(1):
            return json.loads(html.unescape(found.group(1)))
    raise AssertionError("the page was not loaded")


def test_all_of_it_is_drawn_and_fits_the_window(page: Path, tmp_path: Path):
    for width in (WIDE, NARROW):
        there = seen(page, tmp_path, width=width)
        assert there["widest"] <= width
        assert there["pictures"] >= 100
        assert (there["empty"], there["distorted"], there["outside"]) == (0, 0, 0)
        assert there["scripts"] == 1
    # Small: 000 to 021 and the hostile one, which is kept by hand. Border: every tenth. Overlay:
    # 007. Of what is left 060 to 119 are each the same as one of 000 to 059, where that is left.
    kept = [
        i
        for i in range(22, 120)
        if i % 10 and (i < 60 or not (i - 60 >= 22 and (i - 60) % 10)) and i != 99
    ]
    count = len(kept) + 1
    assert there["title"] == f"{count} of 122 pictures kept"
    assert there["facts"] == {
        "raw": "122",
        "kept": str(count),
        "rejected": str(122 - 1 - count),
        "unusable": "1",
        "overruled": "1 kept, 1 dropped",
        "filters": "4",
    }
    assert json.dumps(HOSTILE) in there["names"]
    assert there["lines"] == 4
    assert there["bars"] >= 4
    for words in (
        "small rejects".replace(" ", "\t"),
        "is small (255)",
        "kept by you",
        "--threshold small=",
        "damaged or truncated",
        f"graftgan curate {HOSTILE} clean",
    ):
        assert words in there["text"], words


@pytest.mark.parametrize("size", [(WIDE, 2000), (500, 2000)], ids=["wide", "narrow"])
def test_a_screenshot_shows_bars_and_pictures(page: Path, tmp_path: Path, size: tuple[int, int]):
    shot = tmp_path / "shot.png"
    window = f"--window-size={size[0]},{size[1]}"
    done = browse(page, tmp_path / "profile", window, f"--screenshot={shot}")
    assert complaints(done.stderr) == []
    with Image.open(shot) as image:
        small = image.convert("RGB").resize((size[0] // 4, size[1] // 4))
    colours = small.getcolors(maxcolors=small.width * small.height)
    assert colours is not None
    assert len(colours) > 200
    assert max(count for count, _ in colours) < 0.97 * small.width * small.height


def test_a_page_that_breaks_its_own_rules_is_found_out(page: Path, tmp_path: Path):
    """What the tests above look for can be seen: a script that was slipped in is refused aloud."""
    broken = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8")
    slipped = "<script>document.title = 'mine'</script></footer>"
    broken.write_text(text.replace("</footer>", slipped), encoding="utf-8")
    done = browse(broken, tmp_path / "profile", "--dump-dom")
    assert any("Content Security Policy" in line for line in complaints(done.stderr))
    assert "<title>mine" not in done.stdout
