"""A feature network from a file of the user's: TorchScript or ONNX."""

import hashlib
import importlib
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from graftgan.core.errors import ScoreError
from graftgan.metrics.extractors.extractor import Extractor, answer_of
from graftgan.metrics.extractors.resize import pixel_range, resize_protocol

TORCHSCRIPT_SUFFIXES = (".pt", ".pth", ".torchscript")
ONNX_SUFFIX = ".onnx"
SUFFIXES = (*TORCHSCRIPT_SUFFIXES, ONNX_SUFFIX)


def user_extractor(
    path: Path, *, resize: str = "clean_fid", side: int = 224, pixels: str = "imagenet"
) -> Extractor:
    """Return the extractor "<file's stem>_<first 8 digits of its sha256>".

    The network takes images (b, 3, side, side), float32, and gives features (b, d) or
    (b, d, 1, 1), or a tuple of those and logits (b, k).

    Args:
        path: A TorchScript file (.pt, .pth, .torchscript) or an ONNX file (.onnx).
        resize: How pictures come to its size: clean_fid, pytorch_fid or torch_fidelity.
        side: Height and width it takes, in pixels.
        pixels: The range it takes: imagenet, zero_one, minus_one_one or bytes.

    Raises:
        ScoreError: The file is missing, unreadable, or no network like that.
        UnknownName: There is no such resize protocol or pixel range.
    """
    protocol, levels = resize_protocol(resize), pixel_range(pixels)
    if not path.is_file():
        raise ScoreError(f"there is no feature network {path}")
    network = _load(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{path.stem}_{sha256[:8]}"
    with torch.inference_mode():
        features, logits = answer_of(network, torch.zeros(2, 3, side, side), name)
    return Extractor(
        name=name,
        weights_sha256=sha256,
        resize=protocol,
        side=side,
        pixels=levels,
        dimension=features.shape[1],
        has_logits=logits is not None,
        network=network,
    )


def _load(path: Path) -> nn.Module:
    suffix = path.suffix.lower()
    if suffix == ONNX_SUFFIX:
        return _OnnxNetwork(path)
    if suffix in TORCHSCRIPT_SUFFIXES:
        return _load_torchscript(path)
    raise ScoreError(f"{path} is no feature network: its name must end in {', '.join(SUFFIXES)}")


def _load_torchscript(path: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # Torch prefers its own export format, which is bound to one of its versions.
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(path, map_location="cpu")
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ScoreError(
            f"{path} is not a TorchScript file ({reason}); a file of weights alone does not do: "
            "save the network with torch.jit.trace(network.eval(), images).save(path)"
        ) from None
    return network.eval()


class _OnnxNetwork(nn.Module):
    """Runs an ONNX file on the CPU, wherever its images come from."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            runtime = cast("Any", importlib.import_module("onnxruntime"))
        except ImportError:
            raise ScoreError(
                f"{path.name} needs onnxruntime, which is missing; run 'pip install onnxruntime'"
            ) from None
        try:
            self._session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # the package's own exceptions have no common base
            raise ScoreError(f"{path} is not an ONNX file that can be run: {error}") from None
        self._input = self._session.get_inputs()[0].name

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        array = np.ascontiguousarray(images.cpu().numpy())
        try:
            answer = self._session.run(None, {self._input: array})
        except Exception as error:  # likewise
            raise RuntimeError(str(error)) from None
        return tuple(torch.from_numpy(rows) for rows in answer)
