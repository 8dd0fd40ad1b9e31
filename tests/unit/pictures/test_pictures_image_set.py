"""Pictures of every kind become an image set; what cannot is listed with its reason."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from data_drawings import noise, png_header, write_noise
from PIL import Image, ImageOps

from graftgan.core.errors import ImageSetError, RunError, SettingsError
from graftgan.core.files import write_json
from graftgan.pictures import DataSettings, ImageSet, load_image_set


def load(path: Path, resolution: int = 16, seed: int = 0, **settings: object) -> ImageSet:
    return load_image_set(path, DataSettings(**settings), resolution=resolution, seed=seed)  # type: ignore[arg-type]


def only(folder: Path, **settings: object) -> torch.Tensor:
    image_set = load(folder, **settings)
    assert len(image_set.names) == 1, image_set.summary()
    return image_set.pictures[0]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    folder = tmp_path / "hostile"
    folder.mkdir()
    write_noise(folder / "nested" / "deeper", 2)
    noise().save(folder / "ünï 图 🎨.png")
    noise(seed=1).save(folder / ("long" * 60 + ".png"))
    noise(seed=2).save(folder / "png_called.jpg", format="PNG")
    noise(seed=3).save(folder / "no_suffix", format="PNG")
    frames = [noise(seed=i) for i in range(3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    noise(mode="CMYK").save(folder / "cmyk.jpg")
    noise(mode="1").save(folder / "bits.png")
    (folder / "empty.png").touch()
    noise(mode="RGB").save(folder / "whole.jpg")
    for name in ("whole.jpg", "ünï 图 🎨.png"):
        content = (folder / name).read_bytes()
        (folder / f"truncated{Path(name).suffix}").write_bytes(content[: len(content) // 2])
    (folder / "stump.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (folder / "text.png").write_text("I am not a picture")
    (folder / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    noise(1, 1).save(folder / "dot.png")
    (folder / "bomb.png").write_bytes(png_header(20_000, 20_000))
    (folder / "big.png").write_bytes(png_header(11_000, 11_000))
    (folder / "folder.png").mkdir()
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    for quiet in ("manifest.json", "notes.txt", ".hidden.png", "Thumbs.db"):
        (folder / quiet).write_text("{}")
    return folder


SKIPPED = {
    "big.png": "more than 100 megapixels",
    "bomb.png": "more than 100 megapixels",
    "dangling.png": "a broken link",
    "dot.png": "smaller than 16 px",
    "empty.png": "empty file",
    "folder.png": "a folder, not a file",
    "pipe.png": "not a regular file",
    "postscript.png": "not a picture",
    "stump.png": "damaged or truncated",
    "text.png": "not a picture",
    "truncated.jpg": "damaged or truncated",
    "truncated.png": "damaged or truncated",
}


def test_a_hostile_folder_gives_its_pictures_and_lists_the_rest(hostile: Path) -> None:
    image_set = load(hostile)
    assert {s.name: s.reason for s in image_set.skipped} == SKIPPED
    assert set(image_set.names) == {
        "animated.gif", "bits.png", "cmyk.jpg", "long" * 60 + ".png", "nested/deeper/000.png",
        "nested/deeper/001.png", "no_suffix", "png_called.jpg", "whole.jpg", "ünï 图 🎨.png",
    }  # fmt: skip
    assert image_set.names == tuple(sorted(image_set.names))
    assert image_set.pictures.shape == (10, 3, 16, 16)
    assert image_set.pictures.dtype == torch.uint8


def test_the_summary_is_one_line_that_counts(hostile: Path) -> None:
    summary = load(hostile, held_out=0.2).summary()
    assert summary.startswith("10 pictures at 16 px (8 to train on, 2 held out); 12 skipped: ")
    assert "3 damaged or truncated" in summary
    assert ", ...); left out 1 link" in summary
    assert "\n" not in summary


def test_the_manifest_says_where_every_picture_came_from(hostile: Path, tmp_path: Path) -> None:
    image_set = load(hostile, held_out=0.3, limit=9)
    path = tmp_path / "run" / "manifest.json"
    write_json(path, image_set.manifest())
    manifest = json.loads(path.read_text())
    assert manifest == image_set.manifest()
    splits = {p["name"]: p["split"] for p in manifest["pictures"]}
    assert sorted(splits.values()).count("unused") == 1
    assert {n for n, s in splits.items() if s == "training"} == set(image_set.names)
    assert {n for n, s in splits.items() if s == "held_out"} == set(image_set.held_out_names)
    cmyk = next(p for p in manifest["pictures"] if p["name"] == "cmyk.jpg")
    assert (cmyk["size"], cmyk["mode"]) == ([40, 32], "CMYK")
    assert {s["name"]: s["reason"] for s in manifest["skipped"]} == SKIPPED
    assert [p.name for p in path.parent.iterdir()] == ["manifest.json"]


def test_a_manifest_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    image_set = load(write_noise(tmp_path / "p", 1))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        write_json(tmp_path / "file" / "manifest.json", image_set.manifest())


def test_a_file_that_may_not_be_read_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_noise(tmp_path / "p", 2)
    really_read = Path.read_bytes

    def refuse_one(path: Path) -> bytes:  # root reads everything, so act as if it did not
        if path.name == "000.png":
            raise PermissionError(13, "Permission denied")
        return really_read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse_one)
    skipped = load(folder).skipped
    assert [(s.name, s.reason) for s in skipped] == [("000.png", "no permission to read")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_a_reason(tmp_path: Path) -> None:
    folder = write_noise(tmp_path / "p", 3)
    (folder / "000.png").chmod(0)
    closed = write_noise(folder / "closed", 1)
    closed.chmod(0)
    try:
        skipped = {s.name: s.reason for s in load(folder).skipped}
    finally:
        closed.chmod(0o755)
    assert skipped == {"000.png": "no permission to read", "closed": "a folder without permission"}


@pytest.mark.parametrize("size", [(40, 32), (31, 64), (16, 16), (33, 100)])
def test_crop_and_resize_agree_with_pillow(tmp_path: Path, size: tuple[int, int]) -> None:
    image = noise(*size)
    image.save(tmp_path / "x.png")
    side = min(size)
    box = tuple((s - side) / 2 for s in size) + tuple((s + side) / 2 for s in size)
    oracle = image.resize((16, 16), Image.Resampling.LANCZOS, box=box)  # type: ignore[arg-type]
    assert torch.equal(only(tmp_path).permute(1, 2, 0), torch.from_numpy(np.array(oracle)))


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((128, 128), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "x.png")
    grey = only(tmp_path, channels=1).float()
    assert grey.sub(127.5).abs().max() < 10  # without antialiasing: pure black or white


def test_a_large_jpeg_decoded_in_draft_is_close_to_the_full_decode(tmp_path: Path) -> None:
    image = noise(640, 480)
    image.save(tmp_path / "x.jpg", quality=95)
    oracle = np.array(ImageOps.fit(image, (16, 16), Image.Resampling.LANCZOS)).astype(float)
    assert np.abs(only(tmp_path).permute(1, 2, 0).numpy() - oracle).mean() < 3


def test_sixteen_bit_values_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "x.png")
    expected = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    assert torch.equal(only(tmp_path, channels=1), expected)
    assert torch.equal(only(tmp_path), expected.expand(3, -1, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_become_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((10, 10, 10, 255), (0, 0, 16, 8))
    if mode == "P":
        palette = Image.new("P", (16, 16), 1)
        palette.putpalette([10, 10, 10, 200, 0, 0])
        palette.paste(0, (0, 0, 16, 8))
        palette.save(tmp_path / "x.png", transparency=1)
    else:
        image.convert(mode).save(tmp_path / "x.png")
    picture = only(tmp_path)
    assert (picture[:, :8] == 10).all()
    assert (picture[:, 8:] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    image = Image.new("RGB", (16, 16), "black")
    image.putpixel((15, 2), (255, 255, 255))  # right, near the top
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "x.png", exif=exif)
    # Where the EXIF standard says that row 2 and column 15 are shown, as (row, column).
    shown = {1: (2, 15), 2: (2, 0), 3: (13, 0), 4: (13, 15)}
    shown |= {5: (15, 2), 6: (15, 13), 7: (0, 13), 8: (0, 2)}
    row, column = shown[orientation]
    assert torch.nonzero(only(tmp_path)[0]).tolist() == [[row, column]]


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert only(tmp_path)[:, 0, 0].tolist() == [255, 0, 0]


def test_a_cmyk_picture_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=100)
    assert np.abs(only(tmp_path)[:, 8, 8].numpy().astype(int) - [255, 0, 0]).max() < 12


def test_a_zip_and_an_npz_equal_the_folder(tmp_path: Path) -> None:
    folder = write_noise(tmp_path / "p", 5, side=24)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.write(path, path.name)
        archive.writestr("sub/", "")
        archive.writestr("notes.txt", "quiet")
        archive.writestr("__MACOSX/._000.png", "quiet")
        archive.writestr("fake.png", "listed")
    arrays = np.stack([np.array(noise(24, 24, seed=i)) for i in range(5)])
    np.savez(tmp_path / "p.npz", labels=np.arange(5), x_test=arrays[:1], x_train=arrays)
    np.savez(tmp_path / "first.npz", pictures=arrays.transpose(0, 3, 1, 2))
    expected = load(folder)
    zipped, trained = load(tmp_path / "p.zip"), load(tmp_path / "p.npz")
    assert torch.equal(zipped.pictures, expected.pictures)
    assert zipped.names == expected.names
    assert zipped.sha256 == expected.sha256
    assert [(s.name, s.reason) for s in zipped.skipped] == [("fake.png", "not a picture")]
    assert torch.equal(trained.pictures, expected.pictures)
    assert "x_train" in trained.summary()
    assert torch.equal(load(tmp_path / "first.npz").pictures, expected.pictures)


@pytest.mark.parametrize("shape", [(3, 20, 20), (3, 20, 20, 1), (3, 1, 20, 20)])
def test_grey_arrays_of_an_npz(tmp_path: Path, shape: tuple[int, ...]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "x.npz", grey)
    picture = load(tmp_path / "x.npz", resolution=20, channels=1).pictures
    assert torch.equal(picture, torch.from_numpy(grey.reshape(3, 1, 20, 20)))


def test_damaged_zip_members_are_listed(tmp_path: Path) -> None:
    folder = write_noise(tmp_path / "p", 2)
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for picture in sorted(folder.iterdir()):
            archive.write(picture, picture.name)
    content = bytearray(path.read_bytes())
    content[200:220] = bytes(20)
    path.write_bytes(content)
    assert [(s.name, s.reason) for s in load(path).skipped] == [("000.png", "damaged in the zip")]


def make_broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / kind
    if kind == "empty folder":
        path.mkdir()
    elif kind == "bad folder":
        path.mkdir()
        (path / "x.png").touch()
    elif kind.startswith("float"):
        np.savez(path, images=np.zeros((2, 16, 16, 3)))
    elif kind.startswith("objects"):
        np.savez(path, images=np.array([{}], dtype=object))
    elif kind != "missing":
        path.write_bytes(b"PK\x03\x04 damaged")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no .*missing"),
        ("file.png", "not a folder, zip or npz"),
        ("damaged.zip", "damaged"),
        ("damaged.npz", "damaged"),
        ("empty folder", "no usable picture: it contains no pictures"),
        ("bad folder", r"no usable picture: 1 skipped \(x.png: empty file\)"),
        ("float.npz", r"expected uint8 .* found 'images': float64 \(2, 16, 16, 3\)"),
        ("objects.npz", "'images': Python objects"),
    ],
)
def test_what_is_wrong_with_the_source_is_said(tmp_path: Path, kind: str, message: str) -> None:
    path = make_broken(tmp_path, kind)
    for _ in range(2):  # also when the cache knows it
        with pytest.raises(ImageSetError, match=message):
            load(path)


def test_a_limit_beyond_the_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=r"limit is 5, but .* has 3 usable pictures"):
        load(write_noise(tmp_path / "p", 3), limit=5)


def test_the_limit_is_a_choice_of_the_seed(tmp_path: Path) -> None:
    folder = write_noise(tmp_path / "p", 12)
    first, again, other = (load(folder, limit=5, seed=s) for s in (1, 1, 2))
    assert len(first.names) == 5
    assert first.names == again.names
    assert first.sha256 == again.sha256
    assert first.names != other.names
    assert first.sha256 != other.sha256
    assert set(first.names) < set(load(folder, limit=6, seed=1).names)
    everything = load(folder)
    rows = [everything.names.index(name) for name in first.names]
    assert torch.equal(first.pictures, everything.pictures[rows])
    assert first.summary() == "5 of 12 pictures at 16 px"


@pytest.mark.parametrize("memory_limit_mb", [0, 2048])
def test_the_split_is_disjoint_and_complete(tmp_path: Path, memory_limit_mb: int) -> None:
    folder = write_noise(tmp_path / "p", 10)
    everything = load(folder)
    for _ in range(2):
        parts = load(folder, held_out=0.25, memory_limit_mb=memory_limit_mb)
        assert len(parts.held_out_names) == 2
        assert sorted(parts.names + parts.held_out_names) == sorted(everything.names)
        for pictures, names in (
            (parts.pictures, parts.names),
            (parts.held_out, parts.held_out_names),
        ):
            rows = [everything.names.index(name) for name in names]
            assert torch.equal(pictures, everything.pictures[rows])


def test_one_picture_cannot_be_split(tmp_path: Path) -> None:
    image_set = load(write_noise(tmp_path / "p", 1), held_out=0.9)
    assert (len(image_set.pictures), len(image_set.held_out)) == (1, 0)
    assert image_set.summary() == "1 picture at 16 px"


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 4},
        {"limit": 0},
        {"held_out": 1.0},
        {"minimum_side": 0},
        {"memory_limit_mb": -1},
    ],
)
def test_settings_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        DataSettings(**wrong)  # type: ignore[arg-type]
