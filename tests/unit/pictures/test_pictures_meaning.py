"""What the numbers in a file mean: depth, colour profile, orientation, kind."""

import gc
import io
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from data_drawings import noise
from data_pngs import png_16, with_chunk
from PIL import Image, ImageCms

from graftgan.pictures import DataSettings, ImageSet, load_image_set
from graftgan.pictures import members as kinds
from graftgan.pictures import pixel_values as depth
from graftgan.pictures.pixel_values import agreed_bits


def load(path: Path, **settings: object) -> ImageSet:
    return load_image_set(path, DataSettings(**settings), resolution=16, seed=0)  # type: ignore[arg-type]


def ramp(bits: int, channels: int = 1) -> np.ndarray:
    """Return the values from 0 to the largest of so many bits, (16, 16) or (16, 16, c)."""
    values = np.linspace(0, (1 << bits) - 1, 256).round().astype(np.uint16).reshape(16, 16)
    return values if channels == 1 else np.repeat(values[..., None], channels, axis=2)


LEVELS = torch.arange(256).reshape(16, 16)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_fewer_bits_in_a_file_of_16_are_not_black(tmp_path: Path, bits: int, channels: int):
    values = ramp(bits, channels)
    if channels == 4:
        values[..., 3] = 65535
    (tmp_path / "x.png").write_bytes(png_16(values))
    images = load(tmp_path)
    assert (images.pictures[0] - LEVELS).abs().max() <= 1
    assert f"1 with {bits} bit values in a file of 16 bit" in images.summary()
    remarks = images.manifest()["pictures"][0]["remarks"]
    assert remarks == [f"with {bits} bit values in a file of 16 bit"]


def test_sbit_decides_where_it_can_be_true(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png_16(ramp(10), significant=14))  # a dark one of 14 bit
    (tmp_path / "b.png").write_bytes(png_16(ramp(16), significant=12))  # scaled, as PNG says
    images = load(tmp_path)
    assert torch.equal(images.pictures[1, 0], LEVELS.byte())
    assert (images.pictures[0, 0] - LEVELS / 16).abs().max() <= 1
    assert "1 with 14 bit values" in images.summary()


def test_all_pictures_of_a_set_have_the_same_range(tmp_path: Path):
    (tmp_path / "bright.png").write_bytes(png_16(ramp(14)))
    (tmp_path / "dim.png").write_bytes(png_16(ramp(10)))
    images = load(tmp_path)
    assert (images.pictures[0, 0] - LEVELS).abs().max() <= 1
    assert (images.pictures[1, 0] - LEVELS / 16).abs().max() <= 1
    assert "2 with 14 bit values" in images.summary()
    again = load(tmp_path)  # from the cache
    assert torch.equal(again.pictures, images.pictures)
    assert again.notes == images.notes


def test_bits_that_a_set_agrees_on():
    assert agreed_bits([16, 14, 16]) == [16, 16, 16]
    assert agreed_bits([16, 12, 10]) == [16, 12, 12]
    assert agreed_bits([14, 10]) == [14, 14]
    assert agreed_bits([]) == []


def test_fewer_bits_in_a_tiff_of_16_are_not_black(tmp_path: Path):
    values = ramp(12, 3)
    header = b"II*\0\x08\0\0\0"
    entries = [
        (256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 300), (277, 3, 1, 3), (278, 4, 1, 16), (279, 4, 1, values.nbytes),
    ]  # fmt: skip
    directory = len(entries).to_bytes(2, "little")
    for tag, kind, count, value in entries:
        directory += b"".join(
            number.to_bytes(size, "little")
            for number, size in ((tag, 2), (kind, 2), (count, 4), (value, 4))
        )
    content = (header + directory + bytes(4)).ljust(200, b"\0") + b"\x10\0" * 3
    content = content.ljust(300, b"\0") + values.astype("<u2").tobytes()
    (tmp_path / "x.tif").write_bytes(content)
    images = load(tmp_path)
    assert (images.pictures[0] - LEVELS).abs().max() <= 1


def tiff_of_one_channel(values: np.ndarray, *, photometric: int) -> bytes:
    """Return a TIFF of 16 x 16 values, written as its specification has it."""
    raw = values.astype("<u2").tobytes()
    entries = [
        (256, 4, 16), (257, 4, 16), (258, 3, 16), (259, 3, 1), (262, 3, photometric), (273, 4, 8),
        (277, 3, 1), (278, 4, 16), (279, 4, len(raw)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    place = struct.pack("<I", 8 + len(raw))
    return b"II*\0" + place + raw + struct.pack("<H", len(entries)) + directory + bytes(4)


@pytest.mark.parametrize("bits", [16, 12])
@pytest.mark.parametrize("photometric", [0, 1])
def test_white_is_zero_where_a_tiff_of_16_bit_says_so(tmp_path: Path, bits: int, photometric: int):
    (tmp_path / "x.tif").write_bytes(tiff_of_one_channel(ramp(bits), photometric=photometric))
    wanted = LEVELS if photometric else 255 - LEVELS
    assert (load(tmp_path).pictures[0] - wanted).abs().max() <= 1


@pytest.mark.parametrize("bits", [16, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_clear_value_of_a_png_of_16_bit_becomes_white(tmp_path: Path, bits: int, channels: int):
    values = ramp(bits, channels)
    values[:4] = clear = (777, 778, 779)[:channels] if channels > 1 else 777
    values[4] = 776  # the same upper 8 bits, and not clear
    content = with_chunk(png_16(values), b"tRNS", np.array(clear, ">u2").tobytes())
    (tmp_path / "x.png").write_bytes(content)
    picture = load(tmp_path).pictures[0]
    assert picture[:, :4].min() == 255
    assert picture[:, 4].max() <= 50
    assert (picture[:, 5:] - LEVELS[5:]).abs().max() <= 1


def test_a_bright_clear_value_does_not_hide_that_the_rest_is_of_12_bit(tmp_path: Path):
    values = ramp(12, 3)
    values[:4] = 65535
    content = with_chunk(png_16(values), b"tRNS", b"\xff" * 6)
    (tmp_path / "x.png").write_bytes(content)
    assert (load(tmp_path).pictures[0, :, 4:] - LEVELS[4:]).abs().max() <= 1


@pytest.mark.parametrize("bits", [2, 4])
def test_the_clear_value_of_a_png_of_few_bits_becomes_white(tmp_path: Path, bits: int):
    rows = Image.new("P", (16, 16), 1)
    rows.putpalette(list(range(3 * 2**bits)))
    file = io.BytesIO()
    rows.save(file, "PNG")  # of as many bits as its palette needs
    content = bytearray(file.getvalue())
    content[25] = 0  # its colour type: the numbers of a palette become levels of gray
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    start = content.index(b"PLTE") - 4
    del content[start : start + 12 + int.from_bytes(content[start : start + 4], "big")]
    for clear, level in ((1, 255), (0, 255 // (2**bits - 1))):
        (tmp_path / "x.png").write_bytes(with_chunk(bytes(content), b"tRNS", bytes([0, clear])))
        assert load(tmp_path).pictures.unique().tolist() == [level]


def coded(primaries: int, transfer: int, full: int = 1) -> bytes:
    file = io.BytesIO()
    noise(16, 16).save(file, "PNG")
    return with_chunk(file.getvalue(), b"cICP", bytes([primaries, transfer, 0, full]))


def test_colours_stated_by_numbers_are_srgb_or_said(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(coded(1, 13))
    assert "stated" not in load(tmp_path).summary()
    (tmp_path / "p3.png").write_bytes(coded(12, 13))
    (tmp_path / "narrow.png").write_bytes(coded(1, 13, full=0))
    (tmp_path / "pq.png").write_bytes(coded(9, 16))
    (tmp_path / "hlg.png").write_bytes(coded(9, 18))
    images = load(tmp_path)
    assert images.names == ("a.png", "narrow.png", "p3.png")
    assert "2 with colours that are stated as not sRGB (cICP), taken as sRGB" in images.summary()
    assert [(s.name, s.reason) for s in images.skipped] == [
        ("hlg.png", "its colours are stated as HDR (HLG); convert it to sRGB"),
        ("pq.png", "its colours are stated as HDR (PQ); convert it to sRGB"),
    ]


def test_colours_that_an_avif_states_by_numbers_are_read_too(tmp_path: Path):
    file = io.BytesIO()
    noise(16, 16).save(file, "AVIF")
    content = bytearray(file.getvalue())
    place = content.index(b"colrnclx") + 8
    assert content[place : place + 4] == struct.pack(">2H", 1, 13)
    (tmp_path / "a.avif").write_bytes(content)
    content[place : place + 4] = struct.pack(">2H", 9, 16)
    (tmp_path / "b.avif").write_bytes(content)
    images = load(tmp_path)
    assert images.names == ("a.avif",)
    assert images.skipped[0].reason.startswith("its colours are stated as HDR (PQ)")


def jpeg_of_scans(extra: int) -> tuple[bytes, int]:
    """Return a progressive JPEG that repeats its last scan, and how many it had before."""
    file = io.BytesIO()
    Image.new("L", (64, 64), 128).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + extra * last + content[-2:], content.count(b"\xff\xda")


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path):
    content, own = jpeg_of_scans(0)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(jpeg_of_scans(100 - own)[0])
    (tmp_path / "c.jpg").write_bytes(jpeg_of_scans(101 - own)[0])
    # A video or another picture behind the end, as phones write, is no part of it.
    (tmp_path / "d.jpg").write_bytes(content + 500 * b"\xff\xda\0\2")
    thumbnail = 5000 * b"\xff\xda"  # within a segment
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    (tmp_path / "e.jpg").write_bytes(content[:2] + segment + content[2:])
    images = load(tmp_path)
    assert images.names == ("a.jpg", "b.jpg", "d.jpg", "e.jpg")
    assert [s.reason for s in images.skipped] == ["a JPEG of more than 100 scans; save it again"]


def exchanged_profile() -> bytes:
    """Return a profile in which red and green are exchanged, so that the right answer is known."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * profile[131], 12)}
    first, second = at[b"rXYZ"] + 4, at[b"gXYZ"] + 4
    profile[first : first + 8], profile[second : second + 8] = (
        profile[second : second + 8],
        profile[first : first + 8],
    )
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_is_converted(tmp_path: Path, mode: str):
    picture = Image.new("RGB", (16, 16), (200, 40, 90))
    picture = picture.quantize(2) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "x.png", icc_profile=exchanged_profile())
    images = load(tmp_path)
    assert (images.pictures[0, :, 5, 5].int() - torch.tensor([40, 200, 90])).abs().max() <= 2
    assert "1 converted to sRGB from their colour profile" in images.summary()


def test_an_srgb_profile_and_none_give_the_same_pixels(tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise(16, 16).save(tmp_path / "a.png", icc_profile=profile)
    noise(16, 16).save(tmp_path / "b.png")
    noise(16, 16).convert("L").save(tmp_path / "c.png", icc_profile=profile)
    images = load(tmp_path)
    assert torch.equal(images.pictures[0], images.pictures[1])
    assert torch.equal(
        images.pictures[2, 0], torch.from_numpy(np.array(noise(16, 16).convert("L")))
    )
    assert "profile" not in images.summary()


def test_a_damaged_profile_costs_no_picture(tmp_path: Path):
    noise(16, 16).save(tmp_path / "a.png", icc_profile=b"no profile" * 20)
    noise(16, 16).save(tmp_path / "b.png")
    images = load(tmp_path)
    assert torch.equal(images.pictures[0], images.pictures[1])
    assert "1 with a colour profile that is damaged" in images.summary()


def test_lab_is_converted(tmp_path: Path):
    Image.new("LAB", (16, 16), (255, 128, 128)).save(tmp_path / "x.tif")
    assert load(tmp_path).pictures[0, :, 5, 5].min() >= 250  # white


@pytest.mark.parametrize(
    ("name", "start", "reason"),
    [
        ("x.jxl", b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL; convert it to PNG"),
        ("x.psd", b"8BPS\0\1", None),
        ("x.svg", b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG, a drawing without pixels"),
        ("called.jpg", b"8BPS\0\1" + bytes(50), "a Photoshop document; save it as PNG"),
    ],
)
def test_kinds_that_cannot_be_read_are_named(
    tmp_path: Path, name: str, start: bytes, reason: str | None
):
    noise(16, 16).save(tmp_path / "a.png")
    (tmp_path / name).write_bytes(start)
    assert [s.reason[: len(reason or "")] for s in load(tmp_path).skipped] == [reason] * bool(
        reason
    )


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_heic_without_the_extra_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    kinds.can_read_heif.cache_clear()
    noise(16, 16).save(tmp_path / "a.png")
    (tmp_path / "photo").write_bytes(HEIC)
    (skipped,) = load(tmp_path).skipped
    kinds.can_read_heif.cache_clear()
    assert skipped.reason.startswith('HEIC; install it with pip install "graftgan[heic]"')


def test_heic_with_the_extra_is_read(tmp_path: Path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    kinds.can_read_heif.cache_clear()
    picture = Image.new("RGB", (64, 64), "black")
    picture.paste("white", (0, 0, 64, 32))
    file = io.BytesIO()
    picture.save(file, "HEIF", quality=95)
    (tmp_path / "x.heic").write_bytes(file.getvalue())
    shown = load(tmp_path).pictures[0].float().mean(dim=(0, 2))
    assert shown[9:].max() < 20 < 235 < shown[:7].min()
    (tmp_path / "x.heic").write_bytes(file.getvalue()[:200])
    noise(16, 16).save(tmp_path / "a.png")
    assert [s.reason for s in load(tmp_path).skipped] == ["damaged or truncated"]


def test_a_turned_picture_of_16_bit_is_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.zeros((16, 16), np.uint16)
    values[:8] = 65535
    Image.fromarray(values).save(tmp_path / "x.png", exif=exif)
    columns = load(tmp_path, channels=1).pictures[0, 0].float().mean(dim=0)
    assert columns.tolist() == [0.0] * 8 + [255.0] * 8


def test_a_very_large_dark_picture_is_upright_and_leaves_no_memory_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(depth, "_MOST_IN_TWO", 100)  # pixels: so it is thinned
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.zeros((64, 64, 3), np.uint16)
    values[:32] = 1023
    (tmp_path / "x.png").write_bytes(png_16(values, exif=exif.tobytes()[6:]))
    (tmp_path / "y.png").write_bytes(png_16(values ^ 1))  # it is asked for Exif data it lacks
    gc.collect()
    gc.disable()
    try:
        columns = load(tmp_path).pictures[0].float().mean(dim=(0, 1))
        pictures = [o for o in gc.get_objects() if issubclass(type(o), Image.Image)]
        alive = [picture for picture in pictures if picture.height in (32, 64)]
    finally:
        gc.enable()
    assert columns[:7].max() < 20 < 235 < columns[9:].min()
    assert alive == []


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PNG", "JPEG", "AVIF"])
def test_half_a_file_is_no_picture(tmp_path: Path, kind: str):
    file = io.BytesIO()
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    )
    picture.save(file, kind)
    (tmp_path / "half.png").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    noise(16, 16).save(tmp_path / "a.png")
    assert [s.reason for s in load(tmp_path).skipped] == ["damaged or truncated"]


PEAK = """
import resource, sys
from pathlib import Path
from graftgan.pictures import DataSettings, load_image_set
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
images = load_image_set(Path(sys.argv[1]), DataSettings(), resolution=16, seed=0)
print(len(images.names), peak() - before)
"""


def test_large_pictures_are_decoded_one_after_another(tmp_path: Path):
    folder = tmp_path / "p"
    folder.mkdir()
    content = png_16(
        np.broadcast_to(np.array([[1000], [65535]], np.uint16).repeat(4800, 0), (9600, 9990))
    )
    for i in range(3):
        (folder / f"{i}.png").write_bytes(content)
    assert peak_of(folder) == (3, pytest.approx(500, abs=500))


@pytest.mark.parametrize(
    ("kind", "options", "side"),
    [("WEBP", {"lossless": True}, 7071), ("JPEG2000", {}, 5656), ("AVIF", {"speed": 10}, 8164)],
)
def test_no_picture_is_read_whose_decoder_takes_a_gigabyte(
    tmp_path: Path, kind: str, options: dict[str, object], side: int
):
    folder = tmp_path / "p"
    folder.mkdir()
    for i, width in enumerate((side, side + 1)):
        Image.new("RGB", (width, width), (9, 50, 200)).save(folder / f"{i}.png", kind, **options)
    (folder / "2.png").write_bytes((folder / "0.png").read_bytes())
    (skipped,) = load(folder).skipped
    assert skipped.name == "1.png"
    assert re.fullmatch(rf"more than \d\d megapixels in {kind}; use PNG", skipped.reason)
    assert peak_of(folder) == (2, pytest.approx(500, abs=500))


def peak_of(folder: Path) -> tuple[int, int]:
    """Return how many pictures of ``folder`` are read, and the MB that this takes."""
    environment = {**os.environ, "GRAFTGAN_CACHE": str(folder.parent / "empty")}
    script = [sys.executable, "-c", PEAK, str(folder)]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
    count, megabytes = map(int, done.stdout.split())
    return count, megabytes
