"""Blur is told from sharpness at any size, contrast and background."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from graftgan.pictures.curation.filters import FILTERS
from graftgan.pictures.curation.filters.appearance import sharpness
from planted_pictures import blurred_scene, scene, seen

SIZES = [(160, 120), (333, 500), (480, 480), (1000, 750)]


def is_blurred(image: Image.Image) -> bool:
    blurred = FILTERS["blurred"]
    return blurred.finds(sharpness(seen(image)), blurred.threshold)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_more_a_picture_is_blurred_the_lower_is_its_score(size: tuple[int, int]):
    scores = [
        sharpness(seen(blurred_scene(share * max(size), size)))
        for share in (0, 0.001, 0.002, 0.004, 0.008)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 20 * scores[-1]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sharp_pictures_are_not_blurred_and_blurred_ones_are(size: tuple[int, int]):
    assert not is_blurred(scene(size))
    assert is_blurred(blurred_scene(0.012 * max(size), size))


def test_an_enlarged_picture_is_blurred_and_a_small_one_is_not():
    small = scene((100, 75))
    assert not is_blurred(small)
    assert is_blurred(small.resize((600, 450), Image.Resampling.BICUBIC))


def test_a_large_picture_that_is_soft_at_its_pixels_only_is_sharp():
    assert not is_blurred(scene((500, 375)).resize((2000, 1500), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("background", [Image.new("RGB", (500, 500), "gray"), None])
def test_a_sharp_subject_before_nothing_is_sharp(background: Image.Image | None):
    image = background or blurred_scene(12, (500, 500))
    image.paste(scene((120, 120)), (200, 230))
    assert not is_blurred(image)


def test_half_the_contrast_is_no_blur():
    assert not is_blurred(Image.blend(Image.new("RGB", (480, 360), "gray"), scene(), 0.5))


@pytest.mark.parametrize("radius", [(8, 0), (0, 8)], ids=["sideways", "up"])
def test_motion_is_blur(radius: tuple[int, int]):
    # Edges along the way stay sharp; those across it do not.
    assert is_blurred(scene((480, 360)).filter(ImageFilter.BoxBlur(radius)))


def test_the_score_of_a_wave_is_that_of_the_formula():
    # A wave of frequency w passes a binomial filter by ((1 + cos w) / 2) ** 2, and one with two
    # pixels between its taps by the same of 2 w; the second difference is 2 - 2 cos w times it.
    amplitude, w = 80.0, 2 * math.pi / 8
    wave = np.cos(w * (np.arange(256) + 0.5))
    both = 128 + amplitude * wave * wave[:, None]  # a product, so each row and column is a wave
    image = Image.fromarray(both.round().astype(np.uint8))
    passed, passed_twice = (((1 + math.cos(k * w)) / 2) ** 2 for k in (1, 2))
    bent = amplitude / 2 * (2 - 2 * math.cos(w))  # the root of the mean square, 1/2 in each way
    octave = (1 - passed) / (passed * (1 - passed_twice))
    assert sharpness(seen(image)) == pytest.approx(2 * bent * octave, rel=0.03)


def test_one_sharp_edge_is_enough():
    image = Image.new("RGB", (400, 300), (60, 90, 120))
    ImageDraw.Draw(image).rectangle((100, 80, 300, 220), fill=(200, 180, 90))
    assert not is_blurred(image)
