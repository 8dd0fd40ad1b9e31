"""Writing is found wherever it is and however it stands, and textures are not read."""

import sys

import numpy as np
import pytest
from PIL import Image

from graftgan.core.errors import SettingsError
from graftgan.pictures.curation.filters import FILTERS, FilterFunction, Tools
from graftgan.pictures.curation.filters.text import build_text, clearest_word
from planted_pictures import blurred_scene, scene, seen, written


@pytest.fixture(scope="module")
def measure() -> FilterFunction:
    return build_text(Tools())


def has_text(measure: FilterFunction, image: Image.Image) -> bool:
    text = FILTERS["text"]
    return text.finds(float(measure(seen(image))), text.threshold)


@pytest.mark.parametrize(
    "image",
    [
        written(),
        written(turned=180),
        written("(c) 2024 Jane Roe", height=18, opacity=140),
        written("www.example.org", height=12),
        written("24 12 2006", height=40).resize((240, 180)),
    ],
    ids=["large", "on its head", "watermark", "small", "small picture"],
)
def test_writing_is_found(measure: FilterFunction, image: Image.Image):
    assert has_text(measure, image)


def stripes() -> Image.Image:
    row = (np.arange(400) // 20 % 2 * 200).astype(np.uint8)
    return Image.fromarray(np.tile(row, (300, 1)))


@pytest.mark.parametrize(
    "image",
    [scene(), scene(seed=1), blurred_scene(2.0), stripes()],
    ids=["leaves", "other leaves", "blurred leaves", "stripes"],
)
def test_textures_are_not_read(measure: FilterFunction, image: Image.Image):
    assert not has_text(measure, image)


def test_a_very_long_picture_is_not_enlarged_beyond_measure(measure: FilterFunction):
    assert np.isfinite(measure(seen(scene((1000, 14)))))
    assert measure(seen(scene((1000, 8)))) == 0


def test_the_clearest_word_counts_with_its_letters():
    assert clearest_word((), ()) == 0
    assert clearest_word(["I"], [1.0]) == 0.5
    assert clearest_word(["...", "-"], [1.0, 0.9]) == 0
    # 0.9 * 1 / 2, 0.6 * 3 / 4 and 0.7 * 8 / 9: the last one, whose sign and spaces do not count.
    assert clearest_word(["A", "abc", "12 AB, 34 cd"], [0.9, 0.6, 0.7]) == pytest.approx(5.6 / 9)


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime"])
def test_a_missing_package_is_said(package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r'pip install "graftgan\[curate\]"'):
        build_text(Tools())
