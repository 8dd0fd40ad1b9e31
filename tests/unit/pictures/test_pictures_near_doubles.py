"""One picture in two versions is one to the split and to scores; two alike pictures are two."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from data_drawings import write_noise
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from graftgan.pictures import DataSettings, load_image_set
from graftgan.pictures.near_doubles import near_doubles, near_doubles_among

SIDE = 64
Change = Callable[[Image.Image], Image.Image]


def photograph(seed: int) -> Image.Image:
    """Return coarse and fine structure, as photographs have."""
    rng = np.random.default_rng(seed)
    whole = np.zeros((SIDE, SIDE, 3))
    for cells, strength in ((3, 90), (8, 45), (20, 20), (64, 6)):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layer = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)
        whole += (0.3 * layer + 0.7 * layer[..., :1]) / 127.5 * strength - strength
    return Image.fromarray((whole + 128).clip(0, 255).astype(np.uint8))


def stroke(seed: int) -> Image.Image:
    """Return a slanted stroke on black, as a handwritten 1 is: all are much alike."""
    rng = np.random.default_rng(seed)
    x, slant, width = rng.uniform(10, 22), rng.uniform(-8, 8), int(rng.integers(2, 6))
    large = Image.new("L", (32, 32))
    ImageDraw.Draw(large).line(
        (x + slant, rng.uniform(3, 8), x - slant, rng.uniform(24, 29)), fill=255, width=width
    )
    return large.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")


def disc(colour: str, *, at: int = 20) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(image).ellipse((at, 12, at + 30, 42), fill=colour)
    return image


def jpeg(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return change


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((2, 2, image.width, image.height))


CHANGES: dict[str, Change] = {
    "compressed": jpeg(40),
    "compressed much": jpeg(20),
    "halved and compressed": lambda image: jpeg(60)(image.resize((SIDE // 2, SIDE // 2))),
    "enlarged": lambda image: image.resize((3 * SIDE, 3 * SIDE), Image.Resampling.NEAREST),
    "cropped": cropped,
    "turned by 90": lambda image: image.rotate(90),
    "turned by 180": lambda image: image.rotate(180),
    "turned by 270 and cropped": lambda image: cropped(image.rotate(270)),
    "mirrored and compressed": lambda image: jpeg(60)(ImageOps.mirror(image)),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.06),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "of 16 colours": lambda image: image.quantize(16).convert("RGB"),
}


def tensor(images: list[Image.Image]) -> torch.Tensor:
    sized = [image.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for image in images]
    return torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in sized])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_version_is_found_and_no_other_picture(change: Change):
    images = [photograph(seed) for seed in range(40)]
    again = tensor([change(image) for image in images[:30]])
    whole = tensor(images)
    assert near_doubles(torch.cat([whole, again])) == [(40 + i, i) for i in range(30)]
    assert near_doubles_among(again, whole).all()
    assert not near_doubles_among(tensor([photograph(s) for s in range(50, 80)]), whole).any()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_version_is_on_the_other_side_of_the_split(tmp_path: Path, change: Change):
    for seed in range(20):
        image = photograph(seed)
        image.save(tmp_path / f"{seed:02d}.png")
        change(image).save(tmp_path / f"z{seed:02d}.png")
    for seed in range(3):
        settings = DataSettings(held_out=0.2)
        images = load_image_set(tmp_path, settings, resolution=SIDE, seed=seed)
        sides = ({name[-6:] for name in names} for names in (images.names, images.held_out_names))
        assert not set.intersection(*sides)
        assert len(images.held_out_names) == 8


@pytest.mark.parametrize("count", [12, 50, 200])
def test_digits_that_are_alike_are_different_pictures(count: int):
    digits = tensor([stroke(seed) for seed in range(count)])
    assert near_doubles(digits) == []
    again = tensor([jpeg(60)(stroke(seed)) for seed in range(count)])
    assert near_doubles_among(again, digits).all()


def test_drawings_of_other_colours_or_in_another_place_are_different_pictures():
    discs = [disc(colour) for colour in ("red", "blue", "green", "#a0a0a0")]
    assert near_doubles(tensor([*discs, disc("red", at=10), disc("red", at=5)])) == []
    gray = disc("red").convert("L").convert("RGB")
    assert (4, 0) in near_doubles(tensor([*discs, gray]))


def test_pictures_without_contrast_tell_nothing():
    plain = [Image.new("RGB", (SIDE, SIDE), (i, i, i)) for i in range(0, 250, 10)]
    assert near_doubles(tensor(plain)) == []
    assert near_doubles(tensor(plain[:1])) == []


def test_versions_of_versions_stay_together(tmp_path: Path):
    for seed in range(10):
        image = photograph(seed)
        versions = (image, jpeg(30)(image), cropped(jpeg(30)(image)), image.rotate(90))
        for number, version in enumerate(versions):
            version.save(tmp_path / f"{number}-{seed}.png")
    images = load_image_set(tmp_path, DataSettings(held_out=0.3), resolution=SIDE, seed=1)
    assert len(images.held_out_names) == 12
    assert len({name[-5:] for name in images.held_out_names}) == 3


def test_near_doubles_are_named_in_one_line_and_in_the_manifest(tmp_path: Path):
    write_noise(tmp_path, 10, side=SIDE)
    Image.open(tmp_path / "004.png").rotate(90).save(tmp_path / "turned.png")
    held_out = load_image_set(tmp_path, DataSettings(held_out=0.2), resolution=SIDE, seed=0)
    (note,) = held_out.notes
    assert note.startswith("1 of 11 pictures are near-doubles of others")
    assert "turned.png = 004.png" in note
    lines = {p["name"]: p.get("near_double_of") for p in held_out.manifest()["pictures"]}
    assert {name: of for name, of in lines.items() if of} == {"turned.png": "004.png"}
    # Where nothing is chosen, nothing is looked for.
    assert load_image_set(tmp_path, DataSettings(), resolution=SIDE, seed=0).notes == ()


def test_a_limit_takes_no_picture_in_two_versions(tmp_path: Path):
    for seed in range(8):
        photograph(seed).save(tmp_path / f"{seed}.png")
        photograph(seed).rotate(180).save(tmp_path / f"turned-{seed}.png")
    for seed in range(3):
        images = load_image_set(tmp_path, DataSettings(limit=8), resolution=SIDE, seed=seed)
        assert len({name[-5:] for name in images.names}) == 8


def test_a_split_that_was_made_before_stays(tmp_path: Path):
    for seed in range(10):
        photograph(seed).save(tmp_path / f"{seed}.png")
        jpeg(60)(photograph(seed)).save(tmp_path / f"{seed}.jpg")
    settings = DataSettings(held_out=0.5)
    before = {f"{i}.png": "training" for i in range(10)}
    before |= {f"{i}.jpg": "held_out" for i in range(9)}
    known = {**before, "9.jpg": "unused"}
    images = load_image_set(tmp_path, settings, resolution=SIDE, seed=0, splits=known)
    assert dict(zip(images.names, ["training"] * 10, strict=True)).items() <= known.items()
    assert set(images.held_out_names) == {f"{i}.jpg" for i in range(9)}
    # One of other pictures does not count.
    other = load_image_set(tmp_path, settings, resolution=SIDE, seed=0, splits=before)
    assert len(other.names) == len(other.held_out_names) == 10


def test_where_all_are_one_picture_none_is_held_out(tmp_path: Path):
    photograph(0).save(tmp_path / "a.png")
    for quality in (90, 60, 40):
        jpeg(quality)(photograph(0)).save(tmp_path / f"{quality}.png")
    images = load_image_set(tmp_path, DataSettings(held_out=0.5), resolution=SIDE, seed=0)
    assert (len(images.pictures), len(images.held_out)) == (4, 0)
