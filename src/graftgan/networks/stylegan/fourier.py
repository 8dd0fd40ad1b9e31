"""What StyleGAN3 draws on: waves that a style can turn and move.

Source: Karras et al. 2021, section 3.2 and appendix F (arXiv:2106.12423).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.networks.stylegan.linear import ScaledLinear


class FourierFeatures(nn.Module):
    """Waves of random direction and phase, mixed by a learnt matrix: styles to (b, c, h, w).

    The style's transform turns and moves the waves; one too fast for the rate after it fades.
    Frequencies are in waves along the picture's side, and ``rate`` is in samples along it; ``size``
    counts the samples with the margin.
    """

    def __init__(
        self, style_size: int, channels: int, size: int, rate: float, bandwidth: float
    ) -> None:
        super().__init__()
        self.affine = ScaledLinear(style_size, 4)
        self.weight = nn.Parameter(torch.zeros(channels, channels))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.zeros(channels, 2))
        self.register_buffer("phases", torch.zeros(channels))
        self.transform: Tensor
        self.freqs: Tensor
        self.phases: Tensor
        self._size, self._rate, self._bandwidth = size, rate, bandwidth

    def forward(self, style: Tensor) -> Tensor:
        """Return the features (b, c, h, w), in float32."""
        with torch.autocast(style.device.type, enabled=False):
            transform = self._turn_and_move(self.affine(style)) @ self.transform
            phases = self.phases + (self.freqs @ transform[:, :2, 2:]).squeeze(2)
            freqs = self.freqs @ transform[:, :2, :2]
            room = self._rate / 2 - self._bandwidth
            faded = (1 - (freqs.norm(dim=2) - self._bandwidth) / room).clamp(0, 1)
            angles = self._grid(style) @ freqs.transpose(1, 2)[:, None] + phases[:, None, None]
            waves = torch.sin(2 * math.pi * angles) * faded[:, None, None]
            mixed = waves @ (self.weight / math.sqrt(len(self.weight))).T
        return mixed.permute(0, 3, 1, 2)

    def _turn_and_move(self, numbers: Tensor) -> Tensor:
        """Return transforms (b, 3, 3) from cosine, sine, and two shifts (b, 4)."""
        cosine, sine, right, down = (numbers / numbers[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        one, zero = torch.ones_like(cosine), torch.zeros_like(cosine)
        turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=1)
        move = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], dim=1)
        return turn.view(-1, 3, 3) @ move.view(-1, 3, 3)

    def _grid(self, like: Tensor) -> Tensor:
        """Return the place of each feature, (1, h, w, 2), in sides of the picture."""
        theta = torch.eye(2, 3, device=like.device) * (0.5 * self._size / self._rate)
        return F.affine_grid(theta[None], [1, 1, self._size, self._size], align_corners=False)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw the waves, evenly within a disc of frequencies, and start without a transform."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        self.freqs.normal_(0.0, 1.0, generator=rng)
        radii = self.freqs.norm(dim=1, keepdim=True)
        self.freqs.mul_(self._bandwidth / (radii * radii.square().exp().pow(0.25)))
        self.phases.uniform_(-0.5, 0.5, generator=rng)
        self.affine.weight.zero_()
        assert self.affine.bias is not None
        self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
