"""The verb: words in, a summary or one line of what is wrong out."""

from pathlib import Path

import pytest
from collecting_services import put_pictures

from fake_sites import FakeSite, status
from graftgan.cli import main

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *words: object, code: int = 0) -> "tuple[str, str]":
    assert main(["collect", *map(str, words)]) == code
    said = capsys.readouterr()
    return said.out, said.err


def test_the_summary(site: FakeSite, capsys: Capture, tmp_path: Path):
    addresses = tmp_path / "list.csv"
    rows = [f"{url},CC0" for url in put_pictures(site, 3)]
    rows += [f"{site.url}/none,", f"{site.put('/busy', status(503))},"]
    addresses.write_text("url,licence\n" + "\n".join(rows))
    words = [f"urls:{addresses}", "--out", tmp_path / "raw", "--pause", 0, "--tries", 1]
    out, _ = run(capsys, *words)
    assert f"3 pictures in {tmp_path / 'raw'}: 3 new" in out
    assert "not found (1)" in out
    assert "server error (1)" in out
    assert "1 of the refused may work another time or with other limits" in out
    assert "licences: CC0 (3)" in out
    assert f"next: graftgan curate {tmp_path / 'raw'} clean/" in out
    out, _ = run(capsys, *words)
    assert "3 there already, 2 refused before" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to collect"),
        (["opnverse:fish"], "did you mean 'openverse'"),
        (["urls:nowhere.txt"], "there is no list nowhere.txt"),
        (["openverse:x", "--count", "0"], "count must be at least 1"),
        (["openverse:x", "--licence", "gpl"], "no licence 'gpl'"),
        (["instagram:#x", "--through", "hope"], "--through"),
        (["urls:file:///etc/passwd", "--conections", "2"], "conections"),
    ],
)
def test_mistakes(capsys: Capture, tmp_path: Path, words: list[str], message: str):
    _, err = run(capsys, *words, "--out", tmp_path / "raw", code=2)
    assert message in err
    assert not (tmp_path / "raw").exists()


def test_a_source_that_fails_is_an_error_after_the_others(
    site: FakeSite, capsys: Capture, tmp_path: Path
):
    (url,) = put_pictures(site, 1)
    words = ["openverse:x", f"urls:{url}", "--openverse-api", site.url, "--pause", 0]
    out, err = run(capsys, *words, "--out", tmp_path / "raw", code=2)
    assert "1 new" in out
    assert "cannot query Openverse: not found" in err


def test_the_warning_comes_once(capsys: Capture, tmp_path: Path):
    cookies = tmp_path / "missing.txt"
    words = ["instagram:#a", "instagram:#b", "--cookies", cookies, "--out", tmp_path / "raw"]
    out, err = run(capsys, *words, code=2)
    assert out.count("Instagram's terms forbid") == 1
    assert "there is no file" in err
