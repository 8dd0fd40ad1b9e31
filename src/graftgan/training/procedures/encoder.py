"""The encoder of training on codes: from pictures to what enters the decoder.

A GAN has a decoder of codes, the last layers of its generator, but no encoder. This one starts from
the source's discriminator, and learns on the source's own samples, whose codes are known.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graftgan.core.network_types import Discriminator, draw_latents, in_turn
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import Images, PictureBytes, Scalar, to_images
from graftgan.networks.blocks import start_weights
from graftgan.training import CodeSettings
from graftgan.training.procedures.code_networks import Decoder, Head

_CHUNK = 64  # pictures encoded at once


class CodeEncoder(nn.Module):
    """The discriminator's layers up to the code's shape, or all but the score, and one of its own.

    Codes behind a ReLU are never negative, and a critic would know encoded ones by that alone; so
    ``encode`` keeps to the range of the source's codes.
    """

    def __init__(
        self, discriminator: Discriminator, images: Images, codes: Tensor, rng: torch.Generator
    ) -> None:
        super().__init__()
        self._discriminator = copy.deepcopy(discriminator).requires_grad_(True)
        steps, shapes = self._discriminator.feature_steps(), list[torch.Size]()
        features = images
        with torch.no_grad():
            for step in steps.values():
                features = step(features)
                shapes.append(features.shape[1:])
        code = codes.shape[1:]
        used = len(shapes) - shapes[::-1].index(code) if code in shapes else len(shapes)
        self._steps = dict(list(steps.items())[:used])
        self.last = _last_layer(shapes[used - 1], code)
        start_weights(self.last, rng)
        self.last.to(images.device)
        self._least, self._most = float(codes.min()), float(codes.max())

    def forward(self, images: Images) -> Tensor:
        """Map images (b, c, h, w) to codes (b, ...), which may lie outside the decoder's range."""
        return self.last(in_turn(self._steps, images))

    def encode(self, images: Images) -> Tensor:
        """Map images (b, c, h, w) to codes (b, ...) within the range of the source's."""
        return self.within_range(self(images))

    def within_range(self, codes: Tensor) -> Tensor:
        """Return the nearest codes within the range of the source's."""
        return codes.clamp(self._least, self._most)


@dataclass(frozen=True, slots=True)
class CodedSource:
    """The source in two parts, in evaluation mode and without gradients of its own.

    Attributes:
        head: From latents to codes.
        decoder: From codes to images.
    """

    head: Head
    decoder: Decoder
    device: torch.device

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator) -> tuple[Tensor, Images]:
        """Return codes of fresh latents and the images that they stand for."""
        size = self.head.architecture.latent_size
        codes = self.head(draw_latents(count, size, rng, self.device))
        return codes, self.decoder(codes)


def train_encoder(
    source: CodedSource,
    discriminator: Discriminator,
    settings: CodeSettings,
    *,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> CodeEncoder:
    """Return an encoder in evaluation mode, trained on the source's own samples.

    It minimises the share of the variance that it leaves unexplained, of the codes and of the
    pictures that the decoder makes of them; a share has no unit, so both count alike.
    """
    randomness = Randomness(seed)
    codes, images = source.sample(batch_size, randomness.generator("range of the codes"))
    rng = randomness.generator("encoder weights")
    encoder = CodeEncoder(discriminator, images, codes, rng).train()
    optimizer = torch.optim.Adam(encoder.parameters(), settings.encoder_learning_rate)
    for turn in range(settings.encoder_iterations):
        left = 1.0 - turn / settings.encoder_iterations
        optimizer.param_groups[0]["lr"] = settings.encoder_learning_rate * left
        codes, images = source.sample(batch_size, randomness.generator("encoder latents", turn))
        found = encoder(images)
        drawn = source.decoder(encoder.within_range(found))
        loss = unexplained(found, codes) + unexplained(drawn, images)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        progress(turn + 1, settings.encoder_iterations)
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def codes_of(encoder: CodeEncoder, pictures: PictureBytes, device: torch.device) -> Tensor:
    """Return the codes (n, ...) of pictures (n, c, h, w), on the CPU."""
    chunks = (to_images(chunk.to(device)) for chunk in pictures.split(_CHUNK))
    return torch.cat([encoder.encode(images).cpu() for images in chunks])


@torch.no_grad()
def unexplained_pictures(source: CodedSource, codes: Tensor, images: Images) -> float:
    """Return the share of the variance of ``images`` that their decoded ``codes`` lack."""
    chunks = [source.decoder(chunk.to(source.device)).cpu() for chunk in codes.split(_CHUNK)]
    return float(unexplained(torch.cat(chunks), images.cpu()))


def unexplained(found: Tensor, truth: Tensor) -> Scalar:
    """Return the mean squared error as a share of the variance of ``truth`` over the batch.

    0: all is found. 1: as bad as giving the mean for everything.
    """
    spread = (truth - truth.mean(dim=0)).square().mean()
    return (found - truth).square().mean() / spread.clamp(min=1e-8)


def _last_layer(features: torch.Size, code: torch.Size) -> nn.Module:
    """Return a fresh layer from ``features`` to codes: a convolution where both are maps alike."""
    if features == code and len(code) == 3:
        return nn.Conv2d(code[0], code[0], 3, padding=1)
    linear = nn.Linear(features.numel(), code.numel())
    return nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, code))
