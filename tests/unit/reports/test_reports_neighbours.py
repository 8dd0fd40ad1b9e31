"""The gallery of nearest neighbours, pixel by pixel."""

import numpy as np
import pytest
import torch

from graftgan.reports.grid import neighbour_gallery


def random_pictures(*shape: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(2)
    return torch.randint(0, 250, shape, generator=rng, dtype=torch.uint8)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
@pytest.mark.parametrize(("count", "nearest"), [(1, 1), (4, 3)])
def test_a_row_is_a_picture_a_white_gap_and_its_neighbours(
    channels: int, mode: str, count: int, nearest: int
) -> None:
    everything = random_pictures(count, 1 + nearest, channels, 16, 24)

    sheet = neighbour_gallery(everything[:, 0], everything[:, 1:])

    gap = 3  # an eighth of the width
    expected = np.full((count * 16, (1 + nearest) * 24 + gap, channels), 255, dtype=np.uint8)
    for row in range(count):
        for place in range(1 + nearest):
            left = place * 24 + (gap if place else 0)
            picture = everything[row, place].numpy().transpose(1, 2, 0)
            expected[row * 16 : row * 16 + 16, left : left + 24] = picture
    assert sheet.mode == mode
    assert np.array_equal(np.asarray(sheet).reshape(expected.shape), expected)


def test_tiny_pictures_have_a_gap_too() -> None:
    assert neighbour_gallery(random_pictures(2, 3, 4, 4), random_pictures(2, 5, 3, 4, 4)).size == (
        6 * 4 + 1,
        2 * 4,
    )


@pytest.mark.parametrize(
    ("generated", "neighbours"),
    [
        (random_pictures(2, 3, 8, 8), random_pictures(3, 4, 3, 8, 8)),  # other count
        (random_pictures(2, 3, 8, 8), random_pictures(2, 4, 3, 8, 9)),  # other size
        (random_pictures(2, 3, 8, 8), random_pictures(2, 3, 8, 8)),  # no list of neighbours
        (random_pictures(2, 3, 8, 8), random_pictures(2, 0, 3, 8, 8)),  # an empty one
        (random_pictures(2, 3, 8, 8), random_pictures(2, 1, 3, 8, 8).float()),  # other type
        (random_pictures(2, 3, 8, 8).float(), random_pictures(2, 1, 3, 8, 8).float()),
        (random_pictures(0, 3, 8, 8), random_pictures(0, 1, 3, 8, 8)),
    ],
)
def test_what_is_no_gallery_is_refused(generated: torch.Tensor, neighbours: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected|cannot lay"):
        neighbour_gallery(generated, neighbours)
