"""The extractor with the FID's Inception and its published weights."""

from pathlib import Path

from graftgan.core.progress import CountProgress
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.inception import DIMENSION, SIDE, load_inception
from graftgan.metrics.extractors.published_weights import PublishedWeights, read_weights
from graftgan.metrics.extractors.resize import resize_protocol

INCEPTION = PublishedWeights(
    extractor="inception",
    network="Inception",
    distance="FID",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    variable="GRAFTGAN_INCEPTION",
)


def inception_extractor(
    weights: Path | None = None,
    *,
    expected_sha256: str = INCEPTION.sha256,
    resize: str = "clean_fid",
    progress: CountProgress | None = None,
) -> Extractor:
    """Return the extractor "inception": features (n, 2048) and logits (n, 1008).

    Args:
        weights: Their file; without it they are searched, then downloaded.
        expected_sha256: Of the file. Other weights than the published ones make an extractor named
            "inception_<first 8 digits>", whose distance must not be called FID.
        resize: The protocol: clean_fid, pytorch_fid or torch_fidelity.
        progress: Called with (bytes done, bytes in all) while downloading.

    Raises:
        ScoreError: The weights are missing and cannot be downloaded, or are not those expected.
        CheckpointError: The file holds the tensors of another network.
        UnknownName: There is no such resize protocol.
    """
    protocol = resize_protocol(resize)
    path = INCEPTION.find(weights, expected_sha256=expected_sha256, progress=progress)
    return Extractor(
        name=INCEPTION.extractor_with(expected_sha256),
        weights_sha256=expected_sha256,
        resize=protocol,
        side=SIDE,
        pixels=protocol.pixels,
        dimension=DIMENSION,
        has_logits=True,
        network=load_inception(read_weights(path)),
    )
