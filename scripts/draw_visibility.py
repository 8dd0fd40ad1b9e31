"""Draw the three pictures that open docs/scores.md: what moves the score, and what does not.

    python scripts/draw_visibility.py RUNS

RUNS holds lorelei.avatars-64.combined, made as scripts/eye_study.py says. Shares come from
experiments/results/visibility_ladder.jsonl; all pictures are CC0.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from calibrate_scores import VIEWS, Rung, pictures_of, rungs, source_pictures
from eye_study import GENERATED, Model
from graftgan.core.files import read_jsonl
from graftgan.core.network_types import PictureBytes
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.settings import ExtractorSettings
from ladder_tables import EVERY_PIXEL, HEADLINE, share_of, where
from plain_numbers import numbers_of

ROOT = Path(__file__).resolve().parent.parent
LADDER = ROOT / "experiments" / "results" / "visibility_ladder.jsonl"
DRAWINGS = ("drawings", 64)
SHOWN, SIDE = 8, 72  # pictures in a row, pixels of each
UNMOVED = {
    ("unchanged", 0): "other real pictures",
    ("noise, grey levels", 2): "noise of 2 grey levels",
    ("JPEG, quality", 90): "JPEG of quality 90",
    ("shift, pixels", 1): "shifted by one pixel",
}
MOVED = {
    ("noise, grey levels", 32): "noise of 32 grey levels",
    ("blur, pixels", 2): "blurred by 2 pixels",
    ("turned, degrees", 30): "turned by 30 degrees",
    ("another set, %", 50): "half of them another set",
    ("another set", 0): "another set",
}
LEARNT = (0, 40, 120, 240)


def main() -> None:
    """Draw them into docs/pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    runs = parser.parse_args().runs
    real = pictures_of("drawings", 64, Path())
    half = len(real) // 2
    other = pictures_of("other drawings", 64, Path())[:half]
    ladder = {
        (rung.change, rung.amount): rung for rung in rungs(real[half:], other, source_pictures(64))
    }
    numbers = {where(line): line["value"] for line in read_jsonl(LADDER)}
    for name, wanted in (("unmoved", UNMOVED), ("moved", MOVED)):
        rows = [
            (
                _spread(ladder[key]),
                words,
                _share(numbers, key, HEADLINE),
                _share(numbers, key, EVERY_PIXEL),
            )
            for key, words in wanted.items()
        ]
        _draw(rows, ROOT / "docs" / "pictures" / f"score_{name}.webp")
    _draw(_learnt(runs, real), ROOT / "docs" / "pictures" / "score_learnt.webp")


Row = tuple[PictureBytes, str, str, str]


def _learnt(runs: Path, real: PictureBytes) -> list[Row]:
    """Return the same latents as a transfer goes on, with the KIDs of each moment."""
    views = [build_extractor(ExtractorSettings(extractor_view=view)) for view in VIEWS]
    references = [view.extract(real, device="cpu") for view in views]
    rows: list[Row] = []
    for iteration in LEARNT:
        model = Model("lorelei", "avatars-64", "combined" if iteration else "", iteration)
        pictures = model.pictures(runs, GENERATED)
        values = [
            numbers_of(["kid"], view.extract(pictures, device="cpu"), reference)["KID"]
            for view, reference in zip(views, references, strict=True)
        ]
        words = f"{iteration} iterations" if iteration else "the untouched source"
        rows.append((pictures[:SHOWN], words, f"{values[0]:.2f}", f"{values[1]:.2f}"))
    return rows


def _spread(rung: Rung) -> PictureBytes:
    """Return pictures from all over, since mixtures begin with the others."""
    return rung.pictures[torch.linspace(0, len(rung.pictures) - 1, SHOWN).long()]


def _share(
    numbers: dict[tuple[str, int, str, float, str], float], key: tuple[str, float], name: str
) -> str:
    share = share_of(numbers, DRAWINGS, key, name)
    return f"{abs(share) if abs(share) < 5e-4 else share:.1%}"  # no minus before nothing


def _draw(rows: Sequence[Row], destination: Path) -> None:
    """Write a table: pictures, what they are, the score as people see, the score of every pixel."""
    font, left = ImageFont.load_default(15), SHOWN * (SIDE + 2) + 14
    image = Image.new("RGB", (left + 420, len(rows) * (SIDE + 6) + 26), "white")
    pen = ImageDraw.Draw(image)
    for place, words in ((left, ""), (left + 230, "visible"), (left + 330, "every pixel")):
        pen.text((place, 4), words, fill="black", font=font)
    for number, (pictures, *cells) in enumerate(rows):
        top = 26 + number * (SIDE + 6)
        for place, pixels in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
            one = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            image.paste(one, (place * (SIDE + 2), top))
        for place, words in zip((left, left + 230, left + 330), cells, strict=True):
            pen.text((place, top + SIDE // 2 - 10), words, fill="black", font=font)
    image.save(destination, lossless=True)


if __name__ == "__main__":
    main()
