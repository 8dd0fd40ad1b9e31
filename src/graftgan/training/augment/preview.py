"""See what an augmentation does before training on it."""

from dataclasses import replace

import torch
from PIL import Image, ImageDraw, ImageFont

from graftgan.core.errors import ImageSetError
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import PictureBytes, to_images, to_pictures
from graftgan.training.augment.augmenter import Augmenter
from graftgan.training.augment.policies import FIXED_PROBABILITY, POLICIES
from graftgan.training.augment.settings import AugmentationSettings

HEADINGS = ("original", "augmented 1", "augmented 2")
_SMALLEST_SIDE = 128  # pixels; smaller pictures are enlarged
_MARGIN = 8
_HEADING_HEIGHT = 20


def preview_grid(
    pictures: PictureBytes, augmenter: Augmenter, *, rows: int, seed: int
) -> Image.Image:
    """Return a canvas with each picture beside two augmented versions, as table 2 of paper 001.

    Shows what the discriminator sees of real pictures at the start of training.

    Args:
        pictures: The image set (n, c, h, w); its first ``rows`` pictures are shown, or all.
        augmenter: What to show.
        rows: How many pictures to show.
        seed: Choose the random changes.

    Raises:
        ImageSetError: There is no picture or no row to show.
    """
    shown = pictures[:rows].cpu() if rows > 0 else pictures[:0]
    if len(shown) == 0:
        raise ImageSetError(f"nothing to preview: {len(pictures)} pictures and {rows} rows")
    columns = [shown]
    for step in range(1, len(HEADINGS)):
        rng = Randomness(seed).generator("preview", step)
        columns.append(to_pictures(augmenter.real(to_images(shown), rng, progress=0.0)))
    return _draw_sheet(columns)


def settings_to_show(policy: str, settings: AugmentationSettings) -> AugmentationSettings:
    """Return the settings under which a canvas shows what ``policy`` does.

    An adaptive probability usually starts at 0, where there is nothing to see: in its place stands
    the one at which the same operations are usually fixed.

    Raises:
        UnknownName: There is no such policy.
    """
    if POLICIES[policy].adaptive and settings.probability is None:
        return replace(settings, probability=FIXED_PROBABILITY)
    return settings


def _draw_sheet(columns: list[PictureBytes]) -> Image.Image:
    height, width = columns[0].shape[-2:]
    scale = max(1, -(-_SMALLEST_SIDE // min(height, width)))
    cell = (width * scale + _MARGIN, height * scale + _MARGIN)
    size = (
        _MARGIN + cell[0] * len(columns),
        _MARGIN + _HEADING_HEIGHT + cell[1] * len(columns[0]),
    )
    canvas = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default()
    for column, (heading, pictures) in enumerate(zip(HEADINGS, columns, strict=True)):
        left = _MARGIN + column * cell[0]
        pen.text((left, _MARGIN), heading, fill="black", font=font)
        for row, picture in enumerate(pictures):
            top = _MARGIN + _HEADING_HEIGHT + row * cell[1]
            canvas.paste(_to_pillow(picture, scale), (left, top))
    return canvas


def _to_pillow(picture: torch.Tensor, scale: int) -> Image.Image:
    """Return one picture (c, h, w) as RGB, every pixel enlarged to a square."""
    channels, height, width = picture.shape
    colours = picture.expand(3, height, width) if channels == 1 else picture
    image = Image.fromarray(colours.permute(1, 2, 0).contiguous().numpy())
    return image.resize((width * scale, height * scale), Image.Resampling.NEAREST)
