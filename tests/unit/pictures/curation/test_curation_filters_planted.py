"""Filters of frames, drawings, twins and strangers, on pictures where these were planted."""

import io
from collections.abc import Mapping

import numpy as np
import pytest
from curation_pictures import framed, texture, with_logo
from PIL import Image

from graftgan.pictures.curation.filters import FILTERS, PictureReadings, Reading, Tools
from graftgan.pictures.curation.filters.appearance import (
    drawn_edges,
    nearest_better,
    perceptual_hash,
    share_of_border,
)
from graftgan.pictures.curation.filters.filter import PictureView, picture_view
from graftgan.pictures.curation.filters.outlier import strangeness


def view(image: Image.Image) -> PictureView:
    return picture_view(image, image.size)


def as_jpeg(image: Image.Image, quality: int = 85) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("width", [12, 30, 60])
@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_a_frame_is_its_area(seed: int, width: int):
    image = as_jpeg(framed(texture(seed), width))
    wanted = 1 - 300**2 / (300 + 2 * width) ** 2
    assert share_of_border(view(image)) == pytest.approx(wanted, abs=0.03)


def test_bars_on_two_sides_are_a_frame_too():
    image = Image.new("RGB", (300, 400))
    image.paste(texture(0), (0, 50))
    assert share_of_border(view(as_jpeg(image))) == pytest.approx(0.25, abs=0.02)


def test_no_frame_is_seen_in_textures_skies_or_one_colour():
    ramp = np.linspace(255, 60, 300, dtype=np.uint8)[:, None, None]
    sky = Image.fromarray(np.broadcast_to(ramp, (300, 300, 3)).copy())
    for image in (texture(1), sky, Image.new("RGB", (300, 300), "white")):
        assert share_of_border(view(as_jpeg(image))) == 0


def test_a_subject_on_an_even_ground_is_no_picture_in_a_frame():
    image = Image.new("RGB", (300, 300), (240, 240, 240))
    image.paste(texture(2, width=60, height=60), (120, 120))
    grown = np.indices((300, 300)) - 150
    round_one = np.hypot(*grown) < 100
    pixels = np.where(round_one[..., None], np.asarray(texture(3)), 240).astype(np.uint8)
    assert share_of_border(view(Image.fromarray(pixels))) == 0


def test_what_is_drawn_has_even_edges_and_photographs_have_not():
    threshold = FILTERS["overlay"].threshold
    for seed in range(4):
        assert drawn_edges(view(as_jpeg(texture(seed)))) < threshold / 3
        assert drawn_edges(view(with_logo(texture(seed)))) > threshold


def test_overexposed_ground_is_not_drawn():
    pixels = np.zeros((300, 300, 3), dtype=np.uint8)
    pixels[:, 150:] = 255
    assert drawn_edges(view(Image.fromarray(pixels))) == 0
    pixels[:, 150:] = 200
    assert drawn_edges(view(Image.fromarray(pixels))) == pytest.approx(1.0, abs=0.05)


def candidates(
    *images: Image.Image, pixels: tuple[int, ...] | None = None
) -> list[PictureReadings]:
    sizes = pixels or tuple(image.width * image.height for image in images)
    return [
        readings(i, sizes[i], {"duplicate": perceptual_hash(view(image))})
        for i, image in enumerate(images)
    ]


def readings(number: int, pixels: int, found: Mapping[str, Reading]) -> PictureReadings:
    return PictureReadings(name=str(number), stamp="", sha256="", size=(pixels, 1), readings=found)


def test_twins_are_found_however_they_were_changed():
    one, other = texture(0), texture(1)
    changed = [
        as_jpeg(one, quality=30),
        one.resize((150, 150)),
        one.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        one.point([min(255, round(1.15 * i)) for i in range(256)] * 3),
    ]
    found = nearest_better(candidates(one, other, *changed, pixels=(9, 8, 1, 1, 1, 1)))
    assert all(c.score <= FILTERS["duplicate"].threshold for c in found[2:])
    assert found[0].beside is None
    assert found[0].score == 64
    assert found[1].score > FILTERS["duplicate"].threshold


def test_the_better_of_twins_stays_and_the_name_decides_between_equals():
    one = texture(0)
    found = nearest_better(candidates(one, one.resize((600, 600)), one))
    assert [c.beside for c in found] == ["1", None, "1"]
    found = nearest_better(candidates(one, one))
    assert [c.beside for c in found] == [None, "0"]


def test_distances_agree_with_counted_bits():
    pictures = [texture(seed) for seed in range(40)]
    given = candidates(*pictures, pixels=tuple(range(40, 0, -1)))
    marks = [str(c.readings["duplicate"]) for c in given]
    halves = [(int(m[:16], 16), int(m[16:], 16)) for m in marks]
    for i, found in enumerate(nearest_better(given)[1:], start=1):
        least = min(
            min(
                (halves[i][0] ^ halves[j][0]).bit_count(), (halves[i][0] ^ halves[j][1]).bit_count()
            )
            for j in range(i)
        )
        assert found.score == least


def test_the_stranger_among_pictures_is_the_outlier():
    build = FILTERS["outlier"].build(Tools())
    squares = [texture(seed) for seed in range(12)]
    rows = np.indices((300, 300))[0] // 12 % 2 * 255
    stranger = Image.fromarray(np.repeat(rows[..., None], 3, axis=2).astype(np.uint8))
    marks = [build(view(image)) for image in (*squares, stranger)]
    given = [readings(i, 1, {"outlier": mark}) for i, mark in enumerate(marks)]
    scores = [compared.score for compared in strangeness(given)]
    assert max(range(13), key=lambda i: scores[i]) == 12
    assert scores[12] >= FILTERS["outlier"].threshold
    assert sum(score >= FILTERS["outlier"].threshold for score in scores) == 1
    assert [c.score for c in strangeness(given[:1])] == [0.0]


def test_a_view_is_upright_and_bounded():
    image = Image.new("RGB", (2000, 1000))
    found = picture_view(image, (1000, 2000))  # the file lies on its side
    assert (found.width, found.height) == (2000, 1000)
    assert max(found.image.size) == 1024
    assert found.shrunk(256).size == (256, 128)
    assert found.shrunk(4096) is found.image
    assert found.gray(256).shape == (128, 256)
