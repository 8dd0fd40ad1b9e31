"""A feature network with all that decides what it answers: pictures in, features out."""

import hashlib
import itertools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import ScoreError, SettingsError
from graftgan.core.progress import CountProgress
from graftgan.metrics.extractors.pixel_features import detail_of, glance
from graftgan.metrics.extractors.resize import PixelRange, ResizeProtocol, check_pictures
from graftgan.metrics.extractors.views import VIEWS, View
from graftgan.metrics.features import Features

_TELLING = 1000  # numbers of a tensor, from which on equal ones are no chance
_ALIKE = 1e-5  # of a cosine: two rows of weights in float32 that point in one direction
_MOST = 0.5  # share of the rows: channels that are as good as zero point nowhere

"""Called with (done, in all)."""


class Description(TypedDict):
    """What a score's protocol says of its extractor."""

    extractor: str
    weights_sha256: str
    view: str
    resize: str
    side: int
    pixels: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extractor:
    """A feature network and how pictures come to it.

    Attributes:
        name: Of the network with these weights.
        weights_sha256: Of the file its weights came from.
        resize: How pictures come to its size.
        side: Height and width it takes, in pixels.
        pixels: The range it takes.
        dimension: Numbers that the network gives for a picture.
        has_logits: Whether it answers with features and logits, or with features alone.
        network: (b, 3, side, side), float32, to features (b, d), or to (features, logits (b, k)).
        view: What of a picture is shown to it.
    """

    name: str
    weights_sha256: str
    resize: ResizeProtocol
    side: int
    pixels: PixelRange
    dimension: int
    has_logits: bool
    network: nn.Module
    view: View = VIEWS["pixels"]

    def describe(self) -> Description:
        """Return what a score's protocol holds of it."""
        return Description(
            extractor=self.name,
            weights_sha256=self.weights_sha256,
            view=self.view.name,
            resize=self.resize.name,
            side=self.side,
            pixels=self.pixels.name,
        )

    def extract(
        self,
        pictures: Tensor,
        *,
        device: torch.device | str,
        batch_size: int = 64,
        progress: CountProgress | None = None,
    ) -> Features:
        """Return the features of ``pictures``, computed in float32 whatever the surroundings.

        Args:
            pictures: uint8 (n, 1 or 3, h, h), on any device.
            device: Where the network computes; it stays there.
            batch_size: Pictures at once.
            progress: Called with (pictures done, pictures in all).

        Raises:
            ScoreError: Fewer than two pictures, or each of a single colour, or of another shape or
                type; or the network fails or answers with another shape or not-a-number.
        """
        check_measurable(pictures)
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
        """Check that no weights of the network stand in a ``discriminator`` whose run it scores.

        Tensors of 1,000 numbers and more are compared, up to a factor for each output channel, as a
        normalisation leaves it that was folded into its convolution.

        Raises:
            SettingsError: Some do.
        """
        theirs: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        for name, tensor in _telling_tensors(discriminator):
            theirs.setdefault(tensor.shape, []).append((name, tensor))
        for own, tensor in _telling_tensors(self.network):
            for name, other in theirs.get(tensor.shape, []):
                if _same_weights(tensor, other):
                    raise SettingsError(
                        f"the discriminator holds the feature network '{self.name}' that is to "
                        f"score it: its {name} is {own} of that network. A discriminator made of "
                        "the features that score wins the score, not the eye; score with another "
                        "--extractor"
                    )

    def embed(self, pictures: Tensor) -> Tensor:
        """Return the features (n, d) of uint8 ``pictures`` (n, 3, h, h) on the CPU, n >= 1.

        For those who look at pictures one by one; a score takes :meth:`extract`, which checks them.

        Raises:
            ScoreError: The network fails.
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
    """Return features (b, d) and logits (b, k) or None of ``images`` (b, 3, side, side).

    Raises:
        ScoreError: The network fails, or answers with something else.
    """
    try:
        answer: object = network(images)
    except torch.OutOfMemoryError:
        raise ScoreError(
            f"no memory left for the feature network '{name}' on {len(images)} pictures at once; "
            "take a smaller batch_size"
        ) from None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1:]
        raise ScoreError(
            f"the feature network '{name}' fails on images of {tuple(images.shape)}: "
            f"{''.join(reason)}"
        ) from error
    parts = list(answer) if isinstance(answer, (tuple, list)) else [answer]
    rows = [_as_rows(part, len(images)) for part in parts[:2]]
    if not rows or any(part is None for part in rows):
        raise ScoreError(
            f"the feature network '{name}' must give features of ({len(images)}, d), or a tuple of "
            f"features and logits, got {_shapes(parts)}"
        )
    features, logits = rows[0], rows[1] if len(rows) == 2 else None
    assert features is not None
    return features, logits


def check_measurable(pictures: Tensor) -> None:
    """Raise ScoreError if nothing can be learnt from ``pictures``, or they are none."""
    check_pictures(pictures)
    if len(pictures) < 2:
        raise ScoreError(f"a score needs at least 2 pictures, got {len(pictures)}")
    # A chunk at a time: most sets are decided by the first.
    chunks = pictures.split(256)
    if all(bool((chunk == chunk[:, :, :1, :1]).all()) for chunk in chunks):
        raise ScoreError(
            f"all {len(pictures)} pictures are one-colour pictures, so there is nothing to "
            "measure; look at the samples, the generator may have collapsed"
        )


def pictures_sha256(pictures: Tensor) -> str:
    """Return the sha256 of the shape and bytes of uint8 ``pictures``, in their order."""
    digest = hashlib.sha256(repr(tuple(pictures.shape)).encode())
    for chunk in pictures.split(256):
        digest.update(chunk.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _telling_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers whose equality is no chance: large, and not of one value."""
    for name, tensor in itertools.chain(network.named_parameters(), network.named_buffers()):
        if tensor.is_floating_point() and tensor.numel() >= _TELLING:
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
    """Return the weights of each output channel as a row; of a single channel, each number."""
    channels = len(tensor) if len(tensor) > 1 else tensor.numel()
    return tensor.detach().float().cpu().reshape(channels, -1)


def _as_rows(part: object, count: int) -> Tensor | None:
    """Return ``part``, (count, d) or (count, d, 1, 1), as (count, d); None if it is no such."""
    if not isinstance(part, Tensor) or part.ndim < 2 or len(part) != count:
        return None
    return part.flatten(1) if all(length == 1 for length in part.shape[2:]) else None


def _shapes(parts: list[object]) -> str:
    return ", ".join(
        str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__
        for part in parts
    )


@contextmanager
def _full_float32(device: torch.device) -> Generator[None]:
    """Switch autocast and TF32 off, and put things back afterwards."""
    backends = cast("Any", torch.backends)
    matrices, convolutions = backends.cuda.matmul, backends.cudnn
    switch, exact = "allow_tf32", False
    if hasattr(backends.cudnn, "conv"):  # from torch 2.9 on; the old switches then fail at times
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
