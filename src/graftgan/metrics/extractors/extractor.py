"""A feature network, registered or from a file, with the preprocessing of pictures."""

import importlib
import itertools
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import CountProgress, ScoreError, SettingsError
from graftgan.core.files import file_sha256
from graftgan.metrics.extractors.pixel_features import detail_of, glance
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES, PixelRange, ResizeProtocol
from graftgan.metrics.extractors.views import VIEWS, View
from graftgan.metrics.metric import Features
from graftgan.metrics.pixels import check_measurable, check_pictures, pictures_sha256

SUFFIXES = (".pt", ".pth", ".torchscript", ".onnx")  # of a user's file
_LEAST_NUMBERS = 1000  # in a tensor; equal larger ones are no coincidence
_ALIKE = 1e-5  # cosine distance of two rows of float32 weights that count as parallel
_MOST = 0.5  # share of parallel rows in equal tensors; channels close to zero have no direction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extractor:
    """A feature network with the preprocessing of pictures."""

    name: str  # of the network with these weights
    weights_sha256: str  # of their file
    resize: ResizeProtocol
    side: int  # height and width of its input, in pixels
    pixels: PixelRange
    dimension: int  # number of features of a picture
    has_logits: bool  # whether it returns features and logits, or features alone
    network: nn.Module  # (b, 3, side, side), float32, to features (b, d), or with logits (b, k)
    view: View = VIEWS["pixels"]

    def describe(self) -> dict[str, Any]:
        """Return its fields of a score's protocol."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "view": self.view.name,
            "resize": self.resize.name,
            "side": self.side,
            "pixels": self.pixels.name,
        }

    def extract(
        self,
        pictures: Tensor,
        *,
        device: torch.device | str,
        batch_size: int = 64,
        progress: CountProgress | None = None,
    ) -> Features:
        """Return the features of ``pictures``, always computed in float32.

        Pictures are uint8 (n, 1 or 3, h, h) on any device; the network is moved to ``device`` and
        stays there. ``progress`` is called with (pictures done, pictures in all). Raises
        ScoreError: there are fewer than two pictures, all are of a single colour, or they have
        another shape or type; or the network fails or returns another shape or not-a-number.
        """
        check_measurable(pictures)
        pictures = pictures.contiguous()  # the last bit of sums depends on the memory order
        device = torch.device(device)
        network = self.network.to(device).eval()
        answers: list[tuple[Tensor, Tensor | None]] = []
        done = 0
        with torch.inference_mode(), _full_float32(device):
            for batch in pictures.split(batch_size):
                answers.append(self._answer(network, batch.to(device)))
                done += len(batch)
                if progress is not None:
                    progress(done, len(pictures))
        values = torch.cat([features for features, _ in answers])
        detail = detail_of(pictures)
        if self.view.with_glance:
            values = torch.cat([values, glance(pictures, detail)], dim=1)
        logits = [rows for _, rows in answers if rows is not None]
        return Features(
            values=values,
            logits=torch.cat(logits) if logits else None,
            sha256=pictures_sha256(pictures),
            detail=detail,
        )

    def refuse_inside(self, discriminator: nn.Module) -> None:
        """Raise SettingsError if the ``discriminator`` of a scored run holds the network's weights.

        Tensors of at least 1,000 numbers are compared, up to a factor for each output channel:
        folding a normalisation into its convolution changes weights by such factors.
        """
        theirs: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        for name, tensor in _distinctive_tensors(discriminator):
            theirs.setdefault(tensor.shape, []).append((name, tensor))
        for own, tensor in _distinctive_tensors(self.network):
            for name, other in theirs.get(tensor.shape, []):
                if _same_weights(tensor, other):
                    raise SettingsError(
                        f"the discriminator holds the feature network '{self.name}' that is to "
                        f"score it: its {name} is {own} of that network. Training against the "
                        "scoring network improves the score, but not the pictures; score with "
                        "another --extractor"
                    )

    def embed(self, pictures: Tensor) -> Tensor:
        """Return the features (n, d) of uint8 ``pictures`` (n, 3, h, h) on the CPU, n >= 1.

        Unlike :meth:`extract` it accepts any picture. Raises ScoreError: the network fails.
        """
        with torch.inference_mode():
            return self._answer(self.network.eval(), pictures)[0]

    def _answer(self, network: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features and logits of a ``batch``, on the CPU."""
        check_pictures(batch)
        levels = self.view.apply(batch.float())
        images = self.pixels.apply(self.resize.apply(levels, self.side))
        if images.device.type != "mps":
            images = images.contiguous(memory_format=torch.channels_last)
        features, logits = answer_of(network, images, self.name)
        expected = (len(batch), self.dimension)
        if tuple(features.shape) != expected or (logits is not None) != self.has_logits:
            found = "" if logits is None else f" and logits of {tuple(logits.shape)}"
            wanted = " and logits" if self.has_logits else " alone"
            raise ScoreError(
                f"the feature network '{self.name}' gave features of {tuple(features.shape)}"
                f"{found}, expected features of {expected}{wanted}"
            )
        return features.float().cpu(), None if logits is None else logits.float().cpu()


def answer_of(network: nn.Module, images: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
    """Return features (b, d), and logits (b, k) or None, of ``images``; ScoreError if it fails."""
    try:
        answer: object = network(images)
    except torch.OutOfMemoryError:
        raise ScoreError(
            f"out of memory: the feature network '{name}' on {len(images)} pictures at once; "
            "use a smaller batch_size"
        ) from None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1:]
        raise ScoreError(
            f"the feature network '{name}' fails on images of {tuple(images.shape)}: "
            f"{''.join(reason)}"
        ) from error
    parts = list(answer) if isinstance(answer, (tuple, list)) else [answer]
    rows = [
        part.flatten(1)
        for part in parts[:2]
        if isinstance(part, Tensor) and part.ndim >= 2 and len(part) == len(images)
        if all(length == 1 for length in part.shape[2:])  # (b, d) or (b, d, 1, 1)
    ]
    if not rows or len(rows) < len(parts[:2]):
        shapes = [tuple(p.shape) if isinstance(p, Tensor) else type(p).__name__ for p in parts]
        raise ScoreError(
            f"the feature network '{name}' must give features of ({len(images)}, d), or a tuple of "
            f"features and logits, got {', '.join(map(str, shapes))}"
        )
    return rows[0], rows[1] if len(rows) == 2 else None


def _distinctive_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers that are large and not constant."""
    for name, tensor in itertools.chain(network.named_parameters(), network.named_buffers()):
        if tensor.is_floating_point() and tensor.numel() >= _LEAST_NUMBERS:
            rows = _weight_rows(tensor)
            if not bool((rows == rows[:1]).all()):
                yield name, tensor


def _same_weights(first: Tensor, second: Tensor) -> bool:
    one, two = _weight_rows(first), _weight_rows(second)
    if one.shape[1] == 1:
        return torch.equal(one, two)
    alike = F.cosine_similarity(one, two).abs() > 1 - _ALIKE
    return alike.float().mean().item() > _MOST


def _weight_rows(tensor: Tensor) -> Tensor:
    """Return a row of weights for each output channel, or for each weight of a single channel."""
    channels = len(tensor) if len(tensor) > 1 else tensor.numel()
    return tensor.detach().float().cpu().reshape(channels, -1)


@contextmanager
def _full_float32(device: torch.device) -> Generator[None]:
    """Switch autocast and TF32 off within the context."""
    backends = cast("Any", torch.backends)
    matrices, convolutions = backends.cuda.matmul, backends.cudnn
    switch, exact = "allow_tf32", False
    if hasattr(backends.cudnn, "conv"):  # since torch 2.9, where the old switches may fail
        convolutions, switch, exact = backends.cudnn.conv, "fp32_precision", "ieee"
    before = getattr(matrices, switch), getattr(convolutions, switch)
    setattr(matrices, switch, exact)
    setattr(convolutions, switch, exact)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        setattr(matrices, switch, before[0])
        setattr(convolutions, switch, before[1])


def user_extractor(
    path: Path, *, resize: str = "clean_fid", side: int = 224, pixels: str = "imagenet"
) -> Extractor:
    """Return the extractor of a TorchScript or ONNX file: "<stem>_<first 8 digits of its sha256>".

    The network maps images (b, 3, side, side), float32, to features (b, d) or (b, d, 1, 1), or to a
    tuple of those and logits (b, k). Raises ScoreError: the file is missing, unreadable, or not
    such a network; UnknownName: there is no such resize protocol or pixel range.
    """
    protocol, levels = RESIZES[resize], PIXEL_RANGES[pixels]
    if not path.is_file():
        raise ScoreError(f"there is no feature network {path}")
    network = _load(path)
    sha256 = file_sha256(path)
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
    if suffix == ".onnx":
        return _OnnxNetwork(path)
    if suffix not in SUFFIXES:
        endings = ", ".join(SUFFIXES)
        raise ScoreError(f"{path} is not a feature network: its name must end in {endings}")
    try:
        with warnings.catch_warnings():
            # torch recommends its export format, but that depends on the version of torch.
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(path, map_location="cpu")
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ScoreError(
            f"{path} is not a TorchScript file ({reason}); a file of weights alone is not enough: "
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
