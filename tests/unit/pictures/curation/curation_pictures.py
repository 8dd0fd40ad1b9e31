"""Raw pictures whose faults are known, drawn by numbers alone."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIDE = 300


def texture(seed: int, *, width: int = SIDE, height: int = SIDE) -> Image.Image:
    """A colourful sharp picture that is like no other."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(7, 7, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 18, size=(height, width, 3))
    return Image.fromarray(np.clip(np.asarray(large) + noise, 0, 255).astype(np.uint8))


def framed(image: Image.Image, width: int) -> Image.Image:
    sheet = Image.new("RGB", (image.width + 2 * width, image.height + 2 * width), "white")
    sheet.paste(image, (width, width))
    return sheet


def with_logo(image: Image.Image) -> Image.Image:
    """Flat bars over half of the picture, as a screen or a poster has them."""
    pixels = np.array(image)
    for i, row in enumerate(range(20, 260, 24)):
        pixels[row : row + 12, 30:270] = (200, 40, 40) if i % 2 else (30, 60, 190)
        pixels[row + 12 : row + 24, 30:270] = (240, 230, 90)
    return Image.fromarray(pixels)


def write_raw(folder: Path) -> dict[str, str]:
    """Write pictures; return what is wrong with each by name, '' for the good ones."""
    folder.mkdir(parents=True)
    good = {f"good_{i}.png": texture(i) for i in range(6)}
    bad = {
        "small.png": ("small", texture(10, width=200)),
        "long.png": ("elongated", texture(11, width=900)),
        "gray.png": ("gray", texture(12).convert("L").convert("RGB")),
        "blurred.png": ("blurred", texture(13).filter(ImageFilter.GaussianBlur(6))),
        "framed.png": ("border", framed(texture(14), 20)),
        "poster.png": ("overlay", with_logo(texture(15))),
        "again.jpg": ("duplicate", texture(0).resize((280, 280), Image.Resampling.LANCZOS)),
    }
    for name, image in good.items():
        image.save(folder / name)
    for name, (_, image) in bad.items():
        image.save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    faults = dict.fromkeys(good, "") | {name: fault for name, (fault, _) in bad.items()}
    return faults | {"broken.jpg": "unusable"}


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
