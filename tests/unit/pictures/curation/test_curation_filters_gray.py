"""Pictures without colours are told from pale, toned and partly coloured ones."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from graftgan.pictures.curation.filters import FILTERS
from graftgan.pictures.curation.filters.appearance import colourfulness
from planted_pictures import gray_scene, scene, seen


def is_gray(image: Image.Image) -> bool:
    gray = FILTERS["gray"]
    return gray.finds(colourfulness(seen(image)), gray.threshold)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "image",
    [
        scene().convert("L"),
        gray_scene(),
        as_jpeg(gray_scene(), 40),
        as_jpeg(scene().convert("L"), 40),
        Image.new("RGB", (300, 200), (90, 90, 90)),
    ],
    ids=["L", "RGB", "JPEG of RGB", "JPEG of L", "flat"],
)
def test_pictures_without_colours_are_gray(image: Image.Image):
    assert is_gray(image)


def test_noise_in_the_colours_of_a_large_gray_picture_does_not_count():
    noise = np.random.default_rng(0).normal(0, 3, (960, 1280, 3))
    pixels = np.asarray(gray_scene().resize((1280, 960)), dtype=np.float64) + noise
    assert is_gray(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


def toned(image: Image.Image, tone: tuple[float, float, float]) -> Image.Image:
    brightness = np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    return Image.fromarray((brightness * tone).clip(0, 255).astype(np.uint8))


def pale(share: float) -> Image.Image:
    return Image.blend(gray_scene(), scene(), share)


@pytest.mark.parametrize(
    "image",
    [
        scene(),
        pale(0.15),
        toned(gray_scene(), (1.0, 0.86, 0.68)),
        Image.new("RGB", (300, 200), (0, 90, 0)),
    ],
    ids=["colourful", "pale", "sepia", "flat"],
)
def test_pictures_with_colours_are_not(image: Image.Image):
    assert not is_gray(image)


@pytest.mark.parametrize(("share", "gray"), [(0.03, True), (0.10, False)])
def test_a_small_mark_in_colour_is_forgiven_and_a_larger_part_is_not(share: float, gray: bool):
    image = gray_scene()
    side = math.isqrt(int(share * image.width * image.height))
    image.paste((255, 0, 0), (0, 0, side, side))
    assert is_gray(image) == gray


def test_the_score_is_the_length_of_cb_and_cr():
    # ITU-R BT.601 in full range: Cb = 128 - 0.168736 R, Cr = 128 + 0.5 R of pure red.
    expected = math.hypot(-0.168736 * 200, 0.5 * 200)
    red = Image.new("RGB", (64, 64), (200, 0, 0))
    assert colourfulness(seen(red)) == pytest.approx(expected, abs=1)
