"""Small pictures: whole, of the right shape, and never heavy."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from graftgan.reports import Thumbnail, thumbnail


def content(shown: Thumbnail) -> bytes:
    head, _, data = shown.uri.partition(",")
    assert head == "data:image/webp;base64"
    return base64.b64decode(data)


@pytest.mark.parametrize(
    ("size", "small"),
    [((400, 200), (112, 56)), ((30, 300), (11, 112)), ((40, 20), (40, 20)), ((9000, 1), (112, 1))],
)
def test_the_whole_picture_is_shrunk_and_never_enlarged(
    size: tuple[int, int], small: tuple[int, int]
):
    original = Image.new("RGB", size, (200, 30, 30))
    original.paste((30, 30, 200), (size[0] // 2, 0, *size))
    shown = thumbnail(original)
    assert (shown.width, shown.height) == small
    with Image.open(io.BytesIO(content(shown))) as image:
        assert image.size == small
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels[:, 0, 0].mean() > 150
    assert pixels[:, -1, 2].mean() > 150
    assert original.size == size


def test_a_picture_of_noise_is_not_heavy():
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert len(content(thumbnail(Image.fromarray(noise)))) < 5000
