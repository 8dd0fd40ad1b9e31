"""What a feature network is shown of a picture."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import UnknownName
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.views import FAINT, VIEWS, low_passed, visible
from graftgan.metrics.settings import ExtractorSettings


def levels(*shape: int, seed: int = 0) -> Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def deviation(levels: Tensor) -> float:
    return float(levels.std(correction=0))


def test_a_low_pass_is_that_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    pictures = levels(2, 3, 24, 24)
    for sigma in (0.75, 1.5, 3.2):
        expected = ndimage.gaussian_filter(
            pictures.double().numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=3
        )
        torch.testing.assert_close(
            low_passed(pictures, sigma).double(), torch.from_numpy(expected), atol=0.01, rtol=0
        )


def test_what_nobody_sees_is_not_shown():
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    left = {strength: deviation(visible(128 + strength * noise)) for strength in (2, 8, 32)}
    assert left[2] < 0.2
    assert left[8] < 1
    assert left[8] * 4 < left[32]


def test_an_edge_stays():
    pictures = torch.full((1, 3, 64, 64), 60.0)
    pictures[..., 32:] = 200
    shown = visible(pictures)
    assert abs(float(shown[..., :24].mean()) - 60) < 0.5
    assert abs(float(shown[..., 40:].mean()) - 200) < 0.5


def test_colours_are_seen_less_sharply_than_brightness():
    board = torch.arange(64) // 4 % 2 * 2.0 - 1  # stripes of four pixels
    bright = 40 * board.expand(1, 3, 64, 64)
    colour = torch.tensor([1.0, 0.0, -0.299 / 0.114]).view(1, 3, 1, 1) * bright  # as bright

    def left(pattern: Tensor) -> float:
        return deviation(visible(128 + pattern) - 128) / deviation(pattern)

    assert left(colour) < 0.8 * left(bright)


def test_a_single_colour_is_shown_as_it_is():
    shown = visible(torch.tensor([30.0, 200.0, 90.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    expected = torch.tensor([30.0, 200.0, 90.0]).view(1, 3, 1, 1).expand_as(shown)
    torch.testing.assert_close(shown, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("side", [4, 8, 32, 64, 100])
def test_gray_is_shown_as_the_same_gray_in_colour(side: int):
    gray = levels(2, 1, side, side)
    shown = visible(gray)
    assert shown.shape == gray.shape
    torch.testing.assert_close(
        visible(gray.expand(-1, 3, -1, -1)), shown.expand(-1, 3, -1, -1), atol=1e-3, rtol=0
    )


def test_each_picture_is_shown_alone():
    pictures = levels(5, 3, 32, 32)
    torch.testing.assert_close(visible(pictures)[2:3], visible(pictures[2:3]), atol=1e-3, rtol=0)


def test_small_pictures_are_seen_enlarged():
    """Noise on few pixels covers more of the eye, so less of it is taken away."""
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    large = deviation(visible(128 + 2 * FAINT * noise))
    assert deviation(visible(128 + 2 * FAINT * noise[..., :32, :32])) > 1.3 * large


def test_every_pixel_is_every_pixel():
    pictures = levels(2, 3, 8, 8)
    assert VIEWS["pixels"].apply(pictures) is pictures


def test_the_view_is_chosen_and_told():
    assert build_extractor(ExtractorSettings()).describe()["view"] == "visible"
    chosen = build_extractor(ExtractorSettings(extractor_view="pixels"))
    assert chosen.describe()["view"] == "pixels"
    with pytest.raises(UnknownName, match="did you mean 'visible'"):
        ExtractorSettings(extractor_view="visble")
    assert VIEWS["visible"].apply is visible


def test_features_do_not_follow_what_nobody_sees():
    flat = torch.zeros(16, 3, 64, 64, dtype=torch.uint8)
    rng = torch.Generator().manual_seed(0)
    for picture in flat:
        x, y = (int(place) for place in torch.randint(8, 32, (2,), generator=rng))
        picture[:] = torch.randint(0, 256, (3, 1, 1), generator=rng, dtype=torch.uint8)
        picture[:, y : y + 24, x : x + 24] = 255
    noisy = (flat.float() + 2 * torch.randn(flat.shape, generator=rng)).round().clamp(0, 255).byte()

    def moved(view: str) -> float:
        extractor = build_extractor(ExtractorSettings(extractor_view=view))
        plain, changed = (extractor.extract(p, device="cpu").values for p in (flat, noisy))
        return float((changed - plain).norm() / (plain - plain.mean(dim=0)).norm())

    assert moved("visible") < 0.1 < 0.3 < moved("pixels")
