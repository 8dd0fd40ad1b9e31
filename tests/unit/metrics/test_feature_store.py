"""What was measured once is not measured again."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graftgan.core.errors import ScoreError
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES
from graftgan.metrics.feature_cache import FeatureCache, features_key, features_of
from graftgan.metrics.pixels import pictures_sha256


class Counting(nn.Module):
    """Colour means, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.runs += 1
        return images.mean(dim=(2, 3)), images.amax(dim=(2, 3))


def counting_extractor() -> tuple[Extractor, Counting]:
    network = Counting()
    extractor = Extractor(
        name="counting",
        weights_sha256="a" * 64,
        resize=RESIZES["clean_fid"],
        side=8,
        pixels=PIXEL_RANGES["zero_one"],
        dimension=3,
        has_logits=True,
        network=network,
    )
    return extractor, network


def noise(seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (6, 3, 8, 8), generator=rng, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_the_same_pictures_are_extracted_once(folder: Path):
    extractor, network = counting_extractor()
    first = features_of(noise(), extractor, device="cpu")
    again = features_of(noise(), extractor, device="cpu")
    assert network.runs == 1
    assert len(entries(folder)) == 1
    torch.testing.assert_close(again.values, first.values, rtol=0, atol=0)
    assert first.logits is not None
    assert again.logits is not None
    torch.testing.assert_close(again.logits, first.logits, rtol=0, atol=0)
    assert again.sha256 == first.sha256 == pictures_sha256(noise())


def test_features_without_logits_stay_without():
    extractor, _ = counting_extractor()
    means = replace(extractor, network=nn.AvgPool2d(8), has_logits=False)
    for _ in range(2):
        found = features_of(noise(), means, device="cpu")
        assert found.logits is None
        assert found.values.shape == (6, 3)


def test_progress_is_told_only_while_extracting():
    seen: list[tuple[int, int]] = []
    extractor, _ = counting_extractor()
    for _ in range(2):
        features_of(
            noise(), extractor, device="cpu", batch_size=4, progress=lambda *d: seen.append(d)
        )
    assert seen == [(4, 6), (6, 6)]


def test_whatever_decides_the_features_decides_the_entry(folder: Path):
    extractor, network = counting_extractor()
    others = [
        extractor,
        replace(extractor, name="other"),
        replace(extractor, weights_sha256="b" * 64),
        replace(extractor, resize=RESIZES["pytorch_fid"]),
        replace(extractor, side=9),
        replace(extractor, pixels=PIXEL_RANGES["bytes"]),
        replace(extractor, pixels=replace(extractor.pixels, scale=(1.0, 2.0, 3.0))),
    ]
    for other in others:
        features_of(noise(), other, device="cpu")
    features_of(noise(1), extractor, device="cpu")
    assert network.runs == len(others) + 1 == len(entries(folder))
    assert len({features_key("0", other) for other in others}) == len(others)


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_last_byte, cut_short, empty])
def test_a_damaged_entry_is_made_again(folder: Path, damage: Callable[[Path], None]):
    extractor, network = counting_extractor()
    first = features_of(noise(), extractor, device="cpu")
    (path,) = entries(folder)
    damage(path)
    again = features_of(noise(), extractor, device="cpu")
    assert network.runs == 2
    torch.testing.assert_close(again.values, first.values, rtol=0, atol=0)
    features_of(noise(), extractor, device="cpu")
    assert network.runs == 2


def test_an_unwritable_cache_costs_time_only(tmp_path: Path):
    (tmp_path / "file").touch()
    extractor, network = counting_extractor()
    store = FeatureCache(tmp_path / "file" / "features")
    for runs in (1, 2):
        assert len(features_of(noise(), extractor, device="cpu", store=store)) == 6
        assert network.runs == runs


def test_without_a_home_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch):
    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GRAFTGAN_CACHE")
    monkeypatch.setattr(Path, "expanduser", no_home)
    store = FeatureCache()
    assert store.cached_tensors(["any"], lambda: {"one": torch.ones(1)})["one"] == 1


def test_what_cannot_be_measured_leaves_nothing(folder: Path):
    extractor, _ = counting_extractor()
    with pytest.raises(ScoreError, match="at least 2"):
        features_of(noise()[:1], extractor, device="cpu")
    broken = replace(extractor, pixels=replace(extractor.pixels, scale=(0.0, 0.0, 0.0)))
    with pytest.raises(ScoreError, match="not-a-number"):
        features_of(noise(), broken, device="cpu")
    assert not folder.exists()


def test_statistics_are_kept_by_their_key_too(folder: Path):
    asked: list[int] = []

    def compute() -> dict[str, Tensor]:
        asked.append(1)
        rows = torch.arange(6, dtype=torch.float64).view(2, 3)
        return {"mean": rows.mean(dim=0), "strided": rows.T, "count": torch.tensor(6)}

    for _ in range(2):
        found = FeatureCache().cached_tensors(["frechet", "0" * 64, 1], compute)
        assert found["mean"].dtype == torch.float64
        assert found["mean"].tolist() == [1.5, 2.5, 3.5]
        assert found["strided"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert found["count"] == 6
    assert len(asked) == 1
    FeatureCache().cached_tensors(["frechet", "0" * 64, 2], compute)
    FeatureCache().cached_tensors(["frechet", "0" * 63, "01"], compute)
    assert len(asked) == 3 == len(entries(folder))


def test_the_least_recently_used_entries_go(folder: Path):
    rows = {"rows": torch.zeros(1000)}  # 4 kB and a header
    store = FeatureCache(limit_bytes=13_000)  # three entries
    for key in ("a", "b", "c"):
        store.cached_tensors([key], lambda: rows)
    for age, path in enumerate(sorted(entries(folder), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, ns=(0, age))  # the clock of some disks is too coarse to tell them apart
    (folder / ".left.partial-1").write_bytes(b"by a killed writer")
    os.utime(folder / ".left.partial-1", ns=(0, 0))
    store.cached_tensors(["a"], lambda: pytest.fail("a is there"))
    store.cached_tensors(["d"], lambda: rows)
    assert len(entries(folder)) == 3
    for key in ("a", "c", "d"):
        store.cached_tensors([key], lambda: pytest.fail("it was used more recently than b"))
    asked: list[int] = []
    store.cached_tensors(["b"], lambda: asked.append(1) or rows)
    assert asked == [1]
