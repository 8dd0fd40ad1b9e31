"""From words, addresses and videos to a folder of pictures, with the real command line."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from journey_tools import command

from fake_sites import FakeSite, as_json, picture, serve, slow_drip, status
from graftgan.models.video import write_video

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def site():
    with FakeSite() as site:
        yield site


@pytest.fixture
def ctrl_c_is_heard():
    """A shell's background job ignores Ctrl-C, and so would the programs it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def listing(tmp_path: Path, site: FakeSite, count: int) -> Path:
    path = tmp_path / "list.txt"
    urls = [site.put(f"/{n}.png", picture(n + 1)) for n in range(count)]
    path.write_text("\n".join(urls))
    return path


def test_from_many_places_into_one_folder(cli: Cli, site: FakeSite, pictures: Path, tmp_path: Path):
    found = {
        "url": site.put("/open.png", picture(500)),
        "license": "by-sa",
        "license_version": "4.0",
        "creator": "Ada",
    }
    site.put("/v1/images/", as_json({"results": [found], "page_count": 1}))
    addresses = listing(tmp_path, site, 5)
    gone = site.put("/gone.png", status(404))
    addresses.write_text(addresses.read_text() + f"\n{gone}\n")
    colours = (0, 120, 240)
    frames = torch.stack([torch.full((3, 32, 32), c, dtype=torch.uint8) for c in colours])
    write_video(frames, tmp_path / "tank.mp4", frames_per_second=1, size=32)
    raw = tmp_path / "raw"
    words = [
        *("collect", "openverse:betta fish", f"urls:{addresses}", f"video:{tmp_path / 'tank.mp4'}"),
        *(pictures, "--out", raw, "--pause", "0", "--openverse-api", site.url),
    ]
    done = cli(*words)
    assert "33 pictures in" in done.stdout
    assert "33 new" in done.stdout
    assert "refused: not found (1)" in done.stdout
    assert "licences: not stated (32), CC BY-SA 4.0 (1)" in done.stdout
    assert f"next: graftgan curate {raw} clean/" in done.stdout
    lines = [json.loads(line) for line in (raw / "manifest.jsonl").read_text().splitlines()]
    assert {line["source"] for line in lines} == {"openverse", "urls", "video", "folder"}
    assert all((raw / line["name"]).is_file() for line in lines)
    again = cli(*words)
    assert "33 there already, 1 refused before" in again.stdout
    # What was collected is a set like any other.
    assert "33 pictures" in cli("preview", raw, "--out", tmp_path / "preview.png").stdout


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_and_on(cli: Cli, site: FakeSite, tmp_path: Path):
    addresses = listing(tmp_path, site, 12)
    site.put("/11.png", slow_drip)
    raw = tmp_path / "raw"
    words = ["collect", f"urls:{addresses}", "--out", raw, "--pause", "0"]
    with subprocess.Popen(
        command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 60
        while not site.visits_to("/11.png") and time.monotonic() < deadline:
            time.sleep(0.02)
        second = cli(*words, code=2)
        assert "is in use by process" in second.stderr
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=30)
    assert running.returncode == 130
    assert f"the same command goes on with {raw}" in said
    assert "Traceback" not in complained
    site.put("/11.png", serve(picture(12)))
    done = cli(*words)
    assert "12 pictures in" in done.stdout
    assert "1 new, 11 there already" in done.stdout
