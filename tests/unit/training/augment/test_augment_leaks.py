"""The leak report: flags borders that only generated pictures have, and nothing else."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.training.augment import has_dark_border, leak_report


def bright_pictures(count: int, size: int = 64) -> Tensor:
    rng = torch.Generator().manual_seed(count)
    return torch.randint(60, 256, (count, 3, size, size), generator=rng, dtype=torch.uint8)


def with_border(pictures: Tensor, where: str) -> Tensor:
    bordered = pictures.clone()
    cut = {
        "top": (..., slice(0, 3), slice(None)),
        "bottom": (..., slice(-3, None), slice(None)),
        "left": (..., slice(None), slice(0, 3)),
        "right": (..., slice(None), slice(-3, None)),
        "corner": (..., slice(-9, None), slice(0, 9)),
    }[where]
    bordered[cut] = torch.randint_like(bordered[cut], 0, 20)
    return bordered


@pytest.mark.parametrize("where", ["top", "bottom", "left", "right", "corner"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_dark_border_is_seen_on_any_side(where: str, channels: int) -> None:
    pictures = bright_pictures(5)[:, :channels]
    assert not has_dark_border(pictures).any()
    assert has_dark_border(with_border(pictures, where)).all()


def test_other_borders_are_not_dark_ones() -> None:
    pictures = bright_pictures(4)
    white, blue, speckled, black = pictures.clone()
    white[:, :4] = 255
    blue[:2, :4] = 0  # two channels of three
    speckled[:, :4] = torch.randint(0, 2, (3, 4, 64)).mul(90).byte()  # mean 45, not uniform
    black[:] = 5  # one dark surface has no border
    assert not has_dark_border(torch.stack([white, blue, speckled, black])).any()


def test_borders_that_only_generated_pictures_have_are_a_leak() -> None:
    generated = torch.cat([with_border(bright_pictures(20), "corner"), bright_pictures(44)])
    report = leak_report(bright_pictures(100), generated)
    assert report.borders.generated == (20, 64)
    assert report.borders.real == (0, 100)
    assert report.leaking
    assert report.message().startswith(
        "20 of 64 generated pictures (31%) have a dark border, against 0 of 100 real ones (0%)"
    )
    assert "leaked" in report.message()
    assert "\n" not in report.message()
    bare = report.message(augmented=False)  # then there is nothing to lower
    assert "this run has none" in bare
    assert "probability" not in bare


def test_borders_that_only_real_pictures_have_are_none() -> None:
    report = leak_report(with_border(bright_pictures(50), "top"), bright_pictures(50))
    assert (report.borders.real.marked, report.borders.generated.marked) == (50, 0)
    assert not report.leaking


def test_borders_that_both_have_are_none() -> None:
    real = with_border(bright_pictures(50), "left")
    report = leak_report(real, with_border(bright_pictures(40), "left"))
    assert (report.borders.real.share, report.borders.generated.share) == (1.0, 1.0)
    assert not report.leaking
    assert "no sign" in report.message()


def test_a_few_unlucky_pictures_are_no_verdict() -> None:
    generated = torch.cat([with_border(bright_pictures(2), "top"), bright_pictures(14)])
    assert not leak_report(bright_pictures(100), generated).leaking


def test_sets_may_differ_in_size_and_must_not_be_empty() -> None:
    assert not leak_report(bright_pictures(3, size=32), bright_pictures(3)).leaking
    with pytest.raises(ImageSetError, match="no generated ones"):
        leak_report(bright_pictures(3), bright_pictures(0))
