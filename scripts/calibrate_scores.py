"""The visibility ladder: what moves a score, and how far, beside what a person sees.

Real pictures of each set are changed by known amounts and scored against other real pictures of the
same set. Each answer is a share of the distance to another set: 0 is what unchanged pictures score,
1 is what pictures of another set score. What nobody sees should not move a score; what everybody
sees should, the more the stronger it is.

    python scripts/calibrate_scores.py DATA experiments/results/visibility_ladder.jsonl
    python scripts/calibrate_scores.py DATA ladder.jsonl --sets drawings:64 --views visible

DATA is a folder with the archives named below; ``drawings`` are drawn here and need none. Lines are
written as they come, and what is there already, of a set, a size and a view, is left as it is.
Lines of a view whose settings have changed since are refused: remove them first.
"""

import argparse
import io
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from torch import Tensor

from graftgan.core.files import append_jsonl, read_jsonl
from graftgan.core.network_types import PictureBytes
from graftgan.experiments.run_folder import versions
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.views import low_passed
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.score import full_name
from graftgan.metrics.settings import ExtractorSettings
from graftgan.models.sources import open_source
from graftgan.networks.sampling import generate, latents_for
from graftgan.pictures import DataSettings, load_image_set, render_avatars
from plain_numbers import numbers_of, view_settings

console = Console(highlight=False, soft_wrap=True)
COUNT = 120  # pictures on each side, where the set has twice as many
VIEWS = ("visible", "pixels")
NUMBERS = ("kid", "diversity", "detail")
FILES = {
    "anime": "anime_faces_64.zip",
    "faces": "faces_64.zip",
    "cats": "cats_64.zip",
    "large cats": "cats_100_256.zip",
    "bedrooms": "bedrooms_64.zip",
    "cifar": "cifar10_train.zip",
    "photographs": "raw_photos.zip",
}
SMALL = {"large cats", "photographs"}  # sets of hardly more than twice COUNT, or of fewer
STYLES = {"drawings": "lorelei", "other drawings": "sprouts"}
# Each set with another one; sizes in pixels.
SETS = {
    "drawings": ("other drawings", (32, 64, 128, 256)),
    "anime": ("faces", (32, 64)),
    "faces": ("cats", (32, 64)),
    "cats": ("faces", (32, 64)),
    "bedrooms": ("faces", (32, 64)),
    "cifar": ("faces", (32,)),
    "large cats": ("photographs", (128, 256)),
    "photographs": ("large cats", (128, 256)),
}


def _noise(pictures: Tensor, levels: float) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return pictures + levels * torch.randn(pictures.shape, generator=rng)


def _jpeg(pictures: Tensor, quality: float) -> Tensor:
    return torch.stack([_through_jpeg(picture, int(quality)) for picture in pictures])


def _through_jpeg(picture: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    pixels = picture.byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1).float()


def _resampled(pictures: Tensor, share: float) -> Tensor:
    side = pictures.shape[-1]
    small = F.interpolate(pictures, size=round(side * share), mode="bilinear", antialias=True)
    return F.interpolate(small, size=side, mode="bilinear")


def _shifted(pictures: Tensor, pixels: float) -> Tensor:
    steps, side = int(pixels), pictures.shape[-1]
    return F.pad(pictures, (steps, 0, steps, 0), mode="replicate")[..., :side, :side]


def _turned(pictures: Tensor, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    rows = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    grid = F.affine_grid(
        torch.tensor(rows).expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False
    )
    return F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _tinted(pictures: Tensor, levels: float) -> Tensor:
    return pictures + torch.tensor([levels, -levels, 0.0]).view(1, 3, 1, 1)


def _checkered(pictures: Tensor, levels: float) -> Tensor:
    side = torch.arange(pictures.shape[-1])
    return pictures + levels * ((side[:, None] + side) % 2 * 2.0 - 1)


def _doubled(pictures: Tensor, times: float) -> Tensor:
    return pictures[: len(pictures) // int(times)].repeat(int(times), 1, 1, 1)


def _one_mode_dropped(pictures: Tensor, share: float) -> Tensor:
    """Leave out the pictures nearest to the first one, as many times the others."""
    small = F.adaptive_avg_pool2d(pictures, 8).flatten(1)
    order = (small - small[0]).norm(dim=1).argsort(descending=True)
    kept = pictures[order[: max(2, round(len(pictures) * (1 - share)))]]
    return kept.repeat(math.ceil(len(pictures) / len(kept)), 1, 1, 1)[: len(pictures)]


Change = Callable[[Tensor, float], Tensor]
CHANGES: dict[str, tuple[Change, tuple[float, ...]]] = {
    "noise, grey levels": (_noise, (1, 2, 4, 8, 16, 32)),
    "JPEG, quality": (_jpeg, (95, 90, 75, 50, 30)),
    "shift, pixels": (_shifted, (1, 2, 4, 8)),
    "blur, pixels": (low_passed, (0.5, 1, 2, 4)),
    "resampled, share of the side": (_resampled, (0.75, 0.5, 0.25)),
    "turned, degrees": (_turned, (1, 3, 10, 30)),
    "tint, grey levels": (_tinted, (2, 8, 24, 64)),
    "checkerboard, grey levels": (_checkered, (2, 4, 8, 16, 32)),
    "each picture so many times": (_doubled, (2, 4, 8)),
    "one mode dropped, share": (_one_mode_dropped, (0.1, 0.25, 0.5)),
}
SHARES = (1, 5, 10, 25, 50)  # per cent


@dataclass(frozen=True, slots=True)
class Rung:
    """Changed pictures.

    Attributes:
        change: In words, with its unit.
        amount: Of that unit.
        pictures: uint8 (n, 3, h, h).
    """

    change: str
    amount: float
    pictures: PictureBytes


def rungs(real: PictureBytes, other: PictureBytes, source: PictureBytes) -> Iterator[Rung]:
    """Yield the unchanged pictures, another set's, the source's, and ``real`` changed."""
    yield Rung("unchanged", 0, real)
    yield Rung("another set", 0, other)
    yield Rung("the untouched source", 0, source)
    for change, (change_by, amounts) in CHANGES.items():
        for amount in amounts:
            changed = change_by(real.float(), amount).round().clamp(0, 255).byte()
            yield Rung(change, amount, changed)
    for change, others in (("another set, %", other), ("the untouched source, %", source)):
        for share in SHARES:
            taken = max(1, round(len(real) * share / 100))
            yield Rung(change, share, torch.cat([others[:taken], real[taken:]]))


def main() -> None:
    """Climb the ladder of each set and size, and write a line for every rung and number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of the archives")
    parser.add_argument("destination", type=Path, help="the JSON-lines file to write")
    usual = [f"{name}:{size}" for name, (_, sizes) in SETS.items() for size in sizes]
    parser.add_argument("--sets", nargs="+", default=usual, help="NAME:SIZE ...")
    parser.add_argument("--views", nargs="+", default=VIEWS, help="of the feature network")
    options = parser.parse_args()
    views = [build_extractor(ExtractorSettings(extractor_view=view)) for view in options.views]
    lines = read_jsonl(options.destination)
    _refuse_earlier_views(lines, options.destination)
    there = {(line["set"], line["size"], line["view"]) for line in lines}
    for wanted in options.sets:
        name, _, size = wanted.partition(":")
        missing = [view for view in views if (name, int(size), view.view.name) not in there]
        if not missing:
            continue
        new = list(_lines_of(name, int(size), options.data, missing))
        append_jsonl(options.destination, *new)
        console.print(f"{name}, {size} px: {len(new)} numbers")


def _refuse_earlier_views(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    for line in lines:
        if line.get("view_settings", {}) != view_settings(line["view"]):
            raise SystemExit(
                f"{path} holds numbers of an earlier view '{line['view']}', of {line['set']} in "
                f"{line['size']} px: remove these lines, and run this again"
            )


def _lines_of(
    name: str, size: int, data: Path, extractors: list[Extractor]
) -> Iterator[dict[str, object]]:
    pictures = pictures_of(name, size, data)
    count = min(COUNT, len(pictures) // 2)
    reference, real = pictures[:count], pictures[count : 2 * count]
    other = pictures_of(SETS[name][0], size, data)[:count]
    references = [features_of(reference, extractor, device="cpu") for extractor in extractors]
    for rung in rungs(real, other, source_pictures(size)[:count]):
        for extractor, against in zip(extractors, references, strict=True):
            changed = extractor.extract(rung.pictures, device="cpu")
            for label, value in numbers_of(NUMBERS, changed, against).items():
                yield {
                    "set": name,
                    "size": size,
                    "change": rung.change,
                    "amount": rung.amount,
                    "name": full_name(label, extractor.name, extractor.view.name),
                    "value": value,
                    "count": count,
                    **extractor.describe(),
                    "view_settings": view_settings(extractor.view.name),
                    "versions": versions(),
                }


@cache
def source_pictures(size: int) -> PictureBytes:
    """Return pictures of avatars-64 as it comes, brought to ``size``."""
    source = open_source("avatars-64")
    latents = latents_for(source.card.architecture, COUNT, seed=3)
    pictures = generate(source.pair.generator, latents).float()
    resized = F.interpolate(pictures, size=size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).byte()


@cache
def pictures_of(name: str, size: int, data: Path) -> PictureBytes:
    """Return pictures of a set: twice ``COUNT``, or all."""
    settings = DataSettings(limit=None if name in SMALL else 2 * COUNT)
    if name not in STYLES:
        images = load_image_set(data / FILES[name], settings, resolution=size, seed=0)
        order = torch.randperm(len(images.pictures), generator=torch.Generator().manual_seed(0))
        return images.pictures[order[: 2 * COUNT]]  # neighbours in a folder are often alike
    with tempfile.TemporaryDirectory() as folder:
        drawn = render_avatars(
            Path(folder) / name, styles=[STYLES[name]], count=2 * COUNT, seed=2, size=size
        )
        return load_image_set(drawn, settings, resolution=size, seed=0).pictures.clone()


if __name__ == "__main__":
    main()
