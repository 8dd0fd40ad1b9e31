"""Human faces, and where they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.core.errors import SettingsError
from graftgan.pictures.curation.filters.filter import (
    FILTERS,
    Filter,
    FilterFunction,
    PictureView,
    Tools,
    load_package,
)

_SMALLEST = 0.1  # of a face's longer side over the picture's shorter one
_HOG_LONGEST = 800  # pixels: the detector finds faces of 80 or more
_HOG_MARGIN = 0.1  # of the longer side, so that a face may touch the edge
_HOG_LOWEST = -0.5  # the score of the weakest detection; dlib's own threshold is 0
_HOG_STEEPNESS = 4.0  # of the curve that maps its scores to 0 to 1
_YUNET_LONGEST = (320, 192)  # pixels: for wide scenes, and for faces that fill the picture
_YUNET_STRIDES = (8, 16, 32)  # of its three maps, in pixels
_YUNET_LOWEST = 0.3
_YUNET_SURE = 3.5  # the power that maps 0.82, which separates faces from fur best, to 0.5
_OVERLAP = 0.3  # intersection over union from which on two boxes are the same face

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in shares of the picture's width and height, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face."""

    box: Box  # from the brow to the chin
    score: float  # confidence, 0 to 1; the default threshold is 0.5


FaceFinder = Callable[[PictureView], tuple[Face, ...]]
"""Returns the faces of a picture, the clearest first."""


def build_face_finder(tools: Tools) -> FaceFinder:
    """Return the face detector: YuNet if its file is given, otherwise that of dlib.

    Raises:
        SettingsError: The package is missing, or the file is not a YuNet.
    """
    return _hog() if tools.face_detector is None else _yunet(tools.face_detector)


def clearest_face(view: PictureView, faces: Sequence[Face]) -> float:
    """Return the score of the clearest face that is not too small; 0: there is none."""
    shorter = min(view.width, view.height)
    scores = [0.0]
    for face in faces:
        left, top, right, bottom = face.box
        if max((right - left) * view.width, (bottom - top) * view.height) >= _SMALLEST * shorter:
            scores.append(face.score)
    return max(scores)


def build_face(tools: Tools) -> FilterFunction:
    """Return a measure of the clearest face; raises as :func:`build_face_finder` does."""
    find = build_face_finder(tools)
    return lambda view: clearest_face(view, find(view))


def _hog() -> FaceFinder:
    """Return dlib's detector: histograms of oriented gradients, an image pyramid, an SVM.

    Source: Dalal & Triggs 2005, "Histograms of oriented gradients for human detection"; King 2015,
    "Max-margin object detection" (arXiv:1502.00046). Its scores s are mapped by a logistic curve,
    1 / (1 + exp(-4 s)), so that its own threshold of 0 becomes 0.5.
    """
    dlib = load_package("dlib", needed_by="face", needs="dlib-bin, which is")
    detector = dlib.get_frontal_face_detector()

    def find(view: PictureView) -> tuple[Face, ...]:
        gray = _scaled(view, _HOG_LONGEST).convert("L")
        margin = round(_HOG_MARGIN * max(gray.size))
        padded = np.pad(np.asarray(gray, dtype=np.uint8), margin, mode="edge")
        found, scores, _ = detector.run(np.ascontiguousarray(padded), 0, _HOG_LOWEST)
        faces: list[Face] = []
        for one, score in zip(found, scores, strict=True):
            ends = (one.left(), one.top(), one.right() + 1, one.bottom() + 1)
            box = _in_shares([end - margin for end in ends], gray.size)
            faces.append(Face(box, float(1 / (1 + np.exp(-_HOG_STEEPNESS * score)))))
        return _clearest_first(faces)

    return find


def _yunet(path: Path) -> FaceFinder:
    """Return the detector in a YuNet file.

    Source: Wu, Peng & Yu 2023, "YuNet: a tiny millisecond-level face detector". Each of three maps
    gives for each of its cells the confidence of a face (the root of the product of objectness and
    class), its centre, and the logarithm of its size in cells.
    """
    runtime = load_package("onnxruntime", needed_by="face", needs="onnxruntime, which is")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the package's own exceptions have no common base
        raise SettingsError(f"{path} is not an ONNX file that can be run: {error}") from None
    names = [output.name for output in session.get_outputs()]
    if {f"{kind}_{step}" for kind in ("cls", "obj", "bbox") for step in _YUNET_STRIDES} - {*names}:
        raise SettingsError(
            f"{path} is not a YuNet file: its outputs are {', '.join(names)}; take a "
            "face_detection_yunet file of the year 2023 or later"
        )
    taken = session.get_inputs()[0]
    side = taken.shape[-1] if isinstance(taken.shape[-1], int) else max(_YUNET_LONGEST)

    def find(view: PictureView) -> tuple[Face, ...]:
        faces: list[Face] = []
        for longest in _YUNET_LONGEST:
            canvas, placed = _on_canvas(view, min(longest, side), side)
            maps = dict(zip(names, session.run(names, {taken.name: canvas}), strict=True))
            faces += decoded(maps, side, placed)
        return _clearest_first(faces)

    return find


def decoded(maps: dict[str, NDArray[np.float32]], side: int, placed: Box) -> list[Face]:
    """Return the faces in the outputs of YuNet above a low score, one for each cell that saw one.

    ``maps`` are ``cls_S`` and ``obj_S`` (1, cells, 1) and ``bbox_S`` (1, cells, 4) for each stride;
    ``side`` is that of the square input in pixels, and ``placed`` the place of the picture in it:
    left, top, width and height.
    """
    left, top, width, height = placed
    faces: list[Face] = []
    for stride in _YUNET_STRIDES:
        sure = np.clip(maps[f"cls_{stride}"], 0, 1) * np.clip(maps[f"obj_{stride}"], 0, 1)
        scores = np.sqrt(sure[0, :, 0])
        for cell in np.flatnonzero(scores > _YUNET_LOWEST):
            row, column = divmod(int(cell), side // stride)
            across, down, wide, high = (float(value) for value in maps[f"bbox_{stride}"][0, cell])
            x, y = (column + across) * stride, (row + down) * stride
            half = np.exp([wide, high]) * stride / 2
            ends = (x - half[0] - left, y - half[1] - top, x + half[0] - left, y + half[1] - top)
            box = _in_shares(ends, (width, height))
            faces.append(Face(box, float(scores[cell] ** _YUNET_SURE)))
    return faces


def _in_shares(ends: Sequence[float], size: tuple[float, float]) -> Box:
    (left, top, right, bottom), (width, height) = ends, size
    return (left / width, top / height, right / width, bottom / height)


def _on_canvas(view: PictureView, longest: int, side: int) -> tuple[NDArray[np.float32], Box]:
    """Return the picture in the middle of a black square, BGR, and its place in the square."""
    small = _scaled(view, longest)
    left, top = (side - small.width) // 2, (side - small.height) // 2
    canvas = Image.new("RGB", (side, side))
    canvas.paste(small, (left, top))
    planes = np.asarray(canvas, dtype=np.float32)[..., ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None]), (left, top, small.width, small.height)


def _scaled(view: PictureView, longest: int) -> Image.Image:
    """Return the picture with its longer side at ``longest`` pixels, enlarged if necessary."""
    small = view.shrunk(longest)
    if max(small.size) == longest:
        return small
    scale = longest / max(small.size)
    width, height = (max(1, round(length * scale)) for length in small.size)
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _clearest_first(faces: Sequence[Face]) -> tuple[Face, ...]:
    """Return each face once, by its clearest box, clipped to the picture."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        left, top, right, bottom = (min(1.0, max(0.0, value)) for value in face.box)
        box = (left, top, right, bottom)
        if left < right and top < bottom and all(_shared(box, k.box) < _OVERLAP for k in kept):
            kept.append(Face(box, face.score))
    return tuple(kept)


def _shared(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (sum(areas) - shared)


FILTERS.register("face")(
    Filter(
        found="has a face",
        missing="has no face",
        score="confidence of the clearest face",
        side="at_least",
        threshold=0.5,
        dear=True,
        build=build_face,
    )
)
