"""A preview of an augmentation."""

from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from graftgan.core.errors import ImageSetError
from graftgan.core.network_types import PictureBytes, to_images, to_pictures
from graftgan.core.randomness import Randomness
from graftgan.training.augment.augmenter import (
    FIXED_PROBABILITY,
    POLICIES,
    AugmentationSettings,
    Augmenter,
)

HEADINGS = ("original", "augmented 1", "augmented 2")
_SMALLEST_SIDE = 128  # pixels; smaller pictures are enlarged
_MARGIN = 8
_HEADING_HEIGHT = 20


def preview_grid(
    pictures: PictureBytes, augmenter: Augmenter, *, rows: int, seed: int
) -> Image.Image:
    """Return a canvas with each picture beside two augmented versions, as table 2 of paper 001.

    Shows what the discriminator sees of the first ``rows`` of ``pictures`` (n, c, h, w) at the
    start of training; ``seed`` chooses the changes. Raises ImageSetError without pictures.
    """
    shown = pictures[:rows].cpu() if rows > 0 else pictures[:0]
    if len(shown) == 0:
        raise ImageSetError(f"nothing to preview: {len(pictures)} pictures and {rows} rows")
    columns = [shown]
    for step in range(1, len(HEADINGS)):
        rng = Randomness(seed).generator("preview", step)
        columns.append(to_pictures(augmenter.real(to_images(shown), rng, progress=0.0)))
    scale = max(1, -(-_SMALLEST_SIDE // min(shown.shape[-2:])))
    height, width = (side * scale for side in shown.shape[-2:])
    cell, top_row = (width + _MARGIN, height + _MARGIN), _MARGIN + _HEADING_HEIGHT
    size = (_MARGIN + cell[0] * len(columns), top_row + cell[1] * len(shown))
    canvas = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    for column, (heading, drawn) in enumerate(zip(HEADINGS, columns, strict=True)):
        left = _MARGIN + column * cell[0]
        pen.text((left, _MARGIN), heading, fill="black", font=font)
        for row, picture in enumerate(drawn.expand(-1, 3, -1, -1)):
            image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
            image = image.resize((width, height), Image.Resampling.NEAREST)
            canvas.paste(image, (left, top_row + row * cell[1]))
    return canvas


def settings_to_show(policy: str, settings: AugmentationSettings) -> AugmentationSettings:
    """Return the settings for a preview of ``policy``, or raise UnknownName.

    An adaptive probability usually starts at 0, where there is nothing to see; the fixed one of the
    same operations replaces it.
    """
    if POLICIES[policy].adaptive and settings.probability is None:
        return replace(settings, probability=FIXED_PROBABILITY)
    return settings
