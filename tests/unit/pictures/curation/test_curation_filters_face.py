"""Faces are found where they are, by what a package brings and by a file of YuNet."""

import math
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from graftgan.core.errors import SettingsError
from graftgan.pictures.curation.filters import FILTERS, Tools
from graftgan.pictures.curation.filters.face import (
    Face,
    build_face,
    build_face_finder,
    clearest_face,
    decoded,
)
from planted_pictures import blurred_scene, drawn_face, scene, seen, with_face

THRESHOLD = FILTERS["face"].threshold
STRIDES = (8, 16, 32)


def test_a_face_is_found_where_it_is():
    faces = build_face_finder(Tools())(seen(with_face(200, at=(220, 80))))
    assert len(faces) == 1
    assert faces[0].score > THRESHOLD
    left, top, right, bottom = faces[0].box  # in a scene of 480 x 360
    assert 220 / 480 < (left + right) / 2 < 420 / 480
    assert 80 / 360 < (top + bottom) / 2 < 280 / 360
    assert 0.5 * 200 / 480 < right - left < 200 / 480
    assert 0.5 * 200 / 360 < bottom - top < 200 / 360


@pytest.mark.parametrize("at", [(-20, 60), (310, 60), (140, 175)], ids=["left", "right", "bottom"])
def test_a_face_at_the_edge_is_found(at: tuple[int, int]):
    image = with_face(200, at=at)
    assert build_face(Tools())(seen(image)) > THRESHOLD


def test_boxes_stay_in_the_picture():
    faces = build_face_finder(Tools())(seen(with_face(300, at=(-40, 60))))
    assert faces
    assert all(0 <= value <= 1 for face in faces for value in face.box)


def test_the_clearest_face_comes_first_and_each_once():
    image = blurred_scene(6.0, (900, 400))
    image.paste(drawn_face(300), (20, 50))
    image.paste(drawn_face(180), (600, 100))
    faces = build_face_finder(Tools())(seen(image))
    assert len([face for face in faces if face.score > THRESHOLD]) == 2
    assert [face.score for face in faces] == sorted((f.score for f in faces), reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_leaves_are_no_faces(seed: int):
    assert build_face(Tools())(seen(scene(seed=seed))) < THRESHOLD


def test_a_face_that_is_too_small_does_not_count():
    view = seen(Image.new("RGB", (1000, 400)))  # from 40 px on
    small, large = Face((0.1, 0.1, 0.135, 0.19), 0.9), Face((0.5, 0.5, 0.53, 0.62), 0.7)
    assert clearest_face(view, []) == 0
    assert clearest_face(view, [small]) == 0  # 35 x 36 px
    assert clearest_face(view, [small, large]) == 0.7  # 30 x 48 px


def empty_maps(side: int) -> dict[str, np.ndarray]:
    maps: dict[str, np.ndarray] = {}
    for stride in STRIDES:
        cells = (side // stride) ** 2
        maps |= {f"{kind}_{stride}": np.zeros((1, cells, 1), np.float32) for kind in ("cls", "obj")}
        maps[f"bbox_{stride}"] = np.zeros((1, cells, 4), np.float32)
    return maps


def test_the_maps_of_yunet_are_decoded():
    maps = empty_maps(320)
    cell = 3 * 20 + 7  # row 3, column 7 of the map with 20 x 20 cells of 16 px
    maps["cls_16"][0, cell], maps["obj_16"][0, cell] = 0.81, 1.5  # more than 1 counts as 1
    maps["bbox_16"][0, cell] = (0.5, -0.25, math.log(4), math.log(6))
    maps["cls_8"][0, 5], maps["obj_8"][0, 5] = 0.2, 0.2  # 0.2 is too low
    (face,) = decoded(maps, 320, placed=(0, 40, 320, 240))
    assert face.score == pytest.approx(0.9**3.5)
    # Its centre is at (7.5, 2.75) cells, so at (120, 44) px, and it is 64 x 96 px large.
    assert face.box == pytest.approx((88 / 320, -44 / 240, 152 / 320, 52 / 240))


def detector_file(path: Path, maps: dict[str, np.ndarray], side: int) -> Path:
    """Write a program that answers with these maps to any picture that is not black."""
    nodes = [helper.make_node("ReduceMax", ["input"], ["level"], keepdims=0)]
    nodes += [helper.make_node("Greater", ["level", "nothing"], ["light"])]
    nodes += [helper.make_node("Cast", ["light"], ["on"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("Mul", [f"{name}.value", "on"], [name]) for name in maps]
    constants = [numpy_helper.from_array(value, f"{name}.value") for name, value in maps.items()]
    constants.append(numpy_helper.from_array(np.float32(0), "nothing"))
    described = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        for name, value in maps.items()
    ]
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, side, side))
    graph = helper.make_graph(nodes, "faces", [taken], described, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_file_of_yunet_is_used(tmp_path: Path):
    maps = empty_maps(320)
    cell = 5 * 10 + 5  # of 32 px, so its corner is the middle of the square
    maps["cls_32"][0, cell] = maps["obj_32"][0, cell] = 0.9
    maps["bbox_32"][0, cell] = (0, 0, math.log(2), math.log(2))  # 64 px
    path = detector_file(tmp_path / "yunet.onnx", maps, 320)
    find = build_face_finder(Tools(face_detector=path))
    assert find(seen(Image.new("RGB", (640, 320)))) == ()
    # Looked at with its longer side at 320 and at 192 px: one place, two sizes that overlap by
    # 0.36 of their union, so one face, in the middle of a picture twice as wide as high.
    (face,) = find(seen(Image.new("RGB", (640, 320), "white")))
    assert face.box == pytest.approx((0.4, 0.3, 0.6, 0.7), abs=1e-6)
    assert build_face(Tools(face_detector=path))(seen(scene())) == pytest.approx(0.9**3.5)


def test_a_file_that_is_no_detector_is_refused(tmp_path: Path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(SettingsError, match="not an ONNX file"):
        build_face_finder(Tools(face_detector=broken))
    other = detector_file(tmp_path / "other.onnx", {"loc": np.ones((1, 4), np.float32)}, 320)
    with pytest.raises(SettingsError, match="not a YuNet file: its outputs are loc"):
        build_face_finder(Tools(face_detector=other))


@pytest.mark.parametrize(
    ("package", "tools"),
    [("dlib", Tools()), ("onnxruntime", Tools(face_detector=Path("yunet.onnx")))],
)
def test_a_missing_package_is_said(package: str, tools: Tools, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r'pip install "graftgan\[curate\]"'):
        build_face(tools)
