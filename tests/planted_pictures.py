"""Pictures drawn by the tests, in which it is known what filters must find."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from graftgan.pictures.curation.filters.filter import PictureView, picture_view

SCENE = (480, 360)


def seen(image: Image.Image) -> PictureView:
    """Return a picture as filters see it."""
    return picture_view(image.convert("RGB"), image.size)


def scene(size: tuple[int, int] = SCENE, seed: int = 0) -> Image.Image:
    """Return leaves of many sizes and colours over each other: sharp, and without any meaning.

    Such "dead leaves" have edges and frequencies as photographs do (Lee, Mumford & Huang 2001).
    """
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    shorter = min(size)
    for _ in range(1500):
        radius = shorter * 0.4 * (1 - rng.random()) ** 3 + 1
        x, y = rng.random() * size[0], rng.random() * size[1]
        flat = 0.5 + rng.random() / 2
        box = (x - radius, y - radius * flat, x + radius, y + radius * flat)
        draw.ellipse(box, fill=tuple(int(level) for level in rng.integers(20, 236, 3)))
    return image


def gray_scene() -> Image.Image:
    """Return a scene without colours, in RGB."""
    return scene().convert("L").convert("RGB")


def blurred_scene(sigma: float = 3.0, size: tuple[int, int] = SCENE) -> Image.Image:
    """Return a scene that is out of focus; ``sigma`` in pixels."""
    return scene(size).filter(ImageFilter.GaussianBlur(sigma)) if sigma else scene(size)


def written(
    words: str = "SALE 50% OFF", *, height: int = 40, opacity: int = 255, turned: int = 0
) -> Image.Image:
    """Return a scene with white words across its middle, in the font that Pillow brings."""
    image = blurred_scene(2.0).convert("RGBA")
    layer = Image.new("RGBA", image.size)
    ImageDraw.Draw(layer).text(
        (image.width / 2, image.height / 2),
        words,
        font=ImageFont.load_default(size=height),
        fill=(255, 255, 255, opacity),
        stroke_width=max(1, height // 16),
        stroke_fill=(0, 0, 0, opacity),
        anchor="mm",
    )
    return Image.alpha_composite(image, layer).convert("RGB").rotate(turned, expand=True)


def drawn_face(side: int = 400) -> Image.Image:
    """Return a face from the front, of ellipses; it fills the square from 0.2 to 0.95."""
    image = Image.new("L", (side, side), 90)
    draw = ImageDraw.Draw(image)
    unit = side / 100

    def ellipse(left: float, top: float, right: float, bottom: float, level: int) -> None:
        draw.ellipse([left * unit, top * unit, right * unit, bottom * unit], fill=level)

    ellipse(20, 5, 80, 85, 40)  # hair
    ellipse(25, 14, 75, 95, 190)
    for x in (38, 62):
        ellipse(x - 9, 41, x + 9, 51, 140)
        ellipse(x - 6, 43, x + 6, 49, 225)
        ellipse(x - 3, 43, x + 3, 49, 30)
        brow = [(x - 10) * unit, 34 * unit, (x + 10) * unit, 46 * unit]
        draw.arc(brow, 200, 340, fill=50, width=max(1, int(3 * unit)))
    draw.polygon([(50 * unit, 46 * unit), (43 * unit, 66 * unit), (57 * unit, 66 * unit)], fill=170)
    ellipse(43, 63, 48, 67, 90)
    ellipse(52, 63, 57, 67, 90)
    ellipse(38, 74, 62, 82, 100)
    mouth = [38 * unit, 78 * unit, 62 * unit, 78 * unit]
    draw.line(mouth, fill=50, width=max(1, int(1.5 * unit)))
    return image.filter(ImageFilter.GaussianBlur(side / 100)).convert("RGB")


def with_face(side: int = 200, at: tuple[int, int] = (220, 80)) -> Image.Image:
    """Return a blurred scene with a drawn face whose square begins ``at`` (left, top)."""
    image = blurred_scene(6.0)
    image.paste(drawn_face(side), at)
    return image
