"""Published weights: found on disk or downloaded once, and always verified."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, CountProgress, RunError, ScoreError, shown
from graftgan.core.files import cache_home, file_sha256, written_whole

_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """The published weight file of one extractor."""

    extractor: str  # the extractor's name with these weights
    network: str  # the network's name in messages
    distance: str  # name of the Fréchet distance, only with these weights
    url: str  # of the file; the last part is also its name on disk
    sha256: str  # of the file
    variable: str  # environment variable that may hold the file's path

    @property
    def file_name(self) -> str:
        """The file's name on disk."""
        return self.url.rpartition("/")[2]

    def extractor_with(self, sha256: str) -> str:
        """Return the extractor's name, followed by the sha256's first digits for other weights."""
        return self.extractor if sha256 == self.sha256 else f"{self.extractor}_{sha256[:8]}"

    def find(
        self,
        given: Path | None = None,
        *,
        expected_sha256: str | None = None,
        progress: CountProgress | None = None,
    ) -> Path:
        """Return a verified file: ``given``, the variable's, from the cache, or downloaded.

        ``expected_sha256`` is that of weights other than the published ones, which are never
        downloaded. ``progress`` is called with (bytes done, bytes in all) while downloading. Raises
        ScoreError: there is no file and it cannot be downloaded, or it has another sha256.
        """
        expected = expected_sha256 or self.sha256
        variable = os.environ.get(self.variable)
        chosen = given or (Path(variable).expanduser() if variable else None)
        if chosen is not None:
            if not chosen.is_file():
                origin = "" if given else f" (from ${self.variable})"
                raise ScoreError(f"there is no file of {self.network} weights {chosen}{origin}")
            advice = (
                "give that file; from Python others do with their own expected_sha256, but not as "
                f"{self.distance}"
            )
            _check_sha256(chosen, expected, what=str(chosen), advice=advice)
            return chosen
        if expected != self.sha256:
            raise ScoreError(f"no published weights have the sha256 {expected}; give their file")
        return self._cached(progress)

    def _cached(self, progress: CountProgress | None) -> Path:
        try:
            path = cache_home() / "weights" / self.file_name
        except RuntimeError as error:  # no home folder
            raise self._missing(error, place=None) from None
        if path.is_file():
            advice = "delete it, and it is downloaded again"
            _check_sha256(path, self.sha256, what=str(path), advice=advice)
            return path
        try:
            with written_whole(path) as partial:
                self._download(partial, place=path, progress=progress)
                what = f"what came from {self.url}"
                _check_sha256(partial, self.sha256, what=what, advice="try again")
        except RunError as error:
            raise self._missing(error, place=path) from None
        return path

    def _download(self, target: Path, *, place: Path, progress: CountProgress | None) -> None:
        # written_whole would explain an OSError of the network as one of the disk.
        try:
            response = urllib.request.urlopen(self.url, timeout=_TIMEOUT)
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # and its connection
            raise self._missing(error, place=place) from None
        with response, target.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            done = 0
            while chunk := self._read(response, place):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, max(total, done))
        if done < total:
            reason = f"the connection ended after {done:,} of {total:,} bytes"
            raise self._missing(reason, place=place)

    def _read(self, response: BinaryIO, place: Path) -> bytes:
        try:
            return response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise self._missing(error, place=place) from None

    def _missing(self, reason: object, *, place: Path | None) -> ScoreError:
        where = f"put it at {place}, or " if place else ""
        return ScoreError(
            f"the {self.network} weights are not on this disk and cannot be downloaded ({reason}). "
            f"Get {self.url} elsewhere and {where}set ${self.variable} to its path; or measure "
            "with the extractor efficientnet_lite0, which comes with pip (its numbers are not the "
            f"{self.distance})"
        )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.pth`` file, without running code; ScoreError if it has none."""
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch's errors have no common base
        reason = str(error).strip().splitlines()[:1]
        raise ScoreError(f"{path} holds no weights that can be loaded: {''.join(reason)}") from None


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Load all ``tensors`` and no others; CheckpointError if they are not those of ``what``."""
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"these are not the weights of {what}: {shown(error, 300)}") from None
    network.eval().requires_grad_(False)


def _check_sha256(path: Path, expected: str, *, what: str, advice: str) -> None:
    if (found := file_sha256(path)) != expected:
        raise ScoreError(f"{what} has the sha256 {found}, expected {expected}; {advice}")
