"""A thousand pictures, one in ten addresses faulty, and a kill in the middle."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from fake_sites import (
    Answer,
    FakeSite,
    announced_short,
    endless,
    first,
    gzip_bomb,
    huge_png,
    jpeg,
    page,
    picture,
    redirect,
    reset,
    serve,
    shell_script,
    slow_drip,
    status,
    svg,
    too_short,
)
from graftgan.core.provenance import origins_of

TOTAL = 1_000
LARGEST = 300_000  # bytes
HALF = len(jpeg(1)) // 2


def faults(site: FakeSite) -> list[tuple[str, Answer, str]]:
    """Return a name, an answer and the reason that is expected for it."""
    return [
        ("missing", status(404), "not found"),
        ("gone", status(410), "not found"),
        ("forbidden", status(403), "forbidden"),
        ("broken", status(500), "server error"),
        ("busy", status(429, Retry_After="0"), "too many requests"),
        ("reset", reset, "unreachable"),
        ("short", too_short(jpeg(2)), "cut short"),
        ("cut", serve(jpeg(3)[:HALF]), "damaged"),
        ("fewer", announced_short(jpeg(4), HALF), "damaged"),
        ("html", page, "not a picture"),
        ("svg", svg, "not a picture"),
        ("script", shell_script, "not a picture"),
        ("empty", serve(b""), "not a picture"),
        ("endless", endless(), "too large"),
        ("giant", endless(10**10), "too large"),
        ("bomb", gzip_bomb(20), "too large"),
        ("pixels", serve(huge_png()), "too many pixels"),
        ("loop", redirect("/loop/0.jpg"), "too many redirects"),
        ("file", redirect("file:///etc/passwd"), "not http"),
        ("closed", serve(picture(1)), "robots.txt forbids it"),
    ]


def fill(site: FakeSite) -> tuple[list[str], dict[str, str]]:
    """Serve all of it; return the addresses in a mixed order, and the reasons of the faulty."""
    site.put("/robots.txt", b"User-agent: *\nDisallow: /closed/\n")
    kinds = faults(site)
    reasons: dict[str, str] = {}
    for number in range(TOTAL // 10 - 2):
        name, answer, reason = kinds[number % len(kinds)]
        path = f"/{name}/{number // len(kinds)}.jpg"
        reasons[site.put(path, answer)] = reason
    for number in range(2):  # each costs its whole time
        reasons[site.put(f"/slow/{number}.jpg", slow_drip)] = "too slow"
    healthy = []
    for number in range(TOTAL - len(reasons)):
        body = (picture, lambda n: picture(n, "JPEG"), lambda n: picture(n, "WEBP"))[number % 3]
        answer = serve(body(number + 1))
        if number % 90 == 0:
            answer = first(1, status(503), answer)  # and then fine
        healthy.append(site.put(f"/{number}.png", answer))
        if number % 90 == 1:  # one that would climb out, if its name were the file's
            site.put(f"/..%2F{number}.png", site.answers.pop(f"/{number}.png"))
            healthy[-1] = f"{site.url}/../..%2F{number}.png"
    everything = sorted([*healthy, *reasons], key=lambda a: hashlib.sha256(a.encode()).digest())
    return everything, reasons


def snapshot(root: Path, without: Path) -> dict[str, bytes]:
    paths = [p for p in root.rglob("*") if p.is_file() and not p.is_relative_to(without)]
    return {str(path): path.read_bytes() for path in paths}


def start(listing: Path, out: Path) -> "subprocess.Popen[str]":
    words = [
        *("collect", f"urls:{listing}", "--out", out, "--pause", "0", "--connections", "8"),
        *("--largest-mb", LARGEST / 1e6, "--seconds", "4", "--silence", "4", "--tries", "2"),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "graftgan", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=listing.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill_after(running: "subprocess.Popen[str]", out: Path, count: int) -> int:
    """Kill the process as soon as so many pictures lie there; return how many do."""
    deadline = time.monotonic() + 240
    while running.poll() is None and time.monotonic() < deadline:
        if (out / "pictures").is_dir() and len(list((out / "pictures").iterdir())) >= count:
            running.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    return len([p for p in (out / "pictures").iterdir() if not p.name.startswith(".")])


def test_a_thousand_pictures_with_faults_and_a_kill(tmp_path: Path):
    around = tmp_path / "work"
    around.mkdir()
    out, listing = around / "raw", around / "list.txt"
    (around / "precious.txt").write_text("untouched")
    with FakeSite() as site:
        addresses, reasons = fill(site)
        assert len(addresses) == len(set(addresses)) == TOTAL
        assert len(reasons) == TOTAL // 10
        assert len(set(reasons.values())) == 14, "every kind of fault is planted"
        listing.write_text("\n".join(addresses))
        before = snapshot(tmp_path, without=out)

        killed_at = kill_after(start(listing, out), out, 400)
        assert 350 < killed_at < TOTAL - len(reasons)
        running = start(listing, out)
        said, complained = running.communicate(timeout=300)
        assert running.returncode == 0, complained
        assert "Traceback" not in complained

        # Every fault has its reason.
        refused = [json.loads(x) for x in (out / "refused.jsonl").read_text().splitlines()]
        assert {line["address"]: line["reason"] for line in refused} == reasons

        # Every healthy picture is there, whole, once, with the address that it came from.
        manifest = [json.loads(x) for x in (out / "manifest.jsonl").read_text().splitlines()]
        stored = {path.name: path.read_bytes() for path in (out / "pictures").iterdir()}
        assert len(manifest) == len(stored) == TOTAL - len(reasons)
        assert len({hashlib.sha256(body).hexdigest() for body in stored.values()}) == len(stored)
        assert {line["name"] for line in manifest} == {f"pictures/{name}" for name in stored}
        for line in manifest:
            body = (out / line["name"]).read_bytes()
            assert hashlib.sha256(body).hexdigest() == line["sha256"]
            assert len(body) == line["bytes"] <= LARGEST
            Image.open(io.BytesIO(body)).load()
        assert {line["url"] for line in manifest} == set(addresses) - set(reasons)
        assert set(origins_of(out)) == {line["name"] for line in manifest}

        # What was there was not fetched again: at most what a kill interrupted, and the 503s.
        visits = Counter({p: n for p, n in site.counts().items() if p[1:-4].isdecimal()})
        twice = sum(n - 1 for n in visits.values())
        assert twice <= 2 * 8 + TOTAL // 90 + 1

    # Nothing else was written, and nothing is left over.
    assert snapshot(tmp_path, without=out) == before
    assert {p.name for p in out.iterdir()} == {
        "manifest.jsonl",
        "refused.jsonl",
        "pictures",
        ".collect.lock",
    }
    assert f"{TOTAL - len(reasons):,} pictures in" in said
    assert "licences: not stated (900)" in said
