"""Grain and sharpness: speckle and blur by name, whatever the feature network."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.extractors.pixel_features import colours_of, detail_of
from graftgan.metrics.extractors.views import low_passed
from graftgan.metrics.metric import METRICS, Features, Resampling


def drawings(count: int = 40, *, side: int = 32, seed: int = 0) -> Tensor:
    """Return flat drawings: a square of one colour on another."""
    rng = torch.Generator().manual_seed(seed)
    pictures = torch.zeros(count, 3, side, side)
    for picture in pictures:
        x, y = (int(place) for place in torch.randint(2, side // 2, (2,), generator=rng))
        picture[:] = torch.randint(0, 100, (3, 1, 1), generator=rng)
        picture[:, y : y + side // 3, x : x + side // 3] = 220
    return pictures


def as_bytes(levels: Tensor) -> Tensor:
    return levels.round().clamp(0, 255).byte()


def measured(generated: Tensor, real: Tensor, replicates: int = 200) -> dict[str, Tensor]:
    sides = (
        Features(
            values=torch.zeros(len(p), 1), logits=None, sha256="", detail=detail_of(as_bytes(p))
        )
        for p in (generated, real)
    )
    found = METRICS["detail"].measure(*sides, Resampling(replicates=replicates, seed=0))
    return {label: torch.tensor([e.low, e.value, e.high]) for label, e in found.items()}


def noisy(pictures: Tensor, strength: float) -> Tensor:
    rng = torch.Generator().manual_seed(9)
    return pictures + strength * torch.randn(pictures.shape, generator=rng)


def checkered(pictures: Tensor, strength: float) -> Tensor:
    side = torch.arange(pictures.shape[-1])
    return pictures + strength * ((side[:, None] + side) % 2 * 2.0 - 1)


@pytest.mark.parametrize("changed", [noisy, checkered])
def test_speckle_is_grain_and_grows_with_its_strength(changed: Callable[[Tensor, float], Tensor]):
    real = drawings(seed=1)
    grain = [measured(changed(drawings(), s), real)["grain"] for s in (0, 8, 16, 32)]
    low, _, high = grain[0]
    assert low <= 0 <= high
    assert all(float(a[2]) < float(b[0]) for a, b in itertools.pairwise(grain))


def test_noise_that_nobody_sees_is_no_grain():
    found = measured(noisy(drawings(), 2.0), drawings(seed=1))
    assert abs(float(found["grain"][1])) < 0.01


def test_twice_the_noise_is_one_doubling():
    first, second = (noisy(torch.full((40, 1, 32, 32), 128.0), s) for s in (12, 24))
    assert float(measured(second, first)["grain"][1]) == pytest.approx(1, abs=0.02)


def test_blur_is_a_lack_of_sharpness_and_no_grain():
    real = drawings(seed=1)
    sharp = [measured(low_passed(drawings(), s), real) for s in (0.7, 1.5, 3.0)]
    values = [float(found["sharpness"][1]) for found in sharp]
    assert 0 > values[0] > values[1] > values[2]
    assert all(float(found["grain"][1]) < 1 for found in sharp)


def test_the_range_of_brightness_is_no_fault():
    found = measured(drawings() + 20, drawings())
    assert all(abs(float(value[1])) < 0.02 for value in found.values())


def test_large_pictures_are_looked_at_in_part():
    picture = noisy(torch.full((2, 1, 700, 700), 128.0), 10)
    small = detail_of(as_bytes(picture[..., :256, :256]))
    torch.testing.assert_close(detail_of(as_bytes(picture)), small, atol=0.03, rtol=0)


def test_a_part_of_the_pictures_keeps_its_own_detail():
    detail = detail_of(as_bytes(noisy(drawings(6), 5)))
    features = Features(values=torch.rand(6, 2), logits=None, sha256="x", detail=detail)
    chosen = features.subset(torch.tensor([4, 1]))
    assert chosen.detail is not None
    assert torch.equal(chosen.detail, detail[[4, 1]])


def test_features_alone_have_no_detail():
    alone = Features(values=torch.rand(4, 2), logits=None, sha256="x")
    with pytest.raises(ScoreError, match="grain and sharpness need the pictures"):
        METRICS["detail"].measure(alone, alone, Resampling(replicates=0, seed=0))


def test_colours_do_not_say_where_they_are():
    pictures = as_bytes(drawings(8))
    moved = pictures.roll((4, 6), dims=(2, 3))
    torch.testing.assert_close(colours_of(moved), colours_of(pictures), atol=0.01, rtol=0)
    assert (colours_of(as_bytes(drawings(8) + 30)) - colours_of(pictures)).abs().max() > 0.2


def test_colours_are_quantiles_of_patches():
    picture = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    picture[:, 0, :16] = 255  # half red, half black
    low, middle, high = (colours_of(picture).view(3, 5)[:, k].tolist() for k in (0, 2, 4))
    assert low == pytest.approx([-1.0, 0.0, 0.0], abs=1e-3)
    assert high == pytest.approx([2 * 0.299 - 1, 2.0, 0.0], abs=1e-3)
    assert middle[1] == pytest.approx(1.0, abs=1e-3)


def test_gray_pictures_have_no_colour():
    gray = as_bytes(drawings(3))[:, :1]
    assert colours_of(gray).shape == (3, 15)
    assert colours_of(gray)[:, 5:].abs().max() == 0
    torch.testing.assert_close(colours_of(gray), colours_of(gray.expand(-1, 3, -1, -1)))
