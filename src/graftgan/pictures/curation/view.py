"""One decoded picture, as every filter looks at it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST = 1024
"""Pixels of the longer side that filters see; a larger picture is shrunk once, for all of them."""
Plane = NDArray[np.uint8]
"""Brightness (height, width)."""


@dataclass(frozen=True, slots=True)
class PictureView:
    """A picture that was decoded once, however many filters look at it.

    Attributes:
        image: Upright, RGB, the longer side at most ``LONGEST``.
        width: In the file, in pixels, upright.
        height: In the file, in pixels, upright.
    """

    image: Image.Image
    width: int
    height: int
    _scaled: dict[int, Image.Image] = field(default_factory=dict[int, Image.Image], repr=False)

    def shrunk(self, longest: int) -> Image.Image:
        """Return the picture in RGB with its longer side at most ``longest`` pixels."""
        if longest >= max(self.image.size):
            return self.image
        if longest not in self._scaled:
            small = self.image.copy()
            small.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
            self._scaled[longest] = small
        return self._scaled[longest]

    def gray(self, longest: int) -> Plane:
        """Return its brightness with the longer side at most ``longest`` pixels."""
        return np.asarray(self.shrunk(longest).convert("L"), dtype=np.uint8)

    def pixels(self, longest: int) -> NDArray[np.uint8]:
        """Return uint8 (height, width, 3) with the longer side at most ``longest`` pixels."""
        return np.asarray(self.shrunk(longest), dtype=np.uint8)


def picture_view(image: Image.Image, size: tuple[int, int]) -> PictureView:
    """Return the view of a decoded RGB picture whose file has ``size`` (width, height)."""
    width, height = size
    if (image.width > image.height) != (width > height):  # the file lies on its side
        width, height = height, width
    if max(image.size) > LONGEST:
        image = image.copy()
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return PictureView(image, width, height)
