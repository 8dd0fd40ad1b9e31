"""Which pictures count as trained on."""

import io

import pytest
import torch
from PIL import Image

from graftgan.core.errors import ScoreError
from graftgan.pictures.reference import distinct, reference_among, told_apart, trained_on


def drawn(count: int, *, seed: int, spread: int = 200) -> torch.Tensor:
    """Return different smooth pictures, uint8 (n, 3, 32, 32)."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand((count, 3, 4, 4), generator=rng) * spread + 20
    return torch.nn.functional.interpolate(small, size=32, mode="bilinear").byte()


def coloured(count: int, *, seed: int) -> torch.Tensor:
    """Return different drawings of saturated colours with sharp edges, uint8 (n, 3, 60, 60)."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand((count, 3, 8, 8), generator=rng) * 255
    return torch.nn.functional.interpolate(small, size=60, mode="nearest").byte()


def compressed(pictures: torch.Tensor, form: str = "JPEG", **settings: int) -> torch.Tensor:
    found: list[torch.Tensor] = []
    for picture in pictures:
        file = io.BytesIO()
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        image.save(file, form, **(settings or {"quality": 90, "subsampling": 0}))
        with Image.open(file) as image:
            pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        found.append(pixels.reshape(*picture.shape[1:], 3).permute(2, 0, 1))
    return torch.stack(found)


def test_a_picture_counts_as_trained_on_however_it_is_stored():
    training, new = drawn(20, seed=1), drawn(20, seed=2)
    for again in (training, training.flip(3), compressed(training), compressed(training.flip(3))):
        assert trained_on(again, training).all()
    assert not trained_on(new, training).any()


@pytest.mark.parametrize(("form", "quality"), [("JPEG", 80), ("JPEG", 50), ("WEBP", 75)])
def test_colours_kept_at_half_the_size_hide_no_double(form: str, quality: int):
    training, new = coloured(20, seed=1), coloured(20, seed=2)
    assert trained_on(compressed(training, form, quality=quality), training).all()
    assert trained_on(compressed(training.flip(3), form, quality=quality), training).all()
    assert not trained_on(compressed(new, form, quality=quality), training).any()


def test_one_drawing_in_other_colours_is_another_picture():
    training = coloured(20, seed=1)
    assert not trained_on(training.flip(1), training[:, [1, 0, 2]]).any()


def test_gray_pictures_are_recognised_too():
    training, new = drawn(20, seed=1)[:, :1], drawn(20, seed=2)[:, :1]
    assert trained_on((training.float() * 0.99).byte(), training).all()
    assert not trained_on(new, training).any()


def test_pictures_that_are_all_alike_are_told_apart():
    training, new = drawn(20, seed=1, spread=8), drawn(20, seed=2, spread=8)
    assert trained_on(training, training).all()
    assert not trained_on(new, training).any()


def test_each_picture_counts_once():
    pictures = drawn(6, seed=1)
    twice = torch.cat([pictures, pictures[:2], pictures[3:4].flip(3)])
    assert torch.equal(distinct(twice), pictures)


def test_a_picture_that_is_stored_in_many_ways_is_one_to_the_copy_guard():
    pictures = coloured(6, seed=1)
    again = compressed(pictures[:3].flip(3), quality=75)
    assert torch.equal(told_apart(torch.cat([pictures, again, pictures[:1]])), pictures)
    assert torch.equal(told_apart(pictures), pictures)
    assert torch.equal(told_apart(torch.cat([pictures[:1]] * 3)), pictures[:1])


def test_the_frames_of_a_video_do_not_all_count_as_its_first():
    start, end = coloured(2, seed=1).float()
    frames = torch.stack([start + (end - start) * step / 200 for step in range(201)]).byte()
    kept = told_apart(frames)
    assert 10 < len(kept) < 100
    assert trained_on(frames, kept).all()


def test_what_was_trained_on_is_left_out_and_said():
    training, new = drawn(20, seed=1), drawn(9, seed=2)
    found = reference_among(
        torch.cat([training, new, new[:1]]), training, name="all", training_is_fine=True
    )
    assert torch.equal(found.pictures, new)
    assert found.notes == (
        "1 of 30 pictures of all are equal to others and count once",
        "20 of 29 pictures of all were trained on and are left out of it",
    )
    assert not found.rewards_copying


def test_training_pictures_alone_are_allowed_only_where_they_are_asked_for():
    training = drawn(20, seed=1)
    found = reference_among(training[:12], training, name="demo", training_is_fine=True)
    assert torch.equal(found.pictures, training[:12])
    assert found.rewards_copying
    assert "all 12 pictures of demo were trained on" in found.notes[-1]
    with pytest.raises(ScoreError, match=r"only 0 of 12 .*--held-out 0\.2"):
        reference_among(training[:12], training, name="demo", training_is_fine=False)
