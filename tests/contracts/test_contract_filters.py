"""Every filter builds, reads odd pictures, is deterministic, and finds what is planted for it."""

import math
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from graftgan.pictures.curation.filters import FILTERS, FilterFunction, Mode, Tools
from planted_pictures import blurred_scene, gray_scene, scene, seen, with_face, written

NAMES = list(FILTERS)
PLANTED = {
    "small": scene((200, 150)),
    "elongated": scene((900, 300)),
    "gray": gray_scene(),
    "blurred": blurred_scene(4.0),
    "text": written(),
    "face": with_face(),
}
"""A picture in which the filter of this name must find what it looks for."""
PLAIN = scene((640, 480))
"""A picture in which none of them must."""
ODD = {
    "one pixel": Image.new("RGB", (1, 1), "red"),
    "2000 x 10": scene((2000, 10)),
    "10 x 2000": scene((10, 2000)),
    "black": Image.new("RGB", (300, 200)),
    "noise": Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    ),
    "16 px": scene((16, 16)),
}


@pytest.fixture(scope="module", params=NAMES)
def built(request: pytest.FixtureRequest) -> tuple[str, FilterFunction]:
    return request.param, FILTERS[request.param].build(Tools())


def test_there_are_filters_and_each_of_the_main_ones_has_a_planted_picture():
    assert set(NAMES) >= PLANTED.keys() >= {"small", "elongated", "gray", "blurred", "text"}


@pytest.mark.parametrize("odd", ODD)
def test_odd_pictures_are_read_twice_the_same(built: tuple[str, FilterFunction], odd: str):
    _, measure = built
    first, second = measure(seen(ODD[odd])), measure(seen(ODD[odd]))
    assert first == second
    assert first if isinstance(first, str) else math.isfinite(first)


def test_a_measure_does_not_change_the_picture(built: tuple[str, FilterFunction]):
    _, measure = built
    view = seen(PLAIN)
    before = np.array(view.image)
    measure(view)
    assert np.array_equal(before, np.asarray(view.image))


def test_what_is_planted_is_found_and_nothing_in_a_plain_picture(built: tuple[str, FilterFunction]):
    name, measure = built
    if name not in PLANTED:
        pytest.skip(f"no picture is planted for {name}; its own tests do that")
    chosen = FILTERS[name]
    assert chosen.compare is None
    assert chosen.finds(float(measure(seen(PLANTED[name]))), chosen.threshold)
    assert not chosen.finds(float(measure(seen(PLAIN))), chosen.threshold)


@pytest.mark.parametrize("name", NAMES)
def test_the_words_and_the_threshold_make_sense(name: str):
    chosen = FILTERS[name]
    words = (chosen.found, chosen.missing, chosen.score)
    assert all(text and text == text.strip() and not text.endswith(".") for text in words)
    assert len(set(words)) == 3
    assert chosen.mode in get_args(Mode)
    assert math.isfinite(chosen.threshold)
    assert chosen.finds(chosen.threshold, chosen.threshold)
    beyond = 1.0 if chosen.side == "at_least" else -1.0
    assert chosen.finds(chosen.threshold + beyond, chosen.threshold)
    assert not chosen.finds(chosen.threshold - beyond, chosen.threshold)
