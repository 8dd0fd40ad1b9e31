"""Write the clean set: the kept pictures, whole or cut to squares, and where they come from.

A square is cut around the subject of a picture: its face, or its most salient part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.core.errors import ImageSetError
from graftgan.core.files import write_jsonl, written_whole
from graftgan.core.provenance import MANIFEST, Origin
from graftgan.pictures.curation.decisions import Verdict
from graftgan.pictures.curation.filters.face import Face, FaceFinder
from graftgan.pictures.curation.filters.filter import picture_view
from graftgan.pictures.decode import decode_whole, file_of, reasons_for_failure
from graftgan.pictures.members import Content, Unusable, numbered

_PICTURES = "pictures"
_DECISIONS = "decisions.jsonl"
_SIDE = 64  # pixels of the saliency map
_SMOOTHED = 2.5  # pixels
_TO_THE_MIDDLE = 0.3  # how much more the middle weighs than the ends

Cut = Callable[[Image.Image], Image.Image]
"""Makes a square of a picture."""


def write_clean_set(
    verdicts: Sequence[Verdict],
    out: Path,
    *,
    read: Callable[[str], Content],
    origins: Mapping[str, Origin],
    cut: Cut | None,
    progress: Callable[[int, int], None],
) -> None:
    """Write the kept pictures, their manifest, and every decision into ``out``.

    A picture keeps its bytes, unless it is cut, which makes it a PNG. The folder of pictures
    replaces that of an earlier curation in one step; manifest and decisions follow.

    Raises:
        RunError: ``out`` cannot be written.
        ImageSetError: A picture has changed meanwhile.
    """
    kept = [verdict for verdict in verdicts if verdict.kept]
    places = _places([verdict.name for verdict in kept], pixels=cut is not None)
    with written_whole(out / _PICTURES) as partial:
        partial.mkdir()
        for done, verdict in enumerate(kept, start=1):
            target = partial / places[verdict.name]
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with reasons_for_failure():
                    content = read(verdict.name)
                    image = None if cut is None else decode_whole(content).image
            except Unusable as reason:
                raise ImageSetError(
                    f"{verdict.name} has changed while it was curated ({reason}); run it again"
                ) from None
            if cut is None or image is None:
                target.write_bytes(file_of(content))
            else:
                cut(image).save(target, "PNG")
            progress(done, len(kept))
    lines = (
        {
            "name": f"{_PICTURES}/{places[verdict.name]}",
            "from": verdict.name,
            "sha256": verdict.record.sha256,
            "size": list(verdict.record.size),
            **origins.get(verdict.name, Origin()).as_line(),
        }
        for verdict in kept
    )
    write_jsonl(out / MANIFEST, lines)
    decisions = (
        {
            "name": verdict.name,
            "kept": verdict.kept,
            "overruled": verdict.overruled,
            "reasons": [asdict(reason) for reason in verdict.reasons],
            "scores": dict(verdict.scores),
        }
        for verdict in verdicts
    )
    write_jsonl(out / _DECISIONS, decisions)


def _places(names: Sequence[str], *, pixels: bool) -> dict[str, str]:
    """Return the path of each picture, always inside the folder of pictures."""
    places: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        parts = [p for p in PurePosixPath(name).parts if p not in {"..", ".", "/"}]
        if len(parts) > 1 and parts[0] == _PICTURES:  # as `collect` lays them out
            parts = parts[1:]
        path = PurePosixPath(*parts)
        if pixels or not path.suffix:
            path = path.with_suffix(".png") if path.suffix else path.with_name(f"{path.name}.png")
        # Some file systems ignore case.
        place = next(one for one in numbered(str(path)) if one.lower() not in taken)
        taken.add(place.lower())
        places[name] = place
    return places


def cut_square(
    image: Image.Image, *, side: int | None = None, find_faces: FaceFinder | None = None
) -> Image.Image:
    """Return the square around the subject of an upright RGB picture.

    A square larger than ``side`` is shrunk to that many pixels. With ``find_faces`` the square is
    around the clearest face, if there is one.
    """
    faces = find_faces(picture_view(image, image.size)) if find_faces is not None else ()
    box = square_around_face(image.size, faces[0]) if faces else square_around_subject(image)
    square = image.crop(box)
    if side is not None and square.width > side:
        square = square.resize((side, side), Image.Resampling.LANCZOS)
    return square


def square_around_subject(image: Image.Image) -> tuple[int, int, int, int]:
    """Return the largest square (left, top, right, bottom) in pixels around the most salient part.

    It maximises the sum of the saliency along the longer side, with a small bias to the middle.
    """
    width, height = image.size
    side, longer = min(width, height), max(width, height)
    if width == height:
        return 0, 0, side, side
    along = _saliency(image).sum(axis=0 if width > height else 1)
    positions = np.linspace(-1, 1, len(along))
    along = along / along.sum() + _TO_THE_MIDDLE * (1 - positions**2) / len(along)
    window = max(1, round(len(along) * side / longer))
    sums = np.convolve(along, np.ones(window), mode="valid")
    best = np.flatnonzero(sums >= sums.max() - 1e-12)
    middle = best[np.abs(best - (len(sums) - 1) / 2).argmin()]
    return _square_at(round(float(middle) / max(1, len(sums) - 1) * (longer - side)), image.size)


def square_around_face(size: tuple[int, int], face: Face) -> tuple[int, int, int, int]:
    """Return the largest square in a picture of ``size`` with the face nearest to its middle."""
    width, height = size
    left, top, right, bottom = face.box
    middle = (left + right) / 2 * width if width > height else (top + bottom) / 2 * height
    longer, side = max(size), min(size)
    return _square_at(min(max(0, round(middle - side / 2)), longer - side), size)


def _square_at(start: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the largest square that begins at ``start`` along the longer side."""
    width, height = size
    end = start + min(size)
    return (start, 0, end, height) if width > height else (0, start, width, end)


def _saliency(image: Image.Image) -> NDArray[np.float64]:
    """Return the saliency of a picture, float64 (64, 64), more than 0.

    Source: Hou and Zhang, "Saliency detection: a spectral residual approach", CVPR 2007, eq. 2-5:
    the log spectrum minus its local mean, transformed back. Differs: the paper leaves the width of
    the smoothing open; here it is a Gaussian that wraps around the edges.
    """
    gray = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    spectrum = np.fft.fft2(np.asarray(gray, dtype=np.float64))
    logarithm = np.log(np.abs(spectrum) + 1e-9)
    padded = np.pad(logarithm, 1, mode="wrap")
    mean = sum(padded[i : i + _SIDE, j : j + _SIDE] for i in range(3) for j in range(3)) / 9
    phase = np.angle(spectrum)
    place = np.abs(np.fft.ifft2(np.exp(logarithm - mean + 1j * phase))) ** 2
    gauss = np.exp(-2 * (np.pi * _SMOOTHED * np.fft.fftfreq(_SIDE)) ** 2)
    smooth = np.fft.ifft2(np.fft.fft2(place) * gauss[:, None] * gauss[None, :]).real
    return np.maximum(smooth, 0.0) + 1e-12
