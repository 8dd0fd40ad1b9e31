"""Feature networks from a person's own file."""

import hashlib
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftgan.core.errors import ScoreError
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.extractor import user_extractor
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES
from graftgan.metrics.settings import ExtractorSettings


class Means(nn.Module):
    """The mean and the first pixel of each colour."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images.mean(dim=(2, 3)), images[:, :, 0, 0]], dim=1)


class MeansAndLogits(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.mean(dim=(2, 3), keepdim=True), images[:, :, 0, 0]


class Fixed(nn.Module):
    """Takes 24 px only."""

    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(-1, 3 * 24 * 24) @ torch.ones(3 * 24 * 24, 2)


class Normalised(nn.Module):
    """Remembers what it sees while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.normalisation = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.normalisation(images).mean(dim=(2, 3))


class Maps(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


def saved(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in the code under test
        torch.jit.script(network).save(path)
    return path


def noise(count: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=rng, dtype=torch.uint8)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".torchscript"])
def test_a_torchscript_file_becomes_an_extractor(tmp_path: Path, suffix: str):
    path = saved(Means(), tmp_path / f"means{suffix}")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = user_extractor(path)
    assert (extractor.dimension, extractor.has_logits) == (6, False)
    assert extractor.describe() == {
        "extractor": f"means_{sha256[:8]}",
        "weights_sha256": sha256,
        "view": "pixels",
        "resize": "clean_fid",
        "side": 224,
        "pixels": "imagenet",
    }
    found = extractor.extract(noise(), device="cpu")
    images = PIXEL_RANGES["imagenet"].apply(RESIZES["clean_fid"].apply(noise(), 224))
    torch.testing.assert_close(found.values, Means()(images))


@pytest.mark.parametrize("pixels", ["imagenet", "zero_one", "minus_one_one", "bytes"])
def test_size_range_and_resize_are_as_set(tmp_path: Path, pixels: str):
    path = saved(Fixed(), tmp_path / "fixed.pt")
    settings = ExtractorSettings(
        extractor=str(path),
        extractor_side=24,
        extractor_pixels=pixels,
        extractor_resize="torch_fidelity",
        extractor_view="pixels",
    )
    extractor = build_extractor(settings)
    described = extractor.describe()
    assert (described["resize"], described["side"]) == ("torch_fidelity", 24)
    assert described["pixels"] == pixels
    images = PIXEL_RANGES[pixels].apply(RESIZES["torch_fidelity"].apply(noise(), 24))
    found = extractor.extract(noise(), device="cpu")
    torch.testing.assert_close(found.values, Fixed()(images))


def test_the_second_of_a_tuple_is_logits(tmp_path: Path):
    extractor = user_extractor(saved(MeansAndLogits(), tmp_path / "both.pt"), side=8)
    found = extractor.extract(noise(), device="cpu")
    assert found.values.shape == (5, 3)
    assert found.logits is not None
    assert found.logits.shape == (5, 3)
    assert (found.logits - found.values).abs().max() > 0.1


def test_a_network_saved_while_training_is_evaluated(tmp_path: Path):
    path = saved(Normalised().train(), tmp_path / "normalised.pt")
    found = user_extractor(path, side=8, pixels="zero_one").extract(noise(), device="cpu")
    expected = Normalised().eval()(RESIZES["clean_fid"].apply(noise(), 8) / 255)
    torch.testing.assert_close(found.values, expected.detach())


def test_files_that_do_not_fit_are_explained(tmp_path: Path):
    with pytest.raises(ScoreError, match=r"there is no feature network .*none\.pt"):
        user_extractor(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(ScoreError, match=r"text\.pt is not a TorchScript file"):
        user_extractor(tmp_path / "text.pt")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ScoreError, match=r"a file of weights alone is not enough.*trace"):
        user_extractor(tmp_path / "weights.pth")
    (tmp_path / "network.h5").touch()
    with pytest.raises(ScoreError, match=r"must end in \.pt"):
        user_extractor(tmp_path / "network.h5")
    with pytest.raises(ScoreError, match=r"'fixed_\w{8}' fails on images of \(2, 3, 224, 224\)"):
        user_extractor(saved(Fixed(), tmp_path / "fixed.pt"))
    with pytest.raises(ScoreError, match=r"must give features of .*got \(2, 3, 8, 8\)"):
        user_extractor(saved(Maps(), tmp_path / "maps.pt"), side=8)


class Session:
    """Stands in for onnxruntime's: the means of each colour, from one float32 input 'pixels'."""

    def __init__(self, path: Path, *, providers: list[str]) -> None:
        assert providers == ["CPUExecutionProvider"]
        if not path.read_bytes():
            raise OSError("an empty model")

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="pixels")]

    def run(self, outputs: None, feed: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        assert outputs is None
        (images,) = (feed["pixels"],)
        assert images.dtype == np.float32
        if images.shape[-1] != 8:
            raise OSError("Got invalid dimensions for input")
        return [images.mean(axis=(2, 3))]


def test_an_onnx_file_runs_through_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session))
    path = tmp_path / "means.onnx"
    path.write_bytes(b"model")
    extractor = user_extractor(path, side=8, pixels="bytes")
    assert (extractor.dimension, extractor.has_logits) == (3, False)
    found = extractor.extract(noise(), device="cpu")
    expected = RESIZES["clean_fid"].apply(noise(), 8).mean(dim=(2, 3))
    torch.testing.assert_close(found.values, expected)
    with pytest.raises(ScoreError, match=r"fails on images of .*Got invalid dimensions"):
        user_extractor(path, side=9)
    path.write_bytes(b"")
    with pytest.raises(ScoreError, match=r"means\.onnx is not an ONNX file.*empty model"):
        user_extractor(path, side=8)


def test_a_real_onnx_file_runs(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    onnx: Any = pytest.importorskip("onnx")
    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["features"]),
            helper.make_node("GlobalMaxPool", ["images"], ["logits"]),
        ],
        "pools",
        [helper.make_tensor_value_info("images", kind, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info(name, kind, None) for name in ("features", "logits")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "pools.onnx")
    extractor = user_extractor(tmp_path / "pools.onnx", side=8, pixels="zero_one")
    assert (extractor.dimension, extractor.has_logits) == (3, True)
    found = extractor.extract(noise(), device="cpu")
    images = RESIZES["clean_fid"].apply(noise(), 8) / 255
    torch.testing.assert_close(found.values, images.mean(dim=(2, 3)))
    assert found.logits is not None
    torch.testing.assert_close(found.logits, images.amax(dim=(2, 3)))
    with pytest.raises(ScoreError, match="fails on images"):
        user_extractor(tmp_path / "pools.onnx", side=9)


def test_without_onnxruntime_its_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "means.onnx").write_bytes(b"model")
    with pytest.raises(ScoreError, match=r"means\.onnx needs onnxruntime.*pip install onnxruntime"):
        user_extractor(tmp_path / "means.onnx")
