"""Whatever goes wrong ends in one line and a report, never in a traceback or in silence."""

import os
import subprocess
from pathlib import Path

import pytest
from made_up_verb import failures, run, words

from graftgan import cli


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("body", "told", "advised"),
    [
        ("open('x' * 300)", "OSError: [Errno 36] File name too long", "choose a shorter name"),
        ("import os; raise OSError(28, os.strerror(28))", "No space left", "free some space"),
        ("raise MemoryError", "graftgan: MemoryError; memory ran out", "smaller --batch-size"),
        ("raise RuntimeError('CUDA out of memory')", "RuntimeError: CUDA", "memory ran out"),
        ("b'\\xff'.decode()", "UnicodeDecodeError", "not UTF-8"),
        ("open('/tmp/x', 'w').write('\\udce9')", "UnicodeEncodeError", "not UTF-8"),
        ("main(arguments)", "RecursionError", "nested too deeply"),
        ("import no_such_package", "ModuleNotFoundError", "install graftgan again"),
        ("{}['k']", "KeyError: 'k'", "send in that file"),
        (
            "raise ValueError('two\\nlines \\x1b[2J' + 'y' * 10**7)",
            "two lines \\x1b[2Jyyy",
            "send in",
        ),
        ("raise type('PanicException', (BaseException,), {})('rust')", "PanicException: rust", ""),
    ],
)
def test_one_line_a_report_and_code_2(cache: Path, body: str, told: str, advised: str):
    done = run(body, "--flag", "a b")
    said = done.stderr.decode()
    assert done.returncode == 2
    assert said.startswith("graftgan: ")
    assert said.count("\n") == 1
    assert len(said) < 900
    assert told in said
    assert advised in said
    (report,) = failures(cache)
    assert f"the whole report is in {report}" in said
    text = report.read_text(encoding="utf-8")
    for part in ("command: graftgan made_up --flag 'a b'", "Traceback", "python: 3", "torch: "):
        assert part in text


def test_a_traceback_is_shown_where_it_is_asked_for(cache: Path):
    done = run("assert arguments == ['--flag']; {}['k']", "--traceback", "--flag")
    assert done.returncode == 2
    assert done.stderr.startswith(b"Traceback")
    assert b"KeyError: 'k'" in done.stderr
    assert failures(cache) == []


def test_a_mistake_that_is_explained_stays_one_line_without_a_report(cache: Path):
    body = (
        "from graftgan.core.errors import RunError; raise RunError('what\\n to do\\x1b]0;x\\x07')"
    )
    for flags in ([], ["--traceback"]):
        done = run(body, *flags)
        assert done.stderr == b"graftgan: what to do\\x1b]0;x\\x07\n"
        assert done.returncode == 2
    assert failures(cache) == []


def test_without_a_cache_the_report_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    done = run("1 / 0")
    (report,) = (tmp_path / "elsewhere").glob("*.txt")
    assert str(report) in done.stderr.decode()
    assert "ZeroDivisionError" in report.read_text()


def test_in_one_process_too(capsys: pytest.CaptureFixture[str], cache: Path):
    assert cli.main(["no\x1bverb"]) == 2
    assert r"no verb 'no\x1bverb'" in capsys.readouterr().err
    assert cli.main(["report", "x" * 300]) == 2
    assert "File name too long" in capsys.readouterr().err
    assert len(failures(cache)) == 1


LINES = "print('line\\n' * 100_000)\nopen('done', 'w').close()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_and_the_work_is_done(tmp_path: Path):
    with Path("/dev/full").open("wb") as full:
        done = run(LINES, stdout=full, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        b"graftgan: what it printed is lost, since standard output fails: "
        b"No space left on device; all else was done\n"
    )
    assert (tmp_path / "done").exists()
    with Path("/dev/full").open("wb") as full:
        done = run("print('little')", stdout=full, cwd=tmp_path)
    assert done.returncode == 2, "also where it is only written at the end"
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_had_enough_ends_nothing(tmp_path: Path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(LINES, stdout=writing, cwd=tmp_path)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_streams_are_survived(tmp_path: Path, closed: tuple[int, ...]):
    body = """
        import os, sys
        with open('checkpoint', 'wb') as file:
            assert file.fileno() > 2
        os.write(1, b'of a library in C')
        print('said'); print('complained', file=sys.stderr)
        open('done', 'w').close()
    """

    def close() -> None:
        for number in closed:
            os.close(number)

    done = run(body, cwd=tmp_path, preexec_fn=close)
    assert (tmp_path / "done").exists()
    assert (tmp_path / "checkpoint").read_bytes() == b""
    assert done.returncode == (2 if 1 in closed else 0)
    assert b"Traceback" not in done.stderr
    if closed == (1,):
        assert b"standard output fails: it is closed" in done.stderr


def test_a_mistake_without_standard_error_still_has_its_code(tmp_path: Path):
    for body in ("1 / 0", "raise SystemExit(3)", "raise KeyboardInterrupt"):
        done = run(body, cwd=tmp_path, preexec_fn=lambda: os.close(2))
        assert done.returncode == {"1": 2, "r": 3}[body[0]] or done.returncode == 130


def test_a_terminal_that_is_gone_ends_nothing(tmp_path: Path):
    controller, terminal = os.openpty()
    body = """
        import os, sys, time
        sys.stdin.read(1)
        print('nobody hears'); print('this', file=sys.stderr)
        open('done', 'w').close()
    """
    with subprocess.Popen(
        words(body), stdin=subprocess.PIPE, stdout=terminal, stderr=terminal, cwd=tmp_path
    ) as running:
        os.close(terminal)
        os.close(controller)
        running.communicate(b"x", timeout=60)
    assert running.returncode == 2
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "latin-1"])
def test_letters_that_the_encoding_lacks_are_written_as_escapes(
    monkeypatch: pytest.MonkeyPatch, encoding: str
):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = run("print('猫 caf\\udce9 naïve'); import sys; print('≥', file=sys.stderr)")
    assert done.returncode == 0
    said, complained = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert ("猫" if encoding == "utf-8" else r"\u732b") in said
    assert r"caf\udce9" in said
    assert ("naïve" if encoding != "ascii" else r"na\xefve") in said
    assert complained.strip() == ("≥" if encoding == "utf-8" else r"\u2265")


def test_the_c_locale_is_survived(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    body = (
        "print('\\u2265'); from graftgan.core.errors import RunError; "
        "raise RunError('\\u2264 \\u732b')"
    )
    done = run(body)
    assert done.returncode == 2
    assert (done.stdout, done.stderr) == (b"\\u2265\n", b"graftgan: \\u2264 \\u732b\n")
