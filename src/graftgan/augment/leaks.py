"""Has an augmentation leaked? Look for dark borders that the real pictures do not have.

Padding and rotation put black strips and corners into what the discriminator sees, and a
generator trained on a small set learns to draw them (seen in our own first runs, with DiffAugment's
zero padding and 100 pictures).
Our own operations reflect and cannot; imported sources and other tools' pictures can.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from graftgan.errors import ImageSetError
from graftgan.tensors import PictureBytes

DARK = 32.0  # of 255: the mean of every channel of a dark region lies below
UNIFORM = 16.0  # of 255: the standard deviation inside a uniform region lies below
_STRIPS_PER_SIDE = 32  # a border strip is 1/32 of the side: 2 pixels of 64
_CORNERS_PER_SIDE = 8  # the legs of a corner triangle are 1/8 of the side: 8 pixels of 64
_MARGIN = 0.05  # a smaller excess of dark borders is no verdict
_STANDARD_ERRORS = 1.645  # one-sided 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakReport:
    """How many pictures have a uniform dark border strip or corner.

    Attributes:
        real_count: Real pictures looked at.
        real_dark: Those with a dark border.
        generated_count: Generated pictures looked at.
        generated_dark: Those with a dark border.
    """

    real_count: int
    real_dark: int
    generated_count: int
    generated_dark: int

    @property
    def real_share(self) -> float:
        """Share of real pictures with a dark border."""
        return self.real_dark / self.real_count

    @property
    def generated_share(self) -> float:
        """Share of generated pictures with a dark border."""
        return self.generated_dark / self.generated_count

    @property
    def leaking(self) -> bool:
        """Whether generated pictures have dark borders clearly more often than real ones.

        Clearly: the excess passes 5 percentage points and what 95 of 100 equal sets would show by
        chance. The standard error is that of Agresti and Caffo 2000, sound for a few pictures too.
        """
        variances = [
            _variance(self.real_dark, self.real_count),
            _variance(self.generated_dark, self.generated_count),
        ]
        excess = self.generated_share - self.real_share
        return excess > _MARGIN + _STANDARD_ERRORS * sqrt(sum(variances))

    def message(self) -> str:
        """Return one line: what was counted, and what to do about it."""
        counts = (
            f"{self.generated_dark} of {self.generated_count} generated pictures "
            f"({self.generated_share:.0%}) have a dark border, against {self.real_dark} of "
            f"{self.real_count} real ones ({self.real_share:.0%})"
        )
        if self.leaking:
            return (
                f"{counts}: an augmentation has leaked into the samples; lower its strength or "
                "probability, raise its fade_out, and look for borders in the source's samples"
            )
        return f"{counts}: no sign that an augmentation leaks"


def leak_report(real: PictureBytes, generated: PictureBytes) -> LeakReport:
    """Compare how often generated and real pictures have dark borders.

    Raises:
        ImageSetError: One of the two sets is empty.
    """
    for name, pictures in (("real", real), ("generated", generated)):
        if len(pictures) == 0:
            raise ImageSetError(f"a leak report needs pictures, but there are no {name} ones")
    return LeakReport(
        real_count=len(real),
        real_dark=int(has_dark_border(real).sum()),
        generated_count=len(generated),
        generated_dark=int(has_dark_border(generated).sum()),
    )


def has_dark_border(pictures: PictureBytes) -> Tensor:
    """Return (n,), true for pictures with a uniform dark strip at a side or triangle in a corner.

    The picture as a whole must not be one dark surface: that is no border.
    """
    values = pictures.float()
    regions = _border_regions(pictures.shape[-2], pictures.shape[-1], pictures.device)
    dark = torch.stack([_is_dark(values[:, :, region]) for region in regions])
    return dark.any(dim=0) & ~_is_dark(values.flatten(start_dim=2))


def _is_dark(values: Tensor) -> Tensor:
    """Return (n,) for the values (n, c, k) of a region: dark and uniform in every channel."""
    deviation, mean = torch.std_mean(values, dim=2, correction=0)
    return ((mean <= DARK) & (deviation <= UNIFORM)).all(dim=1)


def _border_regions(height: int, width: int, device: torch.device) -> list[Tensor]:
    """Return the masks (h, w) of four strips and four corner triangles."""
    y = torch.arange(height, device=device)[:, None].expand(height, width)
    x = torch.arange(width, device=device)[None, :].expand(height, width)
    top, left = y / height, x / width
    bottom, right = (height - 1 - y) / height, (width - 1 - x) / width
    strips = [distance < 1 / _STRIPS_PER_SIDE for distance in (top, bottom, left, right)]
    corners = [
        vertical + horizontal < 1 / _CORNERS_PER_SIDE
        for vertical in (top, bottom)
        for horizontal in (left, right)
    ]
    return strips + corners


def _variance(dark: int, count: int) -> float:
    share = (dark + 1) / (count + 2)
    return share * (1 - share) / (count + 2)
