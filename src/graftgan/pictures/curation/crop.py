"""Cut a square around what a picture shows."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.pictures.curation.filters.face import Face, FaceFinder
from graftgan.pictures.curation.view import picture_view

_SIDE = 64  # pixels at which one looks for what stands out
_SMOOTHED = 2.5  # pixels
_TO_THE_MIDDLE = 0.3  # of the weight that the middle has over the ends, where nothing stands out


def square_around_subject(image: Image.Image) -> tuple[int, int, int, int]:
    """Return the largest square (left, top, right, bottom) in pixels that holds what stands out.

    It lies where along the longer side the sum of the saliency is largest, the middle preferred
    a little.
    """
    width, height = image.size
    side = min(width, height)
    if width == height:
        return 0, 0, side, side
    along = saliency(image).sum(axis=0 if width > height else 1)
    positions = np.linspace(-1, 1, len(along))
    along = along / along.sum() + _TO_THE_MIDDLE * (1 - positions**2) / len(along)
    longer = max(width, height)
    window = max(1, round(len(along) * side / longer))
    sums = np.convolve(along, np.ones(window), mode="valid")
    best = np.flatnonzero(sums >= sums.max() - 1e-12)
    middle = best[np.abs(best - (len(sums) - 1) / 2).argmin()]
    start = round(float(middle) / max(1, len(sums) - 1) * (longer - side))
    return (start, 0, start + side, side) if width > height else (0, start, side, start + side)


def square_around_face(size: tuple[int, int], face: Face) -> tuple[int, int, int, int]:
    """Return the largest square in a picture of ``size``, the face as near its middle as can be."""
    width, height = size
    left, top, right, bottom = face.box
    middle = (left + right) / 2 * width if width > height else (top + bottom) / 2 * height
    longer, side = max(size), min(size)
    start = min(max(0, round(middle - side / 2)), longer - side)
    return (start, 0, start + side, side) if width > height else (0, start, side, start + side)


def cut_square(
    image: Image.Image, *, side: int | None = None, find_faces: FaceFinder | None = None
) -> Image.Image:
    """Return the square around what a picture shows.

    Args:
        image: Upright, RGB.
        side: A larger square is shrunk to so many pixels.
        find_faces: With it, the square is around the clearest face, where there is one.
    """
    faces = find_faces(picture_view(image, image.size)) if find_faces is not None else ()
    box = square_around_face(image.size, faces[0]) if faces else square_around_subject(image)
    square = image.crop(box)
    if side is not None and square.width > side:
        square = square.resize((side, side), Image.Resampling.LANCZOS)
    return square


def saliency(image: Image.Image) -> NDArray[np.float64]:
    """Return how much each place of a picture stands out, float64 (64, 64), more than 0.

    Source: Hou and Zhang, "Saliency detection: a spectral residual approach", CVPR 2007, eq. 2-5:
    what is left of the logarithm of the spectrum without its local mean, back in the picture.
    Differs: none but the smoothing, whose width the paper leaves open.
    """
    gray = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    spectrum = np.fft.fft2(np.asarray(gray, dtype=np.float64))
    logarithm = np.log(np.abs(spectrum) + 1e-9)
    padded = np.pad(logarithm, 1, mode="wrap")
    mean = sum(padded[i : i + _SIDE, j : j + _SIDE] for i in range(3) for j in range(3)) / 9
    phase = np.angle(spectrum)
    place = np.abs(np.fft.ifft2(np.exp(logarithm - mean + 1j * phase))) ** 2
    return _smoothed(place) + 1e-12


def _smoothed(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``place`` under a Gaussian; what leaves on one side comes in on the other."""
    frequencies = np.fft.fftfreq(_SIDE)
    gauss = np.exp(-2 * (np.pi * _SMOOTHED * frequencies) ** 2)
    smooth = np.fft.ifft2(np.fft.fft2(place) * gauss[:, None] * gauss[None, :]).real
    return np.maximum(smooth, 0.0)
