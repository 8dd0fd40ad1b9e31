"""What the Inception's extractor says of itself (its weights: ``test_published_weights.py``)."""

import hashlib
from pathlib import Path

import pytest
import torch

from graftgan.core.errors import UnknownName
from graftgan.metrics.extractors.inception import Inception, inception_extractor


def test_the_resize_protocol_brings_its_range(tmp_path: Path):
    path = tmp_path / "own.pth"
    torch.save(Inception().state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = inception_extractor(path, expected_sha256=sha256, resize="pytorch_fid")
    assert extractor.describe() == {
        "extractor": f"inception_{sha256[:8]}",
        "weights_sha256": sha256,
        "view": "pixels",
        "resize": "pytorch_fid",
        "side": 299,
        "pixels": "minus_one_one",
    }
    with pytest.raises(UnknownName, match="clean_fid"):
        inception_extractor(path, expected_sha256=sha256, resize="clean")
