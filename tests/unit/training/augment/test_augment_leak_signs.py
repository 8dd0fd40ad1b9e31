"""Strange colours and turned pictures: seen where they are, and nowhere else."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.training.augment import leak_report
from graftgan.training.augment.leaks import has_strange_colours, is_turned

SEEDS = range(6)


def coloured_pictures(count: int, seed: int) -> Tensor:
    """Smooth pictures of reddish hues (red over green over blue), of many brightnesses."""
    rng = torch.Generator().manual_seed(seed)
    base = torch.tensor([150.0, 110.0, 70.0])[None, :, None, None]
    light = 25 * torch.randn(count, 1, 1, 1, generator=rng)
    texture = F.interpolate(25 * torch.randn(count, 3, 4, 4, generator=rng), size=(32, 32))
    return (base + light + texture).clamp(40, 255).byte()


def letters(count: int, seed: int) -> Tensor:
    """Upright L shapes with jitter: no turn and no mirror maps one onto itself."""
    rng = torch.Generator().manual_seed(seed)
    pictures = torch.full((count, 3, 32, 32), 200.0)
    for picture in pictures:
        y, x = torch.randint(-2, 3, (2,), generator=rng).tolist()
        picture[:, 5 + y : 27 + y, 8 + x : 14 + x] = 60
        picture[:, 21 + y : 27 + y, 8 + x : 24 + x] = 60
    return (pictures + 8 * torch.randn(pictures.shape, generator=rng)).clamp(0, 255).byte()


def textures(count: int, seed: int) -> Tensor:
    """Blobs without an up or down: a turned one is as likely as an upright one."""
    rng = torch.Generator().manual_seed(seed)
    coarse = 128 + 40 * torch.randn(count, 3, 4, 4, generator=rng)
    return F.interpolate(coarse, size=(32, 32), mode="bicubic").clamp(40, 255).byte()


def hue_shifted(pictures: Tensor) -> Tensor:
    return pictures[:, [2, 0, 1]]


def quarter_turned(pictures: Tensor) -> Tensor:
    return pictures.rot90(1, dims=(2, 3))


@pytest.mark.parametrize(
    "change",
    [
        hue_shifted,
        lambda pictures: pictures // 4 + 190,  # bright and pale
        lambda pictures: pictures.float().mean(dim=1, keepdim=True).expand_as(pictures).byte(),
    ],
    ids=["hue", "pale", "gray"],
)
def test_a_third_of_strange_colours_is_a_leak(change: Callable[[Tensor], Tensor]) -> None:
    for seed in SEEDS:
        generated = coloured_pictures(150, seed)
        generated[:50] = change(generated[:50])
        report = leak_report(coloured_pictures(100, seed + 100), generated)
        assert report.colours.seen
        assert not report.borders.seen
        assert not report.turns.seen
        assert report.leaking
        assert "(strange colours)" in report.message()
        assert "dark border" not in report.message()


@pytest.mark.parametrize("real_count", [3, 10, 100])
@pytest.mark.parametrize("draw", [coloured_pictures, letters, textures])
def test_more_pictures_of_the_same_kind_are_no_leak(
    draw: Callable[[int, int], Tensor], real_count: int
) -> None:
    for seed in SEEDS:
        report = leak_report(draw(real_count, seed + 100), draw(150, seed))
        assert not report.leaking, report.message()


def test_real_and_generated_shares_of_equal_sets_agree() -> None:
    """The real share is what new pictures would show, not 1 % by construction."""
    rng = torch.Generator().manual_seed(0)
    flat = torch.randint(0, 256, (16000, 3, 1, 1), generator=rng).byte()
    pairs = [has_strange_colours(some[:40], some[40:]) for some in flat.split(80)]
    real, generated = (float(torch.cat(side).double().mean()) for side in zip(*pairs, strict=True))
    assert 0.03 < real < 0.2
    assert generated == pytest.approx(real, abs=0.01)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_fifth_of_turned_pictures_is_a_leak(turns: int) -> None:
    for seed in SEEDS:
        generated = letters(150, seed)
        generated[:30] = generated[:30].rot90(turns, dims=(2, 3))
        real_turned, generated_turned = is_turned(letters(100, seed + 100), generated)
        assert generated_turned[:30].all()
        assert not generated_turned[30:].any()
        assert not real_turned.any()
        report = leak_report(letters(100, seed + 100), generated)
        assert report.turns.generated == (30, 150)
        assert report.leaking
        assert "(turned pictures)" in report.message()
        assert report.message().startswith("30 of 150 generated pictures (20%) resemble")


def test_turned_textures_and_mirrored_letters_are_no_leak() -> None:
    for seed in SEEDS:
        assert not leak_report(
            textures(100, seed + 100), quarter_turned(textures(150, seed))
        ).leaking
        assert not leak_report(letters(100, seed + 100), letters(150, seed).flip(3)).leaking


def test_every_sign_that_is_seen_is_named() -> None:
    generated = hue_shifted(quarter_turned(letters(100, 1)))
    generated[:, 0] = 250
    generated[:50, :, :4] = 3
    message = leak_report(letters(100, 2), generated).message()
    assert "(dark borders, strange colours" in message
    assert "\n" not in message


def test_one_real_picture_is_no_measure_of_colours_and_turns() -> None:
    report = leak_report(coloured_pictures(1, 0), hue_shifted(quarter_turned(letters(100, 0))))
    assert (report.colours.real.total, report.turns.real.total) == (1, 1)
    assert not report.colours.seen
    assert not report.turns.seen


@pytest.mark.parametrize("channels", [1, 3])
def test_blank_and_one_coloured_sets_are_no_leak(channels: int) -> None:
    black, gray = torch.zeros(20, channels, 16, 16).byte(), torch.full((20, 1, 16, 16), 90).byte()
    assert not leak_report(black, black).leaking
    assert not leak_report(gray, gray.expand(-1, channels, -1, -1)).leaking
    assert leak_report(black, gray).colours.seen
    assert not leak_report(black, gray).turns.seen


def test_of_a_large_set_a_part_is_turned_and_everything_else_counted() -> None:
    many = textures(2100, 0)[:, :, ::4, ::4]
    report = leak_report(many, many[:50])
    assert (report.colours.real.total, report.turns.real.total) == (2100, 700)
