"""Finding, downloading and checking the Inception weights."""

import gc
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from graftgan.errors import CheckpointError, ScoreError, UnknownName
from graftgan.metrics.extractors.inception import Inception
from graftgan.metrics.extractors.inception_weights import (
    FILE_NAME,
    OFFICIAL_SHA256,
    URL,
    VARIABLE,
    find_weights,
    inception_extractor,
)

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no file named by the environment, and no proxy."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAFTGAN_CACHE", str(folder))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return folder / "weights" / FILE_NAME


class Server(ThreadingHTTPServer):
    """Answers every request with the first ``sent`` bytes of the content, or a status."""

    requests = 0
    sent = len(CONTENT)
    status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{FILE_NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.server.status == 200:
            self.wfile.write(CONTENT[: self.server.sent])

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()
    gc.collect()  # a connection left open would warn


def test_the_published_file_is_what_its_name_says():
    assert OFFICIAL_SHA256[:8] in FILE_NAME
    assert URL.endswith(FILE_NAME)


def test_a_download_happens_once(server: Server, cache: Path):
    seen: list[tuple[int, int]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    path = find_weights(expected_sha256=SHA256, url=server.url, progress=progress)
    assert path == cache
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 2
    assert sorted(done for done, _ in seen) == [done for done, _ in seen]
    assert find_weights(expected_sha256=SHA256, url=server.url) == cache
    assert server.requests == 1


def test_a_wrong_download_never_appears(server: Server, cache: Path):
    with pytest.raises(ScoreError, match=f"sha256 {SHA256}, expected {OFFICIAL_SHA256}.*try again"):
        find_weights(url=server.url)
    assert list(cache.parent.iterdir()) == []


def test_a_download_cut_short_says_so(server: Server, cache: Path):
    server.sent = 3_000_000
    with pytest.raises(ScoreError, match=r"cannot be downloaded \(.*3[,_]?000[,_]?000"):
        find_weights(expected_sha256=SHA256, url=server.url)
    assert list(cache.parent.iterdir()) == []


def test_without_network_the_ways_out_are_given(server: Server, cache: Path):
    server.status = 503
    with pytest.raises(ScoreError) as refused:
        find_weights(url=server.url)
    with Server(("127.0.0.1", 0), Handler) as closed:
        nowhere = closed.url
    with pytest.raises(ScoreError) as offline:
        find_weights(url=nowhere)
    assert "503" in str(refused.value)
    for message, url in ((str(refused.value), server.url), (str(offline.value), nowhere)):
        for part in (url, str(cache), VARIABLE, "efficientnet_lite0"):
            assert part in message
        assert "\n" not in message


def test_an_unwritable_cache_says_so(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ScoreError, match=f"cannot write.*set .{VARIABLE}"):
        find_weights(expected_sha256=SHA256, url=server.url)


def test_a_given_file_comes_before_the_variable_and_that_before_the_cache(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for path in (tmp_path / "given.pth", tmp_path / "named.pth", cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    find = lambda given=None: find_weights(given, expected_sha256=SHA256, url=server.url)  # noqa: E731
    assert find() == cache
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named.pth"))
    assert find() == tmp_path / "named.pth"
    assert find(tmp_path / "given.pth") == tmp_path / "given.pth"
    assert server.requests == 0


def test_a_missing_or_wrong_file_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(ScoreError, match=r"there is no file of Inception weights .*nowhere\.pth"):
        find_weights(tmp_path / "nowhere.pth")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.pth"))
    with pytest.raises(ScoreError, match=rf"gone\.pth \(from \${VARIABLE}\)"):
        find_weights()
    (tmp_path / "other.pth").write_bytes(CONTENT)
    with pytest.raises(ScoreError, match=rf"other\.pth.*{SHA256}, expected {OFFICIAL_SHA256}"):
        find_weights(tmp_path / "other.pth")
    monkeypatch.delenv(VARIABLE)
    cache.parent.mkdir(parents=True)
    cache.write_bytes(CONTENT)
    with pytest.raises(ScoreError, match=rf"{SHA256}, expected {OFFICIAL_SHA256}; delete it"):
        find_weights()


def test_other_weights_are_never_called_the_inception_of_the_fid(tmp_path: Path):
    path = tmp_path / "own.pth"
    torch.save(Inception().state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = inception_extractor(path, expected_sha256=sha256, resize="pytorch_fid")
    assert extractor.describe() == {
        "extractor": f"inception_{sha256[:8]}",
        "weights_sha256": sha256,
        "resize": "pytorch_fid",
        "side": 299,
        "pixels": "minus_one_one",
    }
    assert (extractor.dimension, extractor.has_logits) == (2048, True)
    with pytest.raises(ScoreError, match="expected_sha256"):
        inception_extractor(path)
    with pytest.raises(ScoreError, match="no published weights"):
        inception_extractor(expected_sha256=sha256)
    with pytest.raises(UnknownName, match="clean_fid"):
        inception_extractor(path, expected_sha256=sha256, resize="clean")


def test_files_of_something_else_are_refused(tmp_path: Path):
    path = tmp_path / "own.pth"

    def build() -> None:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        inception_extractor(path, expected_sha256=sha256)

    path.write_bytes(CONTENT)
    with pytest.raises(ScoreError, match=r"own\.pth holds no weights"):
        build()
    torch.save({"weight": Path("an object")}, path)  # a pickle of more than tensors
    with pytest.raises(ScoreError, match=r"own\.pth holds no weights"):
        build()
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not the weights of the FID's Inception"):
        build()
