"""Every resize against the library it is named after."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import oracles
from graftgan.core.errors import ScoreError, UnknownName
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES
from graftgan.metrics.pixels import check_pictures

GREY_LEVEL = 2e-4  # of 255: float32 rounding in two matrix products
SIDES = [(32, 299), (37, 160), (64, 299), (299, 299), (512, 299), (300, 160), (200, 7), (2, 50)]


def noise(side: int, *, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (2, channels, side, side), generator=rng, dtype=torch.uint8)


def as_torch(pictures: Tensor, side: int) -> Tensor:
    return F.interpolate(pictures.float(), size=(side, side), mode="bilinear", align_corners=False)


def as_pillow(pictures: Tensor, side: int) -> Tensor:
    planes = pictures.flatten(0, 1).numpy().astype(np.float32)
    resized = [Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC) for p in planes]
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in resized]))
    return stacked.clamp(0, 255).view(len(pictures), -1, side, side)


def as_torch_fidelity(pictures: Tensor, side: int) -> Tensor:
    with oracles.quiet():
        oracles.torch_fidelity()
        from torch_fidelity import interpolate_compat_tensorflow as compat

        return compat.interpolate_bilinear_2d_like_tensorflow1x(
            pictures.float(), size=(side, side), align_corners=False
        )


OUTSIDE = {"pytorch_fid": as_torch, "clean_fid": as_pillow, "torch_fidelity": as_torch_fidelity}


@pytest.mark.parametrize(("side_in", "side_out"), SIDES)
@pytest.mark.parametrize("name", sorted(RESIZES))
def test_a_protocol_is_its_library(name: str, side_in: int, side_out: int):
    pictures = noise(side_in)
    levels = RESIZES[name].apply(pictures, side_out)
    assert levels.dtype == torch.float32
    expected = OUTSIDE[name](pictures, side_out)
    torch.testing.assert_close(levels, expected, rtol=0, atol=GREY_LEVEL)


@pytest.mark.parametrize(("side_in", "side_out"), [(32, 299), (512, 299)])
def test_the_protocols_differ(side_in: int, side_out: int):
    found = [RESIZES[name].apply(noise(side_in), side_out) for name in sorted(RESIZES)]
    assert len(found) == 3
    for one, other in itertools.combinations(found, 2):
        assert (one - other).abs().max() > 10


def test_bicubic_overshoot_is_cut_off():
    edge = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    raw = RESIZES["clean_fid"].matrix(8, 64) @ edge[0, 0].double() @ torch.eye(8).double()
    assert RESIZES["clean_fid"].matrix(8, 64).min() < 0  # so it can overshoot
    assert raw.shape == (64, 8)
    levels = RESIZES["clean_fid"].apply(edge, 64)
    assert (levels.min(), levels.max()) == (0, 255)


@pytest.mark.parametrize("name", sorted(RESIZES))
def test_a_flat_picture_stays_flat(name: str):
    """Each row of a matrix sums to 1."""
    flat = torch.full((2, 3, 19, 19), 201, dtype=torch.uint8)
    for side in (7, 19, 64):
        expected = torch.full((2, 3, side, side), 201.0)
        torch.testing.assert_close(RESIZES[name].apply(flat, side), expected, rtol=0, atol=1e-4)


def test_grey_pictures_become_three_equal_colours():
    levels = RESIZES["clean_fid"].apply(noise(20, channels=1), 33)
    assert levels.shape == (2, 3, 33, 33)
    torch.testing.assert_close(levels[:, 0], levels[:, 2], rtol=0, atol=0)
    assert levels.std() > 1


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("imagenet", (-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.6400)),
        ("zero_one", (0.0,) * 3, (1.0,) * 3),
        ("minus_one_one", (-1.0,) * 3, (1.0,) * 3),
        ("bytes", (0.0,) * 3, (255.0,) * 3),
        ("tensorflow_inception", (-1.0,) * 3, (127 / 128,) * 3),
        ("tensorflow_lite", (-127 / 128,) * 3, (1.0,) * 3),
    ],
)
def test_a_pixel_range_ends_where_it_should(
    name: str, black: tuple[float, ...], white: tuple[float, ...]
):
    levels = torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    found = PIXEL_RANGES[name].apply(levels).flatten(1)
    torch.testing.assert_close(found, torch.tensor([black, white]), rtol=0, atol=1e-4)


def test_a_protocol_brings_its_own_range():
    ranges = {name: protocol.pixels.name for name, protocol in RESIZES.items()}
    assert ranges == {
        "clean_fid": "tensorflow_inception",
        "pytorch_fid": "minus_one_one",
        "torch_fidelity": "tensorflow_inception",
    }


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(2, 3, 8, 9, dtype=torch.uint8),
        torch.zeros(2, 4, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 0, 0, dtype=torch.uint8),
    ],
    ids=["float", "oblong", "four colours", "one picture", "empty"],
)
def test_other_pictures_are_refused(pictures: Tensor):
    with pytest.raises(ScoreError, match="uint8 of"):
        check_pictures(pictures)


def test_unknown_names_get_help():
    with pytest.raises(UnknownName, match="did you mean 'clean_fid'"):
        _ = RESIZES["cleanfid"]
    with pytest.raises(UnknownName, match="did you mean 'imagenet'"):
        _ = PIXEL_RANGES["image_net"]
