"""Pictures that are kept come back bit for bit, and whatever else is in such a file is refused."""

import gc
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graftgan.core.errors import RunError
from graftgan.core.files import sealed
from graftgan.experiments import scored_pictures
from graftgan.experiments.scored_pictures import list_scored, packed, read_scored, scored_file
from graftgan.pictures import DataSettings, load_image_set
from tiny_networks import draw_pictures, tiny_pictures

CARD = "card.json"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))


def kept(folder: Path, pictures: torch.Tensor, *, iteration: int = 100) -> Path:
    path = scored_file(folder, iteration)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(packed(pictures, iteration=iteration, seed=7))
    return path


def drawn(folder: Path) -> torch.Tensor:
    """Return pictures with edges and noise, as Pillow reads them."""
    draw_pictures(folder, count=6, hue=1)
    pixels = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 12])
def test_pictures_come_back_bit_for_bit(tmp_path: Path, channels: int, count: int):
    pictures = tiny_pictures(count, channels=channels)
    found = read_scored(kept(tmp_path, pictures))
    assert torch.equal(found.pictures, pictures)
    card = found.card
    assert (card.iteration, card.seed, card.truncation) == (100, 7, 1.0)
    assert (card.count, card.channels, card.resolution) == (count, channels, 32)


@pytest.mark.parametrize("channels", [1, 3])
def test_any_program_can_read_them(tmp_path: Path, channels: int):
    """With the zip and Pillow alone; the hash is that of shape and bytes."""
    pictures = drawn(tmp_path / "drawn")[:, :channels]
    path = kept(tmp_path, pictures)
    members = members_of(path)
    card = json.loads(members.pop(CARD))
    assert list(members) == [f"{number:04d}.webp" for number in range(6)]
    for picture, content in zip(pictures, members.values(), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1)
        assert (pixels == np.broadcast_to(picture.numpy(), pixels.shape)).all()
    shape = f"(6, {channels}, 40, 40)".encode()
    assert card["pictures_sha256"] == hashlib.sha256(shape + pictures.numpy().tobytes()).hexdigest()
    with zipfile.ZipFile(path) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_is_an_image_set(tmp_path: Path, channels: int):
    pictures = drawn(tmp_path / "drawn")[:, :channels]
    settings = DataSettings(channels=channels)
    found = load_image_set(kept(tmp_path, pictures), settings, resolution=40, seed=0)
    assert torch.equal(found.pictures, pictures)
    assert not found.skipped


def test_more_than_ten_thousand_stay_in_their_order(tmp_path: Path):
    names = list(members_of(kept(tmp_path, tiny_pictures(10_001, side=1))))
    assert names[1:] == sorted(names[1:])
    assert names[-1] == "10000.webp"


def test_equal_pictures_make_equal_files_and_smaller_ones_than_their_pixels(tmp_path: Path):
    pictures = drawn(tmp_path / "drawn")
    first, second = (packed(pictures, iteration=5, seed=0) for _ in range(2))
    assert first == second
    assert packed(pictures.flip(0), iteration=5, seed=0) != first
    assert len(first) < 0.9 * pictures.numel()


def test_files_are_listed_by_iteration(tmp_path: Path):
    assert list_scored(tmp_path) == {}
    for iteration in (1_000_000, 0, 200):
        kept(tmp_path, tiny_pictures(2), iteration=iteration)
    (tmp_path / "scored" / "notes.zip").write_bytes(b"")
    assert list(list_scored(tmp_path)) == [0, 200, 1_000_000]
    assert list_scored(tmp_path)[200].name == "000200.zip"


def test_a_file_that_was_damaged_anywhere_gives_the_pictures_or_one_line(tmp_path: Path):
    pictures = tiny_pictures(4)
    path = kept(tmp_path, pictures)
    whole, rng, said = path.read_bytes(), random.Random(1), list[str]()
    for _ in range(400):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            found = read_scored(path)
        except RunError as error:
            said.append(str(error))
        else:  # in what nothing reads, such as a date
            assert torch.equal(found.pictures, pictures)
            assert (found.card.iteration, found.card.seed) == (100, 7)
    assert len(said) > 350
    assert all(str(path) in line for line in said)
    assert all("restore it from a copy of the run, or remove it" in line for line in said)


@pytest.mark.parametrize("end", [0, 1, 100, -1, -100])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, end: int):
    path = kept(tmp_path, tiny_pictures(4))
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(RunError, match=r"000100\.zip does not hold the pictures that were scored"):
        read_scored(path)


def other_picture(**options: object) -> bytes:
    file = io.BytesIO()
    size = options.pop("size", (32, 32))
    Image.new("RGB", size, "red").save(file, options.pop("kind", "WEBP"), **options)  # type: ignore[arg-type]
    return file.getvalue()


def with_card(members: dict[str, bytes], **entries: object) -> dict[str, bytes]:
    told = {k: v for k, v in json.loads(members[CARD]).items() if k != "sha256"}
    return {**members, CARD: json.dumps(sealed({**told, **entries})).encode()}


def with_picture(members: dict[str, bytes], content: bytes) -> dict[str, bytes]:
    return {**members, "0001.webp": content}


def without(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: content for key, content in members.items() if key != name}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: without(m, CARD), r"it has no card\.json"),
        (lambda m: {**m, CARD: b"[]"}, "no JSON object"),
        (lambda m: {**m, CARD: m[CARD].replace(b'"seed": 7', b'"seed": 8')}, "match its sha256"),
        (lambda m: {**m, CARD: m[CARD] + b" " * 5000}, r"its card\.json is too large"),
        (lambda m: with_card(m, iteration=200), "those of iteration 200"),
        (lambda m: with_card(m, seed="7"), "seed"),
        (lambda m: with_card(m, count=3), "not the 3 pictures"),
        (lambda m: with_card(m, count=2**40), "not the 1099511627776 pictures"),
        (
            lambda m: with_card(m, count=0),
            "count: .* greater than or equal to 1, got 0",
        ),
        (lambda m: with_card(m, channels=2), "channels: Input should be 1 or 3, got 2"),
        (lambda m: with_card(m, channels=1), "pixels do not match their sha256"),
        (lambda m: with_card(m, resolution=2**20), "far more than its own size"),
        (lambda m: with_card(m, resolution=16), r"0000\.webp is no lossless WebP of 16 px"),
        (lambda m: with_card(m, more=1), "more"),
        (lambda m: without(m, "0002.webp"), "not the 4 pictures"),
        (lambda m: {**m, "0004.webp": m["0003.webp"]}, "not the 4 pictures"),
        (lambda m: dict(reversed(m.items())), "not the 4 pictures"),
        (lambda m: with_picture(m, m["0000.webp"]), "pixels do not match their sha256"),
        (lambda m: with_picture(m, b""), r"0001\.webp is no lossless WebP"),
        (lambda m: with_picture(m, m["0001.webp"][:60]), "damaged or truncated"),
        (lambda m: with_picture(m, other_picture(kind="PNG")), r"0001\.webp is no lossless WebP"),
        (lambda m: with_picture(m, other_picture(quality=90)), "no lossless WebP"),
        (lambda m: with_picture(m, other_picture(lossless=True, size=(32, 33))), "of 32 px"),
    ],
)
def test_what_is_not_as_it_was_kept_is_refused(
    tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], says: str
):
    path = kept(tmp_path, tiny_pictures(4))
    zipped(path, change(members_of(path)))
    with pytest.raises(RunError, match=says) as error:
        read_scored(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 600


def test_what_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pictures of one colour take hardly any room, so a small file could hold any number."""
    flat = torch.full((4, 3, 256, 256), 7, dtype=torch.uint8)
    path = kept(tmp_path, flat)
    assert torch.equal(read_scored(path).pictures, flat)  # it is little anyway
    monkeypatch.setattr(scored_pictures, "_LITTLE", 0)
    with pytest.raises(RunError, match="unpacks to far more than its own size"):
        read_scored(path)
    varied = tiny_pictures(4)
    assert torch.equal(read_scored(kept(tmp_path, varied)).pictures, varied)


def test_a_compressed_member_is_refused(tmp_path: Path):
    path = kept(tmp_path, tiny_pictures(4))
    zipped(path, members_of(path), zipfile.ZIP_DEFLATED)
    with pytest.raises(RunError, match=r"card\.json is compressed"):
        read_scored(path)


def test_a_file_that_cannot_be_opened_is_said_to_be_so(tmp_path: Path):
    with pytest.raises(RunError, match=r"cannot read .*000100\.zip: No such file"):
        read_scored(scored_file(tmp_path, 100))
    folder = scored_file(tmp_path, 200)
    folder.mkdir(parents=True)
    with pytest.raises(RunError, match=r"cannot read .*000200\.zip: it is a folder"):
        read_scored(folder)


def test_a_member_of_another_size_than_the_zip_states_is_refused(tmp_path: Path):
    path = kept(tmp_path, tiny_pictures(4))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)  # of the first picture
    content[entry + 24 : entry + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        read_scored(path)


def test_a_signal_while_pictures_are_packed_stays_what_it_is(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
):
    """zipfile complains of a half-written member where it is closed, also when it is forgotten."""

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt("a signal")

    monkeypatch.setattr(zipfile, "crc32", interrupt)
    with pytest.raises(KeyboardInterrupt, match="a signal"):
        packed(tiny_pictures(2, side=16), iteration=1, seed=0)
    gc.collect()
    assert not [w for w in recwarn if "ZipFile" in str(w.message)]
