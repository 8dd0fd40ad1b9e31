import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graftgan.core.errors import RunError
from graftgan.reports import grid as grid_module
from graftgan.reports import picture_grid, save_png, strip_of
from graftgan.reports.grid import embed


def random_pictures(count: int, channels: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, 5, 7), generator=rng, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [6, 7, 1])
def test_the_grid_equals_one_pasted_picture_by_picture(count: int, channels: int) -> None:
    pictures = random_pictures(count, channels)
    rows = -(-count // 3)
    expected = np.zeros((rows * 5, 3 * 7, channels), dtype=np.uint8)
    for i in range(count):
        top, left = i // 3 * 5, i % 3 * 7
        expected[top : top + 5, left : left + 7] = pictures[i].numpy().transpose(1, 2, 0)

    sheet = picture_grid(pictures, columns=3)

    assert sheet.mode == ("L" if channels == 1 else "RGB")
    assert np.array_equal(np.asarray(sheet).reshape(expected.shape), expected)
    assert expected.any()


@pytest.mark.parametrize(
    ("pictures", "columns"),
    [
        (torch.zeros(4, 3, 2, 2), 2),
        (torch.zeros(4, 2, 2, 2, dtype=torch.uint8), 2),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), 2),
        (torch.zeros(0, 3, 2, 2, dtype=torch.uint8), 2),
        (torch.zeros(4, 3, 2, 2, dtype=torch.uint8), 0),
    ],
)
def test_what_is_no_picture_grid_is_refused(pictures: torch.Tensor, columns: int) -> None:
    with pytest.raises(ValueError, match=r"expected uint8|cannot lay"):
        picture_grid(pictures, columns=columns)


def test_a_strip_is_the_first_cells_of_the_first_row() -> None:
    pictures = random_pictures(16, 3)[:, :, :, :5]
    sheet = picture_grid(pictures, columns=8)
    strip = strip_of(sheet, 5, 3)
    assert np.array_equal(np.asarray(strip), np.asarray(picture_grid(pictures[:3], columns=3)))
    assert strip_of(sheet, 5, 99).size == (40, 5)


def test_a_saved_png_reads_back_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    sheet = picture_grid(random_pictures(4, 3), columns=2)
    save_png(sheet, tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as again:
        assert np.array_equal(np.asarray(again), np.asarray(sheet))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RunError, match="disk full"):
        save_png(Image.new("L", (2, 2)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_a_small_picture_is_embedded_exactly_and_a_large_one_says_it_is_not() -> None:
    noise = picture_grid(random_pictures(64, 3), columns=8)
    exact = embed(noise, alt="noise", exact_up_to=1_000_000)
    assert exact.exact
    assert np.array_equal(decoded(exact.uri), np.asarray(noise))
    assert exact.shown_width % exact.width == 0
    lossy = embed(noise, alt="noise", exact_up_to=10)
    assert not lossy.exact
    assert len(lossy.uri) < len(exact.uri)


def test_a_huge_sheet_is_embedded_smaller_and_not_called_exact() -> None:
    limit = grid_module._LARGEST_EMBEDDED
    shown = embed(Image.new("RGB", (2 * limit, limit)), alt="", exact_up_to=1_000_000)
    assert (shown.width, shown.height, shown.exact) == (limit, limit // 2, False)
