"""Signals end every verb with its partial files removed, one line, and the code of the shell."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
from made_up_verb import words

import graftgan.cli
from graftgan.cli.ending import Interrupted, exit_code, raised_as_exceptions

SLOW = """
    import time
    from pathlib import Path
    from graftgan.core.files import written_whole
    with written_whole(Path('result')) as partial:
        partial.write_text('half')
        print('begun', flush=True)
        time.sleep(60)
"""


def _hears_all() -> None:
    """Hear signals that whoever runs the tests may ignore, as in the background or by nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def stopped(number: int, tmp_path: Path, body: str = SLOW) -> tuple[int, str]:
    """Send a signal to a verb that has begun; return its code and what it complained of."""
    with subprocess.Popen(
        words(body),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=_hears_all,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        assert list(tmp_path.iterdir()), "else nothing could be left behind"
        running.send_signal(number)
        _, complained = running.communicate(timeout=120)
    return running.returncode, complained


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_a_signal_removes_what_is_half_written(tmp_path: Path, name: str):
    number = getattr(signal, name)
    code, complained = stopped(number, tmp_path)
    assert (code, complained) == (128 + number, f"graftgan: stopped by {name}\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_does_the_same(tmp_path: Path):
    assert stopped(signal.SIGINT, tmp_path) == (130, "graftgan: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_does_not_cut_the_cleaning_short(tmp_path: Path):
    body = """
        import os, signal, time
        from pathlib import Path
        Path('half').touch()
        try:
            print('begun', flush=True)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            Path('half').unlink()
    """
    code, _ = stopped(signal.SIGTERM, tmp_path, body)
    assert code == 143
    assert list(tmp_path.iterdir()) == []


def test_a_closed_terminal_is_no_trouble(tmp_path: Path):
    """The signal of a terminal that is gone, and the terminal gone."""
    controller, terminal = os.openpty()
    with subprocess.Popen(
        words(SLOW),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        cwd=tmp_path,
        preexec_fn=_hears_all,
    ) as running:
        os.close(terminal)
        assert os.read(controller, 5) == b"begun"
        os.close(controller)
        running.send_signal(signal.SIGHUP)
        running.wait(timeout=120)
    assert running.returncode == 128 + signal.SIGHUP
    assert list(tmp_path.iterdir()) == []


def test_what_is_ignored_stays_ignored_and_handlers_come_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised_as_exceptions():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_exception_is_that_of_ctrl_c_and_knows_its_signal():
    with pytest.raises(KeyboardInterrupt) as caught, raised_as_exceptions():
        signal.raise_signal(signal.SIGUSR1)
    assert isinstance(caught.value, Interrupted)
    assert exit_code(caught.value) == 128 + signal.SIGUSR1
    assert exit_code(KeyboardInterrupt()) == 130


def test_a_thread_changes_no_handler():
    found: list[object] = []

    def look() -> None:
        with raised_as_exceptions():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_library_swallows_is_sent_again(
    number: int, capfd: pytest.CaptureFixture[str]
):
    """Python calls a finalizer like this one where an exception can go nowhere."""

    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            time.sleep(0.01)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with raised_as_exceptions():
            Finalized()
            with pytest.raises(KeyboardInterrupt):
                time.sleep(20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""


def test_a_signal_that_a_library_makes_an_error_of_is_no_error(tmp_path: Path):
    """A reader in Rust may turn the exception of a Ctrl-C into a ValueError."""
    body = """
        import time
        from pathlib import Path
        Path('half').touch()
        try:
            print('begun', flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            Path('half').unlink()
            raise ValueError('could not determine the shape') from None
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        assert stopped(number, tmp_path, body) == (128 + number, "graftgan: stopped\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_an_import_swallows_ends_the_command_after_it(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def swallow(name: str) -> object:
        with suppress(BaseException):
            os.kill(os.getpid(), number)
            time.sleep(20)
        return SimpleNamespace(main=lambda rest: pytest.fail("it went on"))

    monkeypatch.setattr(graftgan.cli, "import_module", swallow)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert graftgan.cli.main(["plan"]) == 128 + number
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped" in capsys.readouterr().err


PROGRAM = """
    import sys
    from graftgan.__main__ import main
    class Slow:
        def find_spec(self, name, path, target=None):
            if name == {slow!r}:
                sys.meta_path.remove(self)
                print('begun', flush=True)
                try:
                    import time
                    time.sleep(20)
                except BaseException:
                    pass
                print('it went on')
    sys.meta_path.insert(0, Slow())
    sys.argv = ['graftgan', 'plan']
    sys.exit(main())
"""


@pytest.mark.parametrize(
    "slow", ["graftgan.cli", "graftgan.core.files", "graftgan.cli.plan", "torch"]
)
def test_ctrl_c_while_the_program_loads_is_one_line(slow: str):
    """Also where an import swallows exceptions, as some of torch's do."""
    assert signalled(PROGRAM.format(slow=slow), signal.SIGINT) == (130, "", "graftgan: stopped\n")


def test_any_signal_while_a_verb_loads_is_one_line():
    ended = signalled(PROGRAM.format(slow="torch"), signal.SIGTERM)
    assert ended == (143, "", "graftgan: stopped by SIGTERM\n")


def signalled(code: str, number: int, after: float = 0.0) -> tuple[int, str, str]:
    """Send a signal to a program that has printed a line; return its code and what it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hears_all,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        time.sleep(after)
        child.send_signal(number)
        output, errors = child.communicate(timeout=60)
    return child.returncode, output, errors


@pytest.mark.parametrize("after", [0.0, 0.02, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0])
def test_ctrl_c_at_any_moment_is_one_line(after: float):
    """Before that Python itself complains, for some hundredths of a second."""
    code = """
        import sys
        from graftgan.__main__ import main, signal
        answer, on_ctrl_c = signal.signal, signal.SIGINT
        def tell(*given):
            answer(*given)
            print('begun' * (given[0] == on_ctrl_c), flush=True)
            signal.signal = answer
        signal.signal = tell
        sys.argv = ['graftgan', 'plan', '--plan', 'fine_tune', 'avatars-sg2-64']
        sys.exit(main())
    """
    number, _, errors = signalled(code, signal.SIGINT, after)
    assert (number, errors) in {(130, "graftgan: stopped\n"), (0, "")}
