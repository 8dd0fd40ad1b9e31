"""Squares around what stands out, on pictures where that is known."""

import numpy as np
import pytest
from curation_pictures import texture
from PIL import Image

from graftgan.pictures.curation.clean_set import (
    cut_square,
    square_around_face,
    square_around_subject,
)
from graftgan.pictures.curation.filters.face import Face


def with_subject(width: int, height: int, left: int, top: int) -> Image.Image:
    """An even ground with a checked square of 80 px at (left, top)."""
    rng = np.random.default_rng(0)
    pixels = np.full((height, width, 3), 110) + rng.normal(0, 2, (height, width, 3))
    checks = (np.indices((80, 80)) // 10).sum(axis=0) % 2 * 200
    pixels[top : top + 80, left : left + 80] = checks[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("left", [0, 40, 200, 380, 520])
def test_the_square_holds_the_subject_of_a_wide_picture(left: int):
    box = square_around_subject(with_subject(600, 200, left, 60))
    assert (box[1], box[3], box[2] - box[0]) == (0, 200, 200)
    assert box[0] <= left
    assert left + 80 <= box[2]


@pytest.mark.parametrize("top", [0, 100, 420])
def test_the_square_holds_the_subject_of_a_tall_picture(top: int):
    box = square_around_subject(with_subject(150, 500, 30, top))
    assert (box[0], box[2], box[3] - box[1]) == (0, 150, 150)
    assert box[1] <= top
    assert top + 80 <= box[3]


def test_where_nothing_stands_out_it_is_in_the_middle():
    box = square_around_subject(Image.new("RGB", (600, 200), "gray"))
    assert box[0] == pytest.approx(200, abs=6)  # what stands out is known to a 64th of the side
    assert box[2] - box[0] == 200


def test_squares_are_shrunk_and_never_enlarged():
    assert cut_square(texture(0, width=400), side=128).size == (128, 128)
    assert cut_square(texture(0, width=400), side=512).size == (300, 300)
    assert cut_square(texture(0, width=1, height=9)).size == (1, 1)


@pytest.mark.parametrize(
    ("size", "box", "wanted"),
    [
        ((600, 200), (0.1, 0.0, 0.2, 0.5), (0, 0, 200, 200)),
        ((600, 200), (0.4, 0.0, 0.5, 0.5), (170, 0, 370, 200)),
        ((600, 200), (0.9, 0.0, 1.0, 0.5), (400, 0, 600, 200)),
        ((200, 600), (0.0, 0.4, 0.5, 0.6), (0, 200, 200, 400)),
        ((200, 200), (0.0, 0.0, 0.1, 0.1), (0, 0, 200, 200)),
    ],
)
def test_the_square_around_a_face_stays_inside(
    size: tuple[int, int], box: tuple[float, float, float, float], wanted: tuple[int, ...]
):
    assert square_around_face(size, Face(box, 0.9)) == wanted


def test_with_a_face_finder_the_face_decides_and_else_what_stands_out():
    image = with_subject(600, 200, 500, 60)
    image.putpixel((0, 0), (255, 0, 0))
    face = Face((0.0, 0.0, 0.1, 0.5), 0.9)
    assert cut_square(image, find_faces=lambda view: (face,)).getpixel((0, 0)) == (255, 0, 0)
    without = cut_square(image, find_faces=lambda view: ())
    assert np.array_equal(np.asarray(without), np.asarray(cut_square(image)))
    assert without.getpixel((0, 0)) != (255, 0, 0)
