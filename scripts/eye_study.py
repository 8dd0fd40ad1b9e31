r"""The eye study: pairs of sample sheets, blinded, and how often a number agrees with the judges.

Runs are folders named TARGET.SOURCE.METHOD whose checkpoints were kept, such as

    graftgan transfer lorelei-100 --iterations 240 --checkpoint-every 40 --keep-checkpoints 99 \
        --out runs/lorelei.avatars-64.fine_tune

Two checkpoints of one target and one source, the untouched source among them, make a pair: the same
latents, on two sheets of 16 pictures below 24 real ones of the target, in random order and without
names. A third of the pairs is locked, by a hash of its name, before anyone has seen them. (Parts D
and E, drawn when the pairs before had been opened, are locked as a whole: "second locked" and
"third locked".)

    python scripts/eye_study.py pairs RUNS TARGETS SHEETS --part A --groups lorelei.avatars-64:34
    python scripts/eye_study.py measure RUNS TARGETS --belongs open  # every sheet's model
    python scripts/eye_study.py cut TARGETS                # of the 16 pictures on each kept sheet
    python scripts/eye_study.py agreement                  # also in the tables of the docs

TARGETS is a folder with the real pictures of each target, TARGET or TARGET.zip. What the judges say
is in experiments/eyes/labels.jsonl; see there for what they were asked.
"""

import argparse
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from eye_tables import EYES, agreement_table, sheet_table, unseen_table
from graftgan.core.files import append_jsonl, read_jsonl
from graftgan.core.network_types import PictureBytes
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.pixels import SlicedWassersteinProtocol, sliced_wasserstein
from graftgan.metrics.score import full_name
from graftgan.metrics.settings import ExtractorSettings
from graftgan.models.sources import open_source
from graftgan.networks.sampling import generate, latents_for
from graftgan.pictures import DataSettings, load_image_set
from ladder_tables import HEADLINE
from plain_numbers import numbers_of

console = Console(highlight=False, soft_wrap=True)
SEED = 5  # of the latents, the same for every model of one source
ON_A_SHEET, OF_THE_TARGET = 16, 24  # pictures
GENERATED, REAL = 160, 256  # pictures that are measured
NUMBERS = ("kid", "fid", "diversity", "detail", "precision_recall", "density_coverage")
VIEWS = ("visible", "pixels")
_WALL_TOP = 192  # pixels: where the judged pictures begin on a kept sheet


@dataclass(frozen=True, slots=True, order=True)
class Model:
    """A checkpoint of a run, or its untouched source: ``method`` is empty, ``iteration`` 0."""

    target: str
    source: str
    method: str
    iteration: int

    @property
    def run(self) -> str:
        """The name of its folder."""
        return f"{self.target}.{self.source}.{self.method}"

    def pictures(self, runs: Path, count: int) -> PictureBytes:
        """Return its first pictures."""
        own = runs / self.source
        source = str(own) if own.is_dir() else self.source
        opened = open_source(f"{runs / self.run}@{self.iteration}" if self.method else source)
        latents = latents_for(opened.card.architecture, GENERATED, seed=SEED)[:count]
        return generate(opened.pair.generator, latents)


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    pairs = verbs.add_parser("pairs", help="draw blinded sheets")
    measure = verbs.add_parser("measure", help="measure the model of every sheet")
    for verb in (pairs, measure):
        verb.add_argument("runs", type=Path)
        verb.add_argument("targets", type=Path)
        verb.add_argument("--belongs", help="the set of these pairs, such as 'third locked'")
    cut = verbs.add_parser("cut", help="measure the pictures on the kept sheets")
    cut.add_argument("targets", type=Path)
    pairs.add_argument("sheets", type=Path)
    pairs.add_argument("--part", required=True)
    pairs.add_argument("--groups", nargs="+", required=True, help="TARGET.SOURCE:PAIRS ...")
    verbs.add_parser("agreement", help="how often each number agrees with the judges")
    options = parser.parse_args()
    if options.verb == "pairs":
        _draw_pairs(options)
    elif options.verb == "measure":
        _measure(options.runs, options.targets, options.belongs)
    elif options.verb == "cut":
        _measure_sheets(options.targets)
    else:
        console.print(agreement_table(), sheet_table(), unseen_table(), sep="\n\n")


def _draw_pairs(options: argparse.Namespace) -> None:
    """Write sheets, and the names that belong to them into experiments/eyes/pairs.jsonl."""
    rng = random.Random(f"eyes/{options.part}")
    chosen = [pair for group in options.groups for pair in _of_group(options.runs, group, rng)]
    rng.shuffle(chosen)
    for number, (first, second) in enumerate(chosen):
        name = f"{options.part}{number:03d}"
        sheet = composite(
            _target(options.targets, first.target, OF_THE_TARGET),
            first.pictures(options.runs, ON_A_SHEET),
            second.pictures(options.runs, ON_A_SHEET),
        )
        options.sheets.mkdir(parents=True, exist_ok=True)
        sheet.save(options.sheets / f"{name}.png")
        belongs = options.belongs or ("first locked" if is_locked(name) else "open")
        line = {"pair": name, "a": _entry(first), "b": _entry(second), "set": belongs}
        append_jsonl(EYES / "pairs.jsonl", line)


def _of_group(runs: Path, group: str, rng: random.Random) -> list[tuple[Model, Model]]:
    name, _, count = group.partition(":")
    target, _, source = name.partition(".")
    models = [Model(target, source, "", 0)]
    for run in sorted(runs.glob(f"{name}.*")):
        steps = sorted(int(folder.name) for folder in (run / "checkpoints").iterdir())
        models += [Model(target, source, run.name.split(".")[2], step) for step in steps]
    found: dict[frozenset[Model], tuple[Model, Model]] = {}
    while len(found) < min(int(count), comb(len(models), 2)):
        first, second = rng.sample(models, 2)
        found.setdefault(frozenset((first, second)), (first, second))
    return list(found.values())


def is_locked(pair: str) -> bool:
    """Return whether a pair is looked at only at the end."""
    return int(hashlib.sha1(f"lock/{pair}".encode()).hexdigest(), 16) % 3 == 0


def composite(target: PictureBytes, first: PictureBytes, second: PictureBytes) -> Image.Image:
    """Return the real pictures above the two sheets."""
    above, left, right = _wall(target, 12, 76), _wall(first, 4, 112), _wall(second, 4, 112)
    width = left.width + right.width + 30
    sheet = Image.new("RGB", (width, above.height + left.height + 24), "#888888")
    sheet.paste(above, ((width - above.width) // 2, 0))
    sheet.paste(left, (0, above.height + 24))
    sheet.paste(right, (left.width + 30, above.height + 24))
    return sheet


def _wall(pictures: PictureBytes, columns: int, side: int) -> Image.Image:
    rows = -(-len(pictures) // columns)
    wall = Image.new("RGB", (columns * (side + 2), rows * (side + 2)), "white")
    for place, pixels in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
        picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
        wall.paste(picture, (place % columns * (side + 2), place // columns * (side + 2)))
    return wall


def _target(targets: Path, name: str, count: int) -> PictureBytes:
    folder = targets / name
    path = folder if folder.is_dir() else targets / f"{name}.zip"
    settings = DataSettings(limit=count)
    return load_image_set(path, settings, resolution=64, seed=11).pictures


def _entry(model: Model) -> dict[str, str | int]:
    return {name: getattr(model, name) for name in Model.__slots__}


def _measure(runs: Path, targets: Path, belongs: str | None) -> None:
    """Write every number of every model in a pair into experiments/eyes/scores.jsonl.

    A model that was measured in another view than the present one is measured again.
    """
    destination = EYES / "scores.jsonl"
    lines = read_jsonl(destination)
    there = {Model(**line["model"]) for line in lines if HEADLINE in line["values"]}
    pairs = [p for p in read_jsonl(EYES / "pairs.jsonl") if belongs in (None, p["set"])]
    models = {Model(**pair[side]) for pair in pairs for side in "ab"}
    for model in sorted(models - there):
        generated = model.pictures(runs, GENERATED)
        real = _target(targets, model.target, REAL)
        values = dict(_values(generated, real))
        append_jsonl(destination, {"model": _entry(model), "values": values})
        console.print(f"{model.run}@{model.iteration}")


def _measure_sheets(targets: Path) -> None:
    """Write every number of the judged pictures into experiments/eyes/sheet_scores.jsonl.

    They need no trained model, so a new score can be held against the judges at any time.
    """
    destination = EYES / "sheet_scores.jsonl"
    there = {line["pair"] for line in read_jsonl(destination)}
    for pair in read_jsonl(EYES / "pairs.jsonl"):
        sheet = EYES / "sheets" / f"{pair['pair']}.webp"
        if pair["pair"] in there or not sheet.exists():
            continue
        real = _target(targets, pair["a"]["target"], REAL)
        lines = [
            {"pair": pair["pair"], "side": side, "values": dict(_values(pictures, real))}
            for side, pictures in zip("ab", _cut(Image.open(sheet).convert("RGB")), strict=True)
        ]
        append_jsonl(
            destination, *lines
        )  # both or none: a pair that is there is not measured again
        console.print(pair["pair"])


def _cut(sheet: Image.Image) -> list[PictureBytes]:
    """Return the pictures on a sheet's left and right side, brought back to 64 px."""
    side, step = 112, 114
    sides: list[PictureBytes] = []
    for left in (0, 4 * step + 30):
        corners = [
            (left + step * column, _WALL_TOP + step * row)
            for row in range(4)
            for column in range(4)
        ]
        tiles = [
            sheet.crop((x, y, x + side, y + side)).resize((64, 64), Image.Resampling.BICUBIC)
            for x, y in corners
        ]
        sides.append(
            torch.from_numpy(np.stack([np.asarray(tile) for tile in tiles])).permute(0, 3, 1, 2)
        )
    return sides


def _values(generated: PictureBytes, real: PictureBytes) -> Iterator[tuple[str, float]]:
    for view in VIEWS:
        extractor = build_extractor(ExtractorSettings(extractor_view=view))
        sides = [features_of(pictures, extractor, device="cpu") for pictures in (generated, real)]
        for label, value in numbers_of(NUMBERS, *sides).items():
            yield full_name(label, extractor.name, view), value
    for side in (8, 16, 32):
        protocol = SlicedWassersteinProtocol(side=side)
        yield f"SWD({side}px)", sliced_wasserstein(generated, real, protocol)


if __name__ == "__main__":
    main()
