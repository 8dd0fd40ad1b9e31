"""The weights of the FID's Inception: found on disk, or downloaded once and checked."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from graftgan.errors import RunError, ScoreError
from graftgan.files import cache_home, written_whole
from graftgan.metrics.extractors.extractor import Extractor, Progress
from graftgan.metrics.extractors.inception import DIMENSION, SIDE, load_inception
from graftgan.metrics.extractors.resize import resize_protocol

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE_NAME}"
OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "GRAFTGAN_INCEPTION"

_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 20  # bytes
_OTHER_WEIGHTS = (
    "give that file; from Python others do with their own expected_sha256, but not as FID"
)


def inception_extractor(
    weights: Path | None = None,
    *,
    expected_sha256: str = OFFICIAL_SHA256,
    resize: str = "clean_fid",
    progress: Progress | None = None,
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
        UnknownName: There is no such resize protocol.
    """
    protocol = resize_protocol(resize)
    path = find_weights(weights, expected_sha256=expected_sha256, progress=progress)
    official = expected_sha256 == OFFICIAL_SHA256
    return Extractor(
        name="inception" if official else f"inception_{expected_sha256[:8]}",
        weights_sha256=expected_sha256,
        resize=protocol,
        side=SIDE,
        pixels=protocol.pixels,
        dimension=DIMENSION,
        has_logits=True,
        network=load_inception(published_weights(path)),
    )


def find_weights(
    given: Path | None = None,
    *,
    expected_sha256: str = OFFICIAL_SHA256,
    url: str = URL,
    progress: Progress | None = None,
) -> Path:
    """Return a checked weight file: ``given``, $GRAFTGAN_INCEPTION, the cache's, or ``url``'s.

    Raises:
        ScoreError: There is none and it cannot be downloaded, or it has another sha256.
    """
    variable = os.environ.get(VARIABLE)
    chosen = given or (Path(variable).expanduser() if variable else None)
    if chosen is not None:
        if not chosen.is_file():
            origin = "" if given else f" (from ${VARIABLE})"
            raise ScoreError(f"there is no file of Inception weights {chosen}{origin}")
        _check_sha256(chosen, expected_sha256, what=str(chosen), advice=_OTHER_WEIGHTS)
        return chosen
    if url == URL and expected_sha256 != OFFICIAL_SHA256:
        raise ScoreError(f"no published weights have the sha256 {expected_sha256}; give their file")
    try:
        path = cache_home() / "weights" / FILE_NAME
    except RuntimeError as error:  # no home folder
        raise ScoreError(_missing(url, reason=str(error), place=None)) from None
    if path.is_file():
        advice = "delete it, and it is downloaded again"
        _check_sha256(path, expected_sha256, what=str(path), advice=advice)
        return path
    try:
        with written_whole(path) as partial:
            _download(url, partial, place=path, progress=progress)
            _check_sha256(
                partial, expected_sha256, what=f"what came from {url}", advice="try again"
            )
    except RunError as error:
        raise ScoreError(_missing(url, reason=str(error), place=path)) from None
    return path


def published_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a published ``.pth`` file; no code in it is run.

    Raises:
        ScoreError: The file holds no tensors by name.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch has no common base for what can be wrong with a file
        reason = str(error).strip().splitlines()[:1]
        raise ScoreError(f"{path} holds no weights that can be loaded: {''.join(reason)}") from None


def _download(url: str, target: Path, *, place: Path, progress: Progress | None) -> None:
    # written_whole explains an OSError as one of the disk, so those of the network end here.
    try:
        response = urllib.request.urlopen(url, timeout=_TIMEOUT)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise ScoreError(_missing(url, reason=str(error), place=place)) from None
    with response, target.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := _read(response, url, place):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, max(total, done))
    if done < total:
        reason = f"the connection ended after {done:,} of {total:,} bytes"
        raise ScoreError(_missing(url, reason=reason, place=place))


def _read(response: BinaryIO, url: str, place: Path) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise ScoreError(_missing(url, reason=str(error), place=place)) from None


def _missing(url: str, *, reason: str, place: Path | None) -> str:
    where = f"put it at {place}, or " if place else ""
    return (
        f"the Inception weights are not on this disk and cannot be downloaded ({reason}). Get "
        f"{url} elsewhere and {where}set ${VARIABLE} to its path; or measure with the extractor "
        "efficientnet_lite0, which comes with pip (its numbers are not the FID)"
    )


def _check_sha256(path: Path, expected: str, *, what: str, advice: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ScoreError(f"{what} has the sha256 {found}, expected {expected}; {advice}")
