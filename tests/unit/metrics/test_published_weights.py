"""Finding, downloading and checking the weights that are published."""

import gc
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn

from graftgan.core.errors import CheckpointError, ScoreError
from graftgan.metrics.extractors import EXTRACTORS, build_extractor
from graftgan.metrics.extractors.dinov2 import DINOV2, DinoV2, dinov2_extractor
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.inception import INCEPTION, Inception, inception_extractor
from graftgan.metrics.extractors.published_weights import PublishedWeights
from graftgan.metrics.score import full_name
from graftgan.metrics.settings import ExtractorSettings

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass(frozen=True)
class Case:
    """An extractor whose weights are published, and what it must answer with."""

    weights: PublishedWeights
    network: Callable[[], nn.Module]
    build: Callable[..., Extractor]
    dimension: int
    has_logits: bool


CASES = {
    "inception": Case(INCEPTION, Inception, inception_extractor, 2048, True),
    "dinov2": Case(DINOV2, DinoV2, dinov2_extractor, 384, False),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def published(case: Case) -> PublishedWeights:
    return case.weights


@pytest.fixture(autouse=True)
def cache(published: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no file named by the environment, and no proxy."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAFTGAN_CACHE", str(folder))
    monkeypatch.delenv(published.variable, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return folder / "weights" / published.file_name


class Server(ThreadingHTTPServer):
    """Answers every request with the first ``sent`` bytes of the content, or a status."""

    requests = 0
    sent = len(CONTENT)
    status = 200

    def publishes(self, weights: PublishedWeights) -> PublishedWeights:
        """Return ``weights`` with this server's address."""
        return replace(weights, url=f"http://127.0.0.1:{self.server_port}/{weights.file_name}")


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


@pytest.fixture
def served(server: Server, published: PublishedWeights) -> PublishedWeights:
    """Weights that are the content of this server."""
    return replace(server.publishes(published), sha256=SHA256)


def test_the_addresses_are_those_of_the_publishers():
    assert INCEPTION.file_name == "pt_inception-2015-12-05-6726825d.pth"
    assert INCEPTION.sha256[:8] in INCEPTION.file_name
    assert INCEPTION.url.startswith("https://github.com/mseitzer/pytorch-fid/releases/download/")
    assert DINOV2.file_name == "dinov2_vits14_pretrain.pth"
    assert DINOV2.url.startswith("https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/")


def test_names_agree(published: PublishedWeights):
    assert published.extractor in EXTRACTORS
    view = EXTRACTORS[published.extractor].view
    assert published.distance == full_name("FID", published.extractor, view)
    assert published.variable == f"GRAFTGAN_{published.extractor.upper()}"
    assert len(published.sha256) == 64


def test_a_download_happens_once(server: Server, served: PublishedWeights, cache: Path):
    seen: list[tuple[int, int]] = []
    path = served.find(progress=lambda done, total: seen.append((done, total)))
    assert path == cache
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 2
    assert sorted(done for done, _ in seen) == [done for done, _ in seen]
    assert served.find() == cache
    assert server.requests == 1


def test_a_wrong_download_never_appears(server: Server, published: PublishedWeights, cache: Path):
    expected = published.sha256
    with pytest.raises(ScoreError, match=f"sha256 {SHA256}, expected {expected}; try again"):
        server.publishes(published).find()
    assert server.requests == 1
    assert list(cache.parent.iterdir()) == []


def test_a_download_cut_short_says_so(server: Server, served: PublishedWeights, cache: Path):
    server.sent = 3_000_000
    with pytest.raises(ScoreError, match=r"cannot be downloaded \(.*3[,_]?000[,_]?000"):
        served.find()
    assert list(cache.parent.iterdir()) == []


def test_without_network_the_ways_out_are_given(
    server: Server, served: PublishedWeights, cache: Path
):
    server.status = 503
    with pytest.raises(ScoreError) as refused:
        served.find()
    with Server(("127.0.0.1", 0), Handler) as closed:
        nowhere = closed.publishes(served)
    with pytest.raises(ScoreError) as offline:
        nowhere.find()
    assert "503" in str(refused.value)
    for message, url in ((str(refused.value), served.url), (str(offline.value), nowhere.url)):
        assert message.startswith(f"the {served.network} weights are not on this disk")
        for part in (url, str(cache), f"${served.variable}", "efficientnet_lite0, which comes"):
            assert part in message
        assert message.endswith(f"(its numbers are not the {served.distance})")
        assert "\n" not in message


def test_an_unwritable_cache_says_so(
    served: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ScoreError, match=f"cannot write.*set .{served.variable}"):
        served.find()


def test_a_given_file_comes_before_the_variable_and_that_before_the_cache(
    server: Server,
    served: PublishedWeights,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    for path in (tmp_path / "given.pth", tmp_path / "named.pth", cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    assert served.find() == cache
    monkeypatch.setenv(served.variable, str(tmp_path / "named.pth"))
    assert served.find() == tmp_path / "named.pth"
    assert served.find(tmp_path / "given.pth") == tmp_path / "given.pth"
    assert server.requests == 0


def test_a_missing_or_wrong_file_is_named(
    published: PublishedWeights, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    missing = rf"there is no file of {published.network} weights .*nowhere\.pth"
    with pytest.raises(ScoreError, match=missing):
        published.find(tmp_path / "nowhere.pth")
    monkeypatch.setenv(published.variable, str(tmp_path / "gone.pth"))
    with pytest.raises(ScoreError, match=rf"gone\.pth \(from \${published.variable}\)"):
        published.find()
    (tmp_path / "other.pth").write_bytes(CONTENT)
    wrong = f"{SHA256}, expected {published.sha256}"
    with pytest.raises(ScoreError, match=rf"other\.pth.*{wrong}"):
        published.find(tmp_path / "other.pth")
    monkeypatch.delenv(published.variable)
    cache.parent.mkdir(parents=True)
    cache.write_bytes(CONTENT)
    with pytest.raises(ScoreError, match=f"{wrong}; delete it"):
        published.find()


def test_the_command_line_hands_the_file_over(published: PublishedWeights, tmp_path: Path):
    (tmp_path / "other.pth").write_bytes(CONTENT)
    settings = ExtractorSettings(
        extractor=published.extractor, extractor_weights=tmp_path / "other.pth"
    )
    with pytest.raises(ScoreError, match=rf"other\.pth.*expected {published.sha256}"):
        build_extractor(settings)


def test_other_weights_never_have_the_published_name(case: Case, tmp_path: Path):
    path = tmp_path / "own.pth"
    torch.save(case.network().state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = case.build(path, expected_sha256=sha256)
    assert extractor.name == f"{case.weights.extractor}_{sha256[:8]}"
    assert extractor.weights_sha256 == sha256
    assert (extractor.dimension, extractor.has_logits) == (case.dimension, case.has_logits)
    advice = re.escape(f"their own expected_sha256, but not as {case.weights.distance}")
    with pytest.raises(ScoreError, match=advice):
        case.build(path)
    with pytest.raises(ScoreError, match="no published weights"):
        case.build(expected_sha256=sha256)


def test_files_of_something_else_are_refused(case: Case, tmp_path: Path):
    path = tmp_path / "own.pth"

    def build() -> None:
        case.build(path, expected_sha256=hashlib.sha256(path.read_bytes()).hexdigest())

    path.write_bytes(CONTENT)
    with pytest.raises(ScoreError, match=r"own\.pth holds no weights"):
        build()
    torch.save({"weight": Path("an object")}, path)  # a pickle of more than tensors
    with pytest.raises(ScoreError, match=r"own\.pth holds no weights"):
        build()
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=f"not the weights of .*{case.weights.network}"):
        build()
